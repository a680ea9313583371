package machine

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"caslab/components/hollow/api/v1beta2"
)

func TestNode(t *testing.T) {
	w := newWorld(t, machineOf("a", map[string]any{"version": "v1.36.1"}), hollow("a", v1beta2.HollowMachineSpec{
		Node: v1beta2.HollowNode{
			Capacity:      corev1.ResourceList{"cpu": resource.MustParse("8"), "nvidia.com/gpu": resource.MustParse("4")},
			Late:          corev1.ResourceList{"example.com/late": resource.MustParse("1")},
			Labels:        map[string]string{"pool": "gpu", v1beta2.MachinesLabel: "docker"},
			Annotations:   map[string]string{"note": "x"},
			Taints:        []v1beta2.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}},
			StartupTaints: []v1beta2.Taint{{Key: "starting", Effect: corev1.TaintEffectNoExecute}},
			Architecture:  "arm64", InstanceType: "big", Region: "r", Zone: "z",
		},
	}))
	w.reconcile("a")

	node := w.node("a")
	wantLabels := map[string]string{
		"pool": "gpu", v1beta2.MachinesLabel: "hollow",
		"kubernetes.io/hostname": "a-machine", "kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64",
		"node.kubernetes.io/instance-type": "big", "topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z",
	}
	if !reflect.DeepEqual(node.Labels, wantLabels) {
		t.Errorf("the labels are %v", node.Labels)
	}
	if want := map[string]string{"note": "x", v1beta2.MachineAnnotation: "lab/a"}; !reflect.DeepEqual(node.Annotations, want) {
		t.Errorf("the annotations are %v", node.Annotations)
	}
	if want := []corev1.Taint{
		{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule},
		{Key: "starting", Effect: corev1.TaintEffectNoExecute},
	}; !reflect.DeepEqual(node.Spec.Taints, want) {
		t.Errorf("the taints are %v", node.Spec.Taints)
	}
	for _, list := range []corev1.ResourceList{node.Status.Capacity, node.Status.Allocatable} {
		if len(list) != 3 || list.Cpu().String() != "8" || list.Pods().String() != "110" || list.Name("nvidia.com/gpu", resource.DecimalSI).String() != "4" {
			t.Errorf("the resources are %v", list)
		}
	}
	if node.Spec.ProviderID != "hollow:///lab/a" {
		t.Errorf("the provider ID is %q", node.Spec.ProviderID)
	}
	if info := node.Status.NodeInfo; info.Architecture != "arm64" || info.OperatingSystem != "linux" || info.KubeletVersion != "v1.36.1" {
		t.Errorf("the node info is %+v", info)
	}
	for _, a := range node.Status.Addresses {
		if a.Type != corev1.NodeHostName {
			t.Errorf("the Node has the address %v, which something may route to", a)
		}
	}
}

func TestContracts(t *testing.T) {
	w := newWorld(t, machineOf("a", map[string]any{"failureDomain": "z2"}), hollow("a", v1beta2.HollowMachineSpec{Node: v1beta2.HollowNode{Zone: "z1"}}))
	w.reconcile("a")
	m := w.machine("a")
	if m.Spec.ProviderID != "hollow:///lab/a" {
		t.Errorf("the provider ID is %q", m.Spec.ProviderID)
	}
	if !m.Status.Ready || !m.Status.Initialization.Provisioned {
		t.Errorf("ready is %v and provisioned is %v", m.Status.Ready, m.Status.Initialization.Provisioned)
	}
	if want := []v1beta2.MachineAddress{{Type: "Hostname", Address: "a-machine"}}; !reflect.DeepEqual(m.Status.Addresses, want) {
		t.Errorf("the addresses are %v", m.Status.Addresses)
	}
	if m.Status.FailureDomain != "z2" || w.node("a").Labels[corev1.LabelTopologyZone] != "z2" {
		t.Errorf("the failure domain is %q, and the Node's zone %q", m.Status.FailureDomain, w.node("a").Labels[corev1.LabelTopologyZone])
	}
	if !slices.Contains(m.Finalizers, v1beta2.MachineFinalizer) {
		t.Errorf("the finalizers are %v", m.Finalizers)
	}
	w.wantReady("a", metav1.ConditionTrue, v1beta2.ProvisionedReason)
	if at := m.Status.Conditions[0].LastTransitionTime; !at.Time.Equal(began) {
		t.Errorf("the condition is as of %v", at)
	}
}

