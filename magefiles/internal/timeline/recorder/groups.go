package recorder

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
)

// groups knows the node groups of machines and nodes.
type groups struct {
	cluster string
	// The group by the name of a machine, by the name of a node, and by the provider
	// ID of both.
	machines, nodes, providers map[string]string
}

func newGroups(cluster string) groups {
	return groups{cluster: cluster, machines: map[string]string{}, nodes: map[string]string{}, providers: map[string]string{}}
}

// add learns a fact of the record.
func (g groups) add(f timeline.Fact) {
	if f.Group == "" || f.Name == "" {
		return
	}
	switch f.Kind {
	case timeline.Machine:
		g.machines[f.Name] = f.Group
	case timeline.Node:
		g.nodes[f.Name] = f.Group
	}
}

// ofMachine returns the node group of a Machine: the MachineDeployment that its
// label names, or its owner.
func (g groups) ofMachine(o *unstructured.Unstructured) string {
	group := o.GetLabels()[clusterv1.MachineDeploymentNameLabel]
	_, controlPlane := o.GetLabels()[clusterv1.MachineControlPlaneLabel]
	for _, owner := range o.GetOwnerReferences() {
		switch owner.Kind {
		case "MachineDeployment", "MachineSet", "MachinePool":
			if group == "" {
				group = owner.Name
			}
		case "KubeadmControlPlane":
			controlPlane = true
		}
	}
	if controlPlane {
		group = timeline.ControlPlane
	}
	if id := kube.Field(o, "spec", "providerID"); id != "" && group != "" {
		g.providers[id] = group
	}
	if node := kube.Field(o, "status", "nodeRef", "name"); node != "" && group != "" {
		g.nodes[node] = group
	}
	return group
}

// ofNode returns the node group of a node, empty if it is not known. Cluster API
// annotates a node with its machine, and the provider sets the provider ID, some time
// after the node joined. Until then the name shows it: Docker providers name a node
// after the cluster and the machine.
func (g groups) ofNode(node *corev1.Node) string {
	if kube.OfControlPlane(node) {
		return timeline.ControlPlane
	}
	pool := "" // whose machines may be no objects
	if node.Annotations[clusterv1.OwnerKindAnnotation] == kube.MachinePools.Kind {
		pool = node.Annotations[clusterv1.OwnerNameAnnotation]
	}
	for _, group := range []string{
		pool,
		g.machines[node.Annotations[clusterv1.MachineAnnotation]],
		g.providers[node.Spec.ProviderID],
		g.nodes[node.Name],
		g.machines[node.Name],
		g.machines[strings.TrimPrefix(node.Name, g.cluster+"-")],
	} {
		if group != "" {
			g.nodes[node.Name] = group
			return group
		}
	}
	return ""
}
