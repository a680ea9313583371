package env

import (
	"testing"

	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi"
)

func TestAnnotationPrefix(t *testing.T) {
	t.Parallel()
	for v, want := range map[string]string{
		"1.18.0": capi.OldPrefix, "1.18.2": capi.OldPrefix, "1.18.3": capi.Prefix, "1.19.0": capi.OldPrefix, "1.19.1": capi.Prefix,
		"1.36.1": capi.Prefix, "1.37.0-beta.1": capi.Prefix,
	} {
		if got := annotationPrefix(version.Must(version.NewSemver(v))); got != want {
			t.Errorf("%s reads %s, want %s", v, got, want)
		}
	}
}

func TestIsAutoscaler(t *testing.T) {
	t.Parallel()
	for _, d := range []struct {
		name, image string
		want        bool
	}{
		{"caslab-autoscaler", "example.com/mine:1", true},
		{"cluster-autoscaler-clusterapi", "example.com/mine:1", true},
		{"mine", "registry.example/autoscaling/cluster-autoscaler:v1.36.1", true},
		{"coredns", "example.com/coredns:1", false},
	} {
		o := &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"name": d.name},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"name": "manager", "image": d.image}},
			}}},
		}}
		if got := isAutoscaler(o); got != d.want {
			t.Errorf("%s of %s: %v, want %v", d.name, d.image, got, d.want)
		}
	}
}
