package explain

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// TestExplainARecordedGroup: what a new node of it is, and why it is not similar to its sisters.
func TestExplainARecordedGroup(t *testing.T) {
	t.Parallel()
	got, err := Text(t.Context(), recorded(t, "01:08:39"), "group/web", Options{})
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "group-recorded.txt", got)
}

// TestExplainSimilarGroups: whether the autoscaler uses that they are similar depends on a flag. Of a
// group whose template is not on record, that is not known.
func TestExplainSimilarGroups(t *testing.T) {
	t.Parallel()
	for want, flags := range map[string]map[string]string{
		" That does not matter: --balance-similar-node-groups is off (the default of --balance-similar-node-groups)\n": {"v": "4"},
		" New nodes are spread over similar groups (--balance-similar-node-groups)\n":                                  {"balance-similar-node-groups": "true"},
		" That matters only with --balance-similar-node-groups, and the flags are not on record\n":                     nil,
	} {
		c := newCluster(0)
		for i := range c.Facts {
			if c.Facts[i].Kind == timeline.Autoscaler && c.Facts[i].What == timeline.Shaped {
				c.Facts[i].Shape = shape.Encode(shape.Autoscaler{Flags: flags})
			}
		}
		sister := timeline.Fact{Kind: timeline.Group, What: timeline.Shaped, Name: "sister", UID: "sister", Shape: shape.Encode(shape.Group{Annotations: map[string]string{
			"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "3", "capacity.cluster-autoscaler.kubernetes.io/cpu": "1", "capacity.cluster-autoscaler.kubernetes.io/memory": "1Gi",
		}})}
		c.Add(1, sister)
		sister.Name, sister.UID, sister.Shape = "unknown", "unknown", shape.Encode(shape.Group{Annotations: map[string]string{"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "3"}})
		c.Add(1, sister)
		got, err := Text(t.Context(), c.Record(), "group/web", Options{})
		if err != nil || !strings.Contains(got, "Is it similar to other groups?"+want) || !strings.Contains(got, "  sister   not similar: capacity cpu: 4 here, 1 there; ") || !strings.Contains(got, "  unknown  not known: what a node of it has is not known\n") {
			t.Errorf("%v: want %q:\n%s", err, want, got)
		}
	}
}
