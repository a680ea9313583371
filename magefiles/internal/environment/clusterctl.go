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
	"caslab/magefiles/internal/state"
)

// clusterctl returns the clusterctl for the environment's release.
func (e *Environment) clusterctl(ctx context.Context, progress func(string)) (capi.Clusterctl, error) {
	return e.tools.clusterctl(ctx, capi.ClusterctlOptions{
		Config:  filepath.Join(e.repositoryDir(), "clusterctl.yaml"),
		Release: release.Of(e.Config.ClusterAPI.Version),
		Binary:  e.clusterctlPath(), Home: filepath.Join(e.repositoryDir(), "home"),
		Runner: e.Runner, Progress: progress,
	})
}

// clusterctlPath is the path of the release's own clusterctl.
func (e *Environment) clusterctlPath() string {
	return filepath.Join(e.repositoryDir(), build.Clusterctl)
}

// keepClusterctl makes the program at path the environment's clusterctl. Commands that
// have no source tree find it there.
func (e *Environment) keepClusterctl(path string) error {
	link := e.clusterctlPath()
	if old, err := os.Readlink(link); err == nil && old == path {
		return nil
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o700), state.Remove(link), os.Symlink(path, link)); err != nil {
		return fmt.Errorf("keep the release's clusterctl: %w", err)
	}
	return nil
}
