package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/snapshot"
	"caslab/magefiles/internal/timeline/world"
)

// snapshotted is what the autoscaler's snapshot says of a pod that waits.
type snapshotted struct {
	snapshot.Standing
	at      time.Time
	ignored bool
	// differences are those between the nodes of the snapshot and of the record at that time.
	differences []snapshot.Difference
}

// snapshotOf returns what the snapshot says of a pod that has waited since a time. It returns
// nil without a snapshot, and for one that another process made, or that was made before.
func (e *explainer) snapshotOf(pod *world.Pod, since time.Time) *snapshotted {
	s := e.Snapshot
	if s == nil || s.Start.Before(since) || s.Start.After(e.world().At) {
		return nil
	}
	if n := len(e.Runs); n > 0 && (s.Start.Before(e.Runs[n-1].From) || !e.Runs[n-1].Open && s.Start.After(e.Runs[n-1].To)) {
		return nil
	}
	return &snapshotted{Standing: s.Standing(pod), at: s.Start, ignored: len(fit.New(world.At(e.facts, s.Start)).Ignored(pod)) > 0, differences: s.NodeDifferences(e.facts)}
}

// snapshotHolds is how long a snapshot may say what the autoscaler thinks.
const snapshotHolds = 5 * time.Minute

// heard uses the snapshot as the autoscaler's statement if the log has none.
func (s *snapshotted) heard(now time.Time) heard {
	switch {
	case s == nil || !s.NeedsNone || now.Sub(s.at) > snapshotHolds:
		return heard{}
	case len(s.Room) == 0 && len(s.Coming) > 0:
		return heard{comes: some(s.Coming)}
	}
	return heard{moved: fmt.Sprintf("needs no new node (its snapshot of %s)", timeline.Clock(s.at))}
}

// places returns where the pod fits by the snapshot, empty if nowhere.
func (s *snapshotted) places() string {
	places := slices.Clone(s.Room)
	for _, g := range s.Coming {
		places = append(places, "a new node of "+g)
	}
	return some(places)
}

// maxDifferences is the largest number of differences in an answer.
const maxDifferences = 8

// snapshotLines writes what the snapshot says, and where it differs from the record.
func (e *explainer) snapshotLines(s *snapshotted) {
	if s == nil {
		return
	}
	e.printf("\nWhat the autoscaler's snapshot of %s has\n", timeline.Clock(s.at))
	line := func(format string, args ...any) {
		e.printf("  %s\n", timeline.Shorten(fmt.Sprintf(format, args...), timeline.LongestText))
	}
	places := s.places()
	switch {
	case s.NeedsNone && places != "":
		line("the pod needs no new node: it fits on %s", places)
	case s.NeedsNone:
		line("the pod needs no new node, though by its requests, selectors and tolerations it fits on none of the snapshot's nodes:")
	case s.ignored:
		line("it does not mention the pod; the autoscaler ignores it")
	case places != "":
		line("the pod needs a new node, though by its requests, selectors and tolerations it fits on %s", places)
	default:
		line("the pod needs a new node")
	}
	if s.NeedsNone && places == "" {
		for i, r := range s.Refusals {
			if i == maxRefusals {
				line("and %s more", timeline.Plural(len(s.Refusals)-i, "reason"))
				break
			}
			line("%s: %s", some(r.Nodes), r.Text)
		}
	}
	if len(s.differences) == 0 {
		line("The record of that time has the same nodes.")
		return
	}
	for i, d := range s.differences {
		if i == maxDifferences {
			line("and %s more", timeline.Plural(len(s.differences)-i, "difference"))
			break
		}
		text := fmt.Sprintf("%s %s: the snapshot has %q, the record %q", d.What, d.Name, d.Autoscaler, d.Record)
		if d.Why != "" {
			text += fmt.Sprintf(" (%s)", strings.TrimSuffix(d.Why, "."))
		}
		line("%s", text)
	}
}
