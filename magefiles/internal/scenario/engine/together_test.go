package engine_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/engine"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/scenario/simtest"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/ui"
)

// together runs scenarios on a simulated cluster, four at the same time, and returns the results
// and the groups that are left.
func together(t *testing.T, a engine.Autoscaler, sim *simtest.Autoscaler, scenarios []*scenario.Scenario, change func(*engine.Options)) (got *results.Results, left []string) {
	t.Helper()
	inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
		sim.Cluster = c
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		o := options(c, sim, log)
		o.Autoscaler, o.Parallel = a, 4
		if change != nil {
			change(&o)
		}
		var err error
		if got, err = engine.Run(ctx, o, scenarios); err != nil {
			t.Error(err)
		}
		left = groupsLeft(c)
		_ = sim.Stop(ctx) // it cannot fail
	})
	return got, left
}

// groupsLeft returns the names of the groups of scenarios that exist.
func groupsLeft(c *simtest.Cluster) []string {
	return slices.DeleteFunc(c.Names("MachineDeployment"), func(name string) bool { return !strings.HasPrefix(name, "sc-") })
}

func onHollow(all map[string]*scenario.Scenario, names ...string) []*scenario.Scenario {
	var chosen []*scenario.Scenario
	for _, name := range names {
		chosen = append(chosen, all[name].On(scenario.HollowMachines))
	}
	return chosen
}

func TestShippedScenariosPassAtOnce(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	names := slices.Sorted(maps.Keys(all))
	sim := &simtest.Autoscaler{Behaviour: simtest.Good}
	got, left := together(t, sim, sim, onHollow(all, names...), nil)
	if len(got.Scenarios) != len(names) || got.Parallel != 4 {
		t.Fatalf("%d results of %d scenarios, at once: %d", len(got.Scenarios), len(names), got.Parallel)
	}
	var sum float64
	for i, r := range got.Scenarios {
		sum += r.Seconds
		if r.Name != names[i] {
			t.Errorf("result %d is of %s, want %s", i, r.Name, names[i])
		}
		if !r.Verdict.Passes() || r.Beside != "" {
			t.Errorf("%s: %s\n%s\nbeside others: %s", r.Name, r.Verdict, r.Failure, r.Beside)
		}
	}
	if got.Seconds > 0.7*sum {
		t.Errorf("they took %.0f s together, and %.0f s added up: they did not run at the same time", got.Seconds, sum)
	}
	if len(left) > 0 {
		t.Errorf("left in the cluster: %v", left)
	}
}

func TestScenarioThatFailsBesideOthersRunsAgainAlone(t *testing.T) {
	t.Parallel()
	sim := &simtest.Autoscaler{Behaviour: simtest.NeverScalesUp}
	got, _ := together(t, sim, sim, onHollow(shipped(t), "scale-up", "scale-down"), nil)
	up, down := got.Scenarios[0], got.Scenarios[1]
	if up.Verdict != results.Failed || !strings.Contains(up.Beside, "did not come true within 2m0s: group web: size 2") || up.Started.Before(down.Started.Add(time.Duration(down.Seconds)*time.Second)) {
		t.Errorf("scale-up: %s at %s, beside others: %q", up.Verdict, up.Started, up.Beside)
	}
	if !down.Verdict.Passes() || down.Beside != "" {
		t.Errorf("scale-down: %s, beside others: %q", down.Verdict, down.Beside)
	}
}

// disturbed is an autoscaler that does not scale up while scenarios run beside each other: until
// scenario:run starts it for the third time.
type disturbed struct {
	*simtest.Autoscaler
	starts atomic.Int32
}

func (d *disturbed) Start(ctx context.Context, i engine.Invocation) error {
	if d.starts.Add(1) == 3 {
		if err := d.Stop(ctx); err != nil {
			return err
		}
		d.Behaviour = simtest.Good
	}
	return d.Autoscaler.Start(ctx, i)
}

func TestVerdictOfTheRunAloneCounts(t *testing.T) {
	t.Parallel()
	sim := &simtest.Autoscaler{Behaviour: simtest.NeverScalesUp}
	got, _ := together(t, &disturbed{Autoscaler: sim}, sim, onHollow(shipped(t), "scale-up", "scale-down"), nil)
	if up := got.Scenarios[0]; up.Verdict != results.Passed || up.Failure != "" || !strings.Contains(up.Beside, "did not come true") {
		t.Errorf("scale-up: %s, %q, beside others: %q", up.Verdict, up.Failure, up.Beside)
	}
	if err := got.Err(); err != nil {
		t.Error(err)
	}
}

