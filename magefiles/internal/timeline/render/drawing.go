package render

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/ui"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/levels"
)

// Sizes of the picture, in pixels.
const (
	pictureWidth  = 1200
	gutter        = 168 // names, left of the time axis
	axisHeight    = 26
	chartHeight   = 56
	marksHeight   = 12
	barHeight     = 15
	podHeight     = 5
	foldedHeight  = 3 // of a node of a group that is folded
	gap           = 2 // between bars
	lanePadding   = 8
	minLaneHeight = 40  // a name and a note
	charWidth     = 5.7 // of a label, about
	halfLabel     = 28  // of the time axis
)

// Bounds that keep a picture readable.
const (
	maxTallRows = 20  // of nodes of one group; if it needs more, all are folded
	maxNodeRows = 400 // of nodes of one group that is folded
	maxPodRows  = 8   // on one node
	maxWaiting  = 30  // rows of waiting pods
	maxNodes    = 1500
	maxPods     = 2500
	maxMarks    = 1500
)

// style is how a state is drawn. The colours are legible on white and on black.
type style struct{ Class, Fill string }

var styles = map[history.State]style{
	history.Provisioning: {"prov", "#8d74c9"}, history.Joining: {"join", "#4f86d9"}, history.Ready: {"use", "#2f8f5b"}, history.Unneeded: {"idle", "#b98a1d"},
	history.NotReady: {"lost", "#d2603a"}, history.Deleting: {"del", "#a8555f"}, history.Failed: {"bad", "#c4342b"},
	history.Pending: {"wait", "#d98032"}, history.Unschedulable: {"stuck", "#d9483b"}, history.Scheduled: {"bound", "#5b92e5"}, history.Running: {"live", "#45a878"}, history.Evicted: {"leave", "#8a8f98"},
	history.Ongoing: {"going", "#7c8694"},
}

// drawing is the layout of a timeline. The position of each thing is there twice: in
// pixels, for the first view of the picture, and in milliseconds since Origin, for the
// page's script, which moves it when a reader zooms.
type drawing struct {
	Width, Height, Gutter, Plot int
	// Script is set if the times are written too.
	Script bool
	// Origin and Span are the time axis in milliseconds, and Zone is the offset of
	// the lab's time zone from UTC.
	Origin, Span, Zone int64
	// From and To are the period that it shows, without the margins.
	From, To time.Time
	Ticks    []tick
	Lanes    []lane
	Bars     []bar
	Lines    []curve
	Marks    []mark
	// Elided says what the picture leaves out.
	Elided []string

	m *history.Model
	// begin is the time at which the picture begins, zero if it shows the whole record.
	begin   time.Time
	verdict func(history.PodWhy) string
	whys    map[*history.PodStory]history.PodWhy
	nodes   map[*history.NodeStory]history.NodeWhy
	dropped map[string]int
}

// tick is a tick of the time axis.
type tick struct {
	X, LabelX float64
	Label     string
}

// lane is a horizontal stripe.
type lane struct {
	Y, Height int
	Odd       bool
	Name      string
	Notes     []string
	// Top and Bottom are the labels of a chart's scale, empty without a chart.
	Top, Bottom   string
	TopY, BottomY int
	Chart         bool
	ChartLine     int
}

// bar is one span of an object, or several that follow each other.
type bar struct {
	Name, Title, Label string
	Y, Height          int
	Parts              []barPart
	LabelX             float64
	A, B               int64
	Class              string
}

// barPart is one span of a bar.
type barPart struct {
	style
	X, Width float64
	A, B     int64
}

// curve is a line of levels.
type curve struct {
	Class, Stroke, Fill, Dash string
	D                         string // as the picture has it
	Points                    string // ms:y, separated by spaces
	Area                      int    // the y of an area's base line, 0 for a line
}

// mark marks a moment, with a line until its end if it lasted.
type mark struct {
	Class, Fill, Title string
	Shape              string // up, down, dot, problem, restart or step
	X, Tail            float64
	A, B               int64
	Y                  int
	Height             int // of a restart or step
}

