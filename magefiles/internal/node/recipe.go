package node

import (
	"fmt"
	"io"
	"strings"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
	"caslab/manifests"
)

// oldRevision is part of the tags of images whose recipe is not today's. Raise
// it when this package changes how they are built.
const oldRevision = "1"

// recipe describes the node image of one version of Kubernetes. If nothing
// differs from today's images, script, network and env are empty.
type recipe struct {
	facts release.Kubernetes
	// containerd and coredns are folders of magefiles/components.
	containerd, coredns string
	// script runs in the build container.
	script string
	// network is added to the manifest of the pod network.
	network []byte
	// env is added to the environment of the container images that the lab
	// builds.
	env []string
}

// recipeFor returns the recipe for a version of Kubernetes, such as v1.36.1.
func recipeFor(kubernetes string) (recipe, error) {
	v, err := version.NewSemver(strings.TrimPrefix(kubernetes, "v"))
	if err != nil {
		return recipe{}, fmt.Errorf("Kubernetes version %q: %w", kubernetes, err)
	}
	r := recipe{facts: release.OfKubernetes(v), containerd: "containerd", coredns: "coredns"}
	if r.facts.CRI == release.CRIV1Alpha2 {
		r.containerd = "containerd-1.7"
	}
	if !r.facts.EndpointSlices {
		r.coredns = "coredns-1.10"
	}
	if r.facts.CgroupDriver == release.CgroupFS {
		r.script = cgroupFS
	}
	if r.facts.IgnoresWatchList {
		// client-go reads this variable for features.WatchListClient.
		r.env = []string{"KUBE_FEATURE_WatchListClient=false"}
	}
	r.network, err = dnsRights(v)
	return r, err
}

// dnsRights returns a manifest that allows the cluster's DNS to read
// EndpointSlices. It returns nothing for a version of Kubernetes whose kubeadm
// already allows that.
func dnsRights(v *version.Version) ([]byte, error) {
	if release.OfKubernetes(v).DNSSlices {
		return nil, nil
	}
	data, err := manifests.FS.ReadFile("node/dns-rights.yaml")
	if err != nil {
		return nil, fmt.Errorf("read the manifest of the DNS: %w", err)
	}
	return data, nil
}

// digest adds to h what differs from today's images. If nothing differs, it adds
// nothing.
func (r recipe) digest(h io.Writer) {
	if r.facts.Toolchain == "" && r.script == "" && len(r.network) == 0 && len(r.env) == 0 {
		return
	}
	fmt.Fprintln(h, oldRevision, r.facts.Toolchain, r.facts.Moved, r.script, string(r.network), r.env)
}

// setup returns the script that makes the runtime of the image ready to import images.
func (r recipe) setup() string { return adaptRuntime + containerSpec + r.script }

// program is a component of the node: packages of one folder of magefiles/components.
type program struct {
	folder string
	// name is that of the binary of a single package.
	name           string
	packages, tags []string
}

// programs returns what is compiled for the node, except for Kubernetes.
func (r recipe) programs() []program {
	containerd := "github.com/containerd/containerd/v2/cmd/"
	if r.containerd != "containerd" {
		containerd = "github.com/containerd/containerd/cmd/"
	}
	return []program{
		{folder: r.containerd, packages: prefixed(containerd, "containerd", "ctr", "containerd-shim-runc-v2"),
			tags: []string{"no_btrfs", "no_devmapper", "no_zfs", "no_aufs"}},
		{folder: "cni", packages: prefixed("github.com/containernetworking/plugins/plugins/", "ipam/host-local", "main/loopback", "main/ptp", "meta/portmap")},
		{folder: "nodetools", packages: []string{"sigs.k8s.io/cri-tools/cmd/crictl", "./pause", "./cnid"}},
		{folder: "etcd", packages: []string{"go.etcd.io/etcd/server/v3"}, name: "etcd"},
		{folder: r.coredns, packages: []string{"."}, name: "coredns"},
	}
}

// components returns the folders of programs.
func (r recipe) components() []string {
	var folders []string
	for _, p := range r.programs() {
		folders = append(folders, p.folder)
	}
	return folders
}

// cgroupFS gives the runtime the cgroup driver that kind, Cluster API's
// templates and kubelets used at that time.
const cgroupFS = `
sed -i 's/SystemdCgroup = true/SystemdCgroup = false/' /etc/containerd/config.toml
`
