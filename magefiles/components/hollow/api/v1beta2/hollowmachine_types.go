package v1beta2

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	// MachineFinalizer holds a HollowMachine until its deletion took as long as its
	// lifecycle says.
	MachineFinalizer = "caslab.local/hollow-machine"

	// MachinesLabel is on every hollow Node, with the value MachinesHollow. Workloads
	// that must run for real stay away from it.
	MachinesLabel = "caslab.local/machines"
	// MachinesHollow is the value of MachinesLabel.
	MachinesHollow = "hollow"

	// MachineAnnotation is on every hollow Node and names its HollowMachine:
	// NAMESPACE/NAME.
	MachineAnnotation = "caslab.local/hollow-machine"

	// StateAnnotation on a HollowMachine says what happened to it: StateSick or StateFailed.
	// Without it, the machine is well.
	StateAnnotation = "caslab.local/hollow-state"
	// StateSick means that the kubelet of the machine does nothing until the annotation is removed.
	StateSick = "sick"
	// StateFailed means that the machine also reports a failure.
	StateFailed = "failed"

	// RunForAnnotation on a pod is a duration, such as 90s: on a hollow node, the pod
	// ends with phase Succeeded after it ran that long.
	RunForAnnotation = "caslab.local/run-for"
)

// HollowMachineSpec describes a Node that has no machine: what it has, and how it behaves.
type HollowMachineSpec struct {
	// providerID is hollow:///NAMESPACE/NAME. The controller writes it.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	ProviderID string `json:"providerID,omitempty"`

	// node is what the Node has.
	// +optional
	Node HollowNode `json:"node,omitzero"`

	// lifecycle is when the Node comes, when it goes, and whether it comes at all.
	// +optional
	Lifecycle Lifecycle `json:"lifecycle,omitzero"`

	// pods is how the pods of the Node behave.
	// +optional
	Pods Pods `json:"pods,omitzero"`
}

// HollowNode is what a Node has.
type HollowNode struct {
	// capacity is both the capacity and the allocatable resources of the Node. Without
	// pods it has 110 of them.
	// +optional
	Capacity corev1.ResourceList `json:"capacity,omitempty"`

	// late are resources that the Node gets lifecycle.lateAfter after it was ready, as
	// from a device plugin that starts late.
	// +optional
	Late corev1.ResourceList `json:"late,omitempty"`

	// deviceDrivers are the drivers of devices on the Node. Pods get the devices through
	// ResourceClaims. Each driver has a ResourceSlice.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	DeviceDrivers []DeviceDriver `json:"deviceDrivers,omitempty"`

	// volumeDrivers are the CSI drivers of the Node. Its CSINode lists them, each with its
	// limit of volumes.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	VolumeDrivers []VolumeDriver `json:"volumeDrivers,omitempty"`

	// labels of the Node, beside the well-known ones.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// annotations of the Node.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// taints of the Node.
	// +optional
	// +listType=atomic
	Taints []Taint `json:"taints,omitempty"`

	// startupTaints are on the Node from its creation, and are removed lifecycle.untaint
	// after it was ready.
	// +optional
	// +listType=atomic
	StartupTaints []Taint `json:"startupTaints,omitempty"`

	// architecture is the value of the label kubernetes.io/arch.
	// +optional
	// +default="amd64"
	// +kubebuilder:validation:Enum=amd64;arm64;s390x;ppc64le
	Architecture string `json:"architecture,omitempty"`

	// instanceType is the value of the label node.kubernetes.io/instance-type.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	InstanceType string `json:"instanceType,omitempty"`

	// region is the value of the label topology.kubernetes.io/region.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Region string `json:"region,omitempty"`

	// zone is the value of the label topology.kubernetes.io/zone, unless the Machine has
	// a failure domain: then that is the value.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Zone string `json:"zone,omitempty"`
}

// DeviceDriver is a driver of devices.
type DeviceDriver struct {
	// name is the name of the driver.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// devices is the number of devices on the Node.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=128
	Devices int32 `json:"devices"`

	// late is set if the devices come lifecycle.lateAfter after the Node became ready, and
	// not at once.
	// +optional
	Late bool `json:"late,omitempty"`
}

