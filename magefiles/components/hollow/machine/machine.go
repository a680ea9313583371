// Package machine reconciles HollowMachines and their templates: it plays the infrastructure
// that Cluster API asks for machines. A machine's Node is all that there is of it. Package
// player plays the kubelet.
package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"caslab/components/hollow/api/v1beta2"
)

// What Cluster API has on its objects and on those that it clones from templates. The
// kinds of Cluster API are read without its Go types, because each release serves other
// versions of them.
const (
	clusterAPI            = "cluster.x-k8s.io"
	pausedAnnotation      = "cluster.x-k8s.io/paused"
	templateAnnotation    = "cluster.x-k8s.io/cloned-from-name"
	failureReason         = "CreateError" // one of the contract v1beta1's reasons
	plannedFailureMessage = "lifecycle.fail makes this machine fail"
)

// lookAgain is the time after which a machine is reconciled again, for a change that no event reports.
const lookAgain = 15 * time.Second

// conflictRetry is the time after which a write is tried again that the API server refused, because
// the object had changed since it was read.
const conflictRetry = time.Second

// ClusterNameLabel is the label with the name of the Cluster that a machine belongs to.
const ClusterNameLabel = "cluster.x-k8s.io/cluster-name"

// +kubebuilder:rbac:groups=infrastructure.cluster.x-k8s.io,resources=hollowmachines,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=infrastructure.cluster.x-k8s.io,resources=hollowmachines/status,verbs=patch
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=clusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=cluster.x-k8s.io,resources=machines,verbs=get
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch;create;delete

// Reconciler makes the Node of a HollowMachine, or lets the machine fail, when its lifecycle
// says so.
type Reconciler struct {
	// Client reads and writes the management cluster.
	Client client.Client
	// Live reads the management cluster, and no cache.
	Live client.Reader
	// Workload reads and writes the cluster that the Nodes are in.
	Workload client.Client
	// WorkloadLive reads the cluster that the Nodes are in, and no cache.
	WorkloadLive client.Reader
	// ClusterKind is the kind Cluster in the version that the management cluster prefers.
	ClusterKind schema.GroupVersionKind
	// Clock tells the time.
	Clock clock.PassiveClock

	counting sync.Mutex
}

// SetupWithManager starts the reconciler with mgr. workload is the cluster of the Nodes.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, workload cluster.Cluster, options controller.Options) error {
	paused := &unstructured.Unstructured{}
	paused.SetGroupVersionKind(r.ClusterKind)
	cameOrWent := predicate.TypedFuncs[*corev1.Node]{
		UpdateFunc: func(event.TypedUpdateEvent[*corev1.Node]) bool { return false },
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1beta2.HollowMachine{}).
		Watches(paused, handler.EnqueueRequestsFromMapFunc(r.ofCluster)).
		WatchesRawSource(source.Kind(workload.GetCache(), &corev1.Node{}, handler.TypedEnqueueRequestsFromMapFunc(ofNode), cameOrWent)).
		WithOptions(options).
		Complete(r)
}

// ofCluster returns the machines of a Cluster.
func (r *Reconciler) ofCluster(ctx context.Context, c client.Object) []reconcile.Request {
	list := &v1beta2.HollowMachineList{}
	if err := r.Client.List(ctx, list, client.InNamespace(c.GetNamespace()), client.MatchingLabels{ClusterNameLabel: c.GetName()}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List the HollowMachines of a Cluster", "Cluster", client.ObjectKeyFromObject(c))
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// ofNode returns the machine of a Node.
func ofNode(_ context.Context, node *corev1.Node) []reconcile.Request {
	key, ok := KeyOf(node)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: key}}
}

// KeyOf returns the key of the HollowMachine that a Node is annotated with.
func KeyOf(node *corev1.Node) (types.NamespacedName, bool) {
	namespace, name, ok := strings.Cut(node.Annotations[v1beta2.MachineAnnotation], "/")
	return types.NamespacedName{Namespace: namespace, Name: name}, ok
}

// OwnerOf returns the reference to the Machine that owns a HollowMachine, or nil if Cluster
// API has not set it yet. The Machine's name is the name of the Node.
func OwnerOf(m *v1beta2.HollowMachine) *metav1.OwnerReference {
	i := slices.IndexFunc(m.OwnerReferences, func(o metav1.OwnerReference) bool {
		group, _, _ := strings.Cut(o.APIVersion, "/")
		return o.Kind == "Machine" && group == clusterAPI
	})
	if i < 0 {
		return nil
	}
	return &m.OwnerReferences[i]
}

