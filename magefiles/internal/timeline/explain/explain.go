// Package explain says in words what happened to a pod, a node or a group, and why, and the
// state of the autoscaler. What the facts say decides; what the autoscaler said supports it.
package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/render"
	"caslab/magefiles/internal/timeline/snapshot"
	"caslab/magefiles/internal/timeline/world"
)

// ErrNotOnRecord is returned when no fact mentions the name.
var ErrNotOnRecord = errors.New("not on record")

// Check returns an error for a text that names no pod, node or group, and not the
// autoscaler, as Text reads it.
func Check(what string) error {
	if what == autoscalerWord {
		return nil
	}
	kind, name, found := strings.Cut(what, "/")
	if !found || name == "" {
		return fmt.Errorf("explain %q: want pod/NAME, pod/NAMESPACE/NAME, node/NAME, group/NAME or autoscaler", what)
	}
	if !slices.Contains(slices.Concat(podKinds, nodeKinds, groupKinds), kind) {
		return fmt.Errorf("explain %q: %q is none of pod, node and group", what, kind)
	}
	return nil
}

// Kinds that users may write before the name of an object.
var podKinds, nodeKinds, groupKinds = []string{"pod", "pods"}, []string{"node", "nodes", "machine", "machines"}, []string{"group", "groups"}

// Options of Text.
type Options struct {
	// Now is when the record was complete. If it is zero or before the last fact, the record
	// ends with that fact. A recorder adds a fact only when something changes, so the last
	// one may be old.
	Now time.Time
	// Start is what to type to start an autoscaler. If it is empty, no answer says how to
	// start one.
	Start string
	// Snapshot is the last debugging snapshot of the autoscaler on record, nil if there is none.
	Snapshot *snapshot.Snapshot
	// Scheduler asks the filters of the scheduler. It is called only for an answer that depends on
	// what the lab does not judge itself. nil means that they cannot be asked.
	Scheduler fit.Scheduler
}

// Text returns what happened to pod/NAME, pod/NAMESPACE/NAME, node/NAME, group/NAME or the
// autoscaler, and why, in words for a terminal. Times of day are in the time zone of the
// lab.
func Text(ctx context.Context, facts []timeline.Fact, what string, o Options) (string, error) {
	if err := Check(what); err != nil {
		return "", err
	}
	kind, name, _ := strings.Cut(what, "/")
	byTime := slices.SortedStableFunc(slices.Values(facts), func(a, b timeline.Fact) int { return a.Time.Compare(b.Time) })
	e := &explainer{Options: o, facts: byTime}
	if len(facts) > 0 && slices.Contains(podKinds, kind) {
		facts = slices.Concat(facts, e.ofShapes(name))
	}
	m := history.Until(o.Now, facts)
	if len(m.Facts) == 0 {
		return "", fmt.Errorf("explain %s: %w: %w", what, ErrNotOnRecord, timeline.ErrNoRecord)
	}
	e.Model = m
	switch {
	case what == autoscalerWord:
		e.autoscaler()
	case slices.Contains(podKinds, kind):
		stories := m.PodsNamed(name)
		if len(stories) == 0 {
			return "", unknownName(what, "pod", name, names(m.Pods, func(p *history.PodStory) string { return p.Name }))
		}
		for _, p := range stories {
			e.pod(ctx, p)
		}
	case slices.Contains(nodeKinds, kind):
		stories := m.NodesNamed(name)
		if len(stories) == 0 {
			return "", unknownName(what, "node", name, names(m.Nodes, (*history.NodeStory).Name))
		}
		for _, n := range stories {
			e.node(ctx, n)
		}
	default:
		i := slices.IndexFunc(m.Groups, func(g *history.GroupStory) bool { return g.Name == timeline.LastPart(name) })
		if i < 0 {
			return "", unknownName(what, "group", name, names(m.Groups, func(g *history.GroupStory) string { return g.Name }))
		}
		e.group(m.Groups[i])
	}
	return e.out.String(), nil
}

func names[S any](stories []S, name func(S) string) []string {
	var all []string
	for _, s := range stories {
		all = timeline.AppendUnique(all, name(s))
	}
	return all
}

