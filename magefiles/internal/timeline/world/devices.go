package world

import (
	"slices"

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

// Allocated reports whether a claim has a device. A claim for administration leaves the device to others.
func (d Devices) Allocated(s *resourcev1.ResourceSlice, device string) bool {
	return slices.ContainsFunc(d.Claims, func(c *resourcev1.ResourceClaim) bool {
		return c.Status.Allocation != nil && slices.ContainsFunc(c.Status.Allocation.Devices.Results, func(r resourcev1.DeviceRequestAllocationResult) bool {
			admin := r.AdminAccess != nil && *r.AdminAccess
			return !admin && r.Driver == s.Spec.Driver && r.Pool == s.Spec.Pool.Name && r.Device == device
		})
	})
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
