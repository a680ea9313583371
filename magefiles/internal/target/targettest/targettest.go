// Package targettest has a cluster for tests of operations on clusters.
package targettest

import (
	"context"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/target"
)

// Kinds are the kinds of objects in a self-managed cluster.
func Kinds() []schema.GroupVersionKind {
	api := func(kind schema.GroupKind) schema.GroupVersionKind { return kind.WithVersion(string(release.V1Beta2)) }
	return []schema.GroupVersionKind{
		kube.Namespaces.WithVersion("v1"), kube.Nodes.WithVersion("v1"), kube.Pods.WithVersion("v1"), kube.Events.WithVersion("v1"), kube.Budgets.WithVersion("v1"),
		kube.ConfigMaps.WithVersion("v1"), kube.Secrets.WithVersion("v1"), {Version: "v1", Kind: "ServiceAccount"},
		kube.DaemonSets.WithVersion("v1"), kube.Claims.WithVersion("v1"), kube.Volumes.WithVersion("v1"), kube.StorageClasses.WithVersion("v1"), kube.CSINodes.WithVersion("v1"), kube.VolumeAttachments.WithVersion("v1"),
		kube.Deployments.WithVersion("v1"), {Group: "apps", Version: "v1", Kind: "ReplicaSet"}, kube.Leases.WithVersion("v1"),
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
		api(kube.Clusters), api(kube.Machines), api(kube.MachineDeployments),
		{Group: "bootstrap.cluster.x-k8s.io", Version: "v1beta2", Kind: "KubeadmConfigTemplate"},
		{Group: "infrastructure.cluster.x-k8s.io", Version: "v1beta2", Kind: "DockerMachineTemplate"},
		hollow.Templates.WithVersion("v1beta2"),
		kube.Providers.WithVersion("v1alpha3"),
	}
}

// Objects are a cluster with a control plane, a worker and a node group.
const Objects = `
{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, uid: the-uid}}
---
{apiVersion: v1, kind: Node, metadata: {name: cp, labels: {node-role.kubernetes.io/control-plane: ""}}, status: {nodeInfo: {kubeletVersion: v1.35.4}, capacity: {cpu: "8", memory: 16Gi}}}
---
apiVersion: v1
kind: Node
metadata: {name: worker}
status:
  nodeInfo: {kubeletVersion: v1.34.0}
  capacity: {cpu: "8", memory: 16Gi}
  allocatable: {cpu: "8", memory: 16Gi, pods: "110"}
  images: [{names: ["registry.k8s.io/pause:3.10"]}]
---
{apiVersion: clusterctl.cluster.x-k8s.io/v1alpha3, kind: Provider, metadata: {name: cluster-api, namespace: capi-system}, type: CoreProvider, version: v1.13.5}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {name: work-cluster, namespace: default}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: work-cluster-md-0, namespace: default, generation: 1}
spec:
  clusterName: work-cluster
  replicas: 1
  template:
    spec:
      clusterName: work-cluster
      bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfigTemplate, name: work-cluster-md-0}}
      infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DockerMachineTemplate, name: work-cluster-md-0}
status: {readyReplicas: 1, observedGeneration: 1}
---
{apiVersion: bootstrap.cluster.x-k8s.io/v1beta2, kind: KubeadmConfigTemplate, metadata: {name: work-cluster-md-0, namespace: default}, spec: {template: {spec: {joinConfiguration: {}}}}}
---
{apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: DockerMachineTemplate, metadata: {name: work-cluster-md-0, namespace: default}, spec: {template: {spec: {}}}}
`

// kubeconfig names a server that does not answer.
const kubeconfig = `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c}}],
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]}`

// New returns the environment's cluster, and the API server behind it, with the
// Objects. Its kubeconfig is for programs that do not run.
func New(t testing.TB) (*target.Cluster, *kubetest.Server) {
	t.Helper()
	server := kubetest.New(t, Kinds(), Objects)
	client, path := server.Client(), filepath.Join(t.TempDir(), "kubeconfig")
	if err := kube.WriteKubeconfig(path, []byte(kubeconfig)); err != nil {
		t.Fatal(err)
	}
	return &target.Cluster{
		Workload: client, Management: client, WorkloadPath: path, Name: "work-cluster", Namespace: "default", Own: true, UID: "the-uid",
	}, server
}

// Open returns an opener of the cluster.
func Open(c *target.Cluster) target.Opener {
	return func(context.Context) (*target.Cluster, error) { return c, nil }
}

// Closed returns an opener that fails the test, for code that must not open the cluster.
func Closed(t testing.TB) target.Opener {
	return func(context.Context) (*target.Cluster, error) {
		t.Error("the cluster is opened")
		return nil, context.Canceled
	}
}
