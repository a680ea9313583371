package capi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/manifests"
)

// StandIn installs the CustomResourceDefinitions of cert-manager without
// cert-manager, so that the clusterctl of the release considers it installed.
func StandIn(ctx context.Context, c *kube.Client, r release.Release, progress func(string)) error {
	manifest, err := StandInManifest(r)
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, manifest); err != nil {
		return err
	}
	definitions, err := kube.Decode(manifest)
	if err != nil {
		return fmt.Errorf("read the kinds of cert-manager: %w", err)
	}
	return c.Wait(ctx, kube.Definitions, "", func(all []*unstructured.Unstructured) (bool, string) {
		established := 0
		for _, d := range all {
			if strings.HasSuffix(d.GetName(), ".cert-manager.io") && kube.True(d, "Established") {
				established++
			}
		}
		return established >= len(definitions), "the kinds of cert-manager"
	}, progress)
}

// StandInManifest returns the YAML of the definitions that StandIn installs: those that the
// clusterctl of the release looks for.
func StandInManifest(r release.Release) ([]byte, error) {
	name := "cluster/cert-manager-crds.yaml"
	if r.CertManager == "" {
		name = "cluster/cert-manager-service.yaml"
	}
	manifest, err := manifests.FS.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the kinds of cert-manager: %w", err)
	}
	return bytes.ReplaceAll(manifest, []byte("- name: v1\n"), []byte("- name: "+r.CertManager+"\n")), nil
}

// testNamespace is the namespace in which clusterctl init tries cert-manager
// (Cluster API v1.14.2, cmd/clusterctl/client/cluster/assets/cert-manager-test-resources.yaml).
const testNamespace = "cert-manager-test"

// WaitTestGone waits until the namespace is gone that an interrupted clusterctl init was
// deleting. clusterctl takes a namespace that is being deleted for one that it can use, and
// then waits for ever until it can create an object in it.
func WaitTestGone(ctx context.Context, c *kube.Client, progress func(string)) error {
	return c.WaitDeletion(ctx, kube.Namespaces, "", testNamespace, progress)
}

// WaitProviders waits until the managers in the namespaces are available. Their
// webhooks answer then.
func WaitProviders(ctx context.Context, c *kube.Client, namespaces []string, progress func(string)) error {
	return c.Wait(ctx, kube.Deployments, "", func(all []*unstructured.Unstructured) (bool, string) {
		var missing []string
		for _, namespace := range namespaces {
			found := false
			for _, d := range all {
				if d.GetNamespace() != namespace {
					continue
				}
				found = true
				if !kube.True(d, "Available") {
					missing = append(missing, d.GetName())
				}
			}
			if !found {
				missing = append(missing, namespace)
			}
		}
		return len(missing) == 0, "managers to be available: " + strings.Join(missing, ", ")
	}, progress)
}

// StopManagers ends the managers in a namespace: it scales their Deployments to zero and
// waits until the pods are gone. It removes the configurations of the admission webhooks that
// they serve, because the API server would refuse changes that no webhook answers for.
func StopManagers(ctx context.Context, c *kube.Client, namespace string, progress func(string)) error {
	deployments, err := c.List(ctx, kube.Deployments, namespace)
	if err != nil {
		return fmt.Errorf("look for the managers in the namespace %s: %w", namespace, err)
	}
	for i := range deployments {
		stopped := map[string]any{"spec": map[string]any{"replicas": 0}}
		if err := c.Patch(ctx, kube.Deployments, namespace, deployments[i].GetName(), stopped); err != nil {
			return fmt.Errorf("stop the managers in the namespace %s: %w", namespace, err)
		}
	}
	for _, kind := range []schema.GroupKind{kube.MutatingWebhooks, kube.ValidatingWebhooks} {
		configurations, err := c.List(ctx, kind, "")
		if err != nil {
			return fmt.Errorf("look for the webhooks of the namespace %s: %w", namespace, err)
		}
		for i := range configurations {
			if !served(&configurations[i], namespace) {
				continue
			}
			if err := c.Delete(ctx, kind, "", configurations[i].GetName()); err != nil {
				return fmt.Errorf("remove the webhooks of the namespace %s: %w", namespace, err)
			}
		}
	}
	return c.Wait(ctx, kube.Pods, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		return len(all) == 0, fmt.Sprintf("%d managers in the namespace %s to end", len(all), namespace)
	}, progress)
}

