package environment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/ui"
)

func TestGoFinding(t *testing.T) {
	t.Parallel()
	for have, want := range map[string]string{"go1.26.0": good, "go1.27rc1": good, "go1.25.7": bad} {
		s := newScene(t, nil)
		s.write(t, filepath.Join(s.Config.Root, "go.mod"), "module caslab\n\ngo 1.26.0\n")
		s.docker.Answers = []runtest.Answer{{Prefix: "go env GOVERSION", Stdout: have + "\n"}}
		if f := s.goFinding(t.Context()); f.verdict != want || !strings.Contains(f.detail, have) {
			t.Errorf("%s: %+v, want %s", have, f, want)
		}
	}
}

func TestRegistryFinding(t *testing.T) {
	t.Parallel()
	apt := runtest.Answer{Prefix: "apt-get --version"}
	for name, tc := range map[string]struct {
		origin  string
		answers []runtest.Answer
		want    string
	}{
		"registry alone":           {"registry", []runtest.Answer{apt}, bad},
		"neither":                  {"auto", nil, bad},
		"source, and nothing else": {"source", nil, bad},
	} {
		s := newScene(t, map[string]string{"NODE_IMAGE": tc.origin, "REGISTRY_MIRROR": "127.0.0.1:1"})
		s.docker.Answers = tc.answers
		if f := s.registryFinding(t.Context(), s.nodeOptions("amd64", nil)); f.verdict != tc.want || f.cure == "" {
			t.Errorf("%s: %+v, want %s", name, f, tc.want)
		}
	}
}

// TestSourceNodeImageIsRefusedEarly: what cannot be built is known before
// anything is made.
func TestSourceNodeImageIsRefusedEarly(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	s := newScene(t, map[string]string{"NODE_IMAGE": "source", "CAPI_DIR": tree})
	s.write(t, filepath.Join(tree, "go.mod"), "module sigs.k8s.io/cluster-api\n")
	s.touch(t, s.State.Path("bin", "cluster-api", "x"))
	err := s.preflight(t.Context(), engine.Info{})
	if err == nil || !strings.Contains(err.Error(), "NODE_IMAGE=source") || !errors.As(err, new(*node.CannotBuildError)) {
		t.Errorf("preflight() without root or debootstrap = %v", err)
	}
}

func TestInterruptedUpSaysWhatToType(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	var said strings.Builder
	s.Log = ui.New(&said, ui.Options{})
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}}
	s.up(t, selfManaged())
	s.workload.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := s.Up(ctx, Ready)
	s.Log.Close()
	if err == nil || !strings.Contains(said.String(), "Type the command again") || !strings.Contains(said.String(), s.logFile()) {
		t.Errorf("Up() = %v, and it said\n%s", err, &said)
	}
}

// TestDiskFinding: the doctor says how much there is, where, and how much it takes.
func TestDiskFinding(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lab, engine   int64
		verdict, want string
	}{
		"enough":                   {lab: 11 << 30, engine: 12<<30 + 1<<29, verdict: good, want: "11.0 GiB free at ROOT, and 10 needed"},
		"less where the engine is": {lab: 20 << 30, engine: 12<<30 + 1<<29, verdict: good, want: "12.5 GiB free at /engine, and 10 needed"},
		"an engine elsewhere":      {lab: 30 << 30, engine: -1, verdict: good, want: "30.0 GiB free at ROOT, and 10 needed"},
		"too little":               {lab: 11 << 30, engine: 2 << 30, verdict: bad, want: "/engine has 2.0 GiB free and the environment needs 10 GiB"},
	} {
		s := newScene(t, nil)
		s.docker.Answers = []runtest.Answer{{Prefix: "docker image ls", Stdout: "sha256:0\n"}, {Prefix: "docker run", Stdout: "id\n"}}
		s.freeDisk = func(path string) (int64, error) {
			switch {
			case path == s.Config.Root:
				return tc.lab, nil
			case tc.engine < 0:
				return 0, os.ErrNotExist
			}
			return tc.engine, nil
		}
		want := strings.Replace(tc.want, "ROOT", s.Config.Root, 1)
		findings := s.engineFindings(t.Context(), engine.Info{OSType: "linux", DockerRootDir: "/engine"})
		i := slices.IndexFunc(findings, func(f finding) bool { return f.what == "disk" })
		if f := findings[i]; f.verdict != tc.verdict || !strings.HasPrefix(f.detail, want) {
			t.Errorf("%s: %+v, want %s: %s", name, f, tc.verdict, want)
		}
	}
}
