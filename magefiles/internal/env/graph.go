package env

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"caslab/magefiles/internal/ui"
)

// step is one node of the sequence: it starts when all it needs are done.
type step struct {
	name    string
	needs   []string
	usually time.Duration
	// run says what it does to progress, and what came out in result.
	run func(ctx context.Context, progress func(string)) (result string, err error)
}

// timing is when a step ran.
type timing struct {
	name       string
	needs      []string
	start, end time.Time
}

func (t timing) took() time.Duration { return t.end.Sub(t.start) }

// runSteps runs the steps, those that do not need each other at the same
// time. The first error cancels the rest; all have ended when it returns.
// The timings are of the steps that ended well, in the order of their end.
func runSteps(ctx context.Context, log *ui.Log, now func() time.Time, steps []step) ([]timing, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	done := make(map[string]chan struct{}, len(steps))
	for _, s := range steps {
		done[s.name] = make(chan struct{})
	}
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		timings []timing
	)
	for _, s := range steps {
		wg.Go(func() {
			for _, need := range s.needs {
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
			shown := log.Start(s.name, s.usually)
			result, err := s.run(ctx, shown.Progress)
			shown.Done(result, err)
			if err != nil {
				cancel(&StepError{Step: s.name, Err: err})
				return
			}
			mu.Lock()
			timings = append(timings, timing{name: s.name, needs: s.needs, start: start, end: now()})
			mu.Unlock()
			close(done[s.name])
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return timings, context.Cause(ctx)
	}
	return timings, nil
}

// StepError is a step that failed; the rest of the environment stands.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return fmt.Sprintf("step %q failed: %v", e.Step, e.Err) }

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }

// criticalPath returns the chain of steps that decided how long the whole
// took: from the last to end, back through whichever need ended last.
func criticalPath(timings []timing) []timing {
	byName := make(map[string]timing, len(timings))
	var last timing
	for _, t := range timings {
		byName[t.name] = t
		if t.end.After(last.end) {
			last = t
		}
	}
	var path []timing
	for at, ok := last, len(timings) > 0; ok; {
		path = append(path, at)
		var next timing
		ok = false
		for _, need := range at.needs {
			if t, ran := byName[need]; ran && (!ok || t.end.After(next.end)) {
				next, ok = t, true
			}
		}
		at = next
	}
	slices.Reverse(path)
	return path
}
