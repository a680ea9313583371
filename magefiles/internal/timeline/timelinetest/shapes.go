package timelinetest

import (
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// Start is when Shapes begin.
var Start = time.Date(2026, 11, 27, 1, 0, 0, 0, time.Local)

// Shapes are facts with shapes of objects, one second after the other. The UID of each object is its
// name.
type Shapes []timeline.Fact

// Add adds a fact.
func (s *Shapes) Add(f timeline.Fact) {
	f.Time = Start.Add(time.Duration(len(*s)) * time.Second)
	*s = append(*s, f)
}

// Shaped adds the shape of an object.
func (s *Shapes) Shaped(kind timeline.Kind, name, group string, what any) {
	s.Add(timeline.Fact{Kind: kind, What: timeline.Shaped, Name: name, UID: name, Group: group, Shape: shape.Encode(what)})
}

// Group adds the group g of that size.
func (s *Shapes) Group(size int, g shape.Group) {
	const name = "g"
	g.Namespace, g.Cluster = "default", "work"
	g.Template = shape.Reference{Kind: "DevMachineTemplate", Name: name}
	s.Shaped(timeline.Group, name, name, g)
	s.Add(timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: name, UID: name, Group: name, N: &size})
}

// Node adds a Ready node of a group with 4 CPUs and 8 GiB.
func (s *Shapes) Node(name, group string, n shape.Node) {
	n.Allocatable = Resources("cpu=4", "memory=8Gi", "pods=10")
	s.Shaped(timeline.Node, name, group, n)
	s.Add(timeline.Fact{Kind: timeline.Node, What: timeline.Ready, Name: name, UID: name, Group: group})
}

// Waits adds the pod default/p, which a scheduler has marked.
func (s *Shapes) Waits(p shape.Pod) {
	const name = "default/p"
	s.Shaped(timeline.Pod, name, "", p)
	s.Add(timeline.Fact{Kind: timeline.Pod, What: timeline.Unschedulable, Name: name, UID: name, Text: "0/1 nodes are available"})
}

// Bound adds pods that run on a node.
func (s *Shapes) Bound(node string, pods map[string]shape.Pod) {
	for _, name := range slices.Sorted(maps.Keys(pods)) {
		s.Shaped(timeline.Pod, name, "", pods[name])
		s.Add(timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: name, UID: name, Node: node})
	}
}

// Resources returns resources of texts such as cpu=4.
func Resources(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		list[corev1.ResourceName(name)] = resource.MustParse(value)
	}
	return list
}

// Sizes returns annotations of a group with a minimum of 0, and more of them, of texts such as CPU4.
func Sizes(most string, more ...string) map[string]string {
	a := map[string]string{release.SizeAnnotation(release.SizePrefix, "min"): "0", release.SizeAnnotation(release.SizePrefix, "max"): most}
	for _, pair := range more {
		key, value, _ := strings.Cut(pair, "=")
		a[key] = value
	}
	return a
}

// Annotations for Sizes. Labels and Taints want a value.
const (
	CPU4   = release.CapacityPrefix + "cpu=4"
	Mem8   = release.CapacityPrefix + "memory=8Gi"
	Labels = release.CapacityPrefix + "labels="
	Taints = release.CapacityPrefix + "taints="
)
