package target

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
)

// Versions are the versions that the cluster itself reports: the settings of this command
// may differ from those it was created with. A version that it does not report is empty.
type Versions struct {
	// ClusterAPI is the core provider's version, from clusterctl's inventory.
	ClusterAPI string
	// Kubernetes is the version of a control plane node's kubelet.
	Kubernetes string
}

// Versions asks the cluster for its versions.
func (c *Cluster) Versions(ctx context.Context) (Versions, error) {
	installed, err := capi.Installed(ctx, c.Management, c.Namespace)
	if err != nil {
		return Versions{}, err
	}
	have := Versions{ClusterAPI: installed.ClusterAPI}
	nodes, err := c.Workload.List(ctx, kube.Nodes, "")
	if err != nil && !meta.IsNoMatchError(err) {
		return have, fmt.Errorf("ask the nodes for their Kubernetes version: %w", err)
	}
	for i := range nodes {
		n := &nodes[i]
		control := kube.OfControlPlane(n)
		// A hosted control plane has no node in the cluster.
		if version := kube.Field(n, "status", "nodeInfo", "kubeletVersion"); control || have.Kubernetes == "" {
			have.Kubernetes = version
		}
		if control {
			break
		}
	}
	return have, nil
}

// Map returns the known versions by component.
func (v Versions) Map() map[string]string {
	known := map[string]string{}
	for name, version := range map[string]string{"Cluster API": v.ClusterAPI, "Kubernetes": v.Kubernetes} {
		if version != "" {
			known[name] = version
		}
	}
	return known
}

// List returns the known versions, each after the name of its component.
func (v Versions) List() []string {
	var all []string
	known := v.Map()
	for _, name := range slices.Sorted(maps.Keys(known)) {
		all = append(all, name+" "+known[name])
	}
	return all
}
