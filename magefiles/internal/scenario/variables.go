package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Variables has the values for ${…} in flags and objects: ${prefix}, ${namespace}
// (of the workloads), ${cluster} and ${clusterNamespace} (the Cluster object, and the namespace
// of Cluster API's objects), ${configNamespace} (the autoscaler's --namespace), and ${nodes},
// which is how many nodes the cluster has before the first step.
// ${nodes+2} and ${nodes-1} are allowed too.
type Variables struct {
	Prefix, Namespace, Cluster, ClusterNamespace, ConfigNamespace string
	Nodes                                                         int
}

var variable = regexp.MustCompile(`\$\{([^}]*)\}`)

var nodesText = regexp.MustCompile(`^nodes([+-]\d+)?$`)

// Expand replaces the variables in text. An unknown variable is an error.
func (v Variables) Expand(text string) (string, error) {
	var errs []error
	out := variable.ReplaceAllStringFunc(text, func(found string) string {
		switch name := found[2 : len(found)-1]; name {
		case "prefix":
			return v.Prefix
		case "namespace":
			return v.Namespace
		case "cluster":
			return v.Cluster
		case "clusterNamespace":
			return v.ClusterNamespace
		case "configNamespace":
			return v.ConfigNamespace
		default:
			m := nodesText.FindStringSubmatch(name)
			if m == nil {
				errs = append(errs, fmt.Errorf("%s: want ${prefix}, ${namespace}, ${cluster}, ${clusterNamespace}, ${configNamespace}, ${nodes} or ${nodes+2}", found))
				return found
			}
			more := 0
			if m[1] != "" {
				n, err := strconv.Atoi(m[1])
				if err != nil {
					errs = append(errs, fmt.Errorf("%s: %w", found, err))
				}
				more = n
			}
			return strconv.Itoa(v.Nodes + more)
		}
	})
	return out, errors.Join(errs...)
}

// Substitute returns a copy of value, which is decoded JSON, in which change was
// applied to every string.
func Substitute(value any, change func(string) (string, error)) (any, error) {
	switch value := value.(type) {
	case string:
		return change(value)
	case map[string]any:
		out := make(map[string]any, len(value))
		for key, inner := range value {
			changed, err := Substitute(inner, change)
			if err != nil {
				return nil, err
			}
			out[key] = changed
		}
		return out, nil
	case []any:
		out := make([]any, len(value))
		for i, inner := range value {
			changed, err := Substitute(inner, change)
			if err != nil {
				return nil, err
			}
			out[i] = changed
		}
		return out, nil
	default:
		return value, nil
	}
}

var multiple = regexp.MustCompile(`^(\d+(?:\.\d+)?)x$`)

// CapacityOf returns the quantity that the capacity of a group stands for: text
// itself, or a multiple of what a worker has.
func CapacityOf(text string, worker resource.Quantity) (string, error) {
	if m := multiple.FindStringSubmatch(text); m != nil {
		factor, err := strconv.ParseFloat(m[1], 64)
		if err == nil && factor > 0 && factor <= 100 {
			return resource.NewQuantity(int64(float64(worker.Value())*factor), worker.Format).String(), nil
		}
	} else if q, err := resource.ParseQuantity(text); err == nil && q.Sign() > 0 {
		return text, nil
	}
	return "", fmt.Errorf("%q: want a quantity such as 16Gi, or a multiple of a worker's such as 2x", text)
}
