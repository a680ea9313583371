// Package bench measures how long env:up takes, and compares it with a person who types
// the commands of kind, kubectl and clusterctl.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/lab"
)

// Names of the environments that are measured.
const (
	labName  = "caslab-bench"
	handName = "caslab-hand"
)

// Environment is the environment that the settings of its lab name.
type Environment interface {
	// BuildNodeImage builds everything that Up needs.
	BuildNodeImage(ctx context.Context) error
	// Export builds everything that a person needs to bring the environment up, and writes
	// it into a folder. The comment of hand.folder names the files.
	Export(ctx context.Context, folder string) error
	// Up makes the environment ready, and Seconds returns how long each of its steps took.
	Up(ctx context.Context) error
	Seconds() (map[string]float64, error)
	// Down removes the environment, and clusters that a person made with what Export wrote.
	// It succeeds if there is none.
	Down(ctx context.Context) error
}

// Bench measures env:up.
type Bench struct {
	Lab *lab.Lab
	// Open returns the environment of a lab.
	Open func(*lab.Lab) Environment
	// Steps are the names of the steps of env:up, in their order.
	Steps []string
}

// Options of Run.
type Options struct {
	// Pairs is how often the sequence by hand and env:up are measured, by turns.
	Pairs int
	// Alone measures env:up alone.
	Alone bool
}

// Run builds everything, and then measures the sequence by hand and env:up by turns. It
// prints the fastest, the median and the slowest time of each step, and the ratios of the
// medians.
func (b Bench) Run(ctx context.Context, o Options) error {
	if o.Pairs < 1 {
		return fmt.Errorf("the number of pairs is %d, want 1 or more", o.Pairs)
	}
	return b.exclusively(func() error {
		h, e := b.hand(), b.open(labName)
		if !o.Alone {
			if err := h.check(); err != nil {
				return err
			}
			if err := h.prepare(ctx); err != nil {
				return err
			}
		}
		if err := e.BuildNodeImage(ctx); err != nil {
			return err
		}
		byHand, byLab := samples{}, samples{}
		for i := range o.Pairs {
			if !o.Alone {
				b.Lab.Log.Printf("by hand, %d of %d", i+1, o.Pairs)
				seconds, err := h.measure(ctx)
				if err != nil {
					return err
				}
				byHand.add(seconds)
			}
			b.Lab.Log.Printf("env:up, %d of %d", i+1, o.Pairs)
			seconds, err := b.measure(ctx, e)
			if err != nil {
				return err
			}
			byLab.add(seconds)
		}
		order := rows(b.Steps, h.steps())
		if o.Alone {
			return printAlone(b.Lab, order, byLab)
		}
		return printPairs(b.Lab, order, byHand, byLab)
	})
}

// Hand runs the sequence by hand once, and prints how long each step took.
func (b Bench) Hand(ctx context.Context) error {
	return b.exclusively(func() error {
		h := b.hand()
		if err := h.check(); err != nil {
			return err
		}
		seconds, err := h.measure(ctx)
		if err != nil {
			return err
		}
		return printHand(b.Lab, h.steps(), seconds)
	})
}

// exclusively calls do while no other command of this checkout measures.
func (b Bench) exclusively(do func() error) (err error) {
	// The name of an environment has no dot.
	lock, err := b.Lab.State.Lock("bench.run", "bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	return do()
}

// open returns an environment that prints nothing.
func (b Bench) open(name string) Environment { return b.Open(b.quiet(name)) }

func (b Bench) quiet(name string) *lab.Lab {
	l := b.Lab.With(func(cfg *config.Config) { cfg.ClusterName = name })
	l.Out = io.Discard
	return l
}

// measure brings an environment up, and then verifies it once. It returns the seconds of
// each step and of the whole.
func (b Bench) measure(ctx context.Context, e Environment) (seconds map[string]float64, err error) {
	err = between(ctx, e, func() error {
		start := b.Lab.Now()
		if err := e.Up(ctx); err != nil {
			return err
		}
		took := b.Lab.Now().Sub(start)
		if seconds, err = e.Seconds(); err != nil {
			return err
		}
		seconds[whole] = took.Seconds()
		start = b.Lab.Now()
		if err := e.Up(ctx); err != nil {
			return err
		}
		seconds[whenReady] = b.Lab.Now().Sub(start).Seconds()
		return nil
	})
	return seconds, err
}

// between calls do between two removals of the environment, so that do finds nothing and
// leaves nothing that slows down the next measurement.
func between(ctx context.Context, e Environment, do func() error) (err error) {
	if err := e.Down(ctx); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := interrupt.Cleanup(ctx, 10*time.Minute)
		defer cancel()
		err = errors.Join(err, e.Down(ctx))
	}()
	return do()
}
