package machine

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/state"
)

// fake returns a machine with enough disk and without limits. Its processes give
// the answers of a script.
func fake(t *testing.T, answers ...runtest.Answer) Machine {
	t.Helper()
	root, runner := t.TempDir(), &runtest.Fake{Answers: answers}
	return Machine{
		Environment: "work-cluster", Root: root, State: state.Dir(filepath.Join(root, ".caslab")),
		Engine: engine.New(runner), Runner: runner, FreeDisk: func(string) (int64, error) { return 1 << 40, nil },
		ReadLimit:  func(Limit) (uint64, error) { return math.MaxUint64, nil },
		ClusterAPI: release.Newest(), Kubernetes: release.OfKubernetes(version.Must(version.NewVersion("1.36.1"))),
	}
}

// TestVersions: releases that cannot run on an engine are refused, and the
// message names releases that can.
func TestVersions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		clusterAPI, kubernetes, server, cgroup string
		want                                   []string // all in the error; none if they can run
	}{
		"defaults":               {"1.14.2", "1.36.1", `{"MinAPIVersion": "1.44"}`, "2", nil},
		"an old engine":          {"1.5.8", "1.28.15", `{"MinAPIVersion": "1.12"}`, "2", nil},
		"a new engine":           {"1.6.8", "1.28.15", `{"MinAPIVersion": "1.44"}`, "2", []string{"Docker 29.0.1", "1.44", "v1.6.8 speaks it up to 1.43", "set CAPI_VERSION=v1.7.9, or start dockerd", "DOCKER_MIN_API_VERSION=1.43"}},
		"the first that works":   {"1.7.0", "1.29.4", `{"MinAPIVersion": "1.44"}`, "2", nil},
		"an engine beyond all":   {"1.14.2", "1.36.1", `{"MinAPIVersion": "1.90"}`, "2", []string{"1.90", "up to 1.55; start dockerd with DOCKER_MIN_API_VERSION=1.55"}},
		"one that does not say":  {"0.3.25", "1.21.14", `{}`, "2", nil},
		"one that cannot say":    {"0.3.25", "1.21.14", "", "2", nil},
		"cgroup v2":              {"0.3.25", "1.18.19", `{}`, "2", []string{"cgroup v2", "v1.18.19", "KUBERNETES_VERSION=v1.21.14"}},
		"cgroup v2, and no more": {"0.3.5", "1.18.19", `{}`, "2", []string{"KUBERNETES_VERSION=v1.19.0 or later"}},
		"cgroup v1":              {"0.3.25", "1.18.19", `{}`, "1", nil},
	} {
		m := fake(t)
		if tc.server != "" {
			m = fake(t, runtest.Answer{Prefix: "docker version", Stdout: tc.server})
		}
		m.ClusterAPI = release.Of(version.Must(version.NewVersion(tc.clusterAPI)))
		m.Kubernetes = release.OfKubernetes(version.Must(version.NewVersion(tc.kubernetes)))
		info := engine.Info{ServerVersion: "29.0.1", CgroupVersion: tc.cgroup}
		err := m.CheckVersions(t.Context(), info)
		if (err == nil) != (tc.want == nil) {
			t.Errorf("%s: CheckVersions() = %v, want %q", name, err, tc.want)
		}
		for _, want := range tc.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: the error does not say %q:\n%v", name, want, err)
			}
		}
	}
}

func TestGoFinding(t *testing.T) {
	t.Parallel()
	for have, want := range map[string]Verdict{"go1.26.0": OK, "go1.27rc1": OK, "go1.25.7": Failure} {
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
		"registry alone":            {"registry", down, []runtest.Answer{apt}, Failure},
		"neither":                   {"auto", down, nil, Failure},
		"source, and nothing else":  {"source", down, nil, Failure},
		"a registry":                {"registry", up, nil, OK},
		"a registry, and no tools":  {"auto", up, nil, OK},
		"source, and no tools here": {"source", up, nil, Failure},
	} {
		m := fake(t, tc.answers...)
		o := node.Options{Origin: tc.origin, Kubernetes: "v1.36.1", Arch: "amd64", Root: m.Root, StateDir: string(m.State), Mirror: tc.registry, Engine: m.Engine, Runner: m.Runner}
		if f := NodeImageFinding(t.Context(), o); f.Verdict != tc.want || f.Verdict == Failure && f.ToDo == "" {
			t.Errorf("%s: %+v, want %s", name, f, tc.want)
		}
	}
}

