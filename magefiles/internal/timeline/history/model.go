// Package history puts the facts of a record in order: a story for every pod,
// node and group, the decisions of the autoscaler, what it said, and why a pod
// waited or a node went.
package history

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
)

// Model is a record in order, with one story for each object. It copes with facts that
// are missing or come twice, and with times when nobody recorded.
type Model struct {
	// From is the time of the first fact, and To the end of the record.
	From, To time.Time
	// Facts by time, each once, without the shapes of objects.
	Facts []timeline.Fact
	// Groups by name, then the control plane, then nodes of no known group.
	Groups []*GroupStory
	// Nodes and Pods by their beginnings.
	Nodes []*NodeStory
	Pods  []*PodStory
	// Decisions of the autoscaler, by time.
	Decisions []*Decision
	// Runs has the autoscaler's processes, one after the other. Each but the first is
	// a restart.
	Runs []Span
	// Pauses has the times when the whole cluster was paused.
	Pauses []Span
	// Scenarios has the lab's runs of scenarios, BringUps those of env:up, by their
	// beginnings.
	Scenarios, BringUps []*Scenario
	// Gaps has the times when nobody recorded: what happened then is known only from
	// objects and events.
	Gaps []Span

	RecordedSince time.Time        // when somebody first recorded, zero if unknown
	normalTexts   []string         // indices in Facts of what the autoscaler or the scheduler said
	coolDownsOver []time.Time      // when the autoscaler said that it was in no cool-down any more
	resets        []time.Time      // decisions, starts and ends: after each, a repeated statement is a new one
	pendingSpans  []Span           // when any pod waited
	named         map[int][]string // indices in Facts of general problems: the objects of the record that they name
	index         index

	// podWhys and nodeWhys are the answers of PodWhys and NodeWhys, each made when it is first asked for.
	podWhys  lazy[[]PodWhy]
	nodeWhys lazy[[]NodeWhy]
}

// State is the state of an object for a while.
type State string

// States of machines and their nodes, then of pods, then the only state of everything
// else.
const (
	Provisioning State = "provisioning"
	Joining      State = "joining"
	Ready        State = "Ready"
	Unneeded     State = "unneeded"
	NotReady     State = "not Ready"
	Deleting     State = "deleting"
	Failed       State = "failed"

	Pending       State = "pending"
	Unschedulable State = "unschedulable"
	Scheduled     State = "scheduled"
	Running       State = "running"
	Evicted       State = "evicted"

	Ongoing State = "going on"
)

// Span is a period in one state.
type Span struct {
	State    State
	From, To time.Time
	// Open is set if it has not ended when the record ends.
	Open bool
	// Text is the reason, if a fact has one.
	Text string
}

// Took returns how long it lasted, within the record.
func (s Span) Took() time.Duration { return s.To.Sub(s.From) }

// Level is a number that holds from a time until the next Level.
type Level struct {
	At time.Time
	N  int
	// By is the field manager that wrote the number, empty if it is not on record.
	By string
}

// Scenario is one run of a scenario, or of env:up.
type Scenario struct {
	Span
	Name string
	// Verdict is Passed, Failed, KnownFailure, Interrupted, or empty while it runs.
	Verdict string
	// Steps has what it did, and when.
	Steps []ScenarioStep
	// CleanUp is when it began to remove what it created, zero if that is not on record.
	CleanUp time.Time
}

// ScenarioStep is one step of a Scenario.
type ScenarioStep struct {
	At   time.Time
	Text string
}

// New returns the Model of facts in any order, whose record ends with the last of them. It
// never fails: a fact that makes no sense is only listed in Facts.
func New(facts []timeline.Fact) *Model { return Until(time.Time{}, facts) }

// Until is New for a record that ends at a time, or with its last fact if that is later.
func Until(end time.Time, facts []timeline.Fact) *Model {
	m := &Model{Facts: ordered(facts)}
	if len(m.Facts) == 0 {
		return m
	}
	m.From, m.To = m.Facts[0].Time, m.Facts[len(m.Facts)-1].Time
	if end.After(m.To) {
		m.To = end
	}
	m.coolDownsOver = coolDownsOver(facts)
	m.normalTexts = make([]string, len(m.Facts))
	b := &builder{
		Model: m, groups: map[string]*GroupStory{}, nodes: map[string]*NodeStory{}, machines: map[string]*NodeStory{},
		pods: map[string]*PodStory{}, paused: map[string]time.Time{}, machineOf: map[string][]string{},
	}
	for _, f := range m.Facts {
		if f.Kind == timeline.Machine && f.Node != "" {
			b.machineOf[f.Node] = timeline.AppendUnique(b.machineOf[f.Node], f.Name)
		}
	}
	for i, f := range m.Facts {
		if f.Kind == timeline.Autoscaler || f.What == timeline.Unschedulable {
			m.normalTexts[i] = timeline.NormalText(f)
		}
		b.add(f)
	}
	b.finish()
	return m
}

