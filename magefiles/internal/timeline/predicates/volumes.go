package predicates

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/storage/volume"
)

// selectedNode is the annotation of a claim with the node that the scheduler chose for its volume.
const selectedNode = "volume.kubernetes.io/selected-node"

// whereVolumesAre returns the node affinity of the volumes of a pod's claims that does not match the
// node.
func (s Subject) whereVolumesAre() string {
	var texts []string
	for _, v := range s.Storage.Volumes {
		c := v.Spec.ClaimRef
		if c == nil || c.Namespace != s.Pod.Namespace() || !slices.Contains(s.Pod.Claims, c.Name) || volume.CheckNodeAffinity(v, s.Labels) == nil {
			continue
		}
		texts = append(texts, fmt.Sprintf("the PersistentVolume %s of its claim %s wants %s", v.Name, c.Name, TermsText(v.Spec.NodeAffinity.Required)))
	}
	return cmp.Or(strings.Join(texts, "; "), "a PersistentVolume of its claims has a node affinity")
}

// unbound describes that claims of the pod that have no volume get none on the node.
func (s Subject) unbound() (text, change string) {
	var chosen, classes []string
	for _, c := range s.Storage.ClaimsOf(s.Pod) {
		if c.Spec.VolumeName != "" {
			continue
		}
		if n := c.Annotations[selectedNode]; n != "" && n != s.Node {
			chosen = append(chosen, fmt.Sprintf("the scheduler has chosen the node %s for the volume of its claim %s", n, c.Name))
			continue
		}
		class := s.Storage.Class(c)
		if class == nil || s.provisions(class.AllowedTopologies) {
			continue
		}
		classes = append(classes, fmt.Sprintf("the StorageClass %s of its claim %s wants %s", class.Name, c.Name, TermsText(topologies(class.AllowedTopologies))))
	}
	if len(chosen) > 0 {
		// The scheduler looks no further then.
		return "volumes: " + strings.Join(chosen, "; "), "that node, or no annotation " + selectedNode + " on the claim"
	}
	text = "volumes: no PersistentVolume for it here, and none can be provisioned"
	if len(classes) > 0 {
		text += ": " + strings.Join(classes, "; ")
	}
	return text, "a node where its StorageClass provisions, or a PersistentVolume here"
}

// full says that a CSI driver reports too little free storage on the node for a claim without a
// volume.
func (s Subject) full() (text, change string) {
	var texts []string
	for _, c := range s.Storage.ClaimsOf(s.Pod) {
		class := s.Storage.Class(c)
		if c.Spec.VolumeName != "" || class == nil || !s.Storage.Tracks(class.Provisioner) {
			continue
		}
		asked := c.Spec.Resources.Requests[corev1.ResourceStorage]
		most := s.largest(class.Name)
		left := "none"
		if most != nil {
			if most.Cmp(asked) >= 0 {
				continue
			}
			left = most.String()
		}
		texts = append(texts, fmt.Sprintf("its claim %s requests %s of the StorageClass %s, and the driver %s reports %s for %s", c.Name, asked.String(), class.Name, class.Provisioner, left, s.Where))
	}
	return "volumes: " + cmp.Or(strings.Join(texts, "; "), "the driver of its claims reports too little storage for "+s.Where), "storage for the driver there, or a smaller claim"
}

// largest returns the largest volume that a StorageClass has room for on the node, by what its driver
// reports; nil if it reports nothing for the node. Source: hasEnoughCapacity and capacitySufficient in
// pkg/scheduler/framework/plugins/volumebinding/binder.go of Kubernetes 1.36.
func (s Subject) largest(class string) *resource.Quantity {
	var most *resource.Quantity
	for _, c := range s.Storage.Capacities {
		size := cmp.Or(c.MaximumVolumeSize, c.Capacity)
		selector, err := metav1.LabelSelectorAsSelector(c.NodeTopology)
		if c.StorageClassName != class || size == nil || c.NodeTopology == nil || err != nil || !selector.Matches(klabels.Set(s.Labels)) {
			continue
		}
		if most == nil || size.Cmp(*most) > 0 {
			most = size
		}
	}
	return most
}

// provisions reports whether a StorageClass provisions volumes for the node.
func (s Subject) provisions(allowed []corev1.TopologySelectorTerm) bool {
	if len(allowed) == 0 {
		return true
	}
	ok, err := scheduling.MatchNodeSelectorTerms(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: s.Labels}}, topologies(allowed))
	return ok && err == nil
}

// topologies returns where a StorageClass provisions, as terms of a node affinity.
func topologies(allowed []corev1.TopologySelectorTerm) *corev1.NodeSelector {
	var terms []corev1.NodeSelectorTerm
	for _, t := range allowed {
		var term corev1.NodeSelectorTerm
		for _, e := range t.MatchLabelExpressions {
			term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{Key: e.Key, Operator: corev1.NodeSelectorOpIn, Values: e.Values})
		}
		terms = append(terms, term)
	}
	return &corev1.NodeSelector{NodeSelectorTerms: terms}
}
