package fit

import (
	"fmt"
	"slices"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// Ignored returns why the autoscaler does not look at a pod at all, nil if it does.
func (j *Judge) Ignored(p *world.Pod) []Obstacle {
	var found []Obstacle
	flags := j.Autoscaler.Flags
	scheduler := p.Scheduler
	if scheduler == "" {
		scheduler = "default-scheduler"
	}
	switch allowed, bypassed := j.Autoscaler.List("allowed-scheduler-names"), j.Autoscaler.List("bypassed-scheduler-names"); {
	case !p.Deleted.IsZero():
		found = append(found, Obstacle{"it is being deleted", ""})
	case p.OwnedByDaemonSet():
		found = append(found, Obstacle{"it belongs to the DaemonSet " + p.Owner.Name + ", for which the autoscaler adds no node", ""})
	case p.OfDaemonSet():
		found = append(found, Obstacle{"with its annotation " + shape.AsDaemonSet + " the autoscaler takes it for a pod of a DaemonSet, for which it adds no node", "no annotation " + shape.AsDaemonSet + " on the pod"})
	case p.Nominated != "" && (j.NodeOf(p.Nominated) != nil || j.Autoscaler.Release().TrustsNominations):
		found = append(found, Obstacle{
			"the scheduler makes room for it on " + p.Nominated + " (status.nominatedNodeName), where the autoscaler counts it already",
			"the scheduler binds it to " + p.Nominated + ", or no longer nominates a node for it",
		})
	case p.Gated:
		found = append(found, Obstacle{"it has scheduling gates", "no scheduling gates"})
	case len(allowed) > 0 && !slices.Contains(allowed, scheduler):
		found = append(found, Obstacle{fmt.Sprintf("its scheduler %q is not in --allowed-scheduler-names=%s", scheduler, flags["allowed-scheduler-names"]), "another schedulerName"})
	case !p.Marked && p.Untried != "":
		found = append(found, Obstacle{fmt.Sprintf("its scheduler %q does not report it Unschedulable, but %s", scheduler, p.Untried), "a scheduler that reports whether the pod fits"})
	case !p.Marked && !slices.Contains(bypassed, scheduler) && len(j.withoutClaims(p)) > 0:
		missing := j.withoutClaims(p)[0]
		found = append(found, Obstacle{fmt.Sprintf("its scheduler %q does not try it, and so has not marked it Unschedulable: %s", scheduler, missing.Text), missing.Change})
	case !p.Marked && !slices.Contains(bypassed, scheduler):
		change := fmt.Sprintf("a scheduler %q that runs", scheduler)
		if p.Scheduler != "" {
			change = "schedulerName: default-scheduler, or " + change
		}
		found = append(found, Obstacle{fmt.Sprintf("its scheduler %q has not marked it Unschedulable", scheduler), change})
	}
	if name := j.provisioning(p); name != "" {
		found = append(found, Obstacle{"it consumes the ProvisioningRequest " + name, "the ProvisioningRequest " + name + " is provisioned"})
	}
	if j.Expendable(p) {
		cutoff := j.Autoscaler.Setting(world.ExpendableCutoff).Value
		found = append(found, Obstacle{fmt.Sprintf("its priority %d is below --%s=%s", p.Priority, world.ExpendableCutoff, cutoff), "a priority of " + cutoff})
	}
	if len(found) == 0 {
		found = j.tooNew(p)
	}
	return found
}

// consumesRequest are the annotations with the name of the ProvisioningRequest that a pod consumes. The
// first one that a pod has counts. Source: processors/provreq/pods_filter.go of 1.31.0 to 1.36.1; 1.30
// reads only the second one.
var consumesRequest = []string{"autoscaling.x-k8s.io/consume-provisioning-request", "cluster-autoscaler.kubernetes.io/consume-provisioning-request"}

// provisioning returns the name of the ProvisioningRequest for which the autoscaler leaves out a pod,
// empty if there is none.
func (j *Judge) provisioning(p *world.Pod) string {
	if !j.Autoscaler.On("enable-provisioning-requests") {
		return ""
	}
	for _, annotation := range consumesRequest {
		if name := p.Annotations[annotation]; name != "" {
			return p.Namespace() + "/" + name
		}
	}
	return ""
}

// scaleUpDelay is an annotation of a pod that the autoscaler lets wait for longer than the flag
// --new-pod-scale-up-delay says.
const scaleUpDelay = "cluster-autoscaler.kubernetes.io/pod-scale-up-delay"

// tooNew returns the obstacle that a pod is too new for the autoscaler, nil if it is old enough. Source:
// filterOutYoungPods in core/static_autoscaler.go.
func (j *Judge) tooNew(p *world.Pod) []Obstacle {
	delay, by := j.Autoscaler.Setting("new-pod-scale-up-delay").Duration()
	if own, err := time.ParseDuration(p.Annotations[scaleUpDelay]); err == nil && own >= delay && j.Autoscaler.Release().PodDelays {
		delay, by = own, "its annotation "+scaleUpDelay
	}
	until := p.Created.Add(delay)
	if delay <= 0 || j.At.After(until) {
		return nil
	}
	return []Obstacle{{
		fmt.Sprintf("it is %s old, and must be older than %s (%s)", timeline.DurationText(j.At.Sub(p.Created)), timeline.DurationText(delay), by),
		"nothing but time: it is old enough after " + timeline.Clock(until),
	}}
}
