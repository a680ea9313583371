package world

import (
	"testing"
	"time"

	"caslab/magefiles/internal/timeline/shape"
)

// TestTrouble: only a machine without a node is one that becomes none.
func TestTrouble(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
	w := &World{At: start.Add(6 * time.Minute)}
	for name, tc := range map[string]struct {
		machine Machine
		want    string
	}{
		"failed":              {Machine{Machine: shape.Machine{Failure: "no quota"}, Created: start}, "it has failed: no quota"},
		"failed, with a node": {Machine{Machine: shape.Machine{Failure: "no quota"}, Node: "n", Created: start}, ""},
		"in the phase Failed": {Machine{Phase: "Failed", Created: start}, "it has failed"},
		"old":                 {Machine{Created: start, Machine: shape.Machine{Problems: []string{"waits for its data"}}}, "it has had no node for 6m00s: waits for its data"},
		"old, with a node":    {Machine{Created: start, Node: "n"}, ""},
		"young":               {Machine{Created: start.Add(5 * time.Minute)}, ""},
	} {
		if got := w.Trouble(&tc.machine); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
