package capi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi/capitest"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

// TestRecordedClusterIsMovable: the objects after env:up pass every wait before and after
// the move. Without one of the fields that the release's `clusterctl move` reads, they do
// not.
func TestRecordedClusterIsMovable(t *testing.T) {
	t.Parallel()
	for _, r := range capitest.At(t, capitest.Up) {
		t.Run(r.ClusterAPI, func(t *testing.T) {
			t.Parallel()
			wait := func(t *testing.T, server *kubetest.Server, api string) error {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
				defer cancel()
				return WaitMovable(ctx, server.Client(), api, "default", capitest.Cluster, 2, nil)
			}
			synctest.Test(t, func(t *testing.T) {
				server := r.Server(t)
				if err := wait(t, server, r.API); err != nil {
					t.Errorf("WaitMovable() = %v", err)
				}
				if err := WaitSeen(t.Context(), server.Client(), "default", 2, nil); err != nil {
					t.Errorf("WaitSeen() = %v", err)
				}
				if err := wait(t, server, release.V1Beta2); err == nil {
					t.Error("it is movable also by the fields of v1beta2, which it does not have")
				}
			})
			for field, missing := range map[string]string{
				"infrastructureReady": "infrastructure to be provisioned",
				"controlPlaneReady":   "the control plane to be initialised",
			} {
				synctest.Test(t, func(t *testing.T) {
					server := r.Server(t)
					server.Edit(kube.Clusters, "default", capitest.Cluster, func(o *unstructured.Unstructured) {
						if kube.Field(o, "status", field) != "true" {
							t.Errorf("%s is not recorded", field)
						}
						unstructured.RemoveNestedField(o.Object, "status", field)
					})
					if err := wait(t, server, r.API); err == nil || !strings.Contains(err.Error(), missing) {
						t.Errorf("WaitMovable() without %s = %v, want %q in it", field, err, missing)
					}
				})
			}
			synctest.Test(t, func(t *testing.T) {
				server := r.Server(t)
				machines := server.List(kube.Machines)
				worker := machines[1].GetName()
				server.Edit(kube.Machines, "default", worker, func(o *unstructured.Unstructured) {
					unstructured.RemoveNestedField(o.Object, "status", "nodeRef")
				})
				want := fmt.Sprintf("nodes for 1 of %d machines %s", len(machines), worker)
				if err := wait(t, server, r.API); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("WaitMovable() without a node = %v", err)
				}
			})
		})
	}
}

// TestRecordedInitialization: from v0.4 on, `clusterctl move` reads a condition that
// v0.3 does not have.
func TestRecordedInitialization(t *testing.T) {
	t.Parallel()
	for _, r := range capitest.At(t, capitest.Up) {
		cluster := r.Server(t).Get(kube.Clusters, "default", capitest.Cluster)
		c, err := contractOf(r.API)
		if err != nil {
			t.Fatal(err)
		}
		unstructured.RemoveNestedField(cluster.Object, "status", "conditions")
		if got, want := c.initialized(cluster), r.API == release.V1Alpha3; got != want {
			t.Errorf("%s: without conditions, initialized is %t, want %t", r.Name(), got, want)
		}
	}
}