// TestNodeImageWithoutRegistry: a registry that does not answer is not a problem
// if the image can be built.
func TestNodeImageWithoutRegistry(t *testing.T) {
	t.Parallel()
	silent, cannot := errors.New("no such host"), errors.New("run it as root")
	for name, tc := range map[string]struct {
		origin      string
		cannot      error
		want        Verdict
		found, toDo string
	}{
		"auto, and it can be built":    {node.Auto, nil, Note, "so the node image is built here: no such host", ""},
		"auto, and it cannot be built": {node.Auto, cannot, Failure, "no such host", "run it as root, or set REGISTRY_MIRROR"},
		"registry":                     {node.Registry, nil, Failure, "no such host", "NODE_IMAGE=auto"},
		"source":                       {node.Source, nil, OK, "built here", ""},
	} {
		f := nodeImageFinding(tc.origin, silent, func() error { return tc.cannot })
		if f.Verdict != tc.want || !strings.Contains(f.Found, tc.found) || !strings.Contains(f.ToDo, tc.toDo) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestDiskFinding: env:doctor says how much disk is free, where, and how much is
// needed.
func TestDiskFinding(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lab, engine int64
		verdict     Verdict
		want        string
	}{
		"enough":                   {lab: 11 << 30, engine: 12<<30 + 1<<29, verdict: OK, want: "11.0 GiB free at ROOT, and 10 GiB needed"},
		"less where the engine is": {lab: 20 << 30, engine: 12<<30 + 1<<29, verdict: OK, want: "12.5 GiB free at /engine, and 10 GiB needed"},
		"an engine elsewhere":      {lab: 30 << 30, engine: -1, verdict: OK, want: "30.0 GiB free at ROOT, and 10 GiB needed"},
		"too little":               {lab: 11 << 30, engine: 2 << 30, verdict: Failure, want: "/engine has 2.0 GiB free and the environment needs 10 GiB"},
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

// TestPrivileged: nodes cannot run on an engine that starts no privileged
// containers. Both env:up and env:doctor say so. An engine that is unsuitable
// for another reason is not tried.
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
		if f := findings[i]; f.Verdict != Failure || !strings.Contains(f.Found, tc.want) {
			t.Errorf("%s: %+v", name, f)
		}
		asked := slices.ContainsFunc(m.Runner.(*runtest.Fake).Calls(), func(c string) bool { return strings.HasPrefix(c, "docker run") })
		if asked != (name == "refused") {
			t.Errorf("%s: a container was started: %t", name, asked)
		}
	}
}

// TestPrint: only a failure is an error. A warning and a failure say what to do,
// and a note does not. The last line says what to type next.
func TestPrint(t *testing.T) {
	t.Parallel()
	fine := []Finding{
		Judge("go", "go1.26", nil, Failure, "install Go"), {"registry", Note, "does not answer", "buy one"},
		Judge("memory", "", errors.New("little\nof it"), Warning, "give more"),
	}
	var out strings.Builder
	err := Print(&out, fine, "All is well.")
	printed := out.String()
	if err != nil || !strings.HasSuffix(printed, "\n3 checks: 1 ok, 1 note, 1 warning, 0 failures\nAll is well.\n") {
		t.Errorf("Print() = %v, and printed\n%s", err, printed)
	}
	for text, want := range map[string]bool{"install Go": false, "buy one": false, "give more": true, "of it": false} {
		if strings.Contains(printed, text) != want {
			t.Errorf("printed\n%s\n%q in it: %t", printed, text, !want)
		}
	}
	out.Reset()
	err = Print(&out, append(fine, Finding{Check: "disk", Verdict: Failure, ToDo: "buy one"}), "All is well.")
	if err == nil || !strings.Contains(err.Error(), "1 of 4 checks failed") || !strings.Contains(err.Error(), "type: go tool mage env:doctor") {
		t.Errorf("Print() with a failure = %v", err)
	}
	if !strings.HasSuffix(out.String(), "\n4 checks: 1 ok, 1 note, 1 warning, 1 failure\n") || !strings.Contains(out.String(), "buy one") {
		t.Errorf("Print() with a failure printed\n%s", &out)
	}
}

// TestMemoryAndCgroup: too little memory is a warning, and cgroup v1 is a note.
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
		"cgroup v1":     {engine.Info{CgroupVersion: "1"}, "cgroup", Note, "failCgroupV1"},
		"cgroup v2":     {engine.Info{CgroupVersion: "2"}, "cgroup", OK, "v2"},
	} {
		findings := m.EngineFindings(t.Context(), tc.info)
		i := slices.IndexFunc(findings, func(f Finding) bool { return f.Check == tc.check })
		if f := findings[i]; f.Verdict != tc.verdict || !strings.Contains(f.Found, tc.found) {
			t.Errorf("%s: %+v, want %s: %s", name, f, tc.verdict, tc.found)
		}
	}
}

