package node

import (
	"bytes"
	"fmt"
	"text/template"

	version "github.com/hashicorp/go-version"

	"caslab/manifests"
)

// Network returns the manifest of the pod network of a cluster whose nodes run the image:
// the lab's own or, in a pulled image, kind's. podCIDR is the range of the pods' addresses,
// and read returns a file of the image.
func (i Images) Network(kubernetes *version.Version, podCIDR string, read func(path string) ([]byte, error)) ([]byte, error) {
	if !i.OwnNetwork {
		data, err := read("/kind/manifests/" + networkManifest)
		if err != nil {
			return nil, fmt.Errorf("read the node image's network: %w", err)
		}
		return bytes.ReplaceAll(data, []byte("{{ .PodSubnet }}"), []byte(podCIDR)), nil
	}
	t, err := template.New(networkManifest).Option("missingkey=error").ParseFS(manifests.FS, "node/"+networkManifest)
	if err != nil {
		return nil, fmt.Errorf("read the network's manifest: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, map[string]string{"PodSubnet": podCIDR}); err != nil {
		return nil, fmt.Errorf("fill in the network's manifest: %w", err)
	}
	rights, err := dnsRights(kubernetes)
	return append(out.Bytes(), rights...), err
}
