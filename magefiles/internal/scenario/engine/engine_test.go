package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/engine"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/scenario/simtest"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/explain"
	"caslab/magefiles/internal/ui"
	"caslab/magefiles/internal/workload"
)

func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leftovers returns the names of the objects of each kind that has more or fewer
// objects than before a run.
func leftovers(c *simtest.Cluster) []string {
	var names []string
	for kind, wanted := range map[string]int{"MachineDeployment": 1, "KubeadmConfigTemplate": 1, "DevMachineTemplate": 1, "Deployment": 0, "ConfigMap": 0, "PodDisruptionBudget": 0, "Machine": 1, "Node": 2} {
		if there := c.Names(kind); len(there) != wanted {
			names = append(names, there...)
		}
	}
	return names
}

func TestCleanUpRemovesEverything(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	for _, name := range []string{"broken-group", "expander-priority", "pdb-blocks-scale-down", "paused-cluster"} {
		for _, does := range []simtest.Behaviour{simtest.Good, simtest.IgnoresPause, simtest.NeverGivesUp} {
			t.Run(name+" "+string(does), func(t *testing.T) {
				t.Parallel()
				a := &simtest.Autoscaler{Behaviour: does}
				var left []string
				_, _ = simulate(t, a, func(c *simtest.Cluster) { left = leftovers(c) }, all[name])
				if len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		}
	}
}

// TestTimelineNamesTheCleanUp: what the clean-up of a scenario deletes is attributed to
// it in the timeline.
func TestTimelineNamesTheCleanUp(t *testing.T) {
	t.Parallel()
	s := parse(t, "title: t\ngroups: [{name: web, min: 1, max: 2}]\nsteps: [{say: wait, stays: [{group: {name: web, size: 1}, for: 1s}]}]\n")
	inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
		var mu sync.Mutex
		var facts []timeline.Fact
		defer c.Subscribe(func(f timeline.Fact) {
			mu.Lock()
			defer mu.Unlock()
			facts = append(facts, f)
		})()
		time.Sleep(time.Minute) // the recorder runs
		if came, err := run(ctx, o, s); err != nil {
			t.Fatalf("%v\n%s", err, came.Scenarios[0].Failure)
		}
		time.Sleep(time.Minute) // the last facts are recorded
		mu.Lock()
		defer mu.Unlock()
		got, err := explain.Text(ctx, facts, "group/sc-web", explain.Options{})
		for _, want := range []string{"group sc-web existed from", "; min 1, max 2.", "1         the group was created", "1 → 0     the scenario test deleted the group when it removed what it created"} {
			if err != nil || !strings.Contains(got, want) {
				t.Errorf("%v\n%s\nwant %q", err, got, want)
			}
		}
	})
}

func TestLeftoversOfAKilledRunAreRemoved(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
		// This is what a run leaves that was killed in the middle of a pause.
		group := capi.NodeGroup{Name: "sc-old", Namespace: simtest.Namespace, ClusterName: simtest.ClusterName, Prefix: release.SizePrefix, Min: 1, Max: 1, Labels: map[string]string{"a": "b"}, Extra: map[string]string{"caslab.local/scenario": "x"}}
		err := errors.Join(
			group.Add(ctx, c.Client),
			c.Client.Patch(ctx, kube.Clusters, simtest.Namespace, simtest.ClusterName, map[string]any{
				"metadata": map[string]any{"annotations": map[string]any{"caslab.local/paused-by-scenario": "x"}}, "spec": map[string]any{"paused": true},
			}),
			c.Client.Patch(ctx, kube.MachineDeployments, simtest.Namespace, "sc-old", map[string]any{
				"metadata": map[string]any{"annotations": map[string]any{"cluster.x-k8s.io/paused": "true"}},
			}),
		)
		if err != nil {
			t.Fatal(err)
		}
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		a := &simtest.Autoscaler{Cluster: c}
		came, err := run(ctx, options(c, a, log), all["scale-up"])
		if err != nil {
			t.Errorf("%v\n%s", err, came.Scenarios[0].Failure)
		}
		if left := leftovers(c); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		_ = a.Stop(ctx)
	})
}

