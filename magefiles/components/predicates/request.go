package main

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// Request describes a cluster at one moment, and the pods that need a node. The lab's package
// internal/timeline/predicates has the same types for the caller.
type Request struct {
	// Ask are the pods that need a node.
	Ask []corev1.Pod `json:"ask"`
	// Nodes are the nodes of the cluster, and Pods the pods that are bound to them.
	Nodes []corev1.Node `json:"nodes"`
	Pods  []corev1.Pod  `json:"pods"`
	// Templates are nodes that node groups may add. Each is judged as if it existed and the other
	// templates did not.
	Templates []Template `json:"templates,omitempty"`
	// Move puts each pod of Ask on the first node on which it fits, before the next one is judged.
	Move bool `json:"move,omitempty"`
	// Closed are the names of nodes that take no more pods. The pods on them still count.
	Closed []string `json:"closed,omitempty"`

	// These are objects as the cluster has them.
	Namespaces        recorded[corev1.Namespace]             `json:"namespaces,omitempty"`
	Claims            recorded[corev1.PersistentVolumeClaim] `json:"claims,omitempty"`
	Volumes           recorded[corev1.PersistentVolume]      `json:"volumes,omitempty"`
	StorageClasses    recorded[storagev1.StorageClass]       `json:"storageClasses,omitempty"`
	CSINodes          recorded[storagev1.CSINode]            `json:"csiNodes,omitempty"`
	CSIDrivers        recorded[storagev1.CSIDriver]          `json:"csiDrivers,omitempty"`
	StorageCapacities recorded[storagev1.CSIStorageCapacity] `json:"storageCapacities,omitempty"`
	VolumeAttachments recorded[storagev1.VolumeAttachment]   `json:"volumeAttachments,omitempty"`

	// These are objects of dynamic resource allocation, as resource.k8s.io/v1 has them.
	ResourceClaims recorded[resourcev1.ResourceClaim] `json:"resourceClaims,omitempty"`
	DeviceClasses  recorded[resourcev1.DeviceClass]   `json:"deviceClasses,omitempty"`
	ResourceSlices recorded[resourcev1.ResourceSlice] `json:"resourceSlices,omitempty"`
}

// recorded are objects as a cluster has them. Fields that Kubernetes has got since are left out, even
// if the decoder refuses unknown fields.
type recorded[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (r *recorded[T]) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, (*[]T)(r)) }

// Template is a node that a node group may add, the pods that would run on it, and the devices that it
// would have. CSINode has the volumes that each CSI driver could attach to it, nil if nothing limits
// them.
type Template struct {
	Node           corev1.Node                        `json:"node"`
	Pods           []corev1.Pod                       `json:"pods,omitempty"`
	CSINode        *storagev1.CSINode                 `json:"csiNode,omitempty"`
	ResourceSlices recorded[resourcev1.ResourceSlice] `json:"resourceSlices,omitempty"`
}

// Answer has the refusals of each pod of Request.Ask, in that order.
type Answer struct {
	// Version is the version of Kubernetes that the filters come from; empty if it is not known.
	Version string     `json:"version,omitempty"`
	Pods    []Verdicts `json:"pods"`
}

// Verdicts has the refusals of one pod, by the name of the node or of the template's node. A node
// without a refusal takes the pod, unless it is closed.
type Verdicts map[string][]Refusal

// Refusal names a filter that refuses a node, and its reasons.
type Refusal struct {
	Plugin  string   `json:"plugin"`
	Reasons []string `json:"reasons"`
	// Alone are the terms or constraints of the pod that refuse the node by themselves, counted from 0,
	// if the pod has several of which the filter says only that one does.
	Alone []int `json:"alone,omitempty"`
}
