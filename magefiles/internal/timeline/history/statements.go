package history

import (
	"encoding/json"
	"iter"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// Statement is something that the autoscaler or the scheduler said, once or
// repeatedly.
type Statement struct {
	What string
	// Pod, Node and Group are what it is about; each may be empty.
	Pod, Node, Group string
	// Text is the last wording.
	Text string
	// First and Last are the times of its first and last fact, and Count is the
	// number of facts. A repetition in the next round is no new fact.
	First, Last time.Time
	Count       int
	// Until is when it no longer held, by the record: something else was said about
	// the object, or it was not said again after a decision.
	Until time.Time
}

// Words returns the text, after what happened where the text alone is not clear.
func (s Statement) Words() string {
	text := timeline.Shorten(s.Text, timeline.LongestText)
	if s.What == timeline.Started || s.What == timeline.Stopped || text == "" {
		text = strings.TrimSpace(timeline.WhatText(s.What) + " " + text)
	}
	return text
}

// Decision is one decision of the autoscaler to change a size. Several facts belong
// to it: the plan, the size, and an event for each pod.
type Decision struct {
	At    time.Time
	Up    bool
	Group string
	// N is the new size, -1 if no fact has it.
	N int
	// Pods that need the new nodes, and Nodes that are removed.
	Pods, Nodes []string
	// Texts has what the autoscaler said, each text once.
	Texts []string

	// last is the time of its last fact, grown that of the last one that does not
	// report its end.
	last, grown time.Time
	// planned is the answer of plan, which is asked for only when the decision has all of its texts.
	planned lazy[[]speech.Planned]
}

// Words returns the decision in a phrase.
func (d *Decision) Words() string {
	switch {
	case !d.Up && len(d.Nodes) > 0:
		return "removes " + strings.Join(timeline.SomeOf(d.Nodes, 6), ", ")
	case len(d.Texts) > 0:
		return timeline.Shorten(d.Texts[0], timeline.LongestText)
	}
	return timeline.WhatText(map[bool]string{true: timeline.ScaleUp, false: timeline.ScaleDown}[d.Up])
}

// plan returns the groups that a decision about several groups enlarges, with their
// sizes; nil for any other decision. An event for a pod names such a plan.
func (d *Decision) plan() []speech.Planned {
	if d.Group != "" {
		return nil
	}
	return d.planned.get(d.findPlan)
}

func (d *Decision) findPlan() []speech.Planned {
	for _, text := range d.Texts {
		if plan := speech.PlanOf(text); len(plan) > 0 {
			return plan
		}
	}
	return nil
}

// SizeOf returns the new size of a group that the decision is about, -1 if no fact has it.
func (d *Decision) SizeOf(group string) int {
	for _, p := range d.plan() {
		if p.Group == group {
			return p.N
		}
	}
	return d.N
}

// IsAbout reports whether the decision is about a group, alone or with others. It also
// returns false if no fact has the group.
func (d *Decision) IsAbout(group string) bool {
	if d.Group != "" {
		return d.Group == group
	}
	return slices.ContainsFunc(d.plan(), func(p speech.Planned) bool { return p.Group == group })
}

// GroupUnknown reports whether no fact says which group the decision is about.
func (d *Decision) GroupUnknown() bool { return d.Group == "" && len(d.plan()) == 0 }

const (
	// sameStatementWithin is how long after the last fact of a statement, or after a decision
	// or a start, a fact still belongs to the same statement. A round of the autoscaler takes ten
	// seconds, a slow one more, and the recorder leaves out repetitions.
	sameStatementWithin = 2 * time.Minute
	// sameEventWithin is the same for events, which the autoscaler repeats every five minutes.
	sameEventWithin = 6 * time.Minute
	// roundLength is the longest time between statements that alternate, such as two
	// reasons for one node.
	roundLength = 15 * time.Second
	// sameDecisionWithin is the longest time between two facts of one decision.
	sameDecisionWithin = 10 * time.Second
)

// About returns the pod, the node and the group that a fact of the autoscaler is
// about; each may be empty.
func About(f timeline.Fact) (pod, node, group string) {
	node, group = f.Node, f.Group
	switch {
	case f.Name == "" || f.Name == group || timeline.LastPart(f.Name) == group && group != "":
	case f.What == timeline.Kept || f.What == timeline.ScaleDown:
		if node == "" {
			node = f.Name
		}
	case f.What == timeline.Considered:
		// A name with a namespace is a pod's; one without may be a node's.
		if node == "" && !strings.Contains(f.Name, "/") {
			node = f.Name
		} else {
			pod = f.Name
		}
	case f.What == timeline.Refused || f.What == timeline.ScaleUp:
		pod = f.Name
	case f.What == timeline.Problem && strings.Contains(f.Name, "/"):
		pod = f.Name // some messages have its name without the namespace, which may be that of several pods
	}
	return pod, node, group
}

func (b *builder) addAutoscaler(f timeline.Fact) {
	pod, node, group := About(f)
	if node != "" {
		n := b.node(node, f)
		if group == "" {
			group = n.Group
		}
	}
	if pod != "" && f.What != timeline.Problem { // a pod with a problem need not wait
		b.mention(pod, f)
	}
	if group != "" {
		b.group(group).known = true
	}
	if speech.OthersWait(f.Text) {
		b.unnamed = f.Time
	}
	switch f.What {
	case timeline.Started:
		b.resets, b.repeats = append(b.resets, f.Time), append(b.repeats, f.Time)
		if n := len(b.Runs); !b.starts.IsNew(f) && n > 0 {
			if run := &b.Runs[n-1]; !slices.Contains(strings.Fields(run.Text), f.Text) {
				run.Text = strings.TrimSpace(run.Text + " " + f.Text)
			}
			return
		}
		b.stop(f.Time)
		b.Runs = append(b.Runs, Span{State: Ongoing, From: f.Time, Text: f.Text})
		return
	case timeline.Stopped:
		b.resets = append(b.resets, f.Time)
		b.starts.Stop()
		if len(b.Runs) == 0 {
			b.Runs = append(b.Runs, Span{State: Ongoing, From: b.From})
		}
		b.stop(f.Time)
		return
	case timeline.ScaleUp, timeline.ScaleDown:
		b.resets, b.repeats = append(b.resets, f.Time), append(b.repeats, f.Time)
		b.decide(f, pod, node, group)
	}
	if n := len(b.Runs); n == 0 || !b.Runs[n-1].To.IsZero() && f.Source == timeline.Log {
		// It logs, so it runs.
		b.Runs = append(b.Runs, Span{State: Ongoing, From: f.Time})
	}
}

func (b *builder) stop(at time.Time) {
	if n := len(b.Runs); n > 0 && b.Runs[n-1].To.IsZero() {
		b.Runs[n-1].To = at
	}
}

// decide adds a fact to the decision that it belongs to, or begins a decision.
func (b *builder) decide(f timeline.Fact, pod, node, group string) {
	up := f.What == timeline.ScaleUp
	if !up && speech.EndsRemoval(f.Text) {
		if d := b.removalOf(node); d != nil {
			d.Texts, d.last = timeline.AppendUnique(d.Texts, timeline.Tidy(f.Text)), f.Time
			return
		}
	}
	var d *Decision
	for _, before := range slices.Backward(b.Decisions) {
		if f.Time.Sub(before.grown) > sameDecisionWithin {
			continue // an earlier one may have grown later
		}
		sameSize := f.N == nil || before.N < 0 || *f.N == before.N
		if before.Up == up && before.Group == group && sameSize {
			d = before
			break
		}
	}
	if d == nil {
		d = &Decision{At: f.Time, Up: up, Group: group, N: -1}
		b.Decisions = append(b.Decisions, d)
	}
	d.last, d.grown = f.Time, f.Time
	if f.N != nil {
		d.N = *f.N
	}
	d.Pods, d.Nodes, d.Texts = timeline.AppendUnique(d.Pods, pod), timeline.AppendUnique(d.Nodes, node), timeline.AppendUnique(d.Texts, timeline.Tidy(f.Text))
}

// removalOf returns the last decision to remove a node, nil if none is on
// record. It need not be the last decision, because drains overlap.
func (b *builder) removalOf(node string) *Decision {
	for _, d := range slices.Backward(b.Decisions) {
		if !d.Up && slices.Contains(d.Nodes, node) {
			return d
		}
	}
	return nil
}

// Statements returns the statements in the facts in [from, to] for which want is true,
// by their first times. After a silence, the same words are a new Statement.
func (m *Model) Statements(from, to time.Time, want func(timeline.Fact) bool) []Statement {
	return m.statements(to, func(yield func(int) bool) {
		start, _ := slices.BinarySearchFunc(m.Facts, from, func(f timeline.Fact, at time.Time) int { return f.Time.Compare(at) })
		for i := start; i < len(m.Facts) && !m.Facts[i].Time.After(to); i++ {
			if want(m.Facts[i]) && !yield(i) {
				return
			}
		}
	})
}

// statements returns the statements in facts, which it gets as ascending indices in Facts. None of the facts is
// later than to.
func (m *Model) statements(to time.Time, facts iter.Seq[int]) []Statement {
	type key struct{ what, pod, node, group, text string }
	last := map[key]int{}
	var all []Statement
	for i := range facts {
		f := m.Facts[i]
		pod, node, group := About(f)
		k := key{f.What, pod, node, group, m.normalTexts[i]}
		if node != "" {
			k.group = "" // only some messages about a node name it
		}
		within := sameStatementWithin
		if f.Source == timeline.Event {
			within = sameEventWithin
		}
		if j, ok := last[k]; ok && f.Time.Sub(m.lastReset(all[j].Last, f.Time)) <= within {
			all[j].Last, all[j].Text = f.Time, f.Text
			all[j].Count++
			continue
		}
		last[k] = len(all)
		all = append(all, Statement{What: f.What, Pod: pod, Node: node, Group: group, Text: f.Text, First: f.Time, Last: f.Time, Count: 1})
	}
	// A later statement about the same ends an earlier one.
	next := map[key]time.Time{}
	for i := range slices.Backward(all) {
		s := &all[i]
		k := key{s.What, s.Pod, s.Node, s.Group, ""}
		if s.Node != "" {
			k.group = ""
		}
		s.Until = m.holdsUntil(*s, to)
		if at := next[k]; !at.IsZero() && at.Before(s.Until) && (at.Sub(s.Last) > roundLength || s.What == timeline.Unschedulable) {
			s.Until = at
		}
		next[k] = s.First
	}
	return all
}

// lastReset returns the time of the last decision or start before a time, or since if
// that is later.
func (m *Model) lastReset(since, before time.Time) time.Time {
	i, _ := slices.BinarySearchFunc(m.resets, before, time.Time.Compare)
	if i > 0 && m.resets[i-1].After(since) {
		return m.resets[i-1]
	}
	return since
}

// coolDownsOver returns the times at which the autoscaler said that it was in no cool-down any
// more. No statement says so.
func coolDownsOver(facts []timeline.Fact) []time.Time {
	var times []time.Time
	for _, f := range facts {
		if f.Kind != timeline.Autoscaler || f.What != timeline.Shaped {
			continue
		}
		var s shape.Autoscaler
		if json.Unmarshal(f.Shape, &s) == nil && s.CoolDown != nil && s.CoolDown.Over {
			times = append(times, f.Time)
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	return times
}

// ofCoolDown reports whether a statement says that the autoscaler is in a cool-down.
func (s Statement) ofCoolDown() bool {
	return s.What == timeline.Kept && (s.Text == "scaleDownInCooldown=true" || s.Text == "scaleDownForbidden=true")
}

// holdsUntil returns the end of a statement that no other one replaced: the next decision or
// start, because it was not repeated after that, for a refusal the moment from which no pod
// waited, and for a cool-down its end.
func (m *Model) holdsUntil(s Statement, to time.Time) time.Time {
	if s.What != timeline.Refused && s.What != timeline.Kept && s.What != timeline.Unschedulable {
		return s.Last
	}
	i, _ := slices.BinarySearchFunc(m.resets, s.Last.Add(time.Nanosecond), time.Time.Compare)
	if i < len(m.resets) && m.resets[i].Before(to) && s.What != timeline.Unschedulable {
		to = m.resets[i]
	}
	if over, _ := slices.BinarySearchFunc(m.coolDownsOver, s.Last, time.Time.Compare); s.ofCoolDown() && over < len(m.coolDownsOver) && m.coolDownsOver[over].Before(to) {
		to = m.coolDownsOver[over]
	}
	if s.What == timeline.Refused {
		for _, w := range m.pendingSpans {
			if !w.From.After(s.Last) && !w.To.Before(s.Last) && w.To.Before(to) {
				to = w.To
			}
		}
	}
	if to.Before(s.Last) {
		return s.Last
	}
	return to
}

// findPendingSpans sets pendingSpans, spans that do not touch.
func (m *Model) findPendingSpans() {
	pods := slices.Clone(m.Pods)
	slices.SortFunc(pods, func(a, b *PodStory) int { return a.Began().Compare(b.Began()) })
	for _, p := range pods {
		from, to := p.Began(), p.Placed()
		if to.IsZero() {
			to = m.To
		}
		if n := len(m.pendingSpans); n > 0 && !from.After(m.pendingSpans[n-1].To) {
			if to.After(m.pendingSpans[n-1].To) {
				m.pendingSpans[n-1].To = to
			}
			continue
		}
		m.pendingSpans = append(m.pendingSpans, Span{From: from, To: to})
	}
}

// GroupOf returns the group that a fact of the autoscaler is about, or the group of
// its node.
func (m *Model) GroupOf(f timeline.Fact) string {
	_, node, group := About(f)
	if n := m.nodeAt(node, f.Time); group == "" && n != nil {
		return n.Group
	}
	return group
}
