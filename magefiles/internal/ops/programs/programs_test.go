package programs

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/target/targettest"
)

// TestControlPlane: kubeadm before 1.20 gives control-plane nodes only the label of
// masters, and before 1.24 only the taint of masters. In 1.24 these nodes have both taints.
func TestControlPlane(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"v1.18.19": "master [master]", "v1.19.16": "master [master]", "v1.21.14": "master [master]",
		"v1.24.17": "control-plane [master control-plane]", "v1.36.1": "control-plane [control-plane]",
	} {
		c, server := targettest.New(t)
		server.Edit(kube.Nodes, "", "cp", func(node *unstructured.Unstructured) {
			if err := unstructured.SetNestedField(node.Object, version, "status", "nodeInfo", "kubeletVersion"); err != nil {
				t.Error(err)
			}
		})
		role, tainted, err := ControlPlane(t.Context(), c)
		if got := fmt.Sprint(role, " ", tainted); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", version, got, err, want)
		}
	}
}
