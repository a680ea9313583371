package capi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

func clusterObject(kind, name string, fields map[string]any) *unstructured.Unstructured {
	fields["apiVersion"], fields["kind"] = "cluster.x-k8s.io/v1beta2", kind
	fields["metadata"] = map[string]any{"name": name, "namespace": "default"}
	return &unstructured.Unstructured{Object: fields}
}

func provisioned(infrastructure, controlPlane bool) *unstructured.Unstructured {
	return clusterObject("Cluster", "work", map[string]any{"status": map[string]any{
		"initialization": map[string]any{"infrastructureProvisioned": infrastructure, "controlPlaneInitialized": controlPlane},
		"conditions":     []any{map[string]any{"type": "ControlPlaneInitialized", "status": "True"}},
	}})
}

// unconfirmed has the field that move checks, but not yet the condition that it
// checks too.
func unconfirmed() *unstructured.Unstructured {
	cluster := provisioned(true, true)
	unstructured.RemoveNestedField(cluster.Object, "status", "conditions")
	return cluster
}

func machine(name, node string) *unstructured.Unstructured {
	status := map[string]any{"phase": "Provisioned"}
	if node != "" {
		status = map[string]any{"phase": "Running", "nodeRef": map[string]any{"name": node}}
	}
	return clusterObject("Machine", name, map[string]any{"status": status})
}

func TestWaitMovable(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cluster  *unstructured.Unstructured
		machines []*unstructured.Unstructured
		missing  string // empty: movable
	}{
		"all there":             {provisioned(true, true), []*unstructured.Unstructured{machine("a", "n1"), machine("b", "n2")}, ""},
		"another cluster's":     {clusterObject("Cluster", "other", map[string]any{}), nil, "the Cluster work"},
		"no infrastructure":     {provisioned(false, true), nil, "infrastructure"},
		"control plane to come": {provisioned(true, false), nil, "control plane"},
		"condition to come":     {unconfirmed(), nil, "control plane"},
		"a machine is missing":  {provisioned(true, true), []*unstructured.Unstructured{machine("a", "n1")}, "nodes for 0 of 2"},
		"a node is missing":     {provisioned(true, true), []*unstructured.Unstructured{machine("a", "n1"), machine("b", "")}, "nodes for 1 of 2 machines b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := kubetest.New(t, kinds, "")
				server.Put(append(tc.machines, tc.cluster)...)
				client := server.Client()
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
				defer cancel()
				err := WaitMovable(ctx, client, release.V1Beta2, "default", "work", 2, nil)
				switch {
				case tc.missing == "" && err != nil:
					t.Errorf("WaitMovable() = %v", err)
				case tc.missing != "" && (err == nil || !strings.Contains(err.Error(), tc.missing) || !strings.Contains(err.Error(), "too long")):
					t.Errorf("WaitMovable() = %v; want %q in it", err, tc.missing)
				}
			})
		})
	}
}

// TestCheckMoved: a missing object is reported at once, and an API server that refuses a request is
// asked again.
func TestCheckMoved(t *testing.T) {
	t.Parallel()
	cluster := func(paused bool) *unstructured.Unstructured {
		return clusterObject("Cluster", "work", map[string]any{"spec": map[string]any{"paused": paused}})
	}
	both := []*unstructured.Unstructured{machine("a", "n1"), machine("b", "n2")}
	for name, tc := range map[string]struct {
		objects  []*unstructured.Unstructured
		refusals int
		missing  string // empty: nothing
	}{
		"complete":          {append(both, cluster(false)), 0, ""},
		"busy":              {append(both, cluster(false)), 2, ""},
		"no Cluster":        {both, 0, "look for the moved objects"},
		"paused":            {append(both, cluster(true)), 0, "the Cluster work paused"},
		"a machine too few": {[]*unstructured.Unstructured{machine("a", "n1"), cluster(false)}, 0, "1 of 2 machines"},
		"a hollow one more": {[]*unstructured.Unstructured{machine("a", "n1"), hollowMachine("h"), cluster(false)}, 0, "1 of 2 machines"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := kubetest.New(t, kinds, "")
				server.Put(tc.objects...)
				server.Intercept(func(q kubetest.Request) error {
					if tc.refusals > 0 && q.Verb != "discover" {
						tc.refusals--
						return errors.New("etcdserver: leader changed")
					}
					return nil
				})
				begun := time.Now()
				err := CheckMoved(t.Context(), server.Client(), "default", "work", 2)
				if (err == nil) != (tc.missing == "") || err != nil && !strings.Contains(err.Error(), tc.missing) {
					t.Errorf("CheckMoved() = %v; want %q in it", err, tc.missing)
				}
				if took := time.Since(begun); tc.missing != "" && took > 0 {
					t.Errorf("CheckMoved() took %s", took)
				}
			})
		})
	}
}

