package player

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"caslab/components/hollow/api/v1beta2"
	"caslab/components/hollow/chance"
)

// play sets the status that a pod of a Node is due to have.
func play(m *v1beta2.HollowMachine, node *corev1.Node, pod *corev1.Pod, next *schedule) {
	now := metav1.Time{Time: next.now}
	switch pod.Status.Phase {
	case corev1.PodPending, "":
		ready := readySince(node)
		if ready == nil || !next.due(later(boundAt(pod), *ready), startOf(m, pod)) {
			return
		}
		if fails(m, pod) {
			terminate(pod, corev1.PodFailed, now)
			pod.Status.Reason, pod.Status.Message = "Hollow", "pods.fail of its hollow machine makes this pod fail"
			return
		}
		start(pod, now)
		// The next look is for the pod's end, if it has one.
		endsAt(pod, next)
	case corev1.PodRunning:
		if endsAt(pod, next) {
			terminate(pod, corev1.PodSucceeded, now)
			return
		}
		// The node lifecycle controller marks the pods of a Node whose leases ended.
		setPodReady(pod, now)
	}
}

// boundAt returns when a pod was bound to its Node.
func boundAt(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return pod.CreationTimestamp.Time
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// drawOf returns the draw for something about a pod. Its name decides, so a pod that has
// the same name in each run has the same fate.
func drawOf(m *v1beta2.HollowMachine, what string, pod *corev1.Pod) float64 {
	return chance.Draw(m.Spec.Lifecycle.Seed, what+"/"+pod.Namespace+"/"+pod.Name)
}

func startOf(m *v1beta2.HollowMachine, pod *corev1.Pod) time.Duration {
	return chance.Delay(m.Spec.Pods.Start.Duration, m.Spec.Pods.StartJitter.Duration, drawOf(m, "pod-start", pod))
}

// fails reports whether a pod ends with phase Failed. Pods of DaemonSets never do: each would be
// created again and fail again, and a drain would wait for them without end.
func fails(m *v1beta2.HollowMachine, pod *corev1.Pod) bool {
	if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "DaemonSet" {
		return false
	}
	// The API server admits percentages only.
	fraction, err := chance.Percent(m.Spec.Pods.Fail)
	return err == nil && drawOf(m, "pod-fate", pod) < fraction
}

// endsAt reports whether the time that a pod's annotation lets it run is over. A pod whose
// annotation is missing, or no duration, runs on.
func endsAt(pod *corev1.Pod, next *schedule) bool {
	runFor, err := time.ParseDuration(pod.Annotations[v1beta2.RunForAnnotation])
	return err == nil && pod.Status.StartTime != nil && next.due(pod.Status.StartTime.Time, runFor)
}

// start sets the status of a pod whose containers started at now.
func start(pod *corev1.Pod, now metav1.Time) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}
	done := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Completed", StartedAt: now, FinishedAt: now}}
	s := &pod.Status
	s.Phase, s.StartTime = corev1.PodRunning, &now
	s.InitContainerStatuses, s.ContainerStatuses = nil, nil
	for _, c := range pod.Spec.InitContainers {
		state := done
		if ptr.Deref(c.RestartPolicy, "") == corev1.ContainerRestartPolicyAlways {
			state = running
		}
		s.InitContainerStatuses = append(s.InitContainerStatuses, statusOf(c, state))
	}
	for _, c := range pod.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, statusOf(c, running))
	}
	if !pod.Spec.HostNetwork {
		s.PodIP = addressOf(pod)
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	}
	setCondition(pod, corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", now)
	setCondition(pod, corev1.PodInitialized, corev1.ConditionTrue, "", now)
	setCondition(pod, corev1.ContainersReady, corev1.ConditionTrue, "", now)
	setPodReady(pod, now)
}

func statusOf(c corev1.Container, state corev1.ContainerState) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: c.Image, State: state,
		Ready: true, Started: ptr.To(state.Running != nil),
	}
}

// addressOf returns the IP address of a pod. It is in 240.0.0.0/4, which is reserved: no
// network of a cluster has it, and nothing answers there. Two pods have the same one in
// 1 of 268 million cases.
func addressOf(pod *corev1.Pod) string {
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], 0xf000_0000+uint32(chance.Draw(0, string(pod.UID))*(1<<28-1)))
	return netip.AddrFrom4(ip).String()
}

// terminate ends a pod with that phase.
func terminate(pod *corev1.Pod, phase corev1.PodPhase, now metav1.Time) {
	reason, exitCode := "Completed", int32(0)
	if phase == corev1.PodFailed {
		reason, exitCode = "Error", 1
	}
	if pod.Status.StartTime == nil {
		start(pod, now)
	}
	pod.Status.Phase = phase
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			s := &statuses[i]
			if s.State.Running == nil {
				continue
			}
			s.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				Reason: reason, ExitCode: exitCode, StartedAt: s.State.Running.StartedAt, FinishedAt: now,
			}}
			s.Ready, s.Started = false, ptr.To(false)
		}
	}
	why := "Pod" + string(phase)
	if phase == corev1.PodSucceeded {
		why = "PodCompleted"
	}
	setCondition(pod, corev1.ContainersReady, corev1.ConditionFalse, why, now)
	setCondition(pod, corev1.PodReady, corev1.ConditionFalse, why, now)
}

// setPodReady makes a running pod ready if its readiness gates let it.
func setPodReady(pod *corev1.Pod, now metav1.Time) {
	for _, gate := range pod.Spec.ReadinessGates {
		if !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		}) {
			setCondition(pod, corev1.PodReady, corev1.ConditionFalse, "ReadinessGatesNotReady", now)
			return
		}
	}
	setCondition(pod, corev1.PodReady, corev1.ConditionTrue, "", now)
}

func setCondition(pod *corev1.Pod, kind corev1.PodConditionType, status corev1.ConditionStatus, reason string, now metav1.Time) {
	c := corev1.PodCondition{Type: kind, Status: status, Reason: reason, LastTransitionTime: now}
	i := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == kind })
	switch {
	case i < 0:
		pod.Status.Conditions = append(pod.Status.Conditions, c)
	case pod.Status.Conditions[i].Status != status:
		pod.Status.Conditions[i] = c
	}
}
