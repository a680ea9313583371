package player

import (
	"context"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"caslab/components/hollow/api/v1beta2"
)

var began = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// world is a cluster with a hollow Node n, its HollowMachine, and the player.
type world struct {
	t        *testing.T
	clock    *clocktesting.FakePassiveClock
	machines client.WithWatch
	cluster  client.WithWatch
	renewals int
	leases   *Leases
	*Reconciler
}

// newWorld returns a world with these objects. The player sees the pods as its cache has them.
func newWorld(t *testing.T, spec v1beta2.HollowMachineSpec, objects ...client.Object) *world {
	t.Helper()
	for _, o := range objects {
		if pod, ok := o.(*corev1.Pod); ok {
			Strip(pod)
		}
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta2.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(began)}
	w.machines = fake.NewClientBuilder().WithScheme(scheme).WithObjects(&v1beta2.HollowMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "m", Finalizers: []string{v1beta2.MachineFinalizer}},
		Spec:       spec, Status: v1beta2.HollowMachineStatus{Ordinal: 1},
	}).Build()
	w.cluster = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&corev1.Node{}, &corev1.Pod{}).
		WithIndex(&corev1.Pod{}, nodeNameIndex, nodeName).
		WithInterceptorFuncs(interceptor.Funcs{
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				err := c.Patch(ctx, o, p, opts...)
				if _, ok := o.(*coordinationv1.Lease); ok && err == nil {
					w.renewals++
				}
				return err
			},
		}).Build()
	w.restart()
	return w
}

// restart replaces the controllers by ones that know nothing.
func (w *world) restart() {
	w.Reconciler = &Reconciler{Machines: w.machines, Workload: w.cluster, Clock: w.clock}
	w.leases = &Leases{Machines: w.machines, Workload: w.cluster, Clock: w.clock}
}

// theNode returns the Node of the world, created now.
func theNode(taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: "n", UID: "n-uid", CreationTimestamp: metav1.Time{Time: began},
			Annotations: map[string]string{v1beta2.MachineAnnotation: "lab/m"},
		},
		Spec: corev1.NodeSpec{Taints: taints},
		Status: corev1.NodeStatus{
			Capacity:    corev1.ResourceList{corev1.ResourcePods: resource.MustParse("110")},
			Allocatable: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("110")},
		},
	}
}

// thePod returns a pod that is bound to the Node at that time.
func thePod(name string, bound time.Duration) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: name, UID: types.UID(name + "-uid"), CreationTimestamp: metav1.Time{Time: began.Add(-time.Hour)},
		},
		Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Time{Time: began.Add(bound)}},
		}},
	}
}

// setState says what happened to the machine; an empty state says that it is well.
func (w *world) setState(state string) error {
	m := &v1beta2.HollowMachine{}
	if err := w.machines.Get(w.t.Context(), client.ObjectKey{Namespace: "lab", Name: "m"}, m); err != nil {
		return err
	}
	m.Annotations = map[string]string{v1beta2.StateAnnotation: state}
	return w.machines.Update(w.t.Context(), m)
}

// request asks for the Node.
var request = ctrl.Request{NamespacedName: client.ObjectKey{Name: "n"}}

// try has the player look at the Node.
func (w *world) try() (ctrl.Result, error) { return w.Reconcile(w.t.Context(), request) }

// reconcile has both controllers look at the Node, and returns how long it is to wait for the first
// of them.
func (w *world) reconcile() time.Duration {
	w.t.Helper()
	result, err := w.try()
	if err != nil {
		w.t.Fatal(err)
	}
	lease, err := w.leases.Reconcile(w.t.Context(), request)
	if err != nil {
		w.t.Fatal(err)
	}
	return min(result.RequeueAfter, lease.RequeueAfter)
}

// runTo reconciles the Node now and whenever it asks for it, until that time. Nothing else
// happens to the cluster.
func (w *world) runTo(end time.Duration) {
	w.t.Helper()
	for {
		next := w.clock.Now().Add(w.reconcile())
		// The world's own writes are events.
		w.reconcile()
		if !next.After(w.clock.Now()) {
			w.t.Fatal("the Node is never looked at again")
		}
		if next.After(began.Add(end)) {
			w.clock.SetTime(began.Add(end))
			w.reconcile()
			return
		}
		w.clock.SetTime(next)
	}
}

func (w *world) node() *corev1.Node {
	w.t.Helper()
	node := &corev1.Node{}
	if err := w.cluster.Get(w.t.Context(), client.ObjectKey{Name: "n"}, node); err != nil {
		w.t.Fatal(err)
	}
	return node
}

// pod returns a pod, or nil if there is none.
func (w *world) pod(name string) *corev1.Pod {
	w.t.Helper()
	pod := &corev1.Pod{}
	err := w.cluster.Get(w.t.Context(), client.ObjectKey{Namespace: "default", Name: name}, pod)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return pod
}

func conditionOf(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

func seconds(n float64) metav1.Duration {
	return metav1.Duration{Duration: time.Duration(n * float64(time.Second))}
}