func TestStoppedRunCleansUpAndSkipsTheRest(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		a := &simtest.Autoscaler{Cluster: c}
		stopped, stop := context.WithTimeoutCause(ctx, 25*time.Second, errors.New("Ctrl-C"))
		defer stop()
		came, err := run(stopped, options(c, a, log), all["paused-cluster"], all["scale-up"])
		if err == nil {
			t.Error("no error")
		}
		if r := came.Scenarios[0]; r.Verdict != results.Interrupted || !strings.Contains(r.Failure, "Ctrl-C") {
			t.Errorf("the first: %s, %s; want that it was interrupted, and not that its failure is known", r.Verdict, r.Failure)
		}
		if err := came.Err(); err != nil {
			t.Errorf("an interruption counts as a failure: %v", err)
		}
		if r := came.Scenarios[1]; r.Verdict != results.Skipped || !strings.Contains(r.Why, "Ctrl-C") {
			t.Errorf("the second: %s, %s", r.Verdict, r.Why)
		}
		if left := leftovers(c); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		cluster, err := c.Client.Get(ctx, kube.Clusters, simtest.Namespace, simtest.ClusterName)
		if err != nil || kube.Field(cluster, "spec", "paused") != "false" {
			t.Errorf("the cluster is %v, %v; want it resumed", cluster, err)
		}
		_ = a.Stop(ctx)
	})
}

// The first interruption stops a scenario and cleans up. The second one ends the
// clean-up, and the failure says what is left and how to remove it.
// TestTheClusterGoesAway: when the cluster of a scenario is removed, nothing is cleaned up,
// and nothing is said to be left.
func TestTheClusterGoesAway(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	for name, after := range map[string]time.Duration{"during the scenario": 0, "during its clean-up": time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inCluster(t, func(t *testing.T, ctx context.Context, _ *simtest.Cluster, o engine.Options) {
				interrupted, stop, _ := interrupt.With(ctx)
				var removed time.Time
				o.AddFact = func(f timeline.Fact) {
					if f.What == timeline.Step && strings.HasPrefix(f.Text, "2.") {
						time.AfterFunc(45*time.Second, func() {
							if after > 0 {
								stop()
								time.Sleep(after)
							}
							removed = time.Now()
							interrupt.Abandon(interrupted, &interrupt.GoneError{Reason: "the environment is gone"})
						})
					}
				}
				came, err := engine.Run(interrupted, o, []*scenario.Scenario{all["paused-cluster"], all["scale-up"]})
				if took := time.Since(removed); took > time.Second || err == nil {
					t.Errorf("it went on for %s, and ended with %v", took, err)
				}
				failure := came.Scenarios[0].Failure
				if strings.Contains(failure, "left") || !strings.Contains(failure, "the environment is gone") {
					t.Errorf("the failure says:\n%s", failure)
				}
			})
		})
	}
}

func TestSecondInterruptionEndsCleanUp(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
		interrupted, stop, now := interrupt.With(ctx)
		var second time.Time
		o.AddFact = func(f timeline.Fact) {
			if f.What == timeline.Step && strings.HasPrefix(f.Text, "2.") { // the cluster is resumed, and a node comes
				time.AfterFunc(45*time.Second, stop)
				time.AfterFunc(47*time.Second, func() {
					// The clean-up is interrupted while the cluster is paused.
					err := c.Client.Patch(ctx, kube.Clusters, simtest.Namespace, simtest.ClusterName, map[string]any{"metadata": map[string]any{"annotations": map[string]any{"caslab.local/paused-by-scenario": "x"}}})
					if err != nil {
						t.Error(err)
					}
					second = time.Now()
					now()
				})
			}
		}
		came, err := engine.Run(interrupted, o, []*scenario.Scenario{all["paused-cluster"], all["scale-up"]})
		if took := time.Since(second); took > 2*time.Second {
			t.Errorf("it went on for %s after the second interruption", took)
		}
		failure := came.Scenarios[0].Failure
		if v := came.Scenarios[0].Verdict; v != results.Interrupted {
			t.Errorf("the verdict is %s, want %s", v, results.Interrupted)
		}
		for _, want := range []string{
			"clean-up: remove what the scenario created: ", "interrupted a second time\n",
			"left in the cluster: Cluster work, which is paused, ", "KubeadmConfigTemplate sc-web\n",
			"the next run of a scenario removes it first; by hand:\n  kubectl -n default patch clusters.cluster.x-k8s.io work ",
			"\n  kubectl delete -n default KubeadmConfigTemplate.bootstrap.cluster.x-k8s.io -l caslab.local/scenario",
		} {
			if !strings.Contains(failure, want) {
				t.Errorf("%v: the failure does not say %q:\n%s", err, want, failure)
			}
		}
		if left := leftovers(c); len(left) == 0 {
			t.Errorf("the test shows nothing: nothing is left")
		}
		if _, err := run(ctx, o, all["scale-up"]); err != nil {
			t.Errorf("the next run: %v", err)
		}
		if left := leftovers(c); len(left) > 0 {
			t.Errorf("left behind by the next run: %v", left)
		}
	})
}

