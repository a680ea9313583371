package environment

import (
	"context"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/environment/bringup"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/repository"
	"caslab/magefiles/internal/source"
)

// tools returns the real tools. Tests replace them.
func tools(l *lab.Lab) bringup.Tools {
	return bringup.Tools{
		Fetch: func(ctx context.Context, s source.Spec, progress func(string)) (*source.Tree, error) {
			return component.Fetch(ctx, l, s, progress)
		},
		Compile: build.All, Render: repository.Write, Assemble: image.Manager,
		Base: node.Base, Bake: node.Bake, Bound: node.BoundBalancer,
		Kind:       func(m capi.Management) bringup.KindCluster { return m },
		Clusterctl: capi.NewClusterctl, Open: kube.Open,
	}
}
