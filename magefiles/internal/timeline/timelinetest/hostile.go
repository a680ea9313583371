package timelinetest

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/timeline"
)

// Hostile is text that would be harmful if it were not escaped on a page, in a
// terminal or in a line.
var Hostile = `</script></title><img src=x onerror=alert(1)>"'` + "`{{.}}\x1b[2J\x00\r\n\u202e\xff]]>" + strings.Repeat("W", 5000)

// HostileFacts returns facts with hostile text in every field that a cluster can
// fill.
func HostileFacts() []timeline.Fact {
	facts := TwentyMinutes()
	for i := range facts {
		facts[i].Text += Hostile
		switch facts[i].Kind {
		case timeline.Lab:
			facts[i].Name += Hostile
		case timeline.Group:
			if facts[i].What == timeline.Limits {
				facts[i].Text = "1 4"
			}
		case timeline.Autoscaler:
			if facts[i].Name != "" {
				facts[i].Name = Hostile
			}
		}
	}
	return facts
}

// CheckTerminal fails the test if a text has a control character or a line that is too
// long.
func CheckTerminal(t testing.TB, text string) {
	t.Helper()
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && r != '\n' || r == '\u202e' }); i >= 0 {
		t.Errorf("a control character at %d: %q", i, text[max(0, i-80):i+10])
	}
	for l := range strings.SplitSeq(text, "\n") {
		if n := len([]rune(l)); n > timeline.LongestText+200 {
			t.Errorf("a line of %d characters: %.120s…", n, l)
		}
	}
}
