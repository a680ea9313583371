package environment

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/run/runtest"
)

func TestKubeconfigFollowsThePort(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	if err := s.Kubeconfig(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no environment") {
		t.Errorf("without an environment: %v", err)
	}
	s.up(t, selfManaged())
	if err := s.Kubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.printed.String(); got != s.EnvironmentKubeconfig()+"\n" {
		t.Errorf("printed %q", got)
	}
	data, err := os.ReadFile(s.EnvironmentKubeconfig())
	if err != nil || !strings.Contains(string(data), "https://127.0.0.1:"+s.workload.Port()) {
		t.Errorf("the kubeconfig is %s, %v", data, err)
	}
}

// TestKubeconfigOfAMissingEnvironment: somebody removed the containers, but the
// kubeconfig still exists.
func TestKubeconfigOfAMissingEnvironment(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.up(t, selfManaged())
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"ID": "one", "OSType": "linux"}`}}
	s.docker.containers = nil
	if err := s.Kubeconfig(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no environment") {
		t.Errorf("Kubeconfig() = %v", err)
	}
	s.write(t, s.home().EngineFile, `"two"`)
	for name, command := range map[string]func(context.Context) error{"env:kubeconfig": s.Kubeconfig, "env:status": s.Status, "image:load": s.LoadImages} {
		if err := command(t.Context()); !errors.As(err, new(*owner.OtherEngineError)) {
			t.Errorf("%s of what is on another engine: %v", name, err)
		}
	}
	if s.printed.Len() > 0 {
		t.Errorf("printed %s", s.printed)
	}
	// If the engine does not answer, the environment may still exist.
	s.docker.down = errors.New("Cannot connect to the Docker daemon")
	if err := s.Kubeconfig(t.Context()); err != nil || s.printed.String() != s.EnvironmentKubeconfig()+"\n" {
		t.Errorf("Kubeconfig() without an engine = %v, printed %q", err, s.printed)
	}
}

// TestStopped: commands that read the cluster of a stopped environment do not wait for it.
func TestStopped(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]int{"the load balancer": 0, "the control plane": 1} {
		s := newFixture(t, nil)
		s.up(t, selfManaged())
		if path, err := s.SelfManaged(t.Context()); err != nil || path != s.EnvironmentKubeconfig() {
			t.Errorf("SelfManaged() of an environment that runs = %s, %v", path, err)
		}
		s.docker.containers[part].stopped = true
		s.docker.Answers = []runtest.Answer{{Prefix: "docker image ls", Stdout: "sha256:0123456789abcdef"}}
		for command, do := range map[string]func(context.Context) error{
			"nodegroup:list": func(ctx context.Context) error { _, err := s.SelfManaged(ctx); return err },
			"env:status":     s.Status, "cluster:describe": s.Describe, "image:load": s.LoadImages,
		} {
			const want = `environment "work-cluster" is stopped; to start it again, type: CLUSTER_NAME=work-cluster go tool mage env:start`
			if err := do(t.Context()); err == nil || err.Error() != want {
				t.Errorf("%s is stopped: %s: %v, want %s", name, command, err, want)
			}
		}
		if printed := s.printed.String(); !strings.Contains(printed, "stopped") || strings.Contains(printed, "PROVIDERID") {
			t.Errorf("%s is stopped: env:status printed\n%s", name, printed)
		}
	}
}

func TestImageIDOfAPod(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	w := selfManaged()
	w[deployedObjects][0]["spec"] = map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": "example.com/manager:v1"}}}}}
	w[podObjects] = []map[string]any{object("v1", "Pod", "capi-system", "p", nil, map[string]any{"status": map[string]any{"containerStatuses": []any{
		map[string]any{"image": "example.com/manager:v1", "imageID": "sha256:0123456789abcdef0123"},
	}}})}
	s.up(t, w)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker image ls"}}
	if err := s.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.printed.String(), "example.com/manager:v1   0123456789ab") {
		t.Errorf("printed\n%s", s.printed)
	}
}
