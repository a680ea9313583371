package capi

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/manifests"
)

// Kinds that the lab reads, in whatever version the server prefers.
var (
	Clusters           = schema.GroupKind{Group: "cluster.x-k8s.io", Kind: "Cluster"}
	Machines           = schema.GroupKind{Group: "cluster.x-k8s.io", Kind: "Machine"}
	MachineDeployments = schema.GroupKind{Group: "cluster.x-k8s.io", Kind: "MachineDeployment"}
	Providers          = schema.GroupKind{Group: "clusterctl.cluster.x-k8s.io", Kind: "Provider"}
	Deployments        = schema.GroupKind{Group: "apps", Kind: "Deployment"}
	Nodes              = schema.GroupKind{Kind: "Node"}
	Secrets            = schema.GroupKind{Kind: "Secret"}
	definitions        = schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}
)

// StandIn gives a cluster the kinds of cert-manager without cert-manager, so
// that clusterctl finds it installed.
func StandIn(ctx context.Context, c *kube.Client, progress func(string)) error {
	manifest, err := manifests.FS.ReadFile("cluster/cert-manager-crds.yaml")
	if err != nil {
		return fmt.Errorf("read the kinds of cert-manager: %w", err)
	}
	if err := c.Apply(ctx, manifest); err != nil {
		return err
	}
	return c.Wait(ctx, definitions, "", func(all []*unstructured.Unstructured) (bool, string) {
		established := 0
		for _, d := range all {
			if strings.HasSuffix(d.GetName(), ".cert-manager.io") && kube.True(d, "Established") {
				established++
			}
		}
		return established >= 2, "the kinds of cert-manager"
	}, progress)
}

// WaitProviders waits until the managers in the namespaces are available,
// their webhooks then being ready to answer.
func WaitProviders(ctx context.Context, c *kube.Client, namespaces []string, progress func(string)) error {
	return c.Wait(ctx, Deployments, "", func(all []*unstructured.Unstructured) (bool, string) {
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

// Kubeconfig waits until Cluster API has written the workload cluster's
// kubeconfig and returns it.
func Kubeconfig(ctx context.Context, c *kube.Client, namespace, name string, progress func(string)) ([]byte, error) {
	var data []byte
	err := c.Wait(ctx, Secrets, namespace, func(all []*unstructured.Unstructured) (bool, string) {
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
	return c.Wait(ctx, Nodes, "", func(all []*unstructured.Unstructured) (bool, string) {
		ready := 0
		for _, n := range all {
			if kube.True(n, "Ready") {
				ready++
			}
		}
		return ready >= want, fmt.Sprintf("%d of %d nodes Ready", ready, want)
	}, progress)
}

// WaitMovable waits for exactly what `clusterctl move` requires: the cluster's
// infrastructure provisioned, its control plane initialised, and a node behind
// every machine, of which there are as many as wanted.
func WaitMovable(ctx context.Context, c *kube.Client, namespace, name string, machines int, progress func(string)) error {
	err := c.Wait(ctx, Clusters, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		i := slices.IndexFunc(all, func(o *unstructured.Unstructured) bool { return o.GetName() == name })
		if i < 0 {
			return false, "the Cluster " + name
		}
		for field, what := range map[string]string{
			"infrastructureProvisioned": "infrastructure to be provisioned",
			"controlPlaneInitialized":   "the control plane to be initialised",
		} {
			if kube.Field(all[i], "status", "initialization", field) != "true" {
				return false, what
			}
		}
		return true, ""
	}, progress)
	if err != nil {
		return err
	}
	return c.Wait(ctx, Machines, namespace, func(all []*unstructured.Unstructured) (bool, string) {
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

// WaitRunning waits until every machine is in the phase Running: its own new
// managers have seen all of it.
func WaitRunning(ctx context.Context, c *kube.Client, namespace string, machines int, progress func(string)) error {
	return c.Wait(ctx, Machines, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		running := 0
		for _, m := range all {
			if kube.Field(m, "status", "phase") == "Running" {
				running++
			}
		}
		return running >= machines && running == len(all), fmt.Sprintf("%d of %d machines Running", running, max(machines, len(all)))
	}, progress)
}
