package simtest

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestObstacleOfSeveralDevices: of several devices that a node lacks, the obstacle is always the same one.
func TestObstacleOfSeveralDevices(t *testing.T) {
	t.Parallel()
	requests := map[string]any{"example.com/a": "1", "example.com/b": "1", "example.com/c": "1"}
	pod := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"containers": []any{map[string]any{"resources": map[string]any{"requests": requests}}}},
	}}
	room := &nodeRoom{cluster: &Cluster{}, node: &unstructured.Unstructured{Object: map[string]any{}}}
	for range 50 {
		if got, want := room.obstacle(pod), "Insufficient example.com/a"; got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}
