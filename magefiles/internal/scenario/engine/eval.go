package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
)

// outcome is the result of evaluating a check.
type outcome struct {
	holds bool
	// final is set if the outcome cannot change any more.
	final bool
	// empty is set if the check holds only because there is nothing to evaluate
	// yet.
	empty bool
	// seen describes in words what the check saw.
	seen string
	// at is when the check came true according to a fact. Zero means the time of
	// the change that caused the evaluation.
	at time.Time
}

// eval evaluates a check that is not an order. base is the state when the step
// began. The caller holds w.mu.
func (w *world) eval(c scenario.Check, base baseline) outcome {
	switch {
	case c.Pods != nil:
		return w.evalPods(c.Pods, base)
	case c.Group != nil:
		return w.evalGroup(c.Group)
	case c.Nodes != nil:
		return outcome{holds: c.Nodes.Holds(len(w.nodes), w.nodesBefore), seen: fmt.Sprintf("%d nodes in the cluster", len(w.nodes))}
	case c.Never != nil:
		never := w.evalSaid(c.Never, base)
		never.holds = !never.holds
		return never
	case c.Decisions != nil:
		return w.evalDecisions(c.Decisions, base)
	case c.Object != nil:
		return w.evalObject(c.Object)
	case c.Metric != nil:
		return w.evalMetric(c.Metric)
	default:
		return w.evalSaid(c.Said, base)
	}
}

func (w *world) evalPods(p *scenario.PodsCheck, base baseline) outcome {
	running, pending := 0, 0
	var on, waiting []string
	for _, pod := range w.podsOf(p.Of) {
		switch kube.Field(pod, "status", "phase") {
		case "Running":
			running++
		case "Pending":
			pending++
			waiting = append(waiting, pod.GetName())
		}
		if node := kube.Field(pod, "spec", "nodeName"); node != "" && !slices.Contains(on, node) {
			on = append(on, node)
		}
	}
	seen := fmt.Sprintf("%d running, %d pending", running, pending)
	if len(waiting) > 0 {
		seen += " (" + strings.Join(waiting, ", ") + ")"
	}
	seen += fmt.Sprintf(", on %d nodes", len(on))
	if p.Group != "" {
		here := w.nodesOf(p.Group)
		on = slices.DeleteFunc(on, func(node string) bool { return !slices.Contains(here, node) })
		seen += fmt.Sprintf(", %d of them of %s", len(on), p.Group)
	}
	holds := meets(p.Running, running) && meets(p.Pending, pending) && meets(p.Nodes, len(on))
	if p.Undisturbed {
		before := base.podsOf(w.prefix + p.Of)
		if len(before) == 0 {
			holds = false
			seen += "; there were no pods when the step began"
		}
		for _, pod := range before {
			if what := w.disturbance(pod); what != "" {
				holds = false
				seen += "; " + what
			}
		}
	}
	empty := p.Spared
	if p.Spared {
		// A pod that is being evicted from a chosen node is not spared.
		for _, pod := range w.allPodsOf(p.Of) {
			node := kube.Field(pod, "spec", "nodeName")
			if node == "" {
				continue
			}
			empty = false
			if w.chosenForDeletion(node) {
				holds = false
				seen += fmt.Sprintf("; the autoscaler chose to delete %s, which has pod %s", node, pod.GetName())
			}
		}
	}
	return outcome{holds: holds, empty: empty, seen: seen}
}

// meets reports whether n meets the condition; true for nil. Conditions on pods
// and groups are never relative to ${nodes}.
func meets(c *scenario.Count, n int) bool { return c == nil || c.Holds(n, 0) }

// chosenForDeletion reports whether the autoscaler has chosen to delete a node. The
// caller holds mu.
func (w *world) chosenForDeletion(name string) bool {
	if node := w.nodes[name]; node != nil {
		taints, _, _ := unstructured.NestedSlice(node.Object, "spec", "taints")
		for _, t := range taints {
			if taint, ok := t.(map[string]any); ok && taint["key"] == autoscaler.DeletedTaint {
				return true
			}
		}
	}
	for _, m := range w.machines {
		if _, marked := autoscaler.DeleteMark(m); marked && name != "" && kube.Field(m, "status", "nodeRef", "name") == name {
			return true
		}
	}
	return false
}

// podsOf returns the pods that a workload had, sorted by name.
func (b baseline) podsOf(workload string) []podBefore {
	var all []podBefore
	for uid, p := range b.pods {
		if p.workload == workload {
			all = append(all, podBefore{uid, p})
		}
	}
	slices.SortFunc(all, func(a, b podBefore) int { return strings.Compare(a.pod, b.pod) })
	return all
}

// disturbance says what happened to a pod; empty if the pod is on the same node. The
// caller holds mu.
func (w *world) disturbance(before podBefore) string {
	pod := w.pods[before.pod]
	switch {
	case pod == nil || string(pod.GetUID()) != before.uid:
		return fmt.Sprintf("pod %s, which was on %s, is gone", before.pod, orNothing(before.node))
	case pod.GetDeletionTimestamp() != nil:
		return fmt.Sprintf("pod %s on %s is being deleted", before.pod, orNothing(before.node))
	case before.node != "" && kube.Field(pod, "spec", "nodeName") != before.node:
		return fmt.Sprintf("pod %s was on %s and is on %s", before.pod, before.node, orNothing(kube.Field(pod, "spec", "nodeName")))
	}
	return ""
}

