package predicates

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// Subject is what a refusal is about.
type Subject struct {
	Pod       shape.Pod
	Namespace string
	// Labels are the labels of the refused node. Where is what a text calls it: "the node" or "the
	// template". New is set for a node that a group would get.
	Labels map[string]string
	Where  string
	New    bool
	// Counts returns how many pods a topology spread constraint counts, by the values of its
	// topology key.
	Counts func(corev1.TopologySpreadConstraint) map[string]int
	// Storage is what the cluster has for volumes.
	Storage world.Storage
}

// Reasons of the scheduler's filters. Source: pkg/scheduler/framework/plugins of Kubernetes 1.36, the
// packages interpodaffinity, podtopologyspread and volumebinding.
const (
	AffinityRefuses     = "node(s) didn't match pod affinity rules"
	AntiAffinityRefuses = "node(s) didn't match pod anti-affinity rules"
	OthersRefuse        = "node(s) didn't satisfy existing pods anti-affinity rules"
	SpreadRefuses       = "node(s) didn't match pod topology spread constraints"
	SpreadWantsLabel    = "node(s) didn't match pod topology spread constraints (missing required label)"
	VolumeIsElsewhere   = "node(s) didn't match PersistentVolume's node affinity"
	NoVolumeHere        = "node(s) didn't find available persistent volumes to bind"
)

