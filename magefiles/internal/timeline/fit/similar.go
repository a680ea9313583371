package fit

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// Similarity is what the autoscaler finds when it compares two groups: it spreads new nodes
// over groups that are similar.
type Similarity struct {
	Other *world.Group
	// Differences make the groups not similar.
	Differences []string
	// Unknown says why the groups cannot be compared, empty if they can.
	Unknown string
}

// Similarities returns the comparison of a group with each other group that the autoscaler
// scales, the most similar first and those that cannot be compared last. Source: processors/nodegroupset/compare_nodegroups.go of 1.18.2
// to 1.36.1; 1.18.0 and 1.18.1 differ in how much memory may differ.
func (j *Judge) Similarities(g *world.Group) []Similarity {
	var all []Similarity
	here, _, known := j.newNode(g)
	for _, other := range j.Groups {
		if other == g || len(j.Outside(other)) > 0 {
			continue
		}
		s := Similarity{Other: other}
		switch there, _, otherKnown := j.newNode(other); {
		case !known:
			s.Unknown = "what a node of " + g.Name + " has is not known"
		case !otherKnown:
			s.Unknown = "what a node of it has is not known"
		default:
			s.Differences = j.differences(here, there)
		}
		all = append(all, s)
	}
	rank := func(s Similarity) int {
		if s.Unknown != "" {
			return math.MaxInt
		}
		return len(s.Differences)
	}
	slices.SortStableFunc(all, func(a, b Similarity) int { return cmp.Compare(rank(a), rank(b)) })
	return all
}

// newNode returns what the autoscaler expects of a new node of a group, and from what it knows
// that; ok is false if the record does not have it.
func (j *Judge) newNode(g *world.Group) (at place, basis string, ok bool) {
	at, basis, ok = j.next(g, &world.Pod{})
	return at, basis, ok && isEnough(at.allocatable)
}

// differences returns in what two groups' nodes differ for the autoscaler's comparator.
func (j *Judge) differences(here, there place) []string {
	if only := j.Autoscaler.List("balancing-label"); len(only) > 0 {
		return labelDifferences(only, here.labels, there.labels, true)
	}
	var found []string
	seen := map[corev1.ResourceName]bool{}
	compare := func(what string, a, b corev1.ResourceList, tolerance func(corev1.ResourceName) float64) {
		for _, name := range slices.Sorted(maps.Keys(union(a, b))) {
			x, inA := a[name]
			y, inB := b[name]
			more, less := float64(max(x.MilliValue(), y.MilliValue())), float64(min(x.MilliValue(), y.MilliValue()))
			if seen[name] || inA && inB && more-less <= more*tolerance(name) {
				continue
			}
			seen[name] = true
			found = append(found, fmt.Sprintf("%s %s: %s here, %s there%s", what, name, amountOrNone(name, x.MilliValue(), inA), amountOrNone(name, y.MilliValue(), inB), allowed(tolerance(name), inA && inB)))
		}
	}
	ratio := func(flag string) func(corev1.ResourceName) float64 {
		return func(corev1.ResourceName) float64 { return j.Autoscaler.Setting(flag).Number() }
	}
	compare("capacity", here.capacity, there.capacity, func(name corev1.ResourceName) float64 {
		if name == corev1.ResourceMemory {
			return ratio("memory-difference-ratio")(name)
		}
		return 0
	})
	compare("allocatable", here.allocatable, there.allocatable, ratio("max-allocatable-difference-ratio"))
	compare("free", here.free(), there.free(), ratio("max-free-difference-ratio"))
	ignored := slices.Concat(ignoredLabels, j.Autoscaler.List("balancing-ignore-label"))
	if j.Autoscaler.Release().IgnoresCloudLabels {
		ignored = slices.Concat(ignored, cloudLabels)
	}
	keys := slices.Sorted(maps.Keys(union(here.labels, there.labels)))
	keys = slices.DeleteFunc(keys, func(key string) bool { return slices.Contains(ignored, key) })
	return append(found, labelDifferences(keys, here.labels, there.labels, false)...)
}

