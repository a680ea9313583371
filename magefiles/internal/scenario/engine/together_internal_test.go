package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/timeline"
)

// beside returns the world of a scenario with the group web in lane 1, with facts about it and about
// another scenario.
func beside(t *testing.T) *world {
	t.Helper()
	w := newWorld("sc-1-", time.Now)
	w.lanes, w.own = "sc-", []string{"web"}
	size := 1
	for _, f := range []timeline.Fact{
		{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Group: "sc-1-web", N: &size, Text: "Scale-up: setting group MachineDeployment/default/sc-1-web size to 1"},
		{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Group: "sc-2-web", N: &size, Text: "Scale-up: setting group MachineDeployment/default/sc-2-web size to 1"},
		{Kind: timeline.Autoscaler, What: timeline.Refused, Name: "default/sc-2-shop-x", Text: "no room"},
		{Kind: timeline.Autoscaler, What: timeline.Problem, Text: "quota"},
	} {
		f.Time = time.Now()
		w.addFact(f)
	}
	return w
}

func TestDecisionsBesideOthersAreThoseAboutOwnGroups(t *testing.T) {
	t.Parallel()
	w := beside(t)
	check := &scenario.DecisionsCheck{Up: count(t, "1")}
	if found := w.evalDecisions(check, baseline{}); !found.holds {
		t.Errorf("beside others: %s", found.seen)
	}
	w.lanes = ""
	if found := w.evalDecisions(check, baseline{}); found.holds {
		t.Errorf("a scenario that runs alone does not count the decision about another group: %s", found.seen)
	}
}

func TestFactsAboutScenariosBesideAreLeftOut(t *testing.T) {
	t.Parallel()
	var told []string
	for _, f := range beside(t).factsSince(time.Time{}) {
		told = append(told, f.Group+f.Name+f.Text)
	}
	if len(told) != 2 {
		t.Errorf("%q, want those about sc-1-web and about no object", told)
	}
}

// ending is an autoscaler that ended, and whose Start fails if it is to.
type ending struct {
	Autoscaler
	ended chan error
	fails error
}

func (e *ending) Ended() <-chan error { return e.ended }

func (e *ending) Start(context.Context, Invocation) error { return e.fails }

func TestLanesLearnOfAnEndWhileAnotherStartsTheAutoscaler(t *testing.T) {
	t.Parallel()
	crash := errors.New("crash")
	for name, e := range map[string]*ending{
		"before the start": {ended: make(chan error, 1)},
		"in the start":     {ended: make(chan error, 1), fails: crash},
	} {
		if e.fails == nil {
			e.ended <- crash
		}
		one := &oneAutoscaler{Autoscaler: e, lock: make(lock, 1)}
		first, second := one.lane(), one.lane()
		if err := first.Start(t.Context(), Invocation{}); !errors.Is(err, e.fails) {
			t.Errorf("%s: Start() = %v", name, err)
		}
		one.stopForwarding()
		select {
		case err := <-second.Ended():
			if !errors.Is(err, crash) {
				t.Errorf("%s: the other lane was told %v", name, err)
			}
		default:
			t.Errorf("%s: the other lane was told nothing", name)
		}
	}
}
