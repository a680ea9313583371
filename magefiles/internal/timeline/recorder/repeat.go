package recorder

import (
	"strings"

	"caslab/magefiles/internal/timeline"
)

// repeats knows what the autoscaler said, which says the same again in every
// round of ten seconds.
type repeats struct {
	round int
	// said has, by subject, what was said of it and in which round last.
	said map[string]map[string]int
}

// What is remembered of a long run is bounded, in subjects and in texts of one.
const (
	maxSubjects = 4096
	maxTexts    = 256
)

// next begins a round.
func (r *repeats) next() { r.round++ }

// news reports whether the fact says something new: of its kind, numbers
// aside, it was not said of that pod, node or group since the last decision,
// or something else took its place meanwhile.
func (r *repeats) news(f timeline.Fact) bool {
	if !repeated(f) {
		return true
	}
	texts, text := r.said[subject(f)], timeline.Gist(f)
	last, known := texts[text]
	for other, at := range texts {
		// What is said in turns takes no place.
		if known && other != text && at > last+1 {
			return true
		}
	}
	return !known
}

// hear takes in a fact, new or not.
func (r *repeats) hear(f timeline.Fact) {
	if decided(f) {
		r.said = nil
	}
	if !repeated(f) {
		return
	}
	if r.said == nil || len(r.said) > maxSubjects {
		r.said = map[string]map[string]int{}
	}
	texts := r.said[subject(f)]
	if texts == nil || len(texts) > maxTexts {
		texts = map[string]int{}
		r.said[subject(f)] = texts
	}
	text := timeline.Gist(f)
	if last, known := texts[text]; known {
		for other, at := range texts {
			if other != text && at > last+1 {
				delete(texts, other) // when it comes back it is news
			}
		}
	}
	texts[text] = r.round
}

// repeated reports whether the autoscaler says such a thing in every round.
func repeated(f timeline.Fact) bool {
	switch f.What {
	case timeline.Refused, timeline.Kept, timeline.Considered, timeline.Problem:
		return true
	}
	return false
}

// decided reports whether all that was said before it is over.
func decided(f timeline.Fact) bool {
	switch f.What {
	case timeline.ScaleUp, timeline.ScaleDown, timeline.Started, timeline.Stopped:
		return true
	}
	return false
}

// subject is what a fact is about.
func subject(f timeline.Fact) string {
	return strings.Join([]string{f.What, f.Name, f.Node, f.Group}, "\x00")
}
