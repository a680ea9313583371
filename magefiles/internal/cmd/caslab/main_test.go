package main

import (
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/interrupt"
)

func TestTheSecondInterruptionEndsTheCommandIfNothingElseDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop, now := interrupt.With(t.Context())
		ended := false
		go endAtOnce(ctx, func() { ended = true })
		stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if ended {
			t.Fatal("the first interruption ends the command while it cleans up")
		}
		now()
		time.Sleep(patience - time.Second)
		synctest.Wait()
		if ended {
			t.Error("the command has no time to say what it leaves")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !ended {
			t.Error("the command goes on")
		}
	})
}
