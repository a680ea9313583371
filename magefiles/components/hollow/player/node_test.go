package player

import (
	"context"
	"errors"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"caslab/components/hollow/api/v1beta2"
)

func TestReady(t *testing.T) {
	spec := v1beta2.HollowMachineSpec{Lifecycle: v1beta2.Lifecycle{Ready: seconds(8), ReadyJitter: seconds(2), Seed: 5}}
	w := newWorld(t, spec, theNode())
	wait := w.reconcile()
	if wait < 6*time.Second || wait > 10*time.Second || wait == 8*time.Second {
		t.Fatalf("the Node is to be ready after %v", wait)
	}
	if again := newWorld(t, spec, theNode()).reconcile(); again != wait {
		t.Errorf("the same seed gives %v and %v", wait, again)
	}
	if readySince(w.node()) != nil || len(w.node().Status.Conditions) != 4 {
		t.Errorf("at first the conditions are %v", w.node().Status.Conditions)
	}
	w.clock.SetTime(began.Add(wait))
	w.reconcile()
	if since := readySince(w.node()); since == nil || !since.Equal(began.Add(wait).Truncate(time.Second)) {
		t.Errorf("the conditions are %v", w.node().Status.Conditions)
	}
	before := w.node().ResourceVersion
	w.runTo(5 * time.Minute)
	if w.node().ResourceVersion != before {
		t.Error("a Node of which nothing is due was written to")
	}
}

func TestLease(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode())
	w.runTo(time.Minute)
	lease := &coordinationv1.Lease{}
	if err := w.cluster.Get(t.Context(), client.ObjectKey{Namespace: "kube-node-lease", Name: "n"}, lease); err != nil {
		t.Fatal(err)
	}
	if s := lease.Spec; *s.HolderIdentity != "n" || *s.LeaseDurationSeconds != 40 || !s.RenewTime.Time.Equal(began.Add(time.Minute)) {
		t.Errorf("the lease is %+v", s)
	}
	if o := lease.OwnerReferences; len(o) != 1 || o[0].Kind != "Node" || o[0].UID != "n-uid" {
		t.Errorf("the owner of the lease is %v", o)
	}
	if w.renewals != 4 {
		t.Errorf("within a minute the lease was renewed %d times", w.renewals)
	}
	w.restart()
	if w.reconcile(); w.renewals != 5 {
		t.Error("a new controller does not renew the lease at once")
	}
}

// TestLeasesDoNotLookAtPods: a lease is renewed while nothing can be read or written of pods.
func TestLeasesDoNotLookAtPods(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), thePod("p", 0))
	w.cluster = interceptor.NewClient(w.cluster, interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("the controller of leases lists objects")
		},
		SubResourcePatch: func(context.Context, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
			return errors.New("the controller of leases writes a status")
		},
	})
	w.restart()
	result, err := w.leases.Reconcile(t.Context(), request)
	if err != nil || result.RequeueAfter != renewal {
		t.Errorf("the lease is looked at again after %v: %v", result.RequeueAfter, err)
	}
	if err := w.cluster.Get(t.Context(), client.ObjectKey{Namespace: corev1.NamespaceNodeLease, Name: "n"}, &coordinationv1.Lease{}); err != nil {
		t.Error(err)
	}
}

func TestDeadKubelet(t *testing.T) {
	for name, kill := range map[string]func(*world) error{
		"machine deleted": func(w *world) error {
			return w.machines.Delete(t.Context(), &v1beta2.HollowMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "m"}})
		},
		"machine gone": func(w *world) error {
			m := &v1beta2.HollowMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "m"}}
			if err := w.machines.Patch(t.Context(), m, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
				return err
			}
			return w.machines.Delete(t.Context(), m)
		},
		"machine sick":   func(w *world) error { return w.setState(v1beta2.StateSick) },
		"machine failed": func(w *world) error { return w.setState(v1beta2.StateFailed) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), thePod("p", 0))
			if err := kill(w); err != nil {
				t.Fatal(err)
			}
			if wait := w.reconcile(); wait != 0 {
				t.Errorf("the Node is to be looked at after %v", wait)
			}
			if len(w.node().Status.Conditions) != 0 || w.pod("p").Status.Phase != corev1.PodPending || w.renewals != 0 {
				t.Error("a dead kubelet works")
			}
		})
	}
}

// TestHealedKubelet: a kubelet that was sick works again, and renews its lease at once.
func TestHealedKubelet(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), thePod("p", 0))
	w.runTo(20 * time.Second)
	for _, state := range []string{v1beta2.StateSick, ""} {
		if err := w.setState(state); err != nil {
			t.Fatal(err)
		}
		before := w.renewals
		w.clock.SetTime(w.clock.Now().Add(time.Second))
		if w.reconcile(); (w.renewals > before) != (state == "") {
			t.Errorf("in the state %q, the lease was renewed %d times", state, w.renewals-before)
		}
	}
}

func TestRealNode(t *testing.T) {
	node := theNode()
	node.Annotations = nil
	w := newWorld(t, v1beta2.HollowMachineSpec{}, node, thePod("p", 0))
	if wait := w.reconcile(); wait != 0 || len(w.node().Status.Conditions) != 0 || w.pod("p").Status.Phase != corev1.PodPending {
		t.Error("a real Node is played")
	}
}

