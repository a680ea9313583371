package workload

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var kinds = []schema.GroupVersionKind{
	kube.Nodes.WithVersion("v1"), kube.Pods.WithVersion("v1"), kube.Deployments.WithVersion("v1"),
}

const cluster = `
apiVersion: v1
kind: Node
metadata: {name: control, labels: {node-role.kubernetes.io/control-plane: ""}}
status:
  allocatable: {memory: 1Gi}
  images: [{names: [example.com/pause:1]}]
---
apiVersion: v1
kind: Node
metadata: {name: a}
status:
  allocatable: {memory: 24561012Ki}
  images:
  - names: [example.com/other@sha256:00, example.com/other:v1]
  - names: [example.com/both:1]
  - names: [example.com/pause:3.10]
---
apiVersion: v1
kind: Node
metadata: {name: b}
status:
  allocatable: {memory: 24000000Ki}
  images: [{names: ["example.com/both:1"]}, {names: ["example.com/pause@sha256:00", "example.com/pause:3.10"]}]
---
{apiVersion: v1, kind: Node, metadata: {name: played, labels: {caslab.local/machines: hollow}}, status: {allocatable: {memory: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: theirs, namespace: default}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: scale-up, namespace: default, labels: {caslab.local/workload: scale-up}}
spec: {replicas: 1}
`

func TestOnePodFillsOneNode(t *testing.T) {
	t.Parallel()
	c := kubetest.New(t, kinds, cluster).Client()
	workers, err := Workers(t.Context(), c)
	if err != nil || len(workers) != 2 {
		t.Fatalf("Workers() = %d nodes, %v; want the real ones that are not of the control plane", len(workers), err)
	}
	memory, err := oneNode(workers)
	if err != nil || memory != "13192Mi" {
		t.Errorf("oneNode() = %s, %v; want 55%% of 24561012Ki", memory, err)
	}
	image, err := commonImage(workers)
	if err != nil || image != "example.com/pause:3.10" {
		t.Errorf("commonImage() = %s, %v", image, err)
	}
	workers[1].Status = corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("4Gi")}}
	if memory, err := oneNode(workers); err == nil {
		t.Errorf("oneNode() = %s for nodes of 23 and 4 GiB", memory)
	}
	if image, err := commonImage(workers); err == nil {
		t.Errorf("commonImage() = %s where one node has none", image)
	}
	workers[1].Status = corev1.NodeStatus{}
	if _, err := oneNode(workers); err == nil {
		t.Error("oneNode() knows the memory of a node that does not tell")
	}
}

