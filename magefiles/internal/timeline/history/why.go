package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
)

// Part is one part of a wait or a removal.
type Part struct {
	Name     string
	From, To time.Time
}

// Took returns how long it lasted.
func (p Part) Took() time.Duration { return p.To.Sub(p.From) }

// PodWhy is why a pod waited, and what ended it.
type PodWhy struct {
	Pod *PodStory
	// Waited is how long it had no node.
	Waited time.Duration
	// Scheduler and Autoscaler have what each of them said meanwhile.
	Scheduler, Autoscaler []Statement
	// Decision that gave it a node, nil if none is on record.
	Decision *Decision
	// Node that it was scheduled on, and whether that was created after the pod.
	Node    *NodeStory
	NewNode bool
	// Parts of the time until it ran.
	Parts []Part
	// End says what became of the nodes of the decision, as the end of a sentence about it. It
	// is empty for a pod that does not wait, and while they may still come.
	End string
}

// partEnd is the end of a part, with the part's name. what is what happened then, where the
// next part may be the first one.
type partEnd struct {
	at         time.Time
	part, what string
}

// slack is how far times in whole seconds may be wrong.
const slack = 2 * time.Second

// PodWhys returns why each pod that was unschedulable waited, by their beginnings.
func (m *Model) PodWhys() []PodWhy {
	return slices.Clone(m.podWhys.get(func() []PodWhy {
		var whys []PodWhy
		for _, p := range m.Pods {
			if !p.Unschedulable.IsZero() {
				whys = append(whys, m.PodWhy(p))
			}
		}
		return whys
	}))
}

func (m *Model) PodWhy(p *PodStory) PodWhy {
	from, to := p.Began(), p.Placed()
	if to.IsZero() {
		to = m.To
	}
	w := PodWhy{Pod: p, Waited: to.Sub(from), Node: p.on}
	w.Scheduler = m.statements(to, slices.Values(m.within(from, to, m.index.unschedulable[p.Name])))
	w.NewNode = p.on != nil && !p.on.Created.Before(from.Add(-slack))
	w.Decision = m.decisionFor(p, from, to, w.NewNode)
	w.Autoscaler = lastOfPlans(m.saidOf(p, from.Add(-slack), to, w.Decision))
	w.Parts = w.parts()
	if w.Decision != nil && p.Pending() {
		w.End = m.EndOf(w.Decision, func(*GroupStory) string { return "" })
	}
	return w
}

// EndOf returns what became of the nodes of an enlargement, as the end of a sentence about it. It
// returns an empty text while the end is open for one of its groups. If the record does not say it
// for a group, EndOf asks otherwise. If the record has none of the groups, EndOf asks otherwise
// with nil.
func (m *Model) EndOf(d *Decision, otherwise func(*GroupStory) string) string {
	end, meant := "", false
	for _, g := range m.Groups {
		if !d.IsAbout(g.Name) {
			continue
		}
		meant = true
		if end = cmp.Or(m.endIn(g, d), otherwise(g)); end == "" {
			return ""
		}
	}
	if !meant {
		return otherwise(nil)
	}
	return end
}

// endIn returns what became of the nodes of an enlargement in one of its groups. It is empty
// while the record does not say that.
func (m *Model) endIn(g *GroupStory, d *Decision) string {
	size := d.SizeOf(g.Name)
	for _, l := range g.Ready {
		if l.At.After(d.At) && size >= 0 && l.N >= size {
			return "whose nodes were Ready at " + timeline.Clock(l.At)
		}
	}
	for _, i := range m.index.failures[g.Name] {
		if f := m.Facts[i]; f.Time.After(d.At) {
			return fmt.Sprintf("and its nodes did not come: the scale-up of %s had failed at %s", timeline.Tidy(g.Name), timeline.Clock(f.Time))
		}
	}
	for _, l := range g.Wanted {
		if l.At.After(d.At) && l.N < size {
			return fmt.Sprintf("and its nodes did not come: %s was made smaller, to %d, at %s", timeline.Tidy(g.Name), l.N, timeline.Clock(l.At))
		}
	}
	return ""
}

