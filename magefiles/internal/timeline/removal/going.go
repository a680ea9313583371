package removal

import (
	"fmt"
	"strings"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/world"
)

// Going is what the removal of a node that is under way waits for.
type Going struct {
	// Text is the step, and Details what the step waits for.
	Text    string
	Details []fit.Obstacle
}

// step is a step in the deletion of a Machine.
type step struct {
	text string
	// hooks begins the annotations of the hooks that it waits for, if it waits for hooks.
	hooks string
	// drains is set if it waits for pods.
	drains bool
	// external returns the provider's object that the step waits for. It is nil if the step waits for none.
	external func(*world.Machine) *world.External
}

// reports returns the problems of the provider's object that the step waits for.
func (s step) reports(m *world.Machine) []string {
	if s.external == nil {
		return nil
	}
	return s.external(m).Reports()
}

// steps are the steps in the deletion of a Machine, by the reason of its condition Deleting.
// Source: api/core/v1beta2/machine_types.go of Cluster API v1.14.2.
var steps = map[string]step{
	clusterv1.MachineDeletingWaitingForPreDrainHookReason:           {text: "a hook before the drain", hooks: clusterv1.PreDrainDeleteHookAnnotationPrefix},
	clusterv1.MachineDeletingDrainingNodeReason:                     {text: "Cluster API's drain of the node", drains: true},
	clusterv1.MachineDeletingWaitingForVolumeDetachReason:           {text: "its volumes to be detached"},
	clusterv1.MachineDeletingWaitingForPreTerminateHookReason:       {text: "a hook before its infrastructure is deleted", hooks: clusterv1.PreTerminateDeleteHookAnnotationPrefix},
	clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason: {text: "its infrastructure to be deleted", external: func(m *world.Machine) *world.External { return m.Infrastructure }},
	clusterv1.MachineDeletingWaitingForBootstrapDeletionReason:      {text: "its bootstrap configuration to be deleted", external: func(m *world.Machine) *world.External { return m.Bootstrap }},
	clusterv1.MachineDeletingDeletingNodeReason:                     {text: "its Node to be deleted"},
}

// GoingOf returns what the removal of a node and its Machine waits for, of which one may be
// nil. It returns nil if no removal is under way.
func GoingOf(w *world.World, n *world.Node, m *world.Machine) *Going {
	switch {
	case m != nil && m.Deletion != nil:
		return deletion(w, n, m)
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
		g := &Going{Text: fmt.Sprintf("the autoscaler drains it, and gives its pods %s to end (%s)", limit.Words(), limit.By), Details: drained(w, n, w.Expendable)}
		if len(g.Details) == 0 {
			g.Text = "the autoscaler deletes it; no pod that it must evict is on record, and its Machine is not marked yet"
		}
		return g
	}
	return nil
}

// deletion returns what the deletion of a Machine waits for.
func deletion(w *world.World, n *world.Node, m *world.Machine) *Going {
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
		g.Details = append(g.Details, fit.Obstacle{Text: strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(item), "*"))})
	}
	for _, report := range known.reports(m) {
		g.Details = append(g.Details, fit.Obstacle{Text: report})
	}
	for _, hook := range d.Hooks {
		if prefix, name, _ := strings.Cut(hook, "/"); prefix == known.hooks {
			g.Details = append(g.Details, obstacle("the hook "+name, fmt.Sprintf("its owner removes the annotation %s from the Machine %s", hook, m.Name)))
		}
	}
	if known.drains && n != nil {
		g.Details = append(g.Details, drained(w, n, func(*world.Pod) bool { return false })...)
	}
	return g
}

// drained returns the pods that a drain of the node waits for, without those that it leaves.
func drained(w *world.World, n *world.Node, leaves func(*world.Pod) bool) []fit.Obstacle {
	var found []fit.Obstacle
	for _, p := range n.Pods {
		if p.Mirror() || p.OfDaemonSet() || leaves(p) {
			continue
		}
		o := fit.Obstacle{Text: "it has not been evicted yet"}
		if !p.Deleted.IsZero() {
			o.Text = fmt.Sprintf("it is being deleted, and has until %s to end", timeline.Clock(p.Deleted))
		} else {
			for _, b := range budgets(w, p) {
				if held := blocks(b); held != nil {
					o = *held
					break
				}
			}
		}
		o.Text = p.Name + ": " + o.Text
		found = append(found, o)
	}
	return found
}
