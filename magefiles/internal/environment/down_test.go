package environment

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"caslab/magefiles/internal/environment/bringup"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/state"
)

func TestDown(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}, {Prefix: "docker image ls"}}
	s.up(t, selfManaged())
	s.managed(t, selfManaged())
	s.docker.containers = append(s.docker.containers, fakeContainer{id: "other", name: "other-lb", cluster: "other"})
	for _, path := range []string{s.home().ReadyFile(), s.home().MovingFile(), filepath.Join(s.home().Repository(), "clusterctl.yaml"), s.State.Path("bin", "x"), s.State.Path("owner", "other-0123456789abcdef")} {
		s.touch(t, path)
	}
	for range 2 {
		if err := s.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.docker.containers) != 1 || s.docker.containers[0].id != "other" {
		t.Errorf("containers left: %+v", s.docker.containers)
	}
	for _, path := range []string{s.home().ReadyFile(), s.home().MovingFile(), s.home().Repository(), s.EnvironmentKubeconfig(), s.home().ManagementKubeconfig()} {
		if there, _ := state.Exists(path); there {
			t.Errorf("%s is left", path)
		}
	}
	if marks, err := s.State.Marks("work-cluster"); err != nil || len(marks) > 0 {
		t.Errorf("marks left: %v, %v", marks, err)
	}
	for _, path := range []string{s.State.Path("bin", "x"), s.State.Path("owner", "other-0123456789abcdef")} {
		if there, _ := state.Exists(path); !there {
			t.Errorf("%s, of no business of this environment, is gone", path)
		}
	}
	if len(s.docker.ran("docker rm --force --volumes caslab-probe-")) == 0 || len(s.docker.ran("docker ps --all --quiet --no-trunc --filter name=^/?caslab-build-")) == 0 {
		t.Error("nobody looked for what killed runs left")
	}
	if len(s.docker.ran("docker image ls --quiet --no-trunc --filter reference=caslab.local/lent/haproxy")) == 0 {
		t.Error("nobody looked for a name that is lent")
	}
	if len(s.docker.ran("docker ps --all --quiet --no-trunc --filter label=caslab.placeholder=work-cluster")) == 0 {
		t.Errorf("nobody looked for placeholders: %q", s.docker.ran("docker ps"))
	}
}

func TestDownRefusesForeign(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}, {Prefix: "docker image ls"}}
	s.up(t, selfManaged())
	s.docker.containers[2].owner = ""
	if err := s.Down(t.Context()); err == nil || !strings.Contains(err.Error(), "was not made by this lab") || len(s.docker.ran("docker rm")) > 0 {
		t.Errorf("Down() = %v after %q", err, s.docker.ran("docker rm"))
	}
}

func TestDownLeavesABuildAlone(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}, {Prefix: "docker image ls"}}
	s.touch(t, s.home().LogFile()) // of an earlier command
	lock, err := s.State.Lock(bringup.WorkNode, "another environment's env:up")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Down(t.Context()); err != nil {
		t.Error(err)
	}
	if lines := s.docker.ran("docker ps --all --quiet --no-trunc --filter name=^/?caslab-build-"); len(lines) > 0 {
		t.Errorf("the build containers of somebody who builds were looked for: %q", lines)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

// TestDownOfANameThatNeverExisted leaves no file.
func TestDownOfANameThatNeverExisted(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"CLUSTER_NAME": "never"})
	if err := s.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{s.home().LogFile(), s.State.Path("lock", "never"), s.State.Path("owner")} {
		if there, _ := state.Exists(path); there {
			t.Errorf("%s was written", path)
		}
	}
}

// TestAnotherClusterIsNotTheEnvironment: commands that create, remove or print the lab's
// own environment refuse settings that name another cluster, before they ask the engine.
func TestAnotherClusterIsNotTheEnvironment(t *testing.T) {
	t.Parallel()
	s := newFixture(t, map[string]string{"WORKLOAD_KUBECONFIG": "/theirs"})
	for name, do := range map[string]func(context.Context) error{
		"env:up":             func(ctx context.Context) error { return s.Up(ctx, Ready) },
		"cluster:management": func(ctx context.Context) error { return s.Up(ctx, ManagementTarget) },
		"cluster:workload":   func(ctx context.Context) error { return s.Up(ctx, WorkloadTarget) },
		"env:down":           s.Down, "env:status": s.Status, "env:kubeconfig": s.Kubeconfig,
		"cluster:describe": s.Describe, "image:load": s.LoadImages,
	} {
		if err := do(t.Context()); err == nil || !strings.Contains(err.Error(), name+" works on the lab's own environment, and WORKLOAD_KUBECONFIG=/theirs") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ran := s.docker.ran(""); len(ran) > 0 {
		t.Errorf("the engine was asked: %q", ran)
	}
}
