package release

import version "github.com/hashicorp/go-version"

// Release is what the lab knows about a release of Cluster API.
type Release struct {
	Version *version.Version

	// Supported reports whether the lab fetches and builds the release.
	Supported bool
	// API is the newest version of Cluster API's API that the release serves.
	API string
	// Kubernetes are the minors that a cluster in which the release runs may have. It
	// is zero if the lab does not know them.
	Kubernetes Minors
	// Layout is where the parts of the release's tree are.
	Layout Layout
	// LoadBalancer is what the Docker provider runs in front of API servers.
	LoadBalancer LoadBalancer
	// LoadBalancerFields reports whether a DockerCluster names the image of its load
	// balancer, and HAProxyTemplate whether it names a template of HAProxy's
	// configuration. HAProxyWeights reports whether that template is given servers with
	// an address and a weight, and not addresses alone.
	LoadBalancerFields, HAProxyTemplate, HAProxyWeights bool
	// Describes reports whether the release's clusterctl has the command describe.
	Describes bool
}

// Minors are minor versions of Kubernetes 1, both ends included.
type Minors struct{ Min, Max int }

// Known reports whether there are minors.
func (m Minors) Known() bool { return m.Max > 0 }

// Has reports whether Kubernetes v is among the minors.
func (m Minors) Has(v *version.Version) bool {
	major, minor := MajorMinor(v)
	return major == 1 && minor >= m.Min && minor <= m.Max
}

// Layout has folders of a tree of Cluster API, relative to its root, with
// slashes.
type Layout struct {
	// CoreMain, BootstrapMain and ControlPlaneMain are the main packages of the
	// root module.
	CoreMain, BootstrapMain, ControlPlaneMain string
	// DockerModule is the module of the Docker provider, and DockerMain its
	// main package in there.
	DockerModule, DockerMain string
	// VersionPackage is the import path of the variables with a program's version.
	VersionPackage string
	// CoreRoot, BootstrapRoot, ControlPlaneRoot and DockerRoot are the kustomize
	// roots of the four providers.
	CoreRoot, BootstrapRoot, ControlPlaneRoot, DockerRoot string
	// Metadata reports whether the tree has a metadata.yaml.
	Metadata bool
}

// LoadBalancer names the image Repository/haproxy:Tag, as the API of the Docker
// provider does.
type LoadBalancer struct{ Repository, Tag string }

// Image returns the image's reference.
func (l LoadBalancer) Image() string { return l.Repository + "/haproxy:" + l.Tag }

// Drivable reports whether the lab brings up clusters of the release.
func (r Release) Drivable() bool { return r.API == V1Beta2 }

// OwnClusterctl reports whether the lab runs the release's own clusterctl. The library
// that the lab imports reads objects of v1beta2 (cmd/clusterctl/client/cluster/mover.go
// and client/tree at v1.14.0), which older releases do not serve.
func (r Release) OwnClusterctl() bool { return r.API != V1Beta2 }

// Of returns what is known about a release of Cluster API. A release before v0.3.5 is
// not Supported, and has the other facts of v0.3.5.
func Of(v *version.Version) Release {
	r := fold(v, clusterAPI, oldest())
	r.Version = v
	return r
}

// First returns the first release of Cluster API for which has is true, without a
// leading v, such as 0.3.5.
func First(has func(Release) bool) string { return first(clusterAPI, oldest(), has) }

// oldest has the facts of v0.3.0 to v0.3.5. Read from that tag: Makefile and
// Dockerfile (mains), hack/version.sh (variables), config/kustomization.yaml
// and its three namesakes (roots of the components that upstream publishes),
// test/infrastructure/docker/third_party/forked/loadbalancer/const.go.
func oldest() Release {
	return Release{
		API: V1Alpha3,
		Layout: Layout{
			CoreMain: ".", BootstrapMain: "./bootstrap/kubeadm", ControlPlaneMain: "./controlplane/kubeadm",
			DockerModule: "test/infrastructure/docker", DockerMain: ".",
			VersionPackage: "sigs.k8s.io/cluster-api/cmd/version",
			CoreRoot:       "config", BootstrapRoot: "bootstrap/kubeadm/config",
			ControlPlaneRoot: "controlplane/kubeadm/config", DockerRoot: "test/infrastructure/docker/config",
		},
		LoadBalancer: LoadBalancer{"kindest", "2.1.1-alpine"},
	}
}

