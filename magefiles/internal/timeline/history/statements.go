package history

import (
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"

	"caslab/magefiles/internal/timeline"
)

// Statement is something that the autoscaler, or the scheduler, said once or
// again and again.
type Statement struct {
	What string
	// Pod, Node and Group are what it was said about, as far as it tells.
	Pod, Node, Group string
	// Text is how it was said last.
	Text string
	// First and Last are when it is on record, Count how often. The record has
	// what every round repeats once, until something else is said.
	First, Last time.Time
	Count       int
	// Until is when it held no more, as far as the record tells: something else
	// was said of the same, or a decision was not followed by it again.
	Until time.Time
}

// Words are the text, or what stands for it.
func (s Statement) Words() string {
	text := timeline.Shorten(s.Text, timeline.LongestText)
	if s.What == timeline.Started || s.What == timeline.Stopped || text == "" {
		text = strings.TrimSpace(timeline.Word(s.What) + " " + text)
	}
	return text
}

// Decision is one change of size that the autoscaler decided on. It is told
// by several facts: the plan, the size, and an event for each pod.
type Decision struct {
	At    time.Time
	Up    bool
	Group string
	// N is the new size, -1 if no fact tells.
	N int
	// Pods that it was made for, and Nodes that it removes.
	Pods, Nodes []string
	// Texts are what was said, each once.
	Texts []string

	// last is the time of its last fact; grown is that of the last one that does
	// not tell its end.
	last, grown time.Time
}

// Words are what it came to, in the autoscaler's words if it is one's own.
func (d *Decision) Words() string {
	switch {
	case !d.Up && len(d.Nodes) > 0:
		return "removes " + strings.Join(timeline.SomeOf(d.Nodes, 6), ", ")
	case len(d.Texts) > 0:
		return timeline.Shorten(d.Texts[0], timeline.LongestText)
	}
	return timeline.Word(map[bool]string{true: timeline.ScaleUp, false: timeline.ScaleDown}[d.Up])
}

const (
	// saidAgain is how long after its last time, or after a decision or a start,
	// which make the recorder listen anew, a statement counts as said again: a
	// round of the autoscaler takes ten seconds, and a slow one more.
	saidAgain = 2 * time.Minute
	// oneRound is how far apart things are that the autoscaler says in turns,
	// such as two reasons for one node.
	oneRound = 15 * time.Second
	// together is how far apart facts of one decision may be.
	together = 10 * time.Second
)

