package machine

import (
	"context"
	"fmt"
	gover "go/version"
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

// HostFindings returns the findings about this machine. Its limits matter only if the
// engine runs on it.
func (m Machine) HostFindings(ctx context.Context) []Finding {
	findings := []Finding{m.goFinding(ctx)}
	if runtime.GOOS != "linux" {
		return findings
	}
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	if err == nil && limit.Max < 16384 {
		err = fmt.Errorf("hard limit %d", limit.Max)
	}
	findings = append(findings, Judge("open files", fmt.Sprintf("hard limit %d", limit.Max), err, Warning, "raise the engine's LimitNOFILE"))
	for _, limit := range []struct {
		key  string
		want int
	}{{"max_user_watches", 524288}, {"max_user_instances", 512}} {
		have, err := readNumber("/proc/sys/fs/inotify/" + limit.key)
		if err == nil && have < limit.want {
			err = fmt.Errorf("%d, and several nodes want %d", have, limit.want)
		}
		findings = append(findings, Judge("inotify "+limit.key, strconv.Itoa(have), err, Warning, fmt.Sprintf("as root: sysctl fs.inotify.%s=%d", limit.key, limit.want)))
	}
	return findings
}

// goFinding compares the version of the go command with that in the lab's go.mod.
func (m Machine) goFinding(ctx context.Context) Finding {
	const cure = "install Go as https://go.dev/doc/install says"
	data, err := os.ReadFile(filepath.Join(m.Root, "go.mod"))
	if err != nil {
		return Finding{"go", Bad, oneLine(err), "run the command at the repository's root"}
	}
	mod, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil || mod.Go == nil {
		return Finding{"go", Bad, "go.mod names no Go version", "git checkout go.mod"}
	}
	// In the module, where the go command selects the toolchain that go.mod names.
	res, err := m.Runner.Run(ctx, run.Cmd{Name: "go", Args: []string{"env", "GOVERSION"}, Dir: m.Root})
	have := strings.TrimSpace(string(res.Stdout))
	if err == nil && gover.Compare(have, "go"+mod.Go.Version) < 0 {
		err = fmt.Errorf("%s, and go.mod wants %s or later", have, mod.Go.Version)
	}
	return Judge("go", have, err, Bad, cure)
}

func readNumber(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// NodeImageFinding says where a node image with the options will come from.
func NodeImageFinding(ctx context.Context, o node.Options) Finding {
	registry := node.RegistryAnswers(ctx, o)
	if o.Origin == node.Registry {
		return Judge("image registry", "answers", registry, Bad, "set REGISTRY_MIRROR, or NODE_IMAGE=auto")
	}
	cannot := node.CanBuild(ctx, o)
	if o.Origin == node.Source {
		return Judge("node image", "built here", cannot, Bad, "set NODE_IMAGE=registry or auto")
	}
	if registry != nil && cannot != nil {
		return Finding{"image registry", Bad, oneLine(registry), oneLine(cannot) + ", or set REGISTRY_MIRROR"}
	}
	return Judge("image registry", "answers", registry, Warning, "none needed: the node image is built here")
}
