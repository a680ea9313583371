package render

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
)

// tooShort returns the durations below which nodes and pods are not drawn, to bound
// their number: zero if none is left out.
func (d *drawing) tooShort() (nodes, pods time.Duration) {
	var n, p []time.Duration
	for _, node := range d.m.Nodes {
		n = append(n, total(node.Spans))
		for _, pod := range node.Pods {
			p = append(p, total(pod.Spans))
		}
	}
	return shortest(n, maxNodes), shortest(p, maxPods)
}

func total(spans []history.Span) time.Duration {
	if len(spans) == 0 {
		return 0
	}
	return spans[len(spans)-1].To.Sub(spans[0].From)
}

func shortest(all []time.Duration, most int) time.Duration {
	if len(all) <= most {
		return 0
	}
	slices.Sort(all)
	return all[len(all)-most]
}

// group draws a node group: marks of what was decided, the sizes, and a row for
// each node with its pods below.
func (d *drawing) group(g *history.GroupStory, y int, short, shortPods time.Duration) int {
	l := d.lane(y, 0, g.Title())
	top := y + lanePadding
	wanted, ready, limit := g.Now()
	scaled := len(g.Wanted)+len(g.Ready)+len(g.Limits) > 0
	said := d.m.Statements(d.m.From, d.m.To, func(f timeline.Fact) bool {
		return drawnStatement(f) && g.Name != "" && d.m.GroupOf(f) == g.Name
	})
	if len(g.Decisions)+len(said) > 0 || scaled {
		for _, decision := range g.Decisions {
			d.decision(decision, top)
		}
		d.statements(said, top+marksHeight, top+marksHeight)
		top += 2*marksHeight + 2
	}
	if scaled {
		if !g.Gone.IsZero() {
			l.Notes = append(l.Notes, "until "+timeline.Clock(g.Gone))
		} else if wanted >= 0 || ready >= 0 {
			l.Notes = append(l.Notes, fmt.Sprintf("wants %s, ready %s", timeline.NumberOr(wanted, "?"), timeline.NumberOr(ready, "?")))
		}
		if limit.Set {
			l.Notes = append(l.Notes, limit.String())
		} else if len(g.Limits) > 0 {
			l.Notes = append(l.Notes, "no limits")
		}
		d.sizes(g, l, top)
		for _, s := range slices.Concat(g.Pauses, d.m.Pauses) {
			d.bar(bar{Name: g.Name, Title: fmt.Sprintf("paused %s – %s (%s)", timeline.Clock(s.From), timeline.Clock(s.To), timeline.DurationText(s.Took())), Y: top, Height: chartHeight,
				Parts: []barPart{d.part(style{"paused", "#8a8f98"}, d.ms(s.From), d.ms(s.To))}, Class: "gap"})
		}
		top += chartHeight + lanePadding
	}
	top = d.rowsOf(g, top, short, shortPods)
	if !scaled {
		l.Notes = append(l.Notes, timeline.Plural(len(d.nodesOf(g)), "node"))
	}
	// A name and two notes need this height.
	l.Height = max(top+lanePadding-y, 44)
	return y + l.Height
}

// decision draws one decision of the autoscaler.
func (d *drawing) decision(decision *history.Decision, y int) {
	mark := mark{Shape: "down", Class: "down", Fill: "#2a93a8", Y: y}
	what := "scale-down of " + timeline.Tidy(decision.Where())
	if decision.Up {
		mark.Shape, mark.Class, mark.Fill = "up", "up", "#2f8f5b"
		what = "scale-up of " + timeline.Tidy(decision.Where())
	}
	lines := []string{timeline.Clock(decision.At) + " " + what}
	lines = append(lines, timeline.SomeOf(decision.Texts, 4)...)
	if n := len(decision.Pods); n > 0 {
		lines = append(lines, fmt.Sprintf("for %s: %s", timeline.Plural(n, "pod"), strings.Join(timeline.SomeOf(decision.Pods, 4), ", ")))
	}
	if len(decision.Nodes) > 0 {
		lines = append(lines, "of "+strings.Join(timeline.SomeOf(decision.Nodes, 4), ", "))
	}
	mark.Title = strings.Join(lines, "\n")
	d.mark(mark, decision.At, decision.At)
}

