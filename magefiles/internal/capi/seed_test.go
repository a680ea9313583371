package capi

import (
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi/release"
)

// TestSeed compares the objects for v0.3.5 with those of the post of 2020 that
// the lab reproduces: the template of v0.3.5 for Kubernetes v1.17.2 that the
// post names, and its MachineDeployment work-md-1.
func TestSeed(t *testing.T) {
	t.Parallel()
	c := example()
	c.Release, c.Kubernetes, c.Workers = releaseOf("0.3.5"), "v1.17.2", 1
	objects := objectsOf(t, c)
	find := func(kind, name string) *unstructured.Unstructured {
		i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetName() == name })
		if i < 0 {
			t.Fatalf("there is no %s %s", kind, name)
		}
		return objects[i]
	}
	const (
		core, infrastructure = "cluster.x-k8s.io/v1alpha3", "infrastructure.cluster.x-k8s.io/v1alpha3"
		bootstrap            = "bootstrap.cluster.x-k8s.io/v1alpha3"
		controlPlane         = "controlplane.cluster.x-k8s.io/v1alpha3"
		containerd           = "/var/run/containerd/containerd.sock"
		eviction             = "nodefs.available<0%,nodefs.inodesFree<0%,imagefs.available<0%"
	)
	group := NodeGroup{Name: "work-md-1", Namespace: "default", ClusterName: "work-cluster", Prefix: release.OldSizePrefix, Min: 1, Max: 4}
	objects = append(objects, group.deployment(find("MachineDeployment", "work-cluster-md-0")))

	ref := func(apiVersion, kind, name string) map[string]any {
		return map[string]any{"apiVersion": apiVersion, "kind": kind, "name": name}
	}
	socket := map[string]any{"hostPath": "/var/run/docker.sock", "containerPath": "/var/run/docker.sock"}
	registration := map[string]any{"criSocket": containerd, "kubeletExtraArgs": map[string]any{
		"eviction-hard": eviction,
		// The post's node images had these two in the kubelet's own configuration.
		"fail-swap-on": "false", "image-gc-high-threshold": "100",
	}}
	for _, tc := range []struct {
		apiVersion, kind, name string
		path                   []string
		want                   any
	}{
		{core, "Cluster", "work-cluster", []string{"spec", "clusterNetwork", "serviceDomain"}, "cluster.local"},
		{core, "Cluster", "work-cluster", []string{"spec", "infrastructureRef"}, ref(infrastructure, "DockerCluster", "work-cluster")},
		{core, "Cluster", "work-cluster", []string{"spec", "controlPlaneRef"}, ref(controlPlane, "KubeadmControlPlane", "work-cluster-control-plane")},
		{infrastructure, "DockerCluster", "work-cluster", []string{"spec"}, nil},
		{infrastructure, "DockerMachineTemplate", "work-cluster-control-plane", []string{"spec", "template", "spec", "extraMounts"}, []any{socket}},
		{infrastructure, "DockerMachineTemplate", "work-cluster-md-0", []string{"spec", "template", "spec", "extraMounts"}, []any{socket}},
		{controlPlane, "KubeadmControlPlane", "work-cluster-control-plane", []string{"spec", "replicas"}, int64(1)},
		{controlPlane, "KubeadmControlPlane", "work-cluster-control-plane", []string{"spec", "version"}, "v1.17.2"},
		{controlPlane, "KubeadmControlPlane", "work-cluster-control-plane", []string{"spec", "infrastructureTemplate"}, ref(infrastructure, "DockerMachineTemplate", "work-cluster-control-plane")},
		{controlPlane, "KubeadmControlPlane", "work-cluster-control-plane", []string{"spec", "kubeadmConfigSpec", "clusterConfiguration", "controllerManager", "extraArgs"}, map[string]any{"enable-hostpath-provisioner": "true"}},
		{controlPlane, "KubeadmControlPlane", "work-cluster-control-plane", []string{"spec", "kubeadmConfigSpec", "clusterConfiguration", "apiServer", "certSANs"}, []any{"localhost", "127.0.0.1"}},
		{controlPlane, "KubeadmControlPlane", "work-cluster-control-plane", []string{"spec", "kubeadmConfigSpec", "initConfiguration", "nodeRegistration"}, registration},
		{controlPlane, "KubeadmControlPlane", "work-cluster-control-plane", []string{"spec", "kubeadmConfigSpec", "joinConfiguration", "nodeRegistration"}, registration},
		{bootstrap, "KubeadmConfigTemplate", "work-cluster-md-0", []string{"spec", "template", "spec", "joinConfiguration", "nodeRegistration"}, registration},
		{core, "MachineDeployment", "work-cluster-md-0", []string{"spec", "replicas"}, int64(1)},
		{core, "MachineDeployment", "work-md-1", []string{"metadata", "namespace"}, "default"},
		{core, "MachineDeployment", "work-md-1", []string{"metadata", "annotations"}, map[string]any{
			"cluster.k8s.io/cluster-api-autoscaler-node-group-min-size": "1", "cluster.k8s.io/cluster-api-autoscaler-node-group-max-size": "4",
		}},
		{core, "MachineDeployment", "work-md-1", []string{"spec", "clusterName"}, "work-cluster"},
		{core, "MachineDeployment", "work-md-1", []string{"spec", "replicas"}, int64(1)},
		{core, "MachineDeployment", "work-md-1", []string{"spec", "template", "spec", "clusterName"}, "work-cluster"},
		{core, "MachineDeployment", "work-md-1", []string{"spec", "template", "spec", "version"}, "v1.17.2"},
		{core, "MachineDeployment", "work-md-1", []string{"spec", "template", "spec", "bootstrap", "configRef"}, ref(bootstrap, "KubeadmConfigTemplate", "work-cluster-md-0")},
		{core, "MachineDeployment", "work-md-1", []string{"spec", "template", "spec", "infrastructureRef"}, ref(infrastructure, "DockerMachineTemplate", "work-cluster-md-0")},
	} {
		o := find(tc.kind, tc.name)
		got, _, err := unstructured.NestedFieldCopy(o.Object, tc.path...)
		if err != nil {
			t.Fatal(err)
		}
		if o.GetAPIVersion() != tc.apiVersion || !has(got, tc.want) {
			t.Errorf("%s %s %s: %v is\n%v\nwant\n%v", o.GetAPIVersion(), tc.kind, tc.name, tc.path, got, tc.want)
		}
	}
}

// has reports whether got has everything that want has. Lists may have more
// items than wanted.
func has(got, want any) bool {
	list, ok := want.([]any)
	if !ok {
		return fmt.Sprint(got) == fmt.Sprint(want)
	}
	items, _ := got.([]any)
	return !slices.ContainsFunc(list, func(w any) bool {
		return !slices.ContainsFunc(items, func(i any) bool { return has(i, w) })
	})
}
