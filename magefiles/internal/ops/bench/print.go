package bench

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/stats"
	"caslab/magefiles/internal/ui"
)

// Rows that are no steps.
const (
	whole     = "whole"
	whenReady = "env:up when ready"
)

// samples has the seconds of each step, one value for each measurement.
type samples map[string][]float64

func (s samples) add(seconds map[string]float64) {
	for step, took := range seconds {
		s[step] = append(s[step], took)
	}
}

// cells returns the fastest, the median and the slowest time of a step.
func (s samples) cells(step string) []string {
	if len(s[step]) == 0 {
		return []string{"-", "-", "-"}
	}
	return []string{decimal(slices.Min(s[step])), decimal(stats.Median(s[step])), decimal(slices.Max(s[step]))}
}

func decimal(seconds float64) string { return fmt.Sprintf("%.1f", seconds) }

// rows returns the names of the steps of both in one order: those of env:up, and the hand's
// own ones after the steps that they follow.
func rows(ofLab []string, byHand []step) []string {
	all, next := slices.Clone(ofLab), 0
	for _, s := range byHand {
		if at := slices.Index(all, s.name); at >= 0 {
			next = at + 1
			continue
		}
		all = slices.Insert(all, next, s.name)
		next++
	}
	return append(all, whole, whenReady)
}

func printAlone(l *lab.Lab, order []string, ofLab samples) error {
	printMachine(l, len(ofLab[whole]))
	w := ui.NewTable(l.Out, "STEP", "MIN", "MEDIAN", "MAX")
	for _, step := range order {
		if len(ofLab[step]) > 0 {
			w.Row(append([]string{step}, ofLab.cells(step)...)...)
		}
	}
	return w.End()
}

func printPairs(l *lab.Lab, order []string, byHand, ofLab samples) error {
	printMachine(l, len(ofLab[whole]))
	w := ui.NewTable(l.Out, "STEP", "BY HAND: MIN", "MEDIAN", "MAX", "ENV:UP: MIN", "MEDIAN", "MAX", "RATIO")
	for _, step := range order {
		w.Row(slices.Concat([]string{step}, byHand.cells(step), ofLab.cells(step), []string{stats.Ratio(ofLab[step], byHand[step])})...)
	}
	if err := w.End(); err != nil {
		return err
	}
	fmt.Fprintf(l.Out, "env:up takes %s times as long as by hand.\n", stats.Ratio(ofLab[whole], byHand[whole]))
	return nil
}

func printHand(l *lab.Lab, steps []step, seconds map[string]float64) error {
	printMachine(l, 1)
	w := ui.NewTable(l.Out, "STEP", "SECONDS")
	for _, s := range steps {
		w.Row(s.name, decimal(seconds[s.name]))
	}
	w.Row(whole, decimal(seconds[whole]))
	return w.End()
}

// printMachine says where and how often the times were measured.
func printMachine(l *lab.Lab, runs int) {
	fmt.Fprintf(l.Out, "seconds on %d CPUs, %s, runs: %d\n", runtime.NumCPU(), l.Now().Format(time.DateOnly), runs)
}
