package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGenerated writes the generated files elsewhere and compares them with the committed
// ones.
func TestGenerated(t *testing.T) {
	const manifests = "../../../manifests/hollow"
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "controller-gen", "object", "crd", "rbac:roleName=caslab-hollow", "paths=./...",
		"output:object:dir="+dir, "output:rbac:dir="+dir, "output:crd:stdout")
	cmd.Stderr = os.Stderr
	crds, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	read := func(path string) []byte {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for path, want := range map[string][]byte{
		filepath.Join(manifests, "crds.yaml"):  crds,
		filepath.Join(manifests, "role.yaml"):  read(filepath.Join(dir, "role.yaml")),
		"api/v1beta2/zz_generated.deepcopy.go": read(filepath.Join(dir, "zz_generated.deepcopy.go")),
	} {
		if !bytes.Equal(read(path), want) {
			t.Errorf("%s is not what its generator writes: run go generate in components/hollow", path)
		}
	}
}
