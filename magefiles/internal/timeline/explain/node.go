package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/removal"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// ofAnotherNode returns whether a statement about a group or about all nodes names another
// node, and not this one.
func (e *explainer) ofAnotherNode(n *history.NodeStory) func(history.Statement) bool {
	nodes := map[string]bool{}
	for _, other := range e.Nodes {
		nodes[other.Name()] = true
	}
	return func(s history.Statement) bool {
		if s.Node != "" {
			return false
		}
		names := speech.Names(s.Text)
		return !slices.Contains(names, n.Name()) && slices.ContainsFunc(names, func(name string) bool { return nodes[name] })
	}
}

// remains writes why a node of a node group that exists is still there, or what its removal
// waits for. It returns false if the record does not tell.
func (e *explainer) remains(ctx context.Context, n *history.NodeStory) bool {
	if !n.Ended().IsZero() {
		return false
	}
	w := e.world()
	node, machine := w.NodeOf(n.Node), w.MachineOf(n.Machine, n.Node)
	if going := removal.GoingOf(w, node, machine); going != nil {
		e.going(going, node)
		return true
	}
	group := w.GroupOf(n.Group)
	if machine != nil && machine.Node == "" {
		if trouble := e.trouble(machine, group); trouble != "" {
			e.printf("\nWhy there is no node: %s.\n  (as of %s, from its %s)\n", timeline.Shorten(trouble, timeline.LongestText), timeline.Clock(w.At), machine.Sources())
			return true
		}
	}
	if node == nil || group == nil || len(e.judge().Outside(group)) > 0 || e.judge().Lost(group) != nil {
		return false
	}
	e.stays(ctx, n, node, group)
	return true
}

// going writes what a removal waits for. The node is nil if it is gone already.
func (e *explainer) going(g *removal.Going, n *world.Node) {
	e.printf("\nWhat its removal waits for: %s.\n", timeline.Shorten(g.Text, timeline.LongestText))
	var changes []string
	for _, o := range g.Details {
		e.printf("  %s\n", timeline.Shorten(o.Text, timeline.LongestText))
		changes = timeline.AppendUnique(changes, timeline.Shorten(o.Change, timeline.LongestText))
	}
	if n == nil {
		e.printf("  (as of %s, from its Machine)\n", timeline.Clock(e.world().At))
	} else {
		e.printf("  (%s)\n", e.nodeBasis(n, "its Machine"))
	}
	e.changeList(changes)
}

// changeList writes what would have to change.
func (e *explainer) changeList(changes []string) {
	if len(changes) > 0 {
		e.printf("\nWhat would have to change\n  %s\n", strings.Join(changes, "\n  "))
	}
}

// stays writes why the autoscaler does not remove a node of a node group.
func (e *explainer) stays(ctx context.Context, story *history.NodeStory, n *world.Node, g *world.Group) {
	w := e.world()
	unasked := e.consult(func(ask fit.Scheduler) error { return removal.Consult(ctx, e.judge(), ask, n) })
	s := removal.Of(e.judge(), n, g)
	e.printf("\nWhy it stays: %s.\n", timeline.Shorten(e.reason(story, n, s), timeline.LongestText))
	e.printf("\nWhat the facts say (%s)\n", e.nodeBasis(n, "its group"))
	least, most := w.Limits(g)
	atMinimum := ""
	if s.AtMinimum != nil {
		atMinimum = ": min reached"
	}
	e.line("group", "%s wants %s; min %d, max %d%s", timeline.Tidy(g.Name), timeline.Plural(g.Wanted, "node"), least, most, atMinimum)
	e.usage(s.Usage)
	name := "pods"
	for _, b := range s.Blockers {
		e.line(name, "%s: %s", timeline.Tidy(b.Pod), b.Text)
		name = ""
	}
	if len(s.Blockers) == 0 {
		e.line(name, "none blocks the removal")
	}
	for _, o := range s.Obstacles {
		if o.Text != s.Usage.String() {
			e.line("node", "%s", o.Text)
		}
	}
	e.timers(n, s.Timers)
	for _, u := range s.Unjudged {
		e.line("not judged", "%s", u)
	}
	if unasked != "" {
		e.line("", notAsked, unasked)
	}
	e.changeList(e.changesFor(s))
}

