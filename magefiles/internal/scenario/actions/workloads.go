package actions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/pods"
	"caslab/magefiles/internal/workload"
)

// ownerKinds are the kinds of scenario.Owners. Those that own pods come before the pods.
var ownerKinds = map[string]schema.GroupKind{
	scenario.Deployment: kube.Deployments, scenario.StatefulSet: {Group: "apps", Kind: "StatefulSet"},
	scenario.DaemonSet: {Group: "apps", Kind: "DaemonSet"}, scenario.Job: {Group: "batch", Kind: "Job"}, scenario.BarePod: kube.Pods,
}

// priorityClasses is the kind of what gives pods a priority that is a number.
var priorityClasses = schema.GroupKind{Group: "scheduling.k8s.io", Kind: "PriorityClass"}

// makeWorkload creates a workload or changes it.
func (c *Cluster) makeWorkload(ctx context.Context, w *scenario.Workload) error {
	o, err := c.measure(ctx, w)
	if err != nil {
		return err
	}
	c.measured[w.Name] = o
	return c.applyWorkload(ctx, w, o)
}

// measure returns what the pods of a workload request, measured by the workers that exist at the
// moment.
func (c *Cluster) measure(ctx context.Context, w *scenario.Workload) (o pods.Options, err error) {
	namespace, err := c.namespaceOf(w)
	if err != nil {
		return o, err
	}
	o = pods.Options{Labels: c.labels(), Expand: c.Variables().Expand}
	if o.Memory, err = c.share(ctx, w.Memory, corev1.ResourceMemory); err != nil {
		return o, err
	}
	if o.CPU, err = c.share(ctx, w.CPU, corev1.ResourceCPU); err != nil {
		return o, err
	}
	selector := map[string]string{poolLabel: c.Prefix + w.Pool}
	maps.Copy(selector, w.Select)
	base, err := workload.Workload{
		Name: c.Prefix + w.Name, Namespace: namespace, Replicas: w.Pods, Memory: o.Memory,
		NodeSelector: selector, Tolerations: w.Tolerate, Extra: c.labels(),
	}.Manifest(ctx, c.Workload)
	if err != nil {
		return o, err
	}
	if w.Memory == "" && w.CPU == "" {
		memory := base.Spec.Template.Spec.Containers[0].Resources.Requests[corev1.ResourceMemory]
		o.Memory = memory.String()
	}
	o.Base = *base
	return o, nil
}

// applyWorkload creates a workload or changes it. Its pods request what was measured.
func (c *Cluster) applyWorkload(ctx context.Context, w *scenario.Workload, o pods.Options) error {
	manifests, err := pods.Manifests(w, o)
	if err != nil {
		return err
	}
	for _, m := range manifests {
		if err := c.applyOwn(ctx, m); err != nil {
			return err
		}
	}
	c.made[w.Name] = w
	if w.OwnerKind() == scenario.BarePod {
		return c.deleteBarePods(ctx, w, o.Base.Namespace)
	}
	return nil
}

// madeWorkload returns a workload that a step made, by its name in the scenario.
func (c *Cluster) madeWorkload(name string) (*scenario.Workload, error) {
	w := c.made[name]
	if w == nil {
		return nil, fmt.Errorf("no earlier step made the workload %s", name)
	}
	return w, nil
}

// namespaceOf returns the namespace of a workload's pods.
func (c *Cluster) namespaceOf(w *scenario.Workload) (string, error) {
	if w.Namespace == "" {
		return c.PodNamespace, nil
	}
	return c.Variables().Expand(w.Namespace)
}

