package machine

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/state"
)

// fake returns a machine with much disk whose processes answer from a script.
func fake(t *testing.T, answers ...runtest.Answer) Machine {
	t.Helper()
	root, runner := t.TempDir(), &runtest.Fake{Answers: answers}
	return Machine{
		Environment: "work-cluster", Root: root, State: state.Dir(filepath.Join(root, ".caslab")),
		Engine: engine.New(runner), Runner: runner, FreeDisk: func(string) (int64, error) { return 1 << 40, nil },
	}
}

func TestGoFinding(t *testing.T) {
	t.Parallel()
	for have, want := range map[string]Verdict{"go1.26.0": OK, "go1.27rc1": OK, "go1.25.7": Bad} {
		m := fake(t, runtest.Answer{Prefix: "go env GOVERSION", Stdout: have + "\n"})
		if err := os.WriteFile(filepath.Join(m.Root, "go.mod"), []byte("module caslab\n\ngo 1.26.0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if f := m.goFinding(t.Context()); f.Verdict != want || !strings.Contains(f.Found, have) {
			t.Errorf("%s: %+v, want %s", have, f, want)
		}
	}
}

func TestNodeImageFinding(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	up, down := strings.TrimPrefix(server.URL, "http://"), "127.0.0.1:1"
	apt := runtest.Answer{Prefix: "apt-get --version"}
	for name, tc := range map[string]struct {
		origin, registry string
		answers          []runtest.Answer
		want             Verdict
	}{
		"registry alone":            {"registry", down, []runtest.Answer{apt}, Bad},
		"neither":                   {"auto", down, nil, Bad},
		"source, and nothing else":  {"source", down, nil, Bad},
		"a registry":                {"registry", up, nil, OK},
		"a registry, and no tools":  {"auto", up, nil, OK},
		"source, and no tools here": {"source", up, nil, Bad},
	} {
		m := fake(t, tc.answers...)
		o := node.Options{Origin: tc.origin, Kubernetes: "v1.36.1", Arch: "amd64", Root: m.Root, StateDir: string(m.State), Mirror: tc.registry, Engine: m.Engine, Runner: m.Runner}
		if f := NodeImageFinding(t.Context(), o); f.Verdict != tc.want || f.Cure == "" {
			t.Errorf("%s: %+v, want %s", name, f, tc.want)
		}
	}
}

// TestDiskFinding: the doctor says how much there is, where, and how much it takes.
func TestDiskFinding(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lab, engine int64
		verdict     Verdict
		want        string
	}{
		"enough":                   {lab: 11 << 30, engine: 12<<30 + 1<<29, verdict: OK, want: "11.0 GiB free at ROOT, and 10 needed"},
		"less where the engine is": {lab: 20 << 30, engine: 12<<30 + 1<<29, verdict: OK, want: "12.5 GiB free at /engine, and 10 needed"},
		"an engine elsewhere":      {lab: 30 << 30, engine: -1, verdict: OK, want: "30.0 GiB free at ROOT, and 10 needed"},
		"too little":               {lab: 11 << 30, engine: 2 << 30, verdict: Bad, want: "/engine has 2.0 GiB free and the environment needs 10 GiB"},
	} {
		m := fake(t, runtest.Answer{Prefix: "docker rm"}, runtest.Answer{Prefix: "docker image ls", Stdout: "sha256:0\n"}, runtest.Answer{Prefix: "docker run", Stdout: "id\n"})
		m.FreeDisk = func(path string) (int64, error) {
			switch {
			case path == m.Root:
				return tc.lab, nil
			case tc.engine < 0:
				return 0, os.ErrNotExist
			}
			return tc.engine, nil
		}
		want := strings.Replace(tc.want, "ROOT", m.Root, 1)
		findings := m.EngineFindings(t.Context(), engine.Info{OSType: "linux", DockerRootDir: "/engine"})
		i := slices.IndexFunc(findings, func(f Finding) bool { return f.Check == "disk" })
		if f := findings[i]; f.Verdict != tc.verdict || !strings.HasPrefix(f.Found, want) {
			t.Errorf("%s: %+v, want %s: %s", name, f, tc.verdict, want)
		}
	}
}

// TestPrivileged: an engine that starts no privileged container cannot have nodes, and
// env:up and env:doctor both say so. An engine that is not suitable is not asked.
func TestPrivileged(t *testing.T) {
	t.Parallel()
	refuses := []runtest.Answer{
		{Prefix: "docker rm"}, {Prefix: "docker image ls", Stdout: "sha256:0\n"},
		{Prefix: "docker run", Stderr: "operation not permitted", Err: errors.New("exit status 125")},
	}
	m, linux := fake(t, refuses...), engine.Info{OSType: "linux"}
	if err := m.CheckPrivileged(t.Context(), linux, ProbeUp); err == nil || !strings.Contains(err.Error(), "starts no privileged container") {
		t.Errorf("CheckPrivileged() = %v", err)
	}
	for name, tc := range map[string]struct {
		info engine.Info
		want string
	}{
		"refused":  {linux, "operation not permitted"},
		"rootless": {engine.Info{OSType: "linux", SecurityOptions: []string{"name=rootless"}}, "the engine is rootless"},
		"windows":  {engine.Info{OSType: "windows"}, "windows containers"},
	} {
		m := fake(t, refuses...)
		findings := m.EngineFindings(t.Context(), tc.info)
		i := slices.IndexFunc(findings, func(f Finding) bool { return f.Check == "privileged containers" })
		if f := findings[i]; f.Verdict != Bad || !strings.Contains(f.Found, tc.want) {
			t.Errorf("%s: %+v", name, f)
		}
		asked := slices.ContainsFunc(m.Runner.(*runtest.Fake).Calls(), func(c string) bool { return strings.HasPrefix(c, "docker run") })
		if asked != (name == "refused") {
			t.Errorf("%s: a container was started: %t", name, asked)
		}
	}
}