func TestStartupTaints(t *testing.T) {
	startup := corev1.Taint{Key: "starting", Value: "x", Effect: corev1.TaintEffectNoSchedule}
	stays := corev1.Taint{Key: "starting", Value: "y", Effect: corev1.TaintEffectNoSchedule}
	w := newWorld(t, v1beta2.HollowMachineSpec{
		Node:      v1beta2.HollowNode{StartupTaints: []v1beta2.Taint{{Key: startup.Key, Value: startup.Value, Effect: startup.Effect}}},
		Lifecycle: v1beta2.Lifecycle{Ready: seconds(10), Untaint: seconds(40)},
	}, theNode(startup, stays))
	w.runTo(50*time.Second - time.Millisecond)
	if n := len(w.node().Spec.Taints); n != 2 {
		t.Errorf("too soon there are %d taints", n)
	}
	w.runTo(50 * time.Second)
	if got := w.node().Spec.Taints; len(got) != 1 || got[0] != stays {
		t.Errorf("the taints are %v", got)
	}
}

// TestStartupTaintsOfAnOldCache has somebody taint a Node that the cache has without that.
func TestStartupTaintsOfAnOldCache(t *testing.T) {
	startup := corev1.Taint{Key: "starting", Effect: corev1.TaintEffectNoSchedule}
	w := newWorld(t, v1beta2.HollowMachineSpec{
		Node: v1beta2.HollowNode{StartupTaints: []v1beta2.Taint{{Key: startup.Key, Effect: startup.Effect}}},
	}, theNode(startup))
	w.Workload = interceptor.NewClient(w.cluster, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if _, ok := o.(*corev1.Node); ok {
				node := w.node()
				node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: "ToBeDeletedByClusterAutoscaler", Effect: corev1.TaintEffectNoSchedule})
				if err := c.Update(ctx, node); err != nil {
					return err
				}
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})
	w.reconcile() // no error: the event is on its way
	if n := len(w.node().Spec.Taints); n != 2 {
		t.Errorf("a taint of somebody else is lost: %v", w.node().Spec.Taints)
	}
	w.restart()
	w.reconcile()
	if got := w.node().Spec.Taints; len(got) != 1 || got[0].Key != "ToBeDeletedByClusterAutoscaler" {
		t.Errorf("the taints are %v", got)
	}
}

// TestStatusThatIsNotWritten: a Node whose status could not be written is not ready, so its startup
// taint stays and its pods do not run.
func TestStatusThatIsNotWritten(t *testing.T) {
	startup := corev1.Taint{Key: "starting", Effect: corev1.TaintEffectNoSchedule}
	w := newWorld(t, v1beta2.HollowMachineSpec{
		Node: v1beta2.HollowNode{StartupTaints: []v1beta2.Taint{{Key: startup.Key, Effect: startup.Effect}}},
	}, theNode(startup), thePod("p", 0))
	boom := errors.New("no answer")
	w.Workload = interceptor.NewClient(w.cluster, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if _, ok := o.(*corev1.Node); ok {
				return boom
			}
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
	if result, err := w.try(); !errors.Is(err, boom) || result.RequeueAfter != 0 {
		t.Errorf("Reconcile() = %v, %v", result, err)
	}
	if taints, phase := w.node().Spec.Taints, w.pod("p").Status.Phase; len(taints) != 1 || phase == corev1.PodRunning {
		t.Errorf("the Node has the taints %v, and its pod is %s", taints, phase)
	}
}

func TestLateResources(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{
		Node:      v1beta2.HollowNode{Late: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("4")}},
		Lifecycle: v1beta2.Lifecycle{Ready: seconds(1), LateAfter: seconds(60)},
	}, theNode())
	gpus := func(list corev1.ResourceList) int64 {
		quantity := list["nvidia.com/gpu"]
		return quantity.Value()
	}
	w.runTo(61*time.Second - time.Millisecond)
	if s := w.node().Status; gpus(s.Capacity) != 0 || gpus(s.Allocatable) != 0 {
		t.Error("the devices are there too soon")
	}
	w.runTo(61 * time.Second)
	if s := w.node().Status; gpus(s.Capacity) != 4 || gpus(s.Allocatable) != 4 {
		t.Errorf("there are %d and %d devices", gpus(s.Capacity), gpus(s.Allocatable))
	}
}

// TestControllerWasAway has what the node lifecycle controller does to a Node whose leases
// end.
func TestControllerWasAway(t *testing.T) {
	w := newWorld(t, v1beta2.HollowMachineSpec{}, theNode(), thePod("p", 0))
	w.reconcile()
	node, pod := w.node(), w.pod("p")
	for i := range node.Status.Conditions {
		node.Status.Conditions[i].Status = corev1.ConditionUnknown
	}
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == corev1.PodReady {
			pod.Status.Conditions[i].Status = corev1.ConditionFalse
		}
	}
	for _, o := range []client.Object{node, pod} {
		if err := w.cluster.Status().Update(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	w.restart()
	w.clock.SetTime(began.Add(time.Hour))
	w.reconcile()
	if since := readySince(w.node()); since == nil || !since.Equal(began.Add(time.Hour)) {
		t.Errorf("the conditions are %v", w.node().Status.Conditions)
	}
	for _, c := range w.node().Status.Conditions {
		if c.Type != corev1.NodeReady && c.Status != corev1.ConditionFalse {
			t.Errorf("the condition %s is %s", c.Type, c.Status)
		}
	}
	if c := conditionOf(w.pod("p"), corev1.PodReady); c.Status != corev1.ConditionTrue {
		t.Errorf("the pod is not ready again: %+v", c)
	}
}