// maxSuggestions is the largest number of names that an error lists.
const maxSuggestions = 8

// unknownName returns an error that lists similar names, or else the last known ones.
func unknownName(what, kind, name string, known []string) error {
	if len(known) == 0 {
		return fmt.Errorf("explain %s: no %s is on record: %w", what, kind, ErrNotOnRecord)
	}
	type candidate struct {
		name     string
		distance int
	}
	var all []candidate
	for _, k := range known {
		d := levenshtein.ComputeDistance(strings.ToLower(timeline.LastPart(name)), strings.ToLower(timeline.LastPart(k)))
		if strings.Contains(k, name) {
			d = 0
		}
		all = append(all, candidate{k, d})
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var list []string
	for _, n := range all {
		if n.distance <= max(3, len(name)/3) && len(list) < maxSuggestions {
			list = append(list, kind+"/"+timeline.Tidy(n.name))
		}
	}
	if len(list) > 0 {
		return fmt.Errorf("explain %s: %w; there is %s", what, ErrNotOnRecord, strings.Join(list, ", "))
	}
	for _, k := range known[max(0, len(known)-maxSuggestions):] {
		list = append(list, kind+"/"+timeline.Tidy(k))
	}
	return fmt.Errorf("explain %s: %w; the last of %s are %s", what, ErrNotOnRecord, timeline.Plural(len(known), kind), strings.Join(list, ", "))
}

// explainer writes answers.
type explainer struct {
	*history.Model
	Options
	// facts are all of the record by time, with shapes.
	facts []timeline.Fact
	// latest judges the cluster at the record's end, nil before judge makes it.
	latest *fit.Judge
	out    strings.Builder
}

// world returns the cluster at the record's end.
func (e *explainer) world() *world.World { return e.judge().World }

// judge returns the judge of the cluster at the record's end.
func (e *explainer) judge() *fit.Judge {
	if e.latest == nil {
		// The history has no shapes, and ends before the last of them.
		end := e.facts[len(e.facts)-1].Time
		if e.Now.After(end) {
			end = e.Now
		}
		e.latest = fit.New(world.At(e.facts, end))
	}
	return e.latest
}

func (e *explainer) printf(format string, args ...any) { fmt.Fprintf(&e.out, format, args...) }

// title begins an answer.
func (e *explainer) title(format string, args ...any) {
	if e.out.Len() > 0 {
		e.printf("\n")
	}
	e.printf(format+"\n", args...)
}

// ifHollow writes a line if the machines of a group are hollow.
func (e *explainer) ifHollow(group, line string) {
	if g := e.world().GroupOf(group); g != nil && g.Hollow() {
		e.printf("%s\n", line)
	}
}

// events writes what happened and when, each with the time since the one before.
func (e *explainer) events(list []event) {
	list = slices.DeleteFunc(list, func(m event) bool { return m.at.IsZero() })
	slices.SortStableFunc(list, func(a, b event) int { return a.at.Compare(b.at) })
	for i, m := range list {
		since := ""
		if i > 0 {
			since = "+" + timeline.DurationText(m.at.Sub(list[i-1].at))
		}
		e.printf("  %s  %8s  %s\n", timeline.Clock(m.at), since, m.text)
	}
}

// event is something that happened, in words.
type event struct {
	at   time.Time
	text string
}

// parts writes how long the parts took.
func (e *explainer) parts(parts []history.Part) {
	if len(parts) == 0 {
		return
	}
	e.printf("\nHow long it took\n")
	for _, p := range parts {
		e.printf("  %-40s %9s\n", p.Name, timeline.DurationText(p.Took()))
	}
	if len(parts) > 1 {
		e.printf("  %-40s %9s\n", "together", timeline.DurationText(parts[len(parts)-1].To.Sub(parts[0].From)))
	}
}

// statements writes what was said, each with its times and count.
func (e *explainer) statements(title string, list []history.Statement, subject func(history.Statement) string) {
	if len(list) == 0 {
		return
	}
	e.printf("\n%s\n", title)
	for _, s := range list {
		until, often := "", ""
		if s.Until.Sub(s.First) >= time.Second {
			until = "– " + timeline.Clock(s.Until)
		}
		if s.Count > 1 {
			often = fmt.Sprintf("%d×", s.Count)
		}
		text := s.Words()
		if about := timeline.Tidy(subject(s)); about != "" && !timeline.Mentions(text, about) {
			text = about + ": " + text
		}
		e.printf("  %s %-10s %5s %s %s\n", timeline.Clock(s.First), until, often, render.Mark(timeline.Fact{Kind: timeline.Autoscaler, What: s.What}), text)
	}
}

func (e *explainer) pod(ctx context.Context, p *history.PodStory) {
	w := e.PodWhy(p)
	verdict, facts := e.verdict(ctx, w)
	e.title("pod %s %s.", timeline.Tidy(p.Name), verdict)
	if w.Node != nil {
		e.ifHollow(w.Node.Group, "Its node is hollow: the pod only seems to run.")
	}
	e.printf("\n")
	list := []event{{p.Created, "created"}, {p.Scheduled, "scheduled on " + timeline.Tidy(p.Node)}, {p.Running, "running"}, {p.Evicted, "evicted"}, {p.Gone, "gone"}, {p.Lost, "from here on, the autoscaler no longer mentions it"}}
	if p.Created.IsZero() {
		list = append(list, event{p.Began(), "first mentioned; its creation is not on record"})
	}
	if !p.Unschedulable.IsZero() {
		text := "unschedulable"
		if len(w.Scheduler) > 0 {
			text = strings.TrimSuffix(text+": "+timeline.Shorten(w.Scheduler[0].Text, timeline.LongestText), ": ")
		}
		list = append(list, event{p.Unschedulable, text})
	}
	if d := w.Decision; d != nil {
		list = append(list, event{d.At, "▲ the autoscaler enlarges " + d.Where()})
	}
	if n := w.Node; n != nil && w.NewNode {
		list = append(list, event{n.Created, "machine " + timeline.Tidy(cmp.Or(n.Machine, n.Node)) + " created"}, event{n.Joined, "its node joined"}, event{n.Ready, "its node is Ready"})
	}
	e.events(list)
	if facts != nil {
		e.matrix(facts)
	} else if p.Pending() {
		e.printf("\nThe record does not have what the pod asks for: an older lab made it.\n")
	}
	e.parts(w.Parts)
	e.statements("What the scheduler said", ifSeveral(w.Scheduler), func(history.Statement) string { return "" })
	e.statements("What the autoscaler said meanwhile", w.Autoscaler, func(s history.Statement) string {
		if s.Node != "" {
			return "" // the text names it
		}
		return s.Group
	})
	if w.NewNode && w.Decision != nil && w.Node.Group != "" && !w.Decision.GroupUnknown() && !w.Decision.IsAbout(w.Node.Group) {
		e.printf("\nThe decision was to enlarge %s, but the pod was scheduled on a node of %s.\n", w.Decision.Where(), timeline.Tidy(w.Node.Group))
	}
}

// ifSeveral returns the list if it has several statements. A single one is among the events already.
func ifSeveral(list []history.Statement) []history.Statement {
	if len(list) == 1 {
		return nil
	}
	return list
}

func (e *explainer) node(ctx context.Context, n *history.NodeStory) {
	w := e.NodeWhy(n)
	verdict := "has been there since " + timeline.Clock(n.Began())
	if r := w.Removal; r != nil && r.Done {
		verdict = fmt.Sprintf("existed for %s and is gone", timeline.DurationText(n.Ended().Sub(n.Began())))
	} else if r != nil {
		verdict = "is being removed"
	}
	e.title("node %s of %s %s.", timeline.Tidy(n.Name()), cmp.Or(timeline.Tidy(n.Group), "no known group"), verdict)
	e.ifHollow(n.Group, "Its machine is hollow: pods on it only seem to run.")
	e.printf("Where it came from: %s.\n\n", w.Origin)
	e.nodeEvents(n, w)
	outside := e.outside(n)
	if outside != nil {
		// What the autoscaler says of all nodes does not hold for this one.
		w.Kept = slices.DeleteFunc(w.Kept, func(s history.Statement) bool { return s.Node == "" })
		e.printf("\nWhy it stays: it is in no node group: %s.\n", timeline.Shorten(outside.Text, timeline.LongestText))
		if outside.Change != "" {
			e.printf("What would have to change: %s.\n", timeline.Shorten(outside.Change, timeline.LongestText))
		}
	}
	if known := e.remains(ctx, n); !known && outside == nil {
		switch idle := e.idle(); {
		case idle != "" && n.Ended().IsZero():
			e.printf("\nWhy it stays: %s.%s\n", idle, e.toStart())
		case len(w.Kept) == 0:
			e.printf("\nNo reason of the autoscaler for keeping it is on record.\n")
		}
	}
	w.Kept = slices.DeleteFunc(w.Kept, e.ofAnotherNode(n))
	e.statements("Why it was kept", w.Kept, func(history.Statement) string { return "" })
	if r := w.Removal; r != nil {
		verb := "goes"
		if r.Done {
			verb = "went"
		}
		e.printf("\nWhy it %s: %s.\n", verb, strings.TrimSuffix(r.Cause, "."))
		e.parts(r.Parts)
	}
	e.podsOn(n)
}

// nodeEvents writes what happened to a node.
func (e *explainer) nodeEvents(n *history.NodeStory, w history.NodeWhy) {
	list := []event{{n.Created, "machine " + timeline.Tidy(n.Machine) + " created"}, {n.Joined, "node joined"}, {n.Ready, "node is Ready"}, {n.NodeGone, "node gone"}, {n.Gone, "machine gone"}}
	if n.Machine == "" {
		list[0].text, list[4].text = "created", "gone"
	}
	for _, s := range n.Spans {
		switch s.State {
		case history.Unneeded, history.NotReady, history.Deleting, history.Failed:
			text := string(s.State)
			if s.Text != "" {
				text += ": " + timeline.Shorten(s.Text, timeline.LongestText)
			}
			list = append(list, event{s.From, text})
		}
	}
	if w.Removal != nil && w.Removal.Decision != nil {
		list = append(list, event{w.Removal.At, "▼ the autoscaler removes it"})
	}
	e.events(list)
}

// podsOn writes which pods a node has had.
func (e *explainer) podsOn(n *history.NodeStory) {
	if len(n.Pods) > 0 {
		e.printf("\nPods on it\n")
		for _, p := range n.Pods {
			end := "and is there still"
			if at := p.Ended(); !at.IsZero() {
				end = "until " + timeline.Clock(at)
			}
			from := p.Scheduled
			if from.IsZero() {
				from = p.Began()
			}
			e.printf("  %s  %s %s\n", timeline.Clock(from), timeline.Tidy(p.Name), end)
		}
	}
}

// outside returns why a node that exists is in no node group of the autoscaler, nil if it is
// in one, or if the record does not tell.
func (e *explainer) outside(n *history.NodeStory) *fit.Obstacle {
	w := e.world()
	node := w.NodeOf(n.Node)
	if node == nil || !n.Ended().IsZero() {
		return nil
	}
	if n.Group == timeline.ControlPlane {
		return &fit.Obstacle{Text: "it belongs to the control plane"}
	}
	group := w.GroupOf(n.Group)
	if group == nil {
		if n.Group == "" && len(w.Groups) > 0 {
			return &fit.Obstacle{Text: "no MachineDeployment, MachineSet or MachinePool on record has it"}
		}
		return nil
	}
	if all := e.judge().Outside(group); len(all) > 0 {
		all[0].Text = fmt.Sprintf("its %s %s is not a node group: %s", cmp.Or(group.Kind, "MachineDeployment"), timeline.Tidy(n.Group), all[0].Text)
		return &all[0]
	}
	return e.judge().Lost(group)
}

func (e *explainer) group(g *history.GroupStory) {
	wanted, ready, last := g.Now()
	limit := last.String()
	if len(g.Limits) == 0 {
		limit = "its limits are not on record"
	}
	if g.Gone.IsZero() {
		e.title("group %s wants %s and has %s ready; %s.", g.Title(), timeline.NumberOr(wanted, "an unknown number"), timeline.NumberOr(ready, "an unknown number"), limit)
	} else {
		since := ""
		if !g.Created.IsZero() {
			since = " from " + timeline.Clock(g.Created)
		}
		e.title("group %s existed%s until %s; %s.", g.Title(), since, timeline.Clock(g.Gone), limit)
	}
	e.ifHollow(g.Name, "Its machines are hollow: pods on them only seem to run.")
	if idle := e.idle(); idle != "" && g.Gone.IsZero() && last.Set {
		e.printf("%s.%s\n", capitalised(idle), e.toStart())
	}
	if now := e.shapeOf(g); now != nil {
		e.unscaled(now)
	}
	if len(g.Limits) > 1 {
		e.printf("\nLimits\n")
		for _, l := range g.Limits {
			e.printf("  %s  %s\n", timeline.Clock(l.At), l)
		}
	}
	for _, s := range slices.Concat(g.Pauses, e.Pauses) {
		e.printf("Paused from %s for %s%s.\n", timeline.Clock(s.From), timeline.DurationText(s.Took()), andStill(s))
	}
	e.sizes(g)
	e.statements("Refusals and problems", ofSeveralPods(e.Statements(e.From, e.To, func(f timeline.Fact) bool {
		_, _, group := history.About(f)
		return f.Kind == timeline.Autoscaler && (f.What == timeline.Refused || f.What == timeline.Problem) && group == g.Name
	})), func(s history.Statement) string { return s.Pod })
	e.stuck(g)
	e.ofNewNodes(g)
	if len(g.Nodes) > 0 {
		e.printf("\nNodes\n")
		for _, n := range g.Nodes {
			end := "still there"
			if at := n.Ended(); !at.IsZero() {
				end = "until " + timeline.Clock(at)
			}
			e.printf("  %s  %s, %s\n", timeline.Clock(n.Began()), timeline.Tidy(n.Name()), end)
		}
	}
	if now := e.shapeOf(g); now != nil {
		e.groupBasis(now)
	}
}

// sizes writes how a group's size changed, and why.
func (e *explainer) sizes(g *history.GroupStory) {
	changes := e.SizeChanges(g)
	if len(changes) > 0 {
		e.printf("\nSizes\n")
	}
	tugs := history.Tugs(changes)
	for i, c := range changes {
		if len(tugs) > 0 && i > tugs[0].Last {
			tugs = tugs[1:]
		}
		if len(tugs) > 0 && i >= tugs[0].First {
			if t := tugs[0]; i == t.First {
				e.printf("  %s  %-9s %s\n", timeline.Clock(t.From), fmt.Sprintf("%d ⇄ %d", t.Low, t.High), t.Words())
			}
			continue
		}
		size := fmt.Sprintf("%s → %d", timeline.NumberOr(c.From, "?"), c.To)
		if c.From < 0 {
			size = fmt.Sprintf("%d", c.To)
		}
		reason := c.Cause
		if c.From >= 0 && !c.Ready.IsZero() {
			reason += fmt.Sprintf(" (ready after %s)", timeline.DurationText(c.Ready.Sub(c.At)))
		}
		e.printf("  %s  %-9s %s\n", timeline.Clock(c.At), size, reason)
	}
}

// maxPods is the largest number of pods that a statement about several names.
const maxPods = 3

// ofSeveralPods makes one statement of those about different pods with the same words.
func ofSeveralPods(list []history.Statement) []history.Statement {
	type key struct{ what, text string }
	pods, at := map[key][]string{}, map[key]int{}
	var folded []history.Statement
	for _, s := range list {
		k := key{s.What, speech.Normalize(s.Text)}
		i, known := at[k]
		if s.Pod == "" || !known {
			at[k] = len(folded)
			pods[k] = timeline.AppendUnique(nil, s.Pod)
			folded = append(folded, s)
			continue
		}
		all := &folded[i]
		pods[k] = timeline.AppendUnique(pods[k], s.Pod)
		all.Pod = strings.Join(timeline.SomeOf(pods[k], maxPods), ", ")
		all.Count += s.Count
		if s.Until.After(all.Until) {
			all.Until = s.Until
		}
	}
	return folded
}

func andStill(s history.Span) string {
	if s.Open {
		return ", and still is"
	}
	return ""
}