// failsToGrow reports whether the autoscaler says that it backs off from a group, or that it
// could not enlarge it.
func failsToGrow(f timeline.Fact) bool {
	switch f.What {
	case timeline.Refused:
		return strings.HasPrefix(f.Text, "Disabling scale-up for node group ")
	case timeline.Health:
		return strings.Contains(f.Text, "Backoff")
	case timeline.Problem:
		return strings.HasPrefix(f.Text, "Failed adding ") || strings.HasPrefix(f.Text, "Scale-up timed out ")
	}
	return false
}

// saidOf returns what the autoscaler said of a pod and of the decision for it, and what it
// said of itself and of the whole cluster. What is about other pods or groups is left out:
// "No expansion options" is about the pods of that round, which the autoscaler names.
func (m *Model) saidOf(p *PodStory, from, to time.Time, d *Decision) []Statement {
	tried := false
	isOf := func(i int) bool {
		f := m.Facts[i]
		pod, node, group := About(f)
		ofPod := pod == p.Name
		switch f.What {
		case timeline.Refused:
			tried = tried || ofPod
			return ofPod || tried && pod == "" && node == "" && group == ""
		case timeline.Considered:
			tried = tried || ofPod && !fits(f)
			return ofPod
		case timeline.ScaleUp:
			return ofPod || pod == "" && d != nil && group != "" && d.IsAbout(group) && !f.Time.Before(d.At) && !f.Time.After(d.last)
		case timeline.Problem:
			return ofPod || pod == "" && node == "" && group == "" && (len(m.named[i]) == 0 || slices.Contains(m.named[i], timeline.LastPart(p.Name)))
		case timeline.Started, timeline.Stopped:
			return true
		}
		return false
	}
	facts := m.within(from, to, m.index.saidOfPod[p.Name], m.index.saidOfNoPod)
	return m.statements(to, slices.Values(slices.DeleteFunc(facts, func(i int) bool { return !isOf(i) })))
}

// fits reports whether the autoscaler said that a pod fits on a node that exists.
func fits(f timeline.Fact) bool { return strings.HasPrefix(f.Text, "can be moved to ") }

// lastOfPlans keeps only the last statement of each decision, which is the event that
// names the pod, if there is one. The Decision has all of them.
func lastOfPlans(list []Statement) []Statement {
	var left []Statement
	for i, s := range list {
		again := s.What == timeline.ScaleUp && slices.ContainsFunc(list[i+1:], func(next Statement) bool {
			return next.What == timeline.ScaleUp && next.Group == s.Group && next.First.Sub(s.Last) <= sameDecisionWithin
		})
		if !again {
			left = append(left, s)
		}
	}
	return left
}

// decisionFor returns the last decision that names the pod and came before its new node. If
// there is none, it returns the last one that led to that node.
func (m *Model) decisionFor(p *PodStory, from, to time.Time, newNode bool) *Decision {
	var named, led *Decision
	inTime := func(d *Decision) bool { return d.Up && !d.last.Before(from.Add(-slack)) && !d.At.After(to) }
	early := func(d *Decision) bool { return newNode && !d.At.After(p.on.Began().Add(slack)) }
	for _, d := range m.index.decisions[p.Name] {
		if inTime(d) && (named == nil || early(d) || !newNode) {
			named = d
		}
	}
	if named == nil && newNode {
		for _, d := range m.Decisions {
			if inTime(d) && early(d) && d.IsAbout(p.on.Group) {
				led = d
			}
		}
	}
	switch {
	case named == nil:
		return led
	case newNode:
		return m.partOf(named, p.on.Group)
	}
	return named
}

// partOf returns the decision to enlarge that group which is part of a decision about
// several groups, or else the whole decision: the autoscaler first says its plan for all
// groups, and then the new size of each.
func (m *Model) partOf(whole *Decision, group string) *Decision {
	if whole.Group != "" || !whole.IsAbout(group) {
		return whole
	}
	for _, d := range m.Decisions {
		if d.Up && d.Group == group && !d.At.Before(whole.At.Add(-slack)) && d.At.Sub(whole.At) <= sameDecisionWithin {
			return d
		}
	}
	return whole
}

