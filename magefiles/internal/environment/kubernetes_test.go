package environment

import (
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/engine"
)

// TestAllowCgroupV1 has the versions of Kubernetes on both sides of the boundary.
func TestAllowCgroupV1(t *testing.T) {
	t.Parallel()
	for kubernetes, want := range map[string]bool{"1.20.15": false, "1.34.9": false, "1.35.0": true, "1.37.2": true} {
		for _, cgroup := range []string{"1", "2"} {
			e := newFixture(t, nil).Environment
			e.Config.Kubernetes = version.Must(version.NewSemver(kubernetes))
			c := &bringUp{Environment: e, info: engine.Info{CgroupVersion: cgroup}}
			if got := c.allowCgroupV1(); got != (want && cgroup == "1") {
				t.Errorf("Kubernetes %s on cgroup v%s: its kubelets are allowed to run there: %t", kubernetes, cgroup, got)
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
