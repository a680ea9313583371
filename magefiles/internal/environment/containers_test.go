package environment

import (
	"errors"
	"strings"
	"testing"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/state"
)

// TestAnotherEngine: an environment on one engine still exists although another engine has
// no container of it.
func TestAnotherEngine(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"ID": "two", "OSType": "linux", "Architecture": "x86_64"}`}, {Prefix: "docker image ls"}}
	// The environment is found on its own engine, which is recorded.
	s.up(t, selfManaged())
	if err := s.home().OnEngine(t.Context(), engine.Info{ID: "one"}); err != nil {
		t.Fatal(err)
	}
	mark, err := s.State.Mark("work-cluster")
	if err != nil {
		t.Fatal(err)
	}
	s.touch(t, s.home().ReadyFile())
	s.docker.containers = nil
	for target, do := range map[string]func() error{
		"env:up":   func() error { return s.Up(t.Context(), Ready) },
		"env:down": func() error { return s.Down(t.Context()) },
	} {
		if err := do(); !errors.As(err, new(*owner.OtherEngineError)) || !strings.Contains(err.Error(), "rm "+s.home().EngineFile) {
			t.Errorf("%s on another engine: %v; want that it is, and what to type", target, err)
		}
		for _, path := range []string{s.home().ReadyFile(), mark} {
			if there, _ := state.Exists(path); !there {
				t.Errorf("%s on another engine removed %s", target, path)
			}
		}
	}
	s.write(t, s.home().EngineFile, `"two"`)
	if err := s.Down(t.Context()); err != nil {
		t.Errorf("env:down on its own engine: %v", err)
	}
	if there, _ := state.Exists(s.home().EngineFile); there {
		t.Errorf("%s is left", s.home().EngineFile)
	}
}
