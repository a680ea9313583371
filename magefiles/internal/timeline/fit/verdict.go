package fit

import (
	"fmt"
	"strconv"
	"strings"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/world"
)

// Verdict is whether the autoscaler would enlarge a group for a pod.
type Verdict struct {
	Group *world.Group
	// Scaled is set if the group is a node group of this autoscaler.
	Scaled bool
	// Fits is set if the pod fits on the group's next node, whatever keeps that from coming.
	Fits bool
	// Obstacles is empty if the group would take the pod.
	Obstacles []Obstacle
	// Notes have what does not decide and yet matters.
	Notes []string
	// Basis says from what the group's next node is known; empty if it is not.
	Basis string
}

// Takes reports whether the autoscaler would enlarge the group for the pod, as far as that
// is judged.
func (v Verdict) Takes() bool { return len(v.Obstacles) == 0 }

// Verdicts returns a verdict for every group.
func (j *Judge) Verdicts(p *world.Pod) []Verdict {
	var all []Verdict
	for _, g := range j.Groups {
		v := Verdict{Group: g, Notes: j.notes(g)}
		v.Obstacles = j.Outside(g)
		v.Scaled = len(v.Obstacles) == 0
		if v.Scaled {
			v.Obstacles = j.NoGrowth(g)
		}
		if text := j.forgot(g); text != "" {
			v.Notes = append(v.Notes, text)
		}
		if next, basis, ok := j.next(g, p); ok {
			next.refusals = j.judged[p][next.name]
			found := j.obstacles(p, next)
			v.Basis, v.Fits = basis, len(found) == 0
			if next.blind && len(p.Devices) > 0 {
				v.Notes = append(v.Notes, j.Autoscaler.Title()+" does not look at devices: the pod may not fit on the new node")
			}
			v.Obstacles = append(v.Obstacles, found...)
		}
		all = append(all, v)
	}
	return all
}

// NoGrowth returns why the autoscaler does not enlarge a node group now, whatever the pod. It returns
// nil if nothing prevents that.
func (j *Judge) NoGrowth(g *world.Group) []Obstacle {
	var found []Obstacle
	_, most := j.Limits(g)
	if g.Wanted >= most {
		found = append(found, Obstacle{fmt.Sprintf("max reached: it wants %d of at most %d", g.Wanted, most), fmt.Sprintf("max to %d", g.Wanted+1)})
	}
	switch {
	case g.Backoff.After(j.At):
		found = append(found, Obstacle{fmt.Sprintf("backed off until %s, %s more", timeline.Clock(g.Backoff), timeline.DurationText(g.Backoff.Sub(j.At))), "nothing but time, or a restart of the autoscaler"})
	case strings.Contains(g.Health, "scale-up Backoff"):
		found = append(found, Obstacle{"backed off; its end is not on record: " + g.Health, "nothing but time, or a restart of the autoscaler"})
	case strings.Contains(g.Health, "Unhealthy"):
		found = append(found, Obstacle{"the autoscaler finds it unhealthy: " + g.Health, "nodes that are Ready"})
	}
	if total, err := strconv.Atoi(j.Autoscaler.Flags["max-nodes-total"]); err == nil && total > 0 && len(j.Nodes) >= total {
		found = append(found, Obstacle{fmt.Sprintf("--max-nodes-total=%d is reached with %s", total, timeline.Plural(len(j.Nodes), "node")), fmt.Sprintf("--max-nodes-total=%d", len(j.Nodes)+1)})
	}
	return found
}

// PausedOnly returns that Cluster API makes no machines for a group, because the group or its cluster is
// paused. It returns nil if neither is, or if the autoscaler does not scale the group for that reason.
func (j *Judge) PausedOnly(g *world.Group) *Obstacle {
	_, annotated := g.Annotations[clusterv1.PausedAnnotation]
	if !j.Paused && (!g.Paused || annotated && j.Autoscaler.Release().SkipsPaused) {
		return nil
	}
	change := "neither the annotation " + clusterv1.PausedAnnotation + " nor spec.paused on the group"
	if j.Paused {
		change = "a Cluster that is not paused"
	}
	return &Obstacle{"it is paused: Cluster API makes no machine for it", change}
}

// notes returns what does not keep the autoscaler from enlarging a group, but may keep a
// node from coming, or from being known.
func (j *Judge) notes(g *world.Group) []string {
	var notes []string
	if paused := j.PausedOnly(g); paused != nil {
		notes = append(notes, paused.Text)
	}
	if lost := j.Lost(g); lost != nil && len(j.Outside(g)) == 0 {
		notes = append(notes, lost.Text)
	}
	if stuck := j.Stuck(g); len(stuck) > 0 {
		text := fmt.Sprintf("machines of it that have failed, or have no node after %s: %d", timeline.DurationText(world.SlowMachine), len(stuck))
		var problems []string
		for _, s := range stuck {
			for _, p := range s.Problems {
				problems = timeline.AppendUnique(problems, p)
			}
			if len(s.Problems) == 0 {
				problems = timeline.AppendUnique(problems, s.Failure)
			}
		}
		if len(problems) > 0 {
			text += "; " + strings.Join(problems, "; ")
		}
		notes = append(notes, text)
	}
	return notes
}
