package history

import (
	"slices"
	"time"

	"caslab/magefiles/internal/timeline"
)

// PodStory is what happened to a pod.
type PodStory struct {
	// Name is namespace/name.
	Name string
	// Node that it was scheduled on.
	Node  string
	Spans []Span
	// Times of what happened, zero if not on record. Unschedulable is when it was first found
	// unschedulable, Gone when it ended or was deleted.
	Created, Unschedulable, Scheduled, Running, Evicted, Gone time.Time
	// Lost is set for a pod that only the autoscaler mentions: the time after which it no longer
	// mentions the pod. What became of the pod is then unknown.
	Lost time.Time

	uid string
	on  *NodeStory
	// mentioned is the last fact in which the autoscaler mentions it, and recorded is set if a fact
	// is about the pod itself.
	mentioned timeline.Fact
	recorded  bool
}

// UID returns its UID, empty if it is not on record.
func (p *PodStory) UID() string { return p.uid }

// Began returns the time of the first fact about it.
func (p *PodStory) Began() time.Time { return began(p.Spans) }

// Ended returns when it was gone or Lost, zero if it was there at the record's end.
func (p *PodStory) Ended() time.Time { return ended(p.Spans) }

// Placed returns when its wait was over, because it had a node or was gone, or until when the
// wait is on record because it was Lost; zero if it waited at the record's end.
func (p *PodStory) Placed() time.Time {
	for _, t := range []time.Time{p.Scheduled, p.Running, p.Ended()} {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

// Pending reports whether the pod waited for a node at the record's end.
func (p *PodStory) Pending() bool { return p.Placed().IsZero() }

func (b *builder) addPod(f timeline.Fact) {
	p := b.pod(f)
	p.recorded = true
	if f.Node != "" && f.What != timeline.Gone {
		p.Node = f.Node
		b.node(f.Node, f)
	}
	if !p.Gone.IsZero() {
		return
	}
	first := func(t *time.Time) {
		if t.IsZero() {
			*t = f.Time
		}
	}
	switch f.What {
	case timeline.Created:
		first(&p.Created)
		if len(p.Spans) == 0 {
			p.Spans = openSpan(p.Spans, Pending, f.Time, "")
		}
	case timeline.Unschedulable:
		first(&p.Unschedulable)
		if p.Scheduled.IsZero() && p.Running.IsZero() {
			p.Spans = openSpan(p.Spans, Unschedulable, f.Time, f.Text)
		}
	case timeline.Scheduled:
		first(&p.Scheduled)
		if p.Running.IsZero() {
			p.Spans = openSpan(p.Spans, Scheduled, f.Time, "")
		}
	case timeline.Running:
		first(&p.Running)
		p.Spans = openSpan(p.Spans, Running, f.Time, "")
	case timeline.Evicted:
		first(&p.Evicted)
		p.Spans = openSpan(p.Spans, Evicted, f.Time, f.Text)
	case timeline.Ended, timeline.Gone:
		p.Gone = f.Time
		if len(p.Spans) == 0 {
			p.Spans = openSpan(nil, Pending, f.Time, "")
		}
		p.Spans = closeLastSpan(p.Spans, f.Time)
	}
}

// pod returns the story that a fact belongs to, or begins one.
func (b *builder) pod(f timeline.Fact) *PodStory {
	if p := b.pods[f.UID]; f.UID != "" && p != nil {
		return p
	}
	p := b.pods[f.Name]
	if p == nil || p.uid != "" && f.UID != "" || !p.Gone.IsZero() && f.What == timeline.Created {
		p = &PodStory{Name: f.Name}
		b.Pods = append(b.Pods, p)
	}
	b.pods[f.Name] = p
	if f.UID != "" {
		p.uid, b.pods[f.UID] = f.UID, p
	}
	return p
}

// mention notes that the autoscaler mentions a pod. Unless the pod has a node, that
// means that it is unschedulable, even if the scheduler's verdict is not on record.
func (b *builder) mention(name string, f timeline.Fact) {
	p := b.pod(timeline.Fact{Name: name})
	p.mentioned = f
	if p.Placed().IsZero() {
		if p.Unschedulable.IsZero() {
			p.Unschedulable = f.Time
		}
		p.Spans = openSpan(p.Spans, Unschedulable, f.Time, "")
	}
}

// lose sets Lost of a pod that only the autoscaler mentions. In each loop, the autoscaler repeats what
// it says of a pod that waits, unless it names only some of the pods or has stopped. The recorder drops
// repeated statements, except the first one after a decision or a start. So a pod that is not mentioned
// for a while after one is lost. A scale-up for the pod is a decision, too.
func (b *builder) lose(p *PodStory) {
	if p.recorded {
		return
	}
	within := sameStatementWithin
	if p.mentioned.Source == timeline.Event {
		within = sameEventWithin
	}
	after := p.mentioned.Time
	if p.mentioned.What != timeline.ScaleUp {
		after = after.Add(time.Nanosecond)
	}
	if b.unnamed.After(after) {
		after = b.unnamed
	}
	i, _ := slices.BinarySearchFunc(b.repeats, after, time.Time.Compare)
	if i == len(b.repeats) || b.To.Sub(b.repeats[i]) <= within {
		return
	}
	p.Lost = b.repeats[i]
	p.Spans = closeLastSpan(p.Spans, p.Lost)
}

// PodsNamed returns the stories of the pods of a name, with or without its namespace,
// by time.
func (m *Model) PodsNamed(name string) []*PodStory {
	return slices.DeleteFunc(slices.Clone(m.Pods), func(p *PodStory) bool {
		return p.Name != name && timeline.LastPart(p.Name) != name
	})
}
