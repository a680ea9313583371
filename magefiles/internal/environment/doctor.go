package environment

import (
	"context"
	"errors"
	"fmt"
	gover "go/version"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/mod/modfile"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/ui"
)

// Verdicts of the doctor.
const (
	good = "ok"
	warn = "warning"
	bad  = "bad"
)

// finding is one thing the doctor looked at.
type finding struct{ what, verdict, detail, cure string }

// Doctor checks the machine and prints each finding with a verdict and a cure. It
// returns an error if no environment can come up here. It creates the probe image,
// if the engine does not have it, and runs it for a moment.
func (e *Environment) Doctor(ctx context.Context) error {
	var findings []finding
	step := e.Log.Start("ask the Docker engine, and start a privileged container", 5*time.Second)
	info, err := e.engine.Info(ctx)
	if err != nil {
		findings = append(findings, finding{"engine", bad, oneLine(err), "start Docker; on Debian and Ubuntu: scripts/docker-engine.sh as root"})
	} else {
		findings = append(findings, e.engineFindings(ctx, info)...)
	}
	step.Done("", nil)
	findings = append(findings, e.hostFindings(ctx)...)
	step = e.Log.Start("ask the network", 10*time.Second)
	findings = append(findings, e.reachFindings(ctx, info)...)
	step.Done("", nil)

	w := ui.NewTable(e.Out, "CHECK", "VERDICT", "FOUND", "CURE")
	ailing := 0
	for _, f := range findings {
		if f.verdict == good {
			f.cure = ""
		}
		if f.verdict == bad {
			ailing++
		}
		w.Row(f.what, f.verdict, f.detail, f.cure)
	}
	if err := w.End(); err != nil {
		return err
	}
	if ailing > 0 {
		return fmt.Errorf("%d of %d checks are bad; env:up will fail until they are cured", ailing, len(findings))
	}
	return nil
}

