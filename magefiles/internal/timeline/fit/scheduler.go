package fit

import (
	"cmp"
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

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
	note(judged && j.namespacesMissing(p), "pod affinity by namespaces, which are not all on record")
	note(len(p.Claims) > 0 && (!judged || !j.volumesKnown()), "volumes ("+strings.Join(p.Claims, ", ")+")")
	if judged && j.volumesKnown() {
		for _, driver := range j.provisioners(p) {
			note(!j.capacityKnown(driver), "the capacity that the driver "+driver+" may report for new volumes")
		}
	}
	backed := j.backedRequests(p)
	note(len(backed) > 0 && (!judged || !j.devicesComplete()), "resources that devices may give ("+strings.Join(backed, ", ")+")")
	note(len(p.Devices) > 0 && (!judged || !j.devicesKnown(p)), "device claims ("+strings.Join(p.Devices, ", ")+")")
	return found
}

// needsFilters reports whether the pod requires something that the scheduler's filters judge, and this
// package does not.
func (j *Judge) needsFilters(p *world.Pod) bool {
	affinity := p.Affinity != nil && (p.Affinity.PodAffinity != nil || p.Affinity.PodAntiAffinity != nil)
	return len(p.Spread) > 0 || affinity || len(p.Claims) > 0 && j.volumesKnown() || len(p.Devices) > 0 && j.devicesKnown(p) || j.devicesComplete() && len(j.backedRequests(p)) > 0 || j.avoided(p)
}

// volumesKnown reports whether the record has all objects that the scheduler reads to judge
// volumes.
func (j *Judge) volumesKnown() bool {
	return j.Complete[timeline.Claim] && j.Complete[timeline.Volume] && j.Complete[timeline.StorageClass] && j.Complete[timeline.CSINode]
}

// missingClaims returns an obstacle for each PersistentVolumeClaim of the pod that does not exist.
func (j *Judge) missingClaims(p *world.Pod) []Obstacle {
	if !j.volumesKnown() {
		return nil
	}
	there := j.Storage.ClaimsOf(p)
	var missing []Obstacle
	for _, name := range p.Claims {
		if !slices.ContainsFunc(there, func(c *corev1.PersistentVolumeClaim) bool { return c.Name == name }) {
			missing = append(missing, Obstacle{"volumes: its PersistentVolumeClaim " + name + " does not exist", "the PersistentVolumeClaim " + name})
		}
	}
	return missing
}

// capacityKnown reports whether the record has the driver's CSIStorageCapacities, or shows that the
// driver has none.
func (j *Judge) capacityKnown(driver string) bool {
	return j.Complete[timeline.CSIDriver] && (j.Complete[timeline.StorageCapacity] || !j.Storage.Tracks(driver))
}

// provisioners returns the CSI drivers that would provision volumes for the pod. If a driver
// reports its free storage, the scheduler checks it. Source: hasEnoughCapacity in
// pkg/scheduler/framework/plugins/volumebinding of Kubernetes 1.36.
func (j *Judge) provisioners(p *world.Pod) []string {
	var found []string
	for _, c := range j.Storage.ClaimsOf(p) {
		if c.Spec.VolumeName != "" {
			continue
		}
		class := j.Storage.Class(c)
		if class != nil && slices.ContainsFunc(j.Storage.Nodes, func(n *storagev1.CSINode) bool {
			return slices.ContainsFunc(n.Spec.Drivers, func(d storagev1.CSINodeDriver) bool { return d.Name == class.Provisioner })
		}) {
			found = timeline.AppendUnique(found, class.Provisioner)
		}
	}
	return found
}

// Consult asks the scheduler's filters where a pod fits, if it requires what this package does not
// judge. From then on, all answers about the pod rest on them too.
func (j *Judge) Consult(ctx context.Context, ask Scheduler, p *world.Pod) error {
	if !j.needsFilters(p) {
		return nil
	}
	r := j.request(nil)
	for _, g := range j.Groups {
		if next, _, ok := j.next(g, p); ok {
			t := predicates.Template{Node: predicates.Node(next.name, next.labels, next.taints, next.allocatable), Pods: objects(next.has)}
			if j.devicesComplete() {
				t.ResourceSlices = next.devices
				r.ResourceClaims = slices.Concat(r.ResourceClaims, j.claimsLike(next)) // those of the world stay as they are
			}
			t.CSINode = j.csiNode(g, next.name)
			r.Templates = append(r.Templates, t)
		}
	}
	return j.ask(ctx, ask, r, p)
}

