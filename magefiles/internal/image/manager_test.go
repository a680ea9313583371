package image

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// TestManagerWithCommands: the image of an old Docker provider contains the docker
// command.
func TestManagerWithCommands(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("program"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		commands map[string]string
		want     bool
	}{{map[string]string{"/usr/bin/docker": program}, true}, {nil, false}} {
		made, err := Manager("amd64", program, "", tc.commands)
		if err != nil {
			t.Skipf("no image can be made here: %v", err)
		}
		config, err := made.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		content := mutate.Extract(made)
		files := tar.NewReader(content)
		var found []string
		for {
			header, err := files.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, header.Name)
		}
		if err := content.Close(); err != nil {
			t.Error(err)
		}
		if slices.Contains(found, "usr/bin/docker") != tc.want || !slices.Contains(found, "manager") || (len(config.Config.Env) > 0) != tc.want {
			t.Errorf("with the commands %v the image has %q, and the environment %q", tc.commands, found, config.Config.Env)
		}
	}
}
