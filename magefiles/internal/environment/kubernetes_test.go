package environment

import (
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"
)

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
