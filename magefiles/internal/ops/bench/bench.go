// Package bench measures how long it takes to bring an environment up.
package bench

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
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/ui"
)

const (
	benchName = "caslab-bench"
	benchRuns = 3
)

// Environment is the environment that the settings of its lab name.
type Environment interface {
	// BuildNodeImage builds everything that Up needs.
	BuildNodeImage(ctx context.Context) error
	// Up makes the environment ready, and Seconds returns how long each of its steps took.
	Up(ctx context.Context) error
	Seconds() (map[string]float64, error)
	// Down removes the environment. It succeeds if there is none.
	Down(ctx context.Context) error
}

// Run brings an environment of its own up and down several times, after everything was
// built, and prints the fastest, the median and the slowest time of each step. open returns
// the environment of a lab.
func Run(ctx context.Context, l *lab.Lab, open func(*lab.Lab) Environment) (err error) {
	own := l.With(func(cfg *config.Config) { cfg.ClusterName = benchName })
	own.Out = io.Discard
	b := open(own)
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
		l.Log.Printf("run %d of %d", i+1, benchRuns)
		if err := b.Down(ctx); err != nil {
			return err
		}
		start := l.Now()
		if err := b.Up(ctx); err != nil {
			return err
		}
		seconds, err := b.Seconds()
		if err != nil {
			return err
		}
		seconds["env:up, whole"] = l.Now().Sub(start).Seconds()
		start = l.Now()
		if err := b.Up(ctx); err != nil {
			return err
		}
		seconds["env:up when ready"] = l.Now().Sub(start).Seconds()
		for step, s := range seconds {
			if samples[step] == nil {
				order = append(order, step)
			}
			samples[step] = append(samples[step], s)
		}
	}
	slices.Sort(order)
	fmt.Fprintf(l.Out, "%d runs, %d CPUs, %s\n", benchRuns, runtime.NumCPU(), l.Now().Format(time.DateOnly))
	w := ui.NewTable(l.Out, "STEP", "MIN", "MEDIAN", "MAX")
	for _, step := range order {
		s := slices.Sorted(slices.Values(samples[step]))
		w.Row(step, fmt.Sprintf("%.1f", s[0]), fmt.Sprintf("%.1f", s[len(s)/2]), fmt.Sprintf("%.1f", s[len(s)-1]))
	}
	return w.End()
}
