// Package export writes the programs and files with which a person brings an environment
// up with kind, kubectl and clusterctl.
package export

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/image"
	"caslab/magefiles/internal/state"
)

// Kit is what Write writes into a folder.
type Kit struct {
	// Management becomes kind.yaml, and Cluster cluster.yaml.
	Management capi.Management
	Cluster    capi.Cluster
	// Network becomes network.yaml, the pod network's manifest.
	Network []byte
	// Managers are the managers' images by their references. They become managers.tar.
	Managers map[string]v1.Image
	// Clusterctl is the path of clusterctl's configuration, which becomes clusterctl.yaml.
	Clusterctl string
}

// Programs returns the builds of kind, kubectl and clusterctl into a folder. root is the
// root of the lab's checkout, whose modules pin kind and kubectl.
func Programs(root string, tree build.ClusterAPI, folder string) []build.Request {
	tree.OutDir = folder
	return []build.Request{
		build.Kind(root, filepath.Join(folder, "kind")),
		build.Kubectl(filepath.Join(tree.Components, "kubernetes"), filepath.Join(folder, "kubectl")),
		tree.Clusterctl(),
	}
}

// Write writes the files into a folder. cert-manager.yaml has the definitions without which
// clusterctl would install cert-manager.
func (k Kit) Write(folder string) error {
	file := func(name string) func(data []byte, err error) error {
		return func(data []byte, err error) error {
			if err != nil {
				return fmt.Errorf("make %s: %w", name, err)
			}
			return state.WriteFile(filepath.Join(folder, name), data, 0o600)
		}
	}
	return errors.Join(
		file("kind.yaml")(k.Management.ConfigFile()),
		file("cluster.yaml")(k.Cluster.Manifest()),
		file("network.yaml")(k.Network, nil),
		file("clusterctl.yaml")(os.ReadFile(k.Clusterctl)),
		file("cert-manager.yaml")(capi.StandInManifest(k.Cluster.Release)),
		state.Write(filepath.Join(folder, "managers.tar"), 0o600, func(w io.Writer) error { return image.Archive(w, k.Managers) }),
	)
}
