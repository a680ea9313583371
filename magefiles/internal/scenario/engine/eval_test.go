package engine

import (
	"io/fs"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/workload"
	"caslab/manifests"
)

// A pod that is being evicted from a node that was chosen is not spared.
func TestAPodThatIsBeingEvictedIsNotSpared(t *testing.T) {
	t.Parallel()
	w := newWorld("sc-", time.Now)
	node := &unstructured.Unstructured{Object: map[string]any{}}
	w.nodes["a"] = node
	pod := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"nodeName": "a"}}}
	pod.SetName("p")
	pod.SetLabels(map[string]string{workload.Label: "sc-shop"})
	w.pods["p"] = pod
	check := &scenario.PodsCheck{Of: "shop", Spared: true}
	if found := w.evalPods(check, baseline{}); !found.holds || found.empty {
		t.Errorf("before: %+v", found)
	}
	now := metav1.Now()
	pod.SetDeletionTimestamp(&now)
	node.Object["spec"] = map[string]any{"taints": []any{map[string]any{"key": deletedTaint}}}
	if found := w.evalPods(check, baseline{}); found.holds {
		t.Errorf("while it is evicted: %+v", found)
	}
}

// What is awaited in order is told one at a time.
func TestTheFirstThatIsMissingIsAwaited(t *testing.T) {
	t.Parallel()
	w := newWorld("sc-", time.Now)
	nodes := func(n string) scenario.Check {
		count := new(scenario.Count)
		if err := count.UnmarshalJSON([]byte(n)); err != nil {
			t.Fatal(err)
		}
		return scenario.Check{Nodes: count}
	}
	order := &watch{check: scenario.Check{Order: []scenario.Check{nodes("0"), nodes("2"), nodes("3")}}}
	plain := &watch{check: nodes("1")}
	for c, want := range map[*watch]string{
		order: "not yet, as number 2 of 3: 2 nodes in the cluster",
		plain: "1 nodes in the cluster: 0 nodes in the cluster",
	} {
		w.add(c)
		if _, _, got := w.state(nil, nil, []*watch{c}); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}

func FuzzEval(f *testing.F) {
	files, err := fs.Glob(manifests.FS, "scenarios/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		data, err := fs.ReadFile(manifests.FS, file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := scenario.Parse("fuzz.yaml", data)
		if err != nil {
			return
		}
		// What is taken can be looked at.
		w := newWorld("sc-", nil)
		for _, step := range s.Steps {
			for _, c := range slices.Concat(step.Expect, step.Stays, s.Always) {
				for _, inner := range append(c.Order, c) {
					if len(inner.Order) == 0 {
						w.eval(inner, baseline{})
					}
				}
			}
		}
	})
}
