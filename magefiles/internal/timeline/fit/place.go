package fit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"
	scheduling "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline/predicates"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// place is a node, or the node that a group would get.
type place struct {
	labels      map[string]string
	taints      []corev1.Taint
	allocatable corev1.ResourceList
	// capacity is set for the node that a group would get.
	capacity corev1.ResourceList
	// promised is what the group tells the autoscaler of its nodes, set for a node that exists.
	promised corev1.ResourceList
	// used has what pods request already.
	used corev1.ResourceList
	pods int
	// ports are the host ports in use.
	ports []string
	// name is the name of the node, or of the node that a group would get. has are the pods on the
	// node.
	name string
	has  []*world.Pod
	// devices are the ResourceSlices of this node only, and backed the extended resources that a
	// DeviceClass may provide.
	devices []*resourcev1.ResourceSlice
	backed  []corev1.ResourceName
	// blind is set for the node that a group would get if the autoscaler does not look at devices.
	blind bool
	// refusals are the refusals of the scheduler's filters.
	refusals []predicates.Refusal
	// group is set for the node that a group would get.
	group bool
	// where says what the changes are made to: "the node", "the template".
	where string
	// by is who makes the template.
	by string
	// managed are labels that Cluster API would give to the real node and that the
	// autoscaler does not know.
	managed map[string]string
	// system are labels that every kubelet gives to its node and of which the template of an
	// empty group has no value.
	system map[string]string
	// unread are labels that the group's annotations tell and that the autoscaler does not
	// read.
	unread map[string]string
}

// obstacles returns why the pod does not fit in a place, nil if it fits as far as that is
// judged.
func (j *Judge) obstacles(p *world.Pod, at place) []Obstacle {
	lacking, unlike, kept, taken := resources(p, at), j.selectors(p, at), taints(p, at), ports(p, at)
	own := map[string]bool{
		predicates.NodeResourcesFit: len(lacking) > 0, "NodeAffinity": len(unlike) > 0, "NodePorts": len(taken) > 0,
		"TaintToleration": len(kept) > 0, "NodeUnschedulable": len(kept) > 0,
	}
	found := slices.Concat(lacking, unlike, kept, taken)
	if missing := j.missingClaims(p); len(missing) > 0 {
		// Each of these plugins refuses every node then.
		for _, plugin := range []string{"VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone"} {
			own[plugin] = true
		}
		found = append(found, missing...)
	}
	if missing := j.missingDevices(p); at.blind {
		own[predicates.DynamicResources] = true
	} else if len(missing) > 0 {
		own[predicates.DynamicResources] = true
		found = append(found, missing...)
	}
	for _, r := range at.refusals {
		if !own[r.Plugin] { // the lab's own words have amounts and names
			found = append(found, j.refused(p, r, at))
		}
	}
	return found
}

// fits reports whether the pod fits in a place, as far as that is judged. It says the same as obstacles,
// without words.
func (j *Judge) fits(p *world.Pod, at place) bool {
	return len(at.refusals) == 0 && hasRoom(p, at) && j.admits(p, at) && !slices.ContainsFunc(p.HostPorts, func(port string) bool { return slices.Contains(at.ports, port) }) &&
		len(j.missingClaims(p)) == 0 && len(j.missingDevices(p)) == 0
}

// hasRoom reports whether a place has what the pod requests.
func hasRoom(p *world.Pod, at place) bool {
	if most, ok := at.allocatable[corev1.ResourcePods]; ok && int64(at.pods) >= most.Value() {
		return false
	}
	for name, asked := range p.Requests {
		all, used := at.allocatable[name], at.used[name]
		if !asked.IsZero() && !at.mayGive(name) && asked.MilliValue() > all.MilliValue()-used.MilliValue() {
			return false
		}
	}
	return true
}

