package interrupt_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/interrupt"
)

func TestCleanupsGoOnAtTheFirstInterruptionAndEndAtTheSecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop, now := interrupt.With(t.Context())
		clean, cancel := interrupt.Cleanup(ctx, time.Hour)
		defer cancel()
		derived, cancelDerived := context.WithCancel(ctx)
		defer cancelDerived()
		later, cancelLater := interrupt.Cleanup(derived, time.Hour)
		defer cancelLater()

		stop()
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("the work goes on after the first interruption")
		}
		if cause := context.Cause(derived); !errors.Is(cause, context.Canceled) || cause.Error() != "interrupted" {
			t.Errorf("the work ends for %v", cause)
		}
		if clean.Err() != nil || later.Err() != nil {
			t.Errorf("clean-ups end at the first interruption: %v, %v", context.Cause(clean), context.Cause(later))
		}

		now()
		synctest.Wait()
		for _, c := range []context.Context{clean, later} {
			if !errors.Is(context.Cause(c), interrupt.ErrNow) {
				t.Errorf("after the second interruption the cause is %v", context.Cause(c))
			}
		}
		select {
		case <-interrupt.Now(derived):
		default:
			t.Error("Now does not tell the second interruption")
		}
		after, cancelAfter := interrupt.Cleanup(ctx, time.Hour)
		defer cancelAfter()
		synctest.Wait()
		if after.Err() == nil {
			t.Error("a clean-up that begins after the second interruption goes on")
		}
	})
}

func TestTheSecondInterruptionEndsTheWorkToo(t *testing.T) {
	t.Parallel()
	ctx, _, now := interrupt.With(t.Context())
	now()
	if ctx.Err() == nil {
		t.Error("the work goes on")
	}
}

func TestCleanupsGoOnWhenTheParentEnds(t *testing.T) {
	t.Parallel()
	parent, cancelParent := context.WithCancel(t.Context())
	ctx, _, _ := interrupt.With(parent)
	clean, cancel := interrupt.Cleanup(ctx, time.Minute)
	defer cancel()
	cancelParent()
	await(t, ctx)
	if clean.Err() != nil {
		t.Errorf("the clean-up ends: %v", context.Cause(clean))
	}
	select {
	case <-interrupt.Now(ctx):
		t.Error("that is no second interruption")
	default:
	}
}

func TestCleanupsHaveALimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context()) // without interruptions
		stop()
		clean, cancel := interrupt.Cleanup(ctx, time.Minute)
		defer cancel()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if clean.Err() != nil {
			t.Errorf("the clean-up ends before its limit: %v", clean.Err())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !errors.Is(clean.Err(), context.DeadlineExceeded) {
			t.Errorf("after the limit the clean-up has %v", clean.Err())
		}
		if interrupt.Now(ctx) != nil {
			t.Error("a context without interruptions has a second one")
		}
	})
}

// This test does not run in parallel, because it sends signals to this process.
func TestSignals(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		ctx, release := interrupt.Notify(t.Context())
		clean, cancel := interrupt.Cleanup(ctx, time.Minute)
		send := func() {
			if err := syscall.Kill(os.Getpid(), signal); err != nil {
				t.Fatal(err)
			}
		}
		send()
		await(t, ctx)
		if clean.Err() != nil {
			t.Errorf("%v ends the clean-up: %v", signal, context.Cause(clean))
		}
		send()
		await(t, clean)
		if !errors.Is(context.Cause(clean), interrupt.ErrNow) {
			t.Errorf("a second %v ends the clean-up for %v", signal, context.Cause(clean))
		}
		cancel()
		release()
	}
}

func TestReleaseEndsTheContextAndNoCleanup(t *testing.T) {
	ctx, release := interrupt.Notify(t.Context())
	clean, cancel := interrupt.Cleanup(ctx, time.Minute)
	defer cancel()
	release()
	await(t, ctx)
	if clean.Err() != nil {
		t.Errorf("the clean-up ends: %v", context.Cause(clean))
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		stacks := make([]byte, 1<<20)
		if !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "interrupt.Notify.func") {
			return
		}
		if time.Now().After(end) {
			t.Fatal("signals still go to the context")
		}
	}
}

func await(t *testing.T, ctx context.Context) {
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("the context goes on")
	}
}