// ConsultMoves asks the scheduler's filters where the pods fit that must leave a node, one pod
// after the other. It asks only if one of them requires what this package does not judge.
func (j *Judge) ConsultMoves(ctx context.Context, ask Scheduler, from *world.Node, leaving []*world.Pod) error {
	if !slices.ContainsFunc(leaving, j.needsFilters) {
		return nil
	}
	r := j.request(leaving)
	r.Move, r.Closed = true, append(r.Closed, from.Name)
	j.leaving = leaving
	return j.ask(ctx, ask, r, leaving...)
}

// ask asks for pods. Filters whose objects are not all on record are not asked, or their answer does not
// count: they would refuse every node.
func (j *Judge) ask(ctx context.Context, ask Scheduler, r predicates.Request, pods ...*world.Pod) error {
	r.Ask = objects(pods)
	for i := range r.Ask {
		r.Ask[i].Spec.NodeName = "" // a pod that moves is still bound to its node
		if !j.volumesKnown() {
			r.Ask[i].Spec.Volumes = nil
		}
		if !j.devicesKnown(pods[i]) {
			r.Ask[i].Spec.ResourceClaims = nil
		}
	}
	answer, err := ask(ctx, r)
	if err != nil {
		return err
	}
	for i, p := range pods {
		verdicts := answer.Pods[i]
		if j.namespacesMissing(p) {
			verdicts = verdicts.Without(predicates.InterPodAffinity)
		}
		if !j.devicesComplete() && len(j.backedRequests(p)) > 0 {
			verdicts = verdicts.Without(predicates.NodeResourcesFit) // it does not know that devices may give them
		}
		j.judged[p], j.filters[p] = verdicts, cmp.Or(answer.Version, "of an unknown version")
	}
	return nil
}

// request returns the cluster as a request to the scheduler's filters, without the pods in without
// and without expendable pods, which the autoscaler leaves out. What these request and which ports they
// use is judged without the filters.
func (j *Judge) request(without []*world.Pod) predicates.Request {
	r := predicates.Request{
		Nodes: []corev1.Node{}, Namespaces: j.Scheduling[timeline.Namespace], Claims: j.Scheduling[timeline.Claim], Volumes: j.Scheduling[timeline.Volume],
		StorageClasses: j.Scheduling[timeline.StorageClass], CSINodes: j.Scheduling[timeline.CSINode], VolumeAttachments: j.Scheduling[timeline.Attachment],
	}
	if j.Complete[timeline.CSIDriver] && j.Complete[timeline.StorageCapacity] {
		// Without capacities, the scheduler would find no storage of a driver that reports them.
		r.CSIDrivers, r.StorageCapacities = j.Scheduling[timeline.CSIDriver], j.Scheduling[timeline.StorageCapacity]
	}
	if j.devicesComplete() {
		r.ResourceClaims, r.DeviceClasses, r.ResourceSlices = j.claimsWithout(without), j.Scheduling[timeline.DeviceClass], j.Scheduling[timeline.ResourceSlice]
	}
	for _, n := range j.Nodes {
		at := j.place(n, nil)
		r.Nodes = append(r.Nodes, predicates.Node(at.name, at.labels, at.taints, at.allocatable))
		r.Pods = append(r.Pods, objects(slices.DeleteFunc(slices.Clone(n.Pods), func(p *world.Pod) bool { return slices.Contains(without, p) || j.Expendable(p) }))...)
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
		Pod: p, Node: at.name, Labels: at.labels, Where: at.where, New: at.group,
		Counts:  func(constraint int) map[string]int { return j.spread(p)[constraint] },
		Refuser: func() string { return j.refuser(p, at) },
		Storage: j.Storage, Devices: j.Devices, Slices: at.devices,
	})
	return Obstacle{text, change}
}