// hollowMachine returns a hollow machine that has no node.
func hollowMachine(name string) *unstructured.Unstructured {
	return clusterObject("Machine", name, map[string]any{"spec": map[string]any{"infrastructureRef": map[string]any{"kind": "HollowMachine"}}})
}

func TestWaitSeen(t *testing.T) {
	t.Parallel()
	group := func(replicas int64, status map[string]any) *unstructured.Unstructured {
		return clusterObject("MachineDeployment", "web", map[string]any{"spec": map[string]any{"replicas": replicas}, "status": status})
	}
	both := []*unstructured.Unstructured{machine("a", "n1"), machine("b", "n2")}
	for name, tc := range map[string]struct {
		objects []*unstructured.Unstructured
		missing string // empty: all are seen
	}{
		"all run":           {both, ""},
		"one to come":       {[]*unstructured.Unstructured{machine("a", "n1")}, "1 of 2 machines"},
		"one more":          {[]*unstructured.Unstructured{machine("a", "n1"), machine("b", "n2"), machine("c", "")}, "2 of 3 machines"},
		"a hollow one more": {append(both, hollowMachine("h")), ""},
		"hollow ones fail": {append(both, clusterObject("MachineDeployment", "air", map[string]any{"spec": map[string]any{
			"replicas": int64(3), "template": map[string]any{"spec": map[string]any{"infrastructureRef": map[string]any{"apiGroup": "infrastructure.cluster.x-k8s.io", "kind": "HollowMachineTemplate", "name": "air"}}},
		}})), ""},
		"counted":            {append(both, group(1, map[string]any{"readyReplicas": int64(1)})), ""},
		"no workers":         {append(both, group(0, map[string]any{})), ""},
		"not counted yet":    {append(both, group(1, map[string]any{})), "the machine deployment web to count"},
		"one of two counted": {append(both, group(2, map[string]any{"readyReplicas": int64(1)})), "the machine deployment web to count"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := kubetest.New(t, kinds, "")
				server.Put(tc.objects...)
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
				defer cancel()
				err := WaitSeen(ctx, server.Client(), "default", 2, nil)
				if (err == nil) != (tc.missing == "") || err != nil && !strings.Contains(err.Error(), tc.missing) {
					t.Errorf("WaitSeen() = %v; want %q in it", err, tc.missing)
				}
			})
		})
	}
}

// TestWaitTestGone: a namespace that clusterctl deletes is waited for, and one that it did
// not delete yet is not.
func TestWaitTestGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := kubetest.New(t, []schema.GroupVersionKind{kube.Namespaces.WithVersion("v1")}, "")
		namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": testNamespace}}}
		server.Put(namespace)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
		defer cancel()
		began := time.Now()
		if err := WaitTestGone(ctx, server.Client(), nil); err != nil || time.Since(began) > 0 {
			t.Errorf("waited %s for a namespace that nobody deletes: %v", time.Since(began), err)
		}
		now := metav1.Now()
		namespace.SetDeletionTimestamp(&now)
		server.Put(namespace)
		time.AfterFunc(10*time.Second, func() { server.Remove(kube.Namespaces, "", testNamespace) })
		if err := WaitTestGone(ctx, server.Client(), nil); err != nil || time.Since(began) < 10*time.Second {
			t.Errorf("waited %s for a namespace that is being deleted: %v", time.Since(began), err)
		}
	})
}

