package history

import (
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/timeline"
)

// NodeStory is what happened to a machine and its node.
type NodeStory struct {
	// Machine and Node are their names; one of them may be unknown.
	Machine, Node string
	Group         string
	// Spans follow each other without a gap.
	Spans []Span
	// Times of what happened, zero if not on record. Chosen is when the autoscaler or
	// somebody else decided to delete the node.
	Created, Joined, Ready, Chosen, NodeGone, Gone time.Time
	// Phases of the Machine, by time.
	Phases []Span
	// Pods that were scheduled on it, by time.
	Pods []*PodStory

	machineUID, nodeUID              string
	phase                            string
	isReady, notReady, cordoned      bool
	candidate, toBeDeleted, vanished bool
}

// Name returns the name of the node, or of the machine if it has no node.
func (n *NodeStory) Name() string {
	if n.Node != "" {
		return n.Node
	}
	return n.Machine
}

// Began returns the time of the first fact about it.
func (n *NodeStory) Began() time.Time { return began(n.Spans) }

// Ended returns when it was gone, zero if it was there at the record's end.
func (n *NodeStory) Ended() time.Time { return ended(n.Spans) }

// hasName reports whether its node or its machine has that name.
func (n *NodeStory) hasName(name string) bool {
	return name != "" && (n.Node == name || n.Machine == name)
}

func (b *builder) addNode(f timeline.Fact) {
	n := b.nodeOf(f)
	if f.Group != "" {
		n.Group = f.Group
	}
	if f.Kind == timeline.Machine {
		n.Machine = f.Name
		if f.UID != "" {
			n.machineUID = f.UID
		}
		if f.Node != "" {
			n.Node = f.Node
			b.nodes[f.Node] = n
		}
	} else {
		n.Node = f.Name
		if f.UID != "" {
			n.nodeUID = f.UID
		}
	}
	if f.What == timeline.Gone && len(n.Spans) == 0 {
		// No other fact is about it.
		n.enter(f)
	}
	n.apply(f)
	switch {
	case f.What != timeline.Gone:
		n.enter(f)
	case f.Kind == timeline.Machine || n.Machine == "":
		n.Spans, n.Phases, n.Gone = closeLastSpan(n.Spans, f.Time), closeLastSpan(n.Phases, f.Time), f.Time
	case !n.Gone.IsZero():
		// The node outlived its machine.
		n.Gone = f.Time
		n.Spans[len(n.Spans)-1].To = f.Time
	default:
		n.vanished = true
		n.enter(f)
	}
}

// enter begins a span of the present state.
func (n *NodeStory) enter(f timeline.Fact) {
	if !n.Gone.IsZero() {
		return
	}
	text := f.Text
	if f.What == timeline.Untainted {
		text = "" // the taint is no reason any more
	}
	n.Spans = openSpan(n.Spans, n.state(), f.Time, text)
}

// nodeOf finds the story that a fact about a machine or node belongs to, or
// begins one.
func (b *builder) nodeOf(f timeline.Fact) *NodeStory {
	mine, other, uid := b.nodes, b.machines, func(n *NodeStory) *string { return &n.nodeUID }
	if f.Kind == timeline.Machine {
		mine, other, uid = b.machines, b.nodes, func(n *NodeStory) *string { return &n.machineUID }
	}
	if n := mine[f.UID]; f.UID != "" && n != nil {
		return n
	}
	n := mine[f.Name]
	if n != nil && f.What != timeline.Moved && (*uid(n) != "" && f.UID != "" || !n.Gone.IsZero() && (f.What == timeline.Created || f.What == timeline.Joined)) {
		n = nil // it is another of the same name
	}
	if n == nil {
		n = b.counterpart(f, other)
	}
	if n == nil {
		n = &NodeStory{}
		b.Nodes = append(b.Nodes, n)
	}
	mine[f.Name] = n
	if f.UID != "" {
		*uid(n), mine[f.UID] = f.UID, n
	}
	return n
}

