package workload

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

// TestClaims: the template of the claims comes with the workload, changes with it and goes with it.
// A template of somebody else stays.
func TestClaims(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t, append(kinds, kube.ClaimTemplates.WithVersion(kube.DevicesVersion)), cluster+`---
{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: scale-up, namespace: default}}
`)
	w := Workload{Name: "train", Namespace: "default", Replicas: 1, Claims: map[string]int{"b.example.com": 2, "a.example.com": 1}}
	for _, n := range []int{2, 3} {
		w.Claims["b.example.com"] = n
		if _, err := w.Add(t.Context(), server.Client()); err != nil {
			t.Fatal(err)
		}
	}
	template := server.Get(kube.ClaimTemplates, "default", "train")
	if got := kube.Field(template, "spec", "spec", "devices", "requests"); !strings.Contains(got, "deviceClassName:a.example.com") || !strings.Contains(got, "count:3 deviceClassName:b.example.com") {
		t.Errorf("each pod claims %s", got)
	}
	d, err := kube.Deployment(server.Get(kube.Deployments, "default", "train"))
	if err != nil || *d.Spec.Template.Spec.ResourceClaims[0].ResourceClaimTemplateName != "train" || len(d.Spec.Template.Spec.Containers[0].Resources.Claims) != 1 {
		t.Errorf("the pods are %+v, %v", d, err)
	}
	for _, name := range []string{"train", "scale-up"} {
		if err := Delete(t.Context(), server.Client(), "default", name, nil); err != nil {
			t.Fatal(err)
		}
	}
	if left := server.List(kube.ClaimTemplates); len(left) != 1 || left[0].GetName() != "scale-up" {
		t.Errorf("the templates %v are left", left)
	}
	if _, err := w.Add(t.Context(), kubetest.New(t, kinds, cluster).Client()); err == nil || !strings.Contains(err.Error(), "Kubernetes has it since v1.34") {
		t.Errorf("a cluster without the API: %v", err)
	}
}

// TestClaimsThatAnInterruptionLeft: the template of a workload whose Deployment is not there, or
// claims nothing any more, does not stay.
func TestClaimsThatAnInterruptionLeft(t *testing.T) {
	t.Parallel()
	withDevices := append(slices.Clone(kinds), kube.ClaimTemplates.WithVersion(kube.DevicesVersion))
	for name, lose := range map[string]func(*testing.T, *kubetest.Server){
		"without its Deployment": func(_ *testing.T, s *kubetest.Server) { s.Remove(kube.Deployments, "default", "train") },
		"with other pods": func(t *testing.T, s *kubetest.Server) {
			if _, err := (Workload{Name: "train", Namespace: "default", Replicas: 1}).Add(t.Context(), s.Client()); err != nil {
				t.Fatal(err)
			}
		},
		"deleted in part": func(t *testing.T, s *kubetest.Server) {
			ctx, stop := context.WithCancel(t.Context())
			s.Intercept(func(r kubetest.Request) error {
				if r.Verb == "delete" && r.Resource == "deployments" {
					stop()
				}
				return nil
			})
			_ = Delete(ctx, s.Client(), "default", "train", nil) // it is stopped
			if left := s.List(kube.ClaimTemplates); len(left) > 0 {
				t.Error("the template is deleted after the Deployment, by which the workload is known")
			}
		},
	} {
		server := kubetest.New(t, withDevices, cluster)
		w := Workload{Name: "train", Namespace: "default", Replicas: 1, Claims: map[string]int{"a.example.com": 1}}
		if _, err := w.Add(t.Context(), server.Client()); err != nil {
			t.Fatal(err)
		}
		lose(t, server)
		if err := Delete(t.Context(), server.Client(), "default", "train", nil); err != nil && !errors.As(err, new(*MissingError)) {
			t.Errorf("%s: Delete() = %v", name, err)
		}
		if left := server.List(kube.ClaimTemplates); len(left) > 0 {
			t.Errorf("%s: the templates %v are left", name, left)
		}
		if err := Delete(t.Context(), server.Client(), "default", "train", nil); !errors.As(err, new(*MissingError)) {
			t.Errorf("%s: Delete() of what is gone = %v", name, err)
		}
	}
}

// TestOtherPodsNeedNoRightOnClaims: a user who may not read the templates of claims deletes
// workloads without claims.
func TestOtherPodsNeedNoRightOnClaims(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t, append(slices.Clone(kinds), kube.ClaimTemplates.WithVersion(kube.DevicesVersion)), cluster)
	if _, err := (Workload{Name: "web", Namespace: "default", Replicas: 1}).Add(t.Context(), server.Client()); err != nil {
		t.Fatal(err)
	}
	server.Intercept(func(r kubetest.Request) error {
		if r.Resource == "resourceclaimtemplates" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: r.Resource}, r.Name, errors.New("no right"))
		}
		return nil
	})
	if err := Delete(t.Context(), server.Client(), "default", "web", nil); err != nil || server.Get(kube.Deployments, "default", "web") != nil {
		t.Errorf("Delete() = %v", err)
	}
	if err := Delete(t.Context(), server.Client(), "default", "web", nil); !errors.As(err, new(*MissingError)) {
		t.Errorf("Delete() of what is gone = %v", err)
	}
}

func TestBadDevices(t *testing.T) {
	t.Parallel()
	for want, w := range map[string]Workload{
		`device "gpu": want a name with its domain`:       {Devices: map[string]string{"gpu": "1"}},
		"device a.b/c=0: want a whole number":             {Devices: map[string]string{"a.b/c": "0"}},
		"device a.b/c=1.5: want a whole number":           {Devices: map[string]string{"a.b/c": "1.5"}},
		`device class "A"`:                                {Claims: map[string]int{"A": 1}},
		"device class a.b=33: want a number from 1 to 32": {Claims: map[string]int{"a.b": 33}},
		"33 devices of 2 classes: want at most 32":        {Claims: map[string]int{"a.b": 32, "c.d": 1}},
	} {
		w.Name = "train"
		if err := w.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", w, err, want)
		}
	}
}
