package recorder

import (
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
)

// becomes has what happened, in the words of facts, for each kind of statement.
var becomes = map[speech.Kind]string{
	speech.KindScaleUp: timeline.ScaleUp, speech.KindScaleDown: timeline.ScaleDown,
	speech.KindRefused: timeline.Refused, speech.KindKept: timeline.Kept,
	speech.KindConsidered: timeline.Considered, speech.KindProblem: timeline.Problem,
	speech.KindStarted: timeline.Started, speech.KindStopped: timeline.Stopped,
}

// ParseLog reads one line of the autoscaler's log, without its end. day is a
// moment near the line's, in the time zone of the autoscaler. ParseLog returns
// false for a line that becomes no fact.
func ParseLog(text string, day time.Time) (timeline.Fact, bool) {
	return logFact(speech.Parse(text), day)
}

// logFact is ParseLog for a line that is parsed already.
func logFact(e speech.Entry, day time.Time) (timeline.Fact, bool) {
	s, ok := e.Statement(day)
	if !ok {
		return timeline.Fact{}, false
	}
	return timeline.Fact{
		Time: s.Time, Kind: timeline.Autoscaler, What: becomes[s.Kind], Name: s.Pod, Node: s.Node, Group: s.Group, N: s.N,
		Text: bounded(s.Text), Source: timeline.Log,
	}, true
}

// maxText bounds what is kept of a message, in bytes.
const maxText = 4096

// bounded returns a message as valid UTF-8 without space around it, cut to
// maxText.
func bounded(text string) string {
	text = strings.ToValidUTF8(strings.TrimSpace(text), "?")
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
