package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/environment"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/ops/bench"
	"caslab/magefiles/internal/run/runtest"
)

// measured is an environment whose steps all take a second.
type measured struct{}

func (measured) BuildNodeImage(context.Context) error { return nil }
func (measured) Export(context.Context, string) error { return nil }
func (measured) Up(context.Context) error             { return nil }
func (measured) Down(context.Context) error           { return nil }

func (measured) Seconds() (map[string]float64, error) {
	return maps.Collect(func(yield func(string, float64) bool) {
		for _, step := range environment.StepNames() {
			yield(step, 1)
		}
	}), nil
}

// TestBenchComparesSteps: the sequence by hand has a name of its own only for the steps
// that env:up does not have.
func TestBenchComparesSteps(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	l.Processes.Answers = []runtest.Answer{{}}
	b := bench.Bench{Lab: l.Lab, Steps: environment.StepNames(), Open: func(*lab.Lab) bench.Environment { return measured{} }}
	if err := b.Run(t.Context(), bench.Options{Pairs: 1}); err != nil {
		t.Fatal(err)
	}
	var alone []string
	for line := range strings.Lines(l.Printed.String()) {
		cells := strings.Fields(line)
		if cells[len(cells)-1] == "-" && cells[len(cells)-2] == "-" {
			alone = append(alone, strings.Join(cells[:len(cells)-7], " "))
		}
	}
	if want := []string{"images into its node", "images into the workload nodes"}; !slices.Equal(alone, want) {
		t.Errorf("only the hand has the steps %q, want %q; printed\n%s", alone, want, l.Printed)
	}
}
