// Package logfacts makes facts of what an autoscaler logs: its statements, its flags, its
// loops and its cool-downs.
package logfacts

import (
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
)

// whatByKind has a fact's What for each kind of statement.
var whatByKind = map[speech.Kind]string{
	speech.KindScaleUp: timeline.ScaleUp, speech.KindScaleDown: timeline.ScaleDown,
	speech.KindRefused: timeline.Refused, speech.KindKept: timeline.Kept,
	speech.KindConsidered: timeline.Considered, speech.KindProblem: timeline.Problem,
	speech.KindStarted: timeline.Started, speech.KindStopped: timeline.Stopped,
}

// Statement returns the fact of one line of the autoscaler's log. day is a time near the
// line's, in the time zone of the autoscaler, because a line has no year. Statement returns
// false for a line that states nothing.
func Statement(e speech.Entry, day time.Time) (timeline.Fact, bool) {
	s, ok := e.Statement(day)
	if !ok {
		return timeline.Fact{}, false
	}
	return timeline.Fact{
		Time: s.Time, Kind: timeline.Autoscaler, What: whatByKind[s.Kind], Name: s.Pod, Node: s.Node, Group: s.Group, N: s.N,
		Text: timeline.Bound(s.Text), Source: timeline.Log,
	}, true
}