// ordered returns the facts by time, without those that come twice, as after a
// restart of the recorder, without those that have no time, and without shapes.
func ordered(facts []timeline.Fact) []timeline.Fact {
	type key struct {
		at                           int64
		kind                         timeline.Kind
		what, name, uid, group, node string
		n                            int
		text                         string
	}
	seen := make(map[key]bool, len(facts))
	sorted := make([]timeline.Fact, 0, len(facts))
	for _, f := range facts {
		if f.Time.IsZero() {
			f.Time = f.Seen
		}
		k := key{f.Time.UnixNano(), f.Kind, f.What, f.Name, f.UID, f.Group, f.Node, -1, f.Text}
		if f.N != nil {
			k.n = *f.N
		}
		if f.Time.IsZero() || f.What == timeline.Shaped || seen[k] {
			continue
		}
		seen[k] = true
		f.Group = timeline.LastPart(f.Group)
		sorted = append(sorted, f)
	}
	slices.SortStableFunc(sorted, func(a, b timeline.Fact) int { return a.Time.Compare(b.Time) })
	return sorted
}

// shortGap is the longest pause between two recorders that does not count as a gap.
const shortGap = 5 * time.Second

// builder reads the facts one after the other. It has the objects that exist at the
// time of the current fact, by name and by UID.
type builder struct {
	*Model
	groups          map[string]*GroupStory
	nodes, machines map[string]*NodeStory
	pods            map[string]*PodStory
	machineOf       map[string][]string  // the machine of each node, which may be known only after the node joined
	paused          map[string]time.Time // names that are not known to be groups
	lastRecorded    time.Time            // when the recorder was last seen at work
	starts          timeline.Starts
	repeats         []time.Time // decisions and starts: after each, the autoscaler says again which pods wait
	unnamed         time.Time   // when the autoscaler last named only some of the pods that wait
}

func (b *builder) add(f timeline.Fact) {
	switch f.Kind {
	case timeline.Pod:
		b.addPod(f)
	case timeline.Group:
		b.addGroup(f)
	case timeline.Machine, timeline.Node:
		b.addNode(f)
	case timeline.Autoscaler:
		b.addAutoscaler(f)
	case timeline.Lab:
		b.addLab(f)
	}
	if f.Seen.IsZero() {
		b.lastRecorded = f.Time
	}
}

func (b *builder) addLab(f timeline.Fact) {
	switch f.What {
	case timeline.Recording:
		from, text := cmp.Or(f.Since, b.lastRecorded), "nobody recorded: known only from objects and events"
		if b.RecordedSince.IsZero() {
			from, text = b.From, "before the record began: known only from objects and events"
			b.RecordedSince = f.Time
		}
		if f.Time.Sub(from) >= shortGap {
			b.Gaps = append(b.Gaps, Span{State: Ongoing, From: from, To: f.Time, Text: text})
		}
	case timeline.Step:
		s := b.scenario(f)
		s.Steps = append(s.Steps, ScenarioStep{f.Time, f.Text})
		if f.Text == timeline.CleanUp {
			s.CleanUp = f.Time
		}
	case timeline.Deleting:
		if f.Group != "" {
			g := b.group(f.Group)
			g.orders = append(g.orders, order{f.Time, f.Name})
		}
	case timeline.Passed, timeline.Failed, timeline.KnownFailure, timeline.Interrupted:
		s := b.scenario(f)
		s.Verdict, s.Text, s.To = f.What, f.Text, f.Time
	}
}

// scenario returns the unfinished run of the fact's name, or a new one.
func (b *builder) scenario(f timeline.Fact) *Scenario {
	runs := &b.Scenarios
	if f.Name == timeline.BringUp {
		runs = &b.BringUps
	}
	for _, s := range slices.Backward(*runs) {
		if s.Name == f.Name && s.Verdict == "" {
			return s
		}
	}
	s := &Scenario{Name: f.Name, Span: Span{State: Ongoing, From: f.Time}}
	*runs = append(*runs, s)
	return s
}

