package player

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"caslab/components/hollow/api/v1beta2"
)

func TestStrip(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: "p", UID: "u", ResourceVersion: "1", Finalizers: []string{"f"},
			Labels:          map[string]string{"a": "b"},
			Annotations:     map[string]string{v1beta2.RunForAnnotation: "1s", "large": "x"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "Node", Name: "o"}, {Kind: "DaemonSet", Name: "d", UID: "d", Controller: ptr.To(true)}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{}},
		},
		Spec: corev1.PodSpec{
			NodeName: "node", HostNetwork: true, SchedulerName: "s",
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "g"}},
			InitContainers: []corev1.Container{{Name: "i", Image: "x", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways), Command: []string{"c"}}},
			Containers:     []corev1.Container{{Name: "c", Image: "y", Env: []corev1.EnvVar{{Name: "e"}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	want := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: "p", UID: "u", ResourceVersion: "1", Finalizers: []string{"f"},
			Annotations:     map[string]string{v1beta2.RunForAnnotation: "1s"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "DaemonSet", Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{
			NodeName: "node", HostNetwork: true,
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "g"}},
			InitContainers: []corev1.Container{{Name: "i", Image: "x", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}},
			Containers:     []corev1.Container{{Name: "c", Image: "y"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	if Strip(pod); !reflect.DeepEqual(pod, want) {
		t.Errorf("got %+v", pod)
	}
}