// Reconcile brings a HollowMachine one step further.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	result, err := r.reconcile(ctx, req)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictRetry}, nil // the cache is older than the API server
	}
	if err != nil {
		return ctrl.Result{}, err // its back-off decides when the machine is reconciled again
	}
	return result, nil
}

func (r *Reconciler) reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	m := &v1beta2.HollowMachine{}
	if err := r.Client.Get(ctx, req.NamespacedName, m); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if paused, err := r.paused(ctx, m); err != nil || paused {
		return ctrl.Result{}, err
	}
	if !m.DeletionTimestamp.IsZero() {
		return r.reconcileDelete(ctx, m)
	}
	return r.reconcileNormal(ctx, m)
}

// paused reports whether the machine or its Cluster is paused. clusterctl move pauses the Cluster.
// If there is no Cluster yet, the machine counts as paused, because the Cluster may arrive paused;
// its arrival starts the next reconciliation. A machine that is being deleted does not wait for a
// Cluster that is gone.
func (r *Reconciler) paused(ctx context.Context, m *v1beta2.HollowMachine) (bool, error) {
	if _, ok := m.Annotations[pausedAnnotation]; ok {
		return true, nil
	}
	c := &unstructured.Unstructured{}
	c.SetGroupVersionKind(r.ClusterKind)
	key := client.ObjectKey{Namespace: m.Namespace, Name: m.Labels[ClusterNameLabel]}
	if key.Name == "" {
		return false, nil
	}
	err := r.Client.Get(ctx, key, c)
	if apierrors.IsNotFound(err) {
		err = r.Live.Get(ctx, key, c)
	}
	if apierrors.IsNotFound(err) {
		return m.DeletionTimestamp.IsZero(), nil
	}
	if err != nil {
		return false, err
	}
	paused, _, err := unstructured.NestedBool(c.Object, "spec", "paused")
	return paused, err
}

