package explain

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// TestExplainAMachinePool: a MachinePool is a group as others are. One that only the autoscaler
// names is not called a group without limits, and its node not one without a group.
func TestExplainAMachinePool(t *testing.T) {
	t.Parallel()
	for name, recorded := range map[string]bool{"on record": true, "known from the log": false} {
		c := newCluster(0)
		one := 1
		if recorded {
			c.Add(2, timeline.Fact{Kind: timeline.Group, What: timeline.Limits, Name: "pool", UID: "g-pool", Text: "0 3", Source: timeline.Watch})
			c.Add(2, timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: "pool", UID: "g-pool", N: &one, Source: timeline.Watch})
			c.shaped(2, timeline.Group, "pool", "pool", "", shape.Group{Kind: "MachinePool", Annotations: map[string]string{
				"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "3",
			}})
		}
		c.shaped(3, timeline.Node, "pool-1", "pool", "", shape.Node{Allocatable: requests("4", "8Gi")})
		c.Add(3, timeline.Fact{Kind: timeline.Node, What: timeline.Ready, Name: "pool-1", UID: "n-pool-1", Group: "pool", Source: timeline.Watch})
		pod := c.Pods(10, "shop", 1)[0]
		c.pod(10, pod, "", shape.Pod{Requests: requests("7", "1Gi")})
		c.Log(12, "Final scale-up plan: [{MachinePool/default/pool 1->2 (max: 3)}]")
		c.Log(13, "Scale-up: setting group MachinePool/default/pool size to 2")
		for what, want := range map[string]struct{ recorded, unknown string }{
			"group/pool":  {"group pool wants 1 and has an unknown number ready; min 0, max 3.", "its limits are not on record."},
			"node/pool-1": {"node pool-1 of pool ", "node pool-1 of pool "},
			"pod/" + pod:  {"  pool  no   cpu: 3 missing", "web "},
		} {
			got, err := Text(t.Context(), c.Record(), what, Options{})
			expected := want.recorded
			if !recorded {
				expected = want.unknown
			}
			if err != nil || !strings.Contains(got, expected) || strings.Contains(got, "no limits") || strings.Contains(got, "no node group") {
				t.Errorf("%s, %s: %v: want %q:\n%s", what, name, err, expected, got)
			}
		}
	}
}