func (w *world) evalGroup(g *scenario.GroupCheck) outcome {
	group := w.groups[w.prefix+g.Name]
	if group == nil {
		return outcome{seen: "no such machine deployment"}
	}
	size := atoi(kube.Field(group, "spec", "replicas"))
	machines := w.machinesOf(g.Name)
	ready, old := 0, 0
	var phases []string
	for _, m := range machines {
		phases = append(phases, fmt.Sprintf("%s %s", m.GetName(), orNothing(kube.Field(m, "status", "phase"))))
		if w.oldMachines[w.prefix+g.Name][string(m.GetUID())] && m.GetDeletionTimestamp() == nil {
			old++
		}
	}
	for _, name := range w.nodesOf(g.Name) {
		if node := w.nodes[name]; node != nil && kube.True(node, "Ready") {
			ready++
		}
	}
	seen := fmt.Sprintf("size %d, %d machines, %d nodes ready", size, len(machines), ready)
	rolled := true
	if g.Old != nil {
		seen += fmt.Sprintf(", %d machines from before the rollout", old)
		if rolled = len(w.oldMachines[w.prefix+g.Name]) > 0; !rolled {
			seen += ", and there were none when it began"
		}
	}
	if len(phases) > 0 {
		seen += " (" + strings.Join(phases, ", ") + ")"
	}
	return outcome{holds: rolled && meets(g.Size, size) && meets(g.Machines, len(machines)) && meets(g.Ready, ready) && meets(g.Old, old), seen: seen}
}

// factWhat has the fact of the timeline for each statement that a check can name.
var factWhat = map[string]string{
	scenario.Refused: timeline.Refused, scenario.Kept: timeline.Kept, scenario.ScaleUp: timeline.ScaleUp,
	scenario.ScaleDown: timeline.ScaleDown, scenario.Problem: timeline.Problem,
}

func (w *world) evalSaid(s *scenario.SaidCheck, base baseline) outcome {
	text := regexp.MustCompile("(?i)" + s.Text) // Parse compiled it
	since := base.at
	if s.What == scenario.Refused || s.What == scenario.Kept || s.What == scenario.Problem {
		since = base.first // the timeline has repeated statements once
	}
	var other []string
	for _, f := range w.factsSince(since) {
		if f.Kind != timeline.Autoscaler || f.What != factWhat[s.What] || !w.isAbout(s, f, base) {
			continue
		}
		if text.MatchString(f.Text) {
			return outcome{holds: true, at: f.Time, seen: "it said: " + f.Text}
		}
		other = append(other, f.Text)
	}
	if len(other) == 0 {
		return outcome{seen: "it did not say that"}
	}
	return outcome{seen: "it said only: " + strings.Join(last(distinct(other), 3), "; ")}
}

// evalDecisions counts the autoscaler's decisions since the step began. The caller holds mu.
func (w *world) evalDecisions(d *scenario.DecisionsCheck, base baseline) outcome {
	if w.decisionsOf != len(w.facts) {
		w.decisions, w.decisionsOf = history.New(w.facts).Decisions, len(w.facts)
	}
	up, down := 0, 0
	var seen []string
	for _, decision := range w.decisions {
		if !decision.At.After(base.at) || !w.isOwn(decision, d.Group) {
			continue
		}
		if decision.Up {
			up++
		} else {
			down++
		}
		seen = append(seen, decision.At.Format(time.TimeOnly)+" "+decision.Words())
	}
	text := fmt.Sprintf("%d to enlarge groups, %d to remove nodes", up, down)
	if len(seen) > 0 {
		text += ": " + strings.Join(last(seen, maxHistory), "; ")
	}
	return outcome{holds: meets(d.Up, up) && meets(d.Down, down), seen: text}
}

// isOwn reports whether a decision is about that group. An empty name means any group. While other
// scenarios run, it means any group of this scenario: a decision whose group is not known yet may
// be about another scenario.
func (w *world) isOwn(d *history.Decision, group string) bool {
	if group != "" {
		return d.IsAbout(w.prefix + group)
	}
	return w.lanes == "" || slices.ContainsFunc(w.own, func(name string) bool { return d.IsAbout(w.prefix + name) })
}

// isAbout reports whether a fact is about what the check names. The caller holds mu.
func (w *world) isAbout(s *scenario.SaidCheck, f timeline.Fact, base baseline) bool {
	if s.Pod != "" {
		_, pod, _ := strings.Cut(f.Name, "/")
		if w.workloadOf[pod] != w.prefix+s.Pod {
			return false
		}
	}
	if s.Group != "" && f.Group != w.prefix+s.Group && f.Name != w.prefix+s.Group && !mentions(f.Text, w.prefix+s.Group) {
		return false
	}
	if s.Under != "" {
		nodes := map[string]bool{}
		for _, p := range w.podsOf(s.Under) {
			nodes[kube.Field(p, "spec", "nodeName")] = true
		}
		for _, p := range base.podsOf(w.prefix + s.Under) {
			nodes[p.node] = true
		}
		delete(nodes, "") // from pending pods
		return nodes[f.Node] || nodes[f.Name]
	}
	return true
}

// mentions reports whether text contains name as a whole word: sc-a-1 does not
// mention sc-a.
func mentions(text, name string) bool {
	return slices.Contains(strings.FieldsFunc(text, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}), name)
}

func distinct(all []string) []string {
	var once []string
	for _, text := range all {
		if !slices.Contains(once, text) {
			once = append(once, text)
		}
	}
	return once
}

func last[T any](all []T, n int) []T { return all[max(len(all)-n, 0):] }

func atoi(text string) int {
	n, _ := strconv.Atoi(text) // empty is none
	return n
}