// served reports whether a service in the namespace answers for the webhooks.
func served(configuration *unstructured.Unstructured, namespace string) bool {
	webhooks, _, _ := unstructured.NestedSlice(configuration.Object, "webhooks")
	return slices.ContainsFunc(webhooks, func(w any) bool {
		webhook, _ := w.(map[string]any)
		in, _, _ := unstructured.NestedString(webhook, "clientConfig", "service", "namespace")
		return in == namespace
	})
}

// Versions are the versions in a cluster. A version is empty until it is known.
type Versions struct{ ClusterAPI, Kubernetes string }

// Installed reads the version of Cluster API from clusterctl's inventory, and the
// version of Kubernetes from the machine of the control plane.
func Installed(ctx context.Context, c *kube.Client, namespace string) (Versions, error) {
	var have Versions
	providers, err := c.List(ctx, kube.Providers, "")
	if err != nil && !meta.IsNoMatchError(err) {
		return have, fmt.Errorf("look for installed providers: %w", err)
	}
	for i := range providers {
		if kube.Field(&providers[i], "type") == "CoreProvider" {
			have.ClusterAPI = kube.Field(&providers[i], "version")
		}
	}
	machines, err := c.List(ctx, kube.Machines, namespace)
	if err != nil && !meta.IsNoMatchError(err) {
		return have, err
	}
	for i := range machines {
		if _, ok := machines[i].GetLabels()[clusterv1.MachineControlPlaneLabel]; ok {
			have.Kubernetes = kube.Field(&machines[i], "spec", "version")
		}
	}
	return have, nil
}

// Kubeconfig waits until Cluster API has written the workload cluster's
// kubeconfig and returns it.
func Kubeconfig(ctx context.Context, c *kube.Client, namespace, name string, progress func(string)) ([]byte, error) {
	var data []byte
	err := c.Wait(ctx, kube.Secrets, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		for _, s := range all {
			if s.GetName() != name+"-kubeconfig" {
				continue
			}
			value, err := base64.StdEncoding.DecodeString(kube.Field(s, "data", "value"))
			data = value
			return err == nil && len(value) > 0, "a kubeconfig in the secret " + s.GetName()
		}
		return false, "the secret " + name + "-kubeconfig"
	}, progress)
	return data, err
}

// WaitNodes waits until as many nodes as wanted are Ready.
func WaitNodes(ctx context.Context, c *kube.Client, want int, progress func(string)) error {
	return c.Wait(ctx, kube.Nodes, "", func(all []*unstructured.Unstructured) (bool, string) {
		ready := 0
		for _, n := range all {
			if kube.True(n, "Ready") {
				ready++
			}
		}
		return ready >= want, fmt.Sprintf("%d of %d nodes Ready", ready, want)
	}, progress)
}

// WaitMovable waits for exactly what `clusterctl move` requires: the
// infrastructure is provisioned, the control plane is initialised, there are as
// many machines as wanted, and each has a node. api is the version of Cluster
// API's API that the objects have, such as v1beta2.
func WaitMovable(ctx context.Context, c *kube.Client, api, namespace, name string, machines int, progress func(string)) error {
	contract, err := contractOf(api)
	if err != nil {
		return err
	}
	err = c.Wait(ctx, kube.Clusters, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		i := slices.IndexFunc(all, func(o *unstructured.Unstructured) bool { return o.GetName() == name })
		if i < 0 {
			return false, "the Cluster " + name
		}
		if !contract.provisioned(all[i]) {
			return false, "infrastructure to be provisioned"
		}
		if !contract.initialized(all[i]) {
			return false, "the control plane to be initialised"
		}
		return true, ""
	}, progress)
	if err != nil {
		return err
	}
	return c.Wait(ctx, kube.Machines, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		var waiting []string
		for _, m := range all {
			if kube.Field(m, "status", "nodeRef", "name") == "" {
				waiting = append(waiting, m.GetName())
			}
		}
		return len(all) >= machines && len(waiting) == 0,
			fmt.Sprintf("nodes for %d of %d machines %s", len(waiting), max(machines, len(all)), strings.Join(waiting, ", "))
	}, progress)
}

