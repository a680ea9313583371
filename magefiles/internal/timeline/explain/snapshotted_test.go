package explain

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/snapshot"
)

// snapshotRecord is a record of a real cluster with the autoscaler 1.36.1, and a snapshot of
// that time: for the pod gpu the group zero, which was empty, has just been scaled up.
func snapshotRecord(t *testing.T) ([]timeline.Fact, *snapshot.Snapshot) {
	t.Helper()
	data, err := os.ReadFile("../snapshot/testdata/scale-up.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := timeline.Read("../snapshot/testdata/scale-up.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for i := range facts {
		facts[i].Time = localClock(facts[i].Time)
	}
	s.Start, s.End = localClock(s.Start), localClock(s.End)
	return facts, s
}

func TestExplainASnapshot(t *testing.T) {
	t.Parallel()
	facts, s := snapshotRecord(t)
	got, err := Text(t.Context(), facts, "pod/gpu", Options{Snapshot: s, Now: s.End.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "pod-snapshot.txt", got)
}

// TestExplainByTheSnapshot: what a snapshot has of a pod that waits, and when it says nothing.
func TestExplainByTheSnapshot(t *testing.T) {
	t.Parallel()
	const title = "What the autoscaler's snapshot of 08:34:39 has\n"
	for name, tc := range map[string]struct {
		change func(s *snapshot.Snapshot)
		want   string
		not    string
	}{
		"it fits": {func(*snapshot.Snapshot) {}, title + "  the pod needs no new node: it fits on a new node of zero\n", "needs a new"},
		"it fits nowhere": {func(s *snapshot.Snapshot) {
			s.Nodes = s.Nodes[:len(s.Nodes)-1]
		}, "it fits on none of the snapshot's nodes:\n  serve-md-0-kkr9k-7l2cg, ", "it fits on a new"},
		"it needs a node": {func(s *snapshot.Snapshot) {
			s.Nodes, s.Schedulable = s.Nodes[:len(s.Nodes)-1], nil
		}, title + "  the pod needs a new node\n", "needs no new node"},
		"it needs one, though it fits": {func(s *snapshot.Snapshot) { s.Schedulable = nil }, "the pod needs a new node, though by its requests, selectors and tolerations it fits on a new node of zero\n", "needs no new node"},
		"a node differs": {func(s *snapshot.Snapshot) {
			s.Nodes[1].Node.Status.Allocatable = corev1.ResourceList{}
		}, `node serve-md-0-kkr9k-7l2cg: the snapshot has "cpu allocatable: 0", the record "cpu allocatable: 2"`, "has the same nodes"},
		"before the pod": {func(s *snapshot.Snapshot) { s.Start = s.Start.Add(-time.Hour) }, "", "napshot"},
		"in the future":  {func(s *snapshot.Snapshot) { s.Start = s.Start.Add(time.Hour) }, "", "napshot"},
	} {
		facts, s := snapshotRecord(t)
		now := s.End.Add(time.Minute)
		tc.change(s)
		got, err := Text(t.Context(), facts, "pod/gpu", Options{Snapshot: s, Now: now})
		if err != nil || !strings.Contains(got, tc.want) || strings.Contains(got, tc.not) {
			t.Errorf("%s: %v: want %q and not %q:\n%s", name, err, tc.want, tc.not, got)
		}
	}
}

// TestASnapshotStandsForTheLog: where the log has nothing of the pod, a new snapshot is what the
// autoscaler says of it.
func TestASnapshotStandsForTheLog(t *testing.T) {
	t.Parallel()
	for want, tc := range map[string]struct {
		nodes int
		later time.Duration
	}{
		"They agree: there is no room yet, and the autoscaler expects that it fits on a new node of zero.":                                   {5, time.Minute},
		"the autoscaler says that the pod needs no new node (its snapshot of 08:34:39), and so adds no node. By the facts there is no room.": {4, time.Minute},
		"or it is in a debugger; zero would take it.": {4, time.Hour},
	} {
		facts, s := snapshotRecord(t)
		facts = slices.DeleteFunc(facts, func(f timeline.Fact) bool {
			return f.Kind == timeline.Autoscaler && f.What != timeline.Shaped && f.What != timeline.Started
		})
		s.Nodes = s.Nodes[:tc.nodes]
		if got, err := Text(t.Context(), facts, "pod/gpu", Options{Snapshot: s, Now: s.End.Add(tc.later)}); err != nil || !strings.Contains(got, want) {
			t.Errorf("%v: want %q:\n%s", err, want, got)
		}
	}
}
