package workload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
)

// claimTemplates are the kind of the templates from which each pod gets its ResourceClaim.
// Kubernetes serves claimsVersion of it since v1.34.
var claimTemplates = schema.GroupKind{Group: "resource.k8s.io", Kind: "ResourceClaimTemplate"}

const claimsVersion = "v1"

// defineClaims creates the template of the pods' ResourceClaims, if they have any. It has the
// workload's name. A template cannot change, so one with other claims is replaced: it acts on
// the pods that are created later.
func (w Workload) defineClaims(ctx context.Context, c *kube.Client) error {
	if len(w.Claims) == 0 {
		return nil
	}
	served, err := c.Serves(ctx, claimTemplates, claimsVersion)
	if err != nil {
		return fmt.Errorf("look for the kind %s: %w", claimTemplates.Kind, err)
	}
	if !served {
		return errors.New("the cluster does not serve resource.k8s.io/v1, the API of devices that pods claim; Kubernetes has it since v1.34")
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
	template.SetGroupVersionKind(claimTemplates.WithVersion(claimsVersion))
	template.SetNamespace(w.Namespace)
	template.SetName(w.Name)
	template.SetLabels(map[string]string{Label: w.Name})
	if err := c.Create(ctx, template); err != nil {
		return fmt.Errorf("create the ResourceClaimTemplate %s: %w", w.Name, err)
	}
	return nil
}

// deleteClaims deletes the template of a workload's ResourceClaims, if there is one. Claims of
// pods go with their pods.
func deleteClaims(ctx context.Context, c *kube.Client, namespace, name string) error {
	template, err := c.Get(ctx, claimTemplates, namespace, name)
	switch {
	case kube.IsAbsent(err) || err == nil && template.GetLabels()[Label] == "":
		return nil
	case err == nil:
		err = c.Delete(ctx, claimTemplates, namespace, name)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete the ResourceClaimTemplate %s: %w", name, err)
	}
	return nil
}
