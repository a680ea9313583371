package world

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
)

// Coming returns the machines of a group whose nodes were never Ready.
func (w *World) Coming(g *Group) []*Machine {
	return slices.DeleteFunc(slices.Clone(g.Machines), func(m *Machine) bool {
		ready := slices.ContainsFunc(g.Nodes, func(n *Node) bool { return n.Name == m.Node && n.WasReady })
		return ready || m.Deletion != nil || m.Phase == "Deleting" || m.Phase == "Failed"
	})
}

// Stuck returns the machines of a group that have failed, or have had no node for long.
func (w *World) Stuck(g *Group) []*Machine {
	return slices.DeleteFunc(slices.Clone(g.Machines), func(m *Machine) bool { return w.Trouble(m) == "" })
}

// Trouble returns why a machine has no node, as a phrase. It is empty unless the machine has
// failed, or has had no node for long.
func (w *World) Trouble(m *Machine) string {
	age := w.At.Sub(m.Created)
	var text string
	switch {
	case m.Deletion != nil || m.Node != "":
		return ""
	case m.Failure != "":
		return "it has failed: " + m.Failure
	case m.Phase == "Failed":
		text = "it has failed"
	case age > SlowMachine:
		text = fmt.Sprintf("it has had no node for %s", timeline.DurationText(age))
	default:
		return ""
	}
	if len(m.Problems) > 0 {
		text += ": " + strings.Join(m.Problems, "; ")
	}
	return text
}

// SlowMachine is the time after which a machine without a node is worth a note.
const SlowMachine = 5 * time.Minute
