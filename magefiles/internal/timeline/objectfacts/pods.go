package objectfacts

import (
	"cmp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// podCondition returns the pod's condition of that type, an empty one if it has none.
func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// systemNamespaces are namespaces of the cluster's own components. A name that ends in -system is
// one, too.
var systemNamespaces = map[string]bool{
	"kube-public": true, "kube-node-lease": true, "cert-manager": true, "local-path-storage": true,
}

// isSystemNamespace reports whether a namespace belongs to the cluster's own components.
func isSystemNamespace(namespace string) bool {
	return strings.HasSuffix(namespace, "-system") || systemNamespaces[namespace]
}

// isWorkload reports whether a pod was created for a user or a scenario: not by the
// cluster itself, a provider, a DaemonSet or a kubelet.
func isWorkload(pod *corev1.Pod) bool {
	_, provider := pod.Labels[clusterv1.ProviderNameLabel]
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	for _, owner := range pod.OwnerReferences {
		if owner.Kind == "DaemonSet" || owner.Kind == "Node" {
			return false
		}
	}
	return !isSystemNamespace(pod.Namespace) && !provider && !mirror
}

// Pod returns the facts of a pod's present state; group is the group of its node. For a pod that is
// not a workload, and for the pod of an autoscaler, this is only the shape: what the pod uses of
// its node, or since when it waits for one.
func Pod(pod *corev1.Pod, group string, now time.Time) []timeline.Fact {
	if isWorkload(pod) && len(AutoscalerContainers(pod)) == 0 {
		return workload(pod, group, now)
	}
	return system(pod, now)
}

func system(pod *corev1.Pod, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Pod, pod, "")
	f.Node = pod.Spec.NodeName
	s := shape.OfPod(pod)
	if placed := podCondition(pod, corev1.PodScheduled); f.Node == "" && isUnschedulable(placed) {
		s.Waits = &shape.Wait{Since: cmp.Or(placed.LastTransitionTime.UTC(), now), Message: timeline.Bound(placed.Message)}
	}
	return []timeline.Fact{shaped(f, pod, now, s)}
}

// isUnschedulable reports whether the condition PodScheduled says that no node takes the pod.
func isUnschedulable(placed corev1.PodCondition) bool {
	return placed.Status == corev1.ConditionFalse && placed.Reason == corev1.PodReasonUnschedulable
}

func workload(pod *corev1.Pod, group string, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Pod, pod, group)
	created := f
	created.Group = "" // a new pod has no node yet
	facts := []timeline.Fact{complete(created, timeline.Created, cmp.Or(pod.CreationTimestamp.Time, now), ""), shaped(created, pod, now, shape.OfPod(pod))}

	placed := podCondition(pod, corev1.PodScheduled)
	since := placed.LastTransitionTime.UTC()
	if node := pod.Spec.NodeName; node != "" {
		f.Node = node
		var started time.Time
		if t := pod.Status.StartTime; t != nil {
			started = t.UTC()
		}
		facts = append(facts, complete(f, timeline.Scheduled, cmp.Or(since, started, now), ""))
	} else if isUnschedulable(placed) {
		facts = append(facts, complete(f, timeline.Unschedulable, cmp.Or(since, now), placed.Message))
	}
	begun, ended := containerTimes(pod)
	switch phase := pod.Status.Phase; phase {
	case corev1.PodRunning:
		facts = append(facts, complete(f, timeline.Running, cmp.Or(begun, now), ""))
	case corev1.PodSucceeded, corev1.PodFailed:
		facts = append(facts, complete(f, timeline.Ended, cmp.Or(ended, now), sentence(string(phase), pod.Status.Reason)))
	}
	if c := podCondition(pod, corev1.DisruptionTarget); c.Status == corev1.ConditionTrue {
		facts = append(facts, complete(f, timeline.Evicted, cmp.Or(c.LastTransitionTime.UTC(), now), sentence(c.Reason, c.Message)))
	}
	return facts
}

// containerTimes returns when the last of a pod's containers began, and ended.
func containerTimes(pod *corev1.Pod) (begun, ended time.Time) {
	for _, c := range pod.Status.ContainerStatuses {
		if s := c.State.Running; s != nil && s.StartedAt.After(begun) {
			begun = s.StartedAt.UTC()
		}
		if s := c.State.Terminated; s != nil && s.FinishedAt.After(ended) {
			ended = s.FinishedAt.UTC()
		}
	}
	return begun, ended
}
