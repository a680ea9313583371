package predicates

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/world"
)

// Subject is what a refusal is about.
type Subject struct {
	Pod *world.Pod
	// Node is the name of the refused node, and Labels are its labels. Where is what a text calls it:
	// "the node" or "the template". New is set for a node that a group would get.
	Node   string
	Labels map[string]string
	Where  string
	New    bool
	// Counts returns how many pods a topology spread constraint of the pod counts, by the values of its
	// topology key.
	Counts func(constraint int) map[string]int
	// Refuser names the pods whose anti-affinity refuses the pod, with the topology keys; empty if they
	// are not known.
	Refuser func() string
	// Storage is what the cluster has for volumes, and Devices what it has for claims of devices.
	Storage world.Storage
	Devices world.Devices
	// Slices are the devices that are on the node, and on no other.
	Slices []*resourcev1.ResourceSlice
}

// InterPodAffinity is the filter that judges affinity to other pods, DynamicResources the one that judges
// claims of devices, and NodeResourcesFit the one that judges what pods request.
const (
	InterPodAffinity = "InterPodAffinity"
	DynamicResources = "DynamicResources"
	NodeResourcesFit = "NodeResourcesFit"
)

// Reasons of the scheduler's filters. A test of the program gets each of them from a filter, as its
// testdata/reasons.json lists them. Source: pkg/scheduler/framework/plugins of Kubernetes 1.36, the
// packages interpodaffinity, podtopologyspread, volumebinding and dynamicresources.
const (
	AffinityRefuses     = "node(s) didn't match pod affinity rules"
	AntiAffinityRefuses = "node(s) didn't match pod anti-affinity rules"
	OthersRefuse        = "node(s) didn't satisfy existing pods anti-affinity rules"
	SpreadRefuses       = "node(s) didn't match pod topology spread constraints"
	SpreadWantsLabel    = "node(s) didn't match pod topology spread constraints (missing required label)"
	VolumeIsElsewhere   = "node(s) didn't match PersistentVolume's node affinity"
	NoVolumeHere        = "node(s) didn't find available persistent volumes to bind"
	StorageIsFull       = "node(s) did not have enough free storage"
	NoDevicesHere       = "cannot allocate all claims"
	DevicesAreElsewhere = "resourceclaim not available on the node"
)

// words has, for each reason of a filter, a function that describes the refusal and the smallest
// change that removes it. alone is Refusal.Alone.
var words = map[string]func(s Subject, alone []int) (text, change string){
	AffinityRefuses:     Subject.affinity,
	AntiAffinityRefuses: Subject.antiAffinity,
	SpreadRefuses:       Subject.spread,
	OthersRefuse: func(s Subject, _ []int) (text, change string) {
		return "the pod anti-affinity of " + cmp.Or(s.Refuser(), "an existing pod") + " refuses it", "a node away from that pod, or labels that its anti-affinity does not select"
	},
	SpreadWantsLabel: func(s Subject, _ []int) (text, change string) {
		var missing []string
		for _, c := range s.Pod.Spread {
			if _, there := s.Labels[c.TopologyKey]; !there {
				missing = timeline.AppendUnique(missing, c.TopologyKey)
			}
		}
		keys := strings.Join(missing, ", ")
		return fmt.Sprintf("topology spread over %s: no such label on %s", keys, s.Where), fmt.Sprintf("label %s on %s", keys, s.Where)
	},
	VolumeIsElsewhere: func(s Subject, _ []int) (text, change string) {
		return "volumes: " + s.whereVolumesAre() + ", and that does not match " + s.Where, "a node that matches the volume's node affinity"
	},
	NoVolumeHere:        func(s Subject, _ []int) (text, change string) { return s.unbound() },
	StorageIsFull:       func(s Subject, _ []int) (text, change string) { return s.full() },
	NoDevicesHere:       func(s Subject, _ []int) (text, change string) { return s.lackingDevices() },
	DevicesAreElsewhere: func(s Subject, _ []int) (text, change string) { return s.whereDevicesAre() },
}

// Words describes the refusal for a reader, in the filter's words if the lab has none for the
// reason. change is the smallest change that removes the refusal; empty if none is known.
func (r Refusal) Words(s Subject) (text, change string) {
	reason := strings.Join(r.Reasons, ", ")
	if describe, known := words[reason]; known {
		return describe(s, r.Alone)
	}
	return r.Plugin + ": " + strings.ReplaceAll(reason, "node(s) ", ""), ""
}

// oneOf begins a text if it is not known which of several requirements refuses a node.
const oneOf = "one of these is violated: "

