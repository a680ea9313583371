package render

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/levels"
	"caslab/magefiles/internal/timeline/timelinetest"
)

// TestNumbersHaveLanes: the loops of the autoscaler, its requests and the use of the groups' nodes
// each have a lane with curves. A record without these facts has none of the lanes.
func TestNumbersHaveLanes(t *testing.T) {
	t.Parallel()
	lanes := func(facts []timeline.Fact) (names []string) {
		for _, l := range drawn(facts).Lanes {
			names = append(names, l.Name)
		}
		return names
	}
	facts := timelinetest.Measured()
	want := []string{"autoscaler", "loop duration", "API calls", "utilisation"}
	if got := lanes(facts); !slices.Equal(got[:len(want)], want) {
		t.Errorf("the lanes are %q, want %q first", got, want)
	}
	if got := lanes(timelinetest.TwentyMinutes()); slices.ContainsFunc(want[1:], func(name string) bool { return slices.Contains(got, name) }) {
		t.Errorf("an old record has the lanes %q", got)
	}
	page := html.UnescapeString(reportOf(t, facts, ReportOptions{}))
	for _, words := range []string{
		"the autoscaler's loops: median 200ms, longest 3.0s", "1.5 requests per second to API servers",
		"nodes of all groups: cpu 50%, memory 25% (2.0 of 4.0 cores, 2.0 of 8.0 GiB)\nweb: cpu 50%, memory 25%",
		"longest loop, memory requested",
	} {
		if !strings.Contains(page, words) {
			t.Errorf("the page does not say %q", words)
		}
	}
	svg := svgOf(t, facts)
	wellFormed(t, svg)
	if strings.Contains(svg, "…</text>") {
		t.Error("a note of a lane is cut")
	}
	curves := map[string]int{}
	for _, c := range drawn(facts).Lines {
		curves[c.Class]++
	}
	// The autoscaler was restarted, so that there are two stretches of loops.
	if curves["first"] != 4 || curves["second"] != 3 {
		t.Errorf("there are %d areas and %d lines, want 4 and 3", curves["first"], curves["second"])
	}
}

// level is a level at a time after the beginning of a day.
func level(at time.Duration, n int) history.Level {
	return history.Level{At: timelinetest.New().Start.Add(at), N: n}
}

// stretch has levels until a time after the beginning of a day.
func stretch(end time.Duration, list ...history.Level) levels.Stretch {
	return levels.Stretch{Levels: list, End: timelinetest.New().Start.Add(end)}
}

// day draws a record of a day with numbers as the durations of the autoscaler's loops.
func day(numbers levels.Series) *drawing {
	from := timelinetest.New().Start
	return draw(history.New([]timeline.Fact{
		{Time: from, Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own},
		{Time: from.Add(24 * time.Hour), Kind: timeline.Pod, What: timeline.Created, Name: "default/p", UID: "p", Source: timeline.Watch},
	}), content{numbers: levels.Levels{LoopMedian: numbers, LoopLongest: numbers}, verdict: history.PodWhy.Verdict, script: true})
}

// TestChartsOfADayStaySmall: a chart has as many changes and tooltips as a screen can show, and does
// not lose the highest number.
func TestChartsOfADayStaySmall(t *testing.T) {
	t.Parallel()
	many := levels.Series{stretch(24 * time.Hour)}
	for i := range 40000 {
		many[0].Levels = append(many[0].Levels, level(time.Duration(i)*2*time.Second, i%50))
	}
	many[0].Levels[20001].N = 7777
	d := day(many)
	tooltips := 0
	for _, b := range d.Bars {
		if b.Name == "loop duration" {
			tooltips++
		}
	}
	if tooltips > maxTooltips+2 || tooltips < 10 {
		t.Errorf("there are %d tooltips", tooltips)
	}
	for _, l := range d.Lines {
		if n := strings.Count(l.Points, ":"); l.Class == "first" && (n > 2*maxChanges+10 || n < 100) {
			t.Errorf("the curve has %d points", n)
		}
	}
	if l := d.Lanes[slices.IndexFunc(d.Lanes, func(l lane) bool { return l.Name == "loop duration" })]; l.Top != "7.8s" {
		t.Errorf("the scale ends at %s", l.Top)
	}
}

