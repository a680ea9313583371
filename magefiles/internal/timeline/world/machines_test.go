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
		"old, only Unknown":   {Machine{Created: start, Machine: shape.Machine{Unknown: []string{"NodeHealthy: waits for the node"}}}, "it has had no node for 6m00s: NodeHealthy: waits for the node"},
		"old, also Unknown":   {Machine{Created: start, Machine: shape.Machine{Problems: []string{"Odd: x"}, Unknown: []string{"NodeHealthy: waits for the node"}}}, "it has had no node for 6m00s: Odd: x"},
		"old, with problems of its own objects": {Machine{Created: start, Machine: shape.Machine{Problems: []string{"InfrastructureReady: 1 of 2 completed", "BootstrapConfigReady: see KubeadmConfig", "Odd: x"}},
			Infrastructure: &External{shape.External{Problems: []string{"ContainerProvisioned: no image"}}, "DockerMachine"}, Bootstrap: &External{shape.External{Problems: []string{"DataSecretAvailable: waits"}}, "KubeadmConfig"},
		}, "it has had no node for 6m00s: Odd: x; its DockerMachine reports ContainerProvisioned: no image; its KubeadmConfig reports DataSecretAvailable: waits"},
		"old, only its infrastructure reports": {Machine{Created: start, Machine: shape.Machine{Problems: []string{"InfrastructureReady: x", "BootstrapReady: y"}}, Infrastructure: &External{shape.External{Problems: []string{"A: no"}}, "DockerMachine"}},
			"it has had no node for 6m00s: BootstrapReady: y; its DockerMachine reports A: no"},
		"failed, with a reason": {Machine{Machine: shape.Machine{Failure: "no quota"}, Created: start, Infrastructure: &External{shape.External{Problems: []string{"A: no"}}, "DockerMachine"}},
			"it has failed: no quota; its DockerMachine reports A: no"},
		"young, of a failed infrastructure": {Machine{Created: start.Add(5 * time.Minute), Infrastructure: &External{shape.External{Failure: "CreateError"}, "DockerMachine"}},
			"it has failed: its DockerMachine reports CreateError"},
		"young, with problems": {Machine{Created: start.Add(5 * time.Minute), Bootstrap: &External{shape.External{Problems: []string{"A: no"}}, "KubeadmConfig"}}, ""},
		"old, with a node":     {Machine{Created: start, Node: "n"}, ""},
		"young":                {Machine{Created: start.Add(5 * time.Minute)}, ""},
	} {
		if got := w.Trouble(&tc.machine); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
