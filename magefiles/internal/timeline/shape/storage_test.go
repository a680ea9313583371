package shape

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestOfDaemonSet: the shape is a pod of the DaemonSet, critical if it has the priority class and evicts
// other pods.
func TestOfDaemonSet(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"{}": `{"owner":{"kind":"DaemonSet","name":"agent"}}`,
		"{priorityClassName: system-node-critical}":                                            `{"owner":{"kind":"DaemonSet","name":"agent"},"critical":true}`,
		"{priorityClassName: system-node-critical, preemptionPolicy: PreemptLowerPriority}":    `{"owner":{"kind":"DaemonSet","name":"agent"},"critical":true}`,
		"{priorityClassName: system-node-critical, preemptionPolicy: Never}":                   `{"owner":{"kind":"DaemonSet","name":"agent"}}`,
		"{priorityClassName: system-cluster-critical, preemptionPolicy: PreemptLowerPriority}": `{"owner":{"kind":"DaemonSet","name":"agent"}}`,
	} {
		o := &unstructured.Unstructured{Object: *read[map[string]any](t, "metadata: {name: agent}\nspec: {template: {spec: "+spec+"}}")}
		p, err := OfDaemonSet(o)
		if got := string(Encode(p)); err != nil || got != want {
			t.Errorf("%s: %s, %v\nwant %s", spec, got, err, want)
		}
	}
}
