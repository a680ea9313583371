package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi/capitest"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
)

// recorded returns a world with the objects of a recording.
func recorded(r capitest.Recording) *world {
	w := newWorld("sc-", time.Now)
	for _, o := range r.Objects {
		kind := o.GroupVersionKind().GroupKind()
		if into, known := map[schema.GroupKind]map[string]*unstructured.Unstructured{kube.Nodes: w.nodes, kube.MachineDeployments: w.groups, kube.Machines: w.machines}[kind]; known {
			w.update(kind, kube.Change{After: o}, into)
		}
	}
	return w
}

// TestChecksOfRecordedObjects: checks see the sizes, machines and ready nodes of groups as
// each release of Cluster API reports them.
func TestChecksOfRecordedObjects(t *testing.T) {
	t.Parallel()
	for _, r := range capitest.At(t, capitest.Scaling) {
		want := map[string]struct {
			n            int
			group, nodes string
		}{
			"v0.3.5":  {2, "size 2, 2 machines, 2 nodes ready (sc-web-7cfccdd799-68245 Running, sc-web-7cfccdd799-j98gv Running)", "6"},
			"v0.4.8":  {1, "size 1, 1 machines, 1 nodes ready (sc-web-75cf86d4cb-46klc Deleting)", "3"},
			"v1.0.5":  {1, "size 1, 1 machines, 1 nodes ready (sc-web-7fb679c888-w2v8s Running)", "3"},
			"v1.8.12": {2, "size 2, 2 machines, 2 nodes ready (sc-web-z4swk-kncct Running, sc-web-z4swk-s8khz Running)", "4"},
		}[r.ClusterAPI]
		w := recorded(r)
		for n, holds := range map[int]bool{want.n: true, want.n + 1: false} {
			for name, check := range map[string]*scenario.GroupCheck{
				"size":     {Name: "web", Size: count(t, fmt.Sprint(n))},
				"machines": {Name: "web", Machines: count(t, fmt.Sprint(n))},
				"ready":    {Name: "web", Ready: count(t, fmt.Sprint(n))},
			} {
				if found := w.evalGroup(check); found.holds != holds || found.seen != want.group {
					t.Errorf("%s: %d %s: %+v; want %t, %s", r.Name(), n, name, found, holds, want.group)
				}
			}
		}
		if found := w.eval(scenario.Check{Nodes: count(t, want.nodes)}, baseline{}); !found.holds {
			t.Errorf("%s: %+v, want %s nodes", r.Name(), found, want.nodes)
		}
		if found := w.evalGroup(&scenario.GroupCheck{Name: "md-0"}); found.seen != "no such machine deployment" {
			t.Errorf("%s: a group that no scenario created: %+v", r.Name(), found)
		}
	}
}

// TestChosenNodesOfRecordedMachines: autoscalers mark machines with the annotation of their
// time before they taint the node. In the recording
// of v1.8.12 a node has that taint.
func TestChosenNodesOfRecordedMachines(t *testing.T) {
	t.Parallel()
	marks := []string{"cluster.x-k8s.io/delete-machine", "cluster.k8s.io/delete-machine"}
	for _, r := range capitest.At(t, capitest.Scaling) {
		w := recorded(r)
		machine, node := w.machinesOf("web")[0], w.nodesOf("web")[0]
		if got, want := w.chosenForDeletion(node), r.ClusterAPI == "v1.8.12"; got != want {
			t.Errorf("%s: %s is chosen: %t, want %t", r.Name(), node, got, want)
		}
		w.nodes[node].Object["spec"] = map[string]any{} // without the taint
		for _, mark := range marks {
			machine.SetAnnotations(nil)
			if w.chosenForDeletion(node) {
				t.Errorf("%s: %s is chosen without a mark", r.Name(), node)
			}
			machine.SetAnnotations(map[string]string{mark: time.Now().String()})
			if !w.chosenForDeletion(node) {
				t.Errorf("%s: %s is not chosen by %s", r.Name(), node, mark)
			}
		}
	}
}

// TestRolloutAndPauseOfRecordedGroups: a rollout sets the fields that APIs before v1beta2 have, and
// a pause the annotation and the field that all have.
func TestRolloutAndPauseOfRecordedGroups(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 22, 0, 0, 0, time.UTC)
	for _, r := range capitest.At(t, capitest.Scaling) {
		server := r.Server(t)
		o := Options{
			Management: server.Client(), Namespace: "default", Cluster: capitest.Cluster, Prefix: "sc-", Now: func() time.Time { return now },
		}
		s := &scenario.Scenario{Name: "s"}
		e := &engine{s: s, w: recorded(r), o: o, cluster: (&runs{Options: o}).cluster(s, place{prefix: o.Prefix})}
		do := func(a scenario.Action) {
			t.Helper()
			if err := e.do(t.Context(), &a, func(string) {}); err != nil {
				t.Fatal(err)
			}
		}
		do(scenario.Action{Rollout: "web"})
		group := server.Get(kube.MachineDeployments, "default", "sc-web")
		for _, path := range [][]string{
			{"spec", "rolloutAfter"}, {"spec", "template", "metadata", "annotations", "cluster.x-k8s.io/restartedAt"},
		} {
			if got := kube.Field(group, path...); got != "2026-11-26T22:00:00Z" {
				t.Errorf("%s: %s is %q", r.Name(), strings.Join(path, "."), got)
			}
		}
		if old := e.w.evalGroup(&scenario.GroupCheck{Name: "web", Old: count(t, "1")}); !strings.Contains(old.seen, "machines from before the rollout") || strings.Contains(old.seen, "there were none") {
			t.Errorf("%s: %s", r.Name(), old.seen)
		}
		for _, paused := range []bool{true, false} {
			for _, what := range []string{"web", scenario.TheCluster} {
				if paused {
					do(scenario.Action{Pause: what})
				} else {
					do(scenario.Action{Resume: what})
				}
			}
			_, annotated := server.Get(kube.MachineDeployments, "default", "sc-web").GetAnnotations()["cluster.x-k8s.io/paused"]
			field := kube.Field(server.Get(kube.Clusters, "default", capitest.Cluster), "spec", "paused") == "true"
			if annotated != paused || field != paused {
				t.Errorf("%s: paused %t: the group is annotated %t, the Cluster has paused %t", r.Name(), paused, annotated, field)
			}
		}
	}
}
