package capi

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
)

// v1beta2 is the contract of Cluster API since v1.11. Its Clusters report in
// status.initialization what is ready: api/core/v1beta2/cluster_types.go.
var v1beta2 = contract{
	template: "v1beta2.yaml.tmpl",
	provisioned: func(cluster *unstructured.Unstructured) bool {
		return kube.Field(cluster, "status", "initialization", "infrastructureProvisioned") == "true"
	},
	initialized: func(cluster *unstructured.Unstructured) bool {
		return kube.Field(cluster, "status", "initialization", "controlPlaneInitialized") == "true" && kube.True(cluster, "ControlPlaneInitialized")
	},
}
