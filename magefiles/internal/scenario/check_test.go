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