// TestSpikeIsShort: a curve shows a spike that is too short for the picture, and then the number that
// holds after it, not that of the spike until the next change.
func TestSpikeIsShort(t *testing.T) {
	t.Parallel()
	const spike, long = 7 * time.Hour, 12 * time.Hour
	for name, s := range map[string]levels.Series{
		"then quiet":                   {stretch(24*time.Hour, level(0, 20), level(spike, 100), level(spike+time.Second, 20))},
		"then quiet until a change":    {stretch(24*time.Hour, level(0, 20), level(spike, 100), level(spike+time.Second, 20), level(long, 50))},
		"several spikes":               {stretch(24*time.Hour, level(0, 20), level(spike, 100), level(spike+time.Second, 0), level(spike+2*time.Second, 90), level(spike+3*time.Second, 20))},
		"between changes":              {stretch(24*time.Hour, level(0, 20), level(spike-time.Second, 30), level(spike, 100), level(spike+time.Second, 20))},
		"then the end":                 {stretch(spike+2*time.Second, level(0, 20), level(spike, 100), level(spike+time.Second, 20))},
		"then the end and a beginning": {stretch(spike+2*time.Second, level(0, 20), level(spike, 100), level(spike+time.Second, 20)), stretch(24*time.Hour, level(spike+3*time.Second, 20))},
	} {
		shown := day(s).shown(s)
		highest := 0
		for _, stretch := range shown {
			for i, l := range stretch.Levels {
				highest = max(highest, l.N)
				if !l.At.Before(stretch.End) || i > 0 && !l.At.After(stretch.Levels[i-1].At) {
					t.Errorf("%s: the curve goes back in time: %v until %s", name, stretch.Levels, stretch.End)
				}
			}
		}
		if highest != 100 {
			t.Errorf("%s: the spike reaches %d", name, highest)
		}
		for _, at := range []time.Duration{time.Hour, spike - time.Minute, spike + time.Minute, long - time.Minute, long, 20 * time.Hour} {
			moment := timelinetest.New().Start.Add(at)
			got, known := shown.At(moment)
			if want, wantKnown := s.At(moment); got != want || known != wantKnown {
				t.Errorf("%s: after %s the curve is at %d (%t), want %d (%t)", name, at, got, known, want, wantKnown)
			}
		}
	}
}

// TestTooltipsEndWithWhatTheySay: a tooltip ends where nothing is known any more, and what it says does not
// hold until the next change if it changed soon. What is known after a gap has a tooltip, also if the gap
// is short.
func TestTooltipsEndWithWhatTheySay(t *testing.T) {
	t.Parallel()
	least := day(levels.Series{stretch(time.Hour, level(0, 1))}).Span / maxTooltips
	soon := time.Duration(least) * time.Millisecond
	for name, test := range map[string]struct {
		numbers levels.Series
		want    []string
	}{
		"the end of a stretch soon after its beginning": {
			levels.Series{stretch(time.Minute, level(0, 10)), stretch(12*time.Hour, level(10*time.Hour, 20))},
			[]string{"0s–1m0s: 10ms", "10h0m0s–12h0m0s: 20ms"},
		},
		"the end of a stretch soon after a change": {
			levels.Series{stretch(2*time.Hour+time.Minute, level(0, 10), level(2*time.Hour, 15)), stretch(12*time.Hour, level(10*time.Hour, 20))},
			[]string{"0s–2h0m0s: 10ms", "2h0m0s–2h1m0s: 15ms", "10h0m0s–12h0m0s: 20ms"},
		},
		"a short gap": {
			levels.Series{stretch(time.Hour, level(0, 10)), stretch(12*time.Hour, level(time.Hour+time.Minute, 20))},
			[]string{"0s–1h0m0s: 10ms", "1h1m0s–12h0m0s: 20ms"},
		},
		"a spike": {
			levels.Series{stretch(12*time.Hour, level(0, 10), level(time.Hour, 100), level(time.Hour+time.Minute, 20))},
			[]string{"0s–1h0m0s: 10ms", fmt.Sprintf("1h0m0s–%s: 100ms", time.Hour+soon), fmt.Sprintf("%s–12h0m0s: 20ms", time.Hour+soon)},
		},
		"a spike before the end": {
			levels.Series{stretch(time.Hour+2*time.Minute, level(0, 10), level(time.Hour, 100), level(time.Hour+time.Minute, 20))},
			[]string{"0s–1h0m0s: 10ms", "1h0m0s–1h2m0s: 100ms"},
		},
	} {
		d := day(test.numbers)
		after := func(ms int64) time.Duration {
			return time.UnixMilli(d.Origin + ms).Sub(timelinetest.New().Start)
		}
		var got []string
		for _, b := range d.Bars {
			if _, median, found := strings.Cut(b.Title, "loops: median "); found {
				median, _, _ = strings.Cut(median, ",")
				got = append(got, fmt.Sprintf("%s–%s: %s", after(b.A), after(b.B), median))
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: the tooltips are\n%q, want\n%q", name, got, test.want)
		}
	}
}

// TestPageOfACrowdWithNumbers bounds the size of a page with 50 groups and 1,000 pods.
func TestPageOfACrowdWithNumbers(t *testing.T) {
	t.Parallel()
	facts := timelinetest.Crowd(50, 20)
	for i := range 50 {
		facts = append(facts, timelinetest.NodeOffers(facts[0].Time, fmt.Sprintf("n-%d", i), fmt.Sprintf("pool-%02d", i), "cpu=4", "memory=8Gi"))
	}
	begin := time.Now()
	page := reportOf(t, facts, ReportOptions{})
	if !strings.Contains(page, "utilisation") || !strings.Contains(page, "and 44 more groups") {
		t.Error("the page has no lane of the utilisation, or not its tooltip")
	}
	if took := time.Since(begin); took > 20*time.Second || len(page) > 8<<20 {
		t.Errorf("the page took %s and has %d bytes", took, len(page))
	}
}