// chosen returns the requirements that refuse the node by themselves, and true. If that is not known of
// several, it returns all that may, and false.
func chosen[R any](all []R, alone []int, may func(R) bool) (some []R, known bool) {
	switch {
	case len(all) == 1:
		return all, true
	case len(alone) == 0:
		some = slices.DeleteFunc(slices.Clone(all), func(r R) bool { return !may(r) })
		return some, len(some) == 1
	}
	for _, i := range alone {
		if i < len(all) {
			some = append(some, all[i])
		}
	}
	return some, true
}

// affinity describes that no pod is there to which the pod has an affinity. Of several terms, one pod must
// match all, so each may find a pod, and yet there is none.
func (s Subject) affinity(alone []int) (text, change string) {
	terms, known := chosen(s.Pod.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, alone, func(corev1.PodAffinityTerm) bool { return true })
	texts, keys := affinityTerms(terms)
	change = fmt.Sprintf("such a pod there, or a node in the same %s as such a pod", strings.Join(keys, " and "))
	if !known {
		return fmt.Sprintf("pod affinity to %s: no pod that matches all of these is %s", strings.Join(texts, ", "), s.domains(keys)), change
	}
	return "pod affinity to " + s.each(terms, texts, "no such pod is "), change
}

// antiAffinity describes that a pod is there to which the pod has an anti-affinity. A new node has no pod
// of another node, so that a term by host name says nothing of it.
func (s Subject) antiAffinity(alone []int) (text, change string) {
	terms, known := chosen(s.Pod.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, alone, func(t corev1.PodAffinityTerm) bool { return !s.New || t.TopologyKey != corev1.LabelHostname })
	texts, keys := affinityTerms(terms)
	text = "pod anti-affinity to " + s.each(terms, texts, "such a pod is ")
	if !known {
		text = oneOf + text
	}
	return text, "a node in another " + strings.Join(keys, " and ")
}

// each says of each term where its pods are, or are not.
func (s Subject) each(terms []corev1.PodAffinityTerm, texts []string, what string) string {
	var all []string
	for i, t := range terms {
		all = append(all, texts[i]+": "+what+s.domains([]string{t.TopologyKey}))
	}
	return strings.Join(all, "; ")
}

// spread describes that too many pods are there that a topology spread constraint counts.
func (s Subject) spread(alone []int) (text, change string) {
	all := make([]int, len(s.Pod.Spread))
	for i := range all {
		all[i] = i
	}
	some, known := chosen(all, alone, func(i int) bool { return !s.New || s.Pod.Spread[i].TopologyKey != corev1.LabelHostname })
	var texts, keys []string
	for _, i := range some {
		c, counts := s.Pod.Spread[i], s.Counts(i)
		if value, there := s.Labels[c.TopologyKey]; there && s.New {
			counts = maps.Clone(counts)
			counts[value] += 0
		}
		text := fmt.Sprintf("maxSkew %d over %s (%s", c.MaxSkew, c.TopologyKey, countsText(counts))
		if least := c.MinDomains; least != nil && len(counts) < int(*least) {
			text += fmt.Sprintf("; fewer than minDomains %d, so the least counts as 0", *least)
		}
		texts, keys = append(texts, text+")"), timeline.AppendUnique(keys, c.TopologyKey)
	}
	text = "topology spread: "
	if !known {
		text += oneOf
	}
	return text + fmt.Sprintf("too many of its pods are %s already: %s", s.domains(keys), strings.Join(texts, "; ")),
		"a node in another " + strings.Join(keys, " and ") + ", or a larger maxSkew"
}

// affinityTerms returns terms of pod affinity as texts for a reader, and their topology keys.
func affinityTerms(terms []corev1.PodAffinityTerm) (texts, keys []string) {
	for _, t := range terms {
		text := fmt.Sprintf("%s by %s", metav1.FormatLabelSelector(t.LabelSelector), t.TopologyKey)
		var where []string
		switch {
		case len(t.Namespaces) == 1:
			where = append(where, "the namespace "+t.Namespaces[0])
		case len(t.Namespaces) > 1:
			where = append(where, "the namespaces "+strings.Join(t.Namespaces, ", "))
		}
		switch {
		case t.NamespaceSelector != nil && world.Selector(t.NamespaceSelector).Empty():
			where = []string{"all namespaces"}
		case t.NamespaceSelector != nil:
			where = append(where, "namespaces with "+metav1.FormatLabelSelector(t.NamespaceSelector))
		}
		if len(where) > 0 {
			text += " in " + strings.Join(where, " and ")
		}
		texts, keys = append(texts, text), timeline.AppendUnique(keys, t.TopologyKey)
	}
	return texts, keys
}

// domains returns in which topology domains the node is, as text.
func (s Subject) domains(keys []string) string {
	var texts []string
	for _, key := range keys {
		switch value, there := s.Labels[key]; {
		case key == corev1.LabelHostname && s.New:
			texts = append(texts, "on the new node")
		case key == corev1.LabelHostname:
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
