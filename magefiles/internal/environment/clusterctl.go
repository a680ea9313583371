package environment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/state"
)

// clusterctl returns the clusterctl for a release of Cluster API.
func (e *Environment) clusterctl(ctx context.Context, r release.Release, progress func(string)) (capi.Clusterctl, error) {
	return e.tools.clusterctl(ctx, capi.ClusterctlOptions{
		Config:  filepath.Join(e.repositoryDir(), "clusterctl.yaml"),
		Release: r,
		Binary:  e.clusterctlPath(r), Home: filepath.Join(e.repositoryDir(), "home"),
		Runner: e.Runner, Progress: progress,
	})
}

// clusterctlPath is the path of a release's own clusterctl.
func (e *Environment) clusterctlPath(r release.Release) string {
	return filepath.Join(e.repositoryDir(), build.Clusterctl+"-"+config.Tag(r.Version))
}

// keepClusterctl makes the program at path the environment's clusterctl for the release of
// the settings. Commands that have no source tree find it there.
func (e *Environment) keepClusterctl(path string) error {
	link := e.clusterctlPath(release.Of(e.Config.ClusterAPI.Version))
	if old, err := os.Readlink(link); err == nil && old == path {
		return nil
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o700), state.Remove(link), os.Symlink(path, link)); err != nil {
		return fmt.Errorf("keep the release's clusterctl: %w", err)
	}
	return nil
}
