package logfacts

import (
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline/shape"
)

// loopsEvery is how often a fact of the loops is made after the first one, in the time of the
// log.
const loopsEvery = time.Minute

// between are the sources of lines that are logged between two loops, or beside them.
var between = []string{"trigger.go:", "node_instances_cache.go:", "reflector.go:", "event_sink_logging_wrapper.go:"}

// inLoop reports whether a line may be one of a loop. Releases from 1.30 on log what ends the
// wait for the next loop, and how long that took.
func inLoop(e speech.Entry) bool {
	return !strings.HasPrefix(e.Message, "Function loopWait took ") && !slices.ContainsFunc(between, func(source string) bool { return strings.HasPrefix(e.Source, source) })
}

// loops collects the loops of a log.
type loops struct {
	// from is the beginning of the loop before those collected, last that of the last
	// one, and told that of the last one in a fact. lastLine is the time of the last line
	// of a loop.
	from, last, told, lastLine time.Time
	n                          int
	// spans has how long each complete loop logged.
	spans []time.Duration
}

// line notes a line of the current loop.
func (l *loops) line(at time.Time) { l.lastLine = at }

// begin notes the beginning of a loop. It returns the first loop at once, and later the
// loops of the last minute when that is over.
func (l *loops) begin(at time.Time) *shape.Loops {
	if !at.After(l.last) {
		return nil // a log that was saved twice
	}
	if !l.last.IsZero() {
		l.n++
		l.spans = append(l.spans, max(0, l.lastLine.Sub(l.last)))
	} else {
		l.from = at
	}
	l.last, l.lastLine = at, at
	if !l.told.IsZero() && at.Sub(l.from) < loopsEvery {
		return nil
	}
	return l.rest()
}

// rest returns the loops since the last call, nil if there are none.
func (l *loops) rest() *shape.Loops {
	if l.last.Equal(l.told) {
		return nil
	}
	found := &shape.Loops{N: l.n, From: l.from, Last: l.last}
	if len(l.spans) > 0 {
		slices.Sort(l.spans)
		found.Median, found.Longest = l.spans[len(l.spans)/2], l.spans[len(l.spans)-1]
	}
	l.from, l.told, l.n, l.spans = l.last, l.last, 0, nil
	return found
}
