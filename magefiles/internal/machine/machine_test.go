package machine

import (
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
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
		Engine: engine.New(runner), Runner: runner, Host: Host{
			FreeDisk: func(string) (int64, error) { return 1 << 40, nil }, FreeMemory: func() (int64, error) { return 1 << 40, nil },
			ReadLimit: func(Limit) (uint64, error) { return math.MaxUint64, nil }, Getenv: func(string) string { return "" },
		},
		Workers: 1, PodRange: netip.MustParsePrefix("10.244.0.0/14"), ServiceRange: netip.MustParsePrefix("10.96.0.0/16"),
		ClusterAPI: release.Newest(), Kubernetes: release.OfKubernetes(version.Must(version.NewVersion("1.36.1"))),
	}
}

// find returns the finding of one check of the engine.
func find(t *testing.T, m Machine, info engine.Info, name string) Finding {
	t.Helper()
	checks := append(m.EngineChecks(info), m.PrivilegedCheck(info, ProbeDoctor))
	i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("there is no check %q", name)
	}
	f := checks[i].Find(t.Context())
	if f.Check != name {
		t.Errorf("the check %q has a finding of %q", name, f.Check)
	}
	return f
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
		"a new engine":           {"1.6.8", "1.28.15", `{"MinAPIVersion": "1.44"}`, "2", []string{"Docker 29.0.1", "1.44", "v1.6.8 uses versions up to 1.43", "set CAPI_VERSION=v1.7.9, or start dockerd", "DOCKER_MIN_API_VERSION=1.43"}},
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
		if f := m.GoFinding(t.Context()); f.Verdict != want || !strings.Contains(f.Found, have) {
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
		if f := find(t, m, tc.info, "privileged containers"); f.Verdict != Failure || !strings.Contains(f.Found, tc.want) {
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
		Judge("go", "go1.26", nil, Failure, "install Go"), {Check: "registry", Verdict: Note, Found: "does not answer", ToDo: "buy one"},
		Judge("memory", "", errors.New("little\nof it"), Warning, "give more"),
	}
	var out strings.Builder
	err := Print(&out, fine, "All is well.", "look again")
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
	err = Print(&out, append(fine, Finding{Check: "disk", Verdict: Failure, ToDo: "buy one"}), "All is well.", "look again")
	if err == nil || !strings.Contains(err.Error(), "1 of 4 checks failed") || !strings.Contains(err.Error(), "then type: look again") {
		t.Errorf("Print() with a failure = %v", err)
	}
	if !strings.HasSuffix(out.String(), "\n4 checks: 1 ok, 1 note, 1 warning, 1 failure\n") || !strings.Contains(out.String(), "buy one") {
		t.Errorf("Print() with a failure printed\n%s", &out)
	}
}

// TestReadLimit: every limit that is checked can be read where it exists.
func TestReadLimit(t *testing.T) {
	t.Parallel()
	for l := range limits {
		have, err := readLimit(l)
		if runtime.GOOS == "linux" && (err != nil || have == 0) || runtime.GOOS != "linux" && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("readLimit(%s) = %d, %v", l, have, err)
		}
	}
	if free, err := freeMemory(); runtime.GOOS == "linux" && (err != nil || free < mebibyte) {
		t.Errorf("freeMemory() = %d, %v", free, err)
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
	name, err := m.probeName(ProbeUp)
	if err != nil {
		t.Fatal(err)
	}
	other := m
	other.Environment = "other"
	if theirs, err := other.probeName(ProbeUp); err != nil || theirs == name {
		t.Errorf("two environments share the container %s, %v", name, err)
	}
	if err := state.Remove(m.State.Path("id")); err != nil {
		t.Fatal(err)
	}
	if theirs, err := m.probeName(ProbeUp); err != nil || theirs == name {
		t.Errorf("the same path in two containers: both have the container %s, %v", name, err)
	}
}