// About is what a fact of the autoscaler is about.
func About(f timeline.Fact) (pod, node, group string) {
	node, group = f.Node, f.Group
	switch {
	case f.Name == "" || f.Name == group || timeline.LastPart(f.Name) == group && group != "":
	case f.What == timeline.Kept || f.What == timeline.ScaleDown:
		if node == "" {
			node = f.Name
		}
	case f.What == timeline.Considered:
		// A pod has a namespace; what has none may be either.
		if node == "" && !strings.Contains(f.Name, "/") {
			node = f.Name
		} else {
			pod = f.Name
		}
	case f.What == timeline.Refused || f.What == timeline.ScaleUp:
		pod = f.Name
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
	if pod != "" {
		b.speakOf(pod, f.Time)
	}
	if group != "" {
		b.group(group).known = true
	}
	switch f.What {
	case timeline.Started:
		b.turns = append(b.turns, f.Time)
		if n := len(b.Runs); n > 0 && b.Runs[n-1].To.IsZero() && f.Time.Sub(b.Runs[n-1].From) <= oneRound {
			// Its pod and its log tell of the same start.
			b.Runs[n-1].Text = strings.TrimSpace(b.Runs[n-1].Text + " " + f.Text)
			return
		}
		b.stop(f.Time)
		b.Runs = append(b.Runs, Span{State: Going, From: f.Time, Text: f.Text})
		return
	case timeline.Stopped:
		if len(b.Runs) == 0 {
			b.Runs = append(b.Runs, Span{State: Going, From: b.From})
		}
		b.stop(f.Time)
		return
	case timeline.ScaleUp, timeline.ScaleDown:
		b.turns = append(b.turns, f.Time)
		b.decide(f, pod, node, group)
	}
	if n := len(b.Runs); n == 0 || !b.Runs[n-1].To.IsZero() && f.Source == timeline.Log {
		// It speaks, so it runs.
		b.Runs = append(b.Runs, Span{State: Going, From: f.Time})
	}
}

func (b *builder) stop(at time.Time) {
	if n := len(b.Runs); n > 0 && b.Runs[n-1].To.IsZero() {
		b.Runs[n-1].To = at
	}
}

// decide adds a fact to the decision that it tells of.
func (b *builder) decide(f timeline.Fact, pod, node, group string) {
	up := f.What == timeline.ScaleUp
	if !up && speech.EndsRemoval(f.Text) {
		if d := b.removalOf(node); d != nil {
			d.Texts, d.last = timeline.Once(d.Texts, timeline.Tidy(f.Text)), f.Time
			return
		}
	}
	var d *Decision
	for _, before := range slices.Backward(b.Decisions) {
		if f.Time.Sub(before.grown) > together {
			break
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
	d.Pods, d.Nodes, d.Texts = timeline.Once(d.Pods, pod), timeline.Once(d.Nodes, node), timeline.Once(d.Texts, timeline.Tidy(f.Text))
}

// removalOf returns the last decision to remove a node, nil if none is on
// record. Others may have been made since: drains overlap.
func (b *builder) removalOf(node string) *Decision {
	for _, d := range slices.Backward(b.Decisions) {
		if !d.Up && slices.Contains(d.Nodes, node) {
			return d
		}
	}
	return nil
}

// Statements gathers the facts of a time that want picks, each statement once, by their
// first times. A statement that falls silent for a while begins anew.
func (m *Model) Statements(from, to time.Time, want func(timeline.Fact) bool) []Statement {
	type key struct{ what, pod, node, group, text string }
	last := map[key]int{}
	var all []Statement
	start, _ := slices.BinarySearchFunc(m.Facts, from, func(f timeline.Fact, at time.Time) int { return f.Time.Compare(at) })
	for i := start; i < len(m.Facts) && !m.Facts[i].Time.After(to); i++ {
		f := m.Facts[i]
		if !want(f) {
			continue
		}
		pod, node, group := About(f)
		k := key{f.What, pod, node, group, m.gists[i]}
		if node != "" {
			k.group = "" // Some lines about a node tell it too.
		}
		if j, ok := last[k]; ok && f.Time.Sub(m.lastTurn(all[j].Last, f.Time)) <= saidAgain {
			all[j].Last, all[j].Text = f.Time, f.Text
			all[j].Count++
			continue
		}
		last[k] = len(all)
		all = append(all, Statement{What: f.What, Pod: pod, Node: node, Group: group, Text: f.Text, First: f.Time, Last: f.Time, Count: 1})
	}
	// What is said of the same thing later ends what was said before.
	next := map[key]time.Time{}
	for i := range slices.Backward(all) {
		s := &all[i]
		k := key{s.What, s.Pod, s.Node, s.Group, ""}
		if s.Node != "" {
			k.group = ""
		}
		s.Until = m.holdsUntil(*s, to)
		if at := next[k]; !at.IsZero() && at.Before(s.Until) && at.Sub(s.Last) > oneRound {
			s.Until = at
		}
		next[k] = s.First
	}
	return all
}

// lastTurn is the last decision or start before a time, or since if that is later.
func (m *Model) lastTurn(since, before time.Time) time.Time {
	i, _ := slices.BinarySearchFunc(m.turns, before, time.Time.Compare)
	if i > 0 && m.turns[i-1].After(since) {
		return m.turns[i-1]
	}
	return since
}

// holdsUntil is the end of a statement that nothing else took the place of: the
// next decision or start, since it was not said after that, and for a refusal
// the moment from which no pod waited.
func (m *Model) holdsUntil(s Statement, to time.Time) time.Time {
	if s.What != timeline.Refused && s.What != timeline.Kept && s.What != timeline.Unschedulable {
		return s.Last
	}
	i, _ := slices.BinarySearchFunc(m.turns, s.Last.Add(time.Nanosecond), time.Time.Compare)
	if i < len(m.turns) && m.turns[i].Before(to) && s.What != timeline.Unschedulable {
		to = m.turns[i]
	}
	if s.What == timeline.Refused {
		for _, w := range m.waits {
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

// findWaits notes when any pod waited, in spans that do not touch.
func (m *Model) findWaits() {
	pods := slices.Clone(m.Pods)
	slices.SortFunc(pods, func(a, b *PodStory) int { return a.Began().Compare(b.Began()) })
	for _, p := range pods {
		from, to := p.Began(), p.Placed()
		if to.IsZero() {
			to = m.To
		}
		if n := len(m.waits); n > 0 && !from.After(m.waits[n-1].To) {
			if to.After(m.waits[n-1].To) {
				m.waits[n-1].To = to
			}
			continue
		}
		m.waits = append(m.waits, Span{From: from, To: to})
	}
}

// GroupOf is the group that the autoscaler speaks of, or that of the node.
func (m *Model) GroupOf(f timeline.Fact) string {
	_, node, group := About(f)
	if n := m.nodeAt(node, f.Time); group == "" && n != nil {
		return n.Group
	}
	return group
}
