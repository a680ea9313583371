package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/world"
)

// leastSilence is how long any autoscaler that logs its loops may log nothing before the
// answers mention it.
const leastSilence = 3 * time.Minute

// silence is leastSilence for an autoscaler by its scan interval and the length of its loops.
func silence(a world.Autoscaler) time.Duration {
	round, _ := time.ParseDuration(a.Setting("scan-interval").Value)
	if a.Loops != nil {
		round += a.Loops.Longest
	}
	return max(leastSilence, 2*round)
}

// idle returns in a phrase that no autoscaler runs by the record, empty if one does.
func (e *explainer) idle() string {
	n := len(e.Runs)
	switch {
	case n == 0:
		return "no autoscaler is on record"
	case !e.Runs[n-1].Open:
		text := "no autoscaler has run since " + timeline.Clock(e.Runs[n-1].To)
		if end := e.end(); end.Source != timeline.Log && end.Text != "" { // it logs its end only when it is asked to stop
			text += fmt.Sprintf(" (%s)", timeline.Shorten(end.Text, timeline.LongestHover))
		}
		return text
	}
	if since := e.silentSince(); !since.IsZero() {
		return fmt.Sprintf("the autoscaler has logged nothing since %s, and may have been killed, or it is in a debugger", timeline.Clock(since))
	}
	return ""
}

// end returns the last fact since the last start that says how the autoscaler ended, an empty
// one if there is none.
func (e *explainer) end() timeline.Fact {
	for _, f := range slices.Backward(e.Facts) {
		switch {
		case f.Kind != timeline.Autoscaler:
		case f.What == timeline.Started:
			return timeline.Fact{}
		case f.What == timeline.Stopped && f.Text != "":
			return f
		}
	}
	return timeline.Fact{}
}

// silentSince returns since when an autoscaler whose loops are on record has logged nothing,
// zero if it logs, or if it need not.
func (e *explainer) silentSince() time.Time {
	w := e.world()
	if w.Autoscaler.Loops == nil {
		return time.Time{}
	}
	if heard := e.heard(); w.At.Sub(heard) > silence(w.Autoscaler) {
		return heard
	}
	return time.Time{}
}

// heard returns when the autoscaler said something last.
func (e *explainer) heard() time.Time {
	for _, f := range slices.Backward(e.facts) {
		if f.Kind == timeline.Autoscaler && (f.Source == timeline.Log || f.Source == timeline.Status || f.Source == timeline.Event) {
			return f.Time
		}
	}
	return time.Time{}
}

// toStart returns a sentence with what to type to start an autoscaler, empty if there is
// nothing to type.
func (e *explainer) toStart() string {
	if e.Start == "" {
		return ""
	}
	return " To start one, type: " + e.Start
}

// aStart returns the change that an autoscaler runs.
func (e *explainer) aStart() string {
	if e.Start == "" {
		return "an autoscaler that runs"
	}
	return "an autoscaler that runs; to start one, type: " + e.Start
}

// capitalised returns a phrase as the beginning of a sentence.
func capitalised(phrase string) string { return strings.ToUpper(phrase[:1]) + phrase[1:] }
