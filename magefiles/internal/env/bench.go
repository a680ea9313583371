package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/state"
)

const (
	benchName = "caslab-bench"
	benchRuns = 3
)

// Bench brings an environment of its own up and down several times, everything
// built, and prints the fastest, the median and the slowest time of each step.
func (l *Lab) Bench(ctx context.Context) (err error) {
	cfg := *l.cfg
	cfg.ClusterName = benchName
	b := *l
	b.cfg, b.out = &cfg, io.Discard
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
		l.log.Printf("run %d of %d", i+1, benchRuns)
		if err := b.Down(ctx); err != nil {
			return err
		}
		start := l.now()
		if err := b.Up(ctx, Ready); err != nil {
			return err
		}
		seconds, err := b.readRecord()
		if err != nil {
			return err
		}
		seconds["env:up, whole"] = l.now().Sub(start).Seconds()
		start = l.now()
		if err := b.Up(ctx, Ready); err != nil {
			return err
		}
		seconds["env:up when ready"] = l.now().Sub(start).Seconds()
		for step, s := range seconds {
			if samples[step] == nil {
				order = append(order, step)
			}
			samples[step] = append(samples[step], s)
		}
	}
	slices.Sort(order)
	fmt.Fprintf(l.out, "%d runs, %d CPUs, %s\n", benchRuns, runtime.NumCPU(), time.Now().Format(time.DateOnly))
	w := l.table("STEP", "MIN", "MEDIAN", "MAX")
	for _, step := range order {
		s := slices.Sorted(slices.Values(samples[step]))
		row(w, step, fmt.Sprintf("%.1f", s[0]), fmt.Sprintf("%.1f", s[len(s)/2]), fmt.Sprintf("%.1f", s[len(s)-1]))
	}
	return w.Flush()
}

func (l *Lab) readRecord() (map[string]float64, error) {
	seconds := map[string]float64{}
	there, err := state.ReadJSON(l.recordFile(), &seconds)
	if err == nil && !there {
		err = fmt.Errorf("the steps' times are not in %s", l.recordFile())
	}
	return seconds, err
}