// counterpart returns, for the first fact about a machine, the story of its node, and
// for the first fact about a node, the story of its machine; nil if there is none. A
// node usually, but not always, has the name of its machine.
func (b *builder) counterpart(f timeline.Fact, other map[string]*NodeStory) *NodeStory {
	for _, name := range append([]string{f.Node, f.Name}, b.machineOf[f.Name]...) {
		n := other[name]
		if name == "" || n == nil || !n.Gone.IsZero() {
			continue
		}
		if f.Kind == timeline.Machine && n.Machine == "" || f.Kind == timeline.Node && (n.Node == "" || n.Node == f.Name) {
			return n
		}
	}
	return nil
}

// node returns the story of a node that a fact of the autoscaler or of a pod names.
func (b *builder) node(name string, f timeline.Fact) *NodeStory {
	for _, known := range []map[string]*NodeStory{b.nodes, b.machines} {
		if n := known[name]; n != nil {
			return n
		}
	}
	// It exists, though nothing else is on record.
	n := &NodeStory{Node: name, Group: f.Group, isReady: true}
	n.Spans = openSpan(nil, Ready, f.Time, "")
	b.nodes[name] = n
	b.Nodes = append(b.Nodes, n)
	return n
}

// apply sets what a fact changes.
func (n *NodeStory) apply(f timeline.Fact) {
	first := func(t *time.Time) {
		if t.IsZero() {
			*t = f.Time
		}
	}
	switch f.What {
	case timeline.Created:
		first(&n.Created)
	case timeline.Phase:
		n.phase = f.Text
		n.Phases = openSpan(n.Phases, State(f.Text), f.Time, "")
		if n.phase == "Deleting" {
			first(&n.Chosen)
		}
	case timeline.Marked:
		n.toBeDeleted = true
		first(&n.Chosen)
	case timeline.Unmarked:
		n.giveUp()
	case timeline.Joined:
		first(&n.Joined)
		n.vanished = false
	case timeline.Ready:
		first(&n.Ready)
		n.isReady, n.notReady = true, false
	case timeline.NotReady:
		n.notReady = n.isReady
		n.isReady = false
	case timeline.Cordoned, timeline.Uncordoned:
		n.cordoned = f.What == timeline.Cordoned
	case timeline.Tainted, timeline.Untainted:
		on := f.What == timeline.Tainted
		if strings.Contains(f.Text, autoscaler.CandidateTaint) || f.Text == "" && !on {
			n.candidate = on
		}
		if strings.Contains(f.Text, autoscaler.DeletedTaint) || f.Text == "" && !on {
			if on {
				n.toBeDeleted = true
				first(&n.Chosen)
			} else {
				n.giveUp()
			}
		}
	case timeline.Gone:
		if f.Kind == timeline.Node {
			first(&n.NodeGone)
		}
	}
}

// giveUp notes that the autoscaler does not delete it after all, unless its machine is being
// deleted already.
func (n *NodeStory) giveUp() {
	n.toBeDeleted = false
	if n.phase != "Deleting" {
		n.Chosen = time.Time{}
	}
}

// state returns the state by all facts so far.
func (n *NodeStory) state() State {
	switch {
	case n.toBeDeleted || n.phase == "Deleting" || n.phase == "Deleted":
		return Deleting
	case n.phase == "Failed":
		return Failed
	case n.vanished || n.notReady:
		return NotReady
	case n.isReady || n.phase == "Running" && n.Joined.IsZero():
		if n.cordoned || n.candidate {
			return Unneeded
		}
		return Ready
	case !n.Joined.IsZero() || n.phase == "Provisioned":
		return Joining
	case n.Machine == "":
		return Joining
	}
	return Provisioning
}

// nodeAt returns the node of a name that existed at a time, or else the last one before
// that time.
func (m *Model) nodeAt(name string, at time.Time) *NodeStory {
	var found *NodeStory
	for _, n := range m.index.nodes[name] {
		found = n
		if end := n.Ended(); end.IsZero() || !end.Before(at) {
			break
		}
	}
	return found
}

// NodesNamed returns the stories of the nodes and machines of a name, by time.
func (m *Model) NodesNamed(name string) []*NodeStory {
	return slices.DeleteFunc(slices.Clone(m.Nodes), func(n *NodeStory) bool { return !n.hasName(name) })
}