// parts returns the parts of which both ends are on record.
func (w PodWhy) parts() []Part {
	p := w.Pod
	var moments []partEnd
	if w.Decision != nil {
		moments = append(moments, partEnd{at: w.Decision.At, part: "pending until the decision"})
		if w.NewNode {
			moments = append(moments,
				partEnd{at: w.Node.Created, part: "decision until the machine was created"},
				partEnd{at: w.Node.Joined, part: "machine created until the node joined"},
				partEnd{at: w.Node.Ready, part: "node joined until it was Ready"})
		}
	}
	moments = append(moments, partEnd{at: p.Scheduled, part: "until it was scheduled"}, partEnd{at: p.Running, part: "scheduled until it ran"})
	var parts []Part
	at := p.Began()
	for _, next := range moments {
		if next.at.IsZero() {
			continue
		}
		// A time in whole seconds may seem to be before an earlier one.
		to := next.at
		if to.Before(at) {
			to = at
		}
		parts = append(parts, Part{next.part, at, to})
		at = to
	}
	return parts
}

// Wait returns how long the pod waited, without its name.
func (w PodWhy) Wait() string {
	what := "waited " + timeline.DurationText(w.Waited)
	never := w.Pod.Unschedulable.IsZero()
	switch {
	case w.Pod.Pending() && never:
		return "has never been found unschedulable and still waits"
	case w.Pod.Pending():
		return "has " + what + " and still waits"
	case never:
		return "was never found unschedulable"
	}
	return what
}

// Verdict returns the answer in a sentence, without the pod's name.
func (w PodWhy) Verdict() string {
	p := w.Pod
	what, then := w.Wait(), ", then"
	if p.Unschedulable.IsZero() {
		then = "; it"
	}
	switch {
	case p.Pending():
	case !p.Lost.IsZero():
		what = fmt.Sprintf("waited for at least %s; the autoscaler has not mentioned it since %s, and the record has no other fact about it", timeline.DurationText(w.Waited), timeline.Clock(p.Lost))
		if w.Decision != nil {
			what += fmt.Sprintf("; the autoscaler enlarged %s for it", w.Decision.Where())
		}
	case p.Node == "":
		return what + then + " was deleted without a node"
	case w.NewNode && w.Decision != nil:
		what += then + fmt.Sprintf(" came to the new node %s, for which the autoscaler enlarged %s", timeline.Tidy(w.Node.Name()), w.Decision.Where())
	case w.NewNode:
		what += then + fmt.Sprintf(" came to the new node %s; no decision of the autoscaler is on record for it", timeline.Tidy(w.Node.Name()))
	default:
		what += then + fmt.Sprintf(" came to the node %s, which was there already", timeline.Tidy(p.Node))
	}
	if p.Pending() && w.Decision != nil {
		what += fmt.Sprintf("; the autoscaler enlarged %s for it", w.Decision.Where())
		if w.End != "" {
			what += ", " + w.End
		}
	} else if p.Pending() {
		what += "; " + w.Reason()
	}
	return what
}

// Reason returns the last reason why the autoscaler did not help the pod.
func (w PodWhy) Reason() string {
	for _, said := range slices.Backward(w.Autoscaler) {
		if said.What == timeline.Refused && said.Pod != "" {
			return "the autoscaler: " + timeline.Shorten(said.Text, timeline.LongestHover)
		}
	}
	for _, said := range slices.Backward(w.Autoscaler) {
		if said.What == timeline.Refused || said.What == timeline.Problem {
			return "the autoscaler: " + timeline.Shorten(said.Text, timeline.LongestHover)
		}
	}
	return "nothing that the autoscaler said about it is on record"
}

// Where returns the group and the size of a decision in words, or all groups of a plan.
func (d *Decision) Where() string {
	group := timeline.Tidy(d.Group)
	if plan := d.plan(); len(plan) > 0 {
		var groups []string
		for _, p := range plan {
			groups = append(groups, fmt.Sprintf("%s to %d", timeline.Tidy(p.Group), p.N))
		}
		return strings.Join(groups, " and ")
	}
	switch {
	case group == "" && len(d.Nodes) > 0:
		group = timeline.Plural(len(d.Nodes), "node")
	case group == "":
		group = "a group"
	}
	if d.N >= 0 {
		return fmt.Sprintf("%s to %d", group, d.N)
	}
	return group
}

// NodeWhy is where a node came from, why it was kept, and how it was removed.
type NodeWhy struct {
	Node *NodeStory
	// Origin in words.
	Origin string
	// Kept has the reasons why it was not removed, by their first times.
	Kept []Statement
	// Removal is nil if the node was there at the record's end.
	Removal *Removal
}

