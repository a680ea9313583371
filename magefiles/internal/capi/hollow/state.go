package hollow

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
)

// The states of a hollow machine, which are the values of the controller's v1beta2.StateAnnotation.
const (
	stateAnnotation = "caslab.local/hollow-state"
	// Sick means that the kubelet of the machine does nothing.
	Sick = "sick"
	// Failed means that the machine also reports a failure.
	Failed = "failed"
)

// machines is the kind of hollow machines.
var machines = schema.GroupKind{Group: Templates.Group, Kind: "HollowMachine"}

// IsMachine reports whether a Machine of Cluster API is a hollow one.
func IsMachine(machine *unstructured.Unstructured) bool {
	return kube.Field(machine, "spec", "infrastructureRef", "kind") == machines.Kind
}

// SetState sets the state of a Machine for which IsMachine is true: Sick or Failed, or empty for a
// machine that is well.
func SetState(ctx context.Context, c *kube.Client, machine *unstructured.Unstructured, state string) error {
	var value any
	if state != "" {
		value = state
	}
	name := kube.Field(machine, "spec", "infrastructureRef", "name")
	err := c.Patch(ctx, machines, machine.GetNamespace(), name, map[string]any{"metadata": map[string]any{"annotations": map[string]any{stateAnnotation: value}}})
	if err != nil {
		return fmt.Errorf("change the state of the machine %s: %w", name, err)
	}
	return nil
}
