package render

import (
	"cmp"
	"crypto/sha256"
	_ "embed" // the page's template, style and scripts
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/levels"
)

//go:embed report.html.tmpl
var pageTemplate string

//go:embed report.css
var pageStyle string

//go:embed report.js
var pageScript string

//go:embed live.js
var liveScript string

// ReportOptions of Report.
type ReportOptions struct {
	// Title of the page, and Subtitle, such as the versions that ran.
	Title, Subtitle string
	// Now is when the page is made; it is the current time if zero.
	Now time.Time
	// From is the time at which the page begins. If zero, or if nothing was recorded
	// since, the page begins shortly before the record does. What ended earlier is left
	// out, but is still used to explain what had not ended.
	From time.Time
	// Hint is how to get a record: the page shows it if there is none.
	Hint []HintStep
	// Version identifies the facts for a page that a server serves. Such a page asks
	// its server for newer facts. It is empty for a page that is a file.
	Version string
	// Verdict says what became of a pod.
	Verdict Verdict
	// Again is what to type to serve such a page again.
	Again string
}

// Verdict says in a sentence, without the pod's name, why a pod of a record waited and what became of
// it. nil says it by what the autoscaler logged.
type Verdict func(*history.Model, history.PodWhy) string

// of returns the verdicts on the pods of a model, each asked for once.
func (v Verdict) of(m *history.Model) func(history.PodWhy) string {
	if v == nil {
		return history.PodWhy.Verdict
	}
	known := map[*history.PodStory]string{}
	return func(w history.PodWhy) string {
		text, asked := known[w.Pod]
		if !asked {
			text = v(m, w)
			known[w.Pod] = text
		}
		return text
	}
}

// HintStep is one step of a hint: commands, each with the words that follow it.
type HintStep []HintCommand

// HintCommand is a command to type, and what it does.
type HintCommand struct{ Command, Text string }

// The largest numbers of rows in a page's tables. The record and the JSON have all.
const (
	maxRows       = 300
	maxFacts      = 2000
	maxStatements = 12 // of one pod or node
)

// Policy returns the Content-Security-Policy of a page. A page loads nothing, and only a
// served one may ask its server for updates.
func Policy(served bool) string {
	policy := "default-src 'none'; style-src " + hashSource(pageStyle) + "; script-src " + hashSource(script(served))
	if served {
		policy += "; connect-src 'self'"
	}
	return policy
}