// VolumeDriver is a CSI driver.
type VolumeDriver struct {
	// name is the name of the driver.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// volumes is the highest number of volumes of the driver on the Node. Without it, there
	// is no limit.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1048576
	Volumes int32 `json:"volumes,omitempty"`
}

// Taint is a taint of a Node.
type Taint struct {
	// key of the taint.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key"`

	// value of the taint.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Value string `json:"value,omitempty"`

	// effect of the taint.
	// +required
	// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
	Effect corev1.TaintEffect `json:"effect"`
}

// The pattern and the length of durations are those of what Go's time.ParseDuration reads
// without overflow. A value that the API server took and the controller could not read
// would hide every machine from it.

// Lifecycle is when a Node comes, when it goes, and whether it comes at all.
type Lifecycle struct {
	// start is how long after the creation of the HollowMachine its Node is created.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,9})?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=16
	Start metav1.Duration `json:"start,omitzero"`

	// startJitter is by how much start is shorter or longer at most.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,9})?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=16
	StartJitter metav1.Duration `json:"startJitter,omitzero"`

	// ready is how long after its creation the Node is ready.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,9})?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=16
	Ready metav1.Duration `json:"ready,omitzero"`

	// readyJitter is by how much ready is shorter or longer at most.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,9})?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=16
	ReadyJitter metav1.Duration `json:"readyJitter,omitzero"`

	// untaint is how long after it was ready the Node loses its startupTaints.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,9})?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=16
	Untaint metav1.Duration `json:"untaint,omitzero"`

	// lateAfter is how long after it was ready the Node gets its late resources.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,9})?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=16
	LateAfter metav1.Duration `json:"lateAfter,omitzero"`

	// stop is how long the deletion of the HollowMachine takes.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,9})?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=16
	Stop metav1.Duration `json:"stop,omitzero"`

	// fail is which machines get no Node and report a failure: a percentage of all, or, as
	// a number, that many of the next machines. The count starts again when lifecycle.fail
	// or lifecycle.never of the template changes.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == string || (self >= 0 && self <= 100000)",message="must be a percentage, or a number from 0 to 100000"
	// +kubebuilder:validation:Pattern=`^(100|[1-9]?[0-9])%$`
	// +kubebuilder:validation:MaxLength=4
	Fail *intstr.IntOrString `json:"fail,omitempty"`

	// never is which machines get no Node and report nothing: a percentage of all, or, as a
	// number, that many of the next machines, after those that fail. The count starts again
	// when lifecycle.fail or lifecycle.never of the template changes.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == string || (self >= 0 && self <= 100000)",message="must be a percentage, or a number from 0 to 100000"
	// +kubebuilder:validation:Pattern=`^(100|[1-9]?[0-9])%$`
	// +kubebuilder:validation:MaxLength=4
	Never *intstr.IntOrString `json:"never,omitempty"`

	// seed begins the random numbers for the jitter and for the percentages. The numbers of a
	// machine depend on the seed, the name of its MachineDeployment and its ordinal, so the
	// same seed gives the same run.
	// +optional
	Seed int64 `json:"seed,omitempty"`
}

// Pods is how the pods of a Node behave.
type Pods struct {
	// start is how long after it was bound to the Node a pod is running and ready.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,9})?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=16
	Start metav1.Duration `json:"start,omitzero"`

	// startJitter is by how much start is shorter or longer at most.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^([0-9]{1,5}(\.[0-9]{1,9})?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=16
	StartJitter metav1.Duration `json:"startJitter,omitzero"`

	// fail is the percentage of pods that end with phase Failed instead of running. Pods
	// have no ordinals: the machines' seed and the pod's name decide.
	// +optional
	// +kubebuilder:validation:Pattern=`^(100|[1-9]?[0-9])%$`
	// +kubebuilder:validation:MaxLength=4
	Fail string `json:"fail,omitempty"`
}

// Fate is whether a machine becomes a Node.
// +kubebuilder:validation:Enum=Node;Failure;Nothing
type Fate string

