package fit

import (
	"fmt"
	"slices"

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
	case p.OwnedByDaemonSet():
		found = append(found, Obstacle{"it belongs to the DaemonSet " + p.Owner.Name + ", for which the autoscaler adds no node", ""})
	case p.OfDaemonSet():
		found = append(found, Obstacle{"with its annotation " + shape.AsDaemonSet + " the autoscaler takes it for a pod of a DaemonSet, for which it adds no node", "no annotation " + shape.AsDaemonSet + " on the pod"})
	case p.Gated:
		found = append(found, Obstacle{"it has scheduling gates", "no scheduling gates"})
	case len(allowed) > 0 && !slices.Contains(allowed, scheduler):
		found = append(found, Obstacle{fmt.Sprintf("its scheduler %q is not in --allowed-scheduler-names=%s", scheduler, flags["allowed-scheduler-names"]), "another schedulerName"})
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
	if j.Expendable(p) {
		cutoff := j.Autoscaler.Setting(world.ExpendableCutoff).Value
		found = append(found, Obstacle{fmt.Sprintf("its priority %d is below --%s=%s", p.Priority, world.ExpendableCutoff, cutoff), "a priority of " + cutoff})
	}
	return found
}
