package v1beta2

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// HollowMachineTemplateSpec is the template of HollowMachines. Unlike other providers'
// templates it may change: a change acts on the machines that are created later.
type HollowMachineTemplateSpec struct {
	// template of the HollowMachines.
	// +required
	Template HollowMachineTemplateResource `json:"template"`
}

// HollowMachineTemplateResource is what Cluster API makes a HollowMachine of.
type HollowMachineTemplateResource struct {
	// metadata of the HollowMachines.
	// +optional
	ObjectMeta TemplateMeta `json:"metadata,omitzero"`

	// spec of the HollowMachines.
	// +optional
	Spec HollowMachineSpec `json:"spec,omitzero"`
}

// TemplateMeta is the metadata that a template gives to its machines.
type TemplateMeta struct {
	// labels of the machines.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// annotations of the machines.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// HollowMachineTemplateStatus is what the autoscaler reads to scale from zero, and how many
// machines the template gave. clusterctl move does not move it: there the count starts
// anew.
type HollowMachineTemplateStatus struct {
	// capacity is what a Node of this template has, late resources included.
	// +optional
	Capacity corev1.ResourceList `json:"capacity,omitempty"`

	// nodeInfo is the platform of a Node of this template.
	// +optional
	NodeInfo NodeInfo `json:"nodeInfo,omitzero"`

	// machines is the highest ordinal that a machine of this template has.
	// +optional
	Machines int64 `json:"machines,omitempty"`

	// base is the value of status.machines at the last change of lifecycle.fail or
	// lifecycle.never. A number in either field counts machines after base.
	// +optional
	Base int64 `json:"base,omitempty"`

	// fail is the value of lifecycle.fail when base was set.
	// +optional
	// +kubebuilder:validation:XIntOrString
	Fail *intstr.IntOrString `json:"fail,omitempty"`

	// The field never is the value of lifecycle.never when base was set.
	// +optional
	// +kubebuilder:validation:XIntOrString
	Never *intstr.IntOrString `json:"never,omitempty"`

	// observedGeneration is the generation of the spec that the status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// NodeInfo is the platform of a Node.
type NodeInfo struct {
	// architecture is the value of the label kubernetes.io/arch.
	// +optional
	// +kubebuilder:validation:Enum=amd64;arm64;s390x;ppc64le
	Architecture string `json:"architecture,omitempty"`

	// operatingSystem is the value of the label kubernetes.io/os.
	// +optional
	// +kubebuilder:validation:Enum=linux;windows
	OperatingSystem string `json:"operatingSystem,omitempty"`
}

// HollowMachineTemplate is a template of HollowMachines.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=hollowmachinetemplates,scope=Namespaced,categories=cluster-api
// +kubebuilder:metadata:labels={"cluster.x-k8s.io/v1beta1=v1beta2","cluster.x-k8s.io/v1beta2=v1beta2","clusterctl.cluster.x-k8s.io=","caslab.local/hollow=true"}
// +kubebuilder:printcolumn:name="Machines",type=integer,JSONPath=`.status.machines`
// +kubebuilder:printcolumn:name="CPU",type=string,JSONPath=`.status.capacity.cpu`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.status.capacity.memory`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type HollowMachineTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the template.
	// +required
	Spec HollowMachineTemplateSpec `json:"spec"`

	// status is what Nodes of the template have, and how many machines it gave.
	// +optional
	Status HollowMachineTemplateStatus `json:"status,omitzero"`
}

// HollowMachineTemplateList is a list of HollowMachineTemplates.
//
// +kubebuilder:object:root=true
type HollowMachineTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HollowMachineTemplate `json:"items"`
}
