package render

import (
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/timelinetest"
)

func TestLinesAreAligned(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	size := 4
	b.Add(1, timeline.Fact{Kind: timeline.Pod, What: timeline.Unschedulable, Name: "default/a", Text: "0/1 nodes are available"})
	b.Add(2, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Group: "md-1", N: &size, Text: "1->4"})
	b.Add(3, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Problem, Text: "no\nanswer"})
	b.Add(4, timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: "default/a", Node: "node-1"})
	b.Add(5, timeline.Fact{Kind: timeline.Group, What: timeline.Limits, Name: "md-1"})
	b.Add(6, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleDown, Node: "node-1", Text: "removing"})
	b.Add(7, timeline.Fact{Kind: timeline.Lab, What: timeline.Failed, Name: "scenario", Text: "want 1"})
	var out strings.Builder
	if err := Lines(&out, b.Facts, LineOptions{}); err != nil {
		t.Fatal(err)
	}
	want := `22:00:01 · pod        default/a unschedulable 0/1 nodes are available
22:00:02 ▲ autoscaler md-1      scale-up      4 1->4
22:00:03 ! autoscaler           problem       no answer
22:00:04   pod        default/a scheduled     on node-1
22:00:05   group      md-1      limits        none
22:00:06 ▼ autoscaler node-1    scale-down    removing
22:00:07 ✗ lab        scenario  failed        want 1
`
	if out.String() != want {
		t.Errorf("wrote\n%swant\n%s", out.String(), want)
	}
	out.Reset()
	if err := Lines(&out, b.Facts[1:2], LineOptions{Color: true, Width: 30, NameWidth: 6}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "\x1b[1;32m22:00:02 ▲ autoscaler md-1   …\x1b[0m\n" {
		t.Errorf("in colour, of 30 columns: %q", got)
	}
}

func TestHostileTextDoesNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	facts := timelinetest.HostileFacts()
	m := history.New(facts)
	var all strings.Builder
	if err := Lines(&all, facts, LineOptions{Width: 120}); err != nil {
		t.Fatal(err)
	}
	all.WriteString(strings.Join(frame(m, m.To, 100, 60, false), "\n"))
	timelinetest.CheckTerminal(t, all.String())
}

// TestAGroupThatIsGoneIsDrawn: the lane of a group that was deleted says until when it was
// there.
func TestAGroupThatIsGoneIsDrawn(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Group("web", 0, 2, 1)
	b.Add(781, timeline.Fact{Kind: timeline.Group, What: timeline.Gone, Name: "web", UID: "g-web", Group: "web", Source: timeline.Watch})
	drawn := drawn(b.Record())
	if i := slices.IndexFunc(drawn.Lanes, func(l lane) bool { return l.Name == "web" }); i < 0 || drawn.Lanes[i].Notes[0] != "until 22:13:01" {
		t.Errorf("the picture's lanes are %+v", drawn.Lanes)
	}
}
