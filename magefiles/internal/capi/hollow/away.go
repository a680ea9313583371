package hollow

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"caslab/magefiles/internal/kube"
)

// away is the rule that keeps pods off hollow nodes, where they would only seem to run.
var away = corev1.NodeSelectorRequirement{Key: kube.MachinesLabel, Operator: corev1.NodeSelectorOpNotIn, Values: []string{kube.Hollow}}

// controlPlane are the labels of the control plane's nodes, by which the lab's controller and its
// autoscaler select them. No hollow node has one.
var controlPlane = []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}

// StaysAway reports whether pods with that specification never come to a hollow node.
func StaysAway(pod *corev1.PodSpec) bool {
	for _, label := range controlPlane {
		if _, selected := pod.NodeSelector[label]; selected {
			return true
		}
	}
	terms := requiredTerms(pod.Affinity)
	return len(terms) > 0 && !slices.ContainsFunc(terms, func(term corev1.NodeSelectorTerm) bool {
		return !slices.ContainsFunc(term.MatchExpressions, excludes)
	})
}

// excludes reports whether no hollow node fulfils a requirement.
func excludes(r corev1.NodeSelectorRequirement) bool {
	if r.Key != kube.MachinesLabel {
		return false
	}
	named := slices.Contains(r.Values, kube.Hollow)
	switch r.Operator {
	case corev1.NodeSelectorOpDoesNotExist:
		return true
	case corev1.NodeSelectorOpNotIn:
		return named
	case corev1.NodeSelectorOpIn:
		return !named
	}
	return false
}

func requiredTerms(a *corev1.Affinity) []corev1.NodeSelectorTerm {
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

// Away returns the merge patch that keeps the pods of a Deployment off hollow nodes. What their
// affinity requires already stays required.
func Away(pod *corev1.PodSpec) (map[string]any, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: withAway(pod.Affinity)}})
	if err != nil {
		return nil, fmt.Errorf("write the affinity of pods: %w", err)
	}
	return map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"affinity": fields}}}}, nil
}

// KeepAway changes the specification of pods so that they never come to a hollow node. What their
// affinity requires already stays required.
func KeepAway(pod *corev1.PodSpec) {
	required := withAway(pod.Affinity)
	if pod.Affinity == nil {
		pod.Affinity = &corev1.Affinity{}
	}
	if pod.Affinity.NodeAffinity == nil {
		pod.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = required
}

// withAway returns what an affinity requires of nodes, and that they are not hollow.
func withAway(a *corev1.Affinity) *corev1.NodeSelector {
	var terms []corev1.NodeSelectorTerm
	for _, term := range requiredTerms(a) {
		term.MatchExpressions = append(slices.Clone(term.MatchExpressions), away)
		terms = append(terms, term)
	}
	if len(terms) == 0 {
		terms = []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{away}}}
	}
	return &corev1.NodeSelector{NodeSelectorTerms: terms}
}