func TestSkipped(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	came, err := simulate(t, &simtest.Autoscaler{Foreign: true, Release: "1.25.0"}, nil, all["enforce-minimum"], all["restart-in-the-middle"], all["expander-least-waste"])
	if err == nil || !strings.Contains(err.Error(), "no scenario ran: all 3 were skipped") {
		t.Errorf("error %v, want that nothing ran", err)
	}
	for i, why := range []string{"it needs autoscaler 1.26.0 or later, and 1.25.0 runs", "the lab does not control the running autoscaler", "it needs flags or variables of its own"} {
		if r := came.Scenarios[i]; r.Verdict != results.Skipped || !strings.Contains(r.Why, why) {
			t.Errorf("%s: %s, %s; want it skipped with %q", r.Name, r.Verdict, r.Why, why)
		}
	}
}

func TestRightsNeedAnAutoscalerInTheCluster(t *testing.T) {
	t.Parallel()
	s := shipped(t)["upstream-rights"]
	if why := s.WhySkipped(scenario.Means{Controlled: true}); !strings.Contains(why, "-autoscaler=deploy") {
		t.Errorf("on this machine: %q", why)
	}
	if why := s.WhySkipped(scenario.Means{Controlled: true, Deployed: true}); why != "" {
		t.Errorf("in the cluster: %q", why)
	}
	if with := (engine.Invocation{RBAC: scenario.UpstreamRBAC}); with.Equal(engine.Invocation{}) {
		t.Error("an autoscaler with other rights goes on for this scenario")
	}
}

// TestContainersOfAnotherCluster: a scenario that stops kubelets or kills containers is skipped in a
// cluster that the lab did not create, and one that does so to hollow machines is not.
func TestContainersOfAnotherCluster(t *testing.T) {
	t.Parallel()
	const groups = "title: t\ngroups: [{name: web, max: 1, machines: docker}, {name: air, max: 1, machines: hollow}, {name: two, pool: air, max: 1, machines: docker}]\nsteps:\n- say: s\n  do: [{workload: {name: shop, pods: 1, pool: web}}, {workload: {name: bar, pods: 1, pool: air}}, "
	for action, skipped := range map[string]string{
		"node: {group: web, sick: true}":                   `its action "stop the kubelets of the nodes of the group web" needs the containers of docker machines, and the lab reaches them only in a cluster that it created`,
		"node: {group: web, sick: false}":                  `its action "start the kubelets of`,
		"node: {under: shop, sick: true}":                  `its action "stop the kubelets of the nodes under shop"`,
		"node: {under: bar, sick: true}":                   `its action "stop the kubelets of the nodes under bar"`,
		"machine: {group: web, do: fail, which: oldest}":   `its action "fail the oldest machine of the group web"`,
		"machine: {group: air, do: fail}":                  "",
		"node: {group: air, sick: true}":                   "",
		"node: {group: web, cordon: true}":                 "",
		"machine: {group: web, do: delete, which: oldest}": "",
	} {
		s := parse(t, groups+"{"+action+"}]\n")
		if why := s.WhySkipped(scenario.Means{Controlled: true}); !strings.HasPrefix(why, skipped) || (why == "") != (skipped == "") {
			t.Errorf("%s is skipped because %q, want %q", action, why, skipped)
		}
		if why := s.WhySkipped(scenario.Means{Controlled: true, Containers: true}); why != "" {
			t.Errorf("%s is skipped in the lab's own cluster: %s", action, why)
		}
	}
}

// TestFromZero: with an autoscaler that adds no node to an empty group, or does not know the
// label by which pods select the group, a scenario with such a group is skipped.
func TestFromZero(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	for release, skipped := range map[string]bool{"1.18.3": true, "1.24.3": true, "1.26.8": true, "1.27.1": false, "1.36.1": false} {
		v := version.Must(version.NewSemver(release))
		if why := all["scale-up"].WhySkipped(scenario.Means{Release: v, Controlled: true}); (why != "") != skipped || skipped && why != "its group web starts without a node, and the autoscaler knows the labels of such a group since 1.27.1, and "+release+" runs" {
			t.Errorf("scale-up with %s: %q", release, why)
		}
		for _, name := range []string{"scale-down", "up-and-down-from-one"} {
			if why := all[name].WhySkipped(scenario.Means{Release: v, Controlled: true}); why != "" {
				t.Errorf("%s with %s is skipped: %s", name, release, why)
			}
		}
	}
}

func TestKnownFailureAppliesToItsReleasesOnly(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	for release, want := range map[string]results.Verdict{"1.35.2": results.KnownFailure, "1.36.1": results.Failed} {
		came, err := simulate(t, &simtest.Autoscaler{Behaviour: simtest.IgnoresPause, Release: release}, nil, all["paused-group"])
		r := came.Scenarios[0]
		if r.Verdict != want || (err != nil) != (want == results.Failed) {
			t.Errorf("%s with %s: %s, %v", r.Name, release, r.Verdict, err)
		}
		if want == results.KnownFailure && (r.Known == "" || !strings.Contains(r.Failure, "size 1")) {
			t.Errorf("a known failure without its reason or evidence: %+v", r)
		}
	}
}

