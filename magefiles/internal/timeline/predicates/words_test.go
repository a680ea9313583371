package predicates

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

const zone, host = corev1.LabelTopologyZone, corev1.LabelHostname

// selecting returns a selector for the label app.
func selecting(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// TestWordsOfSeveral: of several terms or constraints, the text tells those that refuse the node by
// themselves. If that is not known, it claims none of them.
func TestWordsOfSeveral(t *testing.T) {
	t.Parallel()
	terms := []corev1.PodAffinityTerm{{TopologyKey: host, LabelSelector: selecting("web")}, {TopologyKey: zone, LabelSelector: selecting("db")}, {TopologyKey: zone, LabelSelector: selecting("cache")}}
	affinity := &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms[1:]}, PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}}
	least := int32(3)
	pod := &world.Pod{Name: "default/p", Pod: shape.Pod{Affinity: affinity, Spread: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: host}, {MaxSkew: 1, TopologyKey: zone, MinDomains: &least}, {MaxSkew: 2, TopologyKey: zone}}}}
	counts := func(i int) map[string]int {
		return []map[string]int{{"n": 3}, {"a": 1, "b": 1}, {"a": 4, "b": 1, "c": 0}}[i]
	}
	const inZone = ` is in topology.kubernetes.io/zone "a"`
	for name, tc := range map[string]struct {
		reason string
		alone  []int
		new    bool
		want   string
	}{
		"one anti-affinity":          {AntiAffinityRefuses, []int{1}, false, "pod anti-affinity to app=db by topology.kubernetes.io/zone: such a pod" + inZone},
		"two anti-affinities":        {AntiAffinityRefuses, []int{0, 2}, false, "pod anti-affinity to app=web by kubernetes.io/hostname: such a pod is on the node; app=cache by topology.kubernetes.io/zone: such a pod" + inZone},
		"an unknown one":             {AntiAffinityRefuses, nil, false, "one of these is violated: pod anti-affinity to app=web by kubernetes.io/hostname: such a pod is on the node; app=db by topology.kubernetes.io/zone: such a pod" + inZone + "; app=cache by topology.kubernetes.io/zone: such a pod" + inZone},
		"an unknown one, a new node": {AntiAffinityRefuses, nil, true, "one of these is violated: pod anti-affinity to app=db by topology.kubernetes.io/zone: such a pod" + inZone + "; app=cache by topology.kubernetes.io/zone: such a pod" + inZone},
		"one affinity":               {AffinityRefuses, []int{1}, false, "pod affinity to app=cache by topology.kubernetes.io/zone: no such pod" + inZone},
		"both affinities together":   {AffinityRefuses, nil, false, "pod affinity to app=db by topology.kubernetes.io/zone, app=cache by topology.kubernetes.io/zone: no pod that matches all of these" + inZone},
		"one constraint":             {SpreadRefuses, []int{2}, false, `topology spread: too many of its pods are in topology.kubernetes.io/zone "a" already: maxSkew 2 over topology.kubernetes.io/zone (a: 4, b: 1, c: 0)`},
		"too few domains":            {SpreadRefuses, []int{1}, false, `topology spread: too many of its pods are in topology.kubernetes.io/zone "a" already: maxSkew 1 over topology.kubernetes.io/zone (a: 1, b: 1; fewer than minDomains 3, so the least counts as 0)`},
		"an unknown constraint, a new node": {
			SpreadRefuses, nil, true,
			`topology spread: one of these is violated: too many of its pods are in topology.kubernetes.io/zone "a" already: maxSkew 1 over topology.kubernetes.io/zone (a: 1, b: 1; fewer than minDomains 3, so the least counts as 0); maxSkew 2 over topology.kubernetes.io/zone (a: 4, b: 1, c: 0)`,
		},
	} {
		got, _ := Refusal{Reasons: []string{tc.reason}, Alone: tc.alone}.Words(Subject{Pod: pod, Node: "n", Labels: map[string]string{zone: "a", host: "n"}, Where: "the node", New: tc.new, Counts: counts})
		if got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tc.want)
		}
	}
}

