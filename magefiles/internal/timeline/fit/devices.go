package fit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/predicates"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// devicesComplete reports whether the record has all objects that the scheduler reads to judge devices.
func (j *Judge) devicesComplete() bool {
	return j.Complete[timeline.ResourceClaim] && j.Complete[timeline.ResourceClaimTemplate] && j.Complete[timeline.ResourceSlice] && j.Complete[timeline.DeviceClass]
}

// devicesKnown reports whether the record has all that the scheduler reads to judge the devices of a pod.
// Old records have only the names of its requests.
func (j *Judge) devicesKnown(p *world.Pod) bool {
	return j.devicesComplete() && len(p.DeviceClaims) == len(p.Devices) &&
		!slices.ContainsFunc(p.DeviceClaims, func(d shape.DeviceClaim) bool { return d.Claim == "" && d.Template == "" })
}

// withoutClaims returns the claims of a pod that are missing, not created yet, or created for
// another pod. The scheduler does not queue such a pod, and does not mark it as unschedulable.
// Source: PreEnqueue in pkg/scheduler/framework/plugins/dynamicresources of Kubernetes 1.36.
func (j *Judge) withoutClaims(p *world.Pod) []Obstacle {
	if len(p.Devices) == 0 || !j.devicesKnown(p) {
		return nil
	}
	var missing []Obstacle
	add := func(change, format string, args ...any) {
		missing = append(missing, Obstacle{fmt.Sprintf(format, args...), change})
	}
	for _, d := range p.DeviceClaims {
		claim, template := j.Devices.Claim(p.Namespace(), d.Claim), "the ResourceClaimTemplate "+d.Template
		switch {
		case d.Claim == "" && !slices.Contains(j.Devices.Templates, p.Namespace()+"/"+d.Template):
			add(template, "%s of its claim %s does not exist", template, d.Name)
		case d.Claim == "":
			add("that claim, which the controller manager creates", "its claim %s is not created yet from %s", d.Name, template)
		case claim == nil:
			add("the ResourceClaim "+d.Claim, "its ResourceClaim %s does not exist", d.Claim)
		case claim.DeletionTimestamp != nil:
			add("another ResourceClaim", "its ResourceClaim %s is being deleted", d.Claim)
		}
	}
	return missing
}

// missingDevices returns what the claims of a pod lack on all nodes: a claim, or a DeviceClass.
func (j *Judge) missingDevices(p *world.Pod) []Obstacle {
	if len(p.Devices) == 0 || !j.devicesKnown(p) {
		return nil
	}
	missing := j.withoutClaims(p)
	for _, d := range p.DeviceClaims {
		claim := j.Devices.Claim(p.Namespace(), d.Claim)
		if claim == nil || claim.Status.Allocation != nil || claim.DeletionTimestamp != nil {
			continue
		}
		for _, class := range predicates.ClassesOf(claim) {
			if !j.Devices.HasClass(class) {
				missing = append(missing, Obstacle{fmt.Sprintf("the DeviceClass %s of its ResourceClaim %s does not exist", class, d.Claim), "the DeviceClass " + class})
			}
		}
	}
	for i := range missing {
		missing[i].Text = "devices: " + missing[i].Text
	}
	return missing
}

// backed returns the resources that a device may give in place of a device plugin, because a DeviceClass
// names them. Only the scheduler's filters can tell whether one does, and only if all devices are on record.
func (j *Judge) backed() []corev1.ResourceName {
	var names []corev1.ResourceName
	for _, c := range j.Devices.Classes {
		names = append(names, corev1.ResourceName(resourcev1.ResourceDeviceClassPrefix+c.Name))
		if c.Spec.ExtendedResourceName != nil {
			names = append(names, corev1.ResourceName(*c.Spec.ExtendedResourceName))
		}
	}
	return names
}

// backedRequests returns the resources that the pod requests and that a device may give, sorted.
func (j *Judge) backedRequests(p *world.Pod) []string {
	var names []string
	for _, name := range j.backed() {
		if asked := p.Requests[name]; !asked.IsZero() {
			names = timeline.AppendUnique(names, string(name))
		}
	}
	slices.Sort(names)
	return names
}

