package release

import (
	"fmt"

	version "github.com/hashicorp/go-version"
)

// Release is what the lab knows about a release of Cluster API.
type Release struct {
	Version *version.Version

	// Supported reports whether the lab fetches, builds and brings up the release.
	Supported bool
	// API is the newest version of Cluster API's API that the release serves.
	API string
	// Newer reports whether the release's minor is newer than the table. Its facts are
	// then those of the newest minor.
	Newer bool
	// Kubernetes has the minors that upstream supports for a cluster that
	// manages itself.
	Kubernetes Minors
	// DefaultKubernetes is the version that clusters of the release get by
	// default, such as v1.36.1. There is an image kindest/node of it, and the Go
	// module proxy has its modules.
	DefaultKubernetes string
	// DefaultAutoscaler is the release of the autoscaler that the lab uses with
	// this release by default, such as 1.36.1.
	DefaultAutoscaler string
	// Layout is where the parts of the release's tree are.
	Layout Layout
	// Toolchain is the Go toolchain that must compile the release, such as
	// go1.13.15. It is empty if today's Go does.
	Toolchain string

	// DockerKinds and DevKinds report which infrastructure kinds the Docker provider
	// has: DockerCluster, DockerMachine and DockerMachineTemplate, or DevCluster,
	// DevMachine and DevMachineTemplate.
	DockerKinds, DevKinds bool
	// Network is the Docker network on which the provider creates nodes.
	Network string
	// MaxEngineAPI is the newest version of the Docker engine's API that the
	// provider supports, such as 1.41. The provider can negotiate an older one.
	// It cannot use an engine whose minimum is newer.
	MaxEngineAPI string
	// RunsDocker reports whether the Docker provider runs the program docker. Its image
	// must then contain it. It runs kubectl in nodes only.
	RunsDocker bool
	// WebhookDeployments reports whether each provider has a second Deployment, for
	// its webhooks, and AuthProxy whether Deployments have a container of
	// kube-rbac-proxy beside the manager.
	WebhookDeployments, AuthProxy bool
	// LoadBalancer is what the Docker provider runs in front of API servers.
	LoadBalancer LoadBalancer
	// LoadBalancerFields reports whether a DockerCluster names the image of its
	// load balancer, and HAProxyTemplate whether it names a template of
	// HAProxy's configuration. HAProxyWeights reports whether the data of that
	// template has an address and a weight for each server, instead of only an
	// address.
	LoadBalancerFields, HAProxyTemplate, HAProxyWeights bool
	// KeepsConntrack reports whether the Docker provider configures kube-proxy not to set
	// net.netfilter.nf_conntrack_max, which a container may not set.
	KeepsConntrack bool
	// HonorsPause reports whether the Docker provider leaves the machines and the load
	// balancer of a paused cluster alone.
	HonorsPause bool
	// Describes reports whether the release's clusterctl has the command describe.
	Describes bool
	// CertManager is the version of cert-manager's API with which clusterctl finds out
	// whether cert-manager is installed. If it is empty, clusterctl looks for the APIService
	// v1beta1.webhook.cert-manager.io.
	CertManager string
}

// Minors are minor versions of Kubernetes 1, both ends included.
type Minors struct{ Min, Max int }

func (m Minors) String() string { return fmt.Sprintf("v1.%d to v1.%d", m.Min, m.Max) }

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

// OwnClusterctl reports whether the lab runs the release's own clusterctl. The library
// that the lab imports reads objects of v1beta2 (cmd/clusterctl/client/cluster/mover.go
// and client/tree at v1.14.0), which older releases do not serve.
func (r Release) OwnClusterctl() bool { return r.API != V1Beta2 }

// Of returns what is known about a release of Cluster API. A release before v0.3.5 is
// not Supported, and has the other facts of v0.3.5.
func Of(v *version.Version) Release {
	r := fold(v, clusterAPI, oldest())
	r.Version = v
	r.Newer = v.Core().GreaterThan(must(newest)) && !SameMinor(v, must(newest))
	return r
}

