// Package kubetest has a kube.Client for tests, of objects in memory.
package kubetest

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/kube"
)

type mapper struct{ *meta.DefaultRESTMapper }

func (mapper) Reset() {}

// Client returns a client of a cluster that knows the kinds and holds the
// objects of a YAML stream. It also returns the store, for a test to look into
// and to make fail.
func Client(t testing.TB, kinds []schema.GroupVersionKind, stream string) (*kube.Client, *dynamicfake.FakeDynamicClient) {
	t.Helper()
	var versions []schema.GroupVersion
	for _, k := range kinds {
		versions = append(versions, k.GroupVersion())
	}
	m := meta.NewDefaultRESTMapper(versions)
	lists := map[schema.GroupVersionResource]string{}
	for _, k := range kinds {
		scope := meta.RESTScopeNamespace
		if k.Kind == "Node" || k.Kind == "Namespace" || strings.HasPrefix(k.Kind, "Cluster") && k.Group != kube.Clusters.Group {
			scope = meta.RESTScopeRoot
		}
		m.Add(k, scope)
		plural, _ := meta.UnsafeGuessKindToResource(k)
		lists[plural] = k.Kind + "List"
	}
	var objects []runtime.Object
	for document := range strings.SplitSeq(stream, "---\n") {
		object := new(unstructured.Unstructured)
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatalf("an object of the test: %v\n%s", err, document)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
	store := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, objects...)
	return kube.New(store, mapper{m}), store
}
