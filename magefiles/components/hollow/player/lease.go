package player

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
)

const (
	// renewal is how often a Node's lease is renewed. The node lifecycle controller gives
	// a Node 50 s by default.
	renewal = 15 * time.Second
	// leaseSeconds is how long a kubelet's lease is valid.
	leaseSeconds = 40
)

// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,namespace=kube-node-lease,verbs=create;patch

// Leases renews the leases of hollow Nodes. It is apart from Reconciler, and has a queue of its own,
// so that thousands of pods that wait for their kubelets do not make Nodes look dead.
type Leases struct {
	// Machines reads the HollowMachines.
	Machines client.Reader
	// Workload reads and writes the cluster that the Nodes are in.
	Workload client.Client
	// Clock tells the time.
	Clock clock.PassiveClock

	renewed sync.Map // the time.Time of the last renewal, by the Node's name
}

// SetupWithManager starts the reconciler with mgr. workload is the cluster of the Nodes.
func (l *Leases) SetupWithManager(mgr ctrl.Manager, workload cluster.Cluster, options controller.Options) error {
	options.RateLimiter = workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](100*time.Millisecond, renewal/3)
	return ctrl.NewControllerManagedBy(mgr).
		Named("leases").
		Watches(&v1beta2.HollowMachine{}, handler.EnqueueRequestsFromMapFunc(nodeOfMachine)).
		WatchesRawSource(source.Kind(workload.GetCache(), &corev1.Node{}, &handler.TypedEnqueueRequestForObject[*corev1.Node]{})).
		WithOptions(options).
		Complete(l)
}

// Reconcile renews the lease of a Node whose kubelet is alive, if that is due, and comes back when
// it is due again. When the lease was renewed is kept in memory: a controller that starts renews
// all of them.
func (l *Leases) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	node, m, err := kubelet(ctx, l.Workload, l.Machines, req.NamespacedName)
	if m == nil {
		l.renewed.Delete(req.Name)
		return ctrl.Result{}, err
	}
	next := schedule{now: l.Clock.Now(), wait: renewal}
	if last, ok := l.renewed.Load(req.Name); ok && !next.due(last.(time.Time), renewal) {
		return ctrl.Result{RequeueAfter: next.wait}, nil
	}
	if err := renew(ctx, l.Workload, node, next.now); err != nil {
		return ctrl.Result{}, err
	}
	l.renewed.Store(req.Name, next.now)
	return ctrl.Result{RequeueAfter: renewal}, nil
}

// renew renews the Node's lease, or creates it.
func renew(ctx context.Context, c client.Client, node *corev1.Node, now time.Time) error {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: node.Name}}
	before := lease.DeepCopy()
	lease.Spec = coordinationv1.LeaseSpec{
		HolderIdentity:       &node.Name,
		LeaseDurationSeconds: ptr.To[int32](leaseSeconds),
		RenewTime:            &metav1.MicroTime{Time: now},
	}
	err := c.Patch(ctx, lease.DeepCopy(), client.MergeFrom(before))
	if apierrors.IsNotFound(err) {
		lease.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID,
		}}
		err = c.Create(ctx, lease)
	}
	if err != nil {
		return fmt.Errorf("renew the lease: %w", err)
	}
	return nil
}
