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
