package kubetest

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Object reads an object from YAML.
func Object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := new(unstructured.Unstructured)
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

// Typed reads an object from YAML and converts it with kube.Pod, kube.Node or kube.Event.
func Typed[T any](t *testing.T, to func(*unstructured.Unstructured) (T, error), text string) T {
	t.Helper()
	o, err := to(Object(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}