// ignoredLabels make no difference between two groups, cloudLabels make none in some releases.
var (
	ignoredLabels = []string{
		corev1.LabelHostname, corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyZone, corev1.LabelTopologyRegion,
		"beta.kubernetes.io/fluentd-ds-ready", "kops.k8s.io/instancegroup",
	}
	cloudLabels = []string{
		"topology.ebs.csi.aws.com/zone", "topology.diskplugin.csi.alibabacloud.com/zone", "ibm-cloud.kubernetes.io/worker-id", "vpc-block-csi-driver-labels",
	}
)

// labelDifferences returns the keys of which two groups' nodes do not have the same value. If
// wanted is set, both must have the label.
func labelDifferences(keys []string, here, there map[string]string, wanted bool) []string {
	var found []string
	for _, key := range keys {
		a, inA := here[key]
		b, inB := there[key]
		if a != b || inA != inB || wanted && !inA {
			found = append(found, fmt.Sprintf("label %s: %s here, %s there", key, valueOrNone(a, inA), valueOrNone(b, inB)))
		}
	}
	return found
}

// free returns what is left of a group's new node beside the pods that every node gets. The
// autoscaler compares it for these resources, and for those that the pods request.
func (at place) free() corev1.ResourceList {
	free := corev1.ResourceList{}
	basic := corev1.ResourceList{corev1.ResourceCPU: {}, corev1.ResourceMemory: {}, corev1.ResourcePods: {}, corev1.ResourceEphemeralStorage: {}}
	for name := range union(basic, at.used) {
		left := at.allocatable[name]
		left.Sub(at.used[name])
		free[name] = left
	}
	return free
}

// union returns a map with the keys of both. The values are those of a where both have one.
func union[M ~map[K]V, K comparable, V any](a, b M) M {
	all := M{}
	maps.Copy(all, b)
	maps.Copy(all, a)
	return all
}

func amountOrNone(name corev1.ResourceName, milli int64, there bool) string {
	if !there {
		return "none"
	}
	return shape.Amount(name, milli)
}

func valueOrNone(value string, there bool) string {
	switch {
	case !there:
		return "none"
	case value == "":
		return `""`
	}
	return value
}

// allowed returns how much two amounts may differ, empty if not at all, or if only one is
// there.
func allowed(ratio float64, both bool) string {
	if ratio == 0 || math.IsNaN(ratio) || !both {
		return ""
	}
	return fmt.Sprintf(" (at most %s may differ)", shape.Percent(ratio))
}

// Offer is what a new node of a group has for pods, as the autoscaler expects it.
type Offer struct {
	// Basis says from what it is known.
	Basis string
	// Whole is the node's cpu, memory and devices, and Taken what DaemonSets and static pods
	// request of it.
	Whole, Taken string
	// Overfull says for each resource that they request more than the node has.
	Overfull []string
}

// Offer returns what the autoscaler expects of a new node of a group. It returns false if it
// knows nothing of the group's nodes.
func (j *Judge) Offer(g *world.Group) (Offer, bool) {
	at, basis, ok := j.newNode(g)
	if !ok {
		return Offer{}, false
	}
	o := Offer{Basis: basis}
	text := func(list corev1.ResourceList) string {
		cpu, memory := list[corev1.ResourceCPU], list[corev1.ResourceMemory]
		text := fmt.Sprintf("cpu %s, memory %s", shape.Amount(corev1.ResourceCPU, cpu.MilliValue()), shape.Amount(corev1.ResourceMemory, memory.MilliValue()))
		for _, name := range slices.Sorted(maps.Keys(list)) {
			if amount := list[name]; strings.Contains(string(name), "/") && !amount.IsZero() {
				text += fmt.Sprintf(", %s %s", name, shape.Amount(name, amount.MilliValue()))
			}
		}
		return text
	}
	o.Whole, o.Taken = text(at.allocatable), text(at.used)
	for _, name := range slices.Sorted(maps.Keys(at.used)) {
		all, used := at.allocatable[name], at.used[name]
		if used.Cmp(all) > 0 {
			o.Overfull = append(o.Overfull, string(name)+": "+at.alone(name))
		}
	}
	return o, true
}
