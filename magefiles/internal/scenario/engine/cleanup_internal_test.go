package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

// TestOtherErrors: parts that an interrupted clean-up did not try are not reported, but errors
// from before the interruption are.
func TestOtherErrors(t *testing.T) {
	t.Parallel()
	cause, lost := errors.New("interrupted"), errors.New("lost")
	waited := fmt.Errorf("waited for pods: %w; last error: %w", cause, lost)
	for want, err := range map[string]error{
		"":           errors.Join(cause, errors.Join(fmt.Errorf("list: %w", context.Canceled), nil, waited), fmt.Errorf("get: %w", context.DeadlineExceeded)),
		"lost":       errors.Join(errors.Join(lost, cause), context.Canceled),
		"lost\nlost": errors.Join(lost, waited, errors.Join(lost)),
	} {
		got := ""
		if others := otherErrors(err, cause); others != nil {
			got = others.Error()
		}
		if got != want {
			t.Errorf("besides(%v) = %q, want %q", err, got, want)
		}
	}
}