// finish closes what is open and gives each group its nodes and decisions.
func (b *builder) finish() {
	for _, s := range slices.Concat(b.Scenarios, b.BringUps) {
		if s.Verdict == "" {
			s.To, s.Open = b.To, true
		}
	}
	if n := len(b.Runs); n > 0 && b.Runs[n-1].To.IsZero() {
		b.Runs[n-1].To, b.Runs[n-1].Open = b.To, true
	}
	for _, p := range b.Pods {
		b.lose(p)
		endSpan(p.Spans, b.To)
	}
	for _, n := range b.Nodes {
		endSpan(n.Spans, b.To)
		if !n.Joined.IsZero() && n.Created.After(n.Joined) && n.Created.Before(b.RecordedSince) {
			// clusterctl moved the Machine, which is then created again in the other
			// cluster. When it was created first is not on record.
			n.Created = time.Time{}
		}
		g := b.group(n.Group)
		g.Nodes = append(g.Nodes, n)
	}
	for name, since := range b.paused {
		b.pause(name, Span{State: Ongoing, From: since, To: b.To, Open: true})
	}
	b.namePauses()
	for _, d := range b.Decisions {
		if d.Group != "" {
			b.group(d.Group).Decisions = append(b.group(d.Group).Decisions, d)
		}
	}
	b.indexNodes()
	for _, p := range b.Pods {
		at := p.Placed()
		if at.IsZero() {
			at = p.Began()
		}
		if n := b.nodeAt(p.Node, at); p.Node != "" && n != nil {
			n.Pods, p.on = append(n.Pods, p), n
		}
	}
	for _, g := range b.groups {
		b.Groups = append(b.Groups, g)
	}
	slices.SortFunc(b.Groups, func(a, c *GroupStory) int {
		return cmp.Or(cmp.Compare(a.rank(), c.rank()), strings.Compare(a.Name, c.Name))
	})
	b.findPendingSpans()
	b.findNamed()
	slices.SortStableFunc(b.Nodes, func(a, c *NodeStory) int { return a.Began().Compare(c.Began()) })
	slices.SortStableFunc(b.Pods, func(a, c *PodStory) int { return a.Began().Compare(c.Began()) })
	b.indexNodes()
	b.indexFacts()
}

// findNamed sets named. Names are without namespaces.
func (m *Model) findNamed() {
	known := map[string]bool{}
	for _, p := range m.Pods {
		known[timeline.LastPart(p.Name)] = true
	}
	for _, n := range m.Nodes {
		known[n.Node], known[n.Machine] = true, true
	}
	for _, g := range m.Groups {
		known[g.Name] = true
	}
	delete(known, "")
	m.named = map[int][]string{}
	byText := map[string][]string{}
	for i, f := range m.Facts {
		if !isGeneralProblem(f) {
			continue
		}
		names, read := byText[f.Text]
		if !read {
			names = slices.DeleteFunc(speech.Names(f.Text), func(name string) bool { return !known[name] })
			byText[f.Text] = names
		}
		if len(names) > 0 {
			m.named[i] = names
		}
	}
}

// isGeneralProblem reports whether the autoscaler states a problem without the fields that say which
// object the problem is about.
func isGeneralProblem(f timeline.Fact) bool {
	if f.Kind != timeline.Autoscaler || f.What != timeline.Problem {
		return false
	}
	pod, node, group := About(f)
	return pod == "" && node == "" && group == ""
}

// openSpan ends the current span, if any, and begins another, unless the state is the
// same.
func openSpan(spans []Span, state State, at time.Time, text string) []Span {
	if n := len(spans); n > 0 {
		last := &spans[n-1]
		if last.To.IsZero() {
			if last.State == state {
				return spans
			}
			last.To = at
			if !last.To.After(last.From) {
				// Of two facts with the same time only the later one counts.
				spans = spans[:n-1]
				if n > 1 && spans[n-2].State == state {
					spans[n-2].To = time.Time{}
					return spans
				}
			}
		}
	}
	return append(spans, Span{State: state, From: at, Text: text})
}

// closeLastSpan ends the current span.
func closeLastSpan(spans []Span, at time.Time) []Span {
	if n := len(spans); n > 0 && spans[n-1].To.IsZero() {
		spans[n-1].To = at
	}
	return spans
}

// endSpan ends the last span at the record's end.
func endSpan(spans []Span, end time.Time) {
	if n := len(spans); n > 0 && spans[n-1].To.IsZero() {
		spans[n-1].To, spans[n-1].Open = end, true
	}
}

// began returns the beginning of the first span.
func began(spans []Span) time.Time {
	if len(spans) == 0 {
		return time.Time{}
	}
	return spans[0].From
}

// ended returns the end of the last span, zero if it has not ended.
func ended(spans []Span) time.Time {
	if n := len(spans); n > 0 && !spans[n-1].Open {
		return spans[n-1].To
	}
	return time.Time{}
}
