package timeline

import (
	"slices"
	"strings"

	"caslab/magefiles/internal/autoscaler/speech"
)

// Gist returns the fact's text without what changes from round to round: numbers,
// what is made up each time and, in an event, the order of the reasons, which is
// that of a Go map. Two facts about the same say the same if their gists are equal.
func Gist(f Fact) string {
	text := speech.Steady(f.Text)
	if f.Source != Event {
		return text
	}
	parts := strings.Split(text, ", ")
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
