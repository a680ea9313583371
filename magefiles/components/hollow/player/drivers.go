package player

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"caslab/components/hollow/api/v1beta2"
)

// deviceType is the value of the attribute type of every device. The autoscaler expects this value,
// and the names of devices that resourceSlice gives, from a group without nodes (cluster-autoscaler
// 1.36.1, cloudprovider/clusterapi/clusterapi_unstructured.go: InstanceResourceSlices). Real nodes
// must not differ from what it expects.
const deviceType = "gpu"

// announcement identifies an object that was created for a Node: the ResourceSlice of the driver
// or, if driver is empty, the CSINode.
type announcement struct{ node, driver string }

// playDrivers creates the objects that the drivers of a Node would create: a ResourceSlice for each
// driver of devices, and one CSINode. The objects are not updated later. The Node owns them, so the
// garbage collector deletes them after it.
func (r *Reconciler) playDrivers(ctx context.Context, m *v1beta2.HollowMachine, node *corev1.Node, next *schedule) error {
	since := readySince(node)
	if since == nil {
		return nil
	}
	spec := m.Spec.Node
	var errs []error
	if len(spec.VolumeDrivers) > 0 {
		errs = append(errs, r.announce(ctx, announcement{node: node.Name}, csiNode(node, spec.VolumeDrivers)))
	}
	for _, d := range spec.DeviceDrivers {
		if !d.Late || next.due(*since, m.Spec.Lifecycle.LateAfter.Duration) {
			errs = append(errs, r.announce(ctx, announcement{node.Name, d.Name}, resourceSlice(node, d)))
		}
	}
	return errors.Join(errs...)
}

// announce creates an object, unless this program has created it. An object that exists already was
// created before this program started.
func (r *Reconciler) announce(ctx context.Context, a announcement, o client.Object) error {
	r.mu.Lock()
	done := r.announced[a]
	r.mu.Unlock()
	if done {
		return nil
	}
	if err := r.Workload.Create(ctx, o); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("announce the drivers of the Node: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.announced == nil {
		r.announced = map[announcement]bool{}
	}
	r.announced[a] = true
	return nil
}

// resourceSlice returns the ResourceSlice of a driver with its devices on a Node. The slice is the
// only one in its pool.
func resourceSlice(node *corev1.Node, d v1beta2.DeviceDriver) *resourcev1.ResourceSlice {
	slice := &resourcev1.ResourceSlice{
		ObjectMeta: owned(node, node.Name+"-"+d.Name),
		Spec: resourcev1.ResourceSliceSpec{
			Driver: d.Name, NodeName: &node.Name,
			Pool: resourcev1.ResourcePool{Name: node.Name, Generation: 1, ResourceSliceCount: 1},
		},
	}
	for i := range d.Devices {
		slice.Spec.Devices = append(slice.Spec.Devices, resourcev1.Device{
			Name:       fmt.Sprintf("gpu-%d", i),
			Attributes: map[resourcev1.QualifiedName]resourcev1.DeviceAttribute{"type": {StringValue: ptr.To(deviceType)}},
		})
	}
	return slice
}

// csiNode returns the CSINode of a Node with these drivers.
func csiNode(node *corev1.Node, drivers []v1beta2.VolumeDriver) *storagev1.CSINode {
	csi := &storagev1.CSINode{ObjectMeta: owned(node, node.Name)}
	for _, d := range drivers {
		driver := storagev1.CSINodeDriver{Name: d.Name, NodeID: node.Name}
		if d.Volumes > 0 {
			driver.Allocatable = &storagev1.VolumeNodeResources{Count: ptr.To(d.Volumes)}
		}
		csi.Spec.Drivers = append(csi.Spec.Drivers, driver)
	}
	return csi
}

// owned returns the metadata of an object that the Node owns.
func owned(node *corev1.Node, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:            name,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}},
	}
}
