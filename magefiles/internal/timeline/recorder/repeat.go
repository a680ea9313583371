package recorder

import (
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
)

// repeats remembers the autoscaler's statements, which it repeats in every round of ten
// seconds. Only the first one is recorded.
type repeats struct {
	round int
	// said has, by subject, each text about it and when it was last said.
	said map[string]map[string]heard
	// scenario is the name of the running scenario, empty if none runs.
	scenario string
}

// heard is when something was said last.
type heard struct {
	round int
	at    time.Time
}

// Bounds of what is remembered of a long run.
const (
	maxSubjects = 4096
	maxTexts    = 256
)

const (
	// silence is the time after which a statement that was not repeated is news again.
	silence = 2 * time.Minute
	// nodeSilence is silence for statements about nodes. The autoscaler checks a node
	// that it cannot remove again after five minutes
	// (--unremovable-node-recheck-timeout).
	nodeSilence = 10 * time.Minute
)

// next begins a round.
func (r *repeats) next() { r.round++ }

// news reports whether the fact says something new about its pod, node or group,
// numbers aside. It does if this was not said since the last decision or the start of
// the scenario, or not for a while, or if something else replaced it meanwhile.
func (r *repeats) news(f timeline.Fact) bool {
	if !repeated(f) {
		return true
	}
	texts, text := r.said[subject(f)], timeline.Gist(f)
	last, known := texts[text]
	if !known {
		return true
	}
	for other, at := range texts {
		// Statements that alternate do not replace each other.
		if other != text && at.round > last.round+1 {
			return true
		}
	}
	quiet := silence
	if f.Node != "" {
		quiet = nodeSilence
	}
	return f.Time.Sub(last.at) > quiet
}

// hear remembers a fact, new or not.
func (r *repeats) hear(f timeline.Fact) {
	if r.turns(f) {
		r.said = nil
	}
	if !repeated(f) {
		return
	}
	if r.said == nil || len(r.said) > maxSubjects {
		r.said = map[string]map[string]heard{}
	}
	texts := r.said[subject(f)]
	if texts == nil || len(texts) > maxTexts {
		texts = map[string]heard{}
		r.said[subject(f)] = texts
	}
	text := timeline.Gist(f)
	if last, known := texts[text]; known {
		for other, at := range texts {
			if other != text && at.round > last.round+1 {
				delete(texts, other) // when it comes back it is news
			}
		}
	}
	texts[text] = heard{r.round, f.Time}
}

// turns reports whether earlier statements end with the fact: the autoscaler decided or
// started, or another scenario begins.
func (r *repeats) turns(f timeline.Fact) bool {
	switch {
	case f.Kind == timeline.Lab && f.What == timeline.Step:
		other := f.Name != r.scenario
		r.scenario = f.Name
		return other
	case f.Kind == timeline.Lab && (f.What == timeline.Passed || f.What == timeline.Failed || f.What == timeline.KnownFailure):
		r.scenario = ""
		return true
	}
	switch f.What {
	case timeline.ScaleUp, timeline.ScaleDown, timeline.Started, timeline.Stopped:
		return true
	}
	return false
}

// times returns the last time of each statement, for the bookmark: the record has only
// the first.
func (r *repeats) times() map[string]time.Time {
	times := map[string]time.Time{}
	for subject, texts := range r.said {
		for text, last := range texts {
			times[subject+"\x00"+text] = last.at
		}
	}
	return times
}

// resume restores what times returned, except for statements that have ended by the
// record.
func (r *repeats) resume(times map[string]time.Time) {
	for subject, texts := range r.said {
		for text, last := range texts {
			if at := times[subject+"\x00"+text]; at.After(last.at) {
				texts[text] = heard{last.round, at}
			}
		}
	}
}

// repeated reports whether the autoscaler repeats such a statement in every round.
func repeated(f timeline.Fact) bool {
	switch f.What {
	case timeline.Refused, timeline.Kept, timeline.Considered, timeline.Problem:
		return f.Kind == timeline.Autoscaler
	}
	return false
}

// subject returns what a fact is about: what happened to which pod, node or group.
func subject(f timeline.Fact) string {
	return strings.Join([]string{f.What, f.Name, f.Node, f.Group}, "\x00")
}