// newest is the newest release that the table was read from.
const newest = "1.14.2"

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
		// go.sum: the build takes reflect2 v1.0.1. With it, programs panic that
		// today's Go compiled. The Dockerfile builds with Go 1.13.
		Toolchain: "go1.13.15",
		// test/infrastructure/docker/api/v1alpha3.
		DockerKinds: true,
		// test/infrastructure/docker/docker/kind_manager.go: docker run without --network.
		Network: "bridge",
		// test/infrastructure/docker/docker/kind_manager.go: exec.Command. The
		// lab's CLI is v23.0.6, because later ones print a warning for `docker
		// ps -q --format`, which the provider cannot parse.
		RunsDocker: true, MaxEngineAPI: "1.42",
		// config/webhook/manager.yaml, config/manager/manager_auth_proxy_patch.yaml, and
		// the same in the other providers.
		WebhookDeployments: true, AuthProxy: true,
	}
}

// balancer gives the load balancer's image another tag: DefaultImageTag, or the
// tag of Image, in loadbalancer/const.go of the Docker provider.
func balancer(since, tag string) change[Release] {
	return change[Release]{since: []string{since}, apply: func(r *Release) { r.LoadBalancer.Tag = tag }}
}

// kubernetes sets the minors that a management cluster may have: "Kubernetes
// version support" in docs/book/src/reference/versions.md of the series' last
// tag, without the minors that only workload clusters may have, because a
// self-managed cluster is a management cluster too. standard is the minor of the
// default, and autoscaler is the default release of the autoscaler.
func kubernetes(since string, lowest, highest, standard int, autoscaler string) change[Release] {
	return change[Release]{since: []string{since}, apply: func(r *Release) {
		r.Kubernetes = Minors{lowest, highest}
		r.DefaultKubernetes, r.DefaultAutoscaler = standardKubernetes[standard], autoscaler
	}}
}

// standardKubernetes has the release that the lab uses for each minor of Kubernetes: one
// with a published digest of kindest/node (internal/node/registry.go) whose modules `go mod
// tidy` finds and verifies, all staging modules included. v1.37.2 has no digest, so no
// release of Cluster API has it as default. A minor that is missing here has no release
// with both. v1.33.13 ran, but has no digest: env:up would fail on machines that cannot
// build the node image, such as a Mac.
var standardKubernetes = map[int]string{
	18: "v1.18.19", 21: "v1.21.14", 24: "v1.24.17", 26: "v1.26.13", 27: "v1.27.3", 28: "v1.28.15",
	29: "v1.29.2", 30: "v1.30.4", 31: "v1.31.4", 32: "v1.32.5", 33: "v1.33.4", 34: "v1.34.11",
	35: "v1.35.8", 36: "v1.36.1", 37: "v1.37.2",
}

// engineAPI sets the newest API of the Docker engine that the Docker provider
// supports: api/common.go of the module github.com/docker/docker that its go.mod
// requires, and client/client.go of github.com/moby/moby/client.
func engineAPI(newest string, since ...string) change[Release] {
	return change[Release]{since: since, apply: func(r *Release) { r.MaxEngineAPI = newest }}
}