// sizes draws the levels of a group as steps.
func (d *drawing) sizes(g *history.GroupStory, l *lane, top int) {
	highest := 1
	for _, level := range slices.Concat(g.Wanted, g.Ready) {
		highest = max(highest, level.N)
	}
	for _, limit := range g.Limits {
		// A maximum of hundreds must not flatten a curve that reaches three.
		if limit.Set && limit.Max <= 2*highest+3 {
			highest = max(highest, limit.Max)
		}
	}
	bottom := top + chartHeight
	y := heights(highest, bottom)
	l.Chart, l.Top, l.Bottom, l.TopY, l.BottomY, l.ChartLine = true, fmt.Sprint(highest), "0", y(highest), bottom, bottom
	end := d.m.To
	if !g.Gone.IsZero() {
		end = g.Gone
	}
	d.steps(curve{Class: "ready", Stroke: "#2f8f5b", Fill: "#2f8f5b", Area: bottom}, g.Ready, end, y)
	d.steps(curve{Class: "wanted", Stroke: "#4f86d9"}, g.Wanted, end, y)
	var lowest, most []history.Level
	flush := func(until time.Time) {
		d.steps(curve{Class: "limit", Stroke: "#8a8f98", Dash: "2 3"}, lowest, until, y)
		d.steps(curve{Class: "limit", Stroke: "#c0564c", Dash: "5 3"}, most, until, y)
		lowest, most = nil, nil
	}
	for _, limit := range g.Limits {
		if !limit.Set {
			flush(limit.At)
			continue
		}
		lowest = append(lowest, history.Level{At: limit.At, N: limit.Min})
		if limit.Max <= highest {
			most = append(most, history.Level{At: limit.At, N: limit.Max})
		}
	}
	flush(end)
	// The tooltips, from one change to the next.
	var changes []time.Time
	for _, level := range slices.Concat(g.Wanted, g.Ready) {
		changes = append(changes, level.At)
	}
	slices.SortFunc(changes, time.Time.Compare)
	changes = slices.CompactFunc(changes, time.Time.Equal)
	if len(changes) > maxMarks {
		d.dropped["tooltips of changes of size"] += len(changes) - maxMarks
		changes = changes[len(changes)-maxMarks:]
	}
	for i, at := range changes {
		until := end
		if i+1 < len(changes) {
			until = changes[i+1]
		}
		just := at.Add(time.Nanosecond)
		d.bar(bar{
			Name: g.Name, Y: top, Height: chartHeight, Class: "size", Parts: []barPart{d.part(style{"size", "#000000"}, d.ms(at), d.ms(until))},
			Title: fmt.Sprintf("%s\n%s – %s (%s)\nwants %s, ready %s", g.Title(), timeline.Clock(at), timeline.Clock(until), timeline.DurationText(until.Sub(at)),
				timeline.NumberOr(history.LevelAt(g.Wanted, just), "?"), timeline.NumberOr(history.LevelAt(g.Ready, just), "?")),
		})
	}
}

// heights returns the function from a number to its y in a chart with that bottom and the highest
// number at the top.
func heights(highest, bottom int) func(n int) int {
	return func(n int) int {
		return bottom - int(math.Round(float64(min(n, highest))/float64(highest)*(chartHeight-4)))
	}
}

