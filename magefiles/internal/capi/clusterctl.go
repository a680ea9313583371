package capi

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	clusterctlv1 "sigs.k8s.io/cluster-api/cmd/clusterctl/api/v1alpha3"
	"sigs.k8s.io/cluster-api/cmd/clusterctl/client/config"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/run"
)

// Clusterctl installs providers, moves objects and describes them. The library does
// that for releases that serve v1beta2, and the clusterctl of the release itself for
// older ones.
type Clusterctl interface {
	// Init installs the missing ones of the four providers, at version, and does
	// not wait for them to be available.
	Init(ctx context.Context, kubeconfig, version string) error
	// Move moves the Cluster API objects of a namespace to another cluster.
	Move(ctx context.Context, from, to, namespace string) error
	// Describe returns the tree of a cluster, root first.
	Describe(ctx context.Context, kubeconfig, namespace, name string) ([]Described, error)
}

// ClusterctlOptions are the options of NewClusterctl.
type ClusterctlOptions struct {
	// Config is the path of clusterctl's configuration.
	Config string
	// Release is the release of Cluster API in the clusters.
	Release release.Release
	// Binary is the path of the release's own clusterctl, and Home is a folder
	// for the files that it writes. Both are used only if Release.OwnClusterctl
	// is true.
	Binary, Home string
	Runner       run.Runner
	// Progress, if not nil, gets what clusterctl logs.
	Progress func(string)
}

// NewClusterctl returns the clusterctl for the release.
func NewClusterctl(ctx context.Context, o ClusterctlOptions) (Clusterctl, error) {
	if o.Release.OwnClusterctl() {
		return newBinary(o)
	}
	return newLibrary(ctx, o.Config, o.Progress)
}

// initOption is a provider that clusterctl init installs.
type initOption struct {
	// kind is the type in clusterctl's inventory.
	kind clusterctlv1.ProviderType
	name string
	// flag names the provider on clusterctl's command line.
	flag string
}

// initOptions are the four providers, in the order in which clusterctl lists them.
var initOptions = []initOption{
	{clusterctlv1.CoreProviderType, config.ClusterAPIProviderName, "--core"},
	{clusterctlv1.BootstrapProviderType, config.KubeadmBootstrapProviderName, "--bootstrap"},
	{clusterctlv1.ControlPlaneProviderType, config.KubeadmControlPlaneProviderName, "--control-plane"},
	{clusterctlv1.InfrastructureProviderType, config.DockerProviderName, "--infrastructure"},
}

// missing returns the providers that are not in clusterctl's inventory.
func missing(ctx context.Context, kubeconfig string) ([]initOption, error) {
	have, err := installed(ctx, kubeconfig)
	if err != nil {
		return nil, err
	}
	var left []initOption
	for _, p := range initOptions {
		if !have[string(p.kind)] {
			left = append(left, p)
		}
	}
	return left, nil
}

// installed returns the types of the providers in clusterctl's inventory.
// clusterctl adds a provider to it once all components exist.
func installed(ctx context.Context, kubeconfig string) (map[string]bool, error) {
	c, err := kube.Open(kubeconfig)
	if err != nil {
		return nil, err
	}
	providers, err := c.List(ctx, kube.Providers, "")
	if meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for installed providers: %w", err)
	}
	have := map[string]bool{}
	for i := range providers {
		have[kube.Field(&providers[i], "type")] = true
	}
	return have, nil
}