// Scenarios run with an autoscaler of an unknown release, and no failure of it
// counts as known.
func TestUnknownRelease(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	came, err := simulate(t, &simtest.Autoscaler{Behaviour: simtest.IgnoresPause, Unknown: true}, nil, all["paused-cluster"], all["paused-group"], all["enforce-minimum"])
	var verdicts []results.Verdict
	for _, r := range came.Scenarios {
		verdicts = append(verdicts, r.Verdict)
	}
	if want := []results.Verdict{results.Failed, results.Failed, results.Passed}; !slices.Equal(verdicts, want) || came.Release != "" {
		t.Errorf("%v of release %q, %v; want %v", verdicts, came.Release, err, want)
	}
	for i, want := range []string{"releases >= 1.18.0 are known to fail like this, and which release runs is not known: no release", "releases < 1.36.0 are known"} {
		if r := came.Scenarios[i]; !strings.Contains(r.Failure, want) || r.Known != "" {
			t.Errorf("%s: the failure does not say %q:\n%s\n%s", r.Name, want, r.Failure, r.Known)
		}
	}
	came, err = simulate(t, &simtest.Autoscaler{Unknown: true}, nil, all["paused-cluster"])
	if r := came.Scenarios[0]; err != nil || r.Verdict != results.Passed {
		t.Errorf("with one that behaves: %s, %v", r.Verdict, err)
	}
}

// TestProgressShowsWhatIsThereNow: also while no check comes true.
func TestProgressShowsWhatIsThereNow(t *testing.T) {
	t.Parallel()
	s := parse(t, `
title: t
groups: [{name: web, max: 2}]
steps:
- say: three pods wait
  do: [{workload: {name: shop, pods: 3}}]
  expect:
  - pods: {of: shop, running: 3}
    within: 3m
`)
	var record strings.Builder
	inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
		a := &simtest.Autoscaler{Cluster: c}
		log := ui.New(io.Discard, ui.Options{Record: &record})
		defer log.Close()
		_, _ = run(ctx, options(c, a, log), s) // the third pod never runs
		_ = a.Stop(ctx)                        // it cannot fail
	})
	if want := "three pods wait: pods of shop: 3 running: 2 running, 1 pending"; !strings.Contains(record.String(), want) {
		t.Errorf("the progress never was %q:\n%s", want, record.String())
	}
}

func TestFailureReport(t *testing.T) {
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
	came, _ := simulate(t, &simtest.Autoscaler{}, nil, s)
	failure := came.Scenarios[0].Failure
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
	if cause := came.Scenarios[0].Cause; cause != results.CheckFailed {
		t.Errorf("the cause is %q", cause)
	}
	if why := came.Scenarios[0].Why; strings.Contains(why, "\n") || !strings.Contains(why, "1 running, 1 pending") {
		t.Errorf("why in a line: %q", why)
	}
}

func TestObjectOfTheUserIsKept(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
		err := c.Client.Apply(ctx, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cluster-autoscaler-priority-expander, namespace: "+simtest.ConfigNamespace+"}"))
		if err != nil {
			t.Fatal(err)
		}
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		came, err := run(ctx, options(c, &simtest.Autoscaler{Cluster: c}, log), all["expander-priority"])
		if err == nil || !strings.Contains(came.Scenarios[0].Failure, "that no scenario created") {
			t.Errorf("%v\n%s", err, came.Scenarios[0].Failure)
		}
		if !slices.Equal(c.Names("ConfigMap"), []string{"cluster-autoscaler-priority-expander"}) {
			t.Errorf("the user's is gone")
		}
	})
}

// A fact from the autoscaler's log may arrive after the change that it explains.
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
	inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		a := &simtest.Autoscaler{Cluster: c}
		o := options(c, a, log)
		o.Subscribe = func(tell func(timeline.Fact)) func() {
			return c.Subscribe(func(f timeline.Fact) {
				time.AfterFunc(2*time.Second, func() { tell(f) })
			})
		}
		o.AddFact = func(f timeline.Fact) {
			if f.What == timeline.Step && strings.Contains(f.Text, "late") {
				time.AfterFunc(4*time.Second, func() { c.Log("W", "late.go:1", "it is late") })
			}
		}
		came, err := run(ctx, o, s)
		if err != nil {
			t.Errorf("%v\n%s", err, came.Scenarios[0].Failure)
		}
		_ = a.Stop(ctx)
	})
}