// TestWordsOfNamespaces: a term that is not about the pod's own namespace says so.
func TestWordsOfNamespaces(t *testing.T) {
	t.Parallel()
	for want, term := range map[string]corev1.PodAffinityTerm{
		"app=web by " + zone:                                                   {},
		"app=web by " + zone + " in the namespace a":                           {Namespaces: []string{"a"}},
		"app=web by " + zone + " in the namespaces a, b":                       {Namespaces: []string{"a", "b"}},
		"app=web by " + zone + " in all namespaces":                            {Namespaces: []string{"a"}, NamespaceSelector: &metav1.LabelSelector{}},
		"app=web by " + zone + " in namespaces with app=x":                     {NamespaceSelector: selecting("x")},
		"app=web by " + zone + " in the namespace a and namespaces with app=x": {Namespaces: []string{"a"}, NamespaceSelector: selecting("x")},
	} {
		term.TopologyKey, term.LabelSelector = zone, selecting("web")
		if got, _ := affinityTerms([]corev1.PodAffinityTerm{term}); got[0] != want {
			t.Errorf("%s, want %s", got[0], want)
		}
	}
}

// TestWordsOfVolumes: of several claims and volumes, only those are told that do not match the node.
func TestWordsOfVolumes(t *testing.T) {
	t.Parallel()
	volume := func(name, claim, in string) *corev1.PersistentVolume {
		v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
		v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: claim}
		v.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: zone, Operator: corev1.NodeSelectorOpIn, Values: []string{in}}}}}}}
		return v
	}
	claim := func(name, volume, class, node string) *corev1.PersistentVolumeClaim {
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PersistentVolumeClaimSpec{VolumeName: volume, StorageClassName: &class}}
		if node != "" {
			c.Annotations = map[string]string{selectedNode: node}
		}
		return c
	}
	class := func(name, in string) *storagev1.StorageClass {
		return &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, AllowedTopologies: []corev1.TopologySelectorTerm{{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: zone, Values: []string{in}}}}}}
	}
	pod := &world.Pod{Name: "default/p", Pod: shape.Pod{Claims: []string{"data", "logs"}}}
	tracked, size := true, resource.MustParse("10Gi")
	drivers := []*storagev1.CSIDriver{{ObjectMeta: metav1.ObjectMeta{Name: "disk"}, Spec: storagev1.CSIDriverSpec{StorageCapacity: &tracked}}}
	late := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "late"}, Provisioner: "disk"}
	big := claim("logs", "", "late", "")
	big.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("20Gi")}
	left := func(in string) *storagev1.CSIStorageCapacity {
		return &storagev1.CSIStorageCapacity{StorageClassName: "late", Capacity: &size, NodeTopology: &metav1.LabelSelector{MatchLabels: map[string]string{zone: in}}}
	}
	here, there := class("here", "a"), class("there", "b")
	for name, tc := range map[string]struct {
		reason string
		has    world.Storage
		want   string
	}{
		"a volume elsewhere, and one here": {
			VolumeIsElsewhere, world.Storage{Volumes: []*corev1.PersistentVolume{volume("v1", "data", "a"), volume("v2", "logs", "b"), volume("v3", "other", "b")}},
			"volumes: the PersistentVolume v2 of its claim logs wants " + zone + " In [b], and that does not match the node",
		},
		"a claim without a volume, and one with": {
			NoVolumeHere, world.Storage{Claims: []*corev1.PersistentVolumeClaim{claim("data", "v1", "there", ""), claim("logs", "", "there", "")}, Classes: []*storagev1.StorageClass{here, there}},
			"volumes: no PersistentVolume for it here, and none can be provisioned: the StorageClass there of its claim logs wants " + zone + " In [b]",
		},
		"a class that provisions here": {
			NoVolumeHere, world.Storage{Claims: []*corev1.PersistentVolumeClaim{claim("data", "", "here", ""), claim("logs", "", "there", "")}, Classes: []*storagev1.StorageClass{here, there}},
			"volumes: no PersistentVolume for it here, and none can be provisioned: the StorageClass there of its claim logs wants " + zone + " In [b]",
		},
		"too little storage is left": {
			StorageIsFull, world.Storage{Claims: []*corev1.PersistentVolumeClaim{claim("data", "", "late", ""), big}, Classes: []*storagev1.StorageClass{late}, Drivers: drivers, Capacities: []*storagev1.CSIStorageCapacity{left("a"), left("b")}},
			"volumes: its claim logs requests 20Gi of the StorageClass late, and the driver disk reports 10Gi for the node",
		},
		"no storage is left": {
			StorageIsFull, world.Storage{Claims: []*corev1.PersistentVolumeClaim{big}, Classes: []*storagev1.StorageClass{late}, Drivers: drivers, Capacities: []*storagev1.CSIStorageCapacity{left("b")}},
			"volumes: its claim logs requests 20Gi of the StorageClass late, and the driver disk reports none for the node",
		},
		"a node is chosen": {
			NoVolumeHere, world.Storage{Claims: []*corev1.PersistentVolumeClaim{claim("data", "", "here", "other"), claim("logs", "", "there", "")}, Classes: []*storagev1.StorageClass{here, there}},
			"volumes: the scheduler has chosen the node other for the volume of its claim data",
		},
		"this node is chosen": {
			NoVolumeHere, world.Storage{Claims: []*corev1.PersistentVolumeClaim{claim("data", "", "here", "n")}, Classes: []*storagev1.StorageClass{here}},
			"volumes: no PersistentVolume for it here, and none can be provisioned",
		},
	} {
		got, _ := Refusal{Reasons: []string{tc.reason}}.Words(Subject{Pod: pod, Node: "n", Labels: map[string]string{zone: "a", host: "n"}, Where: "the node", Storage: tc.has})
		if got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tc.want)
		}
	}
}

