package capi

// v1alpha4 is the contract of Cluster API v0.4. Its `clusterctl move` checks what that of
// v1beta1 does: checkProvisioningCompleted in cmd/clusterctl/client/cluster/mover.go at
// v0.4.0 and v0.4.8.
var v1alpha4 = contract{template: "v1alpha4.yaml.tmpl", provisioned: v1beta1.provisioned, initialized: v1beta1.initialized}
