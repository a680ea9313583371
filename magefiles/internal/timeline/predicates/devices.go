package predicates

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/world"
)

// ClassesOf returns the DeviceClasses that a claim names.
func ClassesOf(c *resourcev1.ResourceClaim) []string {
	var names []string
	for _, r := range c.Spec.Devices.Requests {
		if r.Exactly != nil {
			names = timeline.AppendUnique(names, r.Exactly.DeviceClassName)
		}
		for _, s := range r.FirstAvailable {
			names = timeline.AppendUnique(names, s.DeviceClassName)
		}
	}
	return names
}

// wanted returns what a claim wants, as text: "2 devices of the DeviceClass gpu".
func wanted(c *resourcev1.ResourceClaim) string {
	amount := func(mode resourcev1.DeviceAllocationMode, n int64, class string) string {
		if mode == resourcev1.DeviceAllocationModeAll {
			return "all devices of the DeviceClass " + class
		}
		return timeline.Plural(int(max(1, n)), "device") + " of the DeviceClass " + class
	}
	var all []string
	for _, r := range c.Spec.Devices.Requests {
		if r.Exactly != nil {
			all = append(all, amount(r.Exactly.AllocationMode, r.Exactly.Count, r.Exactly.DeviceClassName))
			continue
		}
		var either []string
		for _, s := range r.FirstAvailable {
			either = append(either, amount(s.AllocationMode, s.Count, s.DeviceClassName))
		}
		all = append(all, strings.Join(either, " or "))
	}
	return strings.Join(all, " and ")
}

// claims returns the pod's claims that are on record and for which is returns true.
func (s Subject) claims(is func(*resourcev1.ResourceClaim) bool) []*resourcev1.ResourceClaim {
	var found []*resourcev1.ResourceClaim
	for _, d := range s.Pod.DeviceClaims {
		if c := s.Devices.Claim(s.Pod.Namespace(), d.Claim); c != nil && is(c) {
			found = append(found, c)
		}
	}
	return found
}

// lackingDevices says that the node lacks devices for the pod's claims. It does not say which
// devices belong to a DeviceClass: only the filter knows that.
func (s Subject) lackingDevices() (text, change string) {
	var wants []string
	for _, c := range s.claims(func(c *resourcev1.ResourceClaim) bool { return c.Status.Allocation == nil }) {
		wants = append(wants, fmt.Sprintf("its ResourceClaim %s wants %s", c.Name, wanted(c)))
	}
	if len(wants) == 0 {
		wants = append(wants, "it requests a resource that a DeviceClass gives") // without a claim
	}
	has := s.Where + " has "
	if s.New {
		has = "the autoscaler expects "
	}
	text, change = fmt.Sprintf("devices: %s; %s%s", strings.Join(wants, ", and "), has, s.devices()), "a node with such devices that are free, or a claim for fewer"
	if s.New && s.incomplete() {
		text += " on a new node, and takes their pool for incomplete (a bug upstream)"
		change = "a node in the group: the autoscaler expects devices like its own"
	} else if s.New {
		text += " on a new node"
	}
	return text, change
}

// incomplete reports whether a pool of the node lacks ResourceSlices.
func (s Subject) incomplete() bool {
	return slices.ContainsFunc(world.PoolsOf(s.Slices), func(p world.Pool) bool { return !p.IsComplete() })
}

// devices returns the devices of the node as text.
func (s Subject) devices() string {
	all, allocated := map[string]int{}, map[string]int{}
	for _, p := range world.PoolsOf(s.Slices) {
		n, used := s.Devices.Count(p)
		if n > 0 {
			all[p.Driver] += n
			allocated[p.Driver] += used
		}
	}
	var texts []string
	for _, driver := range slices.Sorted(maps.Keys(all)) {
		text := fmt.Sprintf("%s of %s", timeline.Plural(all[driver], "device"), driver)
		if n := allocated[driver]; n > 0 {
			text += fmt.Sprintf(" (%d allocated)", n)
		}
		texts = append(texts, text)
	}
	return cmp.Or(strings.Join(timeline.SomeOf(texts, maxDomains), ", "), "no devices")
}

// whereDevicesAre describes that claims have devices that the node cannot use.
func (s Subject) whereDevicesAre() (text, change string) {
	var texts []string
	for _, c := range s.claims(func(c *resourcev1.ResourceClaim) bool {
		return c.Status.Allocation != nil && c.Status.Allocation.NodeSelector != nil
	}) {
		selector := c.Status.Allocation.NodeSelector
		node := nodeOf(selector)
		if node == s.Node {
			continue
		}
		where := "on nodes with " + TermsText(selector)
		if node != "" {
			where = "on the node " + node
		}
		texts = append(texts, fmt.Sprintf("the devices of its ResourceClaim %s are %s", c.Name, where))
	}
	return "devices: " + cmp.Or(strings.Join(texts, "; "), "those of its ResourceClaims are elsewhere"), "that node, or a ResourceClaim that is not allocated"
}

// nodeOf returns the name of the only node that a selector selects, empty if it selects by something else.
func nodeOf(s *corev1.NodeSelector) string {
	if len(s.NodeSelectorTerms) != 1 || len(s.NodeSelectorTerms[0].MatchExpressions) > 0 || len(s.NodeSelectorTerms[0].MatchFields) != 1 {
		return ""
	}
	if f := s.NodeSelectorTerms[0].MatchFields[0]; f.Key == metav1.ObjectNameField && len(f.Values) == 1 && f.Operator == corev1.NodeSelectorOpIn {
		return f.Values[0]
	}
	return ""
}
