package environment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

const (
	benchName = "caslab-bench"
	benchRuns = 3
)

// Bench brings an environment of its own up and down several times, after
// everything was built, and prints the fastest, the median and the slowest time of
// each step.
func (e *Environment) Bench(ctx context.Context) (err error) {
	l := e.With(func(cfg *config.Config) { cfg.ClusterName = benchName })
	l.Out = io.Discard
	b := *e
	b.Lab, b.Temporary = l, true
	defer func() {
		ctx, cancel := interrupt.Cleanup(ctx, 10*time.Minute)
		defer cancel()
		err = errors.Join(err, b.Down(ctx))
	}()
	if err := b.BuildNodeImage(ctx); err != nil {
		return err
	}
	samples := map[string][]float64{}
	var order []string
	for i := range benchRuns {
		e.Log.Printf("run %d of %d", i+1, benchRuns)
		if err := b.Down(ctx); err != nil {
			return err
		}
		start := e.Now()
		if err := b.Up(ctx, Ready); err != nil {
			return err
		}
		seconds, err := b.readRecord()
		if err != nil {
			return err
		}
		seconds["env:up, whole"] = e.Now().Sub(start).Seconds()
		start = e.Now()
		if err := b.Up(ctx, Ready); err != nil {
			return err
		}
		seconds["env:up when ready"] = e.Now().Sub(start).Seconds()
		for step, s := range seconds {
			if samples[step] == nil {
				order = append(order, step)
			}
			samples[step] = append(samples[step], s)
		}
	}
	slices.Sort(order)
	fmt.Fprintf(e.Out, "%d runs, %d CPUs, %s\n", benchRuns, runtime.NumCPU(), time.Now().Format(time.DateOnly))
	w := ui.NewTable(e.Out, "STEP", "MIN", "MEDIAN", "MAX")
	for _, step := range order {
		s := slices.Sorted(slices.Values(samples[step]))
		w.Row(step, fmt.Sprintf("%.1f", s[0]), fmt.Sprintf("%.1f", s[len(s)/2]), fmt.Sprintf("%.1f", s[len(s)-1]))
	}
	return w.End()
}

func (e *Environment) readRecord() (map[string]float64, error) {
	seconds := map[string]float64{}
	there, err := state.ReadJSON(e.recordFile(), &seconds)
	if err == nil && !there {
		err = fmt.Errorf("the steps' times are not in %s", e.recordFile())
	}
	return seconds, err
}
