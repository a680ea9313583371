// Package manifests has every YAML file and template that the lab applies. Users may read
// and change them. A change takes effect at the next command.
package manifests

import "embed"

// FS holds the manifests: node/ goes into the node image, cluster/ has the
// templates of the workload cluster, autoscaler/ the autoscaler's command line
// and deployment, workload/ the pods that make a cluster grow, scenarios/ tests
// of the autoscaler, hollow/ the kinds and the controller of hollow machines.
//
//go:embed node cluster autoscaler hollow workload scenarios
var FS embed.FS
