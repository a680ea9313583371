package player

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"caslab/components/hollow/api/v1beta2"
)

// Strip removes what the player does not read from a pod, so that a cache of many pods stays
// small. Of the owners, the kind of the controller stays: pods of DaemonSets never fail.
func Strip(pod *corev1.Pod) {
	owner := metav1.GetControllerOf(pod)
	pod.ManagedFields, pod.Labels, pod.OwnerReferences = nil, nil, nil
	if owner != nil {
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: owner.Kind, Controller: owner.Controller}}
	}
	runFor, ok := pod.Annotations[v1beta2.RunForAnnotation]
	pod.Annotations = nil
	if ok {
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, v1beta2.RunForAnnotation, runFor)
	}
	pod.Spec = corev1.PodSpec{
		NodeName:       pod.Spec.NodeName,
		HostNetwork:    pod.Spec.HostNetwork,
		ReadinessGates: pod.Spec.ReadinessGates,
		InitContainers: stripped(pod.Spec.InitContainers),
		Containers:     stripped(pod.Spec.Containers),
	}
}

func stripped(containers []corev1.Container) []corev1.Container {
	small := make([]corev1.Container, 0, len(containers))
	for _, c := range containers {
		small = append(small, corev1.Container{Name: c.Name, Image: c.Image, RestartPolicy: c.RestartPolicy})
	}
	return small
}