// mayGive reports whether devices may provide a resource that the node does not have otherwise.
func (at place) mayGive(name corev1.ResourceName) bool {
	all := at.allocatable[name]
	return all.IsZero() && slices.Contains(at.backed, name)
}

// admits reports whether selectors and taints admit the pod, whatever it requests.
func (j *Judge) admits(p *world.Pod, at place) bool {
	return j.matches(p, at.labels) && !slices.ContainsFunc(at.taints, func(t corev1.Taint) bool { return keepsAway(p, t) })
}

// clone returns a place that can be changed.
func (at place) clone() place {
	at.used, at.ports, at.has = maps.Clone(at.used), slices.Clip(at.ports), slices.Clip(at.has)
	return at
}

// put adds a pod to the place.
func (at *place) put(p *world.Pod) {
	if at.used == nil {
		at.used = corev1.ResourceList{}
	}
	world.Add(at.used, p.Requests)
	at.pods++
	at.ports = append(at.ports, p.HostPorts...)
	at.has = append(at.has, p)
}

// resources judges what the pod requests.
func resources(p *world.Pod, at place) []Obstacle {
	var found []Obstacle
	if most, ok := at.allocatable[corev1.ResourcePods]; ok && int64(at.pods) >= most.Value() {
		found = append(found, Obstacle{fmt.Sprintf("no more pods: %d of %d are there", at.pods, most.Value()), ""})
	}
	for _, name := range slices.Sorted(maps.Keys(p.Requests)) {
		asked, all, used := p.Requests[name], at.allocatable[name], at.used[name]
		free := all.MilliValue() - used.MilliValue()
		missing := asked.MilliValue() - free
		if asked.IsZero() || missing <= 0 || at.mayGive(name) {
			continue
		}
		if free < 0 {
			found = append(found, at.overfull(name, asked.MilliValue()))
			continue
		}
		text := fmt.Sprintf("%s: %s missing (it requests %s; %s of %s are free)", name, shape.Amount(name, missing), shape.Amount(name, asked.MilliValue()), shape.Amount(name, max(0, free)), shape.Amount(name, all.MilliValue()))
		change := fmt.Sprintf("request %s less %s", shape.Amount(name, missing), name)
		if all.IsZero() {
			text = fmt.Sprintf("%s: it requests %s, and there is none", name, shape.Amount(name, asked.MilliValue()))
			if promised := at.promised[name]; promised.Cmp(asked) >= 0 {
				text += fmt.Sprintf(" yet: the group tells the autoscaler of %s on each of its nodes", shape.Amount(name, promised.MilliValue()))
				change = "the devices come, or the group tells of none"
			}
		}
		found = append(found, Obstacle{text, change})
	}
	return found
}

// overfull returns that pods request more of a resource than a node has, before the pod that asks
// for so much comes.
func (at place) overfull(name corev1.ResourceName, asked int64) Obstacle {
	all, used := at.allocatable[name], at.used[name]
	if !at.group {
		return Obstacle{fmt.Sprintf("%s: its pods request %s already, and it has %s", name, shape.Amount(name, used.MilliValue()), shape.Amount(name, all.MilliValue())), ""}
	}
	return Obstacle{
		fmt.Sprintf("%s: %s", name, at.alone(name)),
		fmt.Sprintf("nodes with at least %s of %s, or DaemonSets that request less", shape.Amount(name, used.MilliValue()+asked), name),
	}
}

// alone returns that the pods that every node of a group gets request more than it has.
func (at place) alone(name corev1.ResourceName) string {
	all, used := at.allocatable[name], at.used[name]
	return fmt.Sprintf("DaemonSets and static pods alone request %s, and a node of the group has %s", shape.Amount(name, used.MilliValue()), shape.Amount(name, all.MilliValue()))
}

