package fit

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/predicates"
)

// Scheduler asks the filters of the scheduler.
type Scheduler func(predicates.Request) (predicates.Answer, error)

// Unjudged returns the requirements of the pod that neither this package nor the scheduler's
// filters have judged.
func (w *World) Unjudged(p *Pod) []string {
	var found []string
	note := func(there bool, text string) {
		if there {
			found = append(found, text)
		}
	}
	_, judged := w.judged[p]
	note(!judged && len(p.Spread) > 0, "topology spread")
	note(!judged && p.Affinity != nil && p.Affinity.PodAffinity != nil, "pod affinity")
	note(!judged && p.Affinity != nil && p.Affinity.PodAntiAffinity != nil, "pod anti-affinity")
	note(!judged && w.avoided(p), "anti-affinity of other pods to it")
	note(len(p.Claims) > 0 && (!judged || !w.volumesKnown()), "volumes ("+strings.Join(p.Claims, ", ")+")")
	note(len(p.Devices) > 0, "device claims ("+strings.Join(p.Devices, ", ")+")")
	return found
}

// avoided reports whether a pod on a node has an anti-affinity that may keep p away.
func (w *World) avoided(p *Pod) bool {
	return slices.ContainsFunc(w.Pods, func(other *Pod) bool {
		if other == p || other.Node == "" || other.Affinity == nil || other.Affinity.PodAntiAffinity == nil {
			return false
		}
		return slices.ContainsFunc(other.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, func(t corev1.PodAffinityTerm) bool {
			return selects(t.LabelSelector, p.Labels)
		})
	})
}

// selects reports whether a selector matches labels. A missing selector matches nothing.
func selects(selector *metav1.LabelSelector, labels map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(klabels.Set(labels))
}

// volumesKnown reports whether the record has all objects that the scheduler reads to judge
// volumes.
func (w *World) volumesKnown() bool {
	return w.complete[timeline.Claim] && w.complete[timeline.Volume] && w.complete[timeline.StorageClass] && w.complete[timeline.CSINode]
}

// Consult asks the scheduler's filters where a pod fits, if it requires what this package does not
// judge. From then on, all answers about the pod rest on them too.
func (w *World) Consult(ask Scheduler, p *Pod) error {
	if len(w.Unjudged(p)) == 0 {
		return nil
	}
	r := w.request(nil)
	for _, g := range w.Groups {
		if next, _, ok := w.next(g, p); ok {
			r.Templates = append(r.Templates, predicates.Template{Node: predicates.Node(next.name, next.labels, next.taints, next.allocatable), Pods: objects(next.has)})
		}
	}
	return w.ask(ask, r, p)
}

// ConsultMoves asks the scheduler's filters where the pods fit that must leave a node, one pod
// after the other. It asks only if one of them requires what this package does not judge.
func (w *World) ConsultMoves(ask Scheduler, n *Node) error {
	moving, _ := w.moving(n)
	if !slices.ContainsFunc(moving, func(p *Pod) bool { return len(w.Unjudged(p)) > 0 }) {
		return nil
	}
	r := w.request(moving)
	r.Move, r.Closed = true, append(r.Closed, n.Name)
	return w.ask(ask, r, moving...)
}

func (w *World) ask(ask Scheduler, r predicates.Request, pods ...*Pod) error {
	r.Ask = objects(pods)
	for i := range r.Ask {
		r.Ask[i].Spec.NodeName = "" // a pod that moves is still bound to its node
	}
	answer, err := ask(r)
	if err != nil {
		return err
	}
	if w.judged == nil {
		w.judged = map[*Pod]predicates.Verdicts{}
	}
	for i, p := range pods {
		w.judged[p] = answer.Pods[i]
	}
	w.Filters = cmp.Or(answer.Version, "of an unknown version")
	return nil
}

// request returns the cluster as a request to the scheduler's filters, without the pods in without.
func (w *World) request(without []*Pod) predicates.Request {
	r := predicates.Request{
		Nodes: []corev1.Node{}, Namespaces: w.scheduling[timeline.Namespace], Claims: w.scheduling[timeline.Claim], Volumes: w.scheduling[timeline.Volume],
		StorageClasses: w.scheduling[timeline.StorageClass], CSINodes: w.scheduling[timeline.CSINode],
	}
	for _, n := range w.Nodes {
		at := w.place(n, nil)
		r.Nodes = append(r.Nodes, predicates.Node(at.name, at.labels, at.taints, at.allocatable))
		r.Pods = append(r.Pods, objects(slices.DeleteFunc(slices.Clone(n.Pods), func(p *Pod) bool { return slices.Contains(without, p) }))...)
		if !n.open() {
			r.Closed = append(r.Closed, n.Name)
		}
	}
	return r
}

// objects converts pods to objects that have the fields that the scheduler's filters read.
func objects(pods []*Pod) []corev1.Pod {
	all := make([]corev1.Pod, 0, len(pods))
	for _, p := range pods {
		all = append(all, predicates.Pod(namespaceOf(p.Name), timeline.LastPart(p.Name), cmp.Or(p.UID, p.Name), p.Node, p.Pod))
	}
	return all
}

// refused describes the refusal of a filter of the scheduler.
func (w *World) refused(p *Pod, r predicates.Refusal, at place) Obstacle {
	text, change := r.Words(predicates.Subject{
		Pod: p.Pod, Namespace: namespaceOf(p.Name), Labels: at.labels, Where: at.where, New: at.group,
		Counts: func(c corev1.TopologySpreadConstraint) map[string]int { return w.spread(p, c) },
		Claims: w.scheduling[timeline.Claim], Volumes: w.scheduling[timeline.Volume], StorageClasses: w.scheduling[timeline.StorageClass],
	})
	return Obstacle{text, change}
}

// spread returns how many pods a topology spread constraint counts, by the values of its topology
// key.
func (w *World) spread(p *Pod, c corev1.TopologySpreadConstraint) map[string]int {
	counts := map[string]int{}
	for _, n := range w.Nodes {
		value, there := n.Labels[c.TopologyKey]
		if !there {
			continue
		}
		counts[value] += 0
		for _, other := range n.Pods {
			if namespaceOf(other.Name) == namespaceOf(p.Name) && other.Deleted.IsZero() && selects(c.LabelSelector, other.Labels) {
				counts[value]++
			}
		}
	}
	return counts
}
