package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/levels"
)

// Bounds of charts: their curves and tooltips have no more changes than a screen can show.
const (
	maxChanges  = 2000 // parts of one curve, with two changes at most
	maxTooltips = 400  // of one chart
	maxInUse    = 6    // groups in a tooltip
)

// Curves of charts.
var (
	firstCurve  = curve{Class: "first", Stroke: firstColor, Fill: firstColor}
	secondCurve = curve{Class: "second", Stroke: secondColor}
)

const (
	firstColor  = "#4f86d9"
	secondColor = "#d98032"
)

// chart is a lane with numbers over time.
type chart struct {
	name  string
	notes []string
	// first is drawn as an area, second as a line.
	first, second levels.Series
	// least is the lowest top of the scale, and top is what the scale says at its top.
	least int
	top   func(n int) string
	// words are the tooltip's at a time, empty if nothing is known of that time.
	words func(at time.Time) string
}

// charts draws the numbers that are on record: the durations of the autoscaler's loops, its
// requests, and the use of the groups' nodes.
func (d *drawing) charts(l levels.Levels, y int) int {
	y = d.chart(y, chart{
		name: "loop duration", notes: []string{"median ▅, longest ━,", "per minute"}, first: l.LoopMedian, second: l.LoopLongest, least: 1, top: loopText,
		words: func(at time.Time) string {
			median, known := l.LoopMedian.At(at)
			longest, _ := l.LoopLongest.At(at)
			if !known {
				return ""
			}
			return fmt.Sprintf("the autoscaler's loops: median %s, longest %s", loopText(median), loopText(longest))
		},
	})
	y = d.chart(y, chart{
		name: "API calls", notes: []string{"of the autoscaler,", "per second"}, first: l.Requests, least: 1000, top: rateText,
		words: func(at time.Time) string {
			n, known := l.Requests.At(at)
			if !known {
				return ""
			}
			return rateText(n) + " requests per second to API servers"
		},
	})
	cpu, memory := percents(l.All, d.m.To, func(u levels.Use) levels.Share { return u.CPU }), percents(l.All, d.m.To, func(u levels.Use) levels.Share { return u.Memory })
	return d.chart(y, chart{
		name: "utilisation", notes: []string{"requested/allocatable:", "cpu ▅, memory ━"}, first: cpu, second: memory, least: 100,
		top:   func(n int) string { return fmt.Sprintf("%d%%", n) },
		words: func(at time.Time) string { return useText(l, at) },
	})
}

// loopText returns a duration in milliseconds for a reader.
func loopText(ms int) string {
	if ms < 1000 {
		return fmt.Sprintf("%dms", ms)
	}
	return fmt.Sprintf("%.1fs", float64(ms)/1000)
}

// rateText returns thousandths per second for a reader.
func rateText(n int) string { return fmt.Sprintf("%.1f", float64(n)/1000) }

// useText says what the pods of all groups request, and of the fullest groups each.
func useText(l levels.Levels, at time.Time) string {
	all, known := levels.UseAt(l.All, at)
	if !known {
		return ""
	}
	share := func(u levels.Use) string {
		return fmt.Sprintf("cpu %d%%, memory %d%%", u.CPU.Percent(), u.Memory.Percent())
	}
	lines := []string{fmt.Sprintf("requested/allocatable on the nodes of all groups: %s (%.1f of %.1f cores, %.1f of %.1f GiB)", share(all),
		float64(all.CPU.Requested)/1000, float64(all.CPU.Allocatable)/1000, float64(all.Memory.Requested)/(1<<30), float64(all.Memory.Allocatable)/(1<<30))}
	type used struct {
		name string
		levels.Use
	}
	var groups []used
	for _, g := range l.Groups {
		if u, known := levels.UseAt(g.Uses, at); known && u.CPU.Allocatable > 0 {
			groups = append(groups, used{g.Name, u})
		}
	}
	fullest := func(u levels.Use) int { return max(u.CPU.Percent(), u.Memory.Percent()) }
	slices.SortStableFunc(groups, func(a, b used) int { return cmp.Compare(fullest(b.Use), fullest(a.Use)) })
	for i, g := range groups {
		if i == maxInUse {
			lines = append(lines, fmt.Sprintf("and %d more groups", len(groups)-maxInUse))
			break
		}
		lines = append(lines, timeline.Tidy(g.name)+": "+share(g.Use))
	}
	return strings.Join(lines, "\n")
}

