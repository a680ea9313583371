package scenario

import "fmt"

// String returns the action in words.
func (a Action) String() string {
	switch {
	case a.Workload != nil && a.Workload.Owner == DaemonSet:
		return "make the DaemonSet " + a.Workload.Name
	case a.Workload != nil:
		return fmt.Sprintf("make the workload %s with %d pods", a.Workload.Name, a.Workload.Pods)
	case a.Scale != nil:
		return fmt.Sprintf("scale the workload %s to %d pods", a.Scale.Workload, a.Scale.Pods)
	case a.Delete != nil && a.Delete.Workload != "":
		return "delete the workload " + a.Delete.Workload
	case a.Delete != nil:
		return "delete " + a.Delete.Object
	case a.Annotate != nil:
		return "annotate the pods of " + a.Annotate.Workload
	case a.Limits != nil:
		return fmt.Sprintf("limit the group %s to %d to %d nodes", a.Limits.Group, a.Limits.Min, a.Limits.Max)
	case a.Autoscaler != "":
		return a.Autoscaler + " the autoscaler"
	case a.Flags != nil:
		return "restart the autoscaler with " + orNone(a.Flags)
	case a.Pause != "":
		return "pause " + a.Pause
	case a.Resume != "":
		return "resume " + a.Resume
	default:
		return "roll out " + a.Rollout
	}
}
