package objectfacts

import (
	"testing"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/timeline"
)

func TestGroupsOfMachinesAndNodes(t *testing.T) {
	t.Parallel()
	g := NewGroups("work")
	for machine, want := range map[string]string{
		"{name: labelled, labels: {cluster.x-k8s.io/deployment-name: md}}":     "md",
		"{name: owned, ownerReferences: [{kind: MachineSet, name: ms}]}":       "ms",
		"{name: cp, labels: {cluster.x-k8s.io/control-plane: \"\"}}":           timeline.ControlPlane,
		"{name: kcp, ownerReferences: [{kind: KubeadmControlPlane, name: x}]}": timeline.ControlPlane,
		"{name: alone}": "",
	} {
		o := kubetest.Object(t, "{kind: Machine, metadata: "+machine+"}")
		group := g.OfMachine(o)
		if group != want {
			t.Errorf("the machine %s is of %q, want %q", machine, group, want)
		}
		g.Learn(timeline.Fact{Kind: timeline.Machine, Name: o.GetName(), Group: group})
	}
	o := kubetest.Object(t, "{kind: Machine, metadata: {name: m, labels: {cluster.x-k8s.io/deployment-name: of-m}}, spec: {providerID: \"docker:////x\"}, status: {nodeRef: {name: named}}}")
	g.OfMachine(o)
	for node, want := range map[string]string{
		"{metadata: {name: a, annotations: {cluster.x-k8s.io/machine: labelled}}}": "md",
		"{metadata: {name: a}}": "md", // from the recorded fact
		"{metadata: {name: b}, spec: {providerID: \"docker:////x\"}}":                  "of-m",
		"{metadata: {name: named}}":                                                    "of-m",
		"{metadata: {name: work-labelled}}":                                            "md", // it has just joined
		"{metadata: {name: owned}}":                                                    "ms",
		"{metadata: {name: c, labels: {node-role.kubernetes.io/control-plane: \"\"}}}": timeline.ControlPlane,
		"{metadata: {name: stranger}}":                                                 "",
	} {
		if node == "{metadata: {name: a}}" {
			g.Learn(timeline.Fact{Kind: timeline.Node, Name: "a", Group: "md"})
		}
		if got := g.OfNode(kubetest.Typed(t, kube.Node, node)); got != want {
			t.Errorf("the node %s is of %q, want %q", node, got, want)
		}
	}
}
