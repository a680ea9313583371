package environment

import (
	"context"
	"path/filepath"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
)

// clusterctl returns the clusterctl for a release of Cluster API.
func (e *Environment) clusterctl(ctx context.Context, r release.Release, progress func(string)) (capi.Clusterctl, error) {
	return e.tools.clusterctl(ctx, capi.ClusterctlOptions{
		Config:  filepath.Join(e.home().Repository(), "clusterctl.yaml"),
		Release: r,
		Binary:  e.home().Clusterctl(r), Home: filepath.Join(e.home().Repository(), "home"),
		Runner: e.Runner, Progress: progress,
	})
}
