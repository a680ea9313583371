// Package interrupt distinguishes two requests. The first Ctrl-C (or SIGTERM) asks a
// command to stop: it ends its work and cleans up. The second one asks it to end at once:
// clean-ups end too, and say what they leave.
package interrupt

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ErrNow is the cause for which the context of a clean-up ends at the second
// interruption.
var ErrNow = errors.New("interrupted a second time")

// ErrStop is the cause for which the context of Notify and With ends at the first
// interruption. It is a context.Canceled that reads "interrupted".
var ErrStop error = stopError{}

type stopError struct{}

func (stopError) Error() string        { return "interrupted" }
func (stopError) Is(target error) bool { return target == context.Canceled }

// key is the key of the context that ends at the second interruption.
type key struct{}

// Notify returns a context that ends at the first SIGINT or SIGTERM. Cleanup derives from
// it contexts that end at the second one. The third one has the operating system's default
// effect. The signals have their default effects again after release is called.
func Notify(parent context.Context) (ctx context.Context, release func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	ctx, stop, now := With(parent)
	released := make(chan struct{})
	go func() {
		defer signal.Stop(signals)
		for _, interrupted := range []func(){stop, now} {
			select {
			case <-signals:
				interrupted()
			case <-released:
				return
			}
		}
	}()
	return ctx, func() {
		close(released)
		stop()
	}
}

// With returns a context that ends when stop is called, as at the first
// interruption. Contexts that Cleanup derives from it end when now is called,
// as at the second one.
func With(parent context.Context) (ctx context.Context, stop, now func()) {
	hurry, cancelHurry := context.WithCancelCause(context.WithoutCancel(parent))
	ctx, cancel := context.WithCancelCause(context.WithValue(parent, key{}, hurry))
	stop = func() { cancel(ErrStop) }
	return ctx, stop, func() {
		stop()
		cancelHurry(ErrNow)
	}
}

// Cleanup returns a context for cleaning up after ctx. It does not end when ctx ends, but
// at the second interruption, with ErrNow as its cause, or after limit. A ctx that does not
// come from Notify or With has no second interruption.
func Cleanup(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	clean, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	clean, release := context.WithTimeout(clean, limit)
	hurry := second(ctx)
	unhook := context.AfterFunc(hurry, func() { cancel(context.Cause(hurry)) })
	return clean, func() {
		unhook()
		release()
		cancel(context.Canceled)
	}
}

// Now returns a channel that is closed at the second interruption; nil for a
// ctx that has none.
func Now(ctx context.Context) <-chan struct{} { return second(ctx).Done() }

func second(ctx context.Context) context.Context {
	if hurry, ok := ctx.Value(key{}).(context.Context); ok {
		return hurry
	}
	return context.Background()
}
