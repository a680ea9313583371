package interrupt_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/interrupt"
)

func TestOrphaned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var parents atomic.Value
		parents.Store("7 6")
		look := func() string { return parents.Load().(string) }
		orphaned := make(chan bool, 1)
		go func() { orphaned <- interrupt.Orphaned(t.Context(), "7 6", look) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(orphaned) > 0 {
			t.Fatal("it ends while its parents run")
		}
		parents.Store("7 1")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(orphaned) == 0 || !<-orphaned {
			t.Error("it goes on without its parents")
		}

		// Mage may end before the command begins.
		if !interrupt.Orphaned(t.Context(), "7 6", look) {
			t.Error("it begins without its parents")
		}
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if interrupt.Orphaned(done, "7 1", look) {
			t.Error("the end of the command is the end of its parents")
		}
	})
}

// This test does not run in parallel, because it sets an environment variable.
func TestParentsAreTold(t *testing.T) {
	if own := interrupt.Parents(); !strings.HasPrefix(own, strconv.Itoa(os.Getppid())) || interrupt.TakeParents(false) != own {
		t.Errorf("the parents are %q and %q", own, interrupt.TakeParents(false))
	}
	if parents := interrupt.TakeParents(true); parents != "" {
		t.Errorf("the parents of what outlives them are %q", parents)
	}
	name, value, _ := strings.Cut(interrupt.ParentsVariable("7 6"), "=")
	t.Setenv(name, value)
	if told := interrupt.TakeParents(true); told != "7 6" {
		t.Errorf("the parents are %q, want those that were told", told)
	}
	if _, there := os.LookupEnv(name); there {
		t.Error("children are told, too")
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	ctx, _, _ := interrupt.With(t.Context())
	derived, cancel := context.WithCancel(ctx)
	defer cancel()
	clean, done := interrupt.Cleanup(ctx, time.Minute)
	defer done()
	interrupt.Stop(derived, interrupt.ErrOrphaned)
	if !errors.Is(context.Cause(ctx), interrupt.ErrOrphaned) || clean.Err() != nil {
		t.Errorf("the command ends for %v, its clean-up for %v", context.Cause(ctx), clean.Err())
	}
	interrupt.Stop(t.Context(), interrupt.ErrOrphaned) // has no command
	if t.Context().Err() != nil {
		t.Error("another context ends")
	}
}
