package home

import (
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

// Kubeconfig is the path of the environment's kubeconfig, which the user gets.
func (h Home) Kubeconfig() string { return h.State.Kubeconfig(h.Environment) }

// ManagementKubeconfig is the path of the management cluster's kubeconfig.
func (h Home) ManagementKubeconfig() string { return h.State.Kubeconfig(h.Management) }

// ManagementKubeconfigLock is the lock file that kind creates while it writes
// the kubeconfig. It stays if kind is killed then. A process that holds the
// environment's lock may remove it.
func (h Home) ManagementKubeconfigLock() string { return h.ManagementKubeconfig() + ".lock" }

// Repository is the folder of clusterctl's local repository.
func (h Home) Repository() string { return h.State.Path("repository", h.Environment) }

// file returns the path of the environment's state file with that suffix.
func (h Home) file(suffix string) string { return h.State.Path("owner", h.Environment+suffix) }

// MovingFile exists from the start of a move until the move is known to be complete.
func (h Home) MovingFile() string { return h.file(".moving") }

// ReadyFile exists from the moment the environment manages itself until it is
// removed.
func (h Home) ReadyFile() string { return h.file(".ready") }

// SettingsFile has the settings with which the environment was created.
func (h Home) SettingsFile() string { return h.file(".settings.json") }

// RemovedFile says when the environment was last removed.
func (h Home) RemovedFile() string { return h.file(".removed") }

// LogFile is the full log of the last command that changed the environment.
func (h Home) LogFile() string { return h.State.Path("logs", h.Environment+".log") }

// SecondsFile has the seconds of each step of the last env:up that created something, so
// that runs can be compared.
func (h Home) SecondsFile() string { return h.State.Path("logs", h.Environment+"-seconds.json") }

// Clusterctl is the path of a release's own clusterctl.
func (h Home) Clusterctl(r release.Release) string {
	return filepath.Join(h.Repository(), build.Clusterctl+"-"+config.Tag(r.Version))
}

// ClusterctlOptions returns the options of the clusterctl for a release, without Runner and
// Progress.
func (h Home) ClusterctlOptions(r release.Release) capi.ClusterctlOptions {
	return capi.ClusterctlOptions{
		Config: filepath.Join(h.Repository(), "clusterctl.yaml"), Release: r,
		Binary: h.Clusterctl(r), Home: filepath.Join(h.Repository(), "home"),
	}
}

// KeepClusterctl makes the program at path the environment's clusterctl for a release.
// Commands that have no source tree find it there.
func (h Home) KeepClusterctl(r release.Release, path string) error {
	link := h.Clusterctl(r)
	if old, err := os.Readlink(link); err == nil && old == path {
		return nil
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o700), state.Remove(link), os.Symlink(path, link)); err != nil {
		return fmt.Errorf("keep the release's clusterctl: %w", err)
	}
	return nil
}

// ForgetManagement removes the files of the management cluster.
func (h Home) ForgetManagement() error {
	return errors.Join(state.Remove(h.ManagementKubeconfig()), state.Remove(h.ManagementKubeconfigLock()), state.Remove(h.MovingFile()))
}