// line writes a line of what the facts say of a node.
func (e *explainer) line(name, format string, args ...any) {
	e.printf("  %-11s  %s\n", name, timeline.Shorten(fmt.Sprintf(format, args...), timeline.LongestText))
}

// usage writes how much of a node is in use.
func (e *explainer) usage(u removal.Usage) {
	e.line("utilisation", "%s", u)
	var all, without []string
	for _, r := range u.Shares {
		all, without = append(all, fmt.Sprintf("%s %s", r.Name, shape.Percent(r.All))), append(without, fmt.Sprintf("%s %s", r.Name, shape.Percent(r.Without)))
	}
	if u.Devices {
		e.line("", "of a node with devices that pods claim, only these count: %s", strings.Join(all, ", "))
		return
	}
	counts := "all pods count"
	if len(u.Excluded) > 0 {
		counts = strings.Join(u.Excluded, " and ") + " do not count"
	}
	e.line("", "with all pods %s; without DaemonSets and static pods %s; %s", strings.Join(all, ", "), strings.Join(without, ", "), counts)
}

// timers writes which times must pass before a node may go.
func (e *explainer) timers(n *world.Node, timers []removal.Timer) {
	if e.idle() != "" {
		e.line("timers", "they begin when an autoscaler starts") // they are in the memory of a process
		return
	}
	var unknown []string
	for _, t := range timers {
		switch {
		case t.Name == removal.Unneeded:
			e.line(t.Name, "%s", timer(t, e.world().At))
			if t.From.IsZero() && !n.Blocked.IsZero() {
				e.line("", "%s", e.lookAgain(n))
			}
		case t.From.IsZero():
			unknown = append(unknown, t.Name)
		default:
			e.line("cool-down", "%s %s", t.Name, timer(t, e.world().At))
		}
	}
	if len(unknown) > 0 {
		e.line("cool-down", "none on record %s", strings.Join(unknown, ", "))
	}
}

// changesFor returns what would have to change for a node to go.
func (e *explainer) changesFor(s removal.Stay) []string {
	var changes []string
	if e.idle() != "" {
		changes = append(changes, e.aStart())
	}
	for _, o := range s.Obstacles {
		changes = timeline.AppendUnique(changes, timeline.Shorten(o.Change, timeline.LongestText))
	}
	for _, b := range s.Blockers {
		changes = timeline.AppendUnique(changes, timeline.Tidy(b.Pod)+": "+timeline.Shorten(b.Change, timeline.LongestText))
	}
	if s.AtMinimum != nil {
		changes = append(changes, timeline.Shorten(s.AtMinimum.Change, timeline.LongestText))
	}
	return changes
}

