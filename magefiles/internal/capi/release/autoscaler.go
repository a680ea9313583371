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

// CapacityPrefix begins the annotations that tell the autoscaler what a node of an empty
// group will have.
const CapacityPrefix = "capacity.cluster-autoscaler.kubernetes.io/"

// SizeAnnotation returns the name of the annotation with a bound of a node group's size:
// which is min or max, and prefix is SizePrefix or OldSizePrefix.
func SizeAnnotation(prefix, which string) string {
	return prefix + "/cluster-api-autoscaler-node-group-" + which + "-size"
}

// Autoscaler is what the lab knows about a release of the cluster autoscaler, or about
// a branch before its release.
type Autoscaler struct {
	Version *version.Version

	// Newer reports whether the release's minor is newer than the table. Its
	// facts are then those of the newest minor.
	Newer bool
	// Supported reports whether the release has a provider for Cluster API.
	Supported bool
	// Toolchain is the Go that compiles the release, such as go1.13.15, if a
	// program that today's Go compiles panics. Otherwise it is empty.
	Toolchain string
	// SizePrefix begins the annotations with a node group's sizes.
	SizePrefix string
	// AutoDiscovery reports whether it takes --node-group-auto-discovery for
	// Cluster API, and --cloud-config for another management cluster.
	AutoDiscovery bool
	// APIVariable reports whether it takes the version of Cluster API's API from
	// the environment variable CAPI_VERSION.
	APIVariable bool
	// OldestAPI and NewestAPI are the first and the last version of Cluster
	// API's API with which the release works. It uses the group's preferred
	// version, unless it has an APIVariable or OnlyAPI is true.
	OldestAPI, NewestAPI string
	// OnlyAPI reports whether the release uses only OldestAPI, whatever version
	// the cluster prefers.
	OnlyAPI bool
	// GroupReferences reports whether it understands references that name a
	// group and no version, as objects of v1beta2 have them.
	GroupReferences bool
	// FromZero reports whether it scales up a group that has no node.
	FromZero bool
	// KnowsEmptyGroups reports whether it reads the labels and taints of an empty group from
	// the annotations of its capacity. Otherwise a pod that selects the group by a label fits
	// on none of its nodes.
	KnowsEmptyGroups bool
	// SkipsPaused reports whether it leaves out groups with Cluster API's annotation
	// paused.
	SkipsPaused bool
	// TemplateTaints reports whether it expects the taints of a group's machine
	// template on the nodes of an empty group.
	TemplateTaints bool
	// SystemOfTemplate reports whether it labels the nodes of an empty group with the
	// architecture and the operating system in the status of the group's infrastructure
	// template, and with empty values if that has none.
	SystemOfTemplate bool
	// IgnoresCloudLabels reports whether labels of some clouds make no difference when it
	// compares groups of Cluster API.
	IgnoresCloudLabels bool
	// DaemonSetsOfWhole reports whether it computes the utilisation as a share of everything
	// that a node has, even if pods of DaemonSets do not count.
	DaemonSetsOfWhole bool
	// RemovesAtThreshold reports whether it removes a node whose utilisation is at the
	// threshold, and not only one below it.
	RemovesAtThreshold bool
	// BudgetsBindSafePods reports whether PodDisruptionBudgets block pods with the
	// annotation safe-to-evict too, when it looks for nodes to remove.
	BudgetsBindSafePods bool
	// GroupOptions reports whether it reads annotations autoscaling-options of a group.
	GroupOptions bool
	// EvictsSystemPods reports whether it evicts pods of kube-system after some time.
	EvictsSystemPods bool
	// ReleasesVolumes reports whether it reads the annotation safe-to-evict-local-volumes of a
	// pod, and MemoryIsLocal whether an emptyDir in memory is local storage for it too.
	ReleasesVolumes, MemoryIsLocal bool
	// PodDelays reports whether it reads the annotation pod-scale-up-delay of a pod.
	PodDelays bool
	// TrustsNominations reports whether it counts a pod on the node that the scheduler nominated for
	// it even if that node is gone, and so never adds a node for the pod.
	TrustsNominations bool
	// WaitsForCompletion reports whether it knows the value on-completion of the
	// annotation safe-to-evict.
	WaitsForCompletion bool
	// StableExamples is set if the autoscaler takes an existing node as the example for new nodes
	// only after that node has been Ready for a minute.
	StableExamples bool
	// RemembersExamples reports whether it goes on to use the last example of a group when no node
	// of the group is one, for as long as its process runs and the group is one of its node groups.
	RemembersExamples bool
	// AddsCriticalPods reports whether it expects the pods of DaemonSets with the priority class
	// system-node-critical on a new node even if the example has none of them, without --force-ds.
	AddsCriticalPods bool
	// Devices reports whether it has --enable-dynamic-resource-allocation, without which it does not
	// look at the devices that pods claim, and AlwaysDevices whether it always looks at them.
	Devices, AlwaysDevices bool
	// DevicesOfEmptyGroups reports whether it reads the devices of an empty group from the
	// annotations of its capacity, and DevicesAsResources whether it knows extended resources that
	// a DeviceClass provides.
	DevicesOfEmptyGroups, DevicesAsResources bool
	// Expander is the default of --expander.
	Expander string
	// DebuggingSnapshots reports whether it serves a snapshot of what it knows, with
	// --debugging-snapshot-enabled.
	DebuggingSnapshots bool
	// ClientLimits reports whether it has --kube-client-qps and --kube-client-burst. Without
	// them its clients make 5 requests a second, and with many groups one loop takes minutes.
	ClientLimits bool
	// Defects says what the release cannot do, each as one sentence without a
	// full stop.
	Defects []string
}

