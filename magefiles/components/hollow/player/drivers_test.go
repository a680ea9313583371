package player

import (
	"context"
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"caslab/components/hollow/api/v1beta2"
)

func (w *world) slices() map[string]resourcev1.ResourceSlice {
	w.t.Helper()
	list := &resourcev1.ResourceSliceList{}
	if err := w.cluster.List(w.t.Context(), list); err != nil {
		w.t.Fatal(err)
	}
	slices := map[string]resourcev1.ResourceSlice{}
	for _, s := range list.Items {
		slices[s.Name] = s
	}
	return slices
}

// TestDevices: a driver announces its devices when the Node is ready, and a late one later.
func TestDevices(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{
		Node:      v1beta2.HollowNode{DeviceDrivers: []v1beta2.DeviceDriver{{Name: "gpu.example.com", Devices: 4}, {Name: "nic.example.com", Devices: 1, Late: true}}},
		Lifecycle: v1beta2.Lifecycle{Ready: seconds(5), LateAfter: seconds(60)},
	}, theNode())
	if w.runTo(4 * time.Second); len(w.slices()) > 0 {
		t.Errorf("a Node that is not ready has the ResourceSlices %v", w.slices())
	}
	w.runTo(64 * time.Second)
	slice, ok := w.slices()["n-gpu.example.com"]
	if !ok || len(w.slices()) != 1 {
		t.Fatalf("before the late devices, there are the ResourceSlices %v", w.slices())
	}
	s := slice.Spec
	// The scheduler allocates nothing from a pool whose slices are not all there.
	if s.Driver != "gpu.example.com" || s.NodeName == nil || *s.NodeName != "n" || s.Pool != (resourcev1.ResourcePool{Name: "n", Generation: 1, ResourceSliceCount: 1}) {
		t.Errorf("the ResourceSlice is %+v", s)
	}
	if len(s.Devices) != 4 || s.Devices[3].Name != "gpu-3" || *s.Devices[3].Attributes["type"].StringValue != "gpu" {
		t.Errorf("the devices are %v", s.Devices)
	}
	if o := slice.OwnerReferences; len(o) != 1 || o[0].Kind != "Node" || o[0].UID != "n-uid" {
		t.Errorf("the owner of the ResourceSlice is %v", o)
	}
	w.runTo(65 * time.Second)
	if late, ok := w.slices()["n-nic.example.com"]; !ok || len(late.Spec.Devices) != 1 {
		t.Errorf("the late devices are %v", late)
	}
}

// TestVolumeDrivers: a limit of 0 means no limit.
func TestVolumeDrivers(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{Node: v1beta2.HollowNode{VolumeDrivers: []v1beta2.VolumeDriver{{Name: "csi.example.com", Volumes: 25}, {Name: "nfs.example.com"}}}}, theNode())
	w.runTo(time.Second)
	csi := &storagev1.CSINode{}
	if err := w.cluster.Get(t.Context(), client.ObjectKey{Name: "n"}, csi); err != nil {
		t.Fatal(err)
	}
	d := csi.Spec.Drivers
	if len(d) != 2 || d[0].Name != "csi.example.com" || d[0].NodeID != "n" || *d[0].Allocatable.Count != 25 || d[1].Allocatable != nil {
		t.Errorf("the drivers are %+v", d)
	}
	if o := csi.OwnerReferences; len(o) != 1 || o[0].UID != "n-uid" {
		t.Errorf("the owner of the CSINode is %v", o)
	}
}

// TestDriversAreAnnouncedOnce: an object is requested once, and once more after a restart of the
// controller. An API server that refuses the object is asked again.
func TestDriversAreAnnouncedOnce(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{Node: v1beta2.HollowNode{DeviceDrivers: []v1beta2.DeviceDriver{{Name: "gpu.example.com", Devices: 1}}}}, theNode())
	created, refusal := 0, errors.New("no such kind")
	w.cluster = interceptor.NewClient(w.cluster, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if _, lease := o.(*coordinationv1.Lease); lease {
				return c.Create(ctx, o, opts...)
			}
			if created++; refusal != nil {
				return refusal
			}
			return c.Create(ctx, o, opts...)
		},
	})
	w.restart()
	_, _ = w.try() // makes the Node ready
	if _, err := w.try(); !errors.Is(err, refusal) {
		t.Errorf("a refused ResourceSlice: %v", err)
	}
	refusal, created = nil, 0
	if w.runTo(time.Minute); created != 1 || len(w.slices()) != 1 {
		t.Errorf("%d requests for %d ResourceSlices", created, len(w.slices()))
	}
	w.restart()
	if w.runTo(2 * time.Minute); created != 2 || len(w.slices()) != 1 {
		t.Errorf("after a restart: %d requests for %d ResourceSlices", created, len(w.slices()))
	}
}