// reason returns in a phrase why a node stays, in the order in which the autoscaler judges.
func (e *explainer) reason(story *history.NodeStory, n *world.Node, s removal.Stay) string {
	w := e.world()
	var texts []string
	if idle := e.idle(); idle != "" {
		texts, s.Timers = append(texts, idle), nil
	}
	for _, o := range s.Obstacles {
		texts = append(texts, o.Text)
	}
	for _, b := range s.Blockers {
		texts = append(texts, timeline.Tidy(b.Pod)+" blocks its removal: "+b.Text)
	}
	if s.AtMinimum != nil {
		texts = append(texts, s.AtMinimum.Text)
	}
	for _, t := range s.Timers {
		switch {
		case t.Name == removal.Unneeded && t.From.IsZero() && !n.Blocked.IsZero():
			texts = append(texts, e.lookAgain(n))
		case t.Name == removal.Unneeded && (t.From.IsZero() || t.Until.After(w.At)):
			texts = append(texts, "it must be unneeded for longer: "+timer(t, w.At))
		case t.Until.After(w.At):
			texts = append(texts, "cool-down "+t.Name+" "+timer(t, w.At))
		}
	}
	switch len(texts) {
	case 0:
		if said := e.keeps(story); said != "" {
			return fmt.Sprintf("the autoscaler says: %s (no fact on record shows it)", said)
		}
		if len(s.Unjudged) > 0 {
			return "nothing that the lab judges keeps it; not judged: " + strings.Join(timeline.SomeOf(s.Unjudged, 3), "; ")
		}
		return "by the facts nothing keeps it, and the autoscaler may remove it in its next loop"
	case 1:
		return texts[0]
	}
	return fmt.Sprintf("%s; %s", texts[0], timeline.Plural(len(texts)-1, "more reason"))
}

// keeps returns the last reason that the running autoscaler logged for keeping a node. It is empty if
// that reason ended two scan intervals ago or earlier. A statement that the autoscaler repeats is recorded
// once, and holds until the autoscaler says something else of the node, or does not repeat it after a
// decision.
func (e *explainer) keeps(n *history.NodeStory) string {
	w, runs := e.world(), e.Runs
	all := slices.DeleteFunc(e.NodeWhy(n).Kept, func(s history.Statement) bool {
		return s.Node == "" || len(runs) == 0 || s.Last.Before(runs[len(runs)-1].From)
	})
	if len(all) == 0 {
		return ""
	}
	last := slices.MaxFunc(all, func(a, b history.Statement) int { return a.Last.Compare(b.Last) })
	scan, _ := w.Autoscaler.Setting("scan-interval").Duration()
	if w.At.Sub(last.Until) >= 2*scan || strings.HasPrefix(last.Text, "was unneeded for ") { // the timers have that
		return ""
	}
	return timeline.Shorten(last.Text, timeline.LongestHover)
}

// lookAgain returns when the autoscaler looks at a node again that a pod blocked.
func (e *explainer) lookAgain(n *world.Node) string {
	again := e.world().Autoscaler.Setting("unremovable-node-recheck-timeout")
	return fmt.Sprintf("at %s a pod blocked it; the autoscaler looks at such a node again after %s (%s)", timeline.Clock(n.Blocked), again.Words(), again.By)
}

// timer returns a timer in words, without its name.
func timer(t removal.Timer, now time.Time) string {
	since, needs := timeline.Clock(t.From), fmt.Sprintf("%s (%s)", timeline.DurationText(t.Needs), t.By)
	if t.OfLoop {
		since += " (the loop's start)"
	}
	switch {
	case t.From.IsZero():
		return "the autoscaler has not found it unneeded yet, and waits " + needs + " from then on"
	case t.Until.After(now):
		return fmt.Sprintf("since %s, needs %s: %s more, until %s", since, needs, timeline.DurationText(t.Until.Sub(now)), timeline.Clock(t.Until))
	}
	return fmt.Sprintf("since %s, needed %s, and was over at %s", since, needs, timeline.Clock(t.Until))
}

// nodeBasis returns from what the facts about a node are.
func (e *explainer) nodeBasis(n *world.Node, other string) string {
	w := e.world()
	text := fmt.Sprintf("as of %s, from its %s, %s", timeline.Clock(w.At), timeline.Plural(len(n.Pods), "pod"), other)
	if w.BudgetsKnown {
		text += ", " + timeline.Plural(len(w.Budgets), "PodDisruptionBudget")
	}
	text += filtersText(removal.Filters(e.judge(), n))
	if w.Autoscaler.Known {
		return text + " and the flags of " + w.Autoscaler.Title()
	}
	return text + "; the autoscaler's flags are not on record, and the defaults are assumed"
}
