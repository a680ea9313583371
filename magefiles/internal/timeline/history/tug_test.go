package history

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/timelinetest"
)

// TestTugOfWar: two writers who undo each other's changes are told as one; what one writer
// does alone, or slowly, is not.
func TestTugOfWar(t *testing.T) {
	t.Parallel()
	record := func(every float64, manager string, rounds int) []SizeChange {
		b := timelinetest.New()
		b.Group("web", 0, 3, 1)
		sized := func(at float64, n int, by string) {
			b.Add(at, timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: "web", UID: "g-web", Group: "web", N: &n, Text: by, Source: timeline.Watch})
		}
		for i := range rounds {
			at := 60 + float64(i)*every
			b.Log(at, "Scale-up: setting group MachineDeployment/default/web size to 3")
			sized(at+.4, 3, "cluster-autoscaler")
			sized(at+5, 1, manager)
		}
		m := New(b.Record())
		return m.SizeChanges(m.groupNamed("web"))
	}
	changes := record(12, "kubectl", 5)
	tugs := Tugs(changes)
	const want = "a tug of war: the autoscaler raised it 5 times to at most 3, and the field manager kubectl lowered it 5 times to 1, the last time at 22:01:53"
	if len(tugs) != 1 || tugs[0].Words() != want || tugs[0].First != 1 || tugs[0].Last != 10 {
		t.Errorf("%+v of %d changes, want %s", tugs, len(changes), want)
	}
	if last := changes[10]; !strings.HasPrefix(last.Cause, "the field manager kubectl wrote it") {
		t.Errorf("the last change was caused by: %s", last.Cause)
	}
	if tugs := Tugs(record(12, "", 5)); len(tugs) != 1 || tugs[0].Down != "somebody else" {
		t.Errorf("without field managers: %+v", tugs)
	}
	for name, changes := range map[string][]SizeChange{
		"once": record(12, "kubectl", 1), "every half an hour": record(1800, "kubectl", 5), "none": nil,
	} {
		if tugs := Tugs(changes); tugs != nil {
			t.Errorf("%s: %+v", name, tugs)
		}
	}
}