// CheckMoved returns an error unless the cluster has its own Cluster object, which is not paused,
// and as many machines as wanted, without hollow ones. clusterctl ends the pause last, so a move
// that was complete leaves exactly this. It makes two requests and does not wait for controllers.
func CheckMoved(ctx context.Context, c *kube.Client, namespace, name string, machines int) error {
	paused, found := false, 0
	err := kube.RetryUnlessAbsent(ctx, func() error {
		cluster, err := c.Get(ctx, kube.Clusters, namespace, name)
		if err != nil {
			return err
		}
		paused = kube.Field(cluster, "spec", "paused") == "true"
		all, err := c.List(ctx, kube.Machines, namespace)
		found = len(slices.DeleteFunc(all, func(m unstructured.Unstructured) bool { return isHollow(&m) }))
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("look for the moved objects: %w", err)
	case paused:
		return fmt.Errorf("the move left the Cluster %s paused", name)
	case found < machines:
		return fmt.Errorf("the move brought %d of %d machines", found, machines)
	}
	return nil
}

// isHollow reports whether a Machine is hollow, or a machine deployment has hollow machines. They
// may be told to fail, or to become no nodes.
func isHollow(o *unstructured.Unstructured) bool {
	kind := cmp.Or(kube.Field(o, "spec", "infrastructureRef", "kind"), MachineTemplate(o).Kind)
	return strings.HasPrefix(kind, "HollowMachine")
}

// WaitSeen waits until every machine is in the phase Running, and every machine deployment has
// counted its ready machines. Hollow machines do not count. After a move this means that the
// cluster's own managers have looked at all of them.
func WaitSeen(ctx context.Context, c *kube.Client, namespace string, machines int, progress func(string)) error {
	err := c.Wait(ctx, kube.Machines, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		all = slices.DeleteFunc(all, isHollow)
		running := 0
		for _, m := range all {
			if kube.Field(m, "status", "phase") == "Running" {
				running++
			}
		}
		return running >= machines && running == len(all), fmt.Sprintf("%d of %d machines Running", running, max(machines, len(all)))
	}, progress)
	if err != nil {
		return err
	}
	return c.Wait(ctx, kube.MachineDeployments, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		for _, g := range all {
			if !isHollow(g) && cmp.Or(kube.Field(g, "status", "readyReplicas"), "0") != kube.Field(g, "spec", "replicas") {
				return false, "the machine deployment " + g.GetName() + " to count its ready machines"
			}
		}
		return true, ""
	}, progress)
}

// WaitWell waits until a cluster manages itself: the managers of all providers
// are available, and the nodes of the control plane are Ready and its machines
// Running. Workers are ignored, because the autoscaler adds and removes them. So
// are the phases of machines while the cluster is paused, because no manager
// updates them then.
func WaitWell(ctx context.Context, c *kube.Client, namespace, name string, paused bool, progress func(string)) error {
	namespaces, err := providerNamespaces(ctx, c)
	if err != nil {
		return err
	}
	if err := WaitProviders(ctx, c, namespaces, progress); err != nil {
		return err
	}
	err = c.Wait(ctx, kube.Nodes, "", func(all []*unstructured.Unstructured) (bool, string) {
		return every(all, "node", func(n *unstructured.Unstructured) bool { return kube.OfControlPlane(n) }, func(n *unstructured.Unstructured) bool { return kube.True(n, "Ready") }, "Ready")
	}, progress)
	if err != nil || paused {
		return err
	}
	return c.Wait(ctx, kube.Machines, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		return every(all, "machine", func(m *unstructured.Unstructured) bool {
			_, is := m.GetLabels()[clusterv1.MachineControlPlaneLabel]
			return is && m.GetLabels()[clusterv1.ClusterNameLabel] == name
		}, func(m *unstructured.Unstructured) bool { return kube.Field(m, "status", "phase") == "Running" }, "Running")
	}, progress)
}

// every reports whether the control plane has objects and all of them are well. If not,
// it returns what is missing.
func every(all []*unstructured.Unstructured, what string, is, well func(*unstructured.Unstructured) bool, state string) (bool, string) {
	var found bool
	var missing []string
	for _, o := range all {
		if !is(o) {
			continue
		}
		found = true
		if !well(o) {
			missing = append(missing, o.GetName())
		}
	}
	if !found {
		return false, fmt.Sprintf("a %s of the control plane", what)
	}
	return len(missing) == 0, fmt.Sprintf("the control plane's %s %s to be %s", what, strings.Join(missing, ", "), state)
}

// providerNamespaces returns the namespaces of the providers in clusterctl's
// inventory.
func providerNamespaces(ctx context.Context, c *kube.Client) ([]string, error) {
	var namespaces []string
	providers, err := c.List(ctx, kube.Providers, "")
	if err != nil {
		return nil, fmt.Errorf("look for installed providers: %w", err)
	}
	for i := range providers {
		namespaces = append(namespaces, providers[i].GetNamespace())
	}
	if len(namespaces) == 0 {
		return nil, errors.New("look for installed providers: there are none")
	}
	return namespaces, nil
}