const (
	// FateNode is the fate of a machine that becomes a Node.
	FateNode Fate = "Node"
	// FateFailure is the fate of a machine that reports a failure instead.
	FateFailure Fate = "Failure"
	// FateNothing is the fate of a machine that neither becomes a Node nor reports why.
	FateNothing Fate = "Nothing"
)

// Condition types and reasons of a HollowMachine.
const (
	// ReadyCondition is True while the machine has a Node.
	ReadyCondition = "Ready"

	// ProvisionedReason says that the Node was created.
	ProvisionedReason = "Provisioned"
	// ProvisioningReason says that the Node is still to come. A machine whose Node never
	// comes says the same.
	ProvisioningReason = "Provisioning"
	// ProvisioningFailedReason says that the machine failed, as its lifecycle wants.
	ProvisioningFailedReason = "ProvisioningFailed"
	// NodeRefusedReason says that the API server refuses the Node.
	NodeRefusedReason = "NodeRefused"
	// NodeDeletedReason says that somebody deleted the Node.
	NodeDeletedReason = "NodeDeleted"
	// DeletingReason says that the machine is being deleted.
	DeletingReason = "Deleting"
)

// HollowMachineStatus is what became of a HollowMachine. clusterctl move does not move it:
// there it is made anew from the Node.
type HollowMachineStatus struct {
	// ordinal counts the machines of a template, from 1.
	// +optional
	Ordinal int64 `json:"ordinal,omitempty"`

	// fate is whether the machine becomes a Node.
	// +optional
	Fate Fate `json:"fate,omitempty"`

	// ready is true since the Node was created: the contract v1beta1.
	// +optional
	Ready bool `json:"ready,omitempty"`

	// initialization is what the contract v1beta2 has instead of ready.
	// +optional
	Initialization Initialization `json:"initialization,omitzero"`

	// addresses has the name of the Node and no IP address: nothing answers there, and
	// network plugins route nothing to a node without one.
	// +optional
	// +listType=atomic
	Addresses []MachineAddress `json:"addresses,omitempty"`

	// failureDomain is the zone of the Node.
	// +optional
	FailureDomain string `json:"failureDomain,omitempty"`

	// failureReason is why the machine failed: the contract v1beta1.
	// +optional
	FailureReason *string `json:"failureReason,omitempty"`

	// failureMessage is how the machine failed: the contract v1beta1.
	// +optional
	FailureMessage *string `json:"failureMessage,omitempty"`

	// conditions of the machine.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Initialization is how far a machine came.
type Initialization struct {
	// provisioned is true since the Node was created.
	// +optional
	Provisioned bool `json:"provisioned,omitempty"`
}

// MachineAddress is an address of a machine.
type MachineAddress struct {
	// type of the address.
	// +required
	// +kubebuilder:validation:Enum=Hostname;ExternalIP;InternalIP;ExternalDNS;InternalDNS
	Type string `json:"type"`

	// address itself.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Address string `json:"address"`
}

// HollowMachine is a Node that has no machine.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=hollowmachines,scope=Namespaced,categories=cluster-api
// +kubebuilder:metadata:labels={"cluster.x-k8s.io/v1beta1=v1beta2","cluster.x-k8s.io/v1beta2=v1beta2","clusterctl.cluster.x-k8s.io=","caslab.local/hollow=true"}
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.metadata.labels['cluster\.x-k8s\.io/cluster-name']`
// +kubebuilder:printcolumn:name="Ordinal",type=integer,JSONPath=`.status.ordinal`
// +kubebuilder:printcolumn:name="Fate",type=string,JSONPath=`.status.fate`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=='Ready')].reason`
// +kubebuilder:printcolumn:name="ProviderID",type=string,JSONPath=`.spec.providerID`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type HollowMachine struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec describes the Node.
	// +optional
	Spec HollowMachineSpec `json:"spec,omitzero"`

	// status is what became of it.
	// +optional
	Status HollowMachineStatus `json:"status,omitzero"`
}

// HollowMachineList is a list of HollowMachines.
//
// +kubebuilder:object:root=true
type HollowMachineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HollowMachine `json:"items"`
}
