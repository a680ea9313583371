package scalability

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/stats"
	"caslab/magefiles/internal/ui"
)

// compared are the numbers of a phase that compare has for each autoscaler. They are NaN if the
// phase has none.
var compared = []struct {
	name string
	of   func(Phase) float64
	text func(float64) string
}{
	{"seconds", func(p Phase) float64 { return p.Seconds }, decimal},
	{"mean loop s", meanLoop, decimal},
	{"requests", func(p Phase) float64 { requests, _ := p.sum(); return float64(requests) }, whole},
	{"CPU s", func(p Phase) float64 { return p.CPU }, decimal},
}

// meanLoop returns the mean duration of the loops that ended in a phase, in seconds.
func meanLoop(p Phase) float64 {
	loop := p.Functions[metrics.MainLoop]
	if loop.Count == 0 {
		return math.NaN()
	}
	return loop.Mean()
}

func whole(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

// compare writes a table with the medians of each autoscaler, and their ratios to those of the
// first one. It writes nothing if there is only one.
func (r Results) compare(w io.Writer) error {
	var names []string
	for _, run := range r.Runs {
		if !slices.Contains(names, run.Autoscaler) {
			names = append(names, run.Autoscaler)
		}
	}
	if len(names) < 2 {
		return nil
	}
	fmt.Fprintf(w, "\nComparison: the medians of the rounds, and their ratios to those of A\n")
	header := []string{"PHASE", "WHAT"}
	for i, name := range names {
		letter := letterOf(i)
		fmt.Fprintf(w, "  %s  %s\n", letter, name)
		header = append(header, letter)
		if i > 0 {
			header = append(header, letter+"/"+letterOf(0))
		}
	}
	t := ui.NewTable(w, header...)
	for _, phase := range []string{phaseStart, phaseEmpty, phaseUp, phaseFull, phaseDown} {
		if !r.had(phase) {
			continue
		}
		for _, c := range compared {
			row := []string{phase, c.name}
			first := r.values(names[0], phase, c.of)
			for i, name := range names {
				values := r.values(name, phase, c.of)
				row = append(row, medianText(values, c.text))
				if i > 0 {
					row = append(row, stats.Ratio(values, first))
				}
			}
			t.Row(row...)
		}
	}
	return t.End()
}

// had reports whether a run had the phase.
func (r Results) had(phase string) bool {
	return slices.ContainsFunc(r.Runs, func(run Run) bool {
		return slices.ContainsFunc(run.Phases, func(p Phase) bool { return p.Name == phase })
	})
}

// letterOf returns a short name of the i-th autoscaler: A, B and so on, and a number after Z.
func letterOf(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return strconv.Itoa(i + 1)
}

// values returns a number of a phase in each run of an autoscaler whose phase has it.
func (r Results) values(autoscaler, phase string, of func(Phase) float64) []float64 {
	var values []float64
	for _, run := range r.Runs {
		if run.Autoscaler != autoscaler {
			continue
		}
		for _, p := range run.Phases {
			if v := of(p); p.Name == phase && !math.IsNaN(v) {
				values = append(values, v)
			}
		}
	}
	return values
}

// medianText returns the median as text, and "-" if there are no values.
func medianText(values []float64, text func(float64) string) string {
	if len(values) == 0 {
		return "-"
	}
	return text(stats.Median(values))
}