// TestWaitGroupByWhatItsControllerSaw: a status counts only if the controller
// has observed the latest specification.
func TestWaitGroupByWhatItsControllerSaw(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		observed, ready int64
		missing         string // empty: there
	}{
		"all ready":            {2, 2, ""},
		"one to come":          {2, 1, "1 of 2 nodes ready"},
		"not seen as it is":    {1, 2, "2 of 2 nodes ready"},
		"more than are wanted": {2, 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				group := clusterObject("MachineDeployment", "web", map[string]any{"status": map[string]any{"observedGeneration": tc.observed, "readyReplicas": tc.ready}})
				group.SetGeneration(2)
				server := kubetest.New(t, kinds, "")
				server.Put(group)
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
				defer cancel()
				err := WaitGroup(ctx, server.Client(), "default", "web", 2, nil)
				if (err == nil) != (tc.missing == "") || err != nil && !strings.Contains(err.Error(), tc.missing) {
					t.Errorf("WaitGroup() = %v; want %q in it", err, tc.missing)
				}
			})
		})
	}
}

// TestStandIn: the stand-in for cert-manager has what the clusterctl of each
// time looks for.
func TestStandIn(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string][]string{
		"0.3.5":  {"webhook.cert-manager.io/v1beta1 StandIn"},
		"0.3.9":  {"cert-manager.io/v1alpha2 Issuer", "cert-manager.io/v1alpha2 Certificate"},
		"0.3.25": {"cert-manager.io/v1 Issuer", "cert-manager.io/v1 Certificate"},
		"1.14.2": {"cert-manager.io/v1 Issuer", "cert-manager.io/v1 Certificate"},
	} {
		manifest, err := StandInManifest(releaseOf(tag))
		if err != nil {
			t.Fatal(err)
		}
		definitions, err := kube.Decode(manifest)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range definitions {
			var crd apiextensionsv1.CustomResourceDefinition
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(d.Object, &crd); err != nil {
				t.Fatal(err)
			}
			if crd.Name != crd.Spec.Names.Plural+"."+crd.Spec.Group || len(crd.Spec.Versions) != 1 {
				t.Errorf("%s: %s has %d versions", tag, crd.Name, len(crd.Spec.Versions))
			}
			got = append(got, crd.Spec.Group+"/"+crd.Spec.Versions[0].Name+" "+crd.Spec.Names.Kind)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", tag, got, want)
		}
	}
}

// TestStopManagers: the managers of other namespaces go on, and a pod that has not ended
// yet is waited for.
func TestStopManagers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := kubetest.New(t, append(slices.Clone(kinds), kube.Deployments.WithVersion("v1"), kube.Pods.WithVersion("v1"),
			kube.MutatingWebhooks.WithVersion("v1"), kube.ValidatingWebhooks.WithVersion("v1")), "")
		for _, namespace := range []string{"capd-system", "capi-system"} {
			server.PutYAML(fmt.Sprintf("{apiVersion: apps/v1, kind: Deployment, metadata: {name: manager, namespace: %s}, spec: {replicas: 1}}", namespace))
			server.PutYAML(fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: manager-x, namespace: %s}}", namespace))
			for _, kind := range []schema.GroupKind{kube.MutatingWebhooks, kube.ValidatingWebhooks} {
				server.PutYAML(fmt.Sprintf("{apiVersion: admissionregistration.k8s.io/v1, kind: %s, metadata: {name: %s}, webhooks: [{clientConfig: {service: {namespace: %[2]s}}}]}", kind.Kind, namespace))
			}
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("too long"))
		defer cancel()
		err := StopManagers(ctx, server.Client(), "capd-system", nil)
		if err == nil || !strings.Contains(err.Error(), "1 managers in the namespace capd-system") {
			t.Errorf("with a pod that does not end: %v", err)
		}
		server.Remove(kube.Pods, "capd-system", "manager-x")
		if err := StopManagers(t.Context(), server.Client(), "capd-system", nil); err != nil {
			t.Error(err)
		}
		for namespace, want := range map[string]string{"capd-system": "0", "capi-system": "1"} {
			if got := kube.Field(server.Get(kube.Deployments, namespace, "manager"), "spec", "replicas"); got != want {
				t.Errorf("the Deployment in %s has %q replicas, want %s", namespace, got, want)
			}
			for _, kind := range []schema.GroupKind{kube.MutatingWebhooks, kube.ValidatingWebhooks} {
				if there := server.Get(kind, "", namespace) != nil; there != (want == "1") {
					t.Errorf("%s has a %s: %t", namespace, kind.Kind, there)
				}
			}
		}
	})
}
