package main

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"caslab/components/hollow/api/v1beta2"
)

// TestCachesOfACluster: machines of other Clusters in the namespace are not seen.
func TestCachesOfACluster(t *testing.T) {
	caches := options{namespace: "n", clusterName: "a"}.caches()
	if _, ok := caches.DefaultNamespaces["n"]; !ok || len(caches.ByObject) != 1 {
		t.Fatalf("the cache has %+v", caches)
	}
	for kind, by := range caches.ByObject {
		if _, ok := kind.(*v1beta2.HollowMachine); !ok || by.Label.String() != "cluster.x-k8s.io/cluster-name=a" {
			t.Errorf("the cache selects %T by %s", kind, by.Label)
		}
	}
	if caches := (options{}).caches(); caches.ByObject != nil || caches.DefaultNamespaces != nil {
		t.Errorf("without options, the cache has %+v", caches)
	}
}

func TestStrip(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: "p", UID: "u", ResourceVersion: "1", Finalizers: []string{"f"},
			Labels:          map[string]string{"a": "b"},
			Annotations:     map[string]string{v1beta2.RunForAnnotation: "1s", "large": "x"},
			OwnerReferences: []metav1.OwnerReference{{Name: "o"}},
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
			Annotations: map[string]string{v1beta2.RunForAnnotation: "1s"},
		},
		Spec: corev1.PodSpec{
			NodeName: "node", HostNetwork: true,
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: "g"}},
			InitContainers: []corev1.Container{{Name: "i", Image: "x", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}},
			Containers:     []corev1.Container{{Name: "c", Image: "y"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	if strip(pod); !reflect.DeepEqual(pod, want) {
		t.Errorf("got %+v", pod)
	}
}
