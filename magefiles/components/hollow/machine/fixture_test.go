package machine

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"caslab/components/hollow/api/v1beta2"
)

const namespace = "lab"

var (
	began       = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	clusterKind = schema.GroupVersionKind{Group: clusterAPI, Version: "v1beta2", Kind: "Cluster"}
)

// world is a management cluster, a cluster with Nodes, and a reconciler between them.
type world struct {
	t                    *testing.T
	clock                *clocktesting.FakePassiveClock
	management, workload client.WithWatch
	*Reconciler
}

// newWorld returns a world with these objects in the management cluster, beside the Cluster
// lab.
func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1beta2.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(began)}
	lab := capi(clusterKind, "lab", nil)
	w.management = fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(objects, lab)...).
		WithStatusSubresource(&v1beta2.HollowMachine{}, &v1beta2.HollowMachineTemplate{}).Build()
	w.workload = fake.NewClientBuilder().WithScheme(scheme).Build()
	w.Reconciler = &Reconciler{
		Client: w.management, Live: w.management, Workload: w.workload, WorkloadLive: w.workload,
		ClusterKind: clusterKind, Clock: w.clock,
	}
	return w
}

// capi returns an object of Cluster API.
func capi(kind schema.GroupVersionKind, name string, spec map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetGroupVersionKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	if spec != nil {
		o.Object["spec"] = spec
	}
	return o
}

// machineOf returns the Machine that owns the HollowMachine with that name.
func machineOf(name string, spec map[string]any) *unstructured.Unstructured {
	return capi(clusterKind.GroupVersion().WithKind("Machine"), name+"-machine", spec)
}

// hollow returns a HollowMachine of the template pool, created now.
func hollow(name string, spec v1beta2.HollowMachineSpec) *v1beta2.HollowMachine {
	return &v1beta2.HollowMachine{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, CreationTimestamp: metav1.Time{Time: began},
			Labels:      map[string]string{ClusterNameLabel: "lab"},
			Annotations: map[string]string{templateAnnotation: "pool"},
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "cluster.x-k8s.io/v1beta2", Kind: "MachineSet", Name: "pool", UID: "1"},
				{APIVersion: "cluster.x-k8s.io/v1beta2", Kind: "Machine", Name: name + "-machine", UID: "2"},
			},
		},
		Spec: spec,
	}
}

func template(spec v1beta2.HollowMachineSpec) *v1beta2.HollowMachineTemplate {
	return &v1beta2.HollowMachineTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pool", Generation: 1},
		Spec:       v1beta2.HollowMachineTemplateSpec{Template: v1beta2.HollowMachineTemplateResource{Spec: spec}},
	}
}

func (w *world) try(name string) (ctrl.Result, error) {
	return w.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}})
}

// reconcile reconciles a HollowMachine, and returns how long it is to wait.
func (w *world) reconcile(name string) time.Duration {
	w.t.Helper()
	result, err := w.try(name)
	if err != nil {
		w.t.Fatalf("reconcile %s: %v", name, err)
	}
	return result.RequeueAfter
}

func (w *world) after(d time.Duration) { w.clock.SetTime(began.Add(d)) }

func (w *world) machine(name string) *v1beta2.HollowMachine {
	w.t.Helper()
	m := &v1beta2.HollowMachine{}
	if err := w.management.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, m); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// node returns the Node of a HollowMachine, or nil.
func (w *world) node(name string) *corev1.Node {
	w.t.Helper()
	node, err := find(w.t.Context(), w.workload, name+"-machine")
	if err != nil {
		w.t.Fatal(err)
	}
	return node
}

// wantReady checks the condition Ready of a HollowMachine.
func (w *world) wantReady(name string, status metav1.ConditionStatus, reason string) {
	w.t.Helper()
	c := meta.FindStatusCondition(w.machine(name).Status.Conditions, v1beta2.ReadyCondition)
	if c == nil || c.Status != status || c.Reason != reason {
		w.t.Errorf("the condition of %s is %+v, want %s because of %s", name, c, status, reason)
	}
}

// forgetful returns a client whose Get finds what was there when it was made: an old cache.
func forgetful(t *testing.T, c client.WithWatch, old ...client.Object) client.Client {
	t.Helper()
	builder := fake.NewClientBuilder().WithScheme(c.Scheme())
	for _, o := range old {
		builder = builder.WithObjects(o.DeepCopyObject().(client.Object))
	}
	cache := builder.Build()
	return interceptor.NewClient(c, interceptor.Funcs{
		Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return cache.Get(ctx, key, o, opts...)
		},
	})
}

func seconds(n float64) metav1.Duration {
	return metav1.Duration{Duration: time.Duration(n * float64(time.Second))}
}
