package main

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

// Request is a cluster at one moment, and the pods that look for a node. The lab's package
// internal/timeline/predicates has the same types for the other side.
type Request struct {
	// Ask are the pods that look for a node.
	Ask []corev1.Pod `json:"ask"`
	// Nodes of the cluster, and the pods that are bound to them.
	Nodes []corev1.Node `json:"nodes"`
	Pods  []corev1.Pod  `json:"pods"`
	// Templates are nodes that may come. Each is judged as if it were there, and no other
	// template.
	Templates []Template `json:"templates,omitempty"`
	// Move puts each pod of Ask on the first node on which it fits, before the next one is judged.
	Move bool `json:"move,omitempty"`
	// Closed are the names of nodes that take no pod. What is on them counts.
	Closed []string `json:"closed,omitempty"`

	Namespaces     []corev1.Namespace             `json:"namespaces,omitempty"`
	Claims         []corev1.PersistentVolumeClaim `json:"claims,omitempty"`
	Volumes        []corev1.PersistentVolume      `json:"volumes,omitempty"`
	StorageClasses []storagev1.StorageClass       `json:"storageClasses,omitempty"`
	CSINodes       []storagev1.CSINode            `json:"csiNodes,omitempty"`
}

// Template is a node that may come, and the pods that come with it.
type Template struct {
	Node corev1.Node  `json:"node"`
	Pods []corev1.Pod `json:"pods,omitempty"`
}

// Answer has the refusals of each pod of Request.Ask, in that order.
type Answer struct {
	// Version of Kubernetes whose filters judged, empty if it is not known.
	Version string     `json:"version,omitempty"`
	Pods    []Verdicts `json:"pods"`
}

// Verdicts are the refusals of one pod by the name of the node or of the template's node. A node
// that is neither in it nor closed takes the pod.
type Verdicts map[string][]Refusal

// Refusal is a filter that refuses a node, and its reasons.
type Refusal struct {
	Plugin  string   `json:"plugin"`
	Reasons []string `json:"reasons"`
}
