package capi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
)

// PrunedError is returned if an API server dropped a field of an object, because its definition of
// the kind does not have the field.
type PrunedError struct {
	Kind schema.GroupKind
	Name string
	// Field is the path of the first field that is missing, such as spec.template.spec.node.
	Field string
}

func (e *PrunedError) Error() string {
	return fmt.Sprintf("the cluster drops the field %s of the %s %s: its definition of that kind is an older one", e.Field, e.Kind.Kind, e.Name)
}

// CheckStored reads an object and returns a *PrunedError unless it has all the fields at path.
// Their values are not compared.
func CheckStored(ctx context.Context, c *kube.Client, kind schema.GroupKind, namespace, name string, fields map[string]any, path ...string) error {
	o, err := c.Get(ctx, kind, namespace, name)
	if err != nil {
		return fmt.Errorf("read the %s %s, which was written: %w", kind.Kind, name, err)
	}
	stored, _, _ := unstructured.NestedFieldNoCopy(o.Object, path...)
	if field := dropped(fields, stored, path); field != "" {
		return &PrunedError{Kind: kind, Name: name, Field: field}
	}
	return nil
}

// dropped returns the path of the first field that want has and have lacks; empty if there is
// none.
func dropped(want, have any, path []string) string {
	if have == nil && want != nil {
		return strings.Join(path, ".")
	}
	switch want := want.(type) {
	case map[string]any:
		have, _ := have.(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if field := dropped(want[key], have[key], append(slices.Clone(path), key)); field != "" {
				return field
			}
		}
	case []any:
		have, _ := have.([]any)
		for i := range min(len(want), len(have)) {
			if field := dropped(want[i], have[i], append(slices.Clone(path), fmt.Sprint(i))); field != "" {
				return field
			}
		}
	}
	return ""
}
