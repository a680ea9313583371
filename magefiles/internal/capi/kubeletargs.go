package capi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi/release"
)

// reservable has the names of the resources that a kubelet can keep back from pods, by the
// names of the capacity that ParseCapacity reads. The option system-reserved takes them:
// cmd/kubelet/app/options/options.go of Kubernetes v1.17.2 to v1.37.2.
var reservable = map[string]corev1.ResourceName{
	"cpu": corev1.ResourceCPU, "memory": corev1.ResourceMemory, "ephemeral-disk": corev1.ResourceEphemeralStorage,
}

// TooLargeError is returned for a capacity that a node does not have.
type TooLargeError struct {
	// Name is the name of the capacity, such as memory.
	Name string
	// Wanted and Has are quantities.
	Wanted, Has string
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("capacity %s=%s: a node has %s", e.Name, e.Wanted, e.Has)
}

// KubeletArgs returns the kubelet's arguments that reserve what a node has above the capacity,
// which ParseCapacity returns. system-reserved is empty if that is nothing. It returns a
// *TooLargeError for each capacity that the node lacks. What a kubelet cannot reserve, such as
// a GPU, has no argument.
func KubeletArgs(capacity map[string]string, has corev1.ResourceList) (map[string]string, error) {
	var reserved []string
	args := map[string]string{"max-pods": capacity["maxPods"]}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(capacity)) {
		kind, ok := reservable[name]
		if !ok {
			continue
		}
		wanted, err := resource.ParseQuantity(capacity[name])
		if err != nil {
			return nil, fmt.Errorf("capacity %s=%s: %w", name, capacity[name], err)
		}
		total := has[kind]
		rest := total.DeepCopy()
		rest.Sub(wanted)
		switch rest.Sign() {
		case -1:
			errs = append(errs, &TooLargeError{Name: name, Wanted: capacity[name], Has: total.String()})
		case 1:
			reserved = append(reserved, string(kind)+"="+rest.String())
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	args["system-reserved"] = strings.Join(reserved, ",")
	return args, nil
}

// setKubeletArgs sets the arguments of the group's kubelets in its bootstrap template. The
// template's own labels of nodes stay.
func (g NodeGroup) setKubeletArgs(bootstrap *unstructured.Unstructured, path ...string) error {
	value, found, err := unstructured.NestedFieldCopy(bootstrap.Object, path...)
	if err != nil {
		return fmt.Errorf("read the kubelet's arguments of %s: %w", g.Name, err)
	}
	args, isMap := value.(map[string]any)
	list, _ := value.([]any)
	set := map[string]string{}
	maps.Copy(set, g.KubeletArgs)
	if len(g.Labels) > 0 {
		before := args[nodeLabels]
		for _, a := range list {
			if nameOf(a) == nodeLabels {
				before = a.(map[string]any)["value"]
			}
		}
		set[nodeLabels] = g.withLabels(before)
	}
	if isMap || !found && !release.APIOf(bootstrap.GroupVersionKind().Version).ArgsAreList {
		if args == nil {
			args = map[string]any{}
		}
		for name, arg := range set {
			if args[name] = arg; arg == "" {
				delete(args, name)
			}
		}
		return unstructured.SetNestedMap(bootstrap.Object, args, path...)
	}
	list = slices.DeleteFunc(list, func(a any) bool { _, replaced := set[nameOf(a)]; return replaced })
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] != "" {
			list = append(list, map[string]any{"name": name, "value": set[name]})
		}
	}
	return unstructured.SetNestedSlice(bootstrap.Object, list, path...)
}

// nameOf returns the name of an argument in a list of them.
func nameOf(argument any) string {
	fields, _ := argument.(map[string]any)
	name, _ := fields["name"].(string)
	return name
}

// nodeLabels is the kubelet's argument with the labels of its node.
const nodeLabels = "node-labels"

// withLabels adds the group's labels to those that the template has.
func (g NodeGroup) withLabels(before any) string {
	if text, ok := before.(string); ok && text != "" {
		return text + "," + JoinLabels(g.Labels)
	}
	return JoinLabels(g.Labels)
}
