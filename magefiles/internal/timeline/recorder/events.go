package recorder

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
)

// isAutoscalers reports whether an event comes from the autoscaler.
func isAutoscalers(o *unstructured.Unstructured) bool {
	return kube.Field(o, "source", "component") == autoscaler.Component || kube.Field(o, "reportingComponent") == autoscaler.Component
}

// eventState returns a text that changes when the event happens again.
func eventState(o *unstructured.Unstructured) string {
	return strings.Join([]string{
		kube.Field(o, "count"), kube.Field(o, "lastTimestamp"),
		kube.Field(o, "series", "count"), kube.Field(o, "series", "lastObservedTime"),
	}, " ")
}

// What the messages of events name.
var (
	planned    = regexp.MustCompile(`\{(\S+) \d+->(\d+) \(max: \d+\)\}`)
	resized    = regexp.MustCompile(`\bgroup (\S+) size (?:set )?to (\d+)\b`)
	removed    = regexp.MustCompile(`\bnode "?([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)`)
	namedGroup = regexp.MustCompile(`\bgroup ([A-Za-z]+/\S+?/[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)`)
)

// eventFact returns the fact of an event of the autoscaler, by the reasons and
// messages of releases 1.26 to 1.36.1. It returns false for an event that says
// nothing which other facts do not.
func eventFact(o *unstructured.Unstructured) (timeline.Fact, bool) {
	text := bounded(kube.Field(o, "message"))
	f := timeline.Fact{Kind: timeline.Autoscaler, Text: text, Source: timeline.Event}
	f.Time = cmp.Or(
		parsed(kube.Field(o, "series", "lastObservedTime")), parsed(kube.Field(o, "lastTimestamp")),
		parsed(kube.Field(o, "eventTime")), o.GetCreationTimestamp().Time,
	)
	involved, name := kube.Field(o, "involvedObject", "kind"), kube.Field(o, "involvedObject", "name")
	switch involved {
	case "Pod":
		f.Name = kube.Field(o, "involvedObject", "namespace") + "/" + name
	case "Node":
		f.Node = name
	}
	named := func(pattern *regexp.Regexp) {
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
	switch reason := kube.Field(o, "reason"); reason {
	case "TriggeredScaleUp":
		f.What = timeline.ScaleUp
		named(planned)
	case "ScaledUpGroup":
		f.What = timeline.ScaleUp
		named(resized)
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
		if involved == "Pod" {
			f.Kind, f.What, f.UID = timeline.Pod, timeline.Evicted, kube.Field(o, "involvedObject", "uid")
		} else if m := removed.FindStringSubmatch(text); m != nil && f.Node == "" {
			f.Node = m[1]
		}
	case "ScaleUpTimedOut", "FailedToScaleUpGroup", "ScaleUpFailed", "FailedToRevertScaleUp", "ScaleDownFailed", "DeleteUnregisteredFailed", "ClusterUnhealthy":
		f.What = timeline.Problem
		named(namedGroup)
		if m := removed.FindStringSubmatch(text); m != nil && f.Node == "" && f.Group == "" {
			f.Node = m[1]
		}
	default:
		if kube.Field(o, "type") != "Warning" {
			return timeline.Fact{}, false
		}
		f.What, f.Text = timeline.Problem, sentence(reason, text)
	}
	return f, !f.Time.IsZero()
}

// event follows events.
func (r *recorder) event(change kube.Change) {
	if change.After == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.bookmark.Events, string(change.Before.GetUID()))
		delete(r.present, "event/"+string(change.Before.GetUID()))
		return
	}
	o := change.After
	uid, state := string(o.GetUID()), eventState(o)
	r.mu.Lock()
	r.present["event/"+uid] = true
	told := r.bookmark.Events[uid] == state
	r.mu.Unlock()
	if told || !isAutoscalers(o) {
		return
	}
	f, tells := eventFact(o)
	if tells && f.Kind == timeline.Pod && house(kube.Field(o, "involvedObject", "namespace")) {
		tells = false
	}
	if tells && !r.said(f) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bookmark.Events[uid] = state
}

// forget drops from the bookmark the events that the API server has dropped.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid := range r.bookmark.Events {
		if !r.present["event/"+uid] {
			delete(r.bookmark.Events, uid)
		}
	}
}