// steps draws levels that each hold until the next.
func (d *drawing) steps(c curve, levels []history.Level, end time.Time, y func(int) int) {
	if len(levels) == 0 {
		return
	}
	var points, path strings.Builder
	for i, l := range levels {
		at := d.ms(l.At)
		fmt.Fprintf(&points, "%d:%d ", at, y(l.N))
		switch {
		case i > 0:
			fmt.Fprintf(&path, "H%gV%d", d.x(at), y(l.N))
		case c.Area > 0:
			fmt.Fprintf(&path, "M%g %dV%d", d.x(at), c.Area, y(l.N))
		default:
			fmt.Fprintf(&path, "M%g %d", d.x(at), y(l.N))
		}
	}
	last := y(levels[len(levels)-1].N)
	fmt.Fprintf(&points, "%d:%d", d.ms(end), last)
	fmt.Fprintf(&path, "H%g", d.x(d.ms(end)))
	if c.Area > 0 {
		fmt.Fprintf(&path, "V%dZ", c.Area)
	}
	c.Points, c.D = points.String(), path.String()
	d.Lines = append(d.Lines, c)
}

// nodesOf returns the nodes of a group that were not gone when the picture begins.
func (d *drawing) nodesOf(g *history.GroupStory) []*history.NodeStory {
	return slices.DeleteFunc(slices.Clone(g.Nodes), func(n *history.NodeStory) bool { return isBefore(n.Ended(), d.begin) })
}

// placed is a node in a row of its group.
type placed struct {
	node *history.NodeStory
	row  int
}

// rowsOf draws the nodes of a group, each with its pods below. The nodes of a group that needs many
// rows are folded: thin, without names and pods.
func (d *drawing) rowsOf(g *history.GroupStory, top int, short, shortPods time.Duration) int {
	var packed rows
	var all []placed
	nodes := d.nodesOf(g)
	slices.SortStableFunc(nodes, func(a, b *history.NodeStory) int { return a.Began().Compare(b.Began()) })
	for _, n := range nodes {
		if len(n.Spans) == 0 {
			continue
		}
		a, b := d.ms(n.Spans[0].From), d.ms(n.Spans[len(n.Spans)-1].To)
		if b < 0 {
			d.dropped["nodes that were gone before"]++
			continue
		}
		if total(n.Spans) < short {
			d.dropped["nodes of less than "+timeline.DurationText(short)]++
			continue
		}
		row := packed.fit(a, b, d.Span/200)
		if row >= maxNodeRows {
			d.dropped["nodes of "+g.Title()]++
			continue
		}
		all = append(all, placed{n, row})
	}
	if len(packed) > maxTallRows {
		return d.folded(g, all, top)
	}
	pods := make([][]bar, len(all)) // their Y is the row below the node's
	lowest := make([]int, len(packed))
	for i, p := range all {
		var below int
		pods[i], below = d.podsOf(p.node, shortPods)
		lowest[p.row] = max(lowest[p.row], below)
	}
	ys := make([]int, len(lowest))
	for i, below := range lowest {
		ys[i] = top
		top += barHeight + gap + below*(podHeight+gap-1) + gap
	}
	for i, p := range all {
		b := d.nodeBar(p.node)
		b.Label, b.Y, b.Height = shortName(p.node), ys[p.row], barHeight
		d.bar(b)
		for _, pod := range pods[i] {
			pod.Y = ys[p.row] + barHeight + gap - 1 + pod.Y*(podHeight+gap-1)
			d.bar(pod)
		}
	}
	return top
}

// folded draws the nodes of a group thin, without names and pods.
func (d *drawing) folded(g *history.GroupStory, all []placed, top int) int {
	deepest, pods := 0, 0
	for _, p := range all {
		b := d.nodeBar(p.node)
		b.Y, b.Height = top+p.row*(foldedHeight+gap-1), foldedHeight
		d.bar(b)
		deepest, pods = max(deepest, p.row), pods+len(p.node.Pods)
	}
	if pods > 0 {
		d.dropped["pods on the folded nodes of "+g.Title()] += pods
	}
	return top + (deepest+1)*(foldedHeight+gap-1)
}

