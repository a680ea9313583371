package world

import (
	"slices"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"

	"caslab/magefiles/internal/timeline"
)

// Devices is what a cluster has for dynamic resource allocation, in no particular order.
type Devices struct {
	Claims  []*resourcev1.ResourceClaim
	Classes []*resourcev1.DeviceClass
	Slices  []*resourcev1.ResourceSlice
	// Templates are the ResourceClaimTemplates, as namespace/name.
	Templates []string
}

// Claim returns a ResourceClaim, nil if it is not on record.
func (d Devices) Claim(namespace, name string) *resourcev1.ResourceClaim {
	i := slices.IndexFunc(d.Claims, func(c *resourcev1.ResourceClaim) bool { return c.Namespace == namespace && c.Name == name })
	if i < 0 {
		return nil
	}
	return d.Claims[i]
}

// HasClass reports whether a DeviceClass is on record.
func (d Devices) HasClass(name string) bool {
	return slices.ContainsFunc(d.Classes, func(c *resourcev1.DeviceClass) bool { return c.Name == name })
}

// Of returns the slices of devices that are on a node and on no other.
func (d Devices) Of(node string) []*resourcev1.ResourceSlice {
	var found []*resourcev1.ResourceSlice
	for _, s := range d.Slices {
		if isOn(s, node) {
			found = append(found, s)
		}
	}
	return found
}

func isOn(s *resourcev1.ResourceSlice, node string) bool {
	return s.Spec.NodeName != nil && *s.Spec.NodeName == node
}

// allocated reports whether a claim has a device. A claim for administration leaves the device to others.
func (d Devices) allocated(s *resourcev1.ResourceSlice, device string) bool {
	return slices.ContainsFunc(d.Claims, func(c *resourcev1.ResourceClaim) bool {
		return c.Status.Allocation != nil && slices.ContainsFunc(c.Status.Allocation.Devices.Results, func(r resourcev1.DeviceRequestAllocationResult) bool {
			admin := r.AdminAccess != nil && *r.AdminAccess
			return !admin && r.Driver == s.Spec.Driver && r.Pool == s.Spec.Pool.Name && r.Device == device
		})
	})
}

// Pool is a pool of devices. A driver and the name of the pool identify it.
type Pool struct {
	Driver, Name string
	// Slices are those of the newest generation, at least one. The scheduler and the autoscaler ignore
	// the others, which the driver is replacing.
	Slices []*resourcev1.ResourceSlice
}

// String returns driver/name.
func (p Pool) String() string { return p.Driver + "/" + p.Name }

// Wants returns how many slices the pool has when it is complete.
func (p Pool) Wants() int { return int(p.Slices[0].Spec.Pool.ResourceSliceCount) }

// IsComplete reports whether the pool has all its slices.
func (p Pool) IsComplete() bool { return len(p.Slices) == p.Wants() }

// PoolsOf returns the pools to which slices belong, sorted.
func PoolsOf(all []*resourcev1.ResourceSlice) []Pool {
	var pools []Pool
	for _, s := range all {
		in := s.Spec.Pool
		i := slices.IndexFunc(pools, func(p Pool) bool { return p.Driver == s.Spec.Driver && p.Name == in.Name })
		switch {
		case i < 0:
			pools = append(pools, Pool{s.Spec.Driver, in.Name, []*resourcev1.ResourceSlice{s}})
		case in.Generation > pools[i].Slices[0].Spec.Pool.Generation:
			pools[i].Slices = []*resourcev1.ResourceSlice{s}
		case in.Generation == pools[i].Slices[0].Spec.Pool.Generation:
			pools[i].Slices = append(pools[i].Slices, s)
		}
	}
	slices.SortFunc(pools, func(a, b Pool) int { return strings.Compare(a.String(), b.String()) })
	return pools
}

// Count returns how many devices a pool has, and how many of them are allocated.
func (d Devices) Count(p Pool) (all, allocated int) {
	for _, s := range p.Slices {
		for _, device := range s.Spec.Devices {
			all++
			if d.allocated(s, device.Name) {
				allocated++
			}
		}
	}
	return all, allocated
}

// add decodes an object. One that cannot be read is left out.
func (d *Devices) add(o *object) {
	switch o.Kind {
	case timeline.ResourceClaim:
		d.Claims = appended(d.Claims, o)
	case timeline.DeviceClass:
		d.Classes = appended(d.Classes, o)
	case timeline.ResourceSlice:
		d.Slices = appended(d.Slices, o)
	case timeline.ResourceClaimTemplate:
		d.Templates = append(d.Templates, o.Name)
	}
}
