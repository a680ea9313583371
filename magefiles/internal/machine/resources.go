package machine

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"caslab/magefiles/internal/engine"
)

const mebibyte = 1 << 20

// Free disk that an environment needs, in bytes, measured with Kubernetes v1.36.1. Each
// node has a copy of what its image has in /var. The managers are compiled, and the node
// image is built or pulled, only once.
const (
	diskManager = 1400 * mebibyte
	diskWorker  = 700 * mebibyte
	diskCompile = 2500 * mebibyte
	diskImage   = 4096 * mebibyte
)

// Memory that an environment needs, in bytes: the two nodes with managers, and each worker.
const (
	memoryManagers = 2900 * mebibyte
	memoryWorker   = 120 * mebibyte
)

// removeOldImages is the command that removes the lab's images that no container uses.
const removeOldImages = "docker image rm $(docker image ls --format '{{.Repository}}:{{.Tag}}' 'caslab.local/*')"

// containerdRoot is where containerd has its images by default.
const containerdRoot = "/var/lib/containerd"

// disk judges the free disk where the engine stores its data, if that is on this machine,
// and where the lab does. The place with the least free disk decides.
func (m Machine) disk(info engine.Info) Finding {
	const check = "disk"
	dirs := []string{info.DockerRootDir, m.Root}
	if info.ContainerdStore() {
		dirs = append(dirs, containerdRoot)
	}
	var least int64
	var where string
	for _, dir := range dirs {
		free, err := m.FreeDisk(dir)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue // the engine is in a virtual machine, or its data cannot be read
		}
		if err != nil {
			return Judge(check, "", fmt.Errorf("look for free disk at %s: %w", dir, err), Failure, "df -h "+dir)
		}
		if where == "" || free < least {
			least, where = free, dir
		}
	}
	if where == "" {
		return Finding{Check: check, Verdict: Note, Found: "on another machine, as the engine's data"}
	}
	need, why := m.diskNeeded()
	found := fmt.Sprintf("%.1f GiB free at %s, and %.1f GiB needed: %s", gibibytes(least), where, gibibytes(need), why)
	if least < need {
		return Judge(check, "", &problem{found, fmt.Sprintf("take a larger disk, or free some: `%s` removes unused images of the lab, which are built again when needed, and `docker image prune` and `docker builder prune` remove other unused data", removeOldImages)}, Failure, "")
	}
	return Finding{Check: check, Verdict: OK, Found: found}
}

// diskNeeded returns the free disk that the environment needs, in bytes, and for what.
func (m Machine) diskNeeded() (bytes int64, why string) {
	managers, workers := m.missing()
	bytes, why = int64(managers)*diskManager+int64(workers)*diskWorker, number(managers+workers, "node")
	if _, err := os.Stat(m.State.Path("bin", "cluster-api")); err != nil {
		bytes, why = bytes+diskCompile, why+", managers to compile"
	}
	if m.BuildsImage {
		bytes, why = bytes+diskImage, why+", a node image to build or pull"
	}
	return bytes, why
}

// memory judges the memory of the engine. If the engine is on this machine, what other
// processes use is not free.
func (m Machine) memory(info engine.Info) Finding {
	const check = "memory"
	need := int64(memoryManagers + m.Workers*memoryWorker)
	have, what := info.MemTotal, "for the engine"
	if free, err := m.FreeMemory(); err == nil && free < have && !info.Desktop() {
		have, what = free, "free"
	}
	found := fmt.Sprintf("%.1f GiB %s, and %.1f GiB needed: %s", gibibytes(have), what, gibibytes(need), number(m.nodes(), "node"))
	if have < need {
		return Judge(check, "", &problem{found, fmt.Sprintf("give the engine more, or stop something; each further node takes %d MiB", memoryWorker/mebibyte)}, Warning, "")
	}
	return Finding{Check: check, Verdict: OK, Found: found}
}

func gibibytes(n int64) float64 { return float64(n) / (1 << 30) }

// freeDisk returns the bytes that a user may still write to dir's file system.
func freeDisk(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // of other types on other systems
}

// freeMemory returns the bytes that new processes can use without swapping, as Linux
// estimates them.
func freeMemory() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("read the free memory: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	for s := bufio.NewScanner(f); s.Scan(); {
		if value, ok := strings.CutPrefix(s.Text(), "MemAvailable:"); ok {
			kibibytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the free memory: %w", err)
			}
			return kibibytes << 10, nil
		}
	}
	return 0, errors.New("read the free memory: /proc/meminfo does not name it")
}
