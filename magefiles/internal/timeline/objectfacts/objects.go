// Package objectfacts turns the objects of a cluster into facts of the timeline: each function
// describes one object as it is now. The time of a fact comes from the object where the object has
// one. Otherwise it is the time now that the caller passes.
package objectfacts

import (
	"cmp"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// parseTime parses a time of an object. It returns zero for any other text.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// sentence joins a reason and a message, of which one may be empty.
func sentence(reason, message string) string {
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

// factAbout returns a fact with the fields that all facts about the object o share.
func factAbout(kind timeline.Kind, o metav1.Object, group string) timeline.Fact {
	name := o.GetName()
	if kind == timeline.Pod {
		name = o.GetNamespace() + "/" + name
	}
	return timeline.Fact{Kind: kind, Name: name, UID: string(o.GetUID()), Group: group, Source: timeline.Watch}
}

// complete returns f with what happened, the time, and a text.
func complete(f timeline.Fact, what string, at time.Time, text string) timeline.Fact {
	f.What, f.Time, f.Text = what, at, text
	return f
}

// shaped returns the fact of an object's shape. The shape dates from the object's creation, unless
// the record has another one.
func shaped(f timeline.Fact, o metav1.Object, now time.Time, what any) timeline.Fact {
	f = complete(f, timeline.Shaped, cmp.Or(o.GetCreationTimestamp().UTC(), now), "")
	f.Shape = shape.Encode(what)
	return f
}

// Template returns the facts of an infrastructure template's present state.
func Template(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Template, o, "")
	f.Name = o.GetKind() + "/" + f.Name
	return []timeline.Fact{shaped(f, o, now, shape.OfTemplate(o))}
}

// Budget returns the facts of a PodDisruptionBudget's present state.
func Budget(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Budget, o, "")
	f.Name = o.GetNamespace() + "/" + f.Name
	return []timeline.Fact{shaped(f, o, now, shape.OfBudget(o))}
}