// OfAutoscaler returns what is known about a release of the cluster autoscaler. A
// pre-release has the facts of its release.
func OfAutoscaler(v *version.Version) Autoscaler {
	a := fold(v.Core(), autoscalers, oldestAutoscaler())
	a.Version = v
	last := must(newestAutoscaler)
	a.Newer = v.Prerelease() != dev && v.Core().GreaterThan(last) && !SameMinor(v, last)
	return a
}

// Doubts returns what is uncertain about the release, each as one sentence
// without a full stop.
func (a Autoscaler) Doubts() []string {
	if !a.Newer {
		return nil
	}
	return []string{fmt.Sprintf("the autoscaler %s is newer than this lab knows: it is treated as %s", a.Version, newestAutoscaler)}
}

// DoubtsWith returns what is uncertain about the autoscaler in a cluster of the release r.
// Releases of Cluster API with v1beta2 serve v1beta1 too, and those before v0.4 serve
// v1alpha2 too.
func (a Autoscaler) DoubtsWith(r Release) []string {
	reads := func(api string) bool { return a.OldestAPI <= api && api <= a.NewestAPI }
	if reads(r.API) || r.API == V1Beta2 && reads(V1Beta1) || r.API == V1Alpha3 && reads("v1alpha2") {
		return nil
	}
	return []string{fmt.Sprintf("the autoscaler %s reads no API newer than %s, and Cluster API v%s has %s; the autoscaler %s is paired with it",
		a.Version, a.NewestAPI, r.Version, r.API, r.DefaultAutoscaler)}
}

// newestAutoscaler is the newest release that the table was read from.
const newestAutoscaler = "1.36.1"

// FirstAutoscaler returns the first release of the cluster autoscaler for which has is
// true, such as 1.23.0.
func FirstAutoscaler(has func(Autoscaler) bool) string {
	return first(autoscalers, oldestAutoscaler(), has)
}

// Defects of the first releases.
const (
	asksForAlpha2   = "it reads v1alpha2 alone, which Cluster API v0.3 serves beside v1alpha3"
	noAutoDiscovery = "it has no --node-group-auto-discovery and no --cloud-config: every group with the annotations is its own, and the cluster must manage itself"
	marksOldNames   = "it marks machines for deletion with cluster.k8s.io/delete-machine, which Cluster API from v0.4 on ignores"
	saysDev         = `its version file says "dev"`
)

// oldestAutoscaler has the facts of 1.18.0, the first with Cluster API as a provider. Read
// from that tag: cluster-autoscaler/go.mod and builder/Dockerfile (Go 1.13), and in
// cluster-autoscaler/cloudprovider/clusterapi clusterapi_utils.go (sizes),
// clusterapi_controller.go (defaultMachineAPI) and clusterapi_machinedeployment.go (the
// mark). controllers/machineset_delete_policy.go of Cluster API v0.3.25 knows the mark,
// that of v0.4.0 does not. nodeInfoCache is in
// cluster-autoscaler/core/utils/utils.go, and later in
// processors/nodeinfosprovider/mixed_nodeinfos_processor.go, in all releases up to 1.36.1.
func oldestAutoscaler() Autoscaler {
	return Autoscaler{
		Toolchain: "go1.13.15", SizePrefix: OldSizePrefix, DaemonSetsOfWhole: true, BudgetsBindSafePods: true, MemoryIsLocal: true, RemembersExamples: true, Expander: "random",
		OldestAPI: "v1alpha2", NewestAPI: "v1alpha2", OnlyAPI: true,
		Defects: []string{asksForAlpha2, noAutoDiscovery, marksOldNames},
	}
}

