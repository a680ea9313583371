package fit

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/world"
)

// avoider is a pod on a node with an anti-affinity: no pod that it selects may run where the node's label
// key has the same value.
type avoider struct {
	pod     *world.Pod
	node    map[string]string // labels
	key     string
	selects labels.Selector
	// namespaces are those of the pods that it selects, beside all that inNamespaces selects.
	namespaces   []string
	inNamespaces labels.Selector
}

// avoidersOf returns the anti-affinities of a pod on a node with these labels. Source: newAffinityTerm in
// k8s.io/kube-scheduler/framework of Kubernetes 1.36.
func avoidersOf(p *world.Pod, node map[string]string) []avoider {
	if p.Affinity == nil || p.Affinity.PodAntiAffinity == nil {
		return nil
	}
	var found []avoider
	for _, t := range p.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
		a := avoider{pod: p, node: node, key: t.TopologyKey, selects: world.Selector(t.LabelSelector), namespaces: t.Namespaces, inNamespaces: world.Selector(t.NamespaceSelector)}
		if len(t.Namespaces) == 0 && t.NamespaceSelector == nil {
			a.namespaces = []string{p.Namespace()}
		}
		found = append(found, a)
	}
	return found
}

// avoiders returns the anti-affinities of the pods that run, computed once.
func (j *Judge) avoiders() []avoider {
	if j.avoiding == nil {
		j.avoiding = []avoider{}
		for _, n := range j.Nodes {
			for _, p := range n.Pods {
				j.avoiding = append(j.avoiding, avoidersOf(p, n.Labels)...)
			}
		}
	}
	return j.avoiding
}

// avoided reports whether a pod on a node has an anti-affinity that may keep p away.
func (j *Judge) avoided(p *world.Pod) bool {
	return slices.ContainsFunc(j.avoiders(), func(a avoider) bool { return a.pod != p && a.selects.Matches(labels.Set(p.Labels)) })
}

// namespacesMissing reports whether the pod's affinity to pods, or that of another pod to it, is about
// namespaces with certain labels, which are not all on record.
func (j *Judge) namespacesMissing(p *world.Pod) bool {
	if j.Complete[timeline.Namespace] {
		return false
	}
	asks := func(t corev1.PodAffinityTerm) bool {
		return t.NamespaceSelector != nil && !world.Selector(t.NamespaceSelector).Empty()
	}
	if a := p.Affinity; a != nil {
		if a.PodAffinity != nil && slices.ContainsFunc(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, asks) ||
			a.PodAntiAffinity != nil && slices.ContainsFunc(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, asks) {
			return true
		}
	}
	return slices.ContainsFunc(j.avoiders(), func(a avoider) bool {
		_, selectable := a.inNamespaces.Requirements()
		return a.pod != p && selectable && !a.inNamespaces.Empty() && a.selects.Matches(labels.Set(p.Labels))
	})
}

// refuser names the pods whose anti-affinity keeps the pod away from a place, with their topology keys;
// empty if they are not known.
func (j *Judge) refuser(p *world.Pod, at place) string {
	candidates := j.avoiders()
	if at.group {
		candidates = slices.Clone(candidates)
		for _, other := range at.has {
			candidates = append(candidates, avoidersOf(other, at.labels)...)
		}
	}
	var names []string
	for _, a := range candidates {
		value, there := at.labels[a.key]
		inNamespace := slices.Contains(a.namespaces, p.Namespace()) || a.inNamespaces.Matches(labels.Set(j.Namespaces[p.Namespace()]))
		if a.pod != p && !slices.Contains(j.leaving, a.pod) && there && a.node[a.key] == value && inNamespace && a.selects.Matches(labels.Set(p.Labels)) {
			names = timeline.AppendUnique(names, fmt.Sprintf("%s by %s", a.pod.Name, a.key))
		}
	}
	return strings.Join(timeline.SomeOf(names, maxRefusers), ", ")
}

// maxRefusers is the largest number of pods that a text names.
const maxRefusers = 3

// spread returns how many pods each topology spread constraint of a pod counts, by the values of its
// topology key. Source: calPreFilterState in pkg/scheduler/framework/plugins/podtopologyspread of
// Kubernetes 1.36.
func (j *Judge) spread(p *world.Pod) []map[string]int {
	if counts, known := j.counts[p]; known {
		return counts
	}
	counts := make([]map[string]int, len(p.Spread))
	selectors := make([]labels.Selector, len(p.Spread))
	for i, c := range p.Spread {
		counts[i], selectors[i] = map[string]int{}, spreadSelector(p, c)
	}
	for _, n := range j.Nodes {
		if slices.ContainsFunc(p.Spread, func(c corev1.TopologySpreadConstraint) bool { _, there := n.Labels[c.TopologyKey]; return !there }) {
			continue
		}
		for i, c := range p.Spread {
			if !j.counted(p, c, n) {
				continue
			}
			value := n.Labels[c.TopologyKey]
			counts[i][value] += 0
			for _, other := range n.Pods {
				if other.Namespace() == p.Namespace() && other.Deleted.IsZero() && !slices.Contains(j.leaving, other) && selectors[i].Matches(labels.Set(other.Labels)) {
					counts[i][value]++
				}
			}
		}
	}
	j.counts[p] = counts
	return counts
}

// counted reports whether a constraint of a pod counts the pods of a node, by its policies.
func (j *Judge) counted(p *world.Pod, c corev1.TopologySpreadConstraint, n *world.Node) bool {
	if (c.NodeAffinityPolicy == nil || *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor) && !j.matches(p, n.Labels) {
		return false
	}
	honoursTaints := c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
	return !honoursTaints || !slices.ContainsFunc(n.Taints, func(t corev1.Taint) bool { return keepsAway(p, t) })
}

// spreadSelector returns which pods a constraint of a pod counts. matchLabelKeys add the pod's own labels.
func spreadSelector(p *world.Pod, c corev1.TopologySpreadConstraint) labels.Selector {
	selector := world.Selector(c.LabelSelector)
	for _, key := range c.MatchLabelKeys {
		if value, there := p.Labels[key]; there {
			wanted, _ := labels.SelectorFromSet(labels.Set{key: value}).Requirements()
			selector = selector.Add(wanted...)
		}
	}
	return selector
}
