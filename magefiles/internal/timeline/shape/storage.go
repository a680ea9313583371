package shape

import (
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"caslab/magefiles/internal/kube"
)

// nodeCritical is the priority class of pods that a node cannot do without.
const nodeCritical = "system-node-critical"

// OfDaemonSet returns the shape of the pods of a DaemonSet, with the DaemonSet as their owner.
func OfDaemonSet(o *unstructured.Unstructured) (Pod, error) {
	var d appsv1.DaemonSet
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
		return Pod{}, fmt.Errorf("read the DaemonSet %s/%s: %w", o.GetNamespace(), o.GetName(), err)
	}
	p := OfPod(&corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec})
	p.Owner = &Owner{daemonSet, o.GetName()}
	spec := d.Spec.Template.Spec
	p.Critical = spec.PriorityClassName == nodeCritical && (spec.PreemptionPolicy == nil || *spec.PreemptionPolicy == corev1.PreemptLowerPriority)
	return p, nil
}

// volumeAnnotations are the prefixes of the annotations of claims and volumes that the scheduler
// reads.
var volumeAnnotations = []string{"pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/", "storage.alpha.kubernetes.io/"}

// OfScheduling returns the fields of a Namespace, of an object of storage, or of one of
// resource.k8s.io that the scheduler's plugins read. It leaves out the kind, most of the metadata, and
// what only a driver reads.
func OfScheduling(o *unstructured.Unstructured) json.RawMessage {
	metadata := map[string]any{"name": o.GetName()}
	if o.GetNamespace() != "" {
		metadata["namespace"] = o.GetNamespace()
	}
	if labels := o.GetLabels(); len(labels) > 0 {
		metadata["labels"] = labels
	}
	kept := map[string]any{"metadata": metadata}
	if o.GroupVersionKind().GroupKind() == kube.Namespaces {
		return Encode(kept)
	}
	if deleted := o.GetDeletionTimestamp(); deleted != nil {
		metadata["deletionTimestamp"] = deleted.UTC() // no pod may use a claim that is being deleted
	}
	metadata["uid"] = string(o.GetUID()) // a volume names its claim by UID
	if annotations := with(o.GetAnnotations(), volumeAnnotations...); annotations != nil {
		metadata["annotations"] = annotations
	}
	for key, value := range o.DeepCopy().Object {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "parameters", "mountOptions"}, key) {
			kept[key] = value
		}
	}
	if o.GroupVersionKind().Group == kube.DevicesGroup {
		return ofDevices(o, kept)
	}
	if o.GroupVersionKind().GroupKind() == kube.VolumeAttachments {
		delete(kept, "status") // it counts before it is attached
	}
	// Only the driver reads these attributes, and they may name people's systems.
	unstructured.RemoveNestedField(kept, "spec", "csi", "volumeAttributes")
	return Encode(kept)
}