// Removal is how a node was removed.
type Removal struct {
	// Cause in words.
	Cause string
	// Decision of the autoscaler, nil if none is on record, and when it first named
	// this node.
	Decision *Decision
	At       time.Time
	// Parts of the time from when it lost its last pod until it was gone.
	Parts []Part
	// Done is false if the node was there at the record's end.
	Done bool
}

// NodeWhys returns why each node came, was kept and was removed, by their beginnings.
func (m *Model) NodeWhys() []NodeWhy {
	return slices.Clone(m.nodeWhys.get(func() []NodeWhy {
		whys := make([]NodeWhy, 0, len(m.Nodes))
		for _, n := range m.Nodes {
			whys = append(whys, m.NodeWhy(n))
		}
		return whys
	}))
}

func (m *Model) NodeWhy(n *NodeStory) NodeWhy {
	from, to := n.Began(), m.To
	for _, end := range []time.Time{n.Ended(), n.Chosen} {
		if !end.IsZero() {
			to = end
		}
	}
	w := NodeWhy{Node: n, Origin: m.origin(n)}
	kept := [][]int{m.index.keptNode[n.Node]}
	if n.Machine != n.Node {
		kept = append(kept, m.index.keptNode[n.Machine])
	}
	if n.Group != timeline.ControlPlane {
		kept = append(kept, m.index.keptGroup[""]) // of all nodes
		if n.Group != "" {
			kept = append(kept, m.index.keptGroup[n.Group])
		}
	}
	w.Kept = m.statements(to, slices.Values(m.within(from.Add(-slack), to, kept...)))
	w.Removal = m.removal(n)
	return w
}

// origin returns where the node came from, in words.
func (m *Model) origin(n *NodeStory) string {
	if n.Created.IsZero() {
		return "it already existed when it was first recorded"
	}
	if n.Created.Before(m.RecordedSince) {
		return fmt.Sprintf("it was created %s before the record begins", timeline.DurationText(m.RecordedSince.Sub(n.Created)))
	}
	if n.Group == timeline.ControlPlane {
		return "it belongs to the control plane"
	}
	// A machine follows its decision within a minute, even where the
	// controllers poll.
	if d := m.lastDecision(n.Created, func(d *Decision) bool { return d.Up && d.IsAbout(n.Group) }); d != nil {
		return fmt.Sprintf("the autoscaler enlarged %s at %s, %s before", d.Where(), timeline.Clock(d.At), timeline.DurationText(n.Created.Sub(d.At)))
	}
	g := m.groupNamed(n.Group)
	if g == nil {
		return noChange
	}
	created := g.createdBefore(n.Created)
	for i, l := range slices.Backward(g.Wanted) {
		if l.At.After(n.Created.Add(slack)) || n.Created.Sub(l.At) > following || isNear(l.At, created) {
			continue
		}
		if i > 0 && l.N > g.Wanted[i-1].N {
			return fmt.Sprintf("%s was enlarged from %d to %d at %s; no decision of the autoscaler is on record for it", g.Title(), g.Wanted[i-1].N, l.N, timeline.Clock(l.At))
		}
	}
	if !created.IsZero() && n.Created.Sub(created) <= following {
		return fmt.Sprintf("%s was created at %s, %s before", g.Title(), timeline.Clock(created), timeline.DurationText(max(0, n.Created.Sub(created))))
	}
	return noChange
}

// noChange is the origin of a node for which the record has none.
const noChange = "no change of size is on record for it"

// groupNamed returns the story of a group, nil if there is none.
func (m *Model) groupNamed(name string) *GroupStory {
	i := slices.IndexFunc(m.Groups, func(g *GroupStory) bool { return g.Name == name && name != "" })
	if i < 0 {
		return nil
	}
	return m.Groups[i]
}

// isNear reports whether two times are equal, if both may have whole seconds.
func isNear(a, b time.Time) bool { return a.Sub(b).Abs() <= slack }

// deletionTime is the longest time from the first change that the deletion of a group
// causes until the group is gone.
const deletionTime = 5 * time.Minute

