package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/timeline"
)

// runCleanUp removes what the scenario created, even if ctx is done. It ends at the second
// interruption.
func (e *engine) runCleanUp(ctx context.Context, r *results.Result) {
	if !e.clusterChanged || interrupt.Gone(ctx) != nil {
		return
	}
	limited, cancel := interrupt.Cleanup(ctx, cleanupTime)
	defer cancel()
	// The history needs it to know what the clean-up removed.
	e.addFact(timeline.Step, timeline.CleanUp)
	step := e.o.Log.Start(e.label+timeline.CleanUp, 30*time.Second)
	err := e.cluster.CleanUp(limited, step.Progress)
	if gone := interrupt.Gone(ctx); gone != nil {
		err = gone
	} else if err != nil {
		if cause := context.Cause(limited); cause != nil {
			err = errors.Join(cause, otherErrors(err, cause))
		}
		err = e.cluster.Leftovers(ctx, err)
	}
	step.Done("", err)
	select {
	case ended := <-e.o.Autoscaler.Ended():
		e.otherFailure = true
		r.Fail(results.AutoscalerEnded, "clean-up", fmt.Errorf("the autoscaler ended: %w", ended))
	default:
	}
	if err != nil {
		e.otherFailure = true
		if errors.Is(context.Cause(limited), interrupt.ErrNow) {
			r.Interrupt("clean-up", err)
		} else {
			r.Fail(results.CleanUpFailed, "clean-up", err)
		}
	}
}

// otherErrors returns the errors of a clean-up, without those of requests that only ended
// because the whole clean-up ended with that cause.
func otherErrors(err, cause error) error {
	joined, ok := err.(interface{ Unwrap() []error }) // only the errors that are joined here, not those that they wrap
	if ok && errors.Join(joined.Unwrap()...).Error() == err.Error() {
		var others []error
		for _, e := range joined.Unwrap() {
			others = append(others, otherErrors(e, cause))
		}
		return errors.Join(others...)
	}
	if errors.Is(err, cause) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
