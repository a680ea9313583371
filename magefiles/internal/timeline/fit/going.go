package fit

import (
	"fmt"
	"slices"
	"strings"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/timeline"
)

// Going is what the removal of a node that is under way waits for.
type Going struct {
	// Text is the step, and Details what the step waits for.
	Text    string
	Details []Obstacle
}

// step is a step in the deletion of a Machine.
type step struct {
	text string
	// hooks begins the annotations of the hooks that it waits for, if it waits for hooks.
	hooks string
	// drains is set if it waits for pods.
	drains bool
}

// steps are the steps in the deletion of a Machine, by the reason of its condition Deleting.
// Source: api/core/v1beta2/machine_types.go of Cluster API v1.14.2.
var steps = map[string]step{
	clusterv1.MachineDeletingWaitingForPreDrainHookReason:           {text: "a hook before the drain", hooks: clusterv1.PreDrainDeleteHookAnnotationPrefix},
	clusterv1.MachineDeletingDrainingNodeReason:                     {text: "Cluster API's drain of the node", drains: true},
	clusterv1.MachineDeletingWaitingForVolumeDetachReason:           {text: "its volumes to be detached"},
	clusterv1.MachineDeletingWaitingForPreTerminateHookReason:       {text: "a hook before its infrastructure is deleted", hooks: clusterv1.PreTerminateDeleteHookAnnotationPrefix},
	clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason: {text: "its infrastructure to be deleted"},
	clusterv1.MachineDeletingWaitingForBootstrapDeletionReason:      {text: "its bootstrap configuration to be deleted"},
	clusterv1.MachineDeletingDeletingNodeReason:                     {text: "its Node to be deleted"},
}

// MachineOf returns the Machine of a name or, without one, that of a node; nil if it is not
// on record.
func (w *World) MachineOf(machine, node string) *Machine {
	i := slices.IndexFunc(w.machines, func(m *Machine) bool {
		return m.Name == machine && machine != "" || machine == "" && m.Node == node && node != ""
	})
	if i < 0 {
		return nil
	}
	return w.machines[i]
}

// Going returns what the removal of a node and its Machine waits for, of which one may be
// nil. It returns nil if no removal is under way.
func (w *World) Going(n *Node, m *Machine) *Going {
	switch {
	case m != nil && m.Deletion != nil:
		return w.deletion(n, m)
	case m != nil && m.Phase == "Deleting":
		return &Going{Text: fmt.Sprintf("its Machine %s is being deleted; the record does not say what the deletion waits for", m.Name)}
	case m != nil && m.Marked:
		return &Going{Text: fmt.Sprintf("its Machine %s is marked for deletion, and Cluster API has not begun to delete it", m.Name)}
	case n != nil && n.Deleting && w.Autoscaler.Stopped:
		// Source: core/static_autoscaler.go, cleanUpIfRequired.
		return &Going{Text: "the autoscaler marked it for deletion and stopped before it deleted its Machine; an autoscaler that starts removes the mark"}
	case n != nil && n.Deleting:
		limit := w.Autoscaler.Setting("max-graceful-termination-sec")
		limit.Value += "s"
		g := &Going{Text: fmt.Sprintf("the autoscaler drains it, and gives its pods %s to end (%s)", limit.Words(), limit.By), Details: w.drained(n)}
		if len(g.Details) == 0 {
			g.Text = "the autoscaler deletes it; no pod that it must evict is on record, and its Machine is not marked yet"
		}
		return g
	}
	return nil
}

// deletion returns what the deletion of a Machine waits for.
func (w *World) deletion(n *Node, m *Machine) *Going {
	d := m.Deletion
	message, items, _ := strings.Cut(strings.TrimSpace(d.Message), "\n")
	began := fmt.Sprintf("the deletion of its Machine %s began at %s", m.Name, timeline.Clock(d.Since))
	known, ok := steps[d.Step]
	switch {
	case d.Step == "":
		return &Going{Text: began + "; no condition says what it waits for"}
	case !ok:
		return &Going{Text: fmt.Sprintf("%s: %s: %s", began, d.Step, message)}
	}
	g := &Going{Text: fmt.Sprintf("%s, and waits for %s", began, known.text)}
	if message != "" {
		g.Text += ": " + message
	}
	for item := range strings.Lines(items) {
		g.Details = append(g.Details, Obstacle{Text: strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(item), "*"))})
	}
	for _, hook := range d.Hooks {
		if prefix, name, _ := strings.Cut(hook, "/"); prefix == known.hooks {
			g.Details = append(g.Details, Obstacle{"the hook " + name, fmt.Sprintf("its owner removes the annotation %s from the Machine %s", hook, m.Name)})
		}
	}
	if known.drains && n != nil {
		g.Details = append(g.Details, w.drained(n)...)
	}
	return g
}

// drained returns the pods that a drain of the node waits for.
func (w *World) drained(n *Node) []Obstacle {
	var found []Obstacle
	for _, p := range n.Pods {
		if p.Mirror() || p.OfDaemonSet() {
			continue
		}
		o := Obstacle{Text: "it has not been evicted yet"}
		if !p.Deleted.IsZero() {
			o.Text = fmt.Sprintf("it is being deleted, and has until %s to end", timeline.Clock(p.Deleted))
		} else {
			for _, b := range w.budgets(p) {
				if blocks := b.blocks(); blocks != nil {
					o = *blocks
					break
				}
			}
		}
		o.Text = p.Name + ": " + o.Text
		found = append(found, o)
	}
	return found
}