// TestRecordedClusterIsWell: nodes and machines of the control plane are recognised by
// the labels of their time.
func TestRecordedClusterIsWell(t *testing.T) {
	t.Parallel()
	for _, r := range capitest.At(t, capitest.Up) {
		synctest.Test(t, func(t *testing.T) {
			server := r.Server(t, kube.Providers.WithVersion("v1alpha3"), kube.Deployments.WithVersion("v1"))
			server.PutYAML(`
{apiVersion: clusterctl.cluster.x-k8s.io/v1alpha3, kind: Provider, metadata: {name: cluster-api, namespace: capi-system}, type: CoreProvider, version: ` + r.ClusterAPI + `}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: capi, namespace: capi-system}, status: {conditions: [{type: Available, status: "True"}]}}
`)
			c := server.Client()
			have, err := Installed(t.Context(), c, "default")
			if want := (Versions{ClusterAPI: r.ClusterAPI, Kubernetes: r.Kubernetes}); err != nil || have != want {
				t.Errorf("%s: installed %+v, %v", r.Name(), have, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := WaitWell(ctx, c, "default", capitest.Cluster, false, nil); err != nil {
				t.Errorf("%s: WaitWell() = %v", r.Name(), err)
			}
			control := server.List(kube.Machines)[0].GetName()
			server.Edit(kube.Machines, "default", control, func(o *unstructured.Unstructured) {
				_ = unstructured.SetNestedField(o.Object, "Provisioning", "status", "phase")
			})
			if err := WaitWell(ctx, c, "default", capitest.Cluster, false, nil); err == nil || !strings.Contains(err.Error(), "the control plane's machine "+control+" to be Running") {
				t.Errorf("%s: WaitWell() without the control plane's machine = %v", r.Name(), err)
			}
		})
	}
}

// TestAddToRecordedCluster: a new group has the references, labels and kubelet arguments
// of the cluster's API, and the machine template's docker.sock.
func TestAddToRecordedCluster(t *testing.T) {
	t.Parallel()
	for _, r := range capitest.At(t, capitest.Up) {
		bootstrap := schema.GroupVersionKind{Group: bootstrapKind.Group, Version: r.API, Kind: bootstrapKind.Kind}
		server := r.Server(t, bootstrap)
		server.PutYAML(fmt.Sprintf(`
apiVersion: %s
kind: KubeadmConfigTemplate
metadata: {name: row-md-0, namespace: default}
spec: {template: {spec: {joinConfiguration: {nodeRegistration: {kubeletExtraArgs: {fail-swap-on: "false"}}}}}}
`, bootstrap.GroupVersion()))
		c := server.Client()
		g := NodeGroup{
			Name: "web", Namespace: "default", ClusterName: capitest.Cluster, Prefix: release.SizePrefix, Max: 3, Own: true,
			Labels: map[string]string{"tier": "web"},
		}
		if err := g.Add(t.Context(), c); err != nil {
			t.Fatalf("%s: %v", r.Name(), err)
		}
		group := must(t, c, kube.MachineDeployments, "web")
		for path, want := range map[string]string{
			"spec.replicas": "0", "spec.clusterName": capitest.Cluster, "spec.template.spec.version": r.Kubernetes,
			"spec.template.spec.infrastructureRef.apiVersion":   "infrastructure.cluster.x-k8s.io/" + r.API,
			"spec.template.spec.infrastructureRef.kind":         "DockerMachineTemplate",
			"spec.template.spec.infrastructureRef.name":         "web",
			"spec.template.spec.bootstrap.configRef.apiVersion": bootstrap.GroupVersion().String(),
			"spec.template.spec.bootstrap.configRef.name":       "web",
			"status": "",
		} {
			if got := kube.Field(group, strings.Split(path, ".")...); got != want {
				t.Errorf("%s: %s is %q, want %q", r.Name(), path, got, want)
			}
		}
		selector, _, _ := unstructured.NestedStringMap(group.Object, "spec", "selector", "matchLabels")
		labels, _, _ := unstructured.NestedStringMap(group.Object, "spec", "template", "metadata", "labels")
		want := map[string]string{"cluster.x-k8s.io/cluster-name": capitest.Cluster, "cluster.x-k8s.io/deployment-name": "web"}
		if !maps.Equal(selector, want) || !maps.Equal(labels, want) {
			t.Errorf("%s: selects %v and labels %v, want %v", r.Name(), selector, labels, want)
		}
		args, _, err := unstructured.NestedStringMap(must(t, c, bootstrapKind, "web").Object, "spec", "template", "spec", "joinConfiguration", "nodeRegistration", "kubeletExtraArgs")
		if want := map[string]string{"fail-swap-on": "false", "node-labels": "tier=web"}; err != nil || !maps.Equal(args, want) {
			t.Errorf("%s: kubelet arguments %v, %v; want %v", r.Name(), args, err, want)
		}
		machine := must(t, c, schema.GroupKind{Group: machineKind.Group, Kind: "DockerMachineTemplate"}, "web")
		if mounts := kube.Field(machine, "spec", "template", "spec", "extraMounts"); !strings.Contains(mounts, "containerPath:/var/run/docker.sock") {
			t.Errorf("%s: the machine template mounts %s", r.Name(), mounts)
		}
	}
}

// TestDeleteRecordedGroup: the machines of a group are found by the labels that the
// release gives them, and shared templates stay.
func TestDeleteRecordedGroup(t *testing.T) {
	t.Parallel()
	for _, r := range capitest.At(t, capitest.Scaling) {
		synctest.Test(t, func(t *testing.T) {
			server := r.Server(t, schema.GroupVersionKind{Group: bootstrapKind.Group, Version: r.API, Kind: bootstrapKind.Kind})
			c := server.Client()
			machines := func() (names []string) {
				for _, m := range server.List(kube.Machines) {
					if strings.HasPrefix(m.GetName(), "sc-web-") {
						names = append(names, m.GetName())
					}
				}
				return names
			}
			if len(machines()) == 0 {
				t.Fatalf("%s has no machine of sc-web", r.Name())
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
			defer cancel()
			time.AfterFunc(30*time.Second, func() {
				for _, name := range machines() {
					server.Remove(kube.Machines, "default", name)
				}
			})
			began := time.Now()
			if err := DeleteGroup(ctx, c, "default", capitest.Cluster, "sc-web", release.SizePrefix, nil); err != nil {
				t.Errorf("%s: %v", r.Name(), err)
			}
			if took := time.Since(began); took < 30*time.Second {
				t.Errorf("%s: it took %s and did not wait for the machines", r.Name(), took)
			}
			must(t, c, schema.GroupKind{Group: machineKind.Group, Kind: "DockerMachineTemplate"}, "row-md-0")
			must(t, c, kube.MachineDeployments, "row-md-0")
		})
	}
}

// TestWaitRecordedGroup: the status of a group counts as the release writes it.
func TestWaitRecordedGroup(t *testing.T) {
	t.Parallel()
	for _, r := range capitest.At(t, capitest.Scaling) {
		synctest.Test(t, func(t *testing.T) {
			c := r.Server(t).Client()
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
			defer cancel()
			ready := map[string]int{"v0.3.5": 2, "v0.4.8": 1, "v1.0.5": 1, "v1.8.12": 2}[r.ClusterAPI]
			if err := WaitGroup(ctx, c, "default", "sc-web", ready, nil); err != nil {
				t.Errorf("%s: %v", r.Name(), err)
			}
			want := fmt.Sprintf("%d of %d nodes ready", ready, ready+1)
			if err := WaitGroup(ctx, c, "default", "sc-web", ready+1, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: WaitGroup() = %v, want %q in it", r.Name(), err, want)
			}
		})
	}
}

// TestRecordedTemplateKinds: references before v1beta2 have an API version, not a group.
func TestRecordedTemplateKinds(t *testing.T) {
	t.Parallel()
	want := map[schema.GroupKind]bool{bootstrapKind: true, {Group: machineKind.Group, Kind: "DockerMachineTemplate"}: true}
	for _, r := range capitest.At(t, capitest.Up) {
		groups, err := Groups(t.Context(), r.Server(t).Client(), "default", capitest.Cluster)
		if got := TemplateKinds(groups); err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", r.Name(), got, err, want)
		}
	}
}
