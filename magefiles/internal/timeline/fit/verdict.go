package fit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
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
	// Unknown is what decides beside the Obstacles and is not on record; empty if nothing is missing.
	Unknown string
	// Notes have what does not decide and yet matters.
	Notes []string
	// Basis says from what the group's next node is known; empty if it is not.
	Basis string
}

// Takes reports whether the autoscaler would enlarge the group for the pod, as far as that
// is judged.
func (v Verdict) Takes() bool { return len(v.Obstacles) == 0 && v.Unknown == "" }

// Open reports whether the record lacks what decides about the group: no obstacle is known, and one
// may exist.
func (v Verdict) Open() bool { return len(v.Obstacles) == 0 && v.Unknown != "" }

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
		} else if v.Scaled {
			v.Unknown = j.unrecorded(g)
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
	if strings.Contains(j.Health, "Unhealthy") {
		found = append(found, Obstacle{"the autoscaler finds the cluster unhealthy, and enlarges no group: " + j.Health, "nodes that are Ready"})
	}
	return append(found, j.totals(g)...)
}

// coming returns the node group of each machine that is no node yet.
func (j *Judge) coming() []*world.Group {
	if j.arriving != nil {
		return j.arriving
	}
	groups := []*world.Group{}
	for _, g := range j.Groups {
		if len(j.Outside(g)) > 0 {
			continue
		}
		for _, m := range j.Coming(g) {
			if m.Node == "" || j.NodeOf(m.Node) == nil {
				groups = append(groups, g)
			}
		}
	}
	j.arriving = groups
	return groups
}

// totals returns which limits of the whole cluster another node of a group would exceed. All nodes
// count, and the new nodes that the autoscaler expects. Source: core/scaleup/orchestrator,
// estimator/cluster_capacity_threshold.go and resourcequotas. The autoscaler also adds nothing while that
// many nodes are Ready; the count here covers this.
func (j *Judge) totals(g *world.Group) []Obstacle {
	const maxNodes, cores, memory = "max-nodes-total", "cores-total", "memory-total"
	limits := j.Autoscaler.Changed() // the defaults are far away
	if limits[maxNodes]+limits[cores]+limits[memory] == "" {
		return nil
	}
	var found []Obstacle
	groups := j.coming()
	if total, n := int(j.Autoscaler.Setting(maxNodes).Number()), len(j.Nodes)+len(groups); total > 0 && n >= total {
		text := fmt.Sprintf("--max-nodes-total=%d is reached with %s", total, timeline.Plural(len(j.Nodes), "node"))
		if len(groups) > 0 {
			text += fmt.Sprintf(" and %d upcoming", len(groups))
		}
		found = append(found, Obstacle{text, fmt.Sprintf("--max-nodes-total=%d", n+1)})
	}
	for _, total := range []struct {
		flag string
		name corev1.ResourceName
		unit int64 // of the flag
	}{{cores, corev1.ResourceCPU, 1}, {memory, corev1.ResourceMemory, 1 << 30}} {
		least, high, _ := strings.Cut(limits[total.flag], ":")
		most, err := strconv.ParseInt(high, 10, 64)
		if err != nil {
			continue
		}
		have, more := int64(0), j.expected(g, total.name)
		for _, n := range j.Nodes {
			have += capacityOf(n, total.name)
		}
		for _, other := range groups {
			have += j.expected(other, total.name)
		}
		if more == 0 || have+more <= most*total.unit {
			continue
		}
		const thousandths = 1000
		found = append(found, Obstacle{
			fmt.Sprintf("--%s=%s: the nodes have %s of %s, and another node of the group has %s", total.flag, limits[total.flag], shape.Amount(total.name, have*thousandths), total.name, shape.Amount(total.name, more*thousandths)),
			fmt.Sprintf("--%s=%s:%d", total.flag, least, (have+more+total.unit-1)/total.unit),
		})
	}
	return found
}

// capacityOf returns how much of a resource a node has, 0 if that is not on record.
func capacityOf(n *world.Node, name corev1.ResourceName) int64 {
	capacity := n.Capacity
	if capacity == nil {
		capacity = n.Allocatable
	}
	q := capacity[name]
	return q.Value()
}

// expected returns how much of a resource the autoscaler expects the next node of a group to have, 0 if
// it knows nothing of that.
func (j *Judge) expected(g *world.Group, name corev1.ResourceName) int64 {
	capacity, known := j.capacities[g]
	if !known {
		if next, _, ok := j.next(g, &world.Pod{}); ok {
			capacity = next.capacity
		}
		j.capacities[g] = capacity
	}
	q := capacity[name]
	return q.Value()
}

// PausedOnly returns the obstacle that the group or its cluster is paused, so that Cluster API makes no
// machines for the group. It returns nil if neither is paused, or if the autoscaler does not scale the
// group for that reason.
func (j *Judge) PausedOnly(g *world.Group) *Obstacle {
	_, annotated := g.Annotations[clusterv1.PausedAnnotation]
	if !j.Paused && (!g.Paused || annotated && j.Autoscaler.Release().SkipsPaused) {
		return nil
	}
	change := "no annotation " + clusterv1.PausedAnnotation + " and no spec.paused on the group"
	if j.Paused {
		change = "a Cluster that is not paused"
	}
	return &Obstacle{"it is paused: Cluster API makes no machine for it", change}
}

// mostProblems is how many different problems of a group's machines a note names.
const mostProblems = 5

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
			reports := s.Reports()
			repeated := func(report string) bool {
				return strings.Contains(report, s.Failure) || strings.Contains(s.Failure, report)
			}
			if !slices.ContainsFunc(reports, repeated) {
				problems = timeline.AppendUnique(problems, s.Failure)
			}
			for _, p := range reports {
				problems = timeline.AppendUnique(problems, p)
			}
		}
		if more := len(problems) - mostProblems; more > 0 {
			problems = append(problems[:mostProblems], fmt.Sprintf("and %d more", more))
		}
		if len(problems) > 0 {
			text += "; " + strings.Join(problems, "; ")
		}
		notes = append(notes, text)
	}
	return notes
}