// applyOwn applies an object of the scenario. It refuses to change an object that no
// scenario created.
func (c *Cluster) applyOwn(ctx context.Context, o *unstructured.Unstructured) error {
	if err := c.refuseForeign(ctx, o); err != nil {
		return err
	}
	manifest, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write the manifest of %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	if err := c.clientOf(o.GroupVersionKind().GroupKind()).Apply(ctx, manifest); err != nil {
		return fmt.Errorf("apply the %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

// share returns a percentage of the smallest worker's allocatable resource as a quantity;
// empty for no percentage.
func (c *Cluster) share(ctx context.Context, percentage string, name corev1.ResourceName) (string, error) {
	if percentage == "" {
		return "", nil
	}
	percent, err := scenario.Percentage(percentage)
	if err != nil {
		return "", err
	}
	workers, err := c.workers(ctx)
	if err != nil {
		return "", err
	}
	return shareOf(workers, name, percent)
}

// shareOf returns a percentage of the smallest worker's allocatable memory or cpu as a
// quantity, at least 1Mi or 1m.
func shareOf(workers []corev1.Node, name corev1.ResourceName, percent int) (string, error) {
	var least int64
	for _, n := range workers {
		quantity := n.Status.Allocatable[name]
		offered := quantity.MilliValue()
		if name == corev1.ResourceMemory {
			offered = quantity.Value()
		}
		if offered <= 0 {
			return "", fmt.Errorf("the node %s does not report its allocatable %s", n.Name, name)
		}
		if least == 0 || offered < least {
			least = offered
		}
	}
	if name == corev1.ResourceCPU {
		return resource.NewMilliQuantity(max(least*int64(percent)/100, 1), resource.DecimalSI).String(), nil
	}
	const mebi = 1 << 20
	return fmt.Sprintf("%dMi", max(least/100*int64(percent)/mebi, 1)), nil
}

// scaleWorkload changes the number of a workload's pods.
func (c *Cluster) scaleWorkload(ctx context.Context, s *scenario.Scale) error {
	w, err := c.madeWorkload(s.Workload)
	if err != nil {
		return err
	}
	namespace, err := c.namespaceOf(w)
	if err != nil {
		return err
	}
	scaled := *w
	scaled.Pods = s.Pods
	field := "replicas"
	switch w.OwnerKind() {
	case scenario.BarePod:
		// The requests of a pod cannot be changed, and the smallest worker may be another one now.
		return c.applyWorkload(ctx, &scaled, c.measured[w.Name])
	case scenario.Job:
		field = "parallelism"
	}
	err = c.Workload.Patch(ctx, ownerKinds[w.OwnerKind()], namespace, c.Prefix+w.Name, map[string]any{"spec": map[string]any{field: s.Pods}})
	if err == nil {
		c.made[w.Name] = &scaled
	}
	return err
}

// deleteBarePods deletes the pods without an owner that are more than a workload wants.
func (c *Cluster) deleteBarePods(ctx context.Context, w *scenario.Workload, namespace string) error {
	all, err := c.podsOf(ctx, w)
	if err != nil {
		return err
	}
	for i := range all {
		name := all[i].GetName()
		n, err := strconv.Atoi(name[len(c.Prefix+w.Name)+1:])
		if err != nil || n <= w.Pods {
			continue
		}
		if err := c.Workload.Delete(ctx, kube.Pods, namespace, name); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete the pod %s: %w", name, err)
		}
	}
	return nil
}

// podsOf returns the pods of a workload that are not being deleted.
func (c *Cluster) podsOf(ctx context.Context, w *scenario.Workload) ([]unstructured.Unstructured, error) {
	namespace, err := c.namespaceOf(w)
	if err != nil {
		return nil, err
	}
	all, err := c.Workload.List(ctx, kube.Pods, namespace)
	return slices.DeleteFunc(all, func(p unstructured.Unstructured) bool {
		return p.GetLabels()[workload.Label] != c.Prefix+w.Name || p.GetDeletionTimestamp() != nil
	}), err
}

// deleteWorkload deletes a workload and waits until its pods are gone.
func (c *Cluster) deleteWorkload(ctx context.Context, name string, progress func(string)) error {
	w, err := c.madeWorkload(name)
	if err != nil {
		return err
	}
	namespace, err := c.namespaceOf(w)
	if err != nil {
		return err
	}
	if w.OwnerKind() == scenario.BarePod {
		none := *w
		none.Pods = 0
		err = c.deleteBarePods(ctx, &none, namespace)
	} else {
		err = c.Workload.Delete(ctx, ownerKinds[w.OwnerKind()], namespace, c.Prefix+name)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the workload %s: %w", name, err)
	}
	delete(c.made, name)
	return c.Workload.Wait(ctx, kube.Pods, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		left := 0
		for _, p := range all {
			if p.GetLabels()[workload.Label] == c.Prefix+name {
				left++
			}
		}
		return left == 0, fmt.Sprintf("%d pods to go", left)
	}, progress)
}

// annotate changes annotations of the pods that a workload has now.
func (c *Cluster) annotate(ctx context.Context, a *scenario.Annotate) error {
	w, err := c.madeWorkload(a.Workload)
	if err != nil {
		return err
	}
	all, err := c.podsOf(ctx, w)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("the workload %s has no pods", a.Workload)
	}
	patch := annotated(values(a.Annotations))
	for i := range all {
		if err := c.Workload.Patch(ctx, kube.Pods, all[i].GetNamespace(), all[i].GetName(), patch); err != nil {
			return err
		}
	}
	return nil
}

// values returns the values of a patch; nil removes a key.
func values(keys map[string]*string) map[string]any {
	all := map[string]any{}
	for key, value := range keys {
		all[key] = nil
		if value != nil {
			all[key] = *value
		}
	}
	return all
}

// killPods ends the pods of scenarios, whose owners are deleted, so that their nodes are
// drained at once.
func (c *Cluster) killPods(ctx context.Context, progress func(string)) error {
	for {
		all, err := c.Workload.List(ctx, kube.Pods, "")
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(p unstructured.Unstructured) bool { return !c.created(&p) })
		if len(all) == 0 {
			return nil
		}
		progress(fmt.Sprintf("%d pods to go", len(all)))
		err = inParallel(len(all), func(i int) error {
			if err := c.Workload.Kill(ctx, kube.Pods, all[i].GetNamespace(), all[i].GetName()); err != nil && !apierrors.IsNotFound(err) {
				return fmt.Errorf("delete the pod %s: %w", all[i].GetName(), err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		// An owner may make pods until it is gone.
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return fmt.Errorf("wait for %d pods to go: %w", len(all), context.Cause(ctx))
		}
	}
}

// deleteLabelled deletes the objects of a kind that scenarios created.
func (c *Cluster) deleteLabelled(ctx context.Context, kind schema.GroupKind) error {
	client := c.clientOf(kind)
	objects, err := client.List(ctx, kind, "")
	if err != nil {
		if meta.IsNoMatchError(err) { // the cluster does not have the kind
			return nil
		}
		return err
	}
	var errs []error
	for i := range objects {
		o := &objects[i]
		if !c.created(o) {
			continue
		}
		if err := client.Delete(ctx, kind, o.GetNamespace(), o.GetName()); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete the %s %s: %w", kind.Kind, o.GetName(), err))
		}
	}
	return errors.Join(errs...)
}