// beginOf returns the time at which a page or picture begins if the user asks for what
// happened from a time on. It is zero, for the whole record, if the user asks for that,
// or if nothing was recorded after the time, or nothing before it.
func beginOf(m *history.Model, from time.Time) time.Time {
	if from.After(axisStart(m)) && from.Before(m.To) {
		return from
	}
	return time.Time{}
}

// isBefore reports whether an end, if it is set, is before the beginning of a page.
func isBefore(t, begin time.Time) bool { return !t.IsZero() && t.Before(begin) }

// content is what is drawn of a model.
type content struct {
	// numbers are those of the model's facts.
	numbers levels.Levels
	// verdict says what became of a pod.
	verdict func(history.PodWhy) string
	// from, if set, is where the axis begins.
	from time.Time
	// script is set if the page has a script that moves things.
	script bool
}

// draw lays a model out.
func draw(m *history.Model, c content) *drawing {
	begin := beginOf(m, c.from)
	start, end := m.From, m.To
	if from := cmp.Or(begin, axisStart(m)); from.After(start) {
		start = from
	}
	if end.Sub(start) < 10*time.Second {
		end = start.Add(10 * time.Second)
	}
	shown := start
	// A margin on both sides, so that no sign is cut in half.
	gap := end.Sub(start) / 60
	start, end = start.Add(-gap), end.Add(gap)
	_, zone := start.Local().Zone()
	d := &drawing{
		From: shown, To: m.To,
		Width: pictureWidth, Gutter: gutter, Plot: pictureWidth - gutter, Script: c.script,
		Origin: start.UnixMilli(), Span: end.UnixMilli() - start.UnixMilli(), Zone: int64(zone) * 1000,
		m: m, begin: begin, verdict: c.verdict, whys: map[*history.PodStory]history.PodWhy{}, nodes: map[*history.NodeStory]history.NodeWhy{}, dropped: map[string]int{},
	}
	for _, w := range m.PodWhys() {
		d.whys[w.Pod] = w
	}
	for _, w := range m.NodeWhys() {
		d.nodes[w.Node] = w
	}
	d.ticks()
	y := axisHeight
	y = d.scenarios(y)
	y = d.autoscaler(y)
	y = d.charts(c.numbers, y)
	y = d.waiting(y)
	short, shortPods := d.tooShort()
	for _, g := range m.Groups {
		if !isBefore(g.Gone, d.begin) || len(d.nodesOf(g)) > 0 {
			y = d.group(g, y, short, shortPods)
		}
	}
	d.Height = y + 4
	for i := range d.Lanes {
		d.Lanes[i].Odd = i%2 == 1
	}
	for _, g := range m.Gaps {
		a, b := d.ms(g.From), d.ms(g.To)
		if b <= 0 {
			continue
		}
		d.Bars = slices.Insert(d.Bars, 0, bar{
			Title: fmt.Sprintf("%s\n%s – %s (%s)", g.Text, timeline.Clock(g.From), timeline.Clock(g.To), timeline.DurationText(g.Took())), Y: axisHeight, Height: d.Height - axisHeight,
			Parts: []barPart{d.part(style{"gap", "#8a8f98"}, a, b)}, A: a, B: b, Class: "gap",
		})
	}
	d.thinMarks()
	d.elide()
	return d
}

// axisStart returns the beginning of the time axis, shortly before the first
// recording. Older facts do not count: a control plane may be days old.
func axisStart(m *history.Model) time.Time {
	if !m.RecordedSince.IsZero() {
		return m.RecordedSince.Add(-time.Minute)
	}
	return m.From
}

func (d *drawing) ms(t time.Time) int64 { return t.UnixMilli() - d.Origin }

// x returns the place of a time in the picture, in pixels with one decimal.
func (d *drawing) x(ms int64) float64 {
	return math.Round(float64(ms)/float64(d.Span)*float64(d.Plot)*10) / 10
}

func (d *drawing) part(l style, a, b int64) barPart {
	x := d.x(a)
	return barPart{style: l, X: x, Width: math.Max(math.Round((d.x(b)-x)*10)/10, 1), A: a, B: b}
}

// tickSteps are the distances between ticks that a person can read.
var tickSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour,
}