func TestStart(t *testing.T) {
	spec := v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Start: seconds(30), StartJitter: seconds(10), Seed: 5}}
	w := newWorld(t, template(spec), machineOf("a", nil), hollow("a", spec))
	wait := w.reconcile("a")
	if wait < 20*time.Second || wait > 40*time.Second || wait == 30*time.Second {
		t.Fatalf("the Node is to come after %v", wait)
	}
	if again := newWorld(t, template(spec), machineOf("b", nil), hollow("b", spec)).reconcile("b"); again != wait {
		t.Errorf("the same seed gives %v and %v", wait, again)
	}
	w.after(wait - time.Millisecond)
	if left := w.reconcile("a"); left != time.Millisecond || w.node("a") != nil {
		t.Fatalf("there is a Node, or %v are left", left)
	}
	w.wantReady("a", metav1.ConditionFalse, v1beta2.ProvisioningReason)
	w.after(wait)
	if left := w.reconcile("a"); left != 0 || w.node("a") == nil {
		t.Fatalf("there is no Node, or %v are left", left)
	}
	w.wantReady("a", metav1.ConditionTrue, v1beta2.ProvisionedReason)
}

func TestFailure(t *testing.T) {
	all := intstr.FromString("100%")
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Start: seconds(5), Fail: &all}}))
	if wait := w.reconcile("a"); wait != 5*time.Second {
		t.Fatalf("the failure is to come after %v", wait)
	}
	w.wantReady("a", metav1.ConditionFalse, v1beta2.ProvisioningReason)
	w.after(5 * time.Second)
	w.reconcile("a")
	m := w.machine("a")
	if m.Status.FailureReason == nil || m.Status.FailureMessage == nil || m.Status.Ready || m.Spec.ProviderID != "" || w.node("a") != nil {
		t.Errorf("the machine is %+v, and its Node %v", m, w.node("a"))
	}
	w.wantReady("a", metav1.ConditionFalse, v1beta2.ProvisioningFailedReason)
}

// TestLateFailure: a machine that has a Node can fail later.
func TestLateFailure(t *testing.T) {
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{}))
	w.reconcile("a")
	w.wantReady("a", metav1.ConditionTrue, v1beta2.ProvisionedReason)
	m := w.machine("a")
	m.Annotations[v1beta2.StateAnnotation] = v1beta2.StateFailed
	if err := w.management.Update(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.reconcile("a")
	if m := w.machine("a"); m.Status.FailureReason == nil || *m.Status.FailureMessage != "the annotation caslab.local/hollow-state makes this machine fail" || w.node("a") == nil {
		t.Errorf("the machine is %+v, and its Node %v", m, w.node("a"))
	}
	w.wantReady("a", metav1.ConditionFalse, v1beta2.ProvisioningFailedReason)
	m = w.machine("a")
	delete(m.Annotations, v1beta2.StateAnnotation)
	if err := w.management.Update(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.reconcile("a")
	if s := w.machine("a").Status; s.FailureReason != nil || s.FailureMessage != nil {
		t.Errorf("a machine that is well again reports %v", s)
	}
	w.wantReady("a", metav1.ConditionTrue, v1beta2.ProvisionedReason)
}

func TestNever(t *testing.T) {
	all := intstr.FromString("100%")
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Never: &all}}))
	if wait := w.reconcile("a"); wait != 0 {
		t.Errorf("the machine is to be looked at after %v", wait)
	}
	if m := w.machine("a"); m.Status.FailureReason != nil || m.Status.Ready || w.node("a") != nil {
		t.Errorf("the status is %+v, and the Node %v", m.Status, w.node("a"))
	}
	w.wantReady("a", metav1.ConditionFalse, v1beta2.ProvisioningReason)
}

func TestProviderIDComesFirst(t *testing.T) {
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{}))
	created := false
	w.Workload = interceptor.NewClient(w.workload, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			created = true
			if m := w.machine("a"); m.Spec.ProviderID == "" || m.Status.Ready {
				t.Errorf("when the Node is created, the provider ID is %q and ready is %v", m.Spec.ProviderID, m.Status.Ready)
			}
			return c.Create(ctx, o, opts...)
		},
	})
	if w.reconcile("a"); !created {
		t.Error("no Node was created")
	}
}

func TestWaitsForItsMachine(t *testing.T) {
	m := hollow("a", v1beta2.HollowMachineSpec{})
	m.OwnerReferences = m.OwnerReferences[:1]
	w := newWorld(t, m)
	w.reconcile("a")
	if m := w.machine("a"); w.node("a") != nil || len(m.Finalizers) > 0 || m.Status.Ordinal != 0 {
		t.Errorf("a machine without an owner is touched: %+v", m)
	}
}

