package scenario

import (
	"fmt"
	"strings"
)

// String returns the check in words. Numbers relative to ${nodes} count from zero.
func (c Check) String() string { return c.Text(0) }

// Text returns the check in words. nodes is how many nodes the cluster had before
// the first step.
func (c Check) Text(nodes int) string {
	switch {
	case c.Pods != nil:
		return "pods of " + c.Pods.Of + ": " + c.Pods.text()
	case c.Group != nil:
		return "group " + c.Group.Name + ": " + c.Group.text()
	case c.Nodes != nil:
		return c.Nodes.Text(nodes) + " nodes in the cluster"
	case c.Said != nil:
		return c.Said.text()
	default:
		var parts []string
		for _, inner := range c.Order {
			parts = append(parts, inner.Text(nodes))
		}
		return "one after the other: " + strings.Join(parts, "; then ")
	}
}

func (p PodsCheck) text() string {
	var parts []string
	add := func(c *Count, what string) {
		if c != nil {
			parts = append(parts, c.String()+" "+what)
		}
	}
	add(p.Running, "running")
	add(p.Pending, "pending")
	where := "nodes with them"
	if p.Group != "" {
		where = "nodes of " + p.Group + " with them"
	}
	add(p.Nodes, where)
	if p.Undisturbed {
		parts = append(parts, "undisturbed")
	}
	if p.Spared {
		parts = append(parts, "on no node that the autoscaler deletes")
	}
	return strings.Join(parts, ", ")
}

func (g GroupCheck) text() string {
	var parts []string
	add := func(c *Count, format string) {
		if c != nil {
			parts = append(parts, fmt.Sprintf(format, c))
		}
	}
	add(g.Size, "size %s")
	add(g.Machines, "%s machines")
	add(g.Ready, "%s nodes ready")
	add(g.Old, "%s machines from before the rollout")
	return strings.Join(parts, ", ")
}

// statements has the statements of the autoscaler in words.
var statements = map[string]string{
	Refused: "refuses to scale up", Kept: "keeps a node", ScaleUp: "scales up",
	ScaleDown: "scales down", Problem: "reports a problem",
}

func (s SaidCheck) text() string {
	text := "the autoscaler " + statements[s.What]
	if s.Pod != "" {
		text += " for pods of " + s.Pod
	}
	if s.Group != "" {
		text += " of group " + s.Group
	}
	if s.Under != "" {
		text += " under pods of " + s.Under
	}
	if s.Text != "" {
		text += fmt.Sprintf(" and says %q", s.Text)
	}
	return text
}
