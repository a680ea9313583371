package render

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"caslab/magefiles/internal/ui"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
)

// LiveOptions of Live.
type LiveOptions struct {
	// Width and Height of the terminal in columns and lines; if zero, those of
	// the terminal at each moment, or 80 and 24.
	Width, Height int
	// Color marks decisions, problems and states.
	Color bool
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// Hint is shown while nothing has happened: lines that say what to do.
	Hint []string
	// Every is how often ages are updated while nothing happens; a second if zero.
	Every time.Duration
}

// Live shows the facts that next gives on a terminal, until ctx is done or next is
// closed: the state of the groups, nodes and waiting pods, and below them the last
// facts. It writes over its own lines only and switches no mode of the terminal: the
// last picture stays, and the prompt comes below it.
func Live(ctx context.Context, w io.Writer, next <-chan timeline.Fact, opts LiveOptions) error {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Every == 0 {
		opts.Every = time.Second
	}
	v := &view{region: ui.Region{W: w, Columns: opts.Width, Rows: opts.Height}, opts: opts}
	if err := v.show(); err != nil {
		return err
	}
	beat := time.NewTicker(opts.Every)
	defer beat.Stop()
	// A burst of facts is drawn once. A long record takes a while to put in order,
	// and the live view must not use more CPU than the cluster.
	var soon <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return v.show()
		case f, more := <-next:
			if !more {
				return v.show()
			}
			v.facts, v.model = append(v.facts, f), nil
			if soon == nil {
				soon = time.After(max(opts.Every/8, 10*v.cost))
			}
			continue
		case <-soon:
		case <-beat.C:
			if soon != nil {
				continue
			}
		}
		soon = nil
		if err := v.show(); err != nil {
			return err
		}
	}
}

// view is what Live shows.
type view struct {
	region ui.Region
	opts   LiveOptions
	facts  []timeline.Fact
	model  *history.Model // of facts, nil if there are new ones
	cost   time.Duration
}

// show draws the picture over the one before.
func (v *view) show() error {
	if v.model == nil {
		start := time.Now()
		v.model = history.New(v.facts)
		v.cost = time.Since(start)
	}
	width, height := v.region.Size()
	lines := frame(v.model, v.opts.Now(), width, height, v.opts.Color)
	if len(v.model.Facts) == 0 {
		lines = append(lines, v.hint(width, height-1-len(lines))...)
	}
	if err := v.region.Draw(nil, lines); err != nil {
		return fmt.Errorf("show the timeline: %w", err)
	}
	return nil
}

// hint returns at most rows lines of the hint.
func (v *view) hint(width, rows int) []string {
	p := &painter{width: width - 1}
	for _, line := range v.opts.Hint[:max(min(len(v.opts.Hint), rows), 0)] {
		p.line("", "%s", line)
	}
	return p.lines
}

// stateColors has the terminal's colours of the states.
var stateColors = map[history.State]string{
	history.Provisioning: "35", history.Joining: "34", history.Ready: "32", history.Unneeded: "33", history.NotReady: "31", history.Deleting: "31", history.Failed: "1;31",
	history.Pending: "33", history.Unschedulable: "33",
}

// frame returns the picture at a moment: at most height-1 lines, because the cursor
// needs one, of at most width-1 columns.
func frame(m *history.Model, now time.Time, width, height int, color bool) []string {
	p := &painter{width: width - 1, color: color}
	if len(m.Facts) == 0 {
		p.line("", "Nothing has happened yet.")
		return p.lines[:min(len(p.lines), max(height-1, 1))]
	}
	p.summary(m, now)
	p.groups(m)
	// The last facts matter most: they get at least a third of the height.
	room := max(height-1-len(p.lines)-max(height/3, 4), 2)
	waiting := p.waiting(m, now, (room+1)/2)
	p.nodes(m, now, room-waiting)
	if left := height - 1 - len(p.lines); left > 1 {
		p.line("2", "%s", strings.Repeat("─", p.width))
		opts := LineOptions{Width: p.width, Color: color}
		facts := m.Facts[max(0, len(m.Facts)-left+1):]
		for _, f := range facts {
			opts.NameWidth = min(max(opts.NameWidth, utf8.RuneCountInString(nameOf(f))), max(p.width/3, 12))
		}
		for _, f := range facts {
			p.lines = append(p.lines, oneLine(f, opts))
		}
	}
	return p.lines[:min(len(p.lines), max(height-1, 1))]
}

// painter gathers the lines of a frame.
type painter struct {
	width int
	color bool
	lines []string
}

// line adds a line, cut to the width, in a colour of the terminal.
func (p *painter) line(color, format string, args ...any) {
	text := ui.Clip(fmt.Sprintf(format, args...), p.width)
	if p.color && color != "" {
		text = "\x1b[" + color + "m" + text + "\x1b[0m"
	}
	p.lines = append(p.lines, text)
}