// deletionOf returns words for the deletion of a group that removed a node or a replica
// at a time, empty if none is on record.
func (m *Model) deletionOf(g *GroupStory, at time.Time) string {
	if g == nil {
		return ""
	}
	gone := g.deletedAfter(at)
	if gone.IsZero() || gone.Sub(at) > deletionTime {
		return ""
	}
	for _, o := range g.orders {
		if !at.Before(o.At.Add(-slack)) && !o.At.After(gone) && gone.Sub(o.At) <= deletionTime+slack {
			return o.Command + " deleted the group"
		}
	}
	// Scenarios may run, and remove what they created, at the same time.
	var cleaning []string
	for _, s := range m.Scenarios {
		if !s.CleanUp.IsZero() && !at.Before(s.CleanUp.Add(-slack)) && !gone.After(s.To.Add(slack)) {
			cleaning = append(cleaning, timeline.Tidy(s.Name))
		}
	}
	switch len(cleaning) {
	case 0:
	case 1:
		return fmt.Sprintf("the scenario %s deleted the group when it removed what it created", cleaning[0])
	default:
		return fmt.Sprintf("one of the scenarios %s deleted the group when it removed what it created", strings.Join(cleaning, ", "))
	}
	if gone.Equal(at) {
		return "the group was deleted; who deleted it is not on record"
	}
	return fmt.Sprintf("no decision of the autoscaler is on record; the group was deleted, and gone at %s", timeline.Clock(gone))
}

// following is the longest time between a decision and the start of its effects.
const following = time.Minute

// lastDecision returns the last decision for which want is true and whose effects may
// begin at the given time; nil if there is none.
func (m *Model) lastDecision(at time.Time, want func(*Decision) bool) *Decision {
	for _, d := range slices.Backward(m.Decisions) {
		if !d.At.After(at.Add(slack)) && at.Sub(d.last) <= following && want(d) {
			return d
		}
	}
	return nil
}

// removal returns how a node was removed, nil if nobody decided to delete it.
func (m *Model) removal(n *NodeStory) *Removal {
	end := n.Ended()
	if end.IsZero() && n.Chosen.IsZero() {
		return nil
	}
	r := &Removal{Done: !end.IsZero()}
	chosen := n.Chosen
	if chosen.IsZero() {
		chosen = end
	}
	for _, d := range m.Decisions {
		if !d.Up && slices.ContainsFunc(d.Nodes, n.hasName) && !d.At.Before(n.Began()) && (end.IsZero() || !d.At.After(end)) {
			r.Decision = d
		}
	}
	byGroup := m.lastDecision(chosen, func(d *Decision) bool {
		return !d.Up && len(d.Nodes) == 0 && d.Group == n.Group && d.Group != ""
	})
	switch {
	case r.Decision != nil:
		// The decision may be about several nodes: find when it named this one.
		about := m.Statements(r.Decision.At, r.Decision.last, func(f timeline.Fact) bool {
			_, node, _ := About(f)
			return f.Kind == timeline.Autoscaler && f.What == timeline.ScaleDown && n.hasName(node)
		})
		r.At = about[0].First
		r.Cause = "the autoscaler: " + cmp.Or(timeline.Shorten(about[0].Text, timeline.LongestHover), timeline.WhatText(timeline.ScaleDown))
	case byGroup != nil:
		r.Decision, r.At = byGroup, byGroup.At
		r.Cause = fmt.Sprintf("the autoscaler made %s smaller", byGroup.Where())
	case n.toBeDeleted:
		r.Cause = "it was marked to be deleted as the autoscaler does, but no decision is on record"
	case m.deletionOf(m.groupNamed(n.Group), chosen) != "":
		r.Cause = m.deletionOf(m.groupNamed(n.Group), chosen)
	default:
		r.Cause = "no decision of the autoscaler is on record: a person, a rollout or a controller removed it"
	}
	r.Parts = m.removalParts(n, r)
	return r
}

// untilDecision is the name of the part that ends with the decision.
const untilDecision = "until the decision"

