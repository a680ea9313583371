package v1beta2

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGenerated runs what go:generate runs, into a copy.
func TestGenerated(t *testing.T) {
	const manifests = "../../../../../manifests/hollow"
	dir := t.TempDir()
	for _, args := range [][]string{
		{"object", "paths=.", "output:dir=" + dir},
		{"crd", "paths=.", "output:stdout"},
	} {
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"tool", "controller-gen"}, args...)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		if len(out) > 0 {
			if err := os.WriteFile(filepath.Join(dir, "crds.yaml"), out, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for generated, committed := range map[string]string{
		"zz_generated.deepcopy.go": "zz_generated.deepcopy.go",
		"crds.yaml":                filepath.Join(manifests, "crds.yaml"),
	} {
		want, err := os.ReadFile(filepath.Join(dir, generated))
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(committed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, have) {
			t.Errorf("%s is not what its generator writes: run go generate ./... in components/hollow", committed)
		}
	}
}