func (d *drawing) ticks() {
	step := tickSteps[len(tickSteps)-1].Milliseconds()
	for _, s := range tickSteps {
		if d.Span/s.Milliseconds() <= int64(d.Plot/90) {
			step = s.Milliseconds()
			break
		}
	}
	layout := "15:04"
	switch {
	case step < time.Minute.Milliseconds():
		layout = time.TimeOnly
	case d.Span > (20 * time.Hour).Milliseconds():
		layout = "Jan 2 15:04"
	}
	local := d.Origin + d.Zone
	for at := local + (step-local%step)%step; at <= local+d.Span; at += step {
		x := d.x(at - local)
		inside := min(max(x, halfLabel), float64(d.Plot)-halfLabel)
		d.Ticks = append(d.Ticks, tick{x, inside, time.UnixMilli(at).UTC().Format(layout)})
	}
}

func (d *drawing) lane(y, height int, name string, notes ...string) *lane {
	d.Lanes = append(d.Lanes, lane{Y: y, Height: height, Name: name, Notes: notes})
	return &d.Lanes[len(d.Lanes)-1]
}

// scenarios draws the band at the top, with the runs of env:up.
func (d *drawing) scenarios(y int) int {
	scenarios := notEndedBefore(d.m.Scenarios, d.begin)
	bringUps := notEndedBefore(d.m.BringUps, d.begin)
	shown := slices.Concat(scenarios, bringUps)
	slices.SortStableFunc(shown, func(a, b *history.Scenario) int { return a.From.Compare(b.From) })
	if len(shown) == 0 {
		return y
	}
	verdicts := map[string]style{timeline.Passed: {"passed", "#2f8f5b"}, timeline.Failed: {"failed", "#c4342b"}, timeline.KnownFailure: {"known", "#b98a1d"}, timeline.Interrupted: {"going", "#7c8694"}, "": {"going", "#7c8694"}}
	var packed rows
	top := y + lanePadding
	deepest := 0
	for _, s := range shown {
		a, b := d.ms(s.From), d.ms(s.To)
		row := packed.fit(a, b, d.Span/300)
		deepest = max(deepest, row)
		at := top + row*(barHeight+7)
		verdict := s.Verdict
		if verdict == "" {
			verdict = "not ended when the record ends"
		}
		what := "scenario " + timeline.Tidy(s.Name)
		if s.Name == timeline.BringUp {
			what = s.Name
		}
		title := fmt.Sprintf("%s: %s\n%s – %s (%s)\n%s", what, verdict, timeline.Clock(s.From), timeline.Clock(s.To), timeline.DurationText(s.Took()), timeline.Shorten(s.Text, timeline.LongestHover))
		d.bar(bar{Name: s.Name, Title: title, Label: timeline.Tidy(s.Name), Y: at, Height: barHeight + 3, Parts: []barPart{d.part(verdicts[s.Verdict], a, b)}, Class: "scenario"})
		for _, step := range s.Steps {
			d.mark(mark{Shape: "step", Class: "step", Fill: "#ffffff", Y: at, Height: barHeight + 3,
				Title: fmt.Sprintf("%s %s\n%s", timeline.Clock(step.At), timeline.Tidy(s.Name), timeline.Shorten(step.Text, timeline.LongestHover))}, step.At, step.At)
		}
	}
	height := max((deepest+1)*(barHeight+7)+lanePadding, minLaneHeight)
	if len(scenarios) == 0 {
		d.lane(y, height, "bring-up", timeline.Plural(len(bringUps), "run"))
	} else {
		d.lane(y, height, "scenarios", timeline.Plural(len(scenarios), "run"))
	}
	return y + height
}