// balancer gives the load balancer's image another tag: DefaultImageTag, or the
// tag of Image, in loadbalancer/const.go of the Docker provider.
func balancer(since, tag string) change[Release] {
	return change[Release]{since: []string{since}, apply: func(r *Release) { r.LoadBalancer.Tag = tag }}
}

// kubernetes sets the minors that a management cluster may have: "Kubernetes version
// support" in docs/book/src/reference/versions.md. A self-managed cluster is one.
func kubernetes(since string, lowest, highest int) change[Release] {
	return change[Release]{since: []string{since}, apply: func(r *Release) { r.Kubernetes = Minors{lowest, highest} }}
}

// clusterAPI is the table of Cluster API's releases, read from upstream's tags.
// A tag that ends with -0 stands for the first pre-release of its release.
var clusterAPI = []change[Release]{
	// The first whose tree the lab's facts were read from. Before v0.3.4 no
	// cluster manages itself on Docker: DockerMachineTemplate has no extraMounts
	// (test/infrastructure/docker/api/v1alpha3/dockermachine_types.go), so that
	// no manager in a node reaches the engine.
	{[]string{"0.3.5"}, func(r *Release) { r.Supported = true }},
	// cmd/clusterctl/cmd/describe_cluster.go.
	{[]string{"0.3.13"}, func(r *Release) { r.Describes = true }},
	// /metadata.yaml.
	{[]string{"0.3.17"}, func(r *Release) { r.Layout.Metadata = true }},
	balancer("0.3.22", "v20210715-a6da3463"),

	// api/v1alpha4; /test/go.mod; /version/version.go; the webhooks move into the
	// managers, and with that the roots from config to config/default.
	{[]string{"0.4.0-beta.0"}, func(r *Release) {
		r.API = V1Alpha4
		r.Layout.DockerModule, r.Layout.DockerMain = "test", "./infrastructure/docker"
		r.Layout.VersionPackage = "sigs.k8s.io/cluster-api/version"
		r.Layout.CoreRoot = "config/default"
		r.Layout.BootstrapRoot = "bootstrap/kubeadm/config/default"
		r.Layout.ControlPlaneRoot = "controlplane/kubeadm/config/default"
		r.Layout.DockerRoot = "test/infrastructure/docker/config/default"
	}},
	balancer("0.4.0-beta.0", "2.1.1-alpine"), // branched off before 0.3.22
	balancer("0.4.1", "v20210715-a6da3463"),
	// test/infrastructure/docker/api/v1alpha4/dockercluster_types.go: imageRepository.
	{[]string{"0.4.1"}, func(r *Release) { r.LoadBalancerFields = true }},

	// api/v1beta1.
	{[]string{"1.0.0-0"}, func(r *Release) { r.API = V1Beta1 }},
	balancer("1.3.7", "v20230330-2f738c2"),
	balancer("1.4.0-0", "v20210715-a6da3463"), // branched off before 1.3.7
	balancer("1.4.0-rc.0", "v20230227-d46f45b6"),
	balancer("1.4.2", "v20230330-2f738c2"),
	balancer("1.5.0-0", "v20230510-486859a6"),
	// test/infrastructure/docker/api/v1beta1/dockercluster_types.go:
	// customHAProxyConfigTemplateRef.
	{[]string{"1.6.0-0"}, func(r *Release) { r.HAProxyTemplate = true }},
	balancer("1.9.0-rc.0", "v20230606-42a2262b"),
	// test/infrastructure/docker/internal/loadbalancer/config.go: BackendServer.
	{[]string{"1.9.0-rc.0"}, func(r *Release) { r.HAProxyWeights = true }},

	kubernetes("1.11.0-0", 30, 34),
	// api/core/v1beta2. Pre-releases of 1.11 have it too, and changed it on the way.
	{[]string{"1.11.0"}, func(r *Release) { r.API = V1Beta2 }},
	kubernetes("1.12.0-0", 31, 35),
	kubernetes("1.12.8-0", 31, 36),
	kubernetes("1.13.0-0", 32, 35),
	kubernetes("1.13.1-0", 32, 36),

	// The core provider moves into /core: core/main.go, core/config/default.
	kubernetes("1.14.0-0", 33, 36),
	{[]string{"1.14.0-beta.1"}, func(r *Release) {
		r.Layout.CoreMain, r.Layout.CoreRoot = "./core", "core/config/default"
	}},

	// Not released yet: the book does not say what it supports.
	{[]string{"1.15.0-0"}, func(r *Release) { r.Kubernetes = Minors{} }},
}