// toolchain sets the Go that compiles: the newer one of "go" in /cluster-autoscaler/go.mod
// and "FROM golang" in /builder/Dockerfile, at its last patch. All of these releases pin
// github.com/modern-go/reflect2 v1.0.1 (go.mod and vendor/modules.txt), with which a
// program panics if Go 1.18 or a later one compiled it.
func toolchain(since, name string) change[Autoscaler] {
	return change[Autoscaler]{since: []string{since}, apply: func(a *Autoscaler) { a.Toolchain = name }}
}

// autoscalers is the table of the autoscaler's releases, read from upstream's
// tags cluster-autoscaler-1.18.0 to cluster-autoscaler-1.36.1. Paths are below
// cluster-autoscaler/cloudprovider/clusterapi where they do not begin with /. Which flags
// exist is in the table of package autoscaler.
var autoscalers = []change[Autoscaler]{
	// Since this release the folder exists.
	{[]string{"1.18.0"}, func(a *Autoscaler) { a.Supported = true }},
	// clusterapi_controller.go: getAPIGroupPreferredVersion.
	{[]string{"1.18.2", "1.19.0"}, func(a *Autoscaler) {
		a.OldestAPI, a.NewestAPI, a.OnlyAPI = "v1alpha3", "v1alpha3", false
		a.Defects = []string{noAutoDiscovery, marksOldNames}
	}},
	toolchain("1.19.0", "go1.14.15"),
	// clusterapi_utils.go (annotations), clusterapi_autodiscovery.go,
	// clusterapi_provider.go (--cloud-config), clusterapi_unstructured.go (objects
	// without Go types; no references are read).
	{[]string{"1.18.3", "1.19.1"}, func(a *Autoscaler) {
		a.SizePrefix, a.AutoDiscovery, a.NewestAPI, a.Defects = SizePrefix, true, V1Beta2, nil
	}},
	toolchain("1.20.0", "go1.15.15"),
	// /cluster-autoscaler/simulator/cluster.go: CalculateUtilizationOfResource.
	{[]string{"1.20.0"}, func(a *Autoscaler) { a.DaemonSetsOfWhole = false }},
	toolchain("1.21.0", "go1.16.15"),
	// /cluster-autoscaler/go.mod and vendor/modules.txt: reflect2 v1.0.2.
	toolchain("1.23.0", ""),
	// /cluster-autoscaler/processors/nodegroupset/clusterapi_nodegroups.go, which
	// releases from 1.27.1 on do not have.
	{[]string{"1.23.0"}, func(a *Autoscaler) { a.IgnoresCloudLabels = true }},
	// clusterapi_controller.go: getCAPIVersion.
	{[]string{"1.24.0"}, func(a *Autoscaler) { a.APIVariable = true }},
	// /cluster-autoscaler/main.go: debugging-snapshot-enabled and /snapshotz.
	{[]string{"1.24.0"}, func(a *Autoscaler) { a.DebuggingSnapshots = true }},
	// /cluster-autoscaler/processors/nodeinfosprovider/mixed_nodeinfos_processor.go:
	// stabilizationDelay.
	{[]string{"1.24.0"}, func(a *Autoscaler) { a.StableExamples = true }},
	// clusterapi_unstructured.go: readInfrastructureReferenceResource wants an
	// apiVersion, which references of v1beta2 do not have.
	{[]string{"1.25.0"}, func(a *Autoscaler) { a.NewestAPI = "v1beta1" }},
	// clusterapi_nodegroup.go: TemplateNodeInfo returned ErrNotImplemented until then.
	{[]string{"1.25.0"}, func(a *Autoscaler) { a.FromZero = true }},
	// /cluster-autoscaler/core/static_autoscaler.go: PodScaleUpDelayAnnotationKey.
	{[]string{"1.26.0"}, func(a *Autoscaler) { a.PodDelays = true }},
	// clusterapi_utils.go: labelsKey and taintsKey. There is no tag of 1.27.0.
	{[]string{"1.27.1"}, func(a *Autoscaler) { a.KnowsEmptyGroups, a.IgnoresCloudLabels = true, false }},
	// /cluster-autoscaler/utils/drain/drain.go: SafeToEvictLocalVolumesKey.
	{[]string{"1.24.2", "1.25.2", "1.26.3", "1.27.1"}, func(a *Autoscaler) { a.ReleasesVolumes = true }},
	// /cluster-autoscaler/utils/drain/drain.go: isLocalVolume. There is no tag of 1.27.0.
	{[]string{"1.27.1"}, func(a *Autoscaler) { a.MemoryIsLocal = false }},
	// /cluster-autoscaler/main.go: kube-client-qps and kube-client-burst, with the defaults 5
	// and 10 of client-go.
	{[]string{"1.27.1"}, func(a *Autoscaler) { a.ClientLimits = true }},
	// /cluster-autoscaler/simulator/drainability/rules: the rule SafeToEvict comes before
	// the rule PDB. Until then, simulator/drain.go asked the budgets of all pods.
	{[]string{"1.29.0"}, func(a *Autoscaler) { a.BudgetsBindSafePods = false }},
	// clusterapi_nodegroup.go: GetOptions.
	{[]string{"1.31.0"}, func(a *Autoscaler) { a.GroupOptions = true }},
	// /cluster-autoscaler/main.go: enable-dynamic-resource-allocation, false by default.
	{[]string{"1.32.0"}, func(a *Autoscaler) { a.Devices = true }},
	// clusterapi_unstructured.go: InstanceResourceSlices.
	{[]string{"1.33.0"}, func(a *Autoscaler) { a.DevicesOfEmptyGroups = true }},
	// /cluster-autoscaler/config/flags/flags.go: blocking-system-pod-distruption-timeout.
	{[]string{"1.33.0"}, func(a *Autoscaler) { a.EvictsSystemPods = true }},
	// /cluster-autoscaler/simulator/node_info_utils.go: isPreemptingSystemNodeCritical.
	{[]string{"1.33.0"}, func(a *Autoscaler) { a.AddsCriticalPods = true }},
	// /cluster-autoscaler/config/flags/flags.go: expander. Until then, main.go had it.
	{[]string{"1.33.0"}, func(a *Autoscaler) { a.Expander = "least-waste" }},
	// clusterapi_unstructured.go: the reference's apiGroup.
	{[]string{"1.30.6", "1.31.4", "1.32.3", "1.33.1", "1.34.0"}, func(a *Autoscaler) {
		a.GroupReferences, a.NewestAPI = true, V1Beta2
	}},
	// /cluster-autoscaler/core/scaledown/eligibility/eligibility.go: the utilisation is
	// compared with > instead of >=.
	{[]string{"1.32.6", "1.33.4", "1.34.3", "1.35.0"}, func(a *Autoscaler) { a.RemovesAtThreshold = true }},
	// clusterapi_nodegroup.go: buildTemplateLabels, and clusterapi_unstructured.go:
	// systemInfoFromInfrastructureObject, which returns an empty NodeSystemInfo.
	{[]string{"1.35.0"}, func(a *Autoscaler) { a.SystemOfTemplate = true }},
	// /cluster-autoscaler/config/flags/flags.go: it ends with --enable-dynamic-resource-allocation=false.
	{[]string{"1.35.0"}, func(a *Autoscaler) { a.AlwaysDevices = true }},
	// k8s.io/kubernetes in go.mod: the feature gate DRAExtendedResource is on by default from 1.36.
	{[]string{"1.36.0"}, func(a *Autoscaler) { a.DevicesAsResources = true }},
	// clusterapi_controller.go: nodeGroups and isScalableResourceAndPaused.
	// clusterapi_unstructured.go: Taints reads spec.template.spec.taints.
	{[]string{"1.36.0"}, func(a *Autoscaler) { a.SkipsPaused, a.TemplateTaints = true, true }},
	// /cluster-autoscaler/utils/kubernetes/listers.go: ArrangePodsBySchedulability. Until then,
	// core/utils/expendable.go looked for the node.
	{[]string{"1.36.0"}, func(a *Autoscaler) { a.TrustsNominations = true }},
	// /cluster-autoscaler/utils/drain/drain.go: PodSafeToEvictOnCompletionValue.
	{[]string{"1.36.0"}, func(a *Autoscaler) { a.WaitsForCompletion = true }},
	// /cluster-autoscaler/version/version.go.
	{[]string{"1.36.0"}, func(a *Autoscaler) { a.Defects = []string{saysDev} }},
	{[]string{"1.36.1"}, func(a *Autoscaler) { a.Defects = nil }},
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