// removalParts returns the parts of a removal that are on record.
func (m *Model) removalParts(n *NodeStory, r *Removal) []Part {
	chosen := n.Chosen
	if r.Decision != nil && (chosen.IsZero() || r.At.Before(chosen)) {
		chosen = r.At
	}
	// Pods of a DaemonSet stay until the node is gone, so only pods that left before
	// the decision count.
	var left time.Time
	for _, p := range n.Pods {
		if at := p.Ended(); !at.IsZero() && !chosen.IsZero() && at.Before(chosen) && at.After(left) {
			left = at
		}
	}
	var unneeded time.Time
	for _, s := range n.Spans {
		if s.State == Unneeded {
			unneeded = s.From
		}
	}
	moments := []partEnd{{at: left, what: "last pod gone"}}
	if !unneeded.IsZero() && (chosen.IsZero() || !unneeded.After(chosen)) {
		moments = append(moments, partEnd{unneeded, "until found unneeded", "found unneeded"})
	}
	moments = append(moments, partEnd{chosen, untilDecision, "decision"})
	for _, s := range n.Phases {
		if s.State == "Deleting" {
			moments = append(moments, partEnd{s.From, "until Machine deletion began", "Machine deletion"})
			break
		}
	}
	moments = append(moments, partEnd{n.NodeGone, "until the node was gone", "node gone"}, partEnd{at: n.Gone, part: "until the machine was gone"})
	moments = slices.DeleteFunc(moments, func(e partEnd) bool { return e.at.IsZero() })
	slices.SortStableFunc(moments, func(a, b partEnd) int { return a.at.Compare(b.at) })
	var parts []Part
	for i := 1; i < len(moments); i++ {
		parts = append(parts, Part{moments[i].part, moments[i-1].at, moments[i].at})
	}
	if len(parts) > 0 {
		parts[0].Name = strings.TrimSpace(moments[0].what + " " + parts[0].Name) // the others follow each other
	}
	return parts
}

// Took returns how long the removal lasted, from the decision on if one is on record.
func (r *Removal) Took() time.Duration {
	if len(r.Parts) == 0 {
		return 0
	}
	from := r.Parts[0].From
	for _, p := range r.Parts {
		if strings.HasSuffix(p.Name, untilDecision) {
			from = p.To
		}
	}
	return r.Parts[len(r.Parts)-1].To.Sub(from)
}

// SizeChange is one change of what a group wants.
type SizeChange struct {
	At       time.Time
	From, To int // From is -1 for the first size on record.
	// Decision that caused it, nil if none is on record.
	Decision *Decision
	// By is the field manager that wrote the number, empty if it is not on record.
	By string
	// Ready is when that many replicas were ready; zero if the next change came first.
	Ready time.Time
	// Cause in words.
	Cause string
}

// sizeCause returns the cause of a change of size in words.
func (m *Model) sizeCause(g *GroupStory, c SizeChange) string {
	created := g.createdBefore(c.At)
	isNew := isNear(created, c.At) && c.From <= 0 && !created.Before(m.RecordedSince)
	switch {
	case c.Decision != nil:
		return "the autoscaler: " + c.Decision.Words()
	case isNew:
		return "the group was created"
	case c.From < 0:
		return "as the record begins"
	}
	if c.To < c.From {
		if cause := m.deletionOf(g, c.At); cause != "" {
			return cause
		}
	}
	if c.By != "" {
		return fmt.Sprintf("the field manager %s wrote it; no decision of the autoscaler on record", timeline.Tidy(c.By))
	}
	return "no decision of the autoscaler on record: a person, or a controller"
}

// SizeChanges returns the changes of the size that a group wants, by time.
func (m *Model) SizeChanges(g *GroupStory) []SizeChange {
	var changes []SizeChange
	var turned time.Time // when it last changed in the other direction
	for i, l := range g.Wanted {
		c := SizeChange{At: l.At, From: -1, To: l.N, By: l.By}
		if i > 0 {
			c.From = g.Wanted[i-1].N
			if i > 1 && (l.N > c.From) != (c.From > g.Wanted[i-2].N) {
				turned = g.Wanted[i-1].At
			}
			// An older decision caused an earlier change.
			c.Decision = m.lastDecision(l.At, func(d *Decision) bool {
				return d.IsAbout(g.Name) && d.Up == (l.N > c.From) && (d.SizeOf(g.Name) < 0 || d.SizeOf(g.Name) == l.N) && !d.last.Add(slack).Before(turned)
			})
		}
		until := m.To
		if i+1 < len(g.Wanted) {
			until = g.Wanted[i+1].At
		}
		for _, r := range g.Ready {
			if r.N == l.N && r.At.After(l.At) && !r.At.After(until) {
				c.Ready = r.At
				break
			}
		}
		c.Cause = m.sizeCause(g, c)
		changes = append(changes, c)
	}
	return changes
}
