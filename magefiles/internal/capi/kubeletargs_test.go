package capi

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
)

func TestKubeletArgs(t *testing.T) {
	t.Parallel()
	has := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("24684084Ki"),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
	}
	for capacity, tc := range map[string]struct {
		want map[string]string
		fail string
	}{
		"":                                       {want: map[string]string{}},
		"cpu=2,memory=24684084Ki":                {want: map[string]string{}},
		"cpu=1,memory=4Gi":                       {want: map[string]string{"system-reserved": "cpu=1,memory=20489780Ki"}},
		"cpu=500m,memory=24684084Ki":             {want: map[string]string{"system-reserved": "cpu=1500m"}},
		"cpu=1,memory=4Gi,ephemeral-disk=10Gi":   {want: map[string]string{"system-reserved": "cpu=1,ephemeral-storage=90Gi,memory=20489780Ki"}},
		"cpu=2,memory=1Gi,maxPods=8,gpu-count=1": {want: map[string]string{"system-reserved": "memory=23635508Ki", "max-pods": "8"}},
		"cpu=2001m,memory=1Gi":                   {fail: "capacity cpu=2001m: a node has 2"},
		"cpu=4,memory=64Gi":                      {fail: "capacity cpu=4: a node has 2\ncapacity memory=64Gi: a node has 24684084Ki"},
	} {
		parsed, err := ParseCapacity(capacity)
		if err != nil {
			t.Fatal(err)
		}
		got, err := KubeletArgs(parsed, has)
		if tc.fail != "" {
			if err == nil || err.Error() != tc.fail {
				t.Errorf("KubeletArgs(%s) = %v, want %s", capacity, err, tc.fail)
			}
			continue
		}
		for _, name := range []string{"system-reserved", "max-pods"} {
			if _, ok := tc.want[name]; !ok {
				tc.want[name] = "" // removes that of a group whose templates are taken
			}
		}
		if err != nil || !maps.Equal(got, tc.want) {
			t.Errorf("KubeletArgs(%s) = %v, %v; want %v", capacity, got, err, tc.want)
		}
	}
}

// TestKubeletArgsOfAGroup: the arguments are in the group's own bootstrap template, in the form
// of each version of the API, and those that were there stay.
func TestKubeletArgsOfAGroup(t *testing.T) {
	t.Parallel()
	args := map[string]string{"system-reserved": "cpu=1", "max-pods": "8", "eviction-soft": ""}
	for api, tc := range map[string]struct {
		before any
		want   string
	}{
		"v1alpha3":             {map[string]any{"eviction-hard": "x", "eviction-soft": "y", "node-labels": "a=b", "max-pods": "110"}, "eviction-hard=x max-pods=8 node-labels=a=b,tier=gpu system-reserved=cpu=1"},
		"v1beta1":              {nil, "max-pods=8 node-labels=tier=gpu system-reserved=cpu=1"},
		"v1beta2":              {[]any{map[string]any{"name": "eviction-hard", "value": "x"}, map[string]any{"name": "eviction-soft", "value": "y"}, map[string]any{"name": "node-labels", "value": "a=b"}, map[string]any{"name": "max-pods", "value": "110"}}, "eviction-hard=x max-pods=8 node-labels=a=b,tier=gpu system-reserved=cpu=1"},
		"v1beta2 without them": {nil, "max-pods=8 node-labels=tier=gpu system-reserved=cpu=1"},
	} {
		version, _, _ := strings.Cut(api, " ")
		path := []string{"spec", "template", "spec", "joinConfiguration", "nodeRegistration", "kubeletExtraArgs"}
		bootstrap := &unstructured.Unstructured{Object: map[string]any{}}
		bootstrap.SetGroupVersionKind(bootstrapKind.WithVersion(version))
		if tc.before != nil {
			if err := unstructured.SetNestedField(bootstrap.Object, tc.before, path...); err != nil {
				t.Fatal(err)
			}
		}
		g := group("x")
		g.KubeletArgs, g.Labels = args, map[string]string{"tier": "gpu"}
		if err := g.register(bootstrap); err != nil {
			t.Fatal(err)
		}
		value, _, err := unstructured.NestedFieldNoCopy(bootstrap.Object, path...)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		switch v := value.(type) {
		case map[string]any:
			for name, value := range v {
				got = append(got, name+"="+value.(string))
			}
		case []any:
			for _, a := range v {
				got = append(got, kube.Field(&unstructured.Unstructured{Object: a.(map[string]any)}, "name")+"="+kube.Field(&unstructured.Unstructured{Object: a.(map[string]any)}, "value"))
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %q, want %s", api, got, tc.want)
		}
	}
	if !maps.Equal(args, map[string]string{"system-reserved": "cpu=1", "max-pods": "8", "eviction-soft": ""}) {
		t.Errorf("the caller's arguments became %v", args)
	}
}
