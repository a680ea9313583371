package actions

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
)

// ClientOf returns the client of the cluster that has the objects of a kind: those of Cluster
// API and its providers are in the management cluster.
func ClientOf(kind schema.GroupKind, workload, management *kube.Client) *kube.Client {
	if kind.Group == kube.Clusters.Group || strings.HasSuffix(kind.Group, "."+kube.Clusters.Group) {
		return management
	}
	return workload
}

func (c *Cluster) clientOf(kind schema.GroupKind) *kube.Client {
	return ClientOf(kind, c.Workload, c.Management)
}

// object returns a manifest of the scenario with the variables replaced and the label of
// scenarios added, also to the pods that it makes.
func (c *Cluster) object(manifest map[string]any) (*unstructured.Unstructured, error) {
	filled, err := scenario.Substitute(manifest, c.Variables().Expand)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{Object: filled.(map[string]any)}
	paths := [][]string{{"metadata", "labels"}}
	if _, makesPods, _ := unstructured.NestedMap(object.Object, "spec", "template"); makesPods && slices.Contains(scenario.Owners, object.GetKind()) {
		paths = append(paths, []string{"spec", "template", "metadata", "labels"})
	}
	for _, path := range paths {
		if err := unstructured.SetNestedField(object.Object, c.Scenario.Name, append(path, objectLabel)...); err != nil {
			return nil, fmt.Errorf("label the %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return object, nil
}

// refuseForeign returns an error if there is an object of that name that no scenario created. If
// the object is a scenario's and is being deleted, it waits until the object is gone, because a
// change would be lost.
func (c *Cluster) refuseForeign(ctx context.Context, o *unstructured.Unstructured) error {
	kind := o.GroupVersionKind().GroupKind()
	there, err := c.clientOf(kind).Get(ctx, kind, o.GetNamespace(), o.GetName())
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("look for the %s %s: %w", kind.Kind, o.GetName(), err)
	case there.GetLabels()[objectLabel] == "":
		return fmt.Errorf("there is a %s %s/%s that no scenario created; delete or rename it, and run the scenario again", kind.Kind, o.GetNamespace(), o.GetName())
	case there.GetDeletionTimestamp() == nil:
		return nil
	}
	if err := c.clientOf(kind).WaitDeletion(ctx, kind, o.GetNamespace(), o.GetName(), nil); err != nil {
		return fmt.Errorf("make the %s %s again: %w", kind.Kind, o.GetName(), err)
	}
	return nil
}

// ApplyObjects creates the scenario's objects. It refuses to replace an object that
// no scenario created.
func (c *Cluster) ApplyObjects(ctx context.Context) error {
	for _, o := range c.Scenario.Objects {
		object, err := c.object(o)
		if err != nil {
			return err
		}
		if err := c.refuseForeign(ctx, object); err != nil {
			return err
		}
		if err := c.clientOf(object.GroupVersionKind().GroupKind()).Create(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("make the %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// apply creates an object or changes it. It refuses to change an object that no scenario
// created.
func (c *Cluster) apply(ctx context.Context, manifest map[string]any) error {
	object, err := c.object(manifest)
	if err != nil {
		return err
	}
	return c.applyOwn(ctx, object)
}

// patch merges the fields of a manifest into the object that it names.
func (c *Cluster) patch(ctx context.Context, manifest map[string]any) error {
	filled, err := scenario.Substitute(manifest, c.Variables().Expand)
	if err != nil {
		return err
	}
	named := &unstructured.Unstructured{Object: filled.(map[string]any)}
	kind, namespace, name := named.GroupVersionKind().GroupKind(), named.GetNamespace(), named.GetName()
	there, err := c.clientOf(kind).Get(ctx, kind, namespace, name)
	if err != nil {
		return fmt.Errorf("read the %s %s: %w", kind.Kind, name, err)
	}
	if there.GetLabels()[objectLabel] == "" {
		return fmt.Errorf("no scenario created the %s %s/%s, so it is not changed", kind.Kind, namespace, name)
	}
	patch := named.DeepCopy()
	for _, path := range [][]string{{"apiVersion"}, {"kind"}, {"metadata", "name"}, {"metadata", "namespace"}} {
		unstructured.RemoveNestedField(patch.Object, path...)
	}
	return c.clientOf(kind).Patch(ctx, kind, namespace, name, patch.Object)
}

// deleteObject deletes an object of the scenario, which is given as Kind/name.
func (c *Cluster) deleteObject(ctx context.Context, name string) error {
	for _, o := range c.Scenario.Manifests() {
		if scenario.ObjectName(o) != name {
			continue
		}
		object, err := c.object(o)
		if err != nil {
			return err
		}
		kind := object.GroupVersionKind().GroupKind()
		return c.clientOf(kind).Delete(ctx, kind, object.GetNamespace(), object.GetName())
	}
	return fmt.Errorf("the scenario has no %s", name)
}