// summary writes the number of pods, and the states of the autoscaler and of a scenario.
func (p *painter) summary(m *history.Model, now time.Time) {
	waiting, starting, running := 0, 0, 0
	for _, pod := range m.Pods {
		switch {
		case !pod.Ended().IsZero():
		case pod.Pending():
			waiting++
		case pod.Running.IsZero():
			starting++
		default:
			running++
		}
	}
	text := fmt.Sprintf("%s  pods: %d pending, %d starting, %d running", timeline.Clock(now), waiting, starting, running)
	if n := len(m.Runs); n > 0 && m.Runs[n-1].Open {
		text += fmt.Sprintf("  autoscaler: since %s", timeline.Clock(m.Runs[n-1].From))
		if n > 1 {
			text += ", " + timeline.Plural(n-1, "restart")
		}
	} else if n > 0 {
		text += fmt.Sprintf("  autoscaler: stopped at %s", timeline.Clock(m.Runs[n-1].To))
	} else {
		text += "  autoscaler: nothing on record"
	}
	for _, s := range m.Scenarios {
		if s.Open {
			text += fmt.Sprintf("  scenario %s: %s", timeline.Tidy(s.Name), timeline.DurationText(now.Sub(s.From)))
		}
	}
	if n := len(m.BringUps); n > 0 && m.BringUps[n-1].Open {
		s := m.BringUps[n-1]
		text += fmt.Sprintf("  %s: %s", s.Name, timeline.DurationText(now.Sub(s.From)))
	}
	p.line("1", "%s", text)
}

// groups draws a bar for each group: ready nodes, wanted nodes, and the room up to the
// maximum.
func (p *painter) groups(m *history.Model) {
	longest := 0
	for _, g := range m.Groups {
		if len(g.Wanted) > 0 {
			longest = min(max(longest, utf8.RuneCountInString(g.Title())), 32)
		}
	}
	for _, g := range m.Groups {
		wanted, ready, limit := g.Now()
		if wanted < 0 || !g.Gone.IsZero() {
			continue
		}
		most := max(wanted, ready)
		bounds := "no limits"
		if limit.Set {
			most = max(most, limit.Max)
			bounds = fmt.Sprintf("min %d max %d", limit.Min, limit.Max)
		}
		cells := min(most, max(p.width-longest-44, 8))
		scale := func(n int) int { return (max(n, 0)*cells + most - 1) / max(most, 1) }
		have, want := scale(ready), scale(wanted)
		drawn := strings.Repeat("█", min(have, want)) + strings.Repeat("▒", max(want-have, 0)) + strings.Repeat("▓", max(have-want, 0))
		drawn += strings.Repeat("·", max(cells-max(have, want), 0))
		color := ""
		if have != want {
			color = "33"
		}
		note := ""
		if n := len(g.Pauses); n > 0 && g.Pauses[n-1].Open {
			note = "  paused"
		}
		p.line(color, "  %-*s  %s  wants %d, ready %s, %s%s", longest, ui.Clip(g.Title(), longest), drawn, wanted, timeline.NumberOr(ready, "?"), bounds, note)
	}
}

// waiting lists the pods without a node, each with the last reason. It returns how
// many lines that took.
func (p *painter) waiting(m *history.Model, now time.Time, room int) int {
	var pods []*history.PodStory
	for _, pod := range m.Pods {
		if pod.Ended().IsZero() && pod.Pending() {
			pods = append(pods, pod)
		}
	}
	before := len(p.lines)
	for i, pod := range pods {
		if i == room-1 && len(pods) > room {
			p.line("33", "  and %d more pending", len(pods)-i)
			break
		}
		reason := "no reason on record"
		w := m.PodWhy(pod)
		if n := len(w.Scheduler); n > 0 {
			reason = timeline.Tidy(w.Scheduler[n-1].Text)
		}
		if d := w.Decision; d != nil {
			reason = "the autoscaler enlarges " + d.Where()
		} else if slices.ContainsFunc(w.Autoscaler, func(s history.Statement) bool { return s.What == timeline.Refused || s.What == timeline.Problem }) {
			reason = w.Reason()
		}
		p.line("33", "  %-11s %s %6s  %s", "pending", timeline.Tidy(pod.Name), timeline.DurationText(now.Sub(pod.Began()).Truncate(time.Second)), reason)
	}
	return len(p.lines) - before
}

// nodes lists machines and nodes; those that are changing come first.
func (p *painter) nodes(m *history.Model, now time.Time, room int) {
	nodes := slices.DeleteFunc(slices.Clone(m.Nodes), func(n *history.NodeStory) bool { return len(n.Spans) == 0 || !n.Ended().IsZero() })
	still := func(n *history.NodeStory) int {
		switch n.Spans[len(n.Spans)-1].State {
		case history.Ready:
			return 1
		case history.NotReady, history.Failed:
			return -1
		}
		return 0
	}
	slices.SortStableFunc(nodes, func(a, b *history.NodeStory) int {
		return cmp.Or(cmp.Compare(still(a), still(b)), cmp.Compare(a.Group, b.Group))
	})
	longest := 0
	for _, n := range nodes {
		longest = min(max(longest, utf8.RuneCountInString(timeline.Tidy(n.Name()))), 48)
	}
	for i, n := range nodes {
		if i == room-1 && len(nodes) > room {
			p.line("2", "  and %d more nodes", len(nodes)-i)
			break
		}
		span := n.Spans[len(n.Spans)-1]
		pods := 0
		for _, pod := range n.Pods {
			if pod.Ended().IsZero() {
				pods++
			}
		}
		p.line(stateColors[span.State], "  %-12s %-*s  for %s, age %s, %s", span.State, longest, ui.Clip(timeline.Tidy(n.Name()), longest),
			timeline.DurationText(now.Sub(span.From).Truncate(time.Second)), timeline.DurationText(now.Sub(n.Began()).Truncate(time.Second)), timeline.Plural(pods, "pod"))
	}
}
