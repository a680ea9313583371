package capi

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
)

// v1beta1 is the contract of Cluster API v1.0 to v1.10. `clusterctl move` looks at
// fields of the status, and at one condition: checkProvisioningCompleted in
// cmd/clusterctl/client/cluster/mover.go at v1.0.5 and v1.10.10.
var v1beta1 = contract{
	template: "v1beta1.yaml.tmpl",
	provisioned: func(cluster *unstructured.Unstructured) bool {
		return kube.Field(cluster, "status", "infrastructureReady") == "true"
	},
	initialized: func(cluster *unstructured.Unstructured) bool {
		return kube.True(cluster, "ControlPlaneInitialized") && kube.Field(cluster, "status", "controlPlaneReady") == "true"
	},
}
