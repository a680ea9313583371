package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
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

// RetryUnlessAbsent calls ask until it succeeds, the API server answers that something is
// absent, or ctx is done. A server that just started refuses requests at times.
func RetryUnlessAbsent(ctx context.Context, ask func() error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(context.Context) (bool, error) {
		last = ask()
		return last == nil || IsAbsent(last) || ctx.Err() != nil, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), last)
	}
	return last
}

// IsAbsent reports whether an API server answered that it has no such object, or no such
// kind.
func IsAbsent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }
