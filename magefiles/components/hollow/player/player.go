// Package player plays the kubelet of hollow Nodes: it renews their leases, makes them ready,
// and brings their pods to phase Running and their deletions to an end.
//
// kwok (sigs.k8s.io/kwok) does the same for Nodes of any kind. It is not used here because
// it loses pods that are bound while their Node registers: its pods are reconciled when
// they change, and a pod that comes before its Node is not looked at again. Here the unit
// of work is a Node with all its pods. Each event of either has the whole Node looked at,
// so the order of events does not matter.
package player

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"caslab/components/hollow/api/v1beta2"
	"caslab/components/hollow/machine"
)

const (
	// resync is the longest time between two reconciliations of a Node. Events, and what is due on
	// the Node, bring it back earlier.
	resync = time.Minute
	// slowestRetry is the longest time until something is tried again that failed.
	slowestRetry = 15 * time.Second

	nodeNameIndex = "spec.nodeName"
)

// +kubebuilder:rbac:groups=infrastructure.cluster.x-k8s.io,resources=hollowmachines,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups="",resources=nodes/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch;delete
// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceslices,verbs=create
// +kubebuilder:rbac:groups=storage.k8s.io,resources=csinodes,verbs=create

// Reconciler plays the kubelet of hollow Nodes. It does not mind whether a Cluster is
// paused: kubelets do not know of it.
type Reconciler struct {
	// Machines reads the HollowMachines.
	Machines client.Reader
	// Workload reads and writes the cluster that the Nodes are in.
	Workload client.Client
	// Clock tells the time.
	Clock clock.PassiveClock

	mu sync.Mutex
	// announced has the objects of drivers that are known to exist.
	announced map[announcement]bool
}

// SetupWithManager starts the reconciler with mgr. workload is the cluster of the Nodes.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, workload cluster.Cluster, options controller.Options) error {
	if err := workload.GetFieldIndexer().IndexField(context.Background(), &corev1.Pod{}, nodeNameIndex, nodeName); err != nil {
		return fmt.Errorf("index the pods by node: %w", err)
	}
	// An error about one pod must not stop the other pods of its Node for long.
	options.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](100*time.Millisecond, slowestRetry)
	nodes := source.Kind(workload.GetCache(), &corev1.Node{}, &handler.TypedEnqueueRequestForObject[*corev1.Node]{})
	pods := source.Kind(workload.GetCache(), &corev1.Pod{}, handler.TypedEnqueueRequestsFromMapFunc(nodeOfPod))
	return ctrl.NewControllerManagedBy(mgr).
		Named("player").
		Watches(&v1beta2.HollowMachine{}, handler.EnqueueRequestsFromMapFunc(nodeOfMachine)).
		WatchesRawSource(nodes).
		WatchesRawSource(pods).
		WithOptions(options).
		Complete(r)
}

func nodeName(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }

func nodeOfPod(_ context.Context, pod *corev1.Pod) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: pod.Spec.NodeName}}}
}

func nodeOfMachine(_ context.Context, o client.Object) []reconcile.Request {
	owner := machine.OwnerOf(o.(*v1beta2.HollowMachine))
	if owner == nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: owner.Name}}}
}

// kubelet returns a Node and its machine if the machine's kubelet is alive. A Node whose machine is
// being deleted, is gone, or is not well, has none: then m is nil.
func kubelet(ctx context.Context, workload, machines client.Reader, name types.NamespacedName) (node *corev1.Node, m *v1beta2.HollowMachine, err error) {
	node = &corev1.Node{}
	if err := workload.Get(ctx, name, node); err != nil {
		return nil, nil, client.IgnoreNotFound(err)
	}
	key, ok := machine.KeyOf(node)
	if !ok {
		return nil, nil, nil
	}
	m = &v1beta2.HollowMachine{}
	if err := machines.Get(ctx, key, m); err != nil || !m.DeletionTimestamp.IsZero() || m.Annotations[v1beta2.StateAnnotation] != "" {
		return nil, nil, client.IgnoreNotFound(err)
	}
	return node, m, nil
}

// Reconcile does what is due on a Node, and comes back when something else is due.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	node, m, err := kubelet(ctx, r.Workload, r.Machines, req.NamespacedName)
	if m == nil {
		r.forget(req.Name)
		return ctrl.Result{}, err
	}
	next := schedule{now: r.Clock.Now(), wait: resync}
	// The taints, the drivers and the pods depend on the status that the API server has.
	if err := r.playStatus(ctx, m, node, &next); err != nil {
		return ctrl.Result{}, err
	}
	errs := []error{
		r.playTaints(ctx, m, node, &next),
		r.playDrivers(ctx, m, node, &next),
		r.playPods(ctx, m, node, &next),
	}
	// A conflict says that the cache is old. The event that renews it is on its way.
	errs = slices.DeleteFunc(errs, apierrors.IsConflict)
	if err := errors.Join(errs...); err != nil {
		return ctrl.Result{}, err // the queue tries this Node again, at its rate limit
	}
	return ctrl.Result{RequeueAfter: next.wait}, nil
}

// schedule is when something is due on a Node.
type schedule struct {
	now  time.Time
	wait time.Duration
}

// due reports whether a delay since start is over. If it is not, the Node is looked at again
// when it is.
func (s *schedule) due(start time.Time, delay time.Duration) bool {
	wait := start.Add(delay).Sub(s.now)
	if wait > 0 {
		s.wait = min(s.wait, wait)
	}
	return wait <= 0
}

func (r *Reconciler) forget(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.announced, func(a announcement, _ bool) bool { return a.node == node })
}

// playPods plays each pod of the Node.
func (r *Reconciler) playPods(ctx context.Context, m *v1beta2.HollowMachine, node *corev1.Node, next *schedule) error {
	pods := &corev1.PodList{}
	if err := r.Workload.List(ctx, pods, client.MatchingFields{nodeNameIndex: node.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list the pods: %w", err)
	}
	var errs []error
	for i := range pods.Items {
		errs = append(errs, r.playPod(ctx, m, node, &pods.Items[i], next))
	}
	return errors.Join(slices.DeleteFunc(errs, apierrors.IsConflict)...)
}

// playPod brings a pod to where it is due. The pod is the cache's, and is not written to.
func (r *Reconciler) playPod(ctx context.Context, m *v1beta2.HollowMachine, node *corev1.Node, pod *corev1.Pod, next *schedule) error {
	after := pod.DeepCopy()
	if pod.DeletionTimestamp != nil {
		return r.endPod(ctx, after)
	}
	play(m, node, after, next)
	return r.patchPod(ctx, pod, after)
}

// endPod ends the deletion of a pod. Like a kubelet, it gives a pod that finalizers still hold a
// final phase, by which a Job counts the pod. It writes the phase last, when only the finalizers
// are left: the cache has no pods with a final phase, and a pod whose deletion fails must stay in
// the cache. The event of the deletion makes the controller reconcile the Node again.
func (r *Reconciler) endPod(ctx context.Context, pod *corev1.Pod) error {
	if ptr.Deref(pod.DeletionGracePeriodSeconds, 0) == 0 {
		before := pod.DeepCopy()
		terminate(pod, corev1.PodFailed, metav1.Time{Time: r.Clock.Now()})
		return r.patchPod(ctx, before, pod)
	}
	err := r.Workload.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("end the deletion of the pod %s: %w", client.ObjectKeyFromObject(pod), err)
	}
	return nil
}

// patchPod writes the status of a pod if it changed. A pod that meanwhile has the same name
// and is another one is not written to.
func (r *Reconciler) patchPod(ctx context.Context, before, after *corev1.Pod) error {
	if equality.Semantic.DeepEqual(before.Status, after.Status) {
		return nil
	}
	patch := client.StrategicMergeFrom(before, client.MergeFromWithOptimisticLock{})
	if err := client.IgnoreNotFound(r.Workload.Status().Patch(ctx, after, patch)); err != nil {
		return fmt.Errorf("write the status of the pod %s: %w", client.ObjectKeyFromObject(before), err)
	}
	return nil
}