func (r *Reconciler) reconcileNormal(ctx context.Context, m *v1beta2.HollowMachine) (ctrl.Result, error) {
	owner := OwnerOf(m)
	if owner == nil {
		return ctrl.Result{}, nil
	}
	if err := r.patch(ctx, m, func() { controllerutil.AddFinalizer(m, v1beta2.MachineFinalizer) }); err != nil {
		return ctrl.Result{}, err
	}
	node, err := find(ctx, r.Workload, owner.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	if m.Status.Ordinal == 0 {
		if err := r.decideFate(ctx, m, node); err != nil {
			return ctrl.Result{}, err
		}
	}
	wait := r.until(m.CreationTimestamp, startOf(m))
	switch {
	case m.Annotations[v1beta2.StateAnnotation] == v1beta2.StateFailed:
		return ctrl.Result{}, r.fail(ctx, m, "the annotation "+v1beta2.StateAnnotation+" makes this machine fail")
	case node != nil:
		return r.adopt(ctx, m, node)
	case m.Status.Initialization.Provisioned:
		return r.miss(ctx, m, owner)
	case wait > 0 || m.Status.Fate == v1beta2.FateNothing:
		return ctrl.Result{RequeueAfter: max(0, wait)}, r.report(ctx, m, metav1.ConditionFalse, v1beta2.ProvisioningReason, "The Node is still to come")
	case m.Status.Fate == v1beta2.FateFailure:
		return ctrl.Result{}, r.fail(ctx, m, plannedFailureMessage)
	}
	return r.create(ctx, m, owner)
}

// decideFate gives the machine its ordinal and its fate, which is to be the Node that it
// already has, or nil. It is done once: a change of the template acts on later machines.
func (r *Reconciler) decideFate(ctx context.Context, m *v1beta2.HollowMachine, node *corev1.Node) error {
	// The cache may be older than a fate that was decided here.
	now := &v1beta2.HollowMachine{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(m), now); err != nil {
		return err
	}
	if now.DeepCopyInto(m); m.Status.Ordinal != 0 {
		return nil
	}
	ordinal, base, err := r.nextOrdinal(ctx, client.ObjectKey{Namespace: m.Namespace, Name: m.Annotations[templateAnnotation]})
	if err != nil {
		return fmt.Errorf("count the machines of the template: %w", err)
	}
	fate := v1beta2.FateNode
	if node == nil {
		if fate, err = fateOf(m.Spec.Lifecycle, draw(m, "fate", ordinal), ordinal-base); err != nil {
			return err
		}
	}
	return r.patchStatus(ctx, m, func() { m.Status.Ordinal, m.Status.Fate = ordinal, fate })
}

// fail reports a failure in both contracts.
func (r *Reconciler) fail(ctx context.Context, m *v1beta2.HollowMachine, message string) error {
	return r.patchStatus(ctx, m, func() {
		reason := failureReason
		m.Status.FailureReason, m.Status.FailureMessage = &reason, &message
		r.setReady(m, metav1.ConditionFalse, v1beta2.ProvisioningFailedReason, message)
	})
}

// create makes the Node of a machine that has none.
func (r *Reconciler) create(ctx context.Context, m *v1beta2.HollowMachine, owner *metav1.OwnerReference) (ctrl.Result, error) {
	machine, err := r.machine(ctx, m, owner)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("read the Machine %s: %w", owner.Name, err)
	}
	// A machine has its provider ID before it is a Node, as elsewhere.
	if err := r.patch(ctx, m, func() { m.Spec.ProviderID = "hollow:///" + client.ObjectKeyFromObject(m).String() }); err != nil {
		return ctrl.Result{}, err
	}
	zone, _, _ := unstructured.NestedString(machine.Object, "spec", "failureDomain")
	if zone == "" {
		zone = m.Spec.Node.Zone
	}
	version, _, _ := unstructured.NestedString(machine.Object, "spec", "version")
	node := newNode(m, owner.Name, zone, version)
	switch err := r.Workload.Create(ctx, node); {
	case apierrors.IsAlreadyExists(err):
		if err := r.WorkloadLive.Get(ctx, client.ObjectKeyFromObject(node), node); err != nil {
			return ctrl.Result{}, err
		}
	case err != nil:
		if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
			if err := r.report(ctx, m, metav1.ConditionFalse, v1beta2.NodeRefusedReason, err.Error()); err != nil {
				return ctrl.Result{}, err
			}
		}
		return ctrl.Result{}, fmt.Errorf("create the Node: %w", err)
	default:
		ctrl.LoggerFrom(ctx).Info("Created the Node", "Node", node.Name, "after", r.Clock.Since(m.CreationTimestamp.Time).Round(time.Second))
	}
	return r.adopt(ctx, m, node)
}

// miss reports that somebody deleted the Node of a machine, unless only the cache lacks it.
func (r *Reconciler) miss(ctx context.Context, m *v1beta2.HollowMachine, owner *metav1.OwnerReference) (ctrl.Result, error) {
	node, err := find(ctx, r.WorkloadLive, owner.Name)
	switch {
	case err != nil:
		return ctrl.Result{}, err
	case node != nil:
		return r.adopt(ctx, m, node)
	}
	return ctrl.Result{}, r.report(ctx, m, metav1.ConditionFalse, v1beta2.NodeDeletedReason, "Somebody deleted the Node "+owner.Name)
}

// adopt reports, in both contracts, that the machine has its Node and is well. If the Node with that
// name does not belong to the machine, it is tried again after lookAgain: the cache has hollow Nodes
// only, so no event reports that another Node is gone.
func (r *Reconciler) adopt(ctx context.Context, m *v1beta2.HollowMachine, node *corev1.Node) (ctrl.Result, error) {
	if node.Annotations[v1beta2.MachineAnnotation] != client.ObjectKeyFromObject(m).String() {
		return ctrl.Result{RequeueAfter: lookAgain}, r.report(ctx, m, metav1.ConditionFalse, v1beta2.NodeRefusedReason, "The Node "+node.Name+" exists already and does not belong to this machine")
	}
	if err := r.patch(ctx, m, func() { m.Spec.ProviderID = node.Spec.ProviderID }); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.patchStatus(ctx, m, func() {
		m.Status.FailureReason, m.Status.FailureMessage = nil, nil
		m.Status.Ready = true
		m.Status.Initialization.Provisioned = true
		m.Status.Addresses = []v1beta2.MachineAddress{{Type: string(corev1.NodeHostName), Address: node.Name}}
		m.Status.FailureDomain = node.Labels[corev1.LabelTopologyZone]
		r.setReady(m, metav1.ConditionTrue, v1beta2.ProvisionedReason, "")
	})
}

