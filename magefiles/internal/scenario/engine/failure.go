package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/timeline"
)

// lastMinute is how much of the timeline a failure shows.
const lastMinute = time.Minute

// checkError is returned when a check did not hold. Any other error comes from the
// lab, from the cluster or from a crash of the autoscaler.
type checkError struct{ text string }

func (e *checkError) Error() string { return e.text }

// failure describes a check that did not hold: what was expected, what was seen, how
// it changed, what the autoscaler said, and what happened in the last minute, but not
// what happened before the scenario began.
func (e *engine) failure(c *watch) *checkError {
	w := e.w
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	clock := func(t time.Time) string { return t.Format(time.TimeOnly) }
	wanted := c.check.Text(w.nodesBefore)
	switch {
	case c.broken != nil && c.stay:
		fmt.Fprintf(&b, "did not stay so: %s\n  seen at %s: %s\n", wanted, clock(c.broken.at), c.broken.text)
		if c.broken.cause != "" {
			fmt.Fprintf(&b, "  by: %s\n", c.broken.cause)
		} else {
			fmt.Fprintf(&b, "  it was not so from the beginning\n")
		}
	case c.broken != nil:
		fmt.Fprintf(&b, "came in another order: %s\n  seen: %s\n", wanted, c.broken.text)
	default:
		fmt.Fprintf(&b, "did not come true within %s: %s\n  seen: %s\n", time.Duration(c.check.Within), wanted, c.history[len(c.history)-1].text)
		if c.late != nil {
			fmt.Fprintf(&b, "  it came true at %s, %s too late\n", clock(c.late.at), c.late.at.Sub(c.limit).Round(time.Millisecond))
		}
	}
	if len(c.history) > 1 {
		fmt.Fprintf(&b, "  how it changed:\n")
		for _, s := range c.history {
			line := fmt.Sprintf("    %s %s", clock(s.at), s.text)
			if s.cause != "" {
				line += "  (" + s.cause + ")"
			}
			fmt.Fprintln(&b, line)
		}
	}
	reasons := w.reasons(c.check)
	if len(reasons) == 0 {
		fmt.Fprintf(&b, "  the autoscaler said nothing since %s\n", clock(w.began))
	} else {
		fmt.Fprintf(&b, "  the autoscaler said:\n")
		for _, f := range reasons {
			fmt.Fprintf(&b, "    %s %s\n", clock(f.Time), factLine(f))
		}
	}
	since, title := w.now().Add(-lastMinute), "the last minute"
	if w.began.After(since) {
		// What happened before belongs to another scenario.
		since, title = w.began, "since the scenario began"
	}
	if recent := w.factsSince(since); e.o.WriteFacts != nil && len(recent) > 0 {
		fmt.Fprintf(&b, "  %s:\n", title)
		var lines strings.Builder
		e.o.WriteFacts(&lines, recent)
		fmt.Fprintln(&b, indent(strings.TrimRight(lines.String(), "\n"), "    "))
	}
	return &checkError{strings.TrimRight(b.String(), "\n")}
}

// factLine returns a fact about the autoscaler in one line.
func factLine(f timeline.Fact) string {
	parts := []string{f.What}
	for _, part := range []string{f.Name, f.Group, f.Node} {
		if part != "" && !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	text := strings.Join(parts, " ")
	if f.N != nil {
		text += fmt.Sprintf(" to %d", *f.N)
	}
	if f.Text != "" {
		text += ": " + f.Text
	}
	return text
}

// maxReasons is the maximum number of statements of the autoscaler in a failure.
const maxReasons = 8

// reasons returns the last statements of the autoscaler about the objects of the check,
// each once; if there are none, its last statements about anything. The caller holds mu.
func (w *world) reasons(c scenario.Check) []timeline.Fact {
	relatedNames := w.relatedNames(c)
	var related, all []timeline.Fact
	seen := map[string]bool{}
	for _, f := range slices.Backward(w.factsSince(w.began)) {
		if f.Kind != timeline.Autoscaler || !isReason(f.What) {
			continue
		}
		if key := factLine(f); seen[key] {
			continue
		} else {
			seen[key] = true
		}
		all = append(all, f)
		_, pod, _ := strings.Cut(f.Name, "/")
		if slices.ContainsFunc([]string{f.Name, pod, f.Group, f.Node}, func(name string) bool { return relatedNames[name] }) {
			related = append(related, f)
		}
	}
	if len(related) == 0 {
		related = all
	}
	related = related[:min(len(related), maxReasons)]
	slices.Reverse(related)
	return related
}

// isReason reports whether a fact may explain why something did not hold.
func isReason(what string) bool {
	for _, fact := range factWhat {
		if what == fact {
			return true
		}
	}
	return what == timeline.Started || what == timeline.Stopped
}

// relatedNames returns the names of the pods, groups and nodes that a check is about. The
// caller holds mu.
func (w *world) relatedNames(c scenario.Check) map[string]bool {
	relatedNames := map[string]bool{}
	workload := func(name string) {
		for pod, owner := range w.workloadOf {
			if name != "" && owner == w.prefix+name {
				relatedNames[pod] = true
			}
		}
		for _, p := range w.podsOf(name) {
			if node := kube.Field(p, "spec", "nodeName"); node != "" {
				relatedNames[node] = true
			}
		}
	}
	group := func(name string) {
		if name == "" {
			return
		}
		relatedNames[w.prefix+name] = true
		for _, node := range w.nodesOf(name) {
			relatedNames[node] = true
		}
	}
	switch {
	case c.Pods != nil:
		workload(c.Pods.Of)
		group(c.Pods.Group)
	case c.Group != nil:
		group(c.Group.Name)
	case c.Never != nil:
		return w.relatedNames(scenario.Check{Said: c.Never})
	case c.Decisions != nil:
		group(c.Decisions.Group)
	case c.Said != nil:
		workload(c.Said.Pod)
		workload(c.Said.Under)
		group(c.Said.Group)
	}
	for _, inner := range c.Order {
		for name := range w.relatedNames(inner) {
			relatedNames[name] = true
		}
	}
	return relatedNames
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(text, "\n", "\n"+by)
}
