package timeline

import (
	"slices"
	"strings"

	"caslab/magefiles/internal/autoscaler/speech"
)

// NormalText returns the fact's text without what changes from round to round: numbers,
// generated names and, in an event, the random order of the reasons. Two facts about
// one object say the same if their gists are equal.
func NormalText(f Fact) string {
	if strings.HasPrefix(f.Text, "is unneeded since ") {
		return f.Text // another time is news
	}
	text := speech.Normalize(f.Text)
	if f.Source != Event {
		return text
	}
	parts := strings.Split(text, ", ")
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
