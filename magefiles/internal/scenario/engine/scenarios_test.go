package engine_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/engine"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/scenario/simtest"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/ui"
)

// shipped returns the scenarios that come with the lab, by name.
func shipped(t *testing.T) map[string]*scenario.Scenario {
	t.Helper()
	all, err := scenario.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*scenario.Scenario{}
	for _, s := range all {
		byName[s.Name] = s
	}
	return byName
}

// simulate runs scenarios on a simulated cluster, and then calls after, if it is
// not nil.
func simulate(t *testing.T, a *simtest.Autoscaler, after func(*simtest.Cluster), scenarios ...*scenario.Scenario) (got *results.Results, err error) {
	t.Helper()
	inSimulation(t, func(ctx context.Context, t *testing.T, c *simtest.Cluster) {
		a.Cluster = c
		log := ui.New(io.Discard, ui.Options{})
		defer log.Close()
		got, err = run(ctx, options(c, a, log), scenarios...)
		if after != nil {
			after(c)
		}
		_ = a.Stop(ctx) // it cannot fail
	})
	return got, err
}

// run runs scenarios. It returns an error for failed scenarios too.
func run(ctx context.Context, o engine.Options, scenarios ...*scenario.Scenario) (*results.Results, error) {
	got, err := engine.Run(ctx, o, scenarios)
	return got, errors.Join(got.Err(), err)
}

// inSimulation runs do in virtual time with a simulated cluster whose
// controllers run.
func inSimulation(t *testing.T, do func(ctx context.Context, t *testing.T, c *simtest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := simtest.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		go c.Run(ctx)
		do(ctx, t, c)
	})
}

func options(c *simtest.Cluster, a *simtest.Autoscaler, log *ui.Log) engine.Options {
	return engine.Options{
		Workload: c.Client, Management: c.Client, Namespace: simtest.Namespace, Cluster: simtest.ClusterName,
		ConfigNamespace: simtest.ConfigNamespace, PodNamespace: simtest.Namespace,
		PrepareHollow: func(context.Context) error { return nil },
		Autoscaler:    a, Subscribe: c.Subscribe, AddFact: c.AddFact, Log: log,
		WriteFacts: func(w io.Writer, facts []timeline.Fact) {
			for _, f := range facts {
				_, _ = io.WriteString(w, f.What+" "+f.Text+"\n")
			}
		},
	}
}