// The first step begins when the groups have their minimum. To annotate the pods
// of a workload that has none is an error.
func TestSetUpWaitsForTheFirstNodes(t *testing.T) {
	t.Parallel()
	came, err := simulate(t, &simtest.Autoscaler{}, nil, parse(t, `
title: t
groups: [{name: web, min: 1, max: 1}]
steps:
- say: there is a node
  expect: [{group: {name: web, ready: 1}, within: 1s}]
- say: there are no pods
  do: [{workload: {name: shop, pods: 0}}, {annotate: {workload: shop, annotations: {a: b}}}]
`))
	want := "there are no pods: annotate the pods of shop: the workload shop has no pods"
	if r := came.Scenarios[0]; err == nil || r.Failure != want || r.Cause != results.ActionFailed {
		t.Errorf("%v\n%s: %s\nwant %s", err, r.Cause, r.Failure, want)
	}
}

// A scenario that fails soon after it began does not show what happened in the
// scenario before it, although that is on the timeline and less than a minute old.
func TestFailureReportBeginsWithTheScenario(t *testing.T) {
	t.Parallel()
	s := parse(t, "title: t\ngroups: [{name: web, max: 1}]\nsteps: [{say: soon, expect: [{group: {name: web, size: 1}, within: 5s}]}]\n")
	inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
		o.Subscribe = func(onFact func(timeline.Fact)) func() {
			onFact(timeline.Fact{Time: time.Now().Add(-20 * time.Second), Kind: timeline.Lab, What: timeline.Passed, Name: "the-one-before"})
			return c.Subscribe(onFact)
		}
		o.AddFact = c.AddFact
		came, _ := run(ctx, o, s)
		failure := came.Scenarios[0].Failure
		if strings.Contains(failure, "the-one-before") || strings.Contains(failure, "the last minute") {
			t.Errorf("the failure shows what happened before the scenario:\n%s", failure)
		}
		if _, recent, found := strings.Cut(failure, "  since the scenario began:\n"); !found || !strings.Contains(recent, "1. soon") {
			t.Errorf("the failure does not show what happened since the scenario began:\n%s", failure)
		}
	})
}

// An expectation that comes true too late fails, even if the delay is shorter
// than the time for which the engine waits for late facts.
func TestTooLateIsAFailure(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		expect string
		after  time.Duration // from the beginning of the step
		says   string        // empty if it passes
	}{
		"an object in time":      {"group: {name: web, size: 1}", 4 * time.Second, ""},
		"an object too late":     {"group: {name: web, size: 1}", 6 * time.Second, "did not come true within 5s: group web: size 1\n"},
		"a fact in time":         {"said: {what: problem, text: late}", 4 * time.Second, ""},
		"a fact too late":        {"said: {what: problem, text: late}", 6 * time.Second, "1s too late"},
		"in order, and in time":  {"order: [{nodes: 2}, {said: {what: problem, text: late}}]", 4 * time.Second, ""},
		"in order, and too late": {"order: [{nodes: 2}, {said: {what: problem, text: late}}]", 6 * time.Second, "1s too late"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := parse(t, "title: t\ngroups: [{name: web, max: 1}]\nsteps: [{say: late, expect: [{"+tt.expect+", within: 5s}]}]\n")
			inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
				var change *time.Timer
				changed := make(chan struct{})
				o.AddFact = func(f timeline.Fact) {
					if f.What != timeline.Step || f.Text == timeline.CleanUp {
						return
					}
					change = time.AfterFunc(tt.after, func() {
						defer close(changed)
						if err := c.Client.Patch(ctx, kube.MachineDeployments, simtest.Namespace, "sc-web", map[string]any{"spec": map[string]any{"replicas": 1}}); err != nil {
							t.Error(err)
						}
						c.Log("W", "late.go:1", "it is late")
					})
				}
				came, err := run(ctx, o, s)
				// The run may end before the request that it waited for.
				if !change.Stop() {
					<-changed
				}
				failure := came.Scenarios[0].Failure
				if tt.says == "" && err != nil || tt.says != "" && !strings.Contains(failure, tt.says) {
					t.Errorf("%v\n%s\nwant %q", err, failure, tt.says)
				}
			})
		})
	}
}