// selectors judges nodeSelector and node affinity.
func (j *Judge) selectors(p *world.Pod, at place) []Obstacle {
	if j.matches(p, at.labels) {
		return nil
	}
	var found []Obstacle
	have := maps.Clone(at.labels)
	for _, u := range at.unseen() {
		enough := j.matches(p, union(u.labels, have))
		asked := maps.Clone(u.labels)
		maps.DeleteFunc(asked, func(key, value string) bool {
			want, selected := p.NodeSelector[key]
			if enough {
				return !asksFor(p, key)
			}
			return !selected || value != want || have[key] == want
		})
		if len(asked) > 0 {
			found = append(found, u.obstacle(klabels.Set(asked).String()))
			have = union(asked, have)
		}
		if j.matches(p, have) {
			return found
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.NodeSelector)) {
		want := p.NodeSelector[key]
		value, there := have[key]
		switch {
		case !there:
			found = append(found, Obstacle{fmt.Sprintf("selector %s=%s: no such label on %s", key, want, at.where), fmt.Sprintf("label %s=%s on %s", key, want, at.where)})
		case value != want:
			found = append(found, Obstacle{fmt.Sprintf("selector %s=%s: the label is %q on %s", key, want, value, at.where), fmt.Sprintf("label %s=%s on %s", key, want, at.where)})
		}
	}
	if len(found) == 0 {
		text := predicates.TermsText(p.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
		found = append(found, Obstacle{"node affinity: " + text + " does not match the labels of " + at.where, "labels that match " + text + " on " + at.where})
	}
	return found
}

// unseen has labels that the real nodes of an empty group would have, but that the autoscaler does
// not know. obstacle returns the obstacle for a pod that selects some of them.
type unseen struct {
	labels   map[string]string
	obstacle func(labels string) Obstacle
}

// unseen returns the labels that the autoscaler does not know, one entry for each reason.
func (at place) unseen() []unseen {
	const annotation = "the annotation " + release.CapacityPrefix + "labels: "
	return []unseen{
		{at.unread, func(labels string) Obstacle {
			return Obstacle{
				fmt.Sprintf("selector: the group's annotations tell %s, but %s reads no labels of an empty group", labels, at.by),
				"a minimum of 1, or an autoscaler from " + release.FirstAutoscaler(func(a release.Autoscaler) bool { return a.KnowsEmptyGroups }) + " on",
			}
		}},
		{at.system, func(labels string) Obstacle {
			return Obstacle{
				fmt.Sprintf("selector %s: its nodes would have that label, but in the template that %s makes of an empty group it has no value, because the infrastructure template has no status.nodeInfo (a bug upstream)", labels, at.by),
				annotation + labels + " on the group, beside its other labels",
			}
		}},
		{at.managed, func(labels string) Obstacle {
			return Obstacle{
				fmt.Sprintf("selector %s: Cluster API would give its nodes that label, but the template that %s makes of an empty group lacks it (a bug upstream)", labels, at.by),
				annotation + labels + " on the group",
			}
		}},
	}
}

// matches reports whether a node with these labels has what nodeSelector and node affinity
// require.
func (j *Judge) matches(p *world.Pod, labels map[string]string) bool {
	required, known := j.required[p]
	if !known {
		required = nodeaffinity.GetRequiredNodeAffinity(&corev1.Pod{Spec: corev1.PodSpec{NodeSelector: p.NodeSelector, Affinity: p.Affinity}})
		j.required[p] = required
	}
	ok, err := required.Match(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: labels[corev1.LabelHostname], Labels: labels}})
	return ok && err == nil
}

// taints judges the taints that keep pods away.
func taints(p *world.Pod, at place) []Obstacle {
	var found []Obstacle
	for _, t := range at.taints {
		if keepsAway(p, t) {
			found = append(found, Obstacle{"taint " + t.ToString() + " is not tolerated", "a toleration for " + t.Key})
		}
	}
	return found
}

// keepsAway reports whether a taint keeps the pod away.
func keepsAway(p *world.Pod, t corev1.Taint) bool {
	return t.Effect != corev1.TaintEffectPreferNoSchedule && !scheduling.TolerationsTolerateTaint(klog.Background(), p.Tolerations, &t, false)
}

