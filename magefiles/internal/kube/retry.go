package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// retryEvery is how long to wait before an API server is asked again.
const retryEvery = 250 * time.Millisecond

// Retry calls try until it returns no error or one that Permanent marks, with a pause
// between two calls. If ctx is done first, the error has what was waited for, the cause
// of the end and the last error: "waited for WHAT: CAUSE; last: ERROR".
func Retry(ctx context.Context, what string, pause time.Duration, try func(context.Context) error) error {
	var last error
	// Poll would count the time that try takes towards the pause.
	err := wait.Backoff{Duration: pause}.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		last = try(ctx)
		if permanent := new(permanentError); errors.As(last, &permanent) {
			return false, last
		}
		return last == nil, nil
	})
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*permanentError)):
		return fmt.Errorf("wanted %s: %w", what, err)
	default:
		return fmt.Errorf("waited for %s: %w; last: %w", what, context.Cause(ctx), last)
	}
}

// Permanent marks an error that another try will not change. It returns nil for nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }
