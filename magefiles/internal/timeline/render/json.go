package render

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
)

// JSONOptions of JSON.
type JSONOptions struct {
	// Title and Subtitle as in the report.
	Title, Subtitle string
	// Verdict says what became of a pod.
	Verdict Verdict
}

// Findings is what JSON writes. Times are RFC 3339 in UTC, durations are seconds,
// lists are by time, and what is not on record is left out. While Version is 1, fields
// may be added, but none is renamed or changes its meaning.
type Findings struct {
	Version  int       `json:"version"`
	Title    string    `json:"title,omitempty"`
	Subtitle string    `json:"subtitle,omitempty"`
	From     time.Time `json:"from,omitzero"`
	To       time.Time `json:"to,omitzero"`
	// Pods that were found unschedulable, and why they waited.
	Pods []PodFinding `json:"pods"`
	// Nodes, why they were kept and how they went.
	Nodes     []NodeFinding     `json:"nodes"`
	Groups    []GroupFinding    `json:"groups"`
	Decisions []DecisionFinding `json:"decisions"`
	// Autoscaler has its runs, Gaps when nobody recorded.
	Autoscaler []SpanFinding     `json:"autoscaler"`
	Gaps       []SpanFinding     `json:"gaps"`
	Scenarios  []ScenarioFinding `json:"scenarios"`
	// BringUps has the runs of env:up, which are no scenarios.
	BringUps []ScenarioFinding `json:"bringUps"`
	// Facts are the record itself, in order and each once.
	Facts []timeline.Fact `json:"facts"`
}

// SpanFinding is a period in one state. It has no End if it had not ended when the
// record did.
type SpanFinding struct {
	State   history.State `json:"state,omitempty"`
	Start   time.Time     `json:"start"`
	End     time.Time     `json:"end,omitzero"`
	Seconds float64       `json:"seconds"`
	Text    string        `json:"text,omitempty"`
}

// PartFinding is one part of a wait or a removal.
type PartFinding struct {
	Name    string    `json:"name"`
	Start   time.Time `json:"start"`
	Seconds float64   `json:"seconds"`
}

