package machine

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"caslab/magefiles/internal/engine"
)

// Free disk that an environment needs, in bytes: the first time for builds and
// images, later for containers.
const (
	diskFirst = 10 << 30
	diskAfter = 3 << 30
)

// removeOldImages is the command that removes the lab's images that no container uses.
const removeOldImages = "docker image rm $(docker image ls --format '{{.Repository}}:{{.Tag}}' 'caslab.local/*')"

// CheckDisk refuses a machine that has too little free disk where the engine keeps
// its data, or where the lab does.
func (m Machine) CheckDisk(info engine.Info) error {
	_, _, err := m.disk(info)
	return err
}

// disk looks for free disk where the engine stores its data, if that is on this machine,
// and where the lab does. It returns the smaller of the two, in bytes, and its place, and
// an error if it is too small.
func (m Machine) disk(info engine.Info) (least int64, where string, err error) {
	for _, dir := range []string{info.DockerRootDir, m.Root} {
		free, err := m.FreeDisk(dir)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue // the engine is on another or in a virtual machine, or its data cannot be read
		}
		if err != nil {
			return 0, "", fmt.Errorf("look for free disk at %s: %w", dir, err)
		}
		if where == "" || free < least {
			least, where = free, dir
		}
	}
	if need := m.diskNeeded(); where != "" && least < need {
		return least, where, fmt.Errorf("%s has %.1f GiB free and the environment needs %d GiB; to free some, `%s` removes unused images of the lab, which are built again when needed, and `docker image prune` and `docker builder prune` remove other unused data", where, gibibytes(least), need>>30, removeOldImages)
	}
	return least, where, nil
}

func gibibytes(n int64) float64 { return float64(n) / (1 << 30) }

// diskNeeded returns the free disk that the environment needs, in bytes. It is less
// once Cluster API was built.
func (m Machine) diskNeeded() int64 {
	if _, err := os.Stat(m.State.Path("bin", "cluster-api")); err == nil {
		return diskAfter
	}
	return diskFirst
}

// FreeDisk returns the bytes that a user may still write to dir's file system.
func FreeDisk(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // of other types on other systems
}