// ports judges host ports.
func ports(p *world.Pod, at place) []Obstacle {
	var found []Obstacle
	for _, port := range p.HostPorts {
		if slices.Contains(at.ports, port) {
			found = append(found, Obstacle{"host port " + port + " is in use", "another host port"})
		}
	}
	return found
}

// Room returns the nodes on which the autoscaler finds that the pod fits, as far as that is judged.
// Pods that are expendable do not count there.
func (j *Judge) Room(p *world.Pod) []*world.Node { return j.where(p, j.simulated) }

// RoomNow returns the nodes on which the scheduler finds that the pod fits without evicting others,
// as far as that is judged.
func (j *Judge) RoomNow(p *world.Pod) []*world.Node { return j.where(p, j.place) }

// where returns the nodes on which the pod fits if each node is such a place.
func (j *Judge) where(p *world.Pod, at func(*world.Node, *world.Pod) place) []*world.Node {
	var found []*world.Node
	for _, n := range j.Nodes {
		if n.Open() && j.fits(p, at(n, p)) {
			found = append(found, n)
		}
	}
	return found
}

// placeKey names a node as a place: for the scheduler or, if simulated is set, for the autoscaler.
type placeKey struct {
	node      *world.Node
	simulated bool
}

// place returns a node as a place for a pod, which may be nil, as the scheduler sees it. The pods for
// which the scheduler makes room there count as if they were bound.
func (j *Judge) place(n *world.Node, p *world.Pod) place { return j.placeOf(placeKey{node: n}, p) }

// simulated returns a node as a place for a pod, which may be nil, as the autoscaler sees it:
// without expendable pods.
func (j *Judge) simulated(n *world.Node, p *world.Pod) place {
	return j.placeOf(placeKey{node: n, simulated: true}, p)
}

func (j *Judge) placeOf(key placeKey, p *world.Pod) place {
	n := key.node
	nominated := p != nil && slices.Contains(n.Nominated, p)
	at, known := j.places[key]
	if !known || nominated {
		at = place{name: n.Name, labels: n.Labels, taints: n.Taints, allocatable: n.Allocatable, where: "the node", backed: j.backed(), devices: j.Devices.Of(n.Name)}
		if g := j.GroupOf(n.Group); g != nil {
			at.promised = j.capacity(g)
		}
		for _, other := range slices.Concat(n.Pods, n.Nominated) {
			if other != p && (!key.simulated || !j.Expendable(other)) {
				at.put(other)
			}
		}
		if !nominated { // the others see the pod there
			j.places[key] = at
		}
	}
	at.refusals = j.judged[p][n.Name]
	return at
}

// Refusal is a reason why the pod does not fit on some nodes.
type Refusal struct {
	Text  string
	Nodes []string
}

// Refusals returns why the pod does not fit on the nodes that exist, the commonest reason
// first. Of several reasons on one node, all count as one.
func (j *Judge) Refusals(p *world.Pod) []Refusal {
	var all []Refusal
	for _, n := range j.Nodes {
		var texts []string
		switch {
		case n.Deleting:
			texts = []string{"the autoscaler deletes it"}
		case !n.Ready:
			texts = []string{"it is not Ready"}
		default:
			for _, o := range j.obstacles(p, j.place(n, p)) {
				texts = append(texts, o.Text)
			}
		}
		if len(texts) == 0 {
			continue
		}
		text := strings.Join(texts, "; ")
		i := slices.IndexFunc(all, func(r Refusal) bool { return r.Text == text })
		if i < 0 {
			i = len(all)
			all = append(all, Refusal{Text: text})
		}
		all[i].Nodes = append(all[i].Nodes, n.Name)
	}
	slices.SortStableFunc(all, func(a, b Refusal) int { return len(b.Nodes) - len(a.Nodes) })
	return all
}
