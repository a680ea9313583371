package workload

import (
	"strings"
	"testing"

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

func TestBadDevices(t *testing.T) {
	t.Parallel()
	for want, w := range map[string]Workload{
		`device "gpu": want a name with its domain`:       {Devices: map[string]string{"gpu": "1"}},
		"device a.b/c=0: want a whole number":             {Devices: map[string]string{"a.b/c": "0"}},
		"device a.b/c=1.5: want a whole number":           {Devices: map[string]string{"a.b/c": "1.5"}},
		`device class "A"`:                                {Claims: map[string]int{"A": 1}},
		"device class a.b=33: want a number from 1 to 32": {Claims: map[string]int{"a.b": 33}},
	} {
		w.Name = "train"
		if err := w.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", w, err, want)
		}
	}
}
