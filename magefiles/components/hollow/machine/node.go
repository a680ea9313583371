package machine

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"caslab/components/hollow/api/v1beta2"
)

// operatingSystem of every hollow Node.
const operatingSystem = "linux"

// newNode returns the Node of a machine. It has no conditions yet: those are the player's.
// It has no taint for a node that is not initialised either: nothing is to initialise, and
// the autoscaler buys a second node for pods that cannot use the first one yet.
func newNode(m *v1beta2.HollowMachine, name, zone, kubeletVersion string) *corev1.Node {
	spec := m.Spec.Node
	labels := map[string]string{}
	maps.Copy(labels, spec.Labels)
	for key, value := range map[string]string{
		corev1.LabelHostname:           name,
		corev1.LabelOSStable:           operatingSystem,
		corev1.LabelArchStable:         architectureOf(spec),
		corev1.LabelInstanceTypeStable: spec.InstanceType,
		corev1.LabelTopologyRegion:     spec.Region,
		corev1.LabelTopologyZone:       zone,
		v1beta2.MachinesLabel:          v1beta2.MachinesHollow,
	} {
		if value != "" {
			labels[key] = value
		}
	}
	annotations := map[string]string{}
	maps.Copy(annotations, spec.Annotations)
	annotations[v1beta2.MachineAnnotation] = client.ObjectKeyFromObject(m).String()

	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels, Annotations: annotations},
		Spec:       corev1.NodeSpec{ProviderID: m.Spec.ProviderID},
		Status: corev1.NodeStatus{
			Capacity:    capacityOf(spec),
			Allocatable: capacityOf(spec),
			Addresses:   []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}},
			NodeInfo: corev1.NodeSystemInfo{
				Architecture:            architectureOf(spec),
				OperatingSystem:         operatingSystem,
				KubeletVersion:          kubeletVersion,
				ContainerRuntimeVersion: "hollow://",
			},
		},
	}
	for _, taints := range [][]v1beta2.Taint{spec.Taints, spec.StartupTaints} {
		for _, t := range taints {
			node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
		}
	}
	return node
}

func architectureOf(node v1beta2.HollowNode) string {
	if node.Architecture == "" {
		return "amd64"
	}
	return node.Architecture
}
