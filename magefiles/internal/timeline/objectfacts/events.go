package objectfacts

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
)

// IsFromAutoscaler reports whether an event comes from the autoscaler. It and Occurrence
// read fields of the unstructured object, because they see every event of the cluster,
// and few of these are converted.
func IsFromAutoscaler(o *unstructured.Unstructured) bool {
	return kube.Field(o, "source", "component") == autoscaler.Component || kube.Field(o, "reportingComponent") == autoscaler.Component
}

// Occurrence returns a text that changes when the event happens again.
func Occurrence(o *unstructured.Unstructured) string {
	return strings.Join([]string{
		kube.Field(o, "count"), kube.Field(o, "lastTimestamp"),
		kube.Field(o, "series", "count"), kube.Field(o, "series", "lastObservedTime"),
	}, " ")
}

// Patterns of the names in messages of events.
var (
	plannedPattern = regexp.MustCompile(`\{(\S+) \d+->(\d+) \(max: \d+\)\}`)
	resizedPattern = regexp.MustCompile(`\bgroup (\S+) size (?:set )?to (\d+)\b`)
	removedPattern = regexp.MustCompile(`\bnode "?([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)`)
	groupPattern   = regexp.MustCompile(`\bgroup ([A-Za-z]+/\S+?/[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)`)
)

// Event returns the fact of an event of the autoscaler, by the reasons and
// messages of releases 1.26 to 1.36.1. It returns false for an event that only repeats
// other facts, or that is about a pod of the cluster's own components.
func Event(e *corev1.Event) (timeline.Fact, bool) {
	text := timeline.Bound(e.Message)
	f := timeline.Fact{Kind: timeline.Autoscaler, Text: text, Source: timeline.Event}
	if e.Series != nil {
		f.Time = e.Series.LastObservedTime.UTC()
	}
	f.Time = cmp.Or(f.Time, e.LastTimestamp.UTC(), e.EventTime.UTC(), e.CreationTimestamp.Time)
	involved := e.InvolvedObject
	switch involved.Kind {
	case "Pod":
		f.Name = involved.Namespace + "/" + involved.Name
	case "Node":
		f.Node = involved.Name
	}
	setGroup := func(pattern *regexp.Regexp) {
		all := pattern.FindAllStringSubmatch(text, -1)
		if len(all) != 1 {
			return // none, or several
		}
		f.Group = timeline.LastPart(all[0][1])
		if len(all[0]) > 2 {
			if n, err := strconv.Atoi(all[0][2]); err == nil {
				f.N = &n
			}
		}
	}
	switch e.Reason {
	case "TriggeredScaleUp":
		f.What = timeline.ScaleUp
		setGroup(plannedPattern)
	case "ScaledUpGroup":
		f.What = timeline.ScaleUp
		setGroup(resizedPattern)
	case "NotTriggerScaleUp":
		f.What, f.Text = timeline.Refused, strings.TrimSpace(strings.TrimPrefix(text, "pod didn't trigger scale-up:"))
		if f.Text == "" {
			// It was not tried on any group.
			f.Text = "no group was tried"
		}
	case "MaxNodesTotalReached":
		f.What = timeline.Refused
	case "ScaleDown", "ScaleDownEmpty", "DeleteUnregistered":
		f.What = timeline.ScaleDown
		if involved.Kind == "Pod" {
			f.Kind, f.What, f.UID = timeline.Pod, timeline.Evicted, string(involved.UID)
		} else if m := removedPattern.FindStringSubmatch(text); m != nil && f.Node == "" {
			f.Node = m[1]
		}
	case "ScaleUpTimedOut", "FailedToScaleUpGroup", "ScaleUpFailed", "FailedToRevertScaleUp", "ScaleDownFailed", "DeleteUnregisteredFailed", "ClusterUnhealthy":
		f.What = timeline.Problem
		setGroup(groupPattern)
		if m := removedPattern.FindStringSubmatch(text); m != nil && f.Node == "" && f.Group == "" {
			f.Node = m[1]
		}
	default:
		if e.Type != corev1.EventTypeWarning {
			return timeline.Fact{}, false
		}
		f.What, f.Text = timeline.Problem, sentence(e.Reason, text)
	}
	ofSystem := f.Kind == timeline.Pod && isSystemNamespace(involved.Namespace)
	return f, !f.Time.IsZero() && !ofSystem
}