// An autoscaler that the lab does not control repeats a reason in every round.
// The reason counts as said in the second scenario too, although the autoscaler
// did not stop repeating it between the two scenarios.
func TestStatementRepeatedInAnotherScenarioCounts(t *testing.T) {
	t.Parallel()
	one, two := parse(t, `
title: t
groups: [{name: web, max: 1}]
steps:
- say: it is out of order
  expect:
  - said: {what: problem, text: out of order}
    within: 30s
`), parse(t, `
title: t
groups: [{name: web, min: 1, max: 1}]
steps:
- say: a pod too many
  do: [{workload: {name: shop, pods: 2}}]
  expect:
  - said: {what: problem, text: out of order}
    within: 30s
  - said: {what: refused, group: web, text: max size reached}
    within: 30s
`)
	three := *two
	one.Name, three.Name = "one", "three"
	inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
		a := &simtest.Autoscaler{Cluster: c, Foreign: true, Release: "1.36.1"}
		o.Autoscaler = a
		if err := a.Start(ctx, engine.Invocation{}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		go func() {
			for ctx.Err() == nil {
				c.Log("W", "cloud.go:1", "the cloud is out of order")
				select {
				case <-ctx.Done():
				case <-time.After(10 * time.Second):
				}
			}
		}()
		var repeated atomic.Int32
		defer c.Subscribe(func(f timeline.Fact) {
			if f.Text == "the cloud is out of order" {
				repeated.Add(1)
			}
		})()
		came, err := run(ctx, o, one, two, &three)
		if n := repeated.Load(); n < 3 || n > 6 {
			t.Errorf("what is repeated in every round is on the timeline %d times", n)
		}
		if err != nil {
			t.Errorf("%v\n%s%s%s", err, came.Scenarios[0].Failure, came.Scenarios[1].Failure, came.Scenarios[2].Failure)
		}
		_ = a.Stop(ctx)
	})
}

// If the autoscaler crashes, the failure is not a known one.
func TestCrashIsNoKnownFailure(t *testing.T) {
	t.Parallel()
	came, err := simulate(t, &simtest.Autoscaler{Behaviour: simtest.EndsByItself, Release: "1.35.2"}, nil, shipped(t)["paused-group"])
	if r := came.Scenarios[0]; err == nil || r.Verdict != results.Failed || r.Cause != results.AutoscalerEnded || !strings.Contains(r.Failure, "panic: on purpose") {
		t.Errorf("%s, %s, %v\n%s", r.Verdict, r.Cause, err, r.Failure)
	} else if last := r.Steps[len(r.Steps)-1]; last.Seconds > 15 {
		t.Errorf("it was noticed after %v s", last.Seconds)
	}
}

// A scenario that fails as known, and whose clean-up then fails, has failed.
func TestFailedCleanUpIsNoKnownFailure(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
		a := &simtest.Autoscaler{Cluster: c, Behaviour: simtest.IgnoresPause, Release: "1.35.2"}
		o.Autoscaler = a
		mark := o.AddFact
		o.AddFact = func(f timeline.Fact) {
			mark(f)
			if f.What == timeline.Step {
				c.Refuse("list", "configmaps", errors.New("out of order"))
			}
		}
		came, err := run(ctx, o, all["paused-group"])
		r := came.Scenarios[0]
		if err == nil || r.Verdict != results.Failed || r.Known != "" {
			t.Errorf("%s, known %q, %v\n%s", r.Verdict, r.Known, err, r.Failure)
		}
		for _, want := range []string{"and the group is paused: did not stay so", "clean-up: remove what the scenario created: ", "out of order", "more may be left in the cluster: "} {
			if !strings.Contains(r.Failure, want) {
				t.Errorf("the failure does not say %q:\n%s", want, r.Failure)
			}
		}
		_ = a.Stop(ctx)
	})
}

// inCluster runs a test in a bubble with a simulated cluster.
func inCluster(t *testing.T, test func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options)) {
	t.Helper()
	inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		a := &simtest.Autoscaler{Cluster: c}
		test(t, ctx, c, options(c, a, log))
		_ = a.Stop(ctx) // it cannot fail
	})
}

func TestStopBetweenScenariosIsNoSuccess(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, _ *simtest.Cluster, o engine.Options) {
		stopped, stop := context.WithCancelCause(ctx)
		o.Report = func(*results.Results) error {
			stop(errors.New("Ctrl-C"))
			return nil
		}
		came, err := run(stopped, o, all["scale-up"])
		if r := came.Scenarios[0]; r.Verdict != results.Passed || err == nil || !strings.Contains(err.Error(), "stopped: Ctrl-C") {
			t.Errorf("%s, %v; want it passed, and that the run was stopped", r.Verdict, err)
		}
	})
}

// Run returns an error only if it could not finish. A failed scenario is a
// verdict in the results.
func TestFailureIsNoErrorOfTheRun(t *testing.T) {
	t.Parallel()
	inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		a := &simtest.Autoscaler{Cluster: c, Behaviour: simtest.NeverScalesUp}
		s := shipped(t)["scale-up"]
		s.Given = "./mine.yaml"
		came, err := engine.Run(ctx, options(c, a, log), []*scenario.Scenario{s})
		if err != nil {
			t.Errorf("the run: %v", err)
		}
		if failed := new(results.FailedError); !errors.As(came.Err(), &failed) || !slices.Equal(failed.Names, []string{"scale-up"}) || failed.Again != "./mine.yaml" {
			t.Errorf("the verdicts: %v; want that scale-up failed, given as ./mine.yaml", came.Err())
		}
		_ = a.Stop(ctx)
	})
}