func TestScenariosOfOneLaneHaveGroupsOfOtherNames(t *testing.T) {
	t.Parallel()
	names := []string{"scale-up", "small-pods", "host-port", "anti-affinity", "spread-over-hosts"}
	groups := map[string]bool{}
	sim := &simtest.Autoscaler{Behaviour: simtest.Good}
	together(t, sim, sim, onHollow(shipped(t), names...), func(o *engine.Options) {
		o.Parallel = 2
		subscribe := o.Subscribe
		o.Subscribe = func(onFact func(timeline.Fact)) func() {
			return subscribe(func(f timeline.Fact) {
				if f.What == timeline.ScaleUp && f.Group != "" {
					groups[f.Group] = true
				}
				onFact(f)
			})
		}
	})
	if len(groups) != len(names) {
		t.Errorf("%d scenarios with one group each enlarged %d groups: %v", len(names), len(groups), slices.Sorted(maps.Keys(groups)))
	}
}

func TestRepeatedScenariosDoNotRunAgainAlone(t *testing.T) {
	t.Parallel()
	sim := &simtest.Autoscaler{Behaviour: simtest.NeverScalesUp}
	got, _ := together(t, sim, sim, onHollow(shipped(t), "scale-up", "scale-down"), func(o *engine.Options) { o.Repeat = 2 })
	if len(got.Scenarios) != 4 {
		t.Fatalf("%d results, want 4", len(got.Scenarios))
	}
	for _, r := range got.Scenarios {
		if r.Beside != "" || r.Run == 0 || (r.Verdict == results.Failed) != (r.Name == "scale-up") {
			t.Errorf("%s, run %d: %s, beside others: %q", r.Name, r.Run, r.Verdict, r.Beside)
		}
	}
}

func TestEveryScenarioNoticesTheEndOfTheAutoscaler(t *testing.T) {
	t.Parallel()
	sim := &simtest.Autoscaler{Behaviour: simtest.EndsByItself}
	got, _ := together(t, sim, sim, onHollow(shipped(t), "scale-up", "small-pods", "host-port"), nil)
	for _, r := range got.Scenarios {
		if r.Verdict != results.Failed || r.Cause != results.AutoscalerEnded || !strings.Contains(r.Failure, "panic: on purpose") || !strings.Contains(r.Beside, "panic: on purpose") {
			t.Errorf("%s: %s, %q\n%s\nbeside others: %s", r.Name, r.Verdict, r.Cause, r.Failure, r.Beside)
		}
	}
}

func TestStoppedScenariosAreAllCleanedUp(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop, please")
	inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
		sim := &simtest.Autoscaler{Cluster: c, Behaviour: simtest.Good}
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		o := options(c, sim, log)
		o.Parallel = 2
		running, cancel := context.WithCancelCause(ctx)
		go func() {
			time.Sleep(40 * time.Second)
			cancel(stop)
		}()
		got, err := engine.Run(running, o, onHollow(shipped(t), "scale-up", "small-pods", "host-port"))
		if !errors.Is(err, stop) {
			t.Errorf("the error is %v", err)
		}
		var verdicts []results.Verdict
		for _, r := range got.Scenarios {
			verdicts = append(verdicts, r.Verdict)
		}
		slices.Sort(verdicts)
		if want := []results.Verdict{results.Interrupted, results.Interrupted, results.Skipped}; !slices.Equal(verdicts, want) {
			t.Errorf("verdicts %v, want %v", verdicts, want)
		}
		for _, name := range groupsLeft(c) {
			t.Errorf("the group %s is left", name)
		}
		_ = sim.Stop(ctx) // it cannot fail
	})
}

// noting is an autoscaler that notes the flags with which it was started.
type noting struct {
	*simtest.Autoscaler
	mu    sync.Mutex
	flags []string
}

func (n *noting) Start(ctx context.Context, i engine.Invocation) error {
	n.mu.Lock()
	n.flags = append(n.flags, i.Flags...)
	n.mu.Unlock()
	return n.Autoscaler.Start(ctx, i)
}

// TestSkippedScenariosGiveNoFlags: an older autoscaler does not have their flags.
func TestSkippedScenariosGiveNoFlags(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]bool{"1.28.1": false, "1.36.1": true} {
		sim := &simtest.Autoscaler{Behaviour: simtest.Good, Release: release}
		a := &noting{Autoscaler: sim}
		got, _ := together(t, a, sim, onHollow(shipped(t), "scale-up", "startup-taint", "host-port"), nil)
		if skipped := got.Scenarios[1].Verdict == results.Skipped; skipped == want {
			t.Errorf("%s: startup-taint: %s", release, got.Scenarios[1].Verdict)
		}
		if given := slices.Contains(a.flags, "--startup-taint=example.com/agent"); given != want {
			t.Errorf("%s: the flags are %q", release, a.flags)
		}
	}
}
