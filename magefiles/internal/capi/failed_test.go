package capi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

// TestRemoveFailed: only workers of the cluster on which kubeadm failed are replaced.
func TestRemoveFailed(t *testing.T) {
	t.Parallel()
	var objects strings.Builder
	add := func(name, labels, condition string) {
		fmt.Fprintf(&objects, `
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: %[1]s, namespace: default}}
---
{apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: DevMachine, metadata: {name: %[1]s-docker, namespace: default, labels: {%[2]s},
  ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: %[1]s, uid: x}]}, status: {conditions: [%[3]s]}}
---`, name, labels, condition)
	}
	const own, failed = "cluster.x-k8s.io/cluster-name: own", "{type: BootstrapCompleted, status: 'False', reason: Failed}"
	add("failed", own, failed)
	add("waits", own, "{type: BootstrapCompleted, status: 'False', reason: NotCompleted}")
	add("unknown", own, "{type: BootstrapCompleted, status: Unknown, reason: Failed}")
	add("not-ready", own, "{type: Ready, status: 'False', reason: Failed}")
	add("new", own, "")
	add("foreign", "cluster.x-k8s.io/cluster-name: foreign", failed)
	add("control-plane", own+", cluster.x-k8s.io/control-plane: ''", failed)
	kinds := []schema.GroupVersionKind{kube.Machines.WithVersion("v1beta2"), devMachines.WithVersion("v1beta2")}
	server := kubetest.New(t, kinds, objects.String())
	removed, err := RemoveFailed(t.Context(), server.Client(), "default", "own")
	if err != nil || !slices.Equal(removed, []string{"failed"}) {
		t.Errorf("RemoveFailed() = %q, %v", removed, err)
	}
	if n := len(server.List(kube.Machines)); n != 6 || server.Get(kube.Machines, "default", "failed") != nil {
		t.Errorf("%d machines are left", n)
	}
	// Releases before v1.10 do not have the kind.
	old := kubetest.New(t, kinds[:1], "")
	if removed, err := RemoveFailed(t.Context(), old.Client(), "default", "own"); err != nil || removed != nil {
		t.Errorf("without the kind: %q, %v", removed, err)
	}
}
