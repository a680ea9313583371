package environment

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/environment/home"
)

// TestExport: a person gets a node image without managers, and clusters that Down removes.
func TestExport(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	w.write(t, filepath.Join(w.home().Repository(), "clusterctl.yaml"), "providers: []\n")
	folder := t.TempDir()
	if err := w.Export(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{"compile kind", "compile kubectl", "compile clusterctl", "bake 0 managers into base:1"} {
		if n := w.called(call); n != 1 {
			t.Errorf("%q was called %d times:\n%s", call, n, strings.Join(w.calls, "\n"))
		}
	}
	if slices.ContainsFunc(w.calls, func(c string) bool { return strings.HasPrefix(c, "bake 2") || strings.HasPrefix(c, "kind ") }) {
		t.Errorf("it did\n%s", strings.Join(w.calls, "\n"))
	}
	owner, err := w.State.Mark(w.Config.ClusterName)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]string{
		"kind.yaml":         {"image: baked:1", owner, "kind: Cluster"},
		"cluster.yaml":      {`name: "work-cluster"`, "baked:1", owner, "ipmask(20,64)"},
		"network.yaml":      {"kind: DaemonSet", home.PodCIDR},
		"cert-manager.yaml": {"kind: CustomResourceDefinition"},
		"clusterctl.yaml":   {"providers: []"},
		"managers.tar":      {"example.com/core:v1", "example.com/docker:v1"},
	}
	for name, want := range parts {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(string(data), text) {
				t.Errorf("%s has no %q", name, text)
			}
		}
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != len(parts) {
		t.Errorf("%d files, %v; want %d", len(files), err, len(parts))
	}
}
