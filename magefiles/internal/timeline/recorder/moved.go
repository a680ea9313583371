package recorder

import (
	"maps"
	"time"

	"caslab/magefiles/internal/timeline"
)

// settling is how long the controllers of a cluster that objects were moved to
// may take to count again what is ready: a move leaves out every status.
const settling = time.Minute

// moved knows what was moved to the cluster that is followed.
type moved struct {
	// since is when an object was first seen there, by its key.
	since map[string]time.Time
	// held has the ready ones of a group while they are being counted.
	held map[string]timeline.Fact
}

func newMoved() moved { return moved{since: map[string]time.Time{}, held: map[string]timeline.Fact{}} }

// takeOver records that an object, with these facts, is one that the record
// has by another UID, if it has one of that kind and name that is not there any
// more. r.mu is held.
func (r *recorder) takeOver(now time.Time, k string, facts []timeline.Fact) {
	if r.memory[k] != nil || len(facts) == 0 {
		return
	}
	f := facts[0]
	for old, o := range r.memory {
		// A group may have the cluster's name, but the cluster is not created.
		if o.kind != f.Kind || o.name != f.Name || o.there() != (f.What == timeline.Created) || r.present[old] {
			continue
		}
		r.tell([]timeline.Fact{{Time: now, Kind: o.kind, What: timeline.Moved, Name: o.name, UID: f.UID, Group: o.group, Text: o.uid, Source: timeline.Watch}})
		r.moved.since[k] = now
		return
	}
}

// hold takes out of an object's news that fewer of a group are ready while
// they are being counted.
func (m moved) hold(now time.Time, k string, known memory, news []timeline.Fact) []timeline.Fact {
	delete(m.held, k)
	since, here := m.since[k]
	o := known[k]
	if !here || o == nil || now.Sub(since) >= settling {
		return news
	}
	var told []timeline.Fact
	for _, f := range news {
		if before := o.aspects[aspect(f)]; f.What == timeline.ReadyCount && before.N != nil && *f.N < *before.N {
			m.held[k] = f
			continue
		}
		told = append(told, f)
	}
	return told
}

// settled are the facts that were held for long enough, which are true.
func (m moved) settled(now time.Time) []timeline.Fact {
	var facts []timeline.Fact
	for k, f := range m.held {
		if now.Sub(m.since[k]) >= settling {
			facts = append(facts, f)
		}
	}
	maps.DeleteFunc(m.held, func(k string, _ timeline.Fact) bool { return now.Sub(m.since[k]) >= settling })
	return facts
}
