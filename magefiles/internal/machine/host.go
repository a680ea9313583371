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

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/source"
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

// readLimit returns a limit of this machine. The error wraps errors.ErrUnsupported on
// systems other than Linux.
func readLimit(limit Limit) (uint64, error) {
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

// usage is how much of a limit of this machine an environment takes.
type usage struct {
	// manager is what a node with managers takes, worker what any other node takes, and
	// rest what everything else on the machine may take.
	manager, worker, rest uint64
	// enough is a value that is enough for several nodes in any case.
	enough uint64
	// cure is what to type.
	cure string
}

// needed returns the lowest limit with which that many workers run beside the management
// cluster and the control plane.
func (u usage) needed(workers int) uint64 {
	return u.rest + 2*u.manager + uint64(workers)*u.worker //nolint:gosec // not negative
}

// limits has what nodes take of each limit, counted in nodes of Kubernetes v1.36.1. Enough
// is what kind recommends for several nodes (its page "Known Issues").
var limits = map[Limit]usage{
	InotifyInstances: {manager: 32, worker: 15, rest: 16, enough: 512, cure: "as root: sysctl fs.inotify.max_user_instances=8192"},
	InotifyWatches:   {manager: 380, worker: 150, rest: 1000, enough: 524288, cure: "as root: sysctl fs.inotify.max_user_watches=1048576"},
	OpenFiles:        {enough: 16384, cure: "raise LimitNOFILE of the engine's service"},
}

// limit judges a limit of this machine by the number of nodes. Too little for the nodes of
// env:up is a Failure. Too little for nodes that the autoscaler adds later is a Warning.
func (m Machine) limit(info engine.Info, l Limit) Finding {
	have, err := m.ReadLimit(l)
	if errors.Is(err, errors.ErrUnsupported) || info.Desktop() {
		return Finding{Check: string(l), Verdict: OK, Found: "the engine is in a virtual machine"}
	}
	u := limits[l]
	need, wanted := u.needed(m.Workers), max(u.enough, u.needed(m.Workers+headroom))
	switch {
	case err != nil:
		return Judge(string(l), "", err, Warning, u.cure)
	case have < need:
		return Judge(string(l), "", &problem{fmt.Sprintf("the limit %s is %d, and %d nodes need about %d", l, have, m.nodes(), need), u.cure}, Failure, "")
	case have < wanted:
		return Judge(string(l), "", &problem{fmt.Sprintf("the limit %s is %d, about enough for the %d nodes of env:up; more nodes want %d", l, have, m.nodes(), wanted), u.cure}, Warning, "")
	case have == math.MaxUint64:
		return Finding{Check: string(l), Verdict: OK, Found: "unlimited"}
	}
	return Finding{Check: string(l), Verdict: OK, Found: strconv.FormatUint(have, 10)}
}

// headroom is the number of nodes that should fit beside those of env:up, because the
// autoscaler adds nodes.
const headroom = 6

// GoFinding compares the version of the go command with that in the lab's go.mod.
func (m Machine) GoFinding(ctx context.Context) Finding {
	const toDo = "install Go as https://go.dev/doc/install says"
	data, err := os.ReadFile(filepath.Join(m.Root, "go.mod"))
	if err != nil {
		return Finding{Check: "go", Verdict: Failure, Found: oneLine(err), ToDo: "run the command at the repository's root"}
	}
	mod, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil || mod.Go == nil {
		return Finding{Check: "go", Verdict: Failure, Found: "go.mod names no Go version", ToDo: "git checkout go.mod"}
	}
	// In the module, where the go command selects the toolchain that go.mod names.
	res, err := m.Runner.Run(ctx, run.Cmd{Name: "go", Args: []string{"env", "GOVERSION"}, Dir: m.Root})
	have := strings.TrimSpace(string(res.Stdout))
	if err == nil && gover.Compare(have, "go"+mod.Go.Version) < 0 {
		err = fmt.Errorf("%s, and go.mod wants %s or later", have, mod.Go.Version)
	}
	return Judge("go", have, err, Failure, toDo)
}

// KubernetesCheck returns the check whether the release of Kubernetes exists from whose
// module the node image is built. exists is source.Check. A node image that the engine has
// proves that the release exists. A proxy that does not answer proves nothing, because a
// registry may have the image.
func KubernetesCheck(o node.Options, exists func(context.Context, source.Spec) error) Check {
	name := "Kubernetes " + o.Kubernetes
	return Check{Name: name, Find: func(ctx context.Context) Finding {
		if node.Has(ctx, o) {
			return Finding{Check: name, Verdict: OK, Found: "there is a node image"}
		}
		err := exists(ctx, source.Kubernetes(o.Kubernetes))
		if errors.As(err, new(*source.MissingTagError)) {
			return Judge(name, "", err, Failure, "set KUBERNETES_VERSION to a release that exists")
		}
		if err != nil {
			err = fmt.Errorf("not known whether it exists: %w", err)
		}
		return Judge(name, "exists", err, Note, "")
	}}
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
	return Finding{Check: "image registry", Verdict: Failure, Found: oneLine(registry), ToDo: oneLine(cannot) + ", or set REGISTRY_MIRROR"}
}
