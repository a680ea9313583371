// Package interrupt distinguishes two requests. The first Ctrl-C (or SIGTERM) asks a
// command to stop: it ends its work and cleans up. The second one asks it to end at once:
// clean-ups end too, and say what they leave.
package interrupt

import (
	"context"
	"errors"
	"fmt"
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

// LeftError is returned by a clean-up that failed or was interrupted.
type LeftError struct {
	// What is left, and the Command for a shell that removes it.
	What, Command string
	// Err is why the clean-up ended early.
	Err error
}

func (e *LeftError) Error() string {
	return fmt.Sprintf("%s may be left: %v; to remove it, type: %s", e.What, e.Err, e.Command)
}

// Unwrap returns why the clean-up ended early.
func (e *LeftError) Unwrap() error { return e.Err }

// GoneError is the cause for which a command and its clean-ups end when what they work on
// no longer exists, or is not where it was. It is a context.Canceled that reads as the
// Reason.
type GoneError struct{ Reason string }

func (e *GoneError) Error() string { return e.Reason }

// Is makes it a context.Canceled.
func (e *GoneError) Is(target error) bool { return target == context.Canceled }

// key is the key of the *command of a context.
type key struct{}

// command has the functions that end a context of With and the clean-ups after it.
type command struct {
	stop, hurry context.CancelCauseFunc
	// hurried ends at the second interruption, or when Abandon is called.
	hurried context.Context
}

// Notify returns a context that ends at the first SIGINT, SIGTERM or SIGHUP. Cleanup derives
// from it contexts that end at the second SIGINT or SIGTERM. The third one has the operating
// system's default effect. SIGHUP comes when the terminal closes, often together with
// SIGTERM and more than once, so it is never the second interruption; it has no effect if
// the command was started with nohup. The signals have their default effects again after
// release is called.
func Notify(parent context.Context) (ctx context.Context, release func()) {
	signals, hangups := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(hangups, syscall.SIGHUP)
	}
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
	go func() {
		defer signal.Stop(hangups)
		for {
			select {
			case <-hangups:
				stop()
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
	c := new(command)
	c.hurried, c.hurry = context.WithCancelCause(context.WithoutCancel(parent))
	ctx, c.stop = context.WithCancelCause(context.WithValue(parent, key{}, c))
	stop = func() { c.stop(ErrStop) }
	return ctx, stop, func() {
		stop()
		c.hurry(ErrNow)
	}
}

// Stop ends the command of ctx with a cause, as the first interruption does. It does
// nothing if ctx comes neither from Notify nor from With.
func Stop(ctx context.Context, cause error) {
	if c, ok := ctx.Value(key{}).(*command); ok {
		c.stop(cause)
	}
}

// Abandon ends the command of ctx and all its clean-ups. It does nothing if ctx comes
// neither from Notify nor from With.
func Abandon(ctx context.Context, gone *GoneError) {
	if c, ok := ctx.Value(key{}).(*command); ok {
		c.hurry(gone) // first, so that Gone is known when ctx ends
		c.stop(gone)
	}
}

// Gone returns the error that Abandon was called with: nothing is left to clean up. It
// returns nil if Abandon was not called.
func Gone(ctx context.Context) *GoneError {
	var gone *GoneError
	errors.As(context.Cause(second(ctx)), &gone)
	return gone
}

// Cleanup returns a context for cleaning up after ctx. It does not end when ctx ends, but
// at the second interruption, with ErrNow as its cause, when Abandon is called, or after
// limit. A ctx that does not come from Notify or With has no second interruption.
func Cleanup(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	clean, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	clean, release := context.WithTimeout(clean, limit)
	hurried := second(ctx)
	unhook := context.AfterFunc(hurried, func() { cancel(context.Cause(hurried)) })
	return clean, func() {
		unhook()
		release()
		cancel(context.Canceled)
	}
}

// Now returns a channel that is closed at the second interruption and when Abandon is
// called; nil for a ctx that has neither.
func Now(ctx context.Context) <-chan struct{} { return second(ctx).Done() }

func second(ctx context.Context) context.Context {
	if c, ok := ctx.Value(key{}).(*command); ok {
		return c.hurried
	}
	return context.Background()
}
