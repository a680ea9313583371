package timeline

import (
	"slices"
	"strings"

	"caslab/magefiles/internal/autoscaler/speech"
)

// Gist is the fact's text without what changes from round to round: numbers,
// and in an event the order of the reasons, which is that of a Go map.
func Gist(f Fact) string {
	text := speech.Steady(f.Text)
	if f.Source != Event {
		return text
	}
	parts := strings.Split(text, ", ")
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
