package engine_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/scenario/simtest"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/ui"
)

// TestTheStateBeforeAnActionCountsForNothing: an expectation does not come true by what was there before the
// actions of its step, even if the watches are late.
func TestTheStateBeforeAnActionCountsForNothing(t *testing.T) {
	t.Parallel()
	s := parse(t, `
title: t
groups: [{name: web, max: 2}]
steps:
- say: late
  do: [{group: {name: web, size: 1}}]
  expect: [{group: {name: web, size: 0}, within: 10s}]
`)
	for name, late := range map[string]time.Duration{"late": 5 * time.Second, "too late": 2 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
				log := ui.New(io.Discard, ui.Options{})
				defer log.Close()
				a := &simtest.Autoscaler{Cluster: c, Behaviour: simtest.NeverScalesUp}
				o := options(c, a, log)
				o.AddFact = func(f timeline.Fact) {
					if f.What == timeline.Step && strings.HasSuffix(f.Text, ". late") {
						c.DelayWatches(late)
					}
				}
				came, _ := run(ctx, o, s)
				r := came.Scenarios[0]
				cause, want := results.CheckFailed, "seen: size 1, 1 machines"
				if late > time.Minute {
					cause, want = results.ActionFailed, "shows what the actions changed: not within 1m0s"
				}
				if r.Verdict != results.Failed || r.Cause != cause || !strings.Contains(r.Failure, want) {
					t.Errorf("%s, %s: %s\nwant that it failed with %q", r.Verdict, r.Cause, r.Failure, want)
				}
				_ = a.Stop(ctx)
			})
		})
	}
}
