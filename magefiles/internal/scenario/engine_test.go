package scenario_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/simtest"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/ui"
)

func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leftovers are the names of what a run must not leave behind.
func leftovers(t *testing.T, c *simtest.Cluster) []string {
	t.Helper()
	var names []string
	for kind, wanted := range map[string]int{"MachineDeployment": 1, "KubeadmConfigTemplate": 1, "DevMachineTemplate": 1, "Deployment": 0, "ConfigMap": 0, "PodDisruptionBudget": 0, "Machine": 1, "Node": 2} {
		if there := c.Names(t.Context(), kind); len(there) != wanted {
			names = append(names, there...)
		}
	}
	return names
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	for _, name := range []string{"broken-group", "expander-priority", "pdb-blocks-scale-down", "paused-cluster"} {
		for _, does := range []simtest.Behaviour{simtest.Good, simtest.IgnoresPause, simtest.NeverGivesUp} {
			t.Run(name+" "+string(does), func(t *testing.T) {
				t.Parallel()
				a := &simtest.Autoscaler{Behaviour: does}
				var left []string
				_, _ = simulate(t, a, func(c *simtest.Cluster) { left = leftovers(t, c) }, all[name])
				if len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

func TestWhatAKilledRunLeftIsRemoved(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	synctest.Test(t, func(t *testing.T) {
		c := simtest.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go c.Run(ctx)
		// As a run that was killed in the middle of a pause.
		group := capi.NodeGroup{Name: "sc-old", Namespace: simtest.Namespace, ClusterName: simtest.ClusterName, Prefix: capi.Prefix, Min: 1, Max: 1, Labels: map[string]string{"a": "b"}}
		err := errors.Join(
			group.Add(ctx, c.Client),
			c.Client.Patch(ctx, capi.Clusters, simtest.Namespace, simtest.ClusterName, map[string]any{
				"metadata": map[string]any{"annotations": map[string]any{"caslab.local/paused-by-scenario": "x"}}, "spec": map[string]any{"paused": true},
			}),
			c.Client.Patch(ctx, capi.MachineDeployments, simtest.Namespace, "sc-old", map[string]any{
				"metadata": map[string]any{"annotations": map[string]any{"cluster.x-k8s.io/paused": "true"}},
			}),
		)
		if err != nil {
			t.Fatal(err)
		}
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		a := &simtest.Autoscaler{Cluster: c}
		results, err := scenario.Run(ctx, options(c, a, log), []*scenario.Scenario{all["scale-up"]})
		if err != nil {
			t.Errorf("%v\n%s", err, results.Scenarios[0].Failure)
		}
		if left := leftovers(t, c); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		_ = a.Stop(ctx)
	})
}

func TestAStopCleansUpAndSkipsTheRest(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	synctest.Test(t, func(t *testing.T) {
		c := simtest.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go c.Run(ctx)
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		a := &simtest.Autoscaler{Cluster: c}
		stopped, stop := context.WithTimeoutCause(ctx, 25*time.Second, errors.New("Ctrl-C"))
		defer stop()
		results, err := scenario.Run(stopped, options(c, a, log), []*scenario.Scenario{all["paused-cluster"], all["scale-up"]})
		if err == nil {
			t.Error("no error")
		}
		if r := results.Scenarios[0]; r.Verdict != scenario.Failed || !strings.Contains(r.Failure, "Ctrl-C") {
			t.Errorf("the first: %s, %s; want that it was stopped, and not that its failure is known", r.Verdict, r.Failure)
		}
		if r := results.Scenarios[1]; r.Verdict != scenario.Skipped || !strings.Contains(r.Why, "Ctrl-C") {
			t.Errorf("the second: %s, %s", r.Verdict, r.Why)
		}
		if left := leftovers(t, c); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		cluster, err := c.Client.Get(ctx, capi.Clusters, simtest.Namespace, simtest.ClusterName)
		if err != nil || kube.Field(cluster, "spec", "paused") != "false" {
			t.Errorf("the cluster is %v, %v; want it resumed", cluster, err)
		}
		_ = a.Stop(ctx)
	})
}

func TestSkipped(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	results, err := simulate(t, &simtest.Autoscaler{Foreign: true, Release: "1.22.0"}, nil, all["from-zero-and-back"], all["restart-in-the-middle"])
	if err != nil {
		t.Error(err)
	}
	for i, why := range []string{"it needs autoscaler 1.24.0 or later, and 1.22.0 runs", "not the lab's to start"} {
		if r := results.Scenarios[i]; r.Verdict != scenario.Skipped || !strings.Contains(r.Why, why) {
			t.Errorf("%s: %s, %s; want it skipped with %q", r.Name, r.Verdict, r.Why, why)
		}
	}
}

func TestKnownFailuresAreOfTheirReleases(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	for release, want := range map[string]scenario.Verdict{"1.35.2": scenario.KnownFailure, "1.36.1": scenario.Failed} {
		results, err := simulate(t, &simtest.Autoscaler{Behaviour: simtest.IgnoresPause, Release: release}, nil, all["paused-group"])
		r := results.Scenarios[0]
		if r.Verdict != want || (err != nil) != (want == scenario.Failed) {
			t.Errorf("%s with %s: %s, %v", r.Name, release, r.Verdict, err)
		}
		if want == scenario.KnownFailure && (r.Known == "" || !strings.Contains(r.Failure, "size 1")) {
			t.Errorf("a known failure without its reason or evidence: %+v", r)
		}
	}
}

func TestAFailureTellsEverything(t *testing.T) {
	t.Parallel()
	s := parse(t, `
title: t
groups: [{name: web, max: 1}]
steps:
- say: two pods wait
  do: [{workload: {name: shop, pods: 2}}]
  expect:
  - pods: {of: shop, running: 2}
    within: 60s
`)
	results, _ := simulate(t, &simtest.Autoscaler{}, nil, s)
	failure := results.Scenarios[0].Failure
	for _, want := range []string{
		"two pods wait: did not come true within 1m0s: pods of shop: 2 running\n",
		"seen: 1 running, 1 pending (sc-shop-", // with the pod's name
		"how it changed:", "(pod sc-shop-",
		"the autoscaler said:", "refused default/sc-shop-", "1 max node group size reached",
		"the last minute:",
	} {
		if !strings.Contains(failure, want) {
			t.Errorf("the failure has no %q:\n%s", want, failure)
		}
	}
	if why := results.Scenarios[0].Why; strings.Contains(why, "\n") || !strings.Contains(why, "1 running, 1 pending") {
		t.Errorf("why in a line: %q", why)
	}
}

func TestAnObjectOfTheUsersIsLeftAlone(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	synctest.Test(t, func(t *testing.T) {
		c := simtest.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go c.Run(ctx)
		err := c.Client.Apply(ctx, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cluster-autoscaler-priority-expander, namespace: "+simtest.ConfigNamespace+"}"))
		if err != nil {
			t.Fatal(err)
		}
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		results, err := scenario.Run(ctx, options(c, &simtest.Autoscaler{Cluster: c}, log), []*scenario.Scenario{all["expander-priority"]})
		if err == nil || !strings.Contains(results.Scenarios[0].Failure, "that no scenario made") {
			t.Errorf("%v\n%s", err, results.Scenarios[0].Failure)
		}
		if !slices.Equal(c.Names(t.Context(), "ConfigMap"), []string{"cluster-autoscaler-priority-expander"}) {
			t.Errorf("the user's is gone")
		}
	})
}

// A fact of the log may come after the change that it explains.
func TestLateFactsCount(t *testing.T) {
	t.Parallel()
	s := parse(t, `
title: t
groups: [{name: web, max: 1}]
steps:
- say: late
  expect:
  - said: {what: problem, text: late}
    within: 5s
- say: in order
  do: [{workload: {name: shop, pods: 1}}]
  expect:
  - order: [{said: {what: scaleUp, group: web}}, {group: {name: web, size: 1}}]
    within: 1m
`)
	synctest.Test(t, func(t *testing.T) {
		c := simtest.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go c.Run(ctx)
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		a := &simtest.Autoscaler{Cluster: c}
		o := options(c, a, log)
		o.Subscribe = func(tell func(timeline.Fact)) func() {
			return c.Subscribe(func(f timeline.Fact) {
				time.AfterFunc(2*time.Second, func() { tell(f) })
			})
		}
		o.Mark = func(f timeline.Fact) {
			if f.What == timeline.Step && strings.Contains(f.Text, "late") {
				at := time.Now().Add(4 * time.Second)
				time.AfterFunc(4*time.Second, func() { c.Tell(timeline.Fact{Time: at, What: timeline.Problem, Text: "it is late"}) })
			}
		}
		results, err := scenario.Run(ctx, o, []*scenario.Scenario{s})
		if err != nil {
			t.Errorf("%v\n%s", err, results.Scenarios[0].Failure)
		}
		_ = a.Stop(ctx)
	})
}
