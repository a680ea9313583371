package kube

import "k8s.io/apimachinery/pkg/runtime/schema"

// Kinds of objects that the lab reads, in the version that the API server prefers.
var (
	Namespaces  = schema.GroupKind{Kind: "Namespace"}
	Nodes       = schema.GroupKind{Kind: "Node"}
	Pods        = schema.GroupKind{Kind: "Pod"}
	Events      = schema.GroupKind{Kind: "Event"}
	ConfigMaps  = schema.GroupKind{Kind: "ConfigMap"}
	Secrets     = schema.GroupKind{Kind: "Secret"}
	Deployments = schema.GroupKind{Group: "apps", Kind: "Deployment"}
	DaemonSets  = schema.GroupKind{Group: "apps", Kind: "DaemonSet"}

	Budgets     = schema.GroupKind{Group: "policy", Kind: "PodDisruptionBudget"}
	Leases      = schema.GroupKind{Group: "coordination.k8s.io", Kind: "Lease"}
	Definitions = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}

	Claims         = schema.GroupKind{Kind: "PersistentVolumeClaim"}
	Volumes        = schema.GroupKind{Kind: "PersistentVolume"}
	StorageClasses = schema.GroupKind{Group: "storage.k8s.io", Kind: "StorageClass"}
	CSINodes       = schema.GroupKind{Group: "storage.k8s.io", Kind: "CSINode"}
	CSIDrivers     = schema.GroupKind{Group: "storage.k8s.io", Kind: "CSIDriver"}
	// VolumeAttachments are volumes that are attached to a node, or will be.
	VolumeAttachments = schema.GroupKind{Group: "storage.k8s.io", Kind: "VolumeAttachment"}
	// StorageCapacities are what is left of a driver's storage, by topology.
	StorageCapacities = schema.GroupKind{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"}

	// MutatingWebhooks and ValidatingWebhooks are configurations of admission webhooks.
	MutatingWebhooks   = schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}
	ValidatingWebhooks = schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}

	Clusters           = schema.GroupKind{Group: "cluster.x-k8s.io", Kind: "Cluster"}
	Machines           = schema.GroupKind{Group: "cluster.x-k8s.io", Kind: "Machine"}
	MachineDeployments = schema.GroupKind{Group: "cluster.x-k8s.io", Kind: "MachineDeployment"}
	MachineSets        = schema.GroupKind{Group: "cluster.x-k8s.io", Kind: "MachineSet"}
	MachinePools       = schema.GroupKind{Group: "cluster.x-k8s.io", Kind: "MachinePool"} // from v1alpha4 on
	Providers          = schema.GroupKind{Group: "clusterctl.cluster.x-k8s.io", Kind: "Provider"}
)
