package kube_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

var objectKinds = []schema.GroupVersionKind{{Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "Namespace"}}

func configMap(data string) []byte {
	return []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\ndata: " + data + "\n")
}

func TestApply(t *testing.T) {
	t.Parallel()
	bubble("owns what it applies", t, func(t *testing.T) {
		s := kubetest.New(t, objectKinds, "")
		c := s.Client()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, manifest := range [][]byte{configMap("{one: old, two: old}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}"), configMap("{one: new}")} {
			if err := c.Apply(ctx, manifest); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(manifest), "old") { // another one's field
				s.Merge("another", kube.ConfigMaps, "default", "a", map[string]any{"data": map[string]any{"theirs": "z", "one": "theirs"}})
			}
		}
		o := s.Get(kube.ConfigMaps, "default", "a")
		if data, _, _ := unstructured.NestedStringMap(o.Object, "data"); len(data) != 2 || data["one"] != "new" || data["theirs"] != "z" {
			t.Errorf("data %v; want what was applied last, and what is another's", data)
		}
		if managers := o.GetManagedFields(); len(managers) == 0 || managers[0].Manager != "caslab" {
			t.Errorf("managed by %v, want caslab", managers)
		}
		if s.Get(kube.Namespaces, "", "b") == nil {
			t.Error("the second object was not applied")
		}
	})
	bubble("waits for the kind", t, func(t *testing.T) {
		s := kubetest.New(t, nil, "")
		go func() {
			time.Sleep(time.Minute)
			s.Define(objectKinds...)
		}()
		if err := s.Client().Apply(t.Context(), configMap("{}")); err != nil || s.Get(kube.ConfigMaps, "default", "a") == nil {
			t.Errorf("Apply() = %v", err)
		}
	})
	for name, tc := range map[string]struct {
		answer error
		took   time.Duration
		want   string
	}{
		"a webhook that comes up": {apierrors.NewInternalError(errors.New("failed calling webhook")), time.Minute, "waited for ConfigMap a to be accepted: context deadline exceeded; last: "},
		"a refusal for good":      {apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "a", nil), 0, `wanted ConfigMap a to be accepted: ConfigMap "a" is invalid`},
		"no object":               {apierrors.NewBadRequest("what is this"), 0, "wanted ConfigMap a to be accepted: what is this"},
	} {
		bubble(name, t, func(t *testing.T) {
			s := kubetest.New(t, objectKinds, "")
			s.Intercept(func(q kubetest.Request) error {
				if q.Verb == "apply" {
					return tc.answer
				}
				return nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begun := time.Now()
			err := s.Client().Apply(ctx, configMap("{}"))
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) || time.Since(begun) != tc.took {
				t.Errorf("Apply() = %v after %s, want %q", err, time.Since(begun), tc.want)
			}
		})
	}
}

