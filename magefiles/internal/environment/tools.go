package environment

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/repository"
	"caslab/magefiles/internal/source"
)

// tools are the functions of the steps that need compilers, registries, an engine
// that runs nodes, or a cluster. Tests replace them.
type tools struct {
	// check asks whether a tree can be fetched.
	check   func(context.Context, source.Spec) error
	fetch   func(ctx context.Context, spec source.Spec, progress func(string)) (*source.Tree, error)
	compile func(context.Context, []build.Request, build.Options) (cached int, err error)
	render  func(context.Context, repository.Options) (*repository.Repository, error)
	// assemble makes a manager's image, with commands at paths in it.
	assemble func(arch, binary, user string, commands map[string]string) (v1.Image, error)
	// base and bake make the node image, without managers and with them.
	base func(context.Context, node.Options) (node.Images, error)
	bake func(ctx context.Context, base string, managers map[string]v1.Image, o node.Options) (string, error)
	// bound makes a load balancer's image that limits the number of connections.
	bound      func(context.Context, release.LoadBalancer, node.Options) (release.LoadBalancer, error)
	kind       func(capi.Management) kindCluster
	clusterctl func(context.Context, capi.ClusterctlOptions) (capi.Clusterctl, error)
	// open reaches an API server by a kubeconfig.
	open func(kubeconfig string) (*kube.Client, error)
}

// kindCluster is the management cluster.
type kindCluster interface {
	// Create makes the cluster, whose kubeconfig it writes, and waits until its
	// node is Ready.
	Create(ctx context.Context) error
	ExportKubeconfig() error
	// Delete removes the cluster; one that is not there is no error.
	Delete(ctx context.Context) error
}

func realTools(l *lab.Lab) tools {
	return tools{
		check: func(ctx context.Context, s source.Spec) error { return component.Check(ctx, l, s) },
		fetch: func(ctx context.Context, s source.Spec, progress func(string)) (*source.Tree, error) {
			return component.Fetch(ctx, l, s, progress)
		},
		compile: build.All, render: repository.Write, assemble: image.Manager,
		base: node.Base, bake: node.Bake, bound: node.BoundBalancer,
		kind:       func(m capi.Management) kindCluster { return m },
		clusterctl: capi.NewClusterctl, open: kube.Open,
	}
}
