package autoscaler

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestDeleteMark: each release marks a machine with annotations of its time.
func TestDeleteMark(t *testing.T) {
	t.Parallel()
	const at = "2020-06-01 10:00:00.5 +0000 UTC m=+7.1"
	for name, tc := range map[string]struct {
		annotations map[string]string
		at          string
		marked      bool
	}{
		"1.18.2":      {map[string]string{"cluster.k8s.io/delete-machine": at}, at, true},
		"1.21.3":      {map[string]string{"cluster.k8s.io/delete-machine": at, "cluster.x-k8s.io/delete-machine": at}, at, true},
		"1.35.0":      {map[string]string{"cluster.x-k8s.io/delete-machine": at}, at, true},
		"by a person": {map[string]string{"cluster.x-k8s.io/delete-machine": ""}, "", true},
		"another one": {map[string]string{"cluster.example.com/delete-machine": at}, "", false},
		"none":        {nil, "", false},
	} {
		if got, marked := DeleteMark(&metav1.ObjectMeta{Annotations: tc.annotations}); got != tc.at || marked != tc.marked {
			t.Errorf("%s: %q, %t; want %q, %t", name, got, marked, tc.at, tc.marked)
		}
	}
}
