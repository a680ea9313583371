package workload

import (
	"context"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
)

// defineClaims creates the template of the pods' ResourceClaims, if they have any. The template has
// the workload's name. A template cannot change, so an existing one is replaced. The new one
// applies to pods that are created later.
func (w Workload) defineClaims(ctx context.Context, c *kube.Client) error {
	if len(w.Claims) == 0 {
		return nil
	}
	if err := c.CheckDevices(ctx, kube.ClaimTemplates); err != nil {
		return err
	}
	if err := deleteClaims(ctx, c, w.Namespace, w.Name); err != nil {
		return err
	}
	var requests []any
	for i, class := range slices.Sorted(maps.Keys(w.Claims)) {
		requests = append(requests, map[string]any{
			"name": fmt.Sprintf("devices-%d", i), "exactly": map[string]any{"deviceClassName": class, "allocationMode": "ExactCount", "count": int64(w.Claims[class])},
		})
	}
	template := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"spec": map[string]any{"devices": map[string]any{"requests": requests}}}}}
	template.SetGroupVersionKind(kube.ClaimTemplates.WithVersion(kube.DevicesVersion))
	template.SetNamespace(w.Namespace)
	template.SetName(w.Name)
	template.SetLabels(map[string]string{Label: w.Name})
	if err := c.Create(ctx, template); err != nil {
		return fmt.Errorf("create the ResourceClaimTemplate %s: %w", w.Name, err)
	}
	return nil
}

// claims reports whether the pods of a Deployment, which may be nil, have ResourceClaims.
func claims(d *unstructured.Unstructured) bool {
	if d == nil {
		return false
	}
	found, _, _ := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "resourceClaims")
	return len(found) > 0
}

// deleteClaims deletes the template of a workload's ResourceClaims, if there is one. The claims of
// pods are deleted with their pods.
func deleteClaims(ctx context.Context, c *kube.Client, namespace, name string) error {
	template, err := claimTemplate(ctx, c, namespace, name)
	if err != nil || template == nil {
		return err
	}
	if err := c.Delete(ctx, kube.ClaimTemplates, namespace, name); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the ResourceClaimTemplate %s: %w", name, err)
	}
	return nil
}

// claimTemplate returns the template of a workload's ResourceClaims; nil if there is none, or
// somebody else's.
func claimTemplate(ctx context.Context, c *kube.Client, namespace, name string) (*unstructured.Unstructured, error) {
	template, err := c.Get(ctx, kube.ClaimTemplates, namespace, name)
	switch {
	case kube.IsAbsent(err) || err == nil && template.GetLabels()[Label] == "":
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for the ResourceClaimTemplate %s: %w", name, err)
	}
	return template, nil
}

// deleteLeftClaims deletes the template of a workload without a Deployment, as an interrupted Add
// leaves it. It returns missing if there is none.
func deleteLeftClaims(ctx context.Context, c *kube.Client, namespace string, missing *MissingError) error {
	template, err := claimTemplate(ctx, c, namespace, missing.Name)
	switch {
	case apierrors.IsForbidden(err) || err == nil && template == nil:
		return missing
	case err != nil:
		return err
	}
	return deleteClaims(ctx, c, namespace, missing.Name)
}
