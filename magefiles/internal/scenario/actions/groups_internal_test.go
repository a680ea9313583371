package actions

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"caslab/magefiles/internal/capi"
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

// TestTold: the annotations tell what a scenario says, and nothing where it says nothing.
func TestTold(t *testing.T) {
	t.Parallel()
	worker := &corev1.Node{Status: corev1.NodeStatus{Capacity: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi"),
	}}}
	group := capi.NodeGroup{Labels: map[string]string{poolLabel: "sc-web", "a": "b"}, Capacity: map[string]string{"cpu": "8", "memory": "16Gi"}}
	const prefix = "capacity.cluster-autoscaler.kubernetes.io/"
	for name, tc := range map[string]struct {
		told *scenario.Told
		want map[string]any
	}{
		"the truth":            {nil, map[string]any{}},
		"no capacity":          {&scenario.Told{Capacity: map[string]string{}}, map[string]any{prefix + "cpu": nil, prefix + "memory": nil}},
		"another memory":       {&scenario.Told{Capacity: map[string]string{"memory": "2x"}}, map[string]any{prefix + "cpu": "8", prefix + "memory": "32Gi"}},
		"a device":             {&scenario.Told{Capacity: map[string]string{"gpu-count": "1"}}, map[string]any{prefix + "cpu": "8", prefix + "memory": "16Gi", prefix + "gpu-count": "1"}},
		"no labels and taints": {&scenario.Told{Labels: map[string]string{}, Taints: []string{}}, map[string]any{prefix + "labels": nil, prefix + "taints": nil}},
		"other labels":         {&scenario.Told{Labels: map[string]string{"c": "d"}}, map[string]any{prefix + "labels": "c=d,caslab.local/pool=sc-web"}},
		"a taint":              {&scenario.Told{Taints: []string{"a:NoSchedule"}}, map[string]any{prefix + "taints": "a:NoSchedule"}},
	} {
		if got, err := told(tc.told, group, worker); err != nil || !maps.Equal(got, tc.want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, tc.want)
		}
	}
}

// TestHollowGroup: a group of hollow machines has a template of them.
func TestHollowGroup(t *testing.T) {
	t.Parallel()
	worker := &corev1.Node{Status: corev1.NodeStatus{Capacity: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("16Gi"),
	}}}
	c := &Cluster{Scenario: &scenario.Scenario{Name: "s"}, Options: Options{Prefix: "sc-"}}
	group, err := c.nodeGroup(scenario.Group{
		Name: "web", Max: 1, Machines: scenario.HollowMachines, Capacity: map[string]string{"memory": "0.5x", "nvidia.com/gpu": "2"}, Hollow: &scenario.Hollow{Start: "5s", Zone: "a"},
	}, "web", worker)
	if err != nil {
		t.Fatal(err)
	}
	if group.Template == nil || group.Capacity["memory"] != "8Gi" || group.Capacity["gpu-count"] != "2" || group.Labels[poolLabel] != "sc-web" || group.Labels[corev1.LabelTopologyZone] != "a" {
		t.Errorf("the group is %+v", group)
	}
}