func TestObjects(t *testing.T) {
	t.Parallel()
	s := kubetest.New(t, objectKinds, string(configMap("{one: x}")))
	s.Intercept(func(q kubetest.Request) error {
		if q.Verb == "delete" && !strings.Contains(string(q.Body), `"propagationPolicy":"Background"`) {
			t.Errorf("deleted with %s; want what the object owns to go after it", q.Body)
		}
		return nil
	})
	c := s.Client()
	ctx := t.Context()
	if err := c.Patch(ctx, kube.ConfigMaps, "default", "a", map[string]any{"data": map[string]any{"one": nil, "two": "x"}}); err != nil {
		t.Fatal(err)
	}
	o, err := c.Get(ctx, kube.ConfigMaps, "default", "a")
	if data, _, _ := unstructured.NestedStringMap(o.Object, "data"); err != nil || len(data) != 1 || data["two"] != "x" {
		t.Errorf("Get() = %v, %v", data, err)
	}
	if err := c.Create(ctx, o); !apierrors.IsAlreadyExists(err) && !apierrors.IsBadRequest(err) {
		t.Errorf("Create() of what is there = %v", err)
	}
	o.SetName("b")
	o.SetResourceVersion("")
	o.SetManagedFields(nil)
	if err := c.Create(ctx, o); err != nil {
		t.Errorf("Create() = %v", err)
	}
	for namespace, want := range map[string]int{"": 2, "default": 2, "other": 0} {
		if all, err := c.List(ctx, kube.ConfigMaps, namespace); err != nil || len(all) != want {
			t.Errorf("List(%s) = %d, %v", namespace, len(all), err)
		}
	}
	for _, want := range []bool{true, false} {
		if err := c.Delete(ctx, kube.ConfigMaps, "default", "a"); want && err != nil || !want && !apierrors.IsNotFound(err) {
			t.Errorf("Delete() = %v", err)
		}
	}
	if err := c.Patch(ctx, kube.ConfigMaps, "default", "a", nil); !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "ConfigMap a") {
		t.Errorf("Patch() of what is gone = %v", err)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	bubble("waits", t, func(t *testing.T) {
		s := kubetest.New(t, nil, "")
		begun := time.Now()
		s.Intercept(func(q kubetest.Request) error {
			switch {
			case q.Verb != "readyz":
				t.Errorf("asked for %s", q.Path)
			case time.Since(begun) < 3*time.Second:
				return kubetest.ErrHangUp
			case time.Since(begun) < 6*time.Second:
				return apierrors.NewGenericServerResponse(http.StatusInternalServerError, "", schema.GroupResource{}, "", "etcd failed", 0, true)
			}
			return nil
		})
		c := s.Client()
		if err := c.Answers(t.Context()); err == nil {
			t.Error("Answers() of an API server that is not ready gives no error")
		}
		if err := c.WaitAnswers(t.Context()); err != nil || time.Since(begun) != 6*time.Second {
			t.Errorf("WaitAnswers() = %v after %s", err, time.Since(begun))
		}
		if err := c.Answers(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestAnotherServerAnswers: another program, which is not an API server, may listen at
// the port now.
func TestAnotherServerAnswers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }))
	defer server.Close()
	c, err := kube.ForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Answers(t.Context()); err == nil || !strings.Contains(err.Error(), "<html>") {
		t.Errorf("Answers() = %v", err)
	}
}

func TestTyped(t *testing.T) {
	t.Parallel()
	pod := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "p", "namespace": "default"},
		"spec":   map[string]any{"nodeName": "n", "aFieldOfTheFuture": true},
		"status": map[string]any{"containerStatuses": []any{map[string]any{"name": "c", "restartCount": int64(3)}}},
	}}
	p, err := kube.Pod(pod)
	if err != nil || p.Spec.NodeName != "n" || p.Status.ContainerStatuses[0].RestartCount != 3 {
		t.Errorf("Pod() = %v, %v", p, err)
	}
	pod.Object["spec"] = "what is this"
	if _, err := kube.Pod(pod); err == nil || !strings.Contains(err.Error(), "the Pod default/p") {
		t.Errorf("Pod() of no pod = %v; want its name", err)
	}
	if n, err := kube.Node(node("n", "1", "True")); err != nil || n.Status.Conditions[0].Status != corev1.ConditionTrue {
		t.Errorf("Node() = %v, %v", n, err)
	}
	deployment := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{}}}}}
	if image := kube.FirstImage(deployment); image != "" {
		t.Errorf("FirstImage() of no container = %q", image)
	}
	_ = unstructured.SetNestedSlice(deployment.Object, []any{map[string]any{"image": "a:1"}, map[string]any{"image": "b:1"}}, "spec", "template", "spec", "containers")
	if image := kube.FirstImage(deployment); image != "a:1" {
		t.Errorf("FirstImage() = %q", image)
	}
	if e, err := kube.Event(&unstructured.Unstructured{Object: map[string]any{"involvedObject": map[string]any{"name": "p"}, "count": int64(2)}}); err != nil || e.Count != 2 || e.InvolvedObject.Name != "p" {
		t.Errorf("Event() = %v, %v", e, err)
	}
}
