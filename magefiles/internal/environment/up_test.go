package environment

import (
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/steps"
)

// TestOrder: steps come after those that they need, and the management cluster is
// deleted only after the move.
func TestOrder(t *testing.T) {
	t.Parallel()
	all := bare().newBringUp(engine.Info{}).steps(0)
	seen := map[string]bool{}
	for _, s := range all {
		for _, n := range s.Needs {
			if !seen[n] {
				t.Errorf("%q comes before %q, which it needs", s.Name, n)
			}
		}
		seen[s.Name] = true
	}
	needs := func(target string) []string {
		var names []string
		needed, err := steps.UpTo(all, target)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range needed {
			names = append(names, s.Name)
		}
		return names
	}
	if !slices.Contains(needs(stepDelete), stepMove) || !slices.Contains(needs(stepVerify), stepMove) {
		t.Error("the management cluster is deleted, or the workload cluster is looked at, before the move")
	}
	if got := strings.Join(needs(stepManagement), ", "); got != strings.Join([]string{stepFetch, stepNode, stepCompile, stepRender, stepImages, stepManagement}, ", ") {
		t.Errorf("the management cluster waits for %s", got)
	}
	if got := needs(stepInit); !slices.Contains(got, stepImages) || slices.Contains(got, stepControl) {
		t.Errorf("the providers wait for %v", got)
	}
}

// bare returns an environment without tools.
func bare() *Environment {
	return New(&lab.Lab{}, func(*lab.Lab) Recorder { return new(recorder) })
}
