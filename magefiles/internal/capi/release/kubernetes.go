package release

import version "github.com/hashicorp/go-version"

// Versions of the container runtime interface (CRI).
const (
	CRIV1Alpha2 = "v1alpha2"
	CRIV1       = "v1"
)

// Cgroup drivers of a kubelet and its container runtime.
const (
	CgroupFS      = "cgroupfs"
	SystemdCgroup = "systemd"
)

// Kubernetes is what the lab knows about a release of Kubernetes: how its programs
// are built from their modules, and what its nodes need.
type Kubernetes struct {
	Version *version.Version

	// Toolchain is the Go that must compile the programs, such as go1.16.15. It
	// is empty if today's Go does.
	Toolchain string
	// OpenAPI reports whether the module has the generated package
	// pkg/generated/openapi, without which kube-apiserver does not compile.
	OpenAPI bool
	// VersionPackages are the import paths of the packages that hold a program's
	// version.
	VersionPackages []string
	// Moved has modules that no longer exist at the path at which the release
	// requires them. Each is replaced by another module at a version.
	Moved map[string]Module

	// CRI is the version of the runtime interface that the kubelet needs.
	CRI string
	// CgroupDriver is the cgroup driver of the node image.
	CgroupDriver string
	// CgroupV2 reports whether the kubelet runs on cgroup v2.
	CgroupV2 bool
	// RefusesCgroupV1 reports whether the kubelet runs on cgroup v1 only if its
	// configuration says failCgroupV1: false.
	RefusesCgroupV1 bool
	// BoundCgroups reports whether the kubelet runs on cgroup v1 although the node's
	// entrypoint mounts the kubelet's own cgroups over themselves.
	BoundCgroups bool
	// IgnoresWatchList reports whether the API server ignores that a watch is to
	// begin with a list. Today's clients then wait for the end of the list for
	// ever, unless they are configured to list first.
	IgnoresWatchList bool
	// EndpointSlices reports whether the API server serves discovery.k8s.io/v1, and
	// DNSSlices whether kubeadm allows the cluster's DNS to read it.
	EndpointSlices, DNSSlices bool
	// Roles are the role labels that kubeadm gives to control-plane nodes, at least one.
	// Taints are the keys of the taints of these nodes. Both are without the prefix
	// node-role.kubernetes.io/.
	Roles, Taints []string
}

// Module is a Go module at a version.
type Module struct{ Path, Version string }

// OfKubernetes returns what is known about a release of Kubernetes. A pre-release has
// the facts of its release.
func OfKubernetes(v *version.Version) Kubernetes {
	k := fold(v.Core(), kubernetesReleases, oldestKubernetes())
	k.Version = v
	return k
}

// FirstKubernetes returns the first release of Kubernetes for which has is true, such
// as 1.19.0.
func FirstKubernetes(has func(Kubernetes) bool) string {
	return first(kubernetesReleases, oldestKubernetes(), has)
}

const (
	// componentBase and clientGo hold the version that programs print, return
	// from /version and send to servers. Upstream's hack/lib/version.sh sets
	// both.
	componentBase = "k8s.io/component-base/version"
	clientGo      = "k8s.io/client-go/pkg/version"

	oldRole, role = "master", "control-plane"
)

// oldestKubernetes has the facts of 1.17.0. Read from that tag:
// build/build-image/cross/VERSION (Go; with today's the programs panic in reflect2
// v1.0.1 of go.mod), pkg/kubelet/remote (CRI), kubeadm's app/constants/constants.go,
// app/phases/markcontrolplane and app/phases/addons/dns/manifests.go. kind's
// pkg/build/nodeimage/buildcontext.go at v0.33.0 has the cgroup driver.
func oldestKubernetes() Kubernetes {
	return Kubernetes{
		Toolchain:       "go1.13.15",
		VersionPackages: []string{componentBase, clientGo},
		// The host vbom.ml no longer exists.
		Moved:        map[string]Module{"vbom.ml/util": {"github.com/fvbommel/util", "v0.0.0-20180919145318-efcd4e0f9787"}},
		CRI:          CRIV1Alpha2,
		CgroupDriver: CgroupFS,
		// resourceVersionMatch, with which clients ask for it, is unknown in ListOptions
		// of k8s.io/apimachinery.
		IgnoresWatchList: true,
		Roles:            []string{oldRole}, Taints: []string{oldRole},
	}
}

