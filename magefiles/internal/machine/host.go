package machine

import (
	"context"
	"errors"
	"fmt"
	gover "go/version"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/mod/modfile"

	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run"
)

// Limit is a limit of this machine.
type Limit string

// Limits that matter to nodes.
const (
	// OpenFiles is the hard limit of open files of a process.
	OpenFiles        Limit = "open files"
	InotifyWatches   Limit = "inotify max_user_watches"
	InotifyInstances Limit = "inotify max_user_instances"
)

// ReadLimit returns a limit of this machine. The error wraps errors.ErrUnsupported on
// systems other than Linux.
func ReadLimit(limit Limit) (uint64, error) {
	if runtime.GOOS != "linux" {
		return 0, fmt.Errorf("%s on %s: %w", limit, runtime.GOOS, errors.ErrUnsupported)
	}
	if limit == OpenFiles {
		var hard syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &hard); err != nil {
			return 0, fmt.Errorf("read the limit of open files: %w", err)
		}
		return hard.Max, nil
	}
	data, err := os.ReadFile("/proc/sys/fs/inotify/" + strings.TrimPrefix(string(limit), "inotify "))
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
}

// limits has the lowest values with which several nodes can run.
var limits = []struct {
	limit Limit
	want  uint64
	toDo  string
}{
	{OpenFiles, 16384, "raise LimitNOFILE of the engine's service"},
	{InotifyWatches, 524288, "as root: sysctl fs.inotify.max_user_watches=524288"},
	{InotifyInstances, 512, "as root: sysctl fs.inotify.max_user_instances=512"},
}

// HostFindings returns the findings about this machine. No limit is a Failure,
// because limits matter only if the engine runs on this machine.
func (m Machine) HostFindings(ctx context.Context) []Finding {
	findings := []Finding{m.goFinding(ctx)}
	for _, l := range limits {
		have, err := m.ReadLimit(l.limit)
		if errors.Is(err, errors.ErrUnsupported) {
			continue // the engine is in a virtual machine
		}
		if err == nil && have < l.want {
			err = fmt.Errorf("%d, and several nodes want %d", have, l.want)
		}
		found := strconv.FormatUint(have, 10)
		if have == math.MaxUint64 {
			found = "unlimited"
		}
		findings = append(findings, Judge(string(l.limit), found, err, Warning, l.toDo))
	}
	return findings
}

// goFinding compares the version of the go command with that in the lab's go.mod.
func (m Machine) goFinding(ctx context.Context) Finding {
	const toDo = "install Go as https://go.dev/doc/install says"
	data, err := os.ReadFile(filepath.Join(m.Root, "go.mod"))
	if err != nil {
		return Finding{"go", Failure, oneLine(err), "run the command at the repository's root"}
	}
	mod, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil || mod.Go == nil {
		return Finding{"go", Failure, "go.mod names no Go version", "git checkout go.mod"}
	}
	// In the module, where the go command selects the toolchain that go.mod names.
	res, err := m.Runner.Run(ctx, run.Cmd{Name: "go", Args: []string{"env", "GOVERSION"}, Dir: m.Root})
	have := strings.TrimSpace(string(res.Stdout))
	if err == nil && gover.Compare(have, "go"+mod.Go.Version) < 0 {
		err = fmt.Errorf("%s, and go.mod wants %s or later", have, mod.Go.Version)
	}
	return Judge("go", have, err, Failure, toDo)
}

// NodeImageFinding says where a node image with the options will come from.
func NodeImageFinding(ctx context.Context, o node.Options) Finding {
	return nodeImageFinding(o.Origin, node.RegistryAnswers(ctx, o), func() error { return node.CanBuild(ctx, o) })
}

// nodeImageFinding judges whether the node image can be had from its origin.
// registry is nil if a registry answers, and canBuild returns nil if this
// machine can build the image.
func nodeImageFinding(origin string, registry error, canBuild func() error) Finding {
	if origin == node.Registry {
		return Judge("image registry", "answers", registry, Failure, "set REGISTRY_MIRROR, or NODE_IMAGE=auto")
	}
	cannot := canBuild()
	switch {
	case origin == node.Source:
		return Judge("node image", "built here", cannot, Failure, "set NODE_IMAGE=registry or auto")
	case registry == nil:
		return Finding{Check: "image registry", Verdict: OK, Found: "answers"}
	case cannot == nil:
		return Finding{Check: "image registry", Verdict: Note, Found: "does not answer, so the node image is built here: " + oneLine(registry)}
	}
	return Finding{"image registry", Failure, oneLine(registry), oneLine(cannot) + ", or set REGISTRY_MIRROR"}
}
