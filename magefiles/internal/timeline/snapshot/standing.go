package snapshot

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// Standing is what a snapshot has of a pod that waits for a node.
type Standing struct {
	// NeedsNone is set if the autoscaler found that the pod needs no new node.
	NeedsNone bool
	// Room has the nodes of the snapshot on which the pod fits, by the rules of package fit, and
	// Coming the groups of those that the autoscaler expects. The snapshot does not say which of
	// them the autoscaler found.
	Room, Coming []string
	// Refusals says why the pod does not fit on the others.
	Refusals []fit.Refusal
}

// Standing returns what the snapshot has of a pod that waits.
func (s *Snapshot) Standing(p *world.Pod) Standing {
	j := fit.New(s.world())
	standing := Standing{
		NeedsNone: slices.ContainsFunc(s.Schedulable, func(other corev1.Pod) bool { return podName(&other) == p.Name }),
		Refusals:  j.Refusals(p),
	}
	for _, n := range j.Room(p) {
		if n.Group != "" {
			standing.Coming = timeline.AppendUnique(standing.Coming, n.Group)
		} else {
			standing.Room = append(standing.Room, n.Name)
		}
	}
	return standing
}

// world returns the nodes of the snapshot with their pods. Those that the autoscaler expects
// have a group.
func (s *Snapshot) world() *world.World {
	w := &world.World{At: s.Start}
	for _, n := range s.Nodes {
		name, group := n.Node.Name, timeline.LastPart(s.expects(n.Node.Name))
		if group != "" {
			name = "a new node of " + group
		}
		node := &world.Node{Node: shape.OfNode(&n.Node, autoscalersTaints...), Name: name, Group: group, WasReady: true, Ready: true, Used: requested(n.Pods)}
		for i := range n.Pods {
			node.Pods = append(node.Pods, &world.Pod{Pod: shape.OfPod(&n.Pods[i]), Name: podName(&n.Pods[i]), Node: n.Node.Name})
		}
		w.Nodes = append(w.Nodes, node)
	}
	return w
}

// settled is how long after a snapshot the record is complete to the snapshot's time.
const settled = lag

// NodeDifferences returns the differences of Compare between the nodes.
func (s *Snapshot) NodeDifferences(facts []timeline.Fact) []Difference {
	return slices.DeleteFunc(Compare(s, facts, s.End.Add(settled)), func(d Difference) bool { return d.What != "node" })
}