// kubernetesReleases is the table of Kubernetes' releases, read from the modules
// k8s.io/kubernetes v1.17.2 to v1.37.2. Paths are those of that module.
var kubernetesReleases = []change[Kubernetes]{
	// pkg/kubelet/cm/cgroup_manager_linux.go: IsCgroup2UnifiedMode.
	{[]string{"1.19.0"}, func(k *Kubernetes) { k.Toolchain, k.CgroupV2 = "go1.15.15", true }},
	// k8s.io/apimachinery, pkg/apis/meta/internalversion/validation: resourceVersionMatch
	// is refused for a watch.
	{[]string{"1.19.0"}, func(k *Kubernetes) { k.IgnoresWatchList = false }},
	// cmd/kubeadm/app/phases/markcontrolplane: both labels. go.mod: no vbom.ml.
	{[]string{"1.20.0"}, func(k *Kubernetes) { k.Roles, k.Moved = []string{oldRole, role}, nil }},
	// pkg/registry/discovery/rest/storage_discovery.go: v1. With the runc of its
	// go.mod the kubelet finds its cgroup behind a bind mount.
	{[]string{"1.21.0"}, func(k *Kubernetes) { k.Toolchain, k.EndpointSlices, k.BoundCgroups = "go1.16.15", true, true }},
	// cmd/kubeadm/app/phases/addons/dns/manifests.go: endpointslices.
	{[]string{"1.22.0"}, func(k *Kubernetes) { k.DNSSlices = true }},
	// pkg/kubelet/cri/remote/remote_runtime.go: runtime/v1. go.mod: reflect2 v1.0.2,
	// and go 1.19 at v1.23.17.
	{[]string{"1.23.0"}, func(k *Kubernetes) { k.Toolchain, k.CRI = "go1.19.13", CRIV1 }},
	// pkg/generated/openapi/zz_generated.openapi.go: nothing has to be generated.
	// cmd/kubeadm/app/preflight/checks.go, HTTPProxyCIDRCheck: it writes IPv4
	// addresses in brackets, and net/url refuses these since Go 1.24.8 and 1.25.2.
	{[]string{"1.24.0"}, func(k *Kubernetes) {
		k.Toolchain, k.OpenAPI, k.CgroupDriver = "go1.24.7", true, SystemdCgroup
		k.Roles, k.Taints = []string{role}, []string{oldRole, role}
	}},
	// cmd/kubeadm/app/util/config/initconfiguration.go.
	{[]string{"1.25.0"}, func(k *Kubernetes) { k.Taints = []string{role} }},
	{[]string{"1.28.0"}, func(k *Kubernetes) { k.VersionPackages = []string{componentBase} }},
	// cmd/kubeadm/app/preflight/checks.go: HTTPProxyCIDRCheck calls net.JoinHostPort, which
	// writes IPv4 addresses without brackets.
	{[]string{"1.31.14", "1.32.10", "1.33.6", "1.34.2"}, func(k *Kubernetes) { k.Toolchain = "" }},
	// pkg/kubelet/apis/config/v1beta1/defaults.go: FailCgroupV1. At least up to
	// v1.37, a kubelet whose configuration says false runs on cgroup v1, and an
	// event warns that this will end: pkg/kubelet/kubelet_linux.go,
	// cgroupVersionCheck.
	{[]string{"1.35.0"}, func(k *Kubernetes) { k.RefusesCgroupV1 = true }},
}
