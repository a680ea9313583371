package environment

import (
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/node"
)

// TestWhatKubernetesNeeds has the versions of Kubernetes on both sides of each boundary
// at which the lab's clusters differ.
func TestWhatKubernetesNeeds(t *testing.T) {
	t.Parallel()
	for kubernetes, want := range map[string]struct{ cgroup, rights bool }{
		"1.20.15": {false, true}, "1.21.14": {false, true}, "1.22.0": {false, false}, "1.34.9": {false, false}, "1.35.0": {true, false}, "1.37.2": {true, false},
	} {
		for _, cgroup := range []string{"1", "2"} {
			e := newFixture(t, nil).Environment
			e.Config.Kubernetes = version.Must(version.NewSemver(kubernetes))
			c := &bringUp{Environment: e, info: engine.Info{CgroupVersion: cgroup}, base: node.Images{OwnNetwork: true}}
			if got := c.allowCgroupV1(); got != (want.cgroup && cgroup == "1") {
				t.Errorf("Kubernetes %s on cgroup v%s: its kubelets are allowed to run there: %t", kubernetes, cgroup, got)
			}
			network, err := c.network(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(string(network), "endpointslices"); got != want.rights || !strings.Contains(string(network), "kind: DaemonSet") {
				t.Errorf("Kubernetes %s: the DNS gets rights: %t; want %t", kubernetes, got, want.rights)
			}
		}
	}
}

// TestUpOnCgroupsOfAnotherTime: if the kubelet does not know the engine's cgroups,
// env:up ends before it creates anything.
func TestUpOnCgroupsOfAnotherTime(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	w.Config.Kubernetes, w.Config.Force = version.Must(version.NewSemver("1.18.19")), true
	err := w.Up(t.Context(), Ready)
	if err == nil || !strings.Contains(err.Error(), "cgroup v2") {
		t.Errorf("Up() = %v", err)
	}
	if len(w.calls) > 0 {
		t.Errorf("it did %q", w.calls)
	}
}
