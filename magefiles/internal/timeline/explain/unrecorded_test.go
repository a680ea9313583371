package explain

import (
	"errors"
	"strings"
	"testing"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/shape"
)

// TestExplainPodsWithoutAHistory: a pod of the cluster's components or of a DaemonSet is explained by its
// shape while it waits, and its history has no pod. One that the autoscaler mentions need not wait.
func TestExplainPodsWithoutAHistory(t *testing.T) {
	t.Parallel()
	const name = "kube-system/dns"
	for title, tc := range map[string]struct {
		node string
		pod  func(waits *shape.Wait) shape.Pod
		said string
		want string
	}{
		"it waits": {
			pod:  func(waits *shape.Wait) shape.Pod { return shape.Pod{Requests: requests("16", "1Gi"), Waits: waits} },
			want: "pod kube-system/dns has waited 1m30s and still waits; web would not take it: cpu: ",
		},
		"it waits, and the autoscaler mentions it": {
			pod: func(waits *shape.Wait) shape.Pod { return shape.Pod{Requests: requests("16", "1Gi"), Waits: waits} }, said: "Pod " + name + " is unschedulable",
			want: "pod kube-system/dns has waited 1m30s and still waits; web would not take it: cpu: ",
		},
		"of a DaemonSet": {
			pod: func(waits *shape.Wait) shape.Pod {
				return shape.Pod{Owner: &shape.Owner{Kind: "DaemonSet", Name: "agent"}, Waits: waits}
			},
			want: "still waits; the autoscaler does not look at it: it belongs to the DaemonSet agent, for which the autoscaler adds no node.\n",
		},
		"nobody has tried it": {
			pod:  func(*shape.Wait) shape.Pod { return shape.Pod{} },
			want: "has never been found unschedulable and still waits; the autoscaler does not look at it: its scheduler \"default-scheduler\" has not marked it Unschedulable.\n",
		},
		"it has a node, and the autoscaler mentions it": {
			node: "NODE", pod: func(*shape.Wait) shape.Pod { return shape.Pod{} }, said: "Pod " + name + " can be moved to NODE",
			want: "pod kube-system/dns was never found unschedulable; it came to the node NODE, which was there already.\n",
		},
		"it has a node": {node: "NODE", pod: func(*shape.Wait) shape.Pod { return shape.Pod{} }},
	} {
		c := newCluster(0)
		named := strings.NewReplacer("NODE", c.node).Replace
		c.pod(10, name, named(tc.node), tc.pod(&shape.Wait{Since: c.At(11), Message: "0/3 nodes are available"}))
		if tc.said != "" {
			c.Log(30, named(tc.said))
		}
		c.on(100, timeline.Node, timeline.Ready, "")
		if tc.said == "" && len(history.New(c.Record()).PodsNamed(name)) > 0 {
			t.Errorf("%s: the pod has a history", title)
		}
		got, err := Text(t.Context(), c.Record(), "pod/dns", Options{})
		if tc.want == "" && !errors.Is(err, ErrNotOnRecord) || tc.want != "" && (err != nil || !strings.Contains(got, named(tc.want))) {
			t.Errorf("%s: %v: want %q:\n%s", title, err, named(tc.want), got)
		}
	}
}
