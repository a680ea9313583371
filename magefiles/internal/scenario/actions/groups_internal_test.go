package actions

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"caslab/magefiles/internal/scenario"
)

// TestCapacityOfGroups: nodes really have the capacity of their group, unless a node cannot
// have it.
func TestCapacityOfGroups(t *testing.T) {
	t.Parallel()
	worker := &corev1.Node{Status: corev1.NodeStatus{Capacity: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi"),
	}}}
	c := &Cluster{Scenario: &scenario.Scenario{Name: "s"}}
	for name, tc := range map[string]struct {
		capacity  map[string]string
		announced string
		reserved  string
	}{
		"a worker's":    {announced: "8 16Gi"},
		"smaller":       {map[string]string{"cpu": "0.5x", "memory": "4Gi"}, "4 4Gi", "cpu=4,memory=12Gi"},
		"half of it":    {map[string]string{"memory": "0.5x"}, "8 8Gi", "memory=8Gi"},
		"larger":        {map[string]string{"cpu": "2x", "memory": "2x"}, "16 32Gi", ""},
		"larger in one": {map[string]string{"cpu": "0.5x", "memory": "2x"}, "4 32Gi", ""},
	} {
		group, err := c.nodeGroup(scenario.Group{Name: "web", Max: 1, Capacity: tc.capacity}, "web", worker)
		if err != nil {
			t.Fatal(err)
		}
		if got := group.Capacity["cpu"] + " " + group.Capacity["memory"]; got != tc.announced || group.KubeletArgs["system-reserved"] != tc.reserved {
			t.Errorf("%s: the annotations announce %s and kubelets have the arguments %v; want %s and %s reserved", name, got, group.KubeletArgs, tc.announced, tc.reserved)
		}
	}
}
