package recorder

import (
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline/objectfacts"
)

// event records a change of an event.
func (r *recorder) event(change kube.Change) {
	if change.After == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.bookmark.Events, string(change.Before.GetUID()))
		delete(r.present, "event/"+string(change.Before.GetUID()))
		return
	}
	o := change.After
	uid, state := string(o.GetUID()), objectfacts.Occurrence(o)
	r.mu.Lock()
	r.present["event/"+uid] = true
	known := r.bookmark.Events[uid] == state
	r.mu.Unlock()
	if known || !objectfacts.IsFromAutoscaler(o) {
		return
	}
	e, err := kube.Event(o)
	if err != nil {
		r.report(err)
		return
	}
	f, isFact := objectfacts.Event(e)
	if isFact && !r.recordMessage(f) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bookmark.Events[uid] = state
}

// pruneEvents removes the events that the API server no longer has from the bookmark.
func (r *recorder) pruneEvents() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for uid := range r.bookmark.Events {
		if !r.present["event/"+uid] {
			delete(r.bookmark.Events, uid)
		}
	}
}
