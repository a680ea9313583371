package main

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// devices has the objects of dynamic resource allocation. It implements framework.SharedDRAManager.
type devices struct {
	claims  *claims
	classes classes
	slices  []*resourcev1.ResourceSlice
	// more has the slices of a template's node while that template is judged.
	more []*resourcev1.ResourceSlice
}

func newDevices(r Request) *devices {
	return &devices{claims: &claims{pointers(r.ResourceClaims)}, classes: pointers(r.DeviceClasses), slices: pointers(r.ResourceSlices)}
}

// pointers returns pointers to the elements of all.
func pointers[T any](all []T) []*T {
	found := make([]*T, 0, len(all))
	for i := range all {
		found = append(found, &all[i])
	}
	return found
}

// ResourceClaims, ResourceSlices, DeviceClasses, DeviceClassResolver and PodGroups implement
// framework.SharedDRAManager.
func (d *devices) ResourceClaims() fwk.ResourceClaimTracker     { return d.claims }
func (d *devices) ResourceSlices() fwk.ResourceSliceLister      { return d }
func (d *devices) DeviceClasses() fwk.DeviceClassLister         { return d.classes }
func (d *devices) DeviceClassResolver() fwk.DeviceClassResolver { return d.classes }
func (d *devices) PodGroups() fwk.PodGroupLister                { return nil } // no feature that is on by default reads them

// ListWithDeviceTaintRules implements framework.ResourceSliceLister. A Request has no
// DeviceTaintRules.
func (d *devices) ListWithDeviceTaintRules() ([]*resourcev1.ResourceSlice, error) {
	return slices.Concat(d.slices, d.more), nil
}

// classes implements framework.DeviceClassLister and framework.DeviceClassResolver.
type classes []*resourcev1.DeviceClass

func (c classes) List() ([]*resourcev1.DeviceClass, error) { return c, nil }

func (c classes) Get(name string) (*resourcev1.DeviceClass, error) {
	for _, class := range c {
		if class.Name == name {
			return class, nil
		}
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Group: resourcev1.GroupName, Resource: "deviceclasses"}, name)
}

func (c classes) GetDeviceClass(name corev1.ResourceName) *resourcev1.DeviceClass {
	for _, class := range c {
		extended := class.Spec.ExtendedResourceName
		if string(name) == resourcev1.ResourceDeviceClassPrefix+class.Name || extended != nil && string(name) == *extended {
			return class
		}
	}
	return nil
}

// claims implements framework.ResourceClaimTracker. Nothing is bound, so an allocation is never
// pending: it is written into the claim at once.
type claims struct{ all []*resourcev1.ResourceClaim }

func (c *claims) List() ([]*resourcev1.ResourceClaim, error) { return c.all, nil }

func (c *claims) Get(namespace, name string) (*resourcev1.ResourceClaim, error) {
	for _, claim := range c.all {
		if claim.Namespace == namespace && claim.Name == name {
			return claim, nil
		}
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Group: resourcev1.GroupName, Resource: "resourceclaims"}, name)
}

func (c *claims) ListAllAllocatedDevices() (sets.Set[structured.DeviceID], error) {
	state, err := c.GatherAllocatedState()
	return state.AllocatedDevices, err
}

func (c *claims) GatherAllocatedState() (*structured.AllocatedState, error) {
	state := &structured.AllocatedState{
		AllocatedDevices: sets.New[structured.DeviceID](), AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity: structured.NewConsumedCapacityCollection(),
	}
	for _, claim := range c.all {
		if claim.Status.Allocation == nil {
			continue
		}
		for _, result := range claim.Status.Allocation.Devices.Results {
			id := structured.MakeDeviceID(result.Driver, result.Pool, result.Device)
			switch {
			case result.AdminAccess != nil && *result.AdminAccess: // it leaves the device to others
			case result.ShareID == nil:
				state.AllocatedDevices.Insert(id)
			default:
				state.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, result.ShareID))
				if result.ConsumedCapacity != nil {
					state.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, result.ConsumedCapacity))
				}
			}
		}
	}
	return state, nil
}

// SignalClaimPendingAllocation implements framework.ResourceClaimTracker. Claims that the scheduler makes for
// extended resources all have one name, and each has a UID of its own.
func (c *claims) SignalClaimPendingAllocation(uid types.UID, allocated *resourcev1.ResourceClaim) error {
	i := slices.IndexFunc(c.all, func(claim *resourcev1.ResourceClaim) bool { return claim.UID == uid })
	if i < 0 {
		c.all = append(c.all, allocated)
		return nil
	}
	c.all[i] = allocated
	return nil
}

func (c *claims) GetPendingAllocation(types.UID) *resourcev1.AllocationResult { return nil }

// These are called only when a pod is bound.
func (c *claims) MaybeRemoveClaimPendingAllocation(types.UID, bool) bool  { return false }
func (c *claims) AssumeClaimAfterAPICall(*resourcev1.ResourceClaim) error { return nil }
func (c *claims) AssumedClaimRestore(_, _ string)                         {}

// allocate allocates the devices of a pod that moves to a node, so that no other pod gets them.
func (f filters) allocate(ctx context.Context, pod *corev1.Pod, all []fwk.NodeInfo, node fwk.NodeInfo) error {
	i := slices.IndexFunc(f, func(p fwk.Plugin) bool { return p.Name() == names.DynamicResources })
	if i < 0 {
		return nil
	}
	state := framework.NewCycleState()
	_, status := f[i].(fwk.PreFilterPlugin).PreFilter(ctx, state, pod, all)
	if status.IsSkip() {
		return nil
	}
	if status.IsSuccess() {
		status = f[i].(fwk.FilterPlugin).Filter(ctx, state, pod, node)
	}
	if status.IsSuccess() {
		status = f[i].(fwk.ReservePlugin).Reserve(ctx, state, pod, node.Node().Name)
	}
	if err := status.AsError(); err != nil {
		return fmt.Errorf("allocate the devices of the pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
