package machine

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"caslab/components/hollow/api/v1beta2"
)

// +kubebuilder:rbac:groups=infrastructure.cluster.x-k8s.io,resources=hollowmachinetemplates,verbs=get;list;watch
// +kubebuilder:rbac:groups=infrastructure.cluster.x-k8s.io,resources=hollowmachinetemplates/status,verbs=update

// TemplateReconciler keeps the status of a HollowMachineTemplate, which the autoscaler reads
// to scale from zero. It does not mind whether the Cluster is paused: the status follows
// from the spec.
type TemplateReconciler struct {
	// Client reads and writes the management cluster.
	Client client.Client
}

// SetupWithManager starts the reconciler with mgr.
func (r *TemplateReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1beta2.HollowMachineTemplate{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}

// Reconcile writes the status of a template whose spec changed.
func (r *TemplateReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	t := &v1beta2.HollowMachineTemplate{}
	if err := r.Client.Get(ctx, req.NamespacedName, t); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := t.Status.DeepCopy()
	observe(t)
	if equality.Semantic.DeepEqual(before, &t.Status) {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, r.Client.Status().Update(ctx, t)
}

// observe brings the status of a template up to its spec.
func observe(t *v1beta2.HollowMachineTemplate) {
	node := t.Spec.Template.Spec.Node
	t.Status.Capacity = capacityOf(node)
	maps.Copy(t.Status.Capacity, node.Late)
	t.Status.NodeInfo = v1beta2.NodeInfo{Architecture: architectureOf(node), OperatingSystem: operatingSystem}
	t.Status.ObservedGeneration = t.Generation
	if l := t.Spec.Template.Spec.Lifecycle; !equality.Semantic.DeepEqual(t.Status.Fail, l.Fail) || !equality.Semantic.DeepEqual(t.Status.Never, l.Never) {
		t.Status.Fail, t.Status.Never = l.Fail, l.Never
		t.Status.Base = t.Status.Machines
	}
}

// capacityOf returns what a Node has from the start.
func capacityOf(node v1beta2.HollowNode) corev1.ResourceList {
	capacity := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("110")}
	maps.Copy(capacity, node.Capacity)
	return capacity
}

// nextOrdinal counts one more machine of the template with that name. It returns the
// machine's ordinal and the template's base, or 1 and 0 if there is no template.
//
// The counter is written before the machine's status. A controller that is killed in
// between leaves an ordinal out, and never gives one twice.
func (r *Reconciler) nextOrdinal(ctx context.Context, name client.ObjectKey) (ordinal, base int64, err error) {
	if name.Name == "" {
		return 1, 0, nil
	}
	r.counting.Lock()
	defer r.counting.Unlock()
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		t := &v1beta2.HollowMachineTemplate{}
		if err := r.Live.Get(ctx, name, t); err != nil {
			return err
		}
		observe(t)
		t.Status.Machines++
		ordinal, base = t.Status.Machines, t.Status.Base
		return r.Client.Status().Update(ctx, t)
	})
	if apierrors.IsNotFound(err) {
		return 1, 0, nil
	}
	return ordinal, base, err
}
