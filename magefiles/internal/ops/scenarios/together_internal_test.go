package scenarios

import (
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/scenario/engine"
)

func TestFlagsOfScenariosTogetherAreThoseThatTheProgramHas(t *testing.T) {
	t.Parallel()
	local := "--scale-down-delay-type-local=true"
	for name, want := range map[string][]string{
		"v":                           {"--max-nodes-total=0"},
		"scale-down-delay-type-local": {"--max-nodes-total=0", local},
	} {
		if got := flagsTogether(map[string]bool{name: true}); !slices.Equal(got, want) {
			t.Errorf("flagsTogether(%s) = %q, want %q", name, got, want)
		}
	}
}

func TestFlagsOfTheUserAndOfTheScenarioWin(t *testing.T) {
	t.Parallel()
	m := &compiledAutoscaler{overrides: []string{"--max-nodes-total=5"}, together: []string{"--max-nodes-total=0"}}
	flags := []string{"--max-nodes-total=3"}
	if got, want := m.withFlags(engine.Invocation{Flags: flags, Together: true}), "--max-nodes-total=0 --max-nodes-total=5 --max-nodes-total=3"; strings.Join(got, " ") != want {
		t.Errorf("beside others: %q, want %q", got, want)
	}
	if got, want := m.withFlags(engine.Invocation{Flags: flags}), "--max-nodes-total=5 --max-nodes-total=3"; strings.Join(got, " ") != want {
		t.Errorf("alone: %q, want %q", got, want)
	}
}

func TestParallelIsBounded(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 17} {
		if err := (Options{Autoscaler: OnThisMachine, Parallel: n}).validate(); err == nil || !strings.Contains(err.Error(), "want 1 to 16") {
			t.Errorf("-parallel=%d: %v", n, err)
		}
	}
	if err := (Options{Autoscaler: OnThisMachine, Parallel: 16}).validate(); err != nil {
		t.Error(err)
	}
}