// autoscaler draws the lane of its processes, and of statements that are not about a
// particular group.
func (d *drawing) autoscaler(y int) int {
	if len(d.m.Runs) == 0 {
		return y
	}
	top := y + lanePadding
	for i, r := range d.m.Runs {
		what := "the autoscaler ran"
		if i > 0 {
			what = "the autoscaler ran again"
		}
		d.bar(bar{
			Name: "autoscaler", Title: fmt.Sprintf("%s\n%s – %s (%s)\n%s", what, timeline.Clock(r.From), timeline.Clock(r.To), timeline.DurationText(r.Took()), timeline.Shorten(r.Text, timeline.LongestHover)),
			Y: top + marksHeight, Height: 6, Parts: []barPart{d.part(style{"run", "#7c8694"}, d.ms(r.From), d.ms(r.To))},
		})
		if i > 0 {
			d.mark(mark{Shape: "restart", Class: "restart", Fill: "#d9483b", Y: top, Height: marksHeight + 10, Title: "restart of the autoscaler\n" + timeline.Clock(r.From) + " " + timeline.Shorten(r.Text, timeline.LongestHover)}, r.From, r.From)
		}
	}
	for _, decision := range d.m.Decisions {
		if decision.Group == "" {
			d.decision(decision, top)
		}
	}
	d.statements(d.m.Statements(d.m.From, d.m.To, func(f timeline.Fact) bool {
		return drawnStatement(f) && d.m.GroupOf(f) == ""
	}), top, top+marksHeight+10)
	height := 2*marksHeight + 2*lanePadding + 6
	note := "no restart"
	if n := restartsFrom(d.m, d.begin); n > 0 {
		note = timeline.Plural(n, "restart")
	}
	d.lane(y, height, "autoscaler", note)
	return y + height
}

// notEndedBefore returns the runs that had not ended when a page begins.
func notEndedBefore(runs []*history.Scenario, begin time.Time) []*history.Scenario {
	return slices.DeleteFunc(slices.Clone(runs), func(s *history.Scenario) bool { return isBefore(s.To, begin) })
}

// restartsFrom returns the number of restarts of the autoscaler after a page begins.
func restartsFrom(m *history.Model, begin time.Time) int {
	n := 0
	for i, r := range m.Runs {
		if i > 0 && !isBefore(r.From, begin) {
			n++
		}
	}
	return n
}

// drawnStatement reports whether a statement has a mark in the picture.
func drawnStatement(f timeline.Fact) bool {
	return f.Kind == timeline.Autoscaler && (f.What == timeline.Refused || f.What == timeline.Problem || f.What == timeline.Health)
}

// statements draws problems and health above, refusals below.
func (d *drawing) statements(list []history.Statement, above, below int) {
	for _, s := range list {
		mark := mark{Shape: "dot", Class: "refused", Fill: "#d98032", Y: below}
		switch s.What {
		case timeline.Problem:
			mark.Shape, mark.Class, mark.Fill, mark.Y = "problem", "problem", "#d9483b", above
		case timeline.Health:
			mark.Class, mark.Fill, mark.Y = "health", "#4f86d9", above
		}
		when := timeline.Clock(s.First)
		if s.Until.After(s.First) {
			when += fmt.Sprintf(" – %s (%s)", timeline.Clock(s.Until), timeline.DurationText(s.Until.Sub(s.First)))
		}
		mark.Title = strings.Join(slices.DeleteFunc([]string{when, timeline.WhatText(s.What) + " " + timeline.Tidy(s.Pod), timeline.Shorten(s.Text, timeline.LongestHover)}, func(t string) bool { return t == "" }), "\n")
		d.mark(mark, s.First, s.Until)
	}
}

// waiting draws the lane of pods without a node.
func (d *drawing) waiting(y int) int {
	var packed rows
	top, deepest, count, drawn, left, without := y+lanePadding, 0, 0, 0, 0, 0
	var lost []*history.PodStory
	for _, p := range d.m.Pods {
		if isBefore(p.Placed(), d.begin) {
			continue
		}
		if !p.Lost.IsZero() {
			lost = append(lost, p)
		}
	}
	folds := len(lost) > maxWaiting
	if folds {
		d.lost(lost, top)
		top += barHeight + gap
		count, without = len(lost), len(lost)
	}
	for _, p := range d.m.Pods {
		if isBefore(p.Placed(), d.begin) || folds && !p.Lost.IsZero() {
			continue
		}
		var parts []barPart
		for _, s := range p.Spans {
			if s.State == history.Pending || s.State == history.Unschedulable {
				parts = append(parts, d.part(styles[s.State], d.ms(s.From), d.ms(s.To)))
			}
		}
		if len(parts) == 0 {
			continue
		}
		count++
		if _, ok := d.whys[p]; ok {
			without++
		}
		row := packed.fit(parts[0].A, parts[len(parts)-1].B, d.Span/int64(d.Plot)*2)
		if row >= maxWaiting || drawn == maxPods {
			left++
			continue
		}
		drawn++
		deepest = max(deepest, row)
		d.bar(bar{Name: p.Name, Title: d.podTitle(p), Y: top + row*(podHeight+gap), Height: podHeight, Parts: parts, Class: "pod"})
	}
	if count == 0 {
		return y
	}
	if left > 0 {
		d.dropped["waiting pods"] += left
	}
	height := max(top-y+(deepest+1)*(podHeight+gap)+lanePadding, minLaneHeight)
	notes := []string{timeline.Plural(count, "pod") + ",", fmt.Sprintf("%d without room", without)}
	if line := strings.Join(notes, " "); len(line) <= nameWidth {
		notes = []string{line}
	}
	d.lane(y, height, "waiting pods", notes...)
	return y + height
}

