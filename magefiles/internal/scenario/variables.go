package scenario

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Variables are what the texts of flags and objects may hold in ${…}: prefix,
// namespace (that of workloads), configNamespace (the autoscaler's
// --namespace), and nodes, how many the cluster has before the first step,
// also as ${nodes+2} or ${nodes-1}.
type Variables struct {
	Prefix, Namespace, ConfigNamespace string
	Nodes                              int
}

var variable = regexp.MustCompile(`\$\{([^}]*)\}`)

var nodesText = regexp.MustCompile(`^nodes([+-]\d+)?$`)

// Expand fills in text.
func (v Variables) Expand(text string) (string, error) {
	var errs []error
	out := variable.ReplaceAllStringFunc(text, func(found string) string {
		switch name := found[2 : len(found)-1]; name {
		case "prefix":
			return v.Prefix
		case "namespace":
			return v.Namespace
		case "configNamespace":
			return v.ConfigNamespace
		default:
			m := nodesText.FindStringSubmatch(name)
			if m == nil {
				errs = append(errs, fmt.Errorf("%s: want ${prefix}, ${namespace}, ${configNamespace}, ${nodes} or ${nodes+2}", found))
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

// Substitute returns value with its texts changed; maps and lists are new.
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

// Percentage reads 40%.
func Percentage(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err != nil || !strings.HasSuffix(text, "%") || n < 1 || n > 100 {
		return 0, fmt.Errorf("%q: want a percentage of a worker's memory, 1%% to 100%%", text)
	}
	return n, nil
}

var multiple = regexp.MustCompile(`^(\d+(?:\.\d+)?)x$`)

func checkCapacity(key, value string) error {
	if key != "cpu" && key != "memory" {
		return fmt.Errorf("%q: want cpu or memory", key)
	}
	_, err := CapacityOf(value, resource.MustParse("1Gi"))
	return err
}

// CapacityOf is what a group's capacity says, of a worker's.
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