// clusterAPI is the table of Cluster API's releases, read from upstream's tags.
// A tag that ends with -0 stands for the first pre-release of its release.
var clusterAPI = []change[Release]{
	// The book has a table since v0.3.7. Until v0.3.14 it ends with 1.19,
	// because the bootstrap provider writes kubeadm's v1beta1
	// (bootstrap/kubeadm/controllers/kubeadmconfig_controller.go), which later
	// kubeadms cannot read.
	kubernetes("0.3.0-0", 16, 19, 18, "1.18.3"),
	// The first whose tree the lab's facts were read from. Before v0.3.4 no
	// cluster manages itself on Docker: DockerMachineTemplate has no extraMounts
	// (test/infrastructure/docker/api/v1alpha3/dockermachine_types.go), so that
	// no manager in a node reaches the engine.
	{[]string{"0.3.5"}, func(r *Release) { r.Supported = true }},
	// cmd/clusterctl/config/assets/cert-manager-test-resources.yaml. Before:
	// getWebhook in cmd/clusterctl/client/cluster/cert_manager.go.
	{[]string{"0.3.9"}, func(r *Release) { r.CertManager = "v1alpha2" }},
	// cmd/clusterctl/cmd/describe_cluster.go.
	{[]string{"0.3.13"}, func(r *Release) { r.Describes = true }},
	// bootstrap/kubeadm/types/v1beta1/utils.go: ConfigurationToYAMLForVersion writes
	// v1beta2. The range is that of the book at v0.4.8 for v0.3.
	kubernetes("0.3.15", 16, 21, 18, "1.18.3"),
	// test/infrastructure/docker/docker/util.go.
	{[]string{"0.3.15"}, func(r *Release) { r.Network = "kind" }},
	{[]string{"0.3.15"}, func(r *Release) { r.CertManager = "v1" }},
	// /metadata.yaml.
	{[]string{"0.3.17"}, func(r *Release) { r.Layout.Metadata = true }},
	// test/infrastructure/docker/cloudinit/writefiles.go: kubeproxyComponentConfig.
	{[]string{"0.3.18"}, func(r *Release) { r.KeepsConntrack = true }},
	balancer("0.3.22", "v20210715-a6da3463"),

	// api/v1alpha4; /test/go.mod; /version/version.go; the webhooks move into the
	// managers, and with that the roots from config to config/default; /go.mod has
	// go 1.16, and /go.sum still reflect2 v1.0.1.
	{[]string{"0.4.0-beta.0"}, func(r *Release) {
		r.API = V1Alpha4
		r.Layout.DockerModule, r.Layout.DockerMain = "test", "./infrastructure/docker"
		r.Layout.VersionPackage = "sigs.k8s.io/cluster-api/version"
		r.Layout.CoreRoot = "config/default"
		r.Layout.BootstrapRoot = "bootstrap/kubeadm/config/default"
		r.Layout.ControlPlaneRoot = "controlplane/kubeadm/config/default"
		r.Layout.DockerRoot = "test/infrastructure/docker/config/default"
		r.WebhookDeployments, r.AuthProxy = false, false
		r.Toolchain = "go1.16.15"
	}},
	balancer("0.4.0-beta.0", "2.1.1-alpine"), // branched off before 0.3.22
	// v1.22 is not the default, because the proxy lacks staging modules of it,
	// and v0.4.0 does not know it yet.
	kubernetes("0.4.0-beta.0", 19, 21, 21, "1.22.3"),
	engineAPI("1.41", "0.4.0-beta.1"), // docker v20.10
	balancer("0.4.1", "v20210715-a6da3463"),
	// test/infrastructure/docker/Dockerfile; api/v1alpha4/dockercluster_types.go:
	// imageRepository; the range is that of the book at v1.1.6 for v0.4.
	{[]string{"0.4.1"}, func(r *Release) { r.RunsDocker, r.LoadBalancerFields = false, true }},
	kubernetes("0.4.1", 19, 23, 21, "1.22.3"),

	// api/v1beta1.
	{[]string{"1.0.0-0"}, func(r *Release) { r.API = V1Beta1 }},
	// /go.mod: reflect2 v1.0.2.
	{[]string{"1.1.0-beta.1"}, func(r *Release) { r.Toolchain = "" }},
	kubernetes("1.1.4", 19, 24, 24, "1.24.3"),
	kubernetes("1.2.0-0", 20, 24, 24, "1.24.3"),
	kubernetes("1.2.2", 20, 25, 24, "1.24.3"),
	kubernetes("1.2.10", 20, 26, 26, "1.26.8"),
	kubernetes("1.3.0-0", 20, 25, 24, "1.24.3"),
	kubernetes("1.3.3", 20, 26, 26, "1.26.8"),
	balancer("1.3.7", "v20230330-2f738c2"),
	kubernetes("1.4.0-0", 23, 26, 26, "1.26.8"),
	balancer("1.4.0-0", "v20210715-a6da3463"), // branched off before 1.3.7
	balancer("1.4.0-rc.0", "v20230227-d46f45b6"),
	balancer("1.4.2", "v20230330-2f738c2"),
	kubernetes("1.4.2", 23, 27, 27, "1.27.8"),
	engineAPI("1.43", "1.3.10", "1.4.5"), // docker v24.0
	kubernetes("1.5.0-0", 24, 27, 27, "1.27.8"),
	balancer("1.5.0-0", "v20230510-486859a6"),
	kubernetes("1.5.1", 24, 28, 28, "1.28.7"),
	// test/infrastructure/docker/api/v1beta1/dockercluster_types.go:
	// customHAProxyConfigTemplateRef.
	{[]string{"1.6.0-0"}, func(r *Release) { r.HAProxyTemplate = true }},
	kubernetes("1.6.0-0", 25, 28, 28, "1.28.7"),
	kubernetes("1.6.1", 25, 29, 29, "1.29.5"),
	kubernetes("1.7.0-0", 26, 29, 29, "1.29.5"),
	engineAPI("1.44", "1.7.0-beta.0"), // docker v25.0
	kubernetes("1.7.1", 26, 30, 30, "1.30.7"),
	kubernetes("1.8.0-0", 27, 30, 30, "1.30.7"),
	engineAPI("1.46", "1.8.0-0"), // docker v27.1
	kubernetes("1.8.1", 27, 31, 31, "1.31.5"),
	kubernetes("1.9.0-0", 28, 31, 31, "1.31.5"),
	engineAPI("1.47", "1.9.0-0"), // docker v27.3
	// test/infrastructure/docker/internal/controllers/dockercluster_controller.go:
	// EnsurePausedCondition. The controller of DockerMachines looks at the pause since v0.4.
	{[]string{"1.9.0-beta.0"}, func(r *Release) { r.HonorsPause = true }},
	balancer("1.9.0-rc.0", "v20230606-42a2262b"),
	// test/infrastructure/docker/internal/loadbalancer/config.go: BackendServer.
	{[]string{"1.9.0-rc.0"}, func(r *Release) { r.HAProxyWeights = true }},
	kubernetes("1.9.1", 28, 32, 32, "1.32.5"),
	kubernetes("1.10.0-0", 29, 32, 32, "1.32.5"),
	// test/infrastructure/docker/api/v1beta1/devmachine_types.go.
	{[]string{"1.10.0-beta.0"}, func(r *Release) { r.DevKinds = true }},
	engineAPI("1.48", "1.9.11", "1.10.0-beta.0"), // docker v28.0
	kubernetes("1.10.1", 29, 33, 33, "1.33.6"),

	kubernetes("1.11.0-0", 30, 33, 33, "1.33.6"),
	engineAPI("1.51", "1.11.0-alpha.2"), // docker v28.3
	// api/core/v1beta2. Pre-releases of 1.11 have it too, and changed it on the way.
	{[]string{"1.11.0"}, func(r *Release) { r.API = V1Beta2 }},
	kubernetes("1.11.1", 30, 34, 34, "1.34.5"),
	kubernetes("1.12.0-0", 31, 34, 34, "1.34.5"),
	kubernetes("1.12.1", 31, 35, 35, "1.35.2"),
	engineAPI("1.54", "1.11.8", "1.12.5"), // moby client v0.4
	kubernetes("1.12.8", 31, 36, 36, "1.36.1"),
	kubernetes("1.13.0-0", 32, 35, 35, "1.35.2"),
	kubernetes("1.13.1", 32, 36, 36, "1.36.1"),
	kubernetes("1.13.6", 32, 37, 36, "1.36.1"),

	// The core provider moves into /core: core/main.go, core/config/default.
	kubernetes("1.14.0-0", 33, 36, 36, "1.36.1"),
	engineAPI("1.55", "1.14.0-beta.0"), // moby client v0.5
	{[]string{"1.14.0-beta.1"}, func(r *Release) {
		r.Layout.CoreMain, r.Layout.CoreRoot = "./core", "core/config/default"
	}},
	kubernetes("1.14.1", 33, 37, 36, "1.36.1"),

	// On main, at ae7ff047db49, test/infrastructure/docker/api/v1beta2 has only
	// the Dev* kinds.
	{[]string{"1.15.0-0"}, func(r *Release) { r.DockerKinds = false }},
}
