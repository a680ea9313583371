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

// OfDaemonSet returns what the pods of a DaemonSet ask for, as pods that it owns.
func OfDaemonSet(o *unstructured.Unstructured) (Pod, error) {
	var d appsv1.DaemonSet
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
		return Pod{}, fmt.Errorf("read the DaemonSet %s/%s: %w", o.GetNamespace(), o.GetName(), err)
	}
	p := OfPod(&corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec})
	p.Owner = &Owner{daemonSet, o.GetName()}
	return p, nil
}

// volumeAnnotations are those of claims and volumes that the scheduler reads.
var volumeAnnotations = []string{"pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/", "storage.alpha.kubernetes.io/"}

// OfScheduling returns a Namespace, PersistentVolumeClaim, PersistentVolume, StorageClass or
// CSINode with what the scheduler's plugins read: the object itself, without its kind, most of its
// metadata, and what is for the storage driver alone.
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
	metadata["uid"] = string(o.GetUID()) // a volume names its claim by UID
	if annotations := with(o.GetAnnotations(), volumeAnnotations...); annotations != nil {
		metadata["annotations"] = annotations
	}
	for key, value := range o.DeepCopy().Object {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "parameters", "mountOptions"}, key) {
			kept[key] = value
		}
	}
	// These are for the driver alone, and may name people's systems.
	unstructured.RemoveNestedField(kept, "spec", "csi", "volumeAttributes")
	return Encode(kept)
}