func TestResultsSoFarAreReported(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, _ *simtest.Cluster, o engine.Options) {
		var so []int
		o.Report = func(r *results.Results) error {
			so = append(so, len(r.Scenarios))
			if r.Seconds <= 0 {
				t.Error("it took no time")
			}
			return errors.New("the disk is full")
		}
		_, err := run(ctx, o, all["scale-up"], all["maximum-holds"])
		if err != nil || !slices.Equal(so, []int{1, 2}) {
			t.Errorf("reported %v, %v; want one, then two, and no error", so, err)
		}
	})
}

func TestObjectsThatNoScenarioCreatedAreKept(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
		group := capi.NodeGroup{Name: "sc-mine", Namespace: simtest.Namespace, ClusterName: simtest.ClusterName, Prefix: release.SizePrefix, Max: 1, Labels: map[string]string{"a": "b"}}
		_, err := workload.Workload{Name: "sc-mine", Namespace: simtest.Namespace}.Add(ctx, c.Client)
		err = errors.Join(err,
			group.Add(ctx, c.Client),
			c.Client.Patch(ctx, kube.MachineDeployments, simtest.Namespace, "sc-mine", map[string]any{
				"metadata": map[string]any{"annotations": map[string]any{"cluster.x-k8s.io/paused": "true"}},
			}),
			// This template belongs to a scenario on another cluster.
			c.Client.Apply(ctx, []byte("apiVersion: bootstrap.cluster.x-k8s.io/v1beta2\nkind: KubeadmConfigTemplate\nmetadata: {name: sc-theirs, namespace: "+simtest.Namespace+
				", labels: {cluster.x-k8s.io/cluster-name: other, caslab.local/scenario: x, caslab.local/node-group: sc-theirs}}")),
		)
		if err != nil {
			t.Fatal(err)
		}
		came, err := run(ctx, o, all["scale-up"])
		if err != nil {
			t.Errorf("%v\n%s", err, came.Scenarios[0].Failure)
		}
		for kind, want := range map[string][]string{
			"MachineDeployment": {"sc-mine", "work-md-0"}, "KubeadmConfigTemplate": {"sc-mine", "sc-theirs", "work-md-0"}, "Deployment": {"sc-mine"},
		} {
			if there := c.Names(kind); !slices.Equal(there, want) {
				t.Errorf("%s: %v, want %v", kind, there, want)
			}
		}
		mine, err := c.Client.Get(ctx, kube.MachineDeployments, simtest.Namespace, "sc-mine")
		if err != nil || mine.GetAnnotations()["cluster.x-k8s.io/paused"] == "" {
			t.Errorf("the user's group was resumed, %v", err)
		}
	})
}

func TestWorkloadOfTheUserIsNotReplaced(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
		if _, err := (workload.Workload{Name: "sc-shop", Namespace: simtest.Namespace}).Add(ctx, c.Client); err != nil {
			t.Fatal(err)
		}
		came, err := run(ctx, o, all["scale-up"])
		if err == nil || !strings.Contains(came.Scenarios[0].Failure, "there is a Deployment default/sc-shop that no scenario created") {
			t.Errorf("%v\n%s", err, came.Scenarios[0].Failure)
		}
		if there := c.Names("Deployment"); !slices.Equal(there, []string{"sc-shop"}) {
			t.Errorf("the user's is gone: %v", there)
		}
	})
}

func TestPausedClusterIsRefused(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
		if err := c.Client.Patch(ctx, kube.Clusters, simtest.Namespace, simtest.ClusterName, map[string]any{"spec": map[string]any{"paused": true}}); err != nil {
			t.Fatal(err)
		}
		// This scenario has a known failure, but in its steps. The failure here
		// is outside of them.
		came, err := run(ctx, o, all["paused-cluster"])
		if r := came.Scenarios[0]; err == nil || r.Verdict != results.Failed || r.Cause != results.SetUpFailed || !strings.Contains(r.Failure, "kubectl -n default patch clusters.cluster.x-k8s.io work --type=merge -p '{\"spec\":{\"paused\":false}}'") {
			t.Errorf("%s, %v\n%s", r.Verdict, err, r.Failure)
		}
		cluster, err := c.Client.Get(ctx, kube.Clusters, simtest.Namespace, simtest.ClusterName)
		if err != nil || kube.Field(cluster, "spec", "paused") != "true" || len(cluster.GetAnnotations()) > 0 {
			t.Errorf("the cluster is %v, %v; want it as it was", cluster, err)
		}
	})
}