// misbehaviours has misbehaviours of an autoscaler that each shipped scenario
// must notice, and a part of the failure that it then reports.
var misbehaviours = []struct {
	scenario string
	does     simtest.Behaviour
	says     string
}{
	{"scale-up", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 2"},
	{"scale-up", simtest.AddsTooMany, "did not stay so: group web: size at most 2"},
	{"scale-up", simtest.ForgetsUpcoming, "did not stay so: group web: size at most 2"},
	{"scale-up", simtest.SaysNothing, "the autoscaler scales up of group web"},
	{"scale-up", simtest.EndsByItself, "panic: on purpose"},
	{"scale-down", simtest.NeverScalesDown, "did not come true within 3m0s: group web: size 1"},
	{"scale-down", simtest.DeletesWrong, "is gone"},
	{"up-and-down-from-one", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 2"},
	{"up-and-down-from-one", simtest.AddsTooMany, "did not stay so: group web: size at most 2"},
	{"up-and-down-from-one", simtest.ForgetsUpcoming, "did not stay so: group web: size at most 2"},
	{"up-and-down-from-one", simtest.NeverScalesDown, "did not come true within 4m0s: group web: size 1"},
	{"up-and-down-from-one", simtest.IgnoresMinimum, "did not stay so: group web: size at least 1"},
	{"up-and-down-from-one", simtest.SaysNothing, "the autoscaler scales up of group web"},
	{"from-zero-and-back", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 1"},
	{"from-zero-and-back", simtest.NeverScalesDown, "did not come true within 4m0s: group web: size 0"},
	{"maximum-holds", simtest.ExceedsMaximum, "did not stay so: group web: size at most 1"},
	{"maximum-holds", simtest.NeverScalesUp, "0 running, 2 pending"},
	{"maximum-holds", simtest.SaysNothing, "refuses to scale up for pods of shop"},
	{"minimum-holds", simtest.IgnoresMinimum, "group web: size at least 1"},
	{"minimum-holds", simtest.NeverScalesDown, "did not come true within 3m0s: group web: size 1"},
	{"enforce-minimum", simtest.NeverEnforces, "did not come true within 2m0s: group web: size 1"},
	{"enforce-minimum", simtest.IgnoresMinimum, "did not stay so: group web: size 1"},
	{"max-nodes-total", simtest.IgnoresTotal, "group web: size at most 1"},
	{"max-nodes-total", simtest.NeverScalesUp, "0 running, 2 pending"},
	{"balance-similar-groups", simtest.Unbalanced, "group twin-1: size at most 1"},
	{"expander-least-waste", simtest.WrongGroup, "group large: size 0"},
	{"expander-least-waste", simtest.NeverScalesUp, "group small: size 1"},
	{"expander-priority", simtest.WrongGroup, "group other: size 0"},
	{"pdb-blocks-scale-down", simtest.IgnoresPDB, "Scale-down: removing node"},
	{"pdb-blocks-scale-down", simtest.NeverScalesDown, "keeps a node under pods of guarded"},
	{"pdb-blocks-scale-down", simtest.SaysNothing, "keeps a node under pods of guarded"},
	{"safe-to-evict-blocks", simtest.IgnoresNotSafe, "Scale-down: removing node"},
	{"safe-to-evict-blocks", simtest.NeverScalesDown, "keeps a node under pods of guarded"},
	{"taints-and-selectors", simtest.IgnoresTaints, "did not stay so: group plain: size at most 1"},
	{"taints-and-selectors", simtest.NeverScalesUp, "refuses to scale up for pods of misfit"},
	{"rollout-scale-down", simtest.IgnoresRollout, "did not stay so: group web: size 2"},
	{"rollout-scale-down", simtest.DeletesWrong, "the autoscaler chose to delete"},
	{"rollout-scale-down", simtest.NeverScalesDown, "did not come true within 4m0s: group web: size 1"},
	{"broken-group", simtest.NeverGivesUp, "did not come true within 5m0s: group broken: size 0"},
	{"broken-group", simtest.TriesAgain, "reports a problem of group broken and says \"failed to register|timed out\": not yet"},
	{"broken-group", simtest.GivesUpAltogether, "group sound: size 1: not yet"},
	{"broken-group", simtest.DoesNotWait, "came in another order"},
	{"restart-in-the-middle", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 1"},
	{"restart-in-the-middle", simtest.DeadAfterRestart, "did not come true within 4m0s: group web: size 0"},
	{"restart-in-the-middle", simtest.ForgetsUpcoming, "did not stay so: group web: size"},
	{"paused-group", simtest.IgnoresPause, "did not stay so: group web: size 0"},
	{"paused-group", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 1"},
	{"paused-group", simtest.IgnoresPauseDown, "the pod goes, and the group is paused: did not stay so: group web: size 1"},
	{"paused-group", simtest.NeverScalesDown, "did not come true within 4m0s: group web: size 0"},
	{"paused-cluster", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 1"},
	{"paused-cluster", simtest.IgnoresPause, "did not stay so: group web: size 0"},
	{"small-pods", simtest.NodePerPod, "did not stay so: group web: size at most 2"},
	{"small-pods", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 2"},
	{"pod-too-large", simtest.IgnoresSize, "did not stay so: group web: size 0"},
	{"pod-too-large", simtest.SaysNothing, "refuses to scale up for pods of huge"},
	{"pod-too-large", simtest.NeverScalesUp, "refuses to scale up for pods of huge"},
	{"host-port", simtest.IgnoresHostPorts, "did not come true within 3m0s: group web: size 2"},
	{"host-port", simtest.AddsTooMany, "did not stay so: group web: size at most 2"},
	{"anti-affinity", simtest.IgnoresAffinity, "did not come true within 3m0s: group web: size 2"},
	{"anti-affinity", simtest.AddsTooMany, "did not stay so: group web: size at most 2"},
	{"local-storage", simtest.IgnoresLocalStorage, "Scale-down: removing node"},
	{"local-storage", simtest.NeverScalesDown, "keeps a node under pods of guarded"},
	{"local-storage-ignored", simtest.NeverScalesDown, "did not come true within 3m0s: group web: size 1"},
	{"local-storage-ignored", simtest.HeedsAnyVolume, "did not come true within 3m0s: group web: size 1"},
	{"bare-pod", simtest.IgnoresOwners, "Scale-down: removing node"},
	{"bare-pod", simtest.NeverScalesDown, "keeps a node under pods of lone"},
	{"pdb-one-by-one", simtest.IgnoresPDB, "did not stay so: pods of guarded: at least 3 running"},
	{"pdb-one-by-one", simtest.NeverScalesDown, "did not come true within 4m0s: group web: size 1"},
	{"expendable-pods", simtest.IgnoresPriority, "did not stay so: group web: size 0"},
	{"expendable-pods", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 1"},
	{"other-scheduler", simtest.TakesAnyScheduler, "did not stay so: group web: size 0"},
	{"kube-system-pod", simtest.IgnoresSystemPods, "Scale-down: removing node"},
	{"kube-system-pod", simtest.NeverScalesDown, "keeps a node under pods of guarded"},
	{"tug-of-war", simtest.GivesIn, "did not come true within 4m0s: group web: size 2"},
	{"tug-of-war", simtest.CountsDeleted, "did not stay so: group web: size at most 2"},
	{"tug-of-war", simtest.AddsTooMany, "two pods get nodes: did not stay so: group web: size at most 2"},
	{"unneeded-node", simtest.NeverScalesDown, "did not come true within 4m0s: group web: size 1"},
	{"unneeded-node", simtest.IgnoresMinimum, "did not stay so: group web: size at least 1"},
	{"burst", simtest.OneByOne, "did not stay so: decisions: at most 1 to enlarge groups"},
	{"burst", simtest.AddsTooMany, "did not stay so: group web: size at most 10"},
	{"burst", simtest.NeverScalesDown, "did not come true within 5m0s: group web: size 0"},
	{"one-scale-up-at-a-time", simtest.ForgetsUpcoming, "another one waits while the node is on its way: did not stay so"},
	{"one-scale-up-at-a-time", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 1"},
	{"startup-taint", simtest.IgnoresStartup, "did not stay so: group web: size at most 1"},
	{"startup-taint", simtest.NeverScalesUp, "did not come true within 6m0s: group web: size 1"},
	{"stuck-deletion", simtest.CountsDeleted, "another pod waits: did not stay so: group web: size at most 1"},
	{"stuck-deletion", simtest.WaitsForDeletions, "did not come true within 2m0s: group web: size 1"},
	{"stuck-deletion", simtest.NeverScalesDown, "did not come true within 4m0s: group web: size 0"},
	{"bypassed-scheduler", simtest.WaitsForSchedulers, "did not come true within 6m0s: group web: size 1"},
	{"bypassed-scheduler", simtest.AddsTooMany, "did not stay so: group web: size at most 1"},
	{"upstream-rights", simtest.LacksRights, "hollowmachinetemplates.infrastructure.cluster.x-k8s.io is forbidden"},
	{"upstream-rights", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 2"},
	{"upstream-rights", simtest.NeverScalesDown, "did not come true within 6m0s: group web: size 1"},
	{"dra-scale-up", simtest.MissesDevices, "did not come true within 2m0s: group gpu: size 3"},
	{"dra-scale-up", simtest.AddsTooMany, "did not stay so: group gpu: size at most 3"},
	{"dra-from-zero", simtest.ForgetsDevices, "did not come true within 1m30s: group gpu: size 1"},
	{"dra-from-zero", simtest.AddsTooMany, "did not stay so: group gpu: size at most 1"},
	{"dra-too-many-devices", simtest.IgnoresDevices, "did not stay so: group gpu: size 1"},
	{"dra-too-many-devices", simtest.SaysNothing, "refuses to scale up for pods of huge"},
	{"expendable-preempted", simtest.IgnoresPriority, "nothing is added for the first one: did not stay so"},
	{"unhealthy-group", simtest.IgnoresHealth, "did not stay so: group ill: size 1"},
	{"unhealthy-group", simtest.NeverScalesUp, "did not come true within 2m0s: group well: size 1"},
	{"unhealthy-group", simtest.SaysNothing, "refuses to scale up"},
	{"managed-label", simtest.IgnoresManaged, "did not come true within 1m30s: group gold: size 1"},
	{"managed-label", simtest.AddsTooMany, "did not stay so: group gold: size at most 1"},
	{"late-gpu", simtest.IgnoresLateDevices, "did not stay so: group gpu: size at most 1"},
	{"late-gpu", simtest.NeverScalesUp, "did not come true within 2m0s: group gpu: size 1"},
	{"broken-later", simtest.NeverGivesUp, "did not come true within 5m0s: group sound: size 1"},
	{"broken-later", simtest.GivesUpAltogether, "group sound: size 1"},
	{"health-check", simtest.ForgetsUpcoming, "did not stay so: group web: size 2"},
	{"late-gpu-labelled", simtest.IgnoresLateDevices, "did not stay so: group gpu: size at most 1"},
	{"spread-over-hosts", simtest.IgnoresSpread, "did not come true within 3m0s: group web: size 3"},
	{"spread-over-hosts", simtest.AddsTooMany, "did not stay so: group web: size at most 3"},
	{"spread-over-zones", simtest.IgnoresSpread, "did not come true within 3m0s: group zone-b: size 1"},
	{"empty-dir", simtest.IgnoresAffinity, "did not come true within 2m0s: group web: size 2"},
	{"empty-dir", simtest.RefusesVolumes, "did not come true within 2m0s: group web: size 2"},
	{"empty-dir", simtest.AddsTooMany, "did not stay so: group web: size at most 2"},
	{"unlimited-group", simtest.ScalesForeign, "did not stay so: group manual: size 2"},
	{"unlimited-group", simtest.NeverScalesDown, "did not come true within 3m0s: group web: size 1"},
	{"sick-node", simtest.BlockedByNodes, "did not come true within 3m0s: group web: size 1"},
	{"sick-node", simtest.DeletesWrong, "is gone"},
	{"scaled-by-hand", simtest.ScalesForeign, "group web: size 3"},
	{"scaled-by-hand", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 2"},
	{"scaled-by-hand", simtest.NeverScalesDown, "the limits are back: did not come true within 3m0s: group web: size 2"},
	{"scaled-by-hand", simtest.DeletesWrong, "is gone"},
	{"stuck-rollout", simtest.IgnoresRollout, "a rollout is stuck, and the group may be smaller: did not stay so"},
	{"stuck-rollout", simtest.NeverScalesDown, "did not come true within 4m0s: group web: size 1"},
	{"group-without-limits", simtest.ScalesForeign, "did not stay so: group web: size 0"},
	{"group-without-limits", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 1"},
	{"pods-move-together", simtest.NeverScalesDown, "did not come true within 5m0s: group web: size 1"},
	{"unremovable-node", simtest.StopsAtFirst, "did not come true within 3m0s: group web: size 2"},
	{"unremovable-node", simtest.IgnoresNotSafe, "the group may be empty: did not stay so"},
	{"unschedulable-beside", simtest.BlockedByPods, "did not come true within 2m0s: group web: size 1"},
	{"unschedulable-beside", simtest.NeverScalesDown, "did not come true within 5m0s: group web: size 0"},
	{"burst-in-two-halves", simtest.ForgetsUpcoming, "did not stay so: group web: size at most 10"},
	{"burst-in-two-halves", simtest.OneByOne, "did not stay so: decisions about group web: at most 2"},
	{"resource-limits", simtest.IgnoresResources, "size at most 1"},
	{"resource-limits", simtest.NeverScalesUp, "0 running, 2 pending"},
	{"expendable-scale-down", simtest.CountsExpendable, "did not come true within 3m0s: group low: size 1"},
	{"expendable-scale-down", simtest.IgnoresUse, "both groups may be smaller: did not stay so"},
	{"volume-in-zone", simtest.IgnoresVolumes, "did not stay so: group zone-a: size 0"},
	{"volume-in-zone", simtest.NeverScalesUp, "did not come true within 2m0s: group zone-b: size 1"},
	{"pdb-allows-drain", simtest.HeedsAnyPDB, "did not come true within 3m0s: group web: size 1"},
	{"pdb-allows-drain", simtest.NeverScalesDown, "did not come true within 3m0s: group web: size 1"},
	{"bypassed-scheduler-room", simtest.NodePerPod, "did not stay so: group web: size 1"},
	{"bypassed-scheduler-room", simtest.NeverScalesUp, "did not come true within 2m0s: group web: size 2"},
	{"dra-drain", simtest.NeverScalesDown, "did not come true within 3m0s: group gpu: size 1"},
	{"daemons-fill-node", simtest.IgnoresDaemons, "did not stay so: group web: size 0"},
	{"daemons-fill-node", simtest.NeverScalesUp, "refuses to scale up for pods of large"},
	{"balance-empty-sister", simtest.SkipsEmpty, "did not stay so: group left: size at most 2"},
	{"balance-empty-sister", simtest.NeverScalesUp, "did not come true within 8m0s: pods of shop"},
}

// knownFailures has what the simulated release is known to do wrong, by
// scenario.
var knownFailures = map[string]simtest.Behaviour{
	"paused-cluster": simtest.IgnoresPause, "restart-in-the-middle": simtest.ForgetsUpcoming, "broken-group": simtest.TriesAgain,
	"tug-of-war": simtest.CountsDeleted, "stuck-deletion": simtest.CountsDeleted,
	"dra-from-zero": simtest.ForgetsDevices,
	"health-check":  simtest.ForgetsUpcoming, "late-gpu": simtest.IgnoresLateDevices, "managed-label": simtest.IgnoresManaged,
	"balance-empty-sister": simtest.SkipsEmpty,
	"upstream-rights":      simtest.LacksRights,
}

func TestEveryScenarioPassesAndCanFail(t *testing.T) {
	t.Parallel()
	all := shipped(t)
	covered := map[string]bool{}
	for _, m := range misbehaviours {
		covered[m.scenario] = true
	}
	for name, s := range all {
		if !covered[name] {
			t.Errorf("%s: no misbehaviour proves that it can fail", name)
		}
		want := results.Passed
		if knownFailures[name] != "" {
			want = results.UnexpectedPass
		}
		kinds := []string{scenario.DockerMachines, scenario.HollowMachines}
		if !slices.ContainsFunc(s.Groups, func(g scenario.Group) bool { return g.Machines == "" }) {
			kinds = kinds[:1] // it is the same on both
		}
		for _, kind := range kinds {
			t.Run(name+" on "+kind+" machines", func(t *testing.T) {
				t.Parallel()
				got, err := simulate(t, &simtest.Autoscaler{Behaviour: simtest.Good}, nil, s.On(kind))
				if r := got.Scenarios[0]; err != nil || r.Verdict != want {
					t.Errorf("with an autoscaler that behaves: %s, %v\n%s\n%v", r.Verdict, err, r.Failure, r.Steps)
				}
			})
		}
	}
	for _, m := range misbehaviours {
		t.Run(m.scenario+" "+string(m.does), func(t *testing.T) {
			t.Parallel()
			s := all[m.scenario]
			if s == nil {
				t.Fatalf("there is no scenario %s", m.scenario)
			}
			got, err := simulate(t, &simtest.Autoscaler{Behaviour: m.does}, nil, s)
			r := got.Scenarios[0]
			failed := err != nil && r.Verdict == results.Failed
			if knownFailures[m.scenario] == m.does {
				failed = err == nil && r.Verdict == results.KnownFailure
			}
			if !failed {
				t.Fatalf("passed with an autoscaler that %s: %v\n%v", m.does, r.Verdict, r.Steps)
			}
			if !strings.Contains(r.Failure, m.says) {
				t.Errorf("the failure does not say %q:\n%s", m.says, r.Failure)
			}
		})
	}
}
