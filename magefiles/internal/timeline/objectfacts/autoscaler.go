package objectfacts

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/logfacts"
)

// AutoscalerContainers returns the names of a pod's containers that may run an autoscaler, judging
// by the image or by the pod's name.
func AutoscalerContainers(pod *corev1.Pod) []string {
	var names []string
	for _, c := range pod.Spec.Containers {
		if autoscaler.Runs(pod.Name, autoscaler.Container{Image: c.Image, Command: c.Command}) {
			names = append(names, c.Name)
		}
	}
	return names
}

// Process returns the facts about the pod of an autoscaler that runs in the containers: whether the
// first container runs or has stopped, if that is known, and the flags of its command line.
func Process(pod *corev1.Pod, containers []string, now time.Time) []timeline.Fact {
	return append(process(pod, containers, now), commandLine(pod, containers[0], now)...)
}

func process(pod *corev1.Pod, containers []string, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Autoscaler, pod, "")
	f.Name = pod.Namespace + "/" + pod.Name
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name != containers[0] {
			continue
		}
		if running := c.State.Running; running != nil {
			return []timeline.Fact{complete(f, timeline.Started, cmp.Or(running.StartedAt.UTC(), now), c.Image)}
		}
		if ended := cmp.Or(c.State.Terminated, c.LastTerminationState.Terminated); ended != nil {
			return []timeline.Fact{complete(f, timeline.Stopped, cmp.Or(ended.FinishedAt.UTC(), now), sentence(ended.Reason, ended.Message))}
		}
	}
	return nil
}

// commandLine returns the fact of the flags in the command line of an autoscaler's
// container, because its log may not have them.
func commandLine(pod *corev1.Pod, container string, now time.Time) []timeline.Fact {
	for _, c := range pod.Spec.Containers {
		if c.Name == container {
			f := logfacts.Flags(autoscaler.FlagsOf(slices.Concat(c.Command, c.Args)), "", cmp.Or(pod.CreationTimestamp.UTC(), now))
			f.Name, f.UID, f.Source = pod.Namespace+"/"+pod.Name, string(pod.UID), timeline.Watch
			return []timeline.Fact{f}
		}
	}
	return nil
}