// TestPrint: a warning is no error, a bad finding is one, and what is well has no
// cure.
func TestPrint(t *testing.T) {
	t.Parallel()
	fine := []Finding{Judge("go", "go1.26", nil, Bad, "install Go"), Judge("memory", "", errors.New("little\nof it"), Warning, "give more")}
	var out strings.Builder
	if err := Print(&out, fine); err != nil || strings.Contains(out.String(), "install Go") || !strings.Contains(out.String(), "give more") || strings.Contains(out.String(), "of it") {
		t.Errorf("Print() = %v, and printed\n%s", err, &out)
	}
	if err := Print(&out, append(fine, Finding{Check: "disk", Verdict: Bad})); err == nil || !strings.Contains(err.Error(), "1 of 3 checks") {
		t.Errorf("Print() with a bad finding = %v", err)
	}
}

// TestMemoryAndCgroup: little memory is only a warning, and cgroup v1 only a note.
func TestMemoryAndCgroup(t *testing.T) {
	t.Parallel()
	m := fake(t)
	for name, tc := range map[string]struct {
		info    engine.Info
		check   string
		verdict Verdict
		found   string
	}{
		"little memory": {engine.Info{MemTotal: 4<<30 - 1}, "memory", Warning, "4.0 GiB for the engine"},
		"enough memory": {engine.Info{MemTotal: 4 << 30}, "memory", OK, "4.0 GiB"},
		"cgroup v1":     {engine.Info{CgroupVersion: "1"}, "cgroup", OK, "failCgroupV1"},
		"cgroup v2":     {engine.Info{CgroupVersion: "2"}, "cgroup", OK, "v2"},
	} {
		findings := m.EngineFindings(t.Context(), tc.info)
		i := slices.IndexFunc(findings, func(f Finding) bool { return f.Check == tc.check })
		if f := findings[i]; f.Verdict != tc.verdict || !strings.Contains(f.Found, tc.found) {
			t.Errorf("%s: %+v, want %s: %s", name, f, tc.verdict, tc.found)
		}
	}
}

// TestLessDiskOnceBuilt: once Cluster API was built, less free disk is needed.
func TestLessDiskOnceBuilt(t *testing.T) {
	t.Parallel()
	m := fake(t)
	m.FreeDisk = func(string) (int64, error) { return 5 << 30, nil }
	if err := m.CheckDisk(engine.Info{}); err == nil || !strings.Contains(err.Error(), "needs 10 GiB") {
		t.Errorf("CheckDisk() with 5 GiB and nothing built = %v", err)
	}
	if err := os.MkdirAll(m.State.Path("bin", "cluster-api"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := m.CheckDisk(engine.Info{}); err != nil {
		t.Errorf("CheckDisk() with 5 GiB and all built = %v", err)
	}
	refused := errors.New("input/output error")
	m.FreeDisk = func(string) (int64, error) { return 0, refused }
	if err := m.CheckDisk(engine.Info{}); !errors.Is(err, refused) {
		t.Errorf("CheckDisk() of a disk that cannot be asked = %v", err)
	}
}

// TestHostFindings: on a machine with less than nodes want, the cure is a command.
func TestHostFindings(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the limits are of Linux")
	}
	m := fake(t)
	var checks []string
	for _, f := range m.HostFindings(t.Context()) {
		checks = append(checks, f.Check)
		if strings.HasPrefix(f.Check, "inotify ") && !strings.Contains(f.Cure, "sysctl fs.inotify."+strings.TrimPrefix(f.Check, "inotify ")+"=") {
			t.Errorf("%+v", f)
		}
	}
	if want := []string{"go", "open files", "inotify max_user_watches", "inotify max_user_instances"}; !slices.Equal(checks, want) {
		t.Errorf("checked %q, want %q", checks, want)
	}
}

// TestRemoveProbes: both commands' containers go, and no other environment's.
func TestRemoveProbes(t *testing.T) {
	t.Parallel()
	m := fake(t, runtest.Answer{Prefix: "docker rm"})
	if err := m.RemoveProbes(t.Context()); err != nil {
		t.Fatal(err)
	}
	line := strings.Join(m.Runner.(*runtest.Fake).Calls(), "\n")
	for _, who := range []string{ProbeUp, ProbeDoctor} {
		if !strings.Contains(line, "-work-cluster-"+who) {
			t.Errorf("ran %s; want the container of %s in it", line, who)
		}
	}
	other := m
	other.Environment = "other"
	if m.probeName(ProbeUp) == other.probeName(ProbeUp) {
		t.Error("two environments share a container")
	}
}

// TestCheckCgroup: kubelets know cgroup v2 since Kubernetes 1.19.
func TestCheckCgroup(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cgroup, kubernetes string
		refused            bool
	}{
		{"2", "1.18.20", true}, {"2", "1.19.0", false}, {"2", "1.36.1", false}, {"1", "1.17.2", false}, {"1", "1.37.2", false},
	} {
		err := CheckCgroup(engine.Info{CgroupVersion: tc.cgroup}, version.Must(version.NewSemver(tc.kubernetes)))
		if (err != nil) != tc.refused {
			t.Errorf("Kubernetes %s on cgroup v%s: %v", tc.kubernetes, tc.cgroup, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "v"+tc.kubernetes) || !strings.Contains(err.Error(), "v1.19.0")) {
			t.Errorf("%v; want both versions in it", err)
		}
	}
}