// StatementFinding is something that was said, once or repeatedly. What has the values
// of facts, Until is when it no longer held, and Count is its number of facts.
type StatementFinding struct {
	What  string    `json:"what"`
	Pod   string    `json:"pod,omitempty"`
	Node  string    `json:"node,omitempty"`
	Group string    `json:"group,omitempty"`
	Text  string    `json:"text"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Until time.Time `json:"until"`
	Count int       `json:"count"`
}

// PodFinding is why a pod waited. Waiting is set if it waited at the record's end.
type PodFinding struct {
	Name          string             `json:"name"`
	Verdict       string             `json:"verdict"`
	WaitedSeconds float64            `json:"waitedSeconds"`
	Waiting       bool               `json:"waiting"`
	Node          string             `json:"node,omitempty"`
	NewNode       bool               `json:"newNode"`
	Group         string             `json:"group,omitempty"`
	DecidedAt     time.Time          `json:"decidedAt,omitzero"`
	Parts         []PartFinding      `json:"parts"`
	States        []SpanFinding      `json:"states"`
	Scheduler     []StatementFinding `json:"scheduler"`
	Autoscaler    []StatementFinding `json:"autoscaler"`
}

// NodeFinding is why a node came, was kept and was removed.
type NodeFinding struct {
	Node    string             `json:"node,omitempty"`
	Machine string             `json:"machine,omitempty"`
	Group   string             `json:"group,omitempty"`
	Origin  string             `json:"origin"`
	States  []SpanFinding      `json:"states"`
	Pods    []string           `json:"pods"`
	Kept    []StatementFinding `json:"kept"`
	// Removal is left out for a node that stayed.
	Removal *RemovalFinding `json:"removal,omitempty"`
}

// RemovalFinding is how a node was removed. Seconds begin with the decision, if one is
// on record.
type RemovalFinding struct {
	Cause     string        `json:"cause"`
	DecidedAt time.Time     `json:"decidedAt,omitzero"`
	Done      bool          `json:"done"`
	Seconds   float64       `json:"seconds"`
	Parts     []PartFinding `json:"parts"`
}

// GroupFinding is what a group wanted and why.
type GroupFinding struct {
	Name   string         `json:"name"`
	Sizes  []SizeFinding  `json:"sizes"`
	Limits []LimitFinding `json:"limits"`
	Paused []SpanFinding  `json:"paused"`
}

// SizeFinding is one change of size. From is null for the first size on record.
// DecidedAt is left out if no decision caused the change. ReadySeconds is how long it
// took until that many replicas were ready.
type SizeFinding struct {
	At           time.Time `json:"at"`
	From         *int      `json:"from"`
	To           int       `json:"to"`
	DecidedAt    time.Time `json:"decidedAt,omitzero"`
	ReadySeconds *float64  `json:"readySeconds,omitempty"`
}

// LimitFinding has the limits from a time on; they are null if the autoscaler does not
// scale the group.
type LimitFinding struct {
	At  time.Time `json:"at"`
	Min *int      `json:"min"`
	Max *int      `json:"max"`
}

// DecisionFinding is one decision. Size is left out if no fact has it.
type DecisionFinding struct {
	At    time.Time `json:"at"`
	Up    bool      `json:"up"`
	Group string    `json:"group,omitempty"`
	Size  *int      `json:"size,omitempty"`
	Pods  []string  `json:"pods"`
	Nodes []string  `json:"nodes"`
	Texts []string  `json:"texts"`
}

// ScenarioFinding is one run of a scenario or of env:up; Verdict is passed, failed,
// known failure, interrupted or empty.
type ScenarioFinding struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	SpanFinding
	Steps []StepFinding `json:"steps"`
}

// StepFinding is one step of a scenario.
type StepFinding struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// JSON writes the facts and what history finds in them, as Findings.
func JSON(w io.Writer, facts []timeline.Fact, opts JSONOptions) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	if err := e.Encode(newFindings(history.New(facts), opts)); err != nil {
		return fmt.Errorf("write the timeline as JSON: %w", err)
	}
	return nil
}

func newFindings(m *history.Model, opts JSONOptions) Findings {
	f := Findings{
		Version: 1, Title: opts.Title, Subtitle: opts.Subtitle, From: m.From.UTC(), To: m.To.UTC(),
		Pods: []PodFinding{}, Nodes: []NodeFinding{}, Groups: []GroupFinding{}, Decisions: []DecisionFinding{},
		Autoscaler: spanFindings(m.Runs), Gaps: spanFindings(m.Gaps), Facts: make([]timeline.Fact, 0, len(m.Facts)),
	}
	if len(m.Facts) == 0 {
		f.From, f.To = time.Time{}, time.Time{}
	}
	for _, fact := range m.Facts {
		fact.Time = fact.Time.UTC()
		if !fact.Seen.IsZero() {
			fact.Seen = fact.Seen.UTC()
		}
		f.Facts = append(f.Facts, fact)
	}
	verdict := opts.Verdict.of(m)
	for _, w := range m.PodWhys() {
		p := PodFinding{
			Name: w.Pod.Name, Verdict: verdict(w), WaitedSeconds: w.Waited.Seconds(), Waiting: w.Pod.Pending(), Node: w.Pod.Node, NewNode: w.NewNode,
			Parts: partFindings(w.Parts), States: spanFindings(w.Pod.Spans), Scheduler: statementFindings(w.Scheduler), Autoscaler: statementFindings(w.Autoscaler),
		}
		if w.Decision != nil {
			p.Group, p.DecidedAt = w.Decision.Group, w.Decision.At.UTC()
		}
		f.Pods = append(f.Pods, p)
	}
	for _, w := range m.NodeWhys() {
		f.Nodes = append(f.Nodes, nodeFinding(w))
	}
	for _, g := range m.Groups {
		f.Groups = append(f.Groups, groupFinding(m, g))
	}
	for _, d := range m.Decisions {
		found := DecisionFinding{At: d.At.UTC(), Up: d.Up, Group: d.Group, Pods: orEmpty(d.Pods), Nodes: orEmpty(d.Nodes), Texts: orEmpty(d.Texts)}
		if d.N >= 0 {
			found.Size = &d.N
		}
		f.Decisions = append(f.Decisions, found)
	}
	f.Scenarios, f.BringUps = scenarioFindings(m.Scenarios), scenarioFindings(m.BringUps)
	return f
}

func scenarioFindings(runs []*history.Scenario) []ScenarioFinding {
	all := []ScenarioFinding{}
	for _, s := range runs {
		found := ScenarioFinding{Name: s.Name, Verdict: s.Verdict, SpanFinding: spanFinding(s.Span), Steps: []StepFinding{}}
		for _, step := range s.Steps {
			found.Steps = append(found.Steps, StepFinding{step.At.UTC(), step.Text})
		}
		all = append(all, found)
	}
	return all
}

func nodeFinding(w history.NodeWhy) NodeFinding {
	n := w.Node
	pods := []string{}
	for _, p := range n.Pods {
		pods = timeline.AppendUnique(pods, p.Name)
	}
	found := NodeFinding{
		Node: n.Node, Machine: n.Machine, Group: n.Group, Origin: w.Origin, States: spanFindings(n.Spans), Kept: statementFindings(w.Kept),
		Pods: pods,
	}
	if r := w.Removal; r != nil {
		found.Removal = &RemovalFinding{Cause: r.Cause, Done: r.Done, Seconds: r.Took().Seconds(), Parts: partFindings(r.Parts)}
		if r.Decision != nil {
			found.Removal.DecidedAt = r.At.UTC()
		}
	}
	return found
}

func groupFinding(m *history.Model, g *history.GroupStory) GroupFinding {
	found := GroupFinding{Name: g.Name, Sizes: []SizeFinding{}, Limits: []LimitFinding{}, Paused: spanFindings(g.Pauses)}
	for _, c := range m.SizeChanges(g) {
		s := SizeFinding{At: c.At.UTC(), To: c.To}
		if c.From >= 0 {
			s.From = &c.From
		}
		if c.Decision != nil {
			s.DecidedAt = c.Decision.At.UTC()
		}
		if !c.Ready.IsZero() {
			seconds := c.Ready.Sub(c.At).Seconds()
			s.ReadySeconds = &seconds
		}
		found.Sizes = append(found.Sizes, s)
	}
	for _, l := range g.Limits {
		limit := LimitFinding{At: l.At.UTC()}
		if l.Set {
			limit.Min, limit.Max = &l.Min, &l.Max
		}
		found.Limits = append(found.Limits, limit)
	}
	return found
}

func spanFinding(s history.Span) SpanFinding {
	found := SpanFinding{State: s.State, Start: s.From.UTC(), End: s.To.UTC(), Seconds: s.Took().Seconds(), Text: s.Text}
	if s.Open {
		found.End = time.Time{}
	}
	return found
}

func spanFindings(spans []history.Span) []SpanFinding {
	found := []SpanFinding{}
	for _, s := range spans {
		found = append(found, spanFinding(s))
	}
	return found
}

func partFindings(parts []history.Part) []PartFinding {
	found := []PartFinding{}
	for _, p := range parts {
		found = append(found, PartFinding{p.Name, p.From.UTC(), p.Took().Seconds()})
	}
	return found
}

func statementFindings(list []history.Statement) []StatementFinding {
	found := []StatementFinding{}
	for _, s := range list {
		found = append(found, StatementFinding{s.What, s.Pod, s.Node, s.Group, s.Text, s.First.UTC(), s.Last.UTC(), s.Until.UTC(), s.Count})
	}
	return found
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
