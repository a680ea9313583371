// Package steps runs a graph of steps: each starts when the steps that it needs are done,
// and independent steps run at the same time.
package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"caslab/magefiles/internal/ui"
)

// Step is one step of a graph.
type Step struct {
	// Name is unique, and is shown.
	Name string
	// Needs are the names of the steps that must be done before it starts.
	Needs []string
	// Usually is how long it usually takes; zero if unknown.
	Usually time.Duration
	// Run does the work. It calls progress with what it is doing, and returns the
	// result in a few words, or an empty text.
	Run func(ctx context.Context, progress func(string)) (result string, err error)
}

// Timing is when a step ran.
type Timing struct {
	Name       string
	Needs      []string
	Start, End time.Time
}

// Took is how long the step ran.
func (t Timing) Took() time.Duration { return t.End.Sub(t.Start) }

// Validate refuses a graph with two steps of the same name, a need that is not a step, or
// steps that wait for each other.
func Validate(steps []Step) error {
	needs := make(map[string][]string, len(steps))
	var errs []error
	for _, s := range steps {
		if _, twice := needs[s.Name]; twice {
			errs = append(errs, fmt.Errorf("two steps are called %q", s.Name))
		}
		needs[s.Name] = s.Needs
	}
	for _, s := range steps {
		for _, need := range s.Needs {
			if _, there := needs[need]; !there {
				errs = append(errs, fmt.Errorf("step %q needs %q, which is no step", s.Name, need))
			}
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	// Remove steps that can start until none can: the rest is a cycle, or needs one.
	left := slices.Clone(steps)
	done := map[string]bool{}
	for len(left) > 0 {
		waiting := slices.DeleteFunc(slices.Clone(left), func(s Step) bool {
			return !slices.ContainsFunc(s.Needs, func(need string) bool { return !done[need] })
		})
		if len(waiting) == len(left) {
			return fmt.Errorf("these steps wait for each other: %s", quoted(left))
		}
		for _, s := range left {
			if !slices.ContainsFunc(waiting, func(w Step) bool { return w.Name == s.Name }) {
				done[s.Name] = true
			}
		}
		left = waiting
	}
	return nil
}

func quoted(steps []Step) string {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = fmt.Sprintf("%q", s.Name)
	}
	return strings.Join(names, ", ")
}

// UpTo returns target and the steps that it needs, in the order of steps.
func UpTo(steps []Step, target string) ([]Step, error) {
	if err := Validate(steps); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(steps, func(s Step) bool { return s.Name == target }) {
		return nil, fmt.Errorf("there is no step %q; want one of %s", target, quoted(steps))
	}
	needed := map[string]bool{target: true}
	for grown := true; grown; {
		grown = false
		for _, s := range steps {
			for _, need := range s.Needs {
				if needed[s.Name] && !needed[need] {
					needed[need], grown = true, true
				}
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return !needed[s.Name] }), nil
}

// Run runs the steps and shows them on the log. It starts none if Validate refuses the
// graph. The first error cancels the rest and is returned as an *Error; all steps have
// ended when Run returns. The timings are those of the steps that succeeded, in the order
// of their ends, by the clock now.
func Run(ctx context.Context, log *ui.Log, now func() time.Time, steps []Step) ([]Timing, error) {
	if err := Validate(steps); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	done := make(map[string]chan struct{}, len(steps))
	for _, s := range steps {
		done[s.Name] = make(chan struct{})
	}
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		timings []Timing
	)
	for _, s := range steps {
		wg.Go(func() {
			for _, need := range s.Needs {
				select {
				case <-done[need]:
				case <-ctx.Done():
					return
				}
			}
			if ctx.Err() != nil {
				return
			}
			start := now()
			shown := log.Start(s.Name, s.Usually)
			result, err := s.Run(ctx, shown.Progress)
			shown.Done(result, err)
			if err != nil {
				cancel(&Error{Step: s.Name, Err: err})
				return
			}
			mu.Lock()
			timings = append(timings, Timing{Name: s.Name, Needs: s.Needs, Start: start, End: now()})
			mu.Unlock()
			close(done[s.Name])
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return timings, context.Cause(ctx)
	}
	return timings, nil
}

// Error is returned for a step that failed.
type Error struct {
	Step string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("step %q failed: %v", e.Step, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CriticalPath returns the chain of steps that decided how long the run took: from the
// step that ended last, back through the need that ended last, and so on.
func CriticalPath(timings []Timing) []Timing {
	byName := make(map[string]Timing, len(timings))
	var last Timing
	for _, t := range timings {
		byName[t.Name] = t
		if t.End.After(last.End) {
			last = t
		}
	}
	var path []Timing
	for at, ok := last, len(timings) > 0; ok; {
		path = append(path, at)
		var next Timing
		ok = false
		for _, need := range at.Needs {
			if t, ran := byName[need]; ran && (!ok || t.End.After(next.End)) {
				next, ok = t, true
			}
		}
		at = next
	}
	slices.Reverse(path)
	return path
}

// total is the name of the whole run in Seconds and Print.
const total = "total"

// Seconds returns how long each step took, and the whole run as "total", in seconds.
func Seconds(timings []Timing) map[string]float64 {
	seconds := map[string]float64{}
	var first, last time.Time
	for i, t := range timings {
		seconds[t.Name] = t.Took().Seconds()
		if i == 0 || t.Start.Before(first) {
			first = t.Start
		}
		if t.End.After(last) {
			last = t.End
		}
	}
	seconds[total] = last.Sub(first).Seconds()
	return seconds
}

// Print prints how long each step and the whole run took, and marks the critical path.
func Print(out io.Writer, timings []Timing) error {
	critical := map[string]string{}
	for _, t := range CriticalPath(timings) {
		critical[t.Name] = "critical path"
	}
	w := ui.NewTable(out, "STEP", "SECONDS", "")
	for _, t := range timings {
		w.Row(t.Name, fmt.Sprintf("%.1f", t.Took().Seconds()), critical[t.Name])
	}
	w.Row(total, fmt.Sprintf("%.1f", Seconds(timings)[total]), "")
	return w.End()
}