// oneLine returns the cause in one line. For a process that failed that is the last
// line that it printed.
func oneLine(err error) string {
	if failed := new(run.Error); errors.As(err, &failed) {
		if said := strings.TrimSpace(string(failed.Output)); said != "" {
			return said[strings.LastIndexByte(said, '\n')+1:]
		}
	}
	if unreachable := new(net.OpError); errors.As(err, &unreachable) {
		return unreachable.Err.Error() // the cure says what was asked
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// verdict returns a finding that is good if err is nil, and has that severity if not.
func verdict(what, found string, err error, severity, cure string) finding {
	if err != nil {
		return finding{what, severity, oneLine(err), cure}
	}
	return finding{what, good, found, cure}
}

func (e *Environment) engineFindings(ctx context.Context, info engine.Info) []finding {
	privileged := suitable(info)
	if privileged == nil {
		privileged = e.checkPrivileged(ctx, info, probeDoctor)
	}
	cgroup := finding{what: "cgroup", verdict: good, detail: "v" + info.CgroupVersion}
	if info.CgroupVersion == "1" {
		cgroup.detail = "v1: nodes get failCgroupV1: false, which a future Kubernetes will not know"
	}
	var little error
	if info.MemTotal < 4<<30 {
		little = fmt.Errorf("%.1f GiB for the engine", float64(info.MemTotal)/(1<<30))
	}
	free, where, tooLittle := e.checkDisk(info)
	disk := "on another machine, as the engine's data"
	if where != "" {
		disk = fmt.Sprintf("%.1f GiB free at %s, and %d needed", gibibytes(free), where, e.diskNeeded()>>30)
	}
	return []finding{
		{what: "engine", verdict: good, detail: fmt.Sprintf("Docker %s on %s, %s, %d CPUs", info.ServerVersion, info.OperatingSystem, info.Architecture, info.NCPU)},
		verdict("privileged containers", "start", privileged, bad, "run scripts/docker-engine.sh as root; a rootless or restricted engine will not do"),
		cgroup,
		verdict("memory", fmt.Sprintf("%.1f GiB", float64(info.MemTotal)/(1<<30)), little, warn, "an environment takes about 3 GiB, and each further node 110 MiB; give the engine more"),
		verdict("disk", disk, tooLittle, bad, removeOldImages+", docker image prune, docker builder prune, or a larger disk"),
	}
}

// hostFindings returns the findings about this machine. Its limits apply if the
// engine runs on it.
func (e *Environment) hostFindings(ctx context.Context) []finding {
	findings := []finding{e.goFinding(ctx)}
	if runtime.GOOS != "linux" {
		return findings
	}
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	if err == nil && limit.Max < 16384 {
		err = fmt.Errorf("hard limit %d", limit.Max)
	}
	findings = append(findings, verdict("open files", fmt.Sprintf("hard limit %d", limit.Max), err, warn, "raise the engine's LimitNOFILE"))
	for _, limit := range []struct {
		key  string
		want int
	}{{"max_user_watches", 524288}, {"max_user_instances", 512}} {
		have, err := readNumber("/proc/sys/fs/inotify/" + limit.key)
		if err == nil && have < limit.want {
			err = fmt.Errorf("%d, and several nodes want %d", have, limit.want)
		}
		findings = append(findings, verdict("inotify "+limit.key, strconv.Itoa(have), err, warn, fmt.Sprintf("as root: sysctl fs.inotify.%s=%d", limit.key, limit.want)))
	}
	return findings
}

// goFinding compares the version of the go command with that in the lab's go.mod.
func (e *Environment) goFinding(ctx context.Context) finding {
	const cure = "install Go as https://go.dev/doc/install says"
	data, err := os.ReadFile(filepath.Join(e.Config.Root, "go.mod"))
	if err != nil {
		return finding{"go", bad, oneLine(err), "run the command at the repository's root"}
	}
	mod, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil || mod.Go == nil {
		return finding{"go", bad, "go.mod names no Go version", "git checkout go.mod"}
	}
	// In the module, where the go command selects the toolchain that go.mod names.
	res, err := e.Runner.Run(ctx, run.Cmd{Name: "go", Args: []string{"env", "GOVERSION"}, Dir: e.Config.Root})
	have := strings.TrimSpace(string(res.Stdout))
	if err == nil && gover.Compare(have, "go"+mod.Go.Version) < 0 {
		err = fmt.Errorf("%s, and go.mod wants %s or later", have, mod.Go.Version)
	}
	return verdict("go", have, err, bad, cure)
}

func readNumber(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// reachFindings asks the network. If only the Go module proxy and a Debian mirror
// answer, everything is built on this machine.
func (e *Environment) reachFindings(ctx context.Context, info engine.Info) []finding {
	var api, as error
	var asked sync.WaitGroup
	asked.Go(func() { api = e.tools.check(ctx, e.ClusterAPI()) })
	asked.Go(func() { as = e.tools.check(ctx, e.Autoscaler()) })
	asked.Wait()
	findings := []finding{
		verdict("Cluster API "+e.Config.ClusterAPI.Tag(), "can be fetched", api, bad, "set CAPI_SOURCE, CAPI_GIT or CAPI_DIR to where it is"),
		verdict("autoscaler "+e.Config.Autoscaler.Version.String(), "can be fetched", as, warn, "set AUTOSCALER_GIT or AUTOSCALER_DIR to where it is; env:up does not need it"),
	}
	return append(findings, e.registryFinding(ctx, e.nodeOptions(info.Arch(), nil)))
}

// registryFinding says where the node image will come from.
func (e *Environment) registryFinding(ctx context.Context, o node.Options) finding {
	registry := node.RegistryAnswers(ctx, o)
	if e.Config.NodeImage == config.NodeImageRegistry {
		return verdict("image registry", "answers", registry, bad, "set REGISTRY_MIRROR, or NODE_IMAGE=auto")
	}
	cannot := node.CanBuild(ctx, o)
	if e.Config.NodeImage == config.NodeImageSource {
		return verdict("node image", "built here", cannot, bad, "set NODE_IMAGE=registry or auto")
	}
	if registry != nil && cannot != nil {
		return finding{"image registry", bad, oneLine(registry), oneLine(cannot) + ", or set REGISTRY_MIRROR"}
	}
	return verdict("image registry", "answers", registry, warn, "none needed: the node image is built here")
}