// TestLessDiskOnceBuilt: after Cluster API was built once, less free disk is
// needed.
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

// TestHostFindings: a limit that is too low for nodes is a warning that says
// what to type. A limit that this system does not have is left out.
func TestHostFindings(t *testing.T) {
	t.Parallel()
	enough := map[Limit]uint64{OpenFiles: 16384, InotifyWatches: 524288, InotifyInstances: 512}
	for limit, toDo := range map[Limit]string{
		OpenFiles: "LimitNOFILE", InotifyWatches: "sysctl fs.inotify.max_user_watches=524288", InotifyInstances: "sysctl fs.inotify.max_user_instances=512",
	} {
		m := fake(t)
		m.ReadLimit = func(l Limit) (uint64, error) {
			if l == limit {
				return enough[l] - 1, nil
			}
			return enough[l], nil
		}
		checks := map[string]Finding{}
		for _, f := range m.HostFindings(t.Context()) {
			checks[f.Check] = f
		}
		for l, least := range enough {
			want, found := OK, fmt.Sprint(least)
			if l == limit {
				want, found = Warning, fmt.Sprintf("%d, and several nodes want %d", least-1, least)
			}
			if f := checks[string(l)]; f.Verdict != want || f.Found != found || l == limit && !strings.Contains(f.ToDo, toDo) {
				t.Errorf("%s below its threshold: %+v, want %s: %s", limit, f, want, found)
			}
		}
	}
	m := fake(t)
	if findings := m.HostFindings(t.Context()); len(findings) != 4 || findings[1].Found != "unlimited" {
		t.Errorf("without limits: %+v", findings)
	}
	m.ReadLimit = func(Limit) (uint64, error) { return 0, fmt.Errorf("here: %w", errors.ErrUnsupported) }
	if findings := m.HostFindings(t.Context()); len(findings) != 1 || findings[0].Check != "go" {
		t.Errorf("on a system without these limits: %+v", findings)
	}
	unreadable := errors.New("permission denied")
	m.ReadLimit = func(Limit) (uint64, error) { return 0, unreadable }
	if f := m.HostFindings(t.Context())[1]; f.Verdict != Warning || f.Found != "permission denied" {
		t.Errorf("with limits that cannot be read: %+v", f)
	}
}

// TestReadLimit: every limit that is checked can be read where it exists.
func TestReadLimit(t *testing.T) {
	t.Parallel()
	for _, l := range limits {
		have, err := ReadLimit(l.limit)
		if runtime.GOOS == "linux" && (err != nil || have == 0) || runtime.GOOS != "linux" && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("ReadLimit(%s) = %d, %v", l.limit, have, err)
		}
	}
}

// TestRemoveProbes: the probe containers of both commands are removed, but not
// those of other environments.
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