// nodeBar returns the bar of a node, without its place.
func (d *drawing) nodeBar(n *history.NodeStory) bar {
	var parts []barPart
	for _, s := range n.Spans {
		parts = append(parts, d.part(styles[s.State], d.ms(s.From), d.ms(s.To)))
	}
	return bar{Name: n.Name(), Title: d.nodeTitle(n), Parts: parts, Class: "node"}
}

// podsOf returns the bars of the pods on a node, and how many rows they take.
func (d *drawing) podsOf(n *history.NodeStory, short time.Duration) (bars []bar, lowest int) {
	var packed rows
	for _, p := range n.Pods {
		var parts []barPart
		for _, s := range p.Spans {
			if s.State == history.Scheduled || s.State == history.Running || s.State == history.Evicted {
				parts = append(parts, d.part(styles[s.State], d.ms(s.From), d.ms(s.To)))
			}
		}
		if len(parts) == 0 || parts[len(parts)-1].B < 0 {
			continue
		}
		if total(p.Spans) < short {
			d.dropped["pods of less than "+timeline.DurationText(short)]++
			continue
		}
		row := packed.fit(parts[0].A, parts[len(parts)-1].B, d.Span/int64(d.Plot)*2)
		if row >= maxPodRows {
			d.dropped["pods beyond "+timeline.Plural(maxPodRows, "row")+" on a node"]++
			continue
		}
		lowest = max(lowest, row+1)
		bars = append(bars, bar{Name: p.Name, Title: d.podTitle(p), Y: row, Height: podHeight - 1, Parts: parts, Class: "pod"})
	}
	return bars, lowest
}

func (d *drawing) nodeTitle(n *history.NodeStory) string {
	w := d.nodes[n]
	text := "node " + timeline.Tidy(n.Name())
	if n.Machine != "" && n.Machine != n.Node {
		text = fmt.Sprintf("machine %s", timeline.Tidy(n.Machine))
		if n.Node != "" {
			text += ", node " + timeline.Tidy(n.Node)
		}
	}
	text += "\n" + w.Origin
	for _, s := range n.Spans {
		text += fmt.Sprintf("\n%s – %s %s (%s)", timeline.Clock(s.From), timeline.Clock(s.To), s.State, timeline.DurationText(s.Took()))
	}
	if len(w.Kept) > 0 {
		text += "\nkept: " + timeline.Shorten(w.Kept[len(w.Kept)-1].Text, timeline.LongestHover)
	}
	if w.Removal != nil {
		text += "\n" + w.Removal.Cause
	}
	return text
}

// shortName returns a node's name without its group's name, which is shown beside it.
func shortName(n *history.NodeStory) string {
	name := timeline.Tidy(n.Name())
	if _, rest, found := strings.Cut(name, n.Group+"-"); found && n.Group != "" && rest != "" {
		return rest
	}
	return name
}

// thinMarks joins marks at the same position if there are too many to draw.
func (d *drawing) thinMarks() {
	if len(d.Marks) <= maxMarks {
		return
	}
	type spot struct {
		class string
		y, x  int
	}
	first := map[spot]int{}
	count := map[spot]int{}
	var kept []mark
	for _, s := range d.Marks {
		at := spot{s.Class, s.Y, int(s.X / 8)}
		count[at]++
		i, ok := first[at]
		if !ok {
			first[at] = len(kept)
			kept = append(kept, s)
			continue
		}
		if n := count[at]; n <= 4 {
			kept[i].Title += "\n" + s.Title
		}
		d.dropped["marks that coincide with others of their kind"]++
	}
	for at, n := range count {
		if n > 4 {
			kept[first[at]].Title += fmt.Sprintf("\nand %d more", n-4)
		}
	}
	d.Marks = kept
}

// elide sets Elided from what was dropped.
func (d *drawing) elide() {
	for _, what := range slices.Sorted(maps.Keys(d.dropped)) {
		d.Elided = append(d.Elided, fmt.Sprintf("%s: %d", what, d.dropped[what]))
	}
}
