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

// TestOfSchedulingKeepsWhatTheSchedulerReads: no pod may use a claim that is being deleted. What is for the
// storage driver alone is left out.
func TestOfSchedulingKeepsWhatTheSchedulerReads(t *testing.T) {
	t.Parallel()
	o := &unstructured.Unstructured{Object: *read[map[string]any](t, `
kind: PersistentVolumeClaim
metadata: {namespace: ns, name: data, uid: u, deletionTimestamp: "2026-11-27T00:00:00Z", annotations: {volume.kubernetes.io/selected-node: a, other: x}}
spec: {storageClassName: late, csi: {driver: d, volumeAttributes: {secret: x}}}
parameters: {secret: x}`)}
	want := `{"metadata":{"annotations":{"volume.kubernetes.io/selected-node":"a"},"deletionTimestamp":"2026-11-27T00:00:00Z","name":"data","namespace":"ns","uid":"u"},"spec":{"csi":{"driver":"d"},"storageClassName":"late"}}`
	if got := string(OfScheduling(o)); got != want {
		t.Errorf("the shape is\n%s\nwant\n%s", got, want)
	}
}