// Words describes the refusal for a reader, in the filter's words if the lab has none for the
// reason. change is the smallest change that removes the refusal; empty if none is known.
func (r Refusal) Words(s Subject) (text, change string) {
	p := s.Pod
	switch reason := strings.Join(r.Reasons, ", "); reason {
	case AffinityRefuses:
		terms, keys := affinityTerms(p.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		return fmt.Sprintf("pod affinity to %s: no such pod is %s", terms, s.domains(keys)),
			fmt.Sprintf("such a pod there, or a node in the same %s as such a pod", strings.Join(keys, " and "))
	case AntiAffinityRefuses:
		terms, keys := affinityTerms(p.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		return fmt.Sprintf("pod anti-affinity to %s: such a pod is %s", terms, s.domains(keys)), "a node in another " + strings.Join(keys, " and ")
	case OthersRefuse:
		return "the pod anti-affinity of an existing pod refuses it", "a node away from that pod, or labels that its anti-affinity does not select"
	case SpreadRefuses:
		var texts, keys []string
		for _, c := range p.Spread {
			texts = append(texts, fmt.Sprintf("maxSkew %d over %s (%s)", c.MaxSkew, c.TopologyKey, countsText(s.Counts(c))))
			keys = timeline.AppendUnique(keys, c.TopologyKey)
		}
		return fmt.Sprintf("topology spread: too many of its pods are %s already: %s", s.domains(keys), strings.Join(texts, "; ")),
			"a node in another " + strings.Join(keys, " and ") + ", or a larger maxSkew"
	case SpreadWantsLabel:
		var missing []string
		for _, c := range p.Spread {
			if _, there := s.Labels[c.TopologyKey]; !there {
				missing = timeline.AppendUnique(missing, c.TopologyKey)
			}
		}
		keys := strings.Join(missing, ", ")
		return fmt.Sprintf("topology spread over %s: no such label on %s", keys, s.Where), fmt.Sprintf("label %s on %s", keys, s.Where)
	case VolumeIsElsewhere:
		return "volumes: " + s.whereVolumesAre() + ", and that does not match " + s.Where, "a node that matches the volume's node affinity"
	case NoVolumeHere:
		return "volumes: no PersistentVolume for it here, and none can be provisioned" + s.whereVolumesCome(), "a node where its StorageClass provisions, or a PersistentVolume here"
	default:
		return r.Plugin + ": " + strings.ReplaceAll(reason, "node(s) ", ""), ""
	}
}

// affinityTerms returns terms of pod affinity as text for a reader, and their topology keys.
func affinityTerms(terms []corev1.PodAffinityTerm) (text string, keys []string) {
	var texts []string
	for _, t := range terms {
		texts = append(texts, fmt.Sprintf("%s by %s", metav1.FormatLabelSelector(t.LabelSelector), t.TopologyKey))
		keys = timeline.AppendUnique(keys, t.TopologyKey)
	}
	return strings.Join(texts, ", "), keys
}

// domains returns in which topology domains the node is, as text.
func (s Subject) domains(keys []string) string {
	var texts []string
	for _, key := range keys {
		switch value, there := s.Labels[key]; {
		case key == corev1.LabelHostname && !s.New:
			texts = append(texts, "on the node")
		case there:
			texts = append(texts, "in "+key+" "+strconv.Quote(value))
		default:
			texts = append(texts, "in the same "+key+", a label that "+s.Where+" lacks")
		}
	}
	return strings.Join(texts, " and ")
}

// maxDomains is the largest number of topology domains that a text lists.
const maxDomains = 6

func countsText(counts map[string]int) string {
	var texts []string
	for _, value := range slices.Sorted(maps.Keys(counts)) {
		texts = append(texts, fmt.Sprintf("%s: %d", value, counts[value]))
	}
	return strings.Join(timeline.SomeOf(texts, maxDomains), ", ")
}

// whereVolumesAre returns the node affinity of the volumes of a pod's claims.
func (s Subject) whereVolumesAre() string {
	var texts []string
	for _, v := range s.Storage.Volumes {
		if v.Spec.ClaimRef == nil || v.Spec.NodeAffinity == nil || v.Spec.NodeAffinity.Required == nil {
			continue
		}
		if c := v.Spec.ClaimRef; c.Namespace == s.Namespace && slices.Contains(s.Pod.Claims, c.Name) {
			texts = append(texts, fmt.Sprintf("the PersistentVolume %s of its claim %s wants %s", v.Name, c.Name, TermsText(v.Spec.NodeAffinity.Required)))
		}
	}
	return cmp.Or(strings.Join(texts, "; "), "a PersistentVolume of its claims has a node affinity")
}

// storageClass returns the StorageClass with that name; nil if it is not on record.
func (s Subject) storageClass(name string) *storagev1.StorageClass {
	i := slices.IndexFunc(s.Storage.Classes, func(c *storagev1.StorageClass) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return s.Storage.Classes[i]
}

// whereVolumesCome returns where the storage classes of a pod's claims provision volumes, as the end
// of a sentence.
func (s Subject) whereVolumesCome() string {
	var texts []string
	for _, c := range s.Storage.Claims {
		if c.Namespace != s.Namespace || !slices.Contains(s.Pod.Claims, c.Name) || c.Spec.StorageClassName == nil {
			continue
		}
		class := s.storageClass(*c.Spec.StorageClassName)
		var terms []corev1.NodeSelectorTerm
		if class != nil {
			for _, t := range class.AllowedTopologies {
				var term corev1.NodeSelectorTerm
				for _, e := range t.MatchLabelExpressions {
					term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{Key: e.Key, Operator: corev1.NodeSelectorOpIn, Values: e.Values})
				}
				terms = append(terms, term)
			}
		}
		if len(terms) > 0 {
			texts = append(texts, fmt.Sprintf("the StorageClass %s of its claim %s wants %s", class.Name, c.Name, TermsText(&corev1.NodeSelector{NodeSelectorTerms: terms})))
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return ": " + strings.Join(texts, "; ")
}

// TermsText returns the terms of a node affinity in one line.
func TermsText(s *corev1.NodeSelector) string {
	var terms []string
	for _, t := range s.NodeSelectorTerms {
		var parts []string
		for _, e := range slices.Concat(t.MatchExpressions, t.MatchFields) {
			text := e.Key + " " + string(e.Operator)
			if len(e.Values) > 0 {
				text += " [" + strings.Join(e.Values, " ") + "]"
			}
			parts = append(parts, text)
		}
		terms = append(terms, strings.Join(parts, " and "))
	}
	return strings.Join(terms, " or ")
}
