package env

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/source"
)

// Verdicts of the doctor.
const (
	good = "ok"
	warn = "warning"
	bad  = "bad"
)

// finding is one thing the doctor looked at.
type finding struct{ what, verdict, detail, cure string }

// Doctor checks the machine and prints each finding with a verdict and a cure.
// It returns an error if an environment cannot come up here.
func (l *Lab) Doctor(ctx context.Context) error {
	var findings []finding
	info, err := l.engine.Info(ctx)
	if err != nil {
		findings = append(findings, finding{"engine", bad, oneLine(err), "start Docker; on Debian and Ubuntu: scripts/docker-engine.sh as root"})
	} else {
		findings = append(findings, l.engineFindings(ctx, info)...)
	}
	findings = append(findings, l.hostFindings(ctx)...)
	findings = append(findings, l.reachFindings(ctx, info)...)

	w := l.table("CHECK", "VERDICT", "FOUND", "CURE")
	ailing := 0
	for _, f := range findings {
		if f.verdict == good {
			f.cure = ""
		}
		if f.verdict == bad {
			ailing++
		}
		row(w, f.what, f.verdict, f.detail, f.cure)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if ailing > 0 {
		return fmt.Errorf("%d of %d checks are bad; env:up will fail until they are cured", ailing, len(findings))
	}
	return nil
}

func oneLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// verdict is good if err is nil, and the severity given if not.
func verdict(what, found string, err error, severity, cure string) finding {
	if err != nil {
		return finding{what, severity, oneLine(err), cure}
	}
	return finding{what, good, found, cure}
}

func (l *Lab) engineFindings(ctx context.Context, info engine.Info) []finding {
	privileged := l.checkPrivileged(ctx, info)
	cgroup := finding{what: "cgroup", verdict: good, detail: "v" + info.CgroupVersion}
	if info.CgroupVersion == "1" {
		cgroup.detail = "v1: nodes get failCgroupV1: false, which a future Kubernetes will not know"
	}
	var little error
	if info.MemTotal < 6<<30 {
		little = fmt.Errorf("%.1f GiB for the engine", float64(info.MemTotal)/(1<<30))
	}
	return []finding{
		{what: "engine", verdict: good, detail: fmt.Sprintf("Docker %s on %s, %s, %d CPUs", info.ServerVersion, info.OperatingSystem, info.Architecture, info.NCPU)},
		verdict("privileged containers", "start", privileged, bad, "run scripts/docker-engine.sh as root; a rootless or restricted engine will not do"),
		cgroup,
		verdict("memory", fmt.Sprintf("%.1f GiB", float64(info.MemTotal)/(1<<30)), little, warn, "an environment takes about 2 GiB, and each further node 110 MiB; give the engine more"),
		verdict("disk", "enough", l.checkDisk(info), bad, "docker system prune, or a larger disk"),
	}
}

// hostFindings are about this machine; the limits count where the engine runs
// on it.
func (l *Lab) hostFindings(ctx context.Context) []finding {
	res, err := l.runner.Run(ctx, run.Cmd{Name: "go", Args: []string{"version"}})
	findings := []finding{verdict("go", strings.TrimSpace(string(res.Stdout)), err, bad, "install Go 1.26 or later")}
	if runtime.GOOS != "linux" {
		return findings
	}
	var limit syscall.Rlimit
	err = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	if err == nil && limit.Max < 16384 {
		err = fmt.Errorf("hard limit %d", limit.Max)
	}
	findings = append(findings, verdict("open files", fmt.Sprintf("hard limit %d", limit.Max), err, warn, "raise the engine's LimitNOFILE"))
	for key, want := range map[string]int{"max_user_watches": 524288, "max_user_instances": 512} {
		have, err := readNumber("/proc/sys/fs/inotify/" + key)
		if err == nil && have < want {
			err = fmt.Errorf("%d, and several nodes want %d", have, want)
		}
		findings = append(findings, verdict("inotify "+key, strconv.Itoa(have), err, warn, fmt.Sprintf("as root: sysctl fs.inotify.%s=%d", key, want)))
	}
	return findings
}

func readNumber(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// reachFindings ask the network. Where nothing but the Go module proxy and a
// Debian mirror answers, everything is built here.
func (l *Lab) reachFindings(ctx context.Context, info engine.Info) []finding {
	api := source.Check(ctx, l.clusterAPI(), l.sourceOptions(nil))
	as := source.Check(ctx, l.autoscaler(), l.sourceOptions(nil))
	findings := []finding{
		verdict("Cluster API "+l.cfg.ClusterAPI.Tag(), "can be fetched", api, bad, "set CAPI_SOURCE, CAPI_GIT or CAPI_DIR to where it is"),
		verdict("autoscaler "+l.cfg.Autoscaler.Version.String(), "can be fetched", as, warn, "set AUTOSCALER_GIT or AUTOSCALER_DIR to where it is; env:up does not need it"),
	}
	registry := node.RegistryAnswers(ctx, l.nodeOptions(info.Arch(), nil))
	cure, severity := "none needed: the node image is built here", warn
	if os.Getuid() != 0 {
		cure, severity = "set REGISTRY_MIRROR, or run as root on Debian or Ubuntu, where the node image can be built", bad
	}
	return append(findings, verdict("image registry", "answers", registry, severity, cure))
}