func TestManifests(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]Workload{
		"default.yaml": {Name: "scale-up", Namespace: "default", Replicas: 3, Memory: "13192Mi", Image: "example.com/pause:3.10"},
		"seed.yaml": {
			Name: "scale-up", Namespace: "default", Replicas: 1, Memory: "2Gi", Image: "docker.io/library/busybox",
			NodeSelector: map[string]string{"tier": "gpu"}, Tolerations: []string{"dedicated"},
		},
		"devices.yaml": {
			Name: "train", Namespace: "default", Replicas: 2, Memory: "2Gi", Image: "example.com/pause:3.10",
			Devices: map[string]string{"nvidia.com/gpu": "1", "example.com/nic": "2"}, Claims: map[string]int{"gpu.example.com": 1},
		},
	} {
		got, err := w.manifest()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestValuesReachTheDeployment: no value is read as another kind of YAML or cut
// off.
func TestValuesReachTheDeployment(t *testing.T) {
	t.Parallel()
	w := Workload{
		Name: "true", Namespace: "null", Replicas: 1, Memory: "1e9", Image: `a"b:5000/pause:1`,
		NodeSelector: map[string]string{"0x10": "yes"}, Tolerations: []string{"no"}, Extra: map[string]string{"null": "1"},
	}
	if err := w.Validate(); err != nil {
		t.Fatal(err)
	}
	manifest, err := w.manifest()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := kube.Decode(manifest)
	if err != nil || len(objects) != 1 {
		t.Fatalf("Decode() = %v, %v", objects, err)
	}
	d, err := kube.Deployment(objects[0])
	if err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template.Spec
	if d.Name != "true" || d.Namespace != "null" || d.Labels["null"] != "1" || pod.NodeSelector["0x10"] != "yes" || pod.Tolerations[0].Key != "no" {
		t.Errorf("the deployment is %+v", d)
	}
	if c := pod.Containers[0]; c.Image != w.Image || c.Resources.Requests.Memory().Value() != 1e9 {
		t.Errorf("the container is %+v", c)
	}
}

// TestMeasuredBySelectedNodes: the size of a workload's pods depends on the
// nodes that its selector matches, or on all nodes if it has no selector. Hollow nodes
// matter if no real one matches. Their images do not.
func TestMeasuredBySelectedNodes(t *testing.T) {
	t.Parallel()
	c := kubetest.New(t, kinds, cluster+`---
apiVersion: v1
kind: Node
metadata: {name: c, labels: {tier: large}}
status:
  allocatable: {memory: 60Gi}
  images: [{names: ["example.com/pause:3.10"]}]
---
{apiVersion: v1, kind: Node, metadata: {name: played-large, labels: {caslab.local/machines: hollow, tier: large}}, status: {allocatable: {memory: 8Gi}}}
---
{apiVersion: v1, kind: Node, metadata: {name: played-small, labels: {caslab.local/machines: hollow, tier: small}}, status: {allocatable: {memory: 4Gi}}}
`).Client()
	for tier, want := range map[string]string{"large": "33793Mi", "small": "2253Mi", "none": ""} {
		w, unmatched, err := Workload{Name: "w", NodeSelector: map[string]string{"tier": tier}}.measured(t.Context(), c)
		if want != "" && (err != nil || w.Memory != want || w.Image != "example.com/pause:3.10") || want == "" && err == nil {
			t.Errorf("tier %s: %q, %v; want %q", tier, w.Memory, err, want)
		}
		if unmatched {
			t.Errorf("tier %s: no node matches", tier)
		}
	}
}

// TestDeleteWaitsForPods: Delete returns after the pods are gone.
func TestDeleteWaitsForPods(t *testing.T) {
	t.Parallel()
	c := kubetest.New(t, kinds, cluster+`---
apiVersion: v1
kind: Pod
metadata: {name: scale-up-1, namespace: default, labels: {caslab.local/workload: scale-up}}
`).Client()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var gone atomic.Bool
	notes := make(chan string, 100)
	var kubelet sync.WaitGroup
	kubelet.Go(func() {
		if note := <-notes; note != "1 pods to go" {
			t.Errorf("reported %q", note)
		}
		gone.Store(true)
		if err := c.Delete(ctx, kube.Pods, "default", "scale-up-1"); err != nil {
			t.Error(err)
		}
	})
	if err := Delete(ctx, c, "default", "scale-up", func(note string) { notes <- note }); err != nil || !gone.Load() {
		t.Errorf("Delete() = %v; the pod is gone: %v", err, gone.Load())
	}
	close(notes)
	kubelet.Wait() // Delete sees that the pod is gone before its kubelet has the answer
}

func TestScaleAndDelete(t *testing.T) {
	t.Parallel()
	c := kubetest.New(t, kinds, cluster).Client()
	if err := Scale(t.Context(), c, "default", "scale-up", 5); err != nil {
		t.Fatal(err)
	}
	d, err := c.Get(t.Context(), kube.Deployments, "default", "scale-up")
	if err != nil {
		t.Fatal(err)
	}
	if replicas, _ := d.Object["spec"].(map[string]any)["replicas"].(int64); replicas != 5 {
		t.Errorf("spec %v, want 5 replicas", d.Object["spec"])
	}
	for _, name := range []string{"theirs", "nope"} {
		if missing := new(MissingError); !errors.As(Scale(t.Context(), c, "default", name, 5), &missing) || missing.Name != name {
			t.Errorf("Scale(%s) does not say that the workload is missing", name)
		}
		if err := Delete(t.Context(), c, "default", name, nil); err == nil {
			t.Errorf("Delete(%s) gave no error", name)
		}
	}
	if err := Delete(t.Context(), c, "default", "scale-up", nil); err != nil {
		t.Error(err)
	}
	if err := Scale(t.Context(), c, "default", "scale-up", 1); err == nil {
		t.Error("it is still there")
	}
}

func TestBadWorkloads(t *testing.T) {
	t.Parallel()
	c := kubetest.New(t, kinds, cluster).Client()
	for want, change := range map[string]func(*Workload){
		"want 0 to 1000":       func(w *Workload) { w.Replicas = -1 },
		"5000 pods":            func(w *Workload) { w.Replicas = 5000 },
		`memory "lots"`:        func(w *Workload) { w.Memory = "lots" },
		`memory "0"`:           func(w *Workload) { w.Memory = "0" },
		`memory "-1Gi"`:        func(w *Workload) { w.Memory = "-1Gi" },
		`workload "Scale_Up"`:  func(w *Workload) { w.Name = "Scale_Up" },
		"did not create":       func(w *Workload) { w.Name = "theirs" },
		`image "a b"`:          func(w *Workload) { w.Image = "a b" },
		"node selector":        func(w *Workload) { w.NodeSelector = map[string]string{"a b": "c"} },
		`toleration "a\nb: c"`: func(w *Workload) { w.Tolerations = []string{"a\nb: c"} },
	} {
		w := Workload{Name: "scale-up", Namespace: "default", Replicas: 1}
		change(&w)
		if _, err := w.Add(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Add() = %v, want %q in it", err, want)
		}
	}
}
