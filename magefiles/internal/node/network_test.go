package node

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/golden"
	"caslab/manifests"
)

func TestNetwork(t *testing.T) {
	t.Parallel()
	none := func(path string) ([]byte, error) { return nil, errors.New("read " + path) }
	// The versions on both sides of the boundary at which the DNS needs more rights.
	for kubernetes, more := range map[string]bool{"1.21.14": true, "1.22.0": false, "1.36.1": false} {
		manifest, err := Images{OwnNetwork: true}.Network(version.Must(version.NewSemver(kubernetes)), "10.1.0.0/16", none)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(manifest), "endpointslices"); got != more {
			t.Errorf("Kubernetes %s: the DNS gets rights: %t; want %t", kubernetes, got, more)
		}
		if !more {
			golden.Check(t, "network.yaml", string(manifest))
		}
	}
	raw, err := manifests.FS.ReadFile("node/default-cni.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// kind executes a manifest as a template only if the manifest has this
	// sentence.
	if !bytes.Contains(raw, []byte("would you kindly template this file")) {
		t.Error("kind would leave the braces in")
	}
}

func TestNetworkOfAPulledImage(t *testing.T) {
	t.Parallel()
	kubernetes := version.Must(version.NewSemver("1.36.1"))
	manifest, err := Images{}.Network(kubernetes, "10.1.0.0/16", func(path string) ([]byte, error) {
		return []byte(path + " with {{ .PodSubnet }}"), nil
	})
	if want := "/kind/manifests/default-cni.yaml with 10.1.0.0/16"; err != nil || string(manifest) != want {
		t.Errorf("Network() = %q, %v; want %q", manifest, err, want)
	}
	lost := errors.New("no container")
	if _, err := (Images{}).Network(kubernetes, "10.1.0.0/16", func(string) ([]byte, error) { return nil, lost }); !errors.Is(err, lost) {
		t.Errorf("Network() = %v", err)
	}
}