// If one object cannot be removed, the others are removed all the same. A kind
// that the cluster does not serve is not an error.
func TestCleanUpGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
		o.Workload = c.Undefine(schema.GroupKind{Group: "policy", Kind: "PodDisruptionBudget"})
		o.AddFact = func(f timeline.Fact) {
			if f.What == timeline.Step {
				c.Refuse("list", "configmaps", errors.New("out of order"))
				c.Refuse("get", "clusters", errors.New("lost"))
			}
		}
		came, err := run(ctx, o, all["scale-up"])
		failure := came.Scenarios[0].Failure
		if cause := came.Scenarios[0].Cause; cause != results.CleanUpFailed {
			t.Errorf("the cause is %q", cause)
		}
		if err == nil || !strings.Contains(failure, "out of order") || !strings.Contains(failure, "lost") || strings.Contains(failure, "no matches") {
			t.Errorf("%v\n%s", err, failure)
		}
		for kind, want := range map[string]int{"MachineDeployment": 1, "KubeadmConfigTemplate": 1, "Deployment": 0, "Machine": 1, "Node": 2} {
			if there := c.Names(kind); len(there) != want {
				t.Errorf("left behind: %v", there)
			}
		}
	})
}

func TestCheckThatWasNeverEvaluatedFails(t *testing.T) {
	t.Parallel()
	const begin = "title: t\ngroups: [{name: web, max: 1}]\nsteps:\n- {say: none, do: [{workload: {name: shop, pods: 0}}]}\n"
	for name, c := range map[string]struct{ text, says string }{
		"undisturbed": {"- {say: none stay, stays: [{pods: {of: shop, undisturbed: true}, for: 5s}]}", "there were no pods when the step began"},
		"stays":       {"- {say: none stay, stays: [{pods: {of: shop, spared: true}, for: 5s}]}", "there was nothing to look at"},
		"expect":      {"- {say: none come, expect: [{pods: {of: shop, spared: true}, within: 5s}]}", "did not come true within 5s"},
		"always":      {"- {say: end, expect: [{group: {name: web, size: 0}, within: 5s}]}\nalways: [{pods: {of: shop, spared: true}}]", "there was nothing to look at"},
		"old":         {"- {say: roll, do: [{rollout: web}], expect: [{group: {name: web, old: 0}, within: 5s}]}", "there were none when it began"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			came, err := simulate(t, &simtest.Autoscaler{}, nil, parse(t, begin+c.text))
			if err == nil || !strings.Contains(came.Scenarios[0].Failure, c.says) {
				t.Errorf("%v\n%s\nwant %q", err, came.Scenarios[0].Failure, c.says)
			}
		})
	}
}

// The failure says once that the clean-up was interrupted, and not again for
// each request that was not sent after that.
func TestInterruptedCleanUpListsLeftovers(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, c *simtest.Cluster, o engine.Options) {
		interrupted, stop, now := interrupt.With(ctx)
		o.AddFact = func(f timeline.Fact) {
			if f.What == timeline.Step {
				stop()
				now()
			}
		}
		came, err := engine.Run(interrupted, o, []*scenario.Scenario{all["scale-up"]})
		if failure := came.Scenarios[0].Failure; !strings.Contains(failure, "clean-up: remove what the scenario created: interrupted a second time\nleft in the cluster: ") {
			t.Errorf("%v\n%s", err, failure)
		}
	})
}

// TestRepeat: each scenario runs several times, one that is skipped only once.
func TestRepeat(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, _ *simtest.Cluster, o engine.Options) {
		o.Repeat = 2
		old := *all["maximum-holds"]
		old.Autoscaler.Since = "99.0.0"
		came, err := run(ctx, o, all["scale-up"], &old, all["pod-too-large"])
		var got []string
		for _, r := range came.Scenarios {
			got = append(got, fmt.Sprintf("%s %d %s", r.Name, r.Run, r.Verdict))
		}
		want := []string{"scale-up 1 passed", "scale-up 2 passed", "maximum-holds 1 skipped", "pod-too-large 1 passed", "pod-too-large 2 passed"}
		if err != nil || came.Repeat != 2 || !slices.Equal(got, want) {
			t.Errorf("Run() = %q, %v, want %q", got, err, want)
		}
	})
}

// TestAutoscalerForgetsGroupsOfEarlierScenarios: the back-off of a group outlives the group, and two
// scenarios have a group of that name.
func TestAutoscalerForgetsGroupsOfEarlierScenarios(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	inCluster(t, func(t *testing.T, ctx context.Context, _ *simtest.Cluster, o engine.Options) {
		o.Repeat = 2
		came, err := run(ctx, o, all["broken-group"], all["broken-later"])
		for _, r := range came.Scenarios {
			if !r.Verdict.Passes() {
				t.Errorf("%s, run %d: %s", r.Name, r.Run, r.Failure)
			}
		}
		if err != nil || len(came.Scenarios) != 4 {
			t.Errorf("Run() = %d results, %v", len(came.Scenarios), err)
		}
	})
}
