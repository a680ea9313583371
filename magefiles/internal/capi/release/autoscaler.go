package release

import (
	"fmt"

	version "github.com/hashicorp/go-version"
)

// Prefixes of the annotations that have a node group's sizes.
const (
	OldSizePrefix = "cluster.k8s.io"
	SizePrefix    = "cluster.x-k8s.io"
)

// Autoscaler is what the lab knows about a release of the cluster autoscaler, or about
// a branch before its release.
type Autoscaler struct {
	Version *version.Version

	// Works reports whether it works when today's Go compiles it.
	Works bool
	// SizePrefix begins the annotations with a node group's sizes.
	SizePrefix string
	// AutoDiscovery reports whether it takes --node-group-auto-discovery for
	// Cluster API, and --cloud-config for another management cluster.
	AutoDiscovery bool
	// APIVariable reports whether it takes the version of Cluster API's API from
	// the environment variable CAPI_VERSION.
	APIVariable bool
	// GroupReferences reports whether it understands references that name a
	// group and no version, as objects of v1beta2 have them.
	GroupReferences bool
}

// OfAutoscaler returns what is known about a release of the cluster autoscaler. A
// pre-release has the facts of its release.
func OfAutoscaler(v *version.Version) Autoscaler {
	a := fold(v.Core(), autoscalers, oldestAutoscaler())
	a.Version = v
	return a
}

// FirstAutoscaler returns the first release of the cluster autoscaler for which has is
// true, such as 1.23.0.
func FirstAutoscaler(has func(Autoscaler) bool) string {
	return first(autoscalers, oldestAutoscaler(), has)
}

// oldestAutoscaler has the facts of 1.18.0, the first with Cluster API as a
// provider: cluster-autoscaler/cloudprovider/clusterapi/clusterapi_utils.go.
func oldestAutoscaler() Autoscaler { return Autoscaler{SizePrefix: OldSizePrefix} }

// autoscalers is the table of the autoscaler's releases, read from upstream's
// tags cluster-autoscaler-1.18.0 to cluster-autoscaler-1.36.1. Paths are below
// cluster-autoscaler/cloudprovider/clusterapi where they do not begin with /.
var autoscalers = []change[Autoscaler]{
	// clusterapi_utils.go (annotations), clusterapi_autodiscovery.go,
	// clusterapi_provider.go (--cloud-config).
	{[]string{"1.18.3", "1.19.1"}, func(a *Autoscaler) { a.SizePrefix, a.AutoDiscovery = SizePrefix, true }},
	// /cluster-autoscaler/go.mod and vendor/modules.txt: reflect2 v1.0.2. Programs
	// with v1.0.1, which older ones pin, panic when today's Go compiled them.
	{[]string{"1.23.0"}, func(a *Autoscaler) { a.Works = true }},
	// clusterapi_controller.go: getCAPIVersion.
	{[]string{"1.24.0"}, func(a *Autoscaler) { a.APIVariable = true }},
	// clusterapi_unstructured.go: the reference's apiGroup.
	{[]string{"1.30.6", "1.31.4", "1.32.3", "1.33.1", "1.34.0"}, func(a *Autoscaler) { a.GroupReferences = true }},
}

// dev is the pre-release of the version of a branch.
const dev = "dev"

// After returns the version of the branch after minor 1.N: the next minor's first
// release with the pre-release dev, such as 1.37.0-dev.
func After(minor int) *version.Version {
	return must(fmt.Sprintf("1.%d.0-%s", minor+1, dev))
}

// String returns the autoscaler's release or, for a version of After, "master, after
// 1.N".
func (a Autoscaler) String() string { return Name(a.Version) }

// Name returns the name of a version, as String does.
func Name(v *version.Version) string {
	if v.Prerelease() != dev {
		return v.String()
	}
	_, minor := MajorMinor(v)
	return fmt.Sprintf("master, after 1.%d", minor-1)
}
