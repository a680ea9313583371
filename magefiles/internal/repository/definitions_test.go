package repository

import (
	"errors"
	"slices"
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// devCluster is a definition with a version that is served and one that is not.
const devCluster = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: devclusters.example.com}
spec:
  group: example.com
  names: {kind: DevCluster, listKind: DevClusterList, plural: devclusters, singular: devcluster}
  scope: Namespaced
  versions:
  - name: v1beta1
    served: false
    storage: false
    schema: {openAPIV3Schema: {type: object}}
  - name: v1beta2
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              backend: {type: object, properties: {docker: {type: object}}}
              mounts: {type: array, items: {type: object, properties: {path: {type: string}}}}
              labels: {type: object, additionalProperties: {type: string}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
`

func read(t *testing.T, text string) map[string]any {
	t.Helper()
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func TestMissing(t *testing.T) {
	t.Parallel()
	served := definitions{}
	if err := served.add([]map[string]any{read(t, devCluster), read(t, "{apiVersion: v1, kind: Namespace}")}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"{apiVersion: example.com/v1beta2, kind: DevCluster, metadata: {name: a, labels: {b: c}}, spec: {backend: {docker: {}}}}":                 nil,
		"{apiVersion: example.com/v1beta2, kind: DevCluster, spec: {mounts: [{path: a}], labels: {a: b}, free: {a: {b: c}}}}":                     nil,
		"{apiVersion: v1, kind: ConfigMap, data: {a: b}}":                                                                                         nil,
		"{apiVersion: example.com/v1beta2, kind: DevCluster, spec: {loadBalancer: {}, backend: {memory: {}}, mounts: [{path: a}, {from: here}]}}": {"spec.backend.memory of DevCluster", "spec.loadBalancer of DevCluster", "spec.mounts[1].from of DevCluster"},
		"{apiVersion: example.com/v1beta1, kind: DevCluster, spec: {}}":                                                                           {"DevCluster of example.com/v1beta1"},
		"{apiVersion: example.com/v1beta2, kind: DockerCluster, spec: {}}":                                                                        {"DockerCluster of example.com/v1beta2"},
	} {
		object := &unstructured.Unstructured{Object: read(t, text)}
		before := object.DeepCopy()
		if got := served.missing([]*unstructured.Unstructured{object, object}); !slices.Equal(got, want) {
			t.Errorf("missing for %s: %q, want %q", text, got, want)
		}
		if !equal(object.Object, before.Object) {
			t.Errorf("%s was changed to %v", text, object.Object)
		}
	}
}

func equal(a, b map[string]any) bool {
	x, _ := yaml.Marshal(a)
	y, _ := yaml.Marshal(b)
	return string(x) == string(y)
}

// TestMisfit: Write refuses a tree whose providers cannot take the objects.
func TestMisfit(t *testing.T) {
	t.Parallel()
	write := func(text string) error {
		_, err := Write(t.Context(), Options{
			Tree: smallTree(t, "1.14.2", "example.com/PROGRAM:x"), Version: version.Must(version.NewSemver("1.14.2")), Dir: t.TempDir(),
			Objects: []*unstructured.Unstructured{{Object: read(t, text)}},
		})
		return err
	}
	if err := write("{apiVersion: v1, kind: ConfigMap}"); err != nil {
		t.Error(err)
	}
	var misfit *MisfitError
	if err := write("{apiVersion: example.com/v1, kind: DevCluster}"); !errors.As(err, &misfit) || !strings.Contains(err.Error(), "DevCluster of example.com/v1") {
		t.Errorf("a tree without DevCluster: %v", err)
	}
}