// like copies the ResourceSlices of a node to the new node named at, as the autoscaler does. The
// copies have a pool of their own. Source: simulator/dynamicresources/utils/sanitize.go,
// SanitizedNodeResourceSlices.
func like(all []*resourcev1.ResourceSlice, at string) []*resourcev1.ResourceSlice {
	var found []*resourcev1.ResourceSlice
	for _, s := range all {
		fresh := s.DeepCopy()
		fresh.Name, fresh.Spec.Pool.Name, fresh.Spec.NodeName = s.Name+"-"+at, poolLike(s.Spec.Pool.Name, at), &at
		found = append(found, fresh)
	}
	return found
}

// poolLike returns the name of the pool on the new node at that is like another pool.
func poolLike(pool, at string) string { return pool + "-" + at }

// announcedDevices returns the devices that the autoscaler expects on a new node of an empty group.
// Their pool has the resourceSliceCount 0, so the scheduler's filters treat it as incomplete.
// Source: cloudprovider/clusterapi/clusterapi_unstructured.go, InstanceResourceSlices.
func (j *Judge) announcedDevices(g *world.Group, at string) []*resourcev1.ResourceSlice {
	driver := g.Annotations[release.CapacityPrefix+"dra-driver"]
	n, err := strconv.Atoi(g.Annotations[release.CapacityPrefix+"gpu-count"])
	if driver == "" || err != nil || n < 1 || !j.Autoscaler.Release().DevicesOfEmptyGroups {
		return nil
	}
	gpu := "gpu"
	s := &resourcev1.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: at + "-" + driver},
		Spec:       resourcev1.ResourceSliceSpec{Driver: driver, NodeName: &at, Pool: resourcev1.ResourcePool{Name: at}},
	}
	for i := range n {
		s.Spec.Devices = append(s.Spec.Devices, resourcev1.Device{
			Name: fmt.Sprintf("gpu-%d", i), Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"type": {StringValue: &gpu}},
		})
	}
	return []*resourcev1.ResourceSlice{s}
}

// claimsLike returns the ResourceClaims of the pods on a new node. They refer to devices of that
// node instead of those of the example node.
func (j *Judge) claimsLike(at place) []json.RawMessage {
	var found []json.RawMessage
	for _, p := range at.has {
		for _, d := range p.DeviceClaims {
			c := j.Devices.Claim(p.Namespace(), d.Claim)
			if c == nil || c.Status.Allocation == nil {
				continue
			}
			fresh := c.DeepCopy()
			fresh.Name, fresh.UID, fresh.Status.Allocation.NodeSelector = c.Name+"-"+at.name, c.UID+"-new", nil
			for i := range fresh.Status.Allocation.Devices.Results {
				pool := &fresh.Status.Allocation.Devices.Results[i].Pool
				*pool = poolLike(*pool, at.name)
			}
			found = append(found, shape.Encode(fresh))
		}
	}
	return found
}

// claimsWithout returns the ResourceClaims of the cluster for the scheduler's filters. Those that only the
// leaving pods use are not allocated: the autoscaler assumes that they get other devices.
func (j *Judge) claimsWithout(leaving []*world.Pod) []json.RawMessage {
	if len(leaving) == 0 {
		return j.Scheduling[timeline.ResourceClaim]
	}
	stays := func(r resourcev1.ResourceClaimConsumerReference) bool {
		return !slices.ContainsFunc(leaving, func(p *world.Pod) bool { return p.UID == string(r.UID) })
	}
	var all []json.RawMessage
	for _, c := range j.Devices.Claims {
		if len(c.Status.ReservedFor) > 0 && !slices.ContainsFunc(c.Status.ReservedFor, stays) {
			c = c.DeepCopy()
			c.Status = resourcev1.ResourceClaimStatus{}
		}
		all = append(all, shape.Encode(c))
	}
	return all
}
