package history

import (
	"testing"
	"time"

	"caslab/magefiles/internal/timeline"
)

// TestDeletionByOneOfSeveralCleanUps: while scenarios that run at the same time remove what they
// created, a deletion may be by any of them.
func TestDeletionByOneOfSeveralCleanUps(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	lab := func(s int, what, name, text string) timeline.Fact {
		return timeline.Fact{Time: at(s), Kind: timeline.Lab, What: what, Name: name, Text: text, Source: timeline.Own}
	}
	facts := []timeline.Fact{
		lab(0, timeline.Recording, "", ""),
		{Time: at(1), Kind: timeline.Group, What: timeline.Created, Name: "sc-1-web", Group: "sc-1-web", UID: "u", Source: timeline.Watch},
		lab(1, timeline.Step, "one", "1. wait"), lab(1, timeline.Step, "two", "1. wait"),
		lab(10, timeline.Step, "one", timeline.CleanUp), lab(11, timeline.Step, "two", timeline.CleanUp),
		{Time: at(20), Kind: timeline.Group, What: timeline.Gone, Name: "sc-1-web", Group: "sc-1-web", UID: "u", Source: timeline.Watch},
		lab(30, timeline.Passed, "one", ""), lab(31, timeline.Passed, "two", ""),
	}
	m := New(facts)
	if len(m.Groups) != 1 {
		t.Fatalf("%d groups", len(m.Groups))
	}
	if got, want := m.deletionOf(m.Groups[0], at(20)), "one of the scenarios one, two deleted the group when it removed what it created"; got != want {
		t.Errorf("deletionOf() = %q, want %q", got, want)
	}
}
