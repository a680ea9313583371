package fit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/predicates"
)

// Scheduler asks the filters of the scheduler.
type Scheduler func(predicates.Request) (predicates.Answer, error)

// Unjudged returns what the pod requires that nobody has judged.
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
	note(len(p.Claims) > 0 && !(judged && w.volumesKnown()), "volumes ("+strings.Join(p.Claims, ", ")+")")
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

// selects reports whether a selector matches labels. One that is missing matches none.
func selects(selector *metav1.LabelSelector, labels map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(klabels.Set(labels))
}

// volumesKnown reports whether the record has what the scheduler reads of volumes.
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
			r.Templates = append(r.Templates, predicates.Template{Node: next.node(), Pods: objects(next.has)})
		}
	}
	return w.ask(ask, r, p)
}

// ConsultMoves asks the scheduler's filters where the pods of a node fit that must leave it, one
// after the other, if one of them requires what this package does not judge.
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
		r.Ask[i].Spec.NodeName = "" // one that moves still has its node
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

// request returns the cluster for the scheduler's filters, without the pods that are not to count.
func (w *World) request(without []*Pod) predicates.Request {
	r := predicates.Request{
		Nodes: []corev1.Node{}, Namespaces: w.scheduling[timeline.Namespace], Claims: w.scheduling[timeline.Claim], Volumes: w.scheduling[timeline.Volume],
		StorageClasses: w.scheduling[timeline.StorageClass], CSINodes: w.scheduling[timeline.CSINode],
	}
	for _, n := range w.Nodes {
		at := w.place(n, nil)
		r.Nodes = append(r.Nodes, at.node())
		r.Pods = append(r.Pods, objects(slices.DeleteFunc(slices.Clone(n.Pods), func(p *Pod) bool { return slices.Contains(without, p) }))...)
		if !n.open() {
			r.Closed = append(r.Closed, n.Name)
		}
	}
	return r
}

// node returns the place as an object.
func (at place) node() corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: at.name, Labels: at.labels}, Spec: corev1.NodeSpec{Taints: at.taints}}
	n.Spec.Unschedulable = slices.ContainsFunc(at.taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable })
	n.Status.Allocatable = at.allocatable
	return n
}

// objects returns pods as objects, as far as the scheduler's filters read them.
func objects(pods []*Pod) []corev1.Pod {
	all := make([]corev1.Pod, 0, len(pods))
	for _, p := range pods {
		all = append(all, p.object())
	}
	return all
}

func (p *Pod) object() corev1.Pod {
	o := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(p.Name), Name: timeline.LastPart(p.Name), UID: types.UID(cmp.Or(p.UID, p.Name)), Labels: p.Labels}}
	if !p.Deleted.IsZero() {
		o.DeletionTimestamp = &metav1.Time{Time: p.Deleted}
	}
	container := corev1.Container{Name: "all", Resources: corev1.ResourceRequirements{Requests: p.Requests}}
	for _, text := range p.HostPorts {
		protocol, number, _ := strings.Cut(text, "/")
		if port, err := strconv.ParseInt(number, 10, 32); err == nil {
			container.Ports = append(container.Ports, corev1.ContainerPort{ContainerPort: int32(port), HostPort: int32(port), Protocol: corev1.Protocol(strings.ToUpper(protocol))})
		}
	}
	o.Spec = corev1.PodSpec{
		NodeName: p.Node, Containers: []corev1.Container{container}, NodeSelector: p.NodeSelector, Affinity: p.Affinity, Tolerations: p.Tolerations,
		TopologySpreadConstraints: p.Spread, Priority: &p.Priority, SchedulerName: cmp.Or(p.Scheduler, corev1.DefaultSchedulerName),
	}
	for _, claim := range p.Claims {
		o.Spec.Volumes = append(o.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
	}
	return o
}

// Reasons of the scheduler's filters. Source: pkg/scheduler/framework/plugins of Kubernetes 1.36, the
// packages interpodaffinity, podtopologyspread and volumebinding.
const (
	affinityRefuses     = "node(s) didn't match pod affinity rules"
	antiAffinityRefuses = "node(s) didn't match pod anti-affinity rules"
	othersRefuse        = "node(s) didn't satisfy existing pods anti-affinity rules"
	spreadRefuses       = "node(s) didn't match pod topology spread constraints"
	spreadWantsLabel    = "node(s) didn't match pod topology spread constraints (missing required label)"
	volumeIsElsewhere   = "node(s) didn't match PersistentVolume's node affinity"
	noVolumeHere        = "node(s) didn't find available persistent volumes to bind"
)

