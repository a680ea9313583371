package predicates

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"caslab/magefiles/internal/timeline/shape"
)

// Node returns a node as an object with the fields that the scheduler's filters read.
func Node(name string, labels map[string]string, taints []corev1.Taint, allocatable corev1.ResourceList) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.NodeSpec{Taints: taints}}
	n.Spec.Unschedulable = slices.ContainsFunc(taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable })
	n.Status.Allocatable = allocatable
	return n
}

// Pod returns a pod as an object with the fields that the scheduler's filters read. node is empty
// for a pod that waits.
func Pod(namespace, name, uid, node string, p shape.Pod) corev1.Pod {
	o := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(uid), Labels: p.Labels}}
	if !p.Deleted.IsZero() {
		o.DeletionTimestamp = &metav1.Time{Time: p.Deleted}
	}
	container := corev1.Container{Name: "all", Resources: corev1.ResourceRequirements{Requests: p.Requests}}
	for _, text := range p.HostPorts {
		protocol, number, _ := strings.Cut(text, "/")
		if port, err := strconv.ParseInt(number, 10, 32); err == nil {
			container.Ports = append(container.Ports, corev1.ContainerPort{ContainerPort: int32(port), HostPort: int32(port), Protocol: corev1.Protocol(strings.ToUpper(protocol))})
		}
	}
	o.Spec = corev1.PodSpec{
		NodeName: node, Containers: []corev1.Container{container}, NodeSelector: p.NodeSelector, Affinity: p.Affinity, Tolerations: p.Tolerations,
		TopologySpreadConstraints: p.Spread, Priority: &p.Priority, SchedulerName: cmp.Or(p.Scheduler, corev1.DefaultSchedulerName),
	}
	for _, d := range p.DeviceClaims {
		if d.Claim != "" {
			o.Spec.ResourceClaims = append(o.Spec.ResourceClaims, corev1.PodResourceClaim{Name: d.Name, ResourceClaimName: &d.Claim})
		}
	}
	for _, claim := range p.Claims {
		o.Spec.Volumes = append(o.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}})
	}
	return o
}
