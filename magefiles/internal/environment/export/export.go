// Package export writes the programs and files with which a person brings an environment
// up with kind, kubectl and clusterctl.
package export

import (
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
	clusterctl := func() ([]byte, error) { return os.ReadFile(k.Clusterctl) }
	network := func() ([]byte, error) { return k.Network, nil }
	standIn := func() ([]byte, error) { return capi.StandInManifest(k.Cluster.Release) }
	for name, content := range map[string]func() ([]byte, error){
		"kind.yaml": k.Management.ConfigFile, "cluster.yaml": k.Cluster.Manifest, "network.yaml": network,
		"clusterctl.yaml": clusterctl, "cert-manager.yaml": standIn,
	} {
		data, err := content()
		if err != nil {
			return fmt.Errorf("make %s: %w", name, err)
		}
		if err := state.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			return err
		}
	}
	return state.Write(filepath.Join(folder, "managers.tar"), 0o600, func(w io.Writer) error { return image.Archive(w, k.Managers) })
}
