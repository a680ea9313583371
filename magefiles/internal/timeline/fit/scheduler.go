package fit

import (
	"cmp"
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	klabels "k8s.io/apimachinery/pkg/labels"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/predicates"
	"caslab/magefiles/internal/timeline/world"
)

// Scheduler asks the filters of the scheduler.
type Scheduler func(context.Context, predicates.Request) (predicates.Answer, error)

// Unjudged returns the requirements of the pod that neither this package nor the scheduler's
// filters have judged.
func (j *Judge) Unjudged(p *world.Pod) []string {
	var found []string
	note := func(there bool, text string) {
		if there {
			found = append(found, text)
		}
	}
	_, judged := j.judged[p]
	note(!judged && len(p.Spread) > 0, "topology spread")
	note(!judged && p.Affinity != nil && p.Affinity.PodAffinity != nil, "pod affinity")
	note(!judged && p.Affinity != nil && p.Affinity.PodAntiAffinity != nil, "pod anti-affinity")
	note(!judged && j.avoided(p), "anti-affinity of other pods to it")
	note(len(p.Claims) > 0 && (!judged || !j.volumesKnown()), "volumes ("+strings.Join(p.Claims, ", ")+")")
	note(len(p.Devices) > 0, "device claims ("+strings.Join(p.Devices, ", ")+")")
	return found
}

// avoided reports whether a pod on a node has an anti-affinity that may keep p away.
func (j *Judge) avoided(p *world.Pod) bool {
	return slices.ContainsFunc(j.Pods, func(other *world.Pod) bool {
		if other == p || other.Node == "" || other.Affinity == nil || other.Affinity.PodAntiAffinity == nil {
			return false
		}
		return slices.ContainsFunc(other.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, func(t corev1.PodAffinityTerm) bool {
			return world.Selector(t.LabelSelector).Matches(klabels.Set(p.Labels))
		})
	})
}

// volumesKnown reports whether the record has all objects that the scheduler reads to judge
// volumes.
func (j *Judge) volumesKnown() bool {
	return j.Complete[timeline.Claim] && j.Complete[timeline.Volume] && j.Complete[timeline.StorageClass] && j.Complete[timeline.CSINode]
}

// Consult asks the scheduler's filters where a pod fits, if it requires what this package does not
// judge. From then on, all answers about the pod rest on them too.
func (j *Judge) Consult(ctx context.Context, ask Scheduler, p *world.Pod) error {
	if len(j.Unjudged(p)) == 0 {
		return nil
	}
	r := j.request(nil)
	for _, g := range j.Groups {
		if next, _, ok := j.next(g, p); ok {
			r.Templates = append(r.Templates, predicates.Template{Node: predicates.Node(next.name, next.labels, next.taints, next.allocatable), Pods: objects(next.has)})
		}
	}
	return j.ask(ctx, ask, r, p)
}

// ConsultMoves asks the scheduler's filters where the pods fit that must leave a node, one pod
// after the other. It asks only if one of them requires what this package does not judge.
func (j *Judge) ConsultMoves(ctx context.Context, ask Scheduler, from *world.Node, leaving []*world.Pod) error {
	if !slices.ContainsFunc(leaving, func(p *world.Pod) bool { return len(j.Unjudged(p)) > 0 }) {
		return nil
	}
	r := j.request(leaving)
	r.Move, r.Closed = true, append(r.Closed, from.Name)
	return j.ask(ctx, ask, r, leaving...)
}

func (j *Judge) ask(ctx context.Context, ask Scheduler, r predicates.Request, pods ...*world.Pod) error {
	r.Ask = objects(pods)
	for i := range r.Ask {
		r.Ask[i].Spec.NodeName = "" // a pod that moves is still bound to its node
	}
	answer, err := ask(ctx, r)
	if err != nil {
		return err
	}
	for i, p := range pods {
		j.judged[p], j.filters[p] = answer.Pods[i], cmp.Or(answer.Version, "of an unknown version")
	}
	return nil
}

// request returns the cluster as a request to the scheduler's filters, without the pods in without.
func (j *Judge) request(without []*world.Pod) predicates.Request {
	r := predicates.Request{
		Nodes: []corev1.Node{}, Namespaces: j.Scheduling[timeline.Namespace], Claims: j.Scheduling[timeline.Claim], Volumes: j.Scheduling[timeline.Volume],
		StorageClasses: j.Scheduling[timeline.StorageClass], CSINodes: j.Scheduling[timeline.CSINode],
	}
	for _, n := range j.Nodes {
		at := j.place(n, nil)
		r.Nodes = append(r.Nodes, predicates.Node(at.name, at.labels, at.taints, at.allocatable))
		r.Pods = append(r.Pods, objects(slices.DeleteFunc(slices.Clone(n.Pods), func(p *world.Pod) bool { return slices.Contains(without, p) }))...)
		if !n.Open() {
			r.Closed = append(r.Closed, n.Name)
		}
	}
	return r
}

// objects converts pods to objects that have the fields that the scheduler's filters read.
func objects(pods []*world.Pod) []corev1.Pod {
	all := make([]corev1.Pod, 0, len(pods))
	for _, p := range pods {
		all = append(all, predicates.Pod(p.Namespace(), timeline.LastPart(p.Name), cmp.Or(p.UID, p.Name), p.Node, p.Pod))
	}
	return all
}

// refused describes the refusal of a filter of the scheduler.
func (j *Judge) refused(p *world.Pod, r predicates.Refusal, at place) Obstacle {
	text, change := r.Words(predicates.Subject{
		Pod: p.Pod, Namespace: p.Namespace(), Labels: at.labels, Where: at.where, New: at.group,
		Counts:  func(c corev1.TopologySpreadConstraint) map[string]int { return j.spread(p, c) },
		Storage: j.Storage,
	})
	return Obstacle{text, change}
}

// spread returns how many pods a topology spread constraint counts, by the values of its topology
// key.
func (j *Judge) spread(p *world.Pod, c corev1.TopologySpreadConstraint) map[string]int {
	counts, selector := map[string]int{}, world.Selector(c.LabelSelector)
	for _, n := range j.Nodes {
		value, there := n.Labels[c.TopologyKey]
		if !there {
			continue
		}
		counts[value] += 0
		for _, other := range n.Pods {
			if other.Namespace() == p.Namespace() && other.Deleted.IsZero() && selector.Matches(klabels.Set(other.Labels)) {
				counts[value]++
			}
		}
	}
	return counts
}
