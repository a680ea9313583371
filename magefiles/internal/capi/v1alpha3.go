package capi

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
)

// v1alpha3 is the contract of Cluster API v0.3. `clusterctl move` looks at fields of the
// status alone: checkProvisioningCompleted in cmd/clusterctl/client/cluster/mover.go at
// v0.3.5 and v0.3.25.
var v1alpha3 = contract{
	template:    "v1alpha3.yaml.tmpl",
	provisioned: v1beta1.provisioned,
	initialized: func(cluster *unstructured.Unstructured) bool {
		return kube.Field(cluster, "status", "controlPlaneInitialized") == "true" && kube.Field(cluster, "status", "controlPlaneReady") == "true"
	},
}