// hashSource allows the style or the script that is exactly this text.
func hashSource(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func script(served bool) string {
	if served {
		return pageScript + liveScript
	}
	return pageScript
}

// Report writes an HTML page that needs no network, no font and no other script. The
// picture is an SVG of this package, which a few lines of script make zoomable. A chart
// library would add a megabyte to each page, and would give no picture for a comment on
// a merge request.
func Report(w io.Writer, facts []timeline.Fact, opts ReportOptions) error {
	t, err := template.New("page").Funcs(drawingFuncs).Parse(drawingTemplate + pageTemplate)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	if err := t.ExecuteTemplate(w, "page", newPage(history.New(facts), levels.Of(facts), opts)); err != nil {
		return fmt.Errorf("write the timeline's page: %w", err)
	}
	return nil
}

// page is what the template shows.
type page struct {
	Title, Subtitle, Period, Made string
	Policy, Version, Again        string
	Style                         template.CSS
	Script                        template.JS
	Tiles                         []tile
	Legend                        []legend
	Hint                          []HintStep
	Drawing                       *drawing
	Pods                          []podRow
	Nodes                         []nodeRow
	Decisions                     []decisionRow
	Facts                         []factRow
	// These say what the tables leave out.
	PodsLeft, NodesLeft, DecisionsLeft, FactsLeft string

	begin   time.Time // zero if the page has the whole record
	verdict func(history.PodWhy) string
}

// tile is a number of the summary.
type tile struct{ Number, Text string }

// legend explains a colour or a mark.
type legend struct {
	Fill, Mark, Text string
}

type podRow struct {
	Name, Waited, Verdict string
	Parts                 []partRow
	Said                  []statementRow
	More                  string
}

type partRow struct{ Name, Took string }

type statementRow struct{ When, Mark, Class, Text, Often string }

type nodeRow struct {
	Name, Group, Life, Origin string
	Kept                      []statementRow
	More                      string
	Cause                     string
	Parts                     []partRow
}

type decisionRow struct{ When, Mark, Class, What, Text, For string }

type factRow struct{ Time, Mark, Class, Kind, What, Name, Text string }

func newPage(m *history.Model, numbers levels.Levels, opts ReportOptions) page {
	p := page{
		Title: cmp.Or(timeline.Tidy(opts.Title), "Timeline"), Subtitle: timeline.Tidy(opts.Subtitle), Made: timeline.Day(opts.Now),
		Style: template.CSS(pageStyle), Script: template.JS(script(opts.Version != "")), Policy: Policy(opts.Version != ""), Version: opts.Version, Again: opts.Again,
	}
	if len(m.Facts) == 0 {
		p.Hint = opts.Hint
		return p
	}
	p.begin = beginOf(m, opts.From)
	zone, _ := m.To.Local().Zone()
	p.verdict = opts.Verdict.of(m)
	p.Drawing = draw(m, content{numbers: numbers, verdict: p.verdict, from: opts.From, script: true})
	start, end := p.Drawing.From, p.Drawing.To
	p.Period = fmt.Sprintf("%s – %s (%s), times are %s", timeline.Day(start), timeline.Clock(end), timeline.DurationText(end.Sub(start)), zone)
	if !p.begin.IsZero() {
		p.Period += "; what ended before is only in the JSON"
	}
	p.pods(m)
	p.nodes(m)
	p.decisions(m)
	p.facts(m)
	p.tiles(m)
	for _, s := range []history.State{history.Provisioning, history.Joining, history.Ready, history.Unneeded, history.Deleting, history.NotReady, history.Failed} {
		p.Legend = append(p.Legend, legend{Fill: styles[s].Fill, Text: "node " + string(s)})
	}
	for _, s := range []history.State{history.Pending, history.Unschedulable, history.Scheduled, history.Running} {
		p.Legend = append(p.Legend, legend{Fill: styles[s].Fill, Text: "pod " + string(s)})
	}
	p.Legend = append(p.Legend,
		legend{Fill: "#4f86d9", Mark: "━", Text: "wanted"}, legend{Fill: "#2f8f5b", Mark: "▅", Text: "ready"},
		legend{Fill: "#c0564c", Mark: "╌", Text: "max"}, legend{Fill: "#8a8f98", Mark: "┈", Text: "min"},
		legend{Fill: firstColor, Mark: "▅", Text: "median loop duration, API calls, cpu requested"}, legend{Fill: secondColor, Mark: "━", Text: "longest loop, memory requested"},
		legend{Fill: "#2f8f5b", Mark: "▲", Text: "scale-up"}, legend{Fill: "#2a93a8", Mark: "▼", Text: "scale-down"},
		legend{Fill: "#d98032", Mark: "●", Text: "refusal, for as long as it held"}, legend{Fill: "#d9483b", Mark: "◆", Text: "problem"},
		legend{Fill: "#4f86d9", Mark: "●", Text: "health"}, legend{Fill: "#d9483b", Mark: "⚑", Text: "restart"},
		legend{Fill: "#8a8f98", Mark: "░", Text: "not recorded, or paused"})
	return p
}

func (p *page) podWhys(m *history.Model) []history.PodWhy {
	return slices.DeleteFunc(m.PodWhys(), func(w history.PodWhy) bool { return isBefore(w.Pod.Placed(), p.begin) })
}

func (p *page) decided(m *history.Model) []*history.Decision {
	return slices.DeleteFunc(slices.Clone(m.Decisions), func(d *history.Decision) bool { return isBefore(d.At, p.begin) })
}

func (p *page) tiles(m *history.Model) {
	var waited []time.Duration
	still := 0
	for _, w := range p.podWhys(m) {
		waited = append(waited, w.Waited)
		if w.Pod.Pending() {
			still++
		}
	}
	if len(waited) > 0 {
		slices.Sort(waited)
		text := fmt.Sprintf("had no room at first; the median waited %s, the longest %s", timeline.DurationText(waited[len(waited)/2]), timeline.DurationText(waited[len(waited)-1]))
		if still > 0 {
			text += fmt.Sprintf("; %d still do", still)
		}
		p.Tiles = append(p.Tiles, tile{timeline.Plural(len(waited), "pod"), text})
	}
	up, down := 0, 0
	for _, d := range p.decided(m) {
		if d.Up {
			up++
		} else {
			down++
		}
	}
	p.Tiles = append(p.Tiles, tile{fmt.Sprintf("%d ▲ %d ▼", up, down), "decisions to scale up and down"})
	nodes, came, went := 0, 0, 0
	for _, n := range m.Nodes {
		if isBefore(n.Ended(), p.begin) {
			continue
		}
		nodes++
		if !n.Created.IsZero() && !n.Created.Before(axisStart(m)) && !isBefore(n.Created, p.begin) {
			came++
		}
		if !n.Ended().IsZero() {
			went++
		}
	}
	p.Tiles = append(p.Tiles, tile{fmt.Sprintf("+%d −%d", came, went), fmt.Sprintf("nodes created and removed, of %d", nodes)})
	problems := m.Statements(m.From, m.To, func(f timeline.Fact) bool {
		return f.Kind == timeline.Autoscaler && f.What == timeline.Problem && !isBefore(f.Time, p.begin)
	})
	p.Tiles = append(p.Tiles, tile{timeline.Plural(len(problems), "problem"), fmt.Sprintf("reported by the autoscaler, and %s", timeline.Plural(restartsFrom(m, p.begin), "restart"))})
	if scenarios := notEndedBefore(m.Scenarios, p.begin); len(scenarios) > 0 {
		n := map[string]int{}
		for _, s := range scenarios {
			n[s.Verdict]++
		}
		p.Tiles = append(p.Tiles, tile{fmt.Sprintf("%d ✓ %d ✗ %d !", n[timeline.Passed], n[timeline.Failed], n[timeline.KnownFailure]), "scenarios passed, failed, and failed as upstream is known to"})
	}
}

func partRows(parts []history.Part) []partRow {
	var rows []partRow
	for _, p := range parts {
		rows = append(rows, partRow{p.Name, timeline.DurationText(p.Took())})
	}
	return rows
}

// statementRows returns the rows of a list of statements; of a long list, only the first and
// the last rows.
func statementRows(list []history.Statement, about func(history.Statement) string) (rows []statementRow, more string) {
	if n := len(list) - maxStatements; n > 0 {
		more = fmt.Sprintf("%d between the first and the last are left out", n)
		list = slices.Concat(list[:maxStatements/2], list[len(list)-maxStatements/2:])
	}
	for _, s := range list {
		row := statementRow{When: timeline.Clock(s.First), Mark: Mark(timeline.Fact{Kind: timeline.Autoscaler, What: s.What}), Class: s.What, Text: s.Words()}
		if s.Until.Sub(s.First) >= time.Second {
			row.When += "–" + timeline.Clock(s.Until)
		}
		if s.Count > 1 {
			row.Often = fmt.Sprintf("%d×", s.Count)
		}
		if name := timeline.Tidy(about(s)); name != "" && !strings.Contains(row.Text, name) {
			row.Text = name + ": " + row.Text
		}
		rows = append(rows, row)
	}
	return rows, more
}

func (p *page) pods(m *history.Model) {
	whys := p.podWhys(m)
	if n := len(whys) - maxRows; n > 0 {
		p.PodsLeft = fmt.Sprintf("The %d that waited longest of %d pods; the JSON has all.", maxRows, len(whys))
		slices.SortStableFunc(whys, func(a, b history.PodWhy) int { return cmp.Compare(b.Waited, a.Waited) })
		whys = whys[:maxRows]
		slices.SortStableFunc(whys, func(a, b history.PodWhy) int { return a.Pod.Began().Compare(b.Pod.Began()) })
	}
	for _, w := range whys {
		row := podRow{Name: timeline.Tidy(w.Pod.Name), Waited: timeline.DurationText(w.Waited), Verdict: p.verdict(w), Parts: partRows(w.Parts)}
		said := slices.Concat(w.Scheduler, w.Autoscaler)
		slices.SortStableFunc(said, func(a, b history.Statement) int { return a.First.Compare(b.First) })
		row.Said, row.More = statementRows(said, func(s history.Statement) string {
			if s.What == timeline.Unschedulable {
				return "scheduler"
			}
			return s.Group
		})
		p.Pods = append(p.Pods, row)
	}
}

func (p *page) nodes(m *history.Model) {
	whys := slices.DeleteFunc(m.NodeWhys(), func(w history.NodeWhy) bool {
		return isBefore(w.Node.Ended(), p.begin) || len(w.Kept) == 0 && w.Removal == nil && (w.Node.Group == timeline.ControlPlane || w.Node.Created.IsZero())
	})
	if n := len(whys) - maxRows; n > 0 {
		p.NodesLeft = fmt.Sprintf("The last %d of %d nodes; the JSON has all.", maxRows, len(whys))
		whys = whys[n:]
	}
	for _, w := range whys {
		n := w.Node
		row := nodeRow{Name: timeline.Tidy(n.Name()), Group: cmp.Or(timeline.Tidy(n.Group), "no known group"), Origin: w.Origin, Life: timeline.Clock(n.Began()) + " – "}
		if end := n.Ended(); !end.IsZero() {
			row.Life += fmt.Sprintf("%s (%s)", timeline.Clock(end), timeline.DurationText(end.Sub(n.Began())))
		} else {
			row.Life += "the end"
		}
		row.Kept, row.More = statementRows(w.Kept, func(history.Statement) string { return "" })
		if r := w.Removal; r != nil {
			row.Cause, row.Parts = r.Cause, partRows(r.Parts)
		}
		p.Nodes = append(p.Nodes, row)
	}
}

func (p *page) decisions(m *history.Model) {
	list := p.decided(m)
	if n := len(list) - maxRows; n > 0 {
		p.DecisionsLeft = fmt.Sprintf("The last %d of %d; the JSON has all.", maxRows, len(list))
		list = list[n:]
	}
	for _, d := range list {
		row := decisionRow{When: timeline.Clock(d.At), Mark: "▼", Class: timeline.ScaleDown, What: d.Where(), Text: strings.Join(timeline.SomeOf(d.Texts, 6), "\n")}
		if d.Up {
			row.Mark, row.Class = "▲", timeline.ScaleUp
		}
		row.For = strings.Join(timeline.SomeOf(slices.Concat(d.Pods, d.Nodes), 6), "\n")
		p.Decisions = append(p.Decisions, row)
	}
}

func (p *page) facts(m *history.Model) {
	first, _ := slices.BinarySearchFunc(m.Facts, p.begin, func(f timeline.Fact, at time.Time) int { return f.Time.Compare(at) })
	facts := m.Facts[first:]
	if n := len(facts) - maxFacts; n > 0 {
		p.FactsLeft = fmt.Sprintf("The last %d of %d; the JSON has all.", maxFacts, len(facts))
		facts = facts[n:]
	}
	for _, f := range facts {
		p.Facts = append(p.Facts, factRow{
			Time: f.Time.Local().Format("15:04:05.000"), Mark: Mark(f), Class: f.What, Kind: timeline.Tidy(string(f.Kind)),
			What: timeline.WhatText(f.What), Name: nameOf(f), Text: timeline.Shorten(textOf(f), timeline.LongestText),
		})
	}
}
