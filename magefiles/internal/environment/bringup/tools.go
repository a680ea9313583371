package bringup

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/repository"
	"caslab/magefiles/internal/source"
)

// Tools are the functions of the steps that need compilers, registries, an engine
// that runs nodes, or a cluster. Tests replace them.
type Tools struct {
	Fetch   func(ctx context.Context, spec source.Spec, progress func(string)) (*source.Tree, error)
	Compile func(context.Context, []build.Request, build.Options) (cached int, err error)
	Render  func(context.Context, repository.Options) (*repository.Repository, error)
	// Assemble makes a manager's image, with commands at paths in it.
	Assemble func(arch, binary, user string, commands map[string]string) (v1.Image, error)
	// Base and Bake make the node image, without managers and with them.
	Base func(context.Context, node.Options) (node.Images, error)
	Bake func(ctx context.Context, base string, managers map[string]v1.Image, o node.Options) (string, error)
	// Bound makes a load balancer's image that limits the number of connections.
	Bound      func(context.Context, release.LoadBalancer, node.Options) (release.LoadBalancer, error)
	Kind       func(capi.Management) KindCluster
	Clusterctl func(context.Context, capi.ClusterctlOptions) (capi.Clusterctl, error)
	// Open reaches an API server by a kubeconfig.
	Open func(kubeconfig string) (*kube.Client, error)
}

// KindCluster is the management cluster.
type KindCluster interface {
	// Create creates the cluster, writes its kubeconfig, and waits until its node is Ready.
	Create(ctx context.Context) error
	ExportKubeconfig() error
	// Delete removes the cluster. It returns no error if there is none.
	Delete(ctx context.Context) error
}