// refused returns the refusal of a filter of the scheduler in the lab's words or, of one that the
// lab has no words for, in the filter's.
func (w *World) refused(p *Pod, r predicates.Refusal, at place) Obstacle {
	switch reason := strings.Join(r.Reasons, ", "); reason {
	case affinityRefuses:
		terms, keys := affinityTerms(p.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		return Obstacle{
			fmt.Sprintf("pod affinity to %s: no such pod is %s", terms, at.domains(keys)),
			fmt.Sprintf("such a pod there, or a node in the same %s as one", strings.Join(keys, " and ")),
		}
	case antiAffinityRefuses:
		terms, keys := affinityTerms(p.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		return Obstacle{fmt.Sprintf("pod anti-affinity to %s: such a pod is %s", terms, at.domains(keys)), "a node in another " + strings.Join(keys, " and ")}
	case othersRefuse:
		return Obstacle{"the pod anti-affinity of a pod that is there refuses it", "a node where no such pod is, or labels that the other pod does not refuse"}
	case spreadRefuses:
		var texts, keys []string
		for _, c := range p.Spread {
			texts = append(texts, fmt.Sprintf("maxSkew %d over %s (%s)", c.MaxSkew, c.TopologyKey, w.spread(p, c)))
			keys = timeline.AppendUnique(keys, c.TopologyKey)
		}
		return Obstacle{
			fmt.Sprintf("topology spread: too many of its pods are %s already: %s", at.domains(keys), strings.Join(texts, "; ")),
			"a node in another " + strings.Join(keys, " and ") + ", or a larger maxSkew",
		}
	case spreadWantsLabel:
		var missing []string
		for _, c := range p.Spread {
			if _, there := at.labels[c.TopologyKey]; !there {
				missing = timeline.AppendUnique(missing, c.TopologyKey)
			}
		}
		keys := strings.Join(missing, ", ")
		return Obstacle{fmt.Sprintf("topology spread over %s: no such label on %s", keys, at.where), fmt.Sprintf("label %s on %s", keys, at.where)}
	case volumeIsElsewhere:
		text := w.whereVolumesAre(p)
		return Obstacle{"volumes: " + text + ", and that does not match " + at.where, "a node that matches the volume's node affinity"}
	case noVolumeHere:
		text := w.whereVolumesCome(p)
		return Obstacle{"volumes: no PersistentVolume for it here, and none can be provisioned" + text, "a node where its StorageClass provisions, or a PersistentVolume here"}
	default:
		return Obstacle{r.Plugin + ": " + strings.ReplaceAll(reason, "node(s) ", ""), ""}
	}
}

// affinityTerms returns terms of pod affinity for a reader, and their topology keys.
func affinityTerms(terms []corev1.PodAffinityTerm) (text string, keys []string) {
	var texts []string
	for _, t := range terms {
		texts = append(texts, fmt.Sprintf("%s by %s", metav1.FormatLabelSelector(t.LabelSelector), t.TopologyKey))
		keys = timeline.AppendUnique(keys, t.TopologyKey)
	}
	return strings.Join(texts, ", "), keys
}

// domains returns where a place is, by topology keys.
func (at place) domains(keys []string) string {
	var texts []string
	for _, key := range keys {
		switch value, there := at.labels[key]; {
		case key == corev1.LabelHostname && !at.group:
			texts = append(texts, "on the node")
		case there:
			texts = append(texts, "in "+key+" "+strconv.Quote(value))
		default:
			texts = append(texts, "in the same "+key+", a label that "+at.where+" lacks")
		}
	}
	return strings.Join(texts, " and ")
}

// maxDomains is the largest number of domains of a spread that a text counts.
const maxDomains = 6

// spread counts the pods that a constraint counts, by the values of its key.
func (w *World) spread(p *Pod, c corev1.TopologySpreadConstraint) string {
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
	var texts []string
	for _, value := range slices.Sorted(maps.Keys(counts)) {
		texts = append(texts, fmt.Sprintf("%s: %d", value, counts[value]))
	}
	return strings.Join(timeline.SomeOf(texts, maxDomains), ", ")
}

// whereVolumesAre returns the node affinity of the volumes of a pod's claims.
func (w *World) whereVolumesAre(p *Pod) string {
	var texts []string
	for _, raw := range w.scheduling[timeline.Volume] {
		var v corev1.PersistentVolume
		if json.Unmarshal(raw, &v) != nil || v.Spec.ClaimRef == nil || v.Spec.NodeAffinity == nil || v.Spec.NodeAffinity.Required == nil {
			continue
		}
		if c := v.Spec.ClaimRef; c.Namespace == namespaceOf(p.Name) && slices.Contains(p.Claims, c.Name) {
			texts = append(texts, fmt.Sprintf("the PersistentVolume %s of its claim %s wants %s", v.Name, c.Name, termsText(v.Spec.NodeAffinity.Required)))
		}
	}
	return cmp.Or(strings.Join(texts, "; "), "a PersistentVolume of its claims has a node affinity")
}

// storageClass returns the StorageClass of a name, nil if it is not on record.
func (w *World) storageClass(name string) *storagev1.StorageClass {
	for _, raw := range w.scheduling[timeline.StorageClass] {
		var c storagev1.StorageClass
		if json.Unmarshal(raw, &c) == nil && c.Name == name {
			return &c
		}
	}
	return nil
}

// whereVolumesCome returns where the storage classes of a pod's claims provision volumes, as the end
// of a sentence.
func (w *World) whereVolumesCome(p *Pod) string {
	var texts []string
	for _, raw := range w.scheduling[timeline.Claim] {
		var c corev1.PersistentVolumeClaim
		if json.Unmarshal(raw, &c) != nil || c.Namespace != namespaceOf(p.Name) || !slices.Contains(p.Claims, c.Name) || c.Spec.StorageClassName == nil {
			continue
		}
		class := w.storageClass(*c.Spec.StorageClassName)
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
			texts = append(texts, fmt.Sprintf("the StorageClass %s of its claim %s wants %s", class.Name, c.Name, termsText(&corev1.NodeSelector{NodeSelectorTerms: terms})))
		}
	}
	if len(texts) == 0 {
		return ""
	}
	return ": " + strings.Join(texts, "; ")
}