func TestPaused(t *testing.T) {
	for name, pause := range map[string]func(*v1beta2.HollowMachine, *unstructured.Unstructured){
		"the machine": func(m *v1beta2.HollowMachine, _ *unstructured.Unstructured) { m.Annotations[pausedAnnotation] = "" },
		"the Cluster": func(_ *v1beta2.HollowMachine, c *unstructured.Unstructured) {
			c.Object["spec"] = map[string]any{"paused": true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, deleted := range []bool{false, true} {
				m, lab := hollow("a", v1beta2.HollowMachineSpec{}), capi(clusterKind, "other", nil)
				m.Labels[ClusterNameLabel] = "other"
				if pause(m, lab); deleted {
					m.DeletionTimestamp, m.Finalizers = &metav1.Time{Time: began}, []string{v1beta2.MachineFinalizer}
				}
				w := newWorld(t, m, lab, machineOf("a", nil))
				before := w.machine("a")
				w.reconcile("a")
				if after := w.machine("a"); !reflect.DeepEqual(before, after) || w.node("a") != nil {
					t.Errorf("a paused machine, deleted: %v, became %+v", deleted, after)
				}
			}
		})
	}
}

// TestClusterIsStillToCome: in the destination of clusterctl move, a machine may be seen before its
// paused Cluster. A machine that goes does not wait for a Cluster that went first.
func TestClusterIsStillToCome(t *testing.T) {
	for _, deleted := range []bool{false, true} {
		m := hollow("a", v1beta2.HollowMachineSpec{})
		m.Labels[ClusterNameLabel] = "late"
		if deleted {
			m.DeletionTimestamp, m.Finalizers = &metav1.Time{Time: began}, []string{v1beta2.MachineFinalizer, "test/another"}
		}
		w := newWorld(t, m, machineOf("a", nil))
		w.reconcile("a")
		if goes := len(w.machine("a").Finalizers) == 1; w.node("a") != nil || goes != deleted {
			t.Errorf("deleted: %t: the machine has the finalizers %v and the Node %v", deleted, w.machine("a").Finalizers, w.node("a"))
		}
	}
}

// TestClusterThatTheCacheLacks: the cache of Clusters may be older than that of machines.
func TestClusterThatTheCacheLacks(t *testing.T) {
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{}))
	w.Client = interceptor.NewClient(w.management, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
		if o.GetObjectKind().GroupVersionKind() == clusterKind {
			return apierrors.NewNotFound(schema.GroupResource{Group: clusterAPI, Resource: "clusters"}, key.Name)
		}
		return c.Get(ctx, key, o, options...)
	}})
	w.reconcile("a")
	if w.node("a") == nil {
		t.Error("there is no Node")
	}
}

// TestFinalizerOfAnother: a finalizer that somebody adds after the machine was read stays.
func TestFinalizerOfAnother(t *testing.T) {
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{}))
	added := false
	w.Client = interceptor.NewClient(w.management, interceptor.Funcs{Patch: func(ctx context.Context, c client.WithWatch, o client.Object, patch client.Patch, options ...client.PatchOption) error {
		if !added {
			added = true
			m := w.machine("a")
			m.Finalizers = []string{"test/hold"}
			if err := w.management.Update(ctx, m); err != nil {
				return err
			}
		}
		return c.Patch(ctx, o, patch, options...)
	}})
	w.reconcile("a")
	w.reconcile("a")
	if got := w.machine("a").Finalizers; !slices.Contains(got, "test/hold") || !slices.Contains(got, v1beta2.MachineFinalizer) {
		t.Errorf("the machine has the finalizers %v", got)
	}
}

func TestUnpausedClusterHasItsMachinesReconciled(t *testing.T) {
	other := hollow("b", v1beta2.HollowMachineSpec{})
	other.Labels[ClusterNameLabel] = "other"
	w := newWorld(t, hollow("a", v1beta2.HollowMachineSpec{}), other)
	got := w.ofCluster(t.Context(), capi(clusterKind, "lab", nil))
	if want := []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: namespace, Name: "a"}}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