// lost draws the pods that are Lost in one row. Those whose times overlap are one bar.
func (d *drawing) lost(pods []*history.PodStory, y int) {
	for i := 0; i < len(pods); {
		first, until, names := pods[i].Began(), pods[i].Lost, []string{}
		for ; i < len(pods) && !pods[i].Began().After(until); i++ {
			names = append(names, pods[i].Name)
			if pods[i].Lost.After(until) {
				until = pods[i].Lost
			}
		}
		d.bar(bar{
			Title: fmt.Sprintf("%s known only from the autoscaler: what became of them is unknown\n%s – %s (%s)\n%s", timeline.Plural(len(names), "pod"),
				timeline.Clock(first), timeline.Clock(until), timeline.DurationText(until.Sub(first)), strings.Join(timeline.SomeOf(names, 6), "\n")),
			Label: timeline.Plural(len(names), "pod"), Y: y, Height: barHeight, Parts: []barPart{d.part(styles[history.Unschedulable], d.ms(first), d.ms(until))}, Class: "pod",
		})
	}
}

func (d *drawing) podTitle(p *history.PodStory) string {
	text := "pod " + timeline.Tidy(p.Name)
	if w, ok := d.whys[p]; ok {
		text += "\n" + d.verdict(w)
	}
	for _, s := range p.Spans {
		text += fmt.Sprintf("\n%s – %s %s (%s)", timeline.Clock(s.From), timeline.Clock(s.To), s.State, timeline.DurationText(s.Took()))
	}
	if p.Node != "" {
		text += "\non " + timeline.Tidy(p.Node)
	}
	return text
}

// bar adds a bar, unless it ends before the axis begins.
func (d *drawing) bar(b bar) {
	if len(b.Parts) == 0 {
		return
	}
	b.A, b.B = b.Parts[0].A, b.Parts[len(b.Parts)-1].B
	if b.B < 0 {
		return
	}
	if b.Label != "" {
		from := math.Max(d.x(b.A), 0)
		room := int((d.x(b.B) - from - 6) / charWidth)
		b.LabelX = from + 3
		if !d.Script {
			b.Label = labelFor(b.Label, room)
		}
	}
	d.Bars = append(d.Bars, b)
}

// labelFor cuts a label to room, a number of characters, and returns an empty text if
// too little would be left.
func labelFor(label string, room int) string {
	if room < 6 && len([]rune(label)) > room {
		return ""
	}
	return ui.Clip(label, room)
}

func (d *drawing) mark(s mark, from, to time.Time) {
	s.A, s.B = d.ms(from), d.ms(to)
	if s.B < 0 {
		return
	}
	s.X = d.x(s.A)
	s.Tail = math.Round((d.x(s.B)-s.X)*10) / 10
	d.Marks = append(d.Marks, s)
}

// rows packs spans so that none overlaps another in its row.
type rows []int64 // the end of each row's last span

// fit returns the first row that is free from a-air on, and takes it until b.
func (r *rows) fit(a, b, gap int64) int {
	for i, end := range *r {
		if a >= end+gap {
			(*r)[i] = b
			return i
		}
	}
	*r = append(*r, b)
	return len(*r) - 1
}
