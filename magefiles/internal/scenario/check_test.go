package scenario

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/workload"
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
	check := PodsCheck{Of: "shop", Spared: true}
	if found := check.eval(w, baseline{}); !found.holds || found.empty {
		t.Errorf("before: %+v", found)
	}
	now := metav1.Now()
	pod.SetDeletionTimestamp(&now)
	node.Object["spec"] = map[string]any{"taints": []any{map[string]any{"key": deletedTaint}}}
	if found := check.eval(w, baseline{}); found.holds {
		t.Errorf("while it is evicted: %+v", found)
	}
}

// What is awaited in order is told one at a time.
func TestTheFirstThatIsMissingIsAwaited(t *testing.T) {
	t.Parallel()
	w := newWorld("sc-", time.Now)
	order := &watch{check: Check{Order: []Check{{Nodes: &Count{}}, {Nodes: &Count{n: 2}}, {Nodes: &Count{n: 3}}}}}
	plain := &watch{check: Check{Nodes: &Count{n: 1}}}
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