// TestWanted: a claim may want several kinds of devices, all of a kind, or one of several kinds.
func TestWanted(t *testing.T) {
	t.Parallel()
	exactly := func(class string, mode resourcev1.DeviceAllocationMode, n int64) resourcev1.DeviceRequest {
		return resourcev1.DeviceRequest{Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: class, AllocationMode: mode, Count: n}}
	}
	c := &resourcev1.ResourceClaim{}
	c.Spec.Devices.Requests = []resourcev1.DeviceRequest{
		exactly("gpu", resourcev1.DeviceAllocationModeExactCount, 1), exactly("nic", resourcev1.DeviceAllocationModeAll, 0),
		{FirstAvailable: []resourcev1.DeviceSubRequest{{DeviceClassName: "big", Count: 1}, {DeviceClassName: "gpu", Count: 2}}},
	}
	if got, want := wanted(c), "1 device of the DeviceClass gpu and all devices of the DeviceClass nic and 1 device of the DeviceClass big or 2 devices of the DeviceClass gpu"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := strings.Join(ClassesOf(c), " "), "gpu nic big"; got != want {
		t.Errorf("the classes are %s, want %s", got, want)
	}
}

// TestWordsOfGenerations: while a driver replaces the slices of a pool, the old ones do not count.
func TestWordsOfGenerations(t *testing.T) {
	t.Parallel()
	slice := func(generation, of int64, devices int) *resourcev1.ResourceSlice {
		return &resourcev1.ResourceSlice{Spec: resourcev1.ResourceSliceSpec{
			Driver: "d", Pool: resourcev1.ResourcePool{Name: "n", Generation: generation, ResourceSliceCount: of}, Devices: make([]resourcev1.Device, devices),
		}}
	}
	const wants, here = "devices: it requests a resource that a DeviceClass gives; the autoscaler expects ", " of d on a new node"
	for name, tc := range map[string]struct {
		slices []*resourcev1.ResourceSlice
		want   string
	}{
		"an old one is left":          {[]*resourcev1.ResourceSlice{slice(2, 1, 3), slice(1, 1, 2)}, wants + "3 devices" + here},
		"two are old, one is to come": {[]*resourcev1.ResourceSlice{slice(1, 2, 1), slice(1, 2, 1), slice(2, 2, 4)}, wants + "4 devices" + here + ", and takes their pool for incomplete (a bug upstream)"},
	} {
		got, _ := Refusal{Reasons: []string{NoDevicesHere}}.Words(Subject{Pod: &world.Pod{Name: "default/p"}, Node: "n", New: true, Where: "the template", Slices: tc.slices})
		if got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tc.want)
		}
	}
}
