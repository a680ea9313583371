package objectfacts

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
)

// Groups knows the node groups of machines and nodes. A machine's group is known when its
// object was seen, or its fact was read from the record.
type Groups struct {
	cluster string
	// The group by the name of a machine, by the name of a node, and by the provider
	// ID of both.
	machines, nodes, providers map[string]string
}

// NewGroups returns the groups of a cluster. Without a name, the nodes that have just joined
// have no group.
func NewGroups(cluster string) Groups {
	return Groups{cluster: cluster, machines: map[string]string{}, nodes: map[string]string{}, providers: map[string]string{}}
}

// Learn learns a fact of the record.
func (g Groups) Learn(f timeline.Fact) {
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

// OfMachine returns the node group of a Machine: the MachineDeployment that its
// label names, or its owner.
func (g Groups) OfMachine(o *unstructured.Unstructured) string {
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

// OfNodeName returns the node group of the node with that name, empty if it is not known.
func (g Groups) OfNodeName(name string) string { return g.nodes[name] }

// OfNode returns the node group of a node, empty if it is not known. Cluster API
// annotates a node with its machine, and the provider sets the provider ID, some time
// after the node joined. Until then the name shows it: Docker providers name a node
// after the cluster and the machine.
func (g Groups) OfNode(node *corev1.Node) string {
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