// TestMoved has what clusterctl move leaves: a machine created just now, with its spec and
// without its status, and the Node that it had.
func TestMoved(t *testing.T) {
	all := intstr.FromString("100%")
	spec := v1beta2.HollowMachineSpec{ProviderID: "hollow:///lab/a", Lifecycle: v1beta2.Lifecycle{Start: seconds(3600), Fail: &all}}
	w := newWorld(t, template(spec), machineOf("a", nil), hollow("a", spec))
	node := newNode(hollow("a", spec), "a-machine", "z", "v1")
	if err := w.workload.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	if wait := w.reconcile("a"); wait != 0 {
		t.Errorf("the machine waits %v for its Node", wait)
	}
	if m := w.machine("a"); !m.Status.Ready || m.Status.Fate != v1beta2.FateNode || m.Status.Ordinal != 1 || m.Status.FailureDomain != "z" {
		t.Errorf("the status is %+v", m.Status)
	}
	if now := w.node("a"); now.ResourceVersion != node.ResourceVersion {
		t.Error("the Node was written to")
	}
	w.wantReady("a", metav1.ConditionTrue, v1beta2.ProvisionedReason)
}

func TestNodeOfAnother(t *testing.T) {
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{}))
	if err := w.workload.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a-machine"}}); err != nil {
		t.Fatal(err)
	}
	if wait := w.reconcile("a"); wait != lookAgain || w.machine("a").Status.Ready {
		t.Errorf("the machine took the Node of another, or looks again after %v", wait)
	}
	w.wantReady("a", metav1.ConditionFalse, v1beta2.NodeRefusedReason)
	if err := w.workload.Delete(t.Context(), w.node("a")); err != nil {
		t.Fatal(err)
	}
	if wait := w.reconcile("a"); wait != 0 || w.node("a") == nil {
		t.Errorf("the machine has no Node, and looks again after %v", wait)
	}
}

// TestErrorHasNoTime: controller-runtime would ignore the time, and warn.
func TestErrorHasNoTime(t *testing.T) {
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Start: seconds(30)}}))
	broken := errors.New("broken")
	w.Client = interceptor.NewClient(w.management, interceptor.Funcs{
		SubResourcePatch: func(_ context.Context, _ client.Client, _ string, m client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
			if m.(*v1beta2.HollowMachine).Status.Conditions != nil {
				return broken
			}
			return w.management.Status().Update(t.Context(), m)
		},
	})
	if result, err := w.try("a"); !errors.Is(err, broken) || result != (ctrl.Result{}) {
		t.Errorf("the result is %+v, and the error %v", result, err)
	}
}

func TestNodeThatTheAPIServerRefuses(t *testing.T) {
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{}))
	w.Workload = interceptor.NewClient(w.workload, interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			return apierrors.NewInvalid(schema.GroupKind{Kind: "Node"}, "a-machine", nil)
		},
	})
	if _, err := w.try("a"); !apierrors.IsInvalid(err) {
		t.Errorf("the error is %v", err)
	}
	w.wantReady("a", metav1.ConditionFalse, v1beta2.NodeRefusedReason)
}

func TestNodeThatSomebodyDeleted(t *testing.T) {
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{}))
	w.reconcile("a")
	if err := w.workload.Delete(t.Context(), w.node("a")); err != nil {
		t.Fatal(err)
	}
	m := w.machine("a")
	m.Spec.Lifecycle.Start = seconds(3600) // a change that acts on machines without a Node
	if err := w.management.Update(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.reconcile("a")
	if w.node("a") != nil {
		t.Error("the Node was created again")
	}
	w.wantReady("a", metav1.ConditionFalse, v1beta2.NodeDeletedReason)
	if m := w.machine("a"); !m.Status.Initialization.Provisioned {
		t.Error("the machine is no longer provisioned, which no contract allows")
	}
}

func TestOldCacheOfNodes(t *testing.T) {
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{}))
	w.Workload = forgetful(t, w.workload)
	w.reconcile("a")
	w.reconcile("a")
	w.wantReady("a", metav1.ConditionTrue, v1beta2.ProvisionedReason)
}

// TestNodeThatOnlyTheCacheLacks has a machine that was not reported yet.
func TestNodeThatOnlyTheCacheLacks(t *testing.T) {
	m := hollow("a", v1beta2.HollowMachineSpec{})
	w := newWorld(t, machineOf("a", nil), m)
	if err := w.workload.Create(t.Context(), newNode(m, "a-machine", "", "")); err != nil {
		t.Fatal(err)
	}
	w.Workload = forgetful(t, w.workload)
	w.reconcile("a")
	w.wantReady("a", metav1.ConditionTrue, v1beta2.ProvisionedReason)
}