// reconcileDelete lets a machine go when its deletion took long enough. Cluster API deletes
// the Node afterwards.
func (r *Reconciler) reconcileDelete(ctx context.Context, m *v1beta2.HollowMachine) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(m, v1beta2.MachineFinalizer) {
		return ctrl.Result{}, nil
	}
	if wait := r.until(*m.DeletionTimestamp, m.Spec.Lifecycle.Stop.Duration); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, r.report(ctx, m, metav1.ConditionFalse, v1beta2.DeletingReason, "")
	}
	if owner := OwnerOf(m); owner != nil {
		if err := r.deleteStray(ctx, m, owner); err != nil {
			return ctrl.Result{}, err
		}
	}
	// The cache may still have a machine that is gone.
	return ctrl.Result{}, client.IgnoreNotFound(r.patch(ctx, m, func() { controllerutil.RemoveFinalizer(m, v1beta2.MachineFinalizer) }))
}

// deleteStray deletes the Node of a Machine that does not know its Node, because it was
// deleted too soon: Cluster API leaves it. Elsewhere, a cloud controller manager finds it.
func (r *Reconciler) deleteStray(ctx context.Context, m *v1beta2.HollowMachine, owner *metav1.OwnerReference) error {
	machine, err := r.machine(ctx, m, owner)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err == nil {
		if name, _, _ := unstructured.NestedString(machine.Object, "status", "nodeRef", "name"); name != "" {
			return nil
		}
	}
	node, err := find(ctx, r.WorkloadLive, owner.Name)
	if err != nil || node == nil || node.Annotations[v1beta2.MachineAnnotation] != client.ObjectKeyFromObject(m).String() {
		return err
	}
	return client.IgnoreNotFound(r.Workload.Delete(ctx, node, client.Preconditions{UID: &node.UID}))
}

// machine returns the Machine that owns a HollowMachine.
func (r *Reconciler) machine(ctx context.Context, m *v1beta2.HollowMachine, owner *metav1.OwnerReference) (*unstructured.Unstructured, error) {
	machine := &unstructured.Unstructured{}
	machine.SetAPIVersion(owner.APIVersion)
	machine.SetKind(owner.Kind)
	return machine, r.Live.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: owner.Name}, machine)
}

// find returns the Node with that name, or nil if there is none.
func find(ctx context.Context, reader client.Reader, name string) (*corev1.Node, error) {
	node := &corev1.Node{}
	err := reader.Get(ctx, client.ObjectKey{Name: name}, node)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return node, err
}

// until returns how long it is until a delay that began at start is over.
func (r *Reconciler) until(start metav1.Time, delay time.Duration) time.Duration {
	return delay - r.Clock.Since(start.Time)
}

// report sets the condition Ready.
func (r *Reconciler) report(ctx context.Context, m *v1beta2.HollowMachine, status metav1.ConditionStatus, reason, message string) error {
	return r.patchStatus(ctx, m, func() { r.setReady(m, status, reason, message) })
}

func (r *Reconciler) setReady(m *v1beta2.HollowMachine, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&m.Status.Conditions, metav1.Condition{
		Type: v1beta2.ReadyCondition, Status: status, Reason: reason, Message: message,
		ObservedGeneration: m.Generation, LastTransitionTime: metav1.Time{Time: r.Clock.Now()},
	})
}

// patch calls change with the machine and writes the difference, except the status. A merge patch
// replaces the whole list of finalizers, so the API server refuses it if the machine has changed
// since it was read.
func (r *Reconciler) patch(ctx context.Context, m *v1beta2.HollowMachine, change func()) error {
	before := m.DeepCopy()
	if change(); equality.Semantic.DeepEqual(before, m) {
		return nil
	}
	return r.Client.Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// patchStatus writes what change makes of a machine's status.
func (r *Reconciler) patchStatus(ctx context.Context, m *v1beta2.HollowMachine, change func()) error {
	before := m.DeepCopy()
	if change(); equality.Semantic.DeepEqual(before, m) {
		return nil
	}
	return r.Client.Status().Patch(ctx, m, client.MergeFrom(before))
}
