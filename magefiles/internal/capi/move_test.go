package capi

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/cluster-api/cmd/clusterctl/client"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/manifests"
)

// TestMoveOfHollowMachines: clusterctl moves hollow machines and their templates with their
// Cluster. It finds kinds by the labels of their definitions, and objects by their owners.
func TestMoveOfHollowMachines(t *testing.T) {
	t.Parallel()
	definitions, err := manifests.FS.ReadFile("hollow/crds.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const (
		api   = "cluster.x-k8s.io/v1beta2"
		infra = "infrastructure.cluster.x-k8s.io/v1beta2"
	)
	objects := string(definitions) + "---\n{apiVersion: v1, kind: Namespace, metadata: {name: default}}\n"
	for _, crd := range []struct{ plural, group, kind, version string }{
		{"clusters", "cluster.x-k8s.io", "Cluster", "v1beta2"}, {"machines", "cluster.x-k8s.io", "Machine", "v1beta2"},
		{"machinedeployments", "cluster.x-k8s.io", "MachineDeployment", "v1beta2"}, {"machinesets", "cluster.x-k8s.io", "MachineSet", "v1beta2"},
		{"providers", "clusterctl.cluster.x-k8s.io", "Provider", "v1alpha3"},
	} {
		objects += fmt.Sprintf("---\n{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: %s.%s, labels: {clusterctl.cluster.x-k8s.io: ''}}, spec: {group: %[2]s, scope: Namespaced, names: {kind: %[3]s, plural: %[1]s}, versions: [{name: %[4]s, served: true, storage: true}]}}\n", crd.plural, crd.group, crd.kind, crd.version)
	}
	object := func(apiVersion, kind, name, owner, fields string) {
		references := ""
		if owner != "" {
			kind, name, _ := strings.Cut(owner, "/")
			references = fmt.Sprintf("ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: %s-%s}]", api, kind, name, strings.ToLower(kind), name)
		}
		objects += fmt.Sprintf("---\n{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: default, uid: %[4]s-%[3]s, %[5]s}, %[6]s}\n", apiVersion, kind, name, strings.ToLower(kind), references, fields)
	}
	object(api, "Cluster", "work", "", "spec: {}, status: {initialization: {infrastructureProvisioned: true}, conditions: [{type: ControlPlaneInitialized, status: 'True', reason: Is, lastTransitionTime: '2026-11-27T15:00:00Z'}]}")
	object(api, "MachineDeployment", "web", "Cluster/work", "spec: {clusterName: work}")
	object(api, "MachineSet", "web-1", "MachineDeployment/web", "spec: {clusterName: work}")
	object(api, "Machine", "web-1-a", "MachineSet/web-1", "spec: {clusterName: work}, status: {nodeRef: {name: web-1-a}}")
	object(infra, "HollowMachineTemplate", "web", "Cluster/work", "spec: {}")
	object(infra, "HollowMachine", "web-1-a", "Machine/web-1-a", "spec: {}")
	object(infra, "HollowMachine", "stray", "", "spec: {}")

	kind := func(group, version, kind string) schema.GroupVersionKind {
		return schema.GroupVersionKind{Group: group, Version: version, Kind: kind}
	}
	server := kubetest.New(t, []schema.GroupVersionKind{
		kube.Namespaces.WithVersion("v1"), kube.Secrets.WithVersion("v1"), kube.ConfigMaps.WithVersion("v1"), kube.Definitions.WithVersion("v1"),
		kube.Clusters.WithVersion("v1beta2"), kube.MachineDeployments.WithVersion("v1beta2"), kind("cluster.x-k8s.io", "v1beta2", "MachineSet"), kube.Machines.WithVersion("v1beta2"),
		kind("infrastructure.cluster.x-k8s.io", "v1beta2", "HollowMachine"), kind("infrastructure.cluster.x-k8s.io", "v1beta2", "HollowMachineTemplate"),
		kube.Providers.WithVersion("v1alpha3"),
	}, objects)

	config := filepath.Join(t.TempDir(), "clusterctl.yaml")
	if err := os.WriteFile(config, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctl, err := newLibrary(t.Context(), config, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := ctl.(*library).client.Move(t.Context(), client.MoveOptions{FromKubeconfig: client.Kubeconfig{Path: server.KubeconfigFile()}, Namespace: "default", ToDirectory: dir}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	for _, want := range []string{"HollowMachine_default_web-1-a.yaml", "HollowMachineTemplate_default_web.yaml"} {
		if !slices.Contains(names, want) {
			t.Errorf("clusterctl moved %q, and not %s", names, want)
		}
	}
	if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, "stray") }) {
		t.Errorf("clusterctl moved a machine without a Cluster: %q", names)
	}
}