// TestKilledAfterTheNode has a controller that is killed before it reports its new Node.
func TestKilledAfterTheNode(t *testing.T) {
	w := newWorld(t, machineOf("a", nil), hollow("a", v1beta2.HollowMachineSpec{}))
	killed := errors.New("killed")
	w.Client = interceptor.NewClient(w.management, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if w.node("a") != nil {
				return killed
			}
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
	if _, err := w.try("a"); !errors.Is(err, killed) {
		t.Fatalf("the error is %v", err)
	}
	w.Client = w.management
	w.reconcile("a")
	w.wantReady("a", metav1.ConditionTrue, v1beta2.ProvisionedReason)
}

func TestDeletion(t *testing.T) {
	m := hollow("a", v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Stop: seconds(20)}})
	known := machineOf("a", nil)
	known.Object["status"] = map[string]any{"nodeRef": map[string]any{"name": "a-machine"}}
	w := newWorld(t, known, m)
	w.reconcile("a")
	m = w.machine("a")
	if err := w.management.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	deleted := w.machine("a").DeletionTimestamp.Time
	w.clock.SetTime(deleted.Add(5 * time.Second))
	if wait := w.reconcile("a"); wait != 15*time.Second {
		t.Errorf("the deletion takes another %v", wait)
	}
	w.wantReady("a", metav1.ConditionFalse, v1beta2.DeletingReason)
	w.clock.SetTime(deleted.Add(20 * time.Second))
	w.reconcile("a")
	if err := w.management.Get(t.Context(), client.ObjectKeyFromObject(m), m); !apierrors.IsNotFound(err) {
		t.Errorf("the machine is still there: %v", err)
	}
	if w.node("a") == nil {
		t.Error("the Node was deleted, which is the Machine's to do")
	}
}

// TestDeletionOfAMachineThatIsGone has a cache that still has it.
func TestDeletionOfAMachineThatIsGone(t *testing.T) {
	m := hollow("a", v1beta2.HollowMachineSpec{})
	m.Finalizers, m.DeletionTimestamp = []string{v1beta2.MachineFinalizer}, &metav1.Time{Time: began}
	w := newWorld(t, machineOf("a", nil))
	w.Client = forgetful(t, w.management, m)
	w.reconcile("a")
}

// TestDeletionBeforeTheMachineKnowsItsNode has the Nodes that Cluster API does not delete.
func TestDeletionBeforeTheMachineKnowsItsNode(t *testing.T) {
	for name, machine := range map[string]*unstructured.Unstructured{"without nodeRef": machineOf("a", nil), "gone": machineOf("other", nil)} {
		t.Run(name, func(t *testing.T) {
			m := hollow("a", v1beta2.HollowMachineSpec{})
			m.Finalizers, m.DeletionTimestamp = []string{v1beta2.MachineFinalizer}, &metav1.Time{Time: began}
			w := newWorld(t, machine, m)
			for _, node := range []*corev1.Node{newNode(m, "a-machine", "", ""), newNode(m, "another", "", "")} {
				if err := w.workload.Create(t.Context(), node); err != nil {
					t.Fatal(err)
				}
			}
			w.reconcile("a")
			nodes := &corev1.NodeList{}
			if err := w.workload.List(t.Context(), nodes); err != nil {
				t.Fatal(err)
			}
			if len(nodes.Items) != 1 || nodes.Items[0].Name != "another" {
				t.Errorf("the Nodes are %v", nodes.Items)
			}
		})
	}
}

func TestDeletionLeavesTheNodeOfAnother(t *testing.T) {
	m := hollow("a", v1beta2.HollowMachineSpec{})
	m.Finalizers, m.DeletionTimestamp = []string{v1beta2.MachineFinalizer}, &metav1.Time{Time: began}
	w := newWorld(t, machineOf("a", nil), m)
	if err := w.workload.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a-machine"}}); err != nil {
		t.Fatal(err)
	}
	if w.reconcile("a"); w.node("a") == nil {
		t.Error("the Node of another was deleted")
	}
}

func TestNodeEventsReachTheirMachine(t *testing.T) {
	if got := ofNode(t.Context(), newNode(hollow("a", v1beta2.HollowMachineSpec{}), "n", "", "")); len(got) != 1 || got[0].String() != "lab/a" {
		t.Errorf("got %v", got)
	}
	if got := ofNode(t.Context(), &corev1.Node{}); got != nil {
		t.Errorf("the machine of a real Node is %v", got)
	}
}