// percents returns a share of uses over time. Without anything allocatable there is none.
func percents(uses []levels.Use, end time.Time, of func(levels.Use) levels.Share) levels.Series {
	var s levels.Series
	open := false
	for _, u := range uses {
		share := of(u)
		if open && share.Allocatable <= 0 {
			s[len(s)-1].End, open = u.At, false
		}
		if share.Allocatable <= 0 {
			continue
		}
		level := history.Level{At: u.At, N: share.Percent()}
		if !open {
			s, open = append(s, levels.Stretch{End: end}), true
		}
		last := &s[len(s)-1]
		if n := len(last.Levels); n == 0 || last.Levels[n-1].N != level.N {
			last.Levels = append(last.Levels, level)
		}
	}
	return s
}

// chart draws a chart, unless it has nothing to show in the drawn period.
func (d *drawing) chart(y int, c chart) int {
	first, second := d.shown(c.first), d.shown(c.second)
	if len(first) == 0 {
		return y
	}
	highest := c.least
	for _, stretch := range slices.Concat(first, second) {
		for _, level := range stretch.Levels {
			highest = max(highest, level.N)
		}
	}
	top := y + lanePadding
	bottom := top + chartHeight
	at := heights(highest, bottom)
	l := d.lane(y, chartHeight+2*lanePadding, c.name, c.notes...)
	l.Chart, l.Top, l.Bottom, l.TopY, l.BottomY, l.ChartLine = true, c.top(highest), "0", at(highest), bottom, bottom
	var changes []time.Time
	draw := func(line curve, s levels.Series) {
		for _, stretch := range s {
			d.steps(line, stretch.Levels, stretch.End, at)
			for _, level := range stretch.Levels {
				changes = append(changes, level.At)
			}
			changes = append(changes, stretch.End)
		}
	}
	area := firstCurve
	area.Area = bottom
	draw(area, first)
	draw(secondCurve, second)
	slices.SortFunc(changes, time.Time.Compare)
	d.tooltips(c, changes, top)
	return y + chartHeight + 2*lanePadding
}

// shown returns the part of a series that is drawn. Of changes that are next to each other in the picture,
// the highest level counts: it holds until they are over, and then the last one does. So there are at most
// two changes for each of maxChanges parts of the picture.
func (d *drawing) shown(s levels.Series) levels.Series {
	var all levels.Series
	bucket := max(d.Span/maxChanges, 1)
	for _, stretch := range s {
		if stretch.End.After(d.m.To) {
			stretch.End = d.m.To
		}
		if d.ms(stretch.End) <= 0 || !stretch.End.After(stretch.Levels[0].At) {
			continue
		}
		var kept []history.Level
		last := 0 // the last level in the bucket of the last one that is kept
		settle := func(next time.Time) {
			n := len(kept)
			if n == 0 || kept[n-1].N == last {
				return
			}
			over := time.UnixMilli(d.Origin + (d.ms(kept[n-1].At)/bucket+1)*bucket)
			if over.Before(next) {
				kept = append(kept, history.Level{At: over, N: last})
			}
		}
		for i, level := range stretch.Levels {
			if i+1 < len(stretch.Levels) && d.ms(stretch.Levels[i+1].At) <= 0 || !level.At.Before(stretch.End) {
				continue
			}
			if n := len(kept); n > 0 && d.ms(kept[n-1].At)/bucket == d.ms(level.At)/bucket {
				kept[n-1].N, last = max(kept[n-1].N, level.N), level.N
				continue
			}
			settle(level.At)
			kept, last = append(kept, level), level.N
		}
		settle(stretch.End)
		if len(kept) > 0 {
			all = append(all, levels.Stretch{Levels: kept, End: stretch.End})
		}
	}
	return all
}

// tooltips adds the tooltips of a chart, from one change to the next. Changes soon after a tooltip's
// beginning have no tooltip of their own. Its words hold for a short time then, and end with what is known.
func (d *drawing) tooltips(c chart, changes []time.Time, top int) {
	least := time.Duration(d.Span/maxTooltips) * time.Millisecond
	last := changes[len(changes)-1]
	i := 0
	var until time.Time
	for from := changes[0]; from.Before(last); from = until {
		for !changes[i].After(from) {
			i++
		}
		until = changes[i]
		words := c.words(from)
		if words == "" {
			continue
		}
		if soon := from.Add(least); until.Before(soon) {
			for i < len(changes) && changes[i].Before(soon) {
				i++
			}
			until = soon
			if latest := changes[i-1]; i == len(changes) || c.words(latest) == "" {
				until, i = latest, i-1
			}
		}
		d.bar(bar{
			Name: c.name, Y: top, Height: chartHeight, Class: "size", Parts: []barPart{d.part(style{"size", "#000000"}, d.ms(from), d.ms(until))},
			Title: fmt.Sprintf("%s – %s\n%s", timeline.Clock(from), timeline.Clock(until), words),
		})
	}
}
