package engine

import (
	"bytes"
	"context"
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/util/jsonpath"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
)

// collection is a kind in a namespace, whose objects checks are about.
type collection struct {
	kind      schema.GroupKind
	namespace string
}

// collectionOf returns the collection of an object, and the name of the object in it.
func (w *world) collectionOf(o *scenario.ObjectCheck) (of collection, name string, err error) {
	kind := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind).GroupKind()
	namespace, err := w.variables.Expand(o.Namespace)
	if err != nil {
		return of, "", err
	}
	name, err = w.variables.Expand(o.Name)
	return collection{kind, namespace}, name, err
}

// collections returns the collections that checks are about, each once.
func (w *world) collections(checks []scenario.Check) (map[collection]map[string]*unstructured.Unstructured, error) {
	all := map[collection]map[string]*unstructured.Unstructured{}
	for _, c := range checks {
		if c.Object == nil {
			continue
		}
		of, _, err := w.collectionOf(c.Object)
		if err != nil {
			return nil, err
		}
		all[of] = map[string]*unstructured.Unstructured{}
	}
	return all, nil
}

// evalObject evaluates a check of a field. The caller holds mu.
func (w *world) evalObject(o *scenario.ObjectCheck) outcome {
	of, name, err := w.collectionOf(o)
	if err != nil {
		return outcome{seen: err.Error()}
	}
	object := w.objects[of][name]
	switch {
	case object == nil:
		return outcome{holds: o.Absent, seen: "no such " + o.Kind}
	case o.Absent:
		return outcome{seen: fmt.Sprintf("there is a %s %s", o.Kind, name)}
	}
	value, err := at(object, o.Path)
	if err != nil {
		return outcome{seen: fmt.Sprintf("nothing at %s: %v", o.Path, err)}
	}
	is := regexp.MustCompile("^(?:" + o.Is + ")$") // Parse compiled it
	return outcome{holds: is.MatchString(value), seen: fmt.Sprintf("it is %q", value)}
}

// at returns the value of an object at a JSONPath.
func at(o *unstructured.Unstructured, path string) (string, error) {
	expression := jsonpath.New(o.GetKind())
	if err := expression.Parse(path); err != nil {
		return "", err
	}
	var out bytes.Buffer
	err := expression.Execute(&out, o.Object)
	return out.String(), err
}

// refuseUnserved returns an error if a cluster does not serve a kind that a check is about.
func refuseUnserved(ctx context.Context, c *kube.Client, of collection) error {
	if _, err := c.List(ctx, of.kind, of.namespace); err != nil {
		return fmt.Errorf("a check is about the kind %s: %w", of.kind, err)
	}
	return nil
}
