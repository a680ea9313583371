package recorder

import (
	"strings"
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

// LogFact returns the fact of one line of the autoscaler's log. day is a time near the
// line's, in the time zone of the autoscaler, because a line has no year. LogFact returns
// false for a line that becomes no fact.
func LogFact(e speech.Entry, day time.Time) (timeline.Fact, bool) {
	s, ok := e.Statement(day)
	if !ok {
		return timeline.Fact{}, false
	}
	return timeline.Fact{
		Time: s.Time, Kind: timeline.Autoscaler, What: whatByKind[s.Kind], Name: s.Pod, Node: s.Node, Group: s.Group, N: s.N,
		Text: boundText(s.Text), Source: timeline.Log,
	}, true
}

// maxText is the longest part of a message that is recorded, in bytes.
const maxText = 4096

// boundText returns a message as valid UTF-8 without space around it, cut to maxText.
func boundText(text string) string {
	text = strings.ToValidUTF8(strings.TrimSpace(text), "?")
	if len(text) > maxText {
		return strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return text
}
