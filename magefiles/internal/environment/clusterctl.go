package environment

import (
	"context"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
)

// clusterctl returns the clusterctl for a release of Cluster API.
func (e *Environment) clusterctl(ctx context.Context, r release.Release) (capi.Clusterctl, error) {
	o := e.home().ClusterctlOptions(r)
	o.Runner = e.Runner
	return e.tools.Clusterctl(ctx, o)
}
