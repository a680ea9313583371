package kube

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestOfControlPlane has the labels of kubeadm before v1.20, from v1.20 to v1.23, and
// since v1.24.
func TestOfControlPlane(t *testing.T) {
	t.Parallel()
	const prefix = "node-role.kubernetes.io/"
	for _, tc := range []struct {
		labels []string
		want   bool
	}{
		{[]string{prefix + "master"}, true},
		{[]string{prefix + "master", prefix + "control-plane"}, true},
		{[]string{prefix + "control-plane"}, true},
		{[]string{prefix + "worker", "master"}, false},
		{nil, false},
	} {
		node := &metav1.ObjectMeta{Labels: map[string]string{}}
		for _, label := range tc.labels {
			node.Labels[label] = ""
		}
		if got := OfControlPlane(node); got != tc.want {
			t.Errorf("a node with the labels %q is one: %t", tc.labels, got)
		}
	}
}
