package node

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
)

func cgroupScriptOf(kubernetes string) string {
	return cgroupScript(release.OfKubernetes(version.Must(version.NewSemver(kubernetes))))
}

// TestCgroupScript runs the script with programs that only print what they are asked to
// do, and with the mounts of a node on cgroup v1: hugetlb was mounted by systemd, after
// kind's entrypoint had bound the kubelet's cgroups in the other hierarchies.
func TestCgroupScript(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	const v1 = `/sys/fs/cgroup/memory
/sys/fs/cgroup/memory/kubelet
/sys/fs/cgroup/memory/kubelet.slice
/sys/fs/cgroup/cpu,cpuacct
/sys/fs/cgroup/hugetlb
`
	created := []string{
		"mkdir -p /sys/fs/cgroup/memory/kubelet /sys/fs/cgroup/memory/kubelet.slice",
		"mkdir -p /sys/fs/cgroup/cpu,cpuacct/kubelet /sys/fs/cgroup/cpu,cpuacct/kubelet.slice",
		"mkdir -p /sys/fs/cgroup/hugetlb/kubelet /sys/fs/cgroup/hugetlb/kubelet.slice",
	}
	unbound := []string{"umount /sys/fs/cgroup/memory/kubelet", "umount /sys/fs/cgroup/memory/kubelet.slice"}
	for name, tc := range map[string]struct {
		kubernetes, mounts string
		want               []string
	}{
		"a kubelet that sees through bind mounts": {"1.21.0", v1, created},
		"one that does not":                       {"1.20.15", v1, slices.Concat(unbound, created)},
		"cgroup v2":                               {"1.20.15", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			log := filepath.Join(dir, "log")
			for program, body := range map[string]string{
				"findmnt": "[ \"$*\" = '-lun -o target -t cgroup' ] && [ -n \"$MOUNTS\" ] && printf %s \"$MOUNTS\"",
				"umount":  "echo umount \"$@\" >>" + log,
				"mkdir":   "echo mkdir \"$@\" >>" + log,
			} {
				if err := os.WriteFile(filepath.Join(dir, program), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil { //nolint:gosec // a program
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), bash, "-s")
			cmd.Stdin = strings.NewReader(cgroupScriptOf(tc.kubernetes))
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "MOUNTS=" + tc.mounts}
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Fatalf("%v, %s", err, out)
			}
			data, err := os.ReadFile(log)
			if err != nil && len(tc.want) > 0 {
				t.Fatal(err)
			}
			if got := lines(data); !slices.Equal(got, tc.want) {
				t.Errorf("it did %q; want %q", got, tc.want)
			}
		})
	}
}

// inputs records what docker exec runs, with its input.
type inputs struct{ got []string }

func (i *inputs) Run(_ context.Context, c run.Cmd) (run.Result, error) {
	text, err := io.ReadAll(c.Stdin)
	i.got = append(i.got, strings.Join(c.Args, " ")+": "+string(text))
	return run.Result{}, err
}

// TestPrepareKubelet: the script is executable, and the unit runs it before the
// kubelet.
func TestPrepareKubelet(t *testing.T) {
	t.Parallel()
	runner := &inputs{}
	c := &container{id: "ccc", engine: engine.New(runner)}
	if err := c.prepareKubelet(t.Context(), "the script"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"exec --interactive ccc install -D -m 0755 /dev/stdin /kind/bin/caslab-cgroups.sh: the script",
		"exec --interactive ccc install -D -m 0644 /dev/stdin /etc/systemd/system/kubelet.service.d/20-caslab.conf: [Service]\nExecStartPre=/kind/bin/caslab-cgroups.sh\n",
	}
	if !slices.Equal(runner.got, want) {
		t.Errorf("it did %q; want %q", runner.got, want)
	}
	c.engine = engine.New(&runtest.Fake{})
	if err := c.prepareKubelet(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), prepareCgroups) {
		t.Errorf("an engine that fails: %v", err)
	}
}
