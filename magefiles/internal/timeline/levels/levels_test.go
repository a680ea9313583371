package levels

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/timelinetest"
)

// texts returns a series as lines of seconds since the record began and numbers.
func texts(s Series) (lines []string) {
	begin := timelinetest.New().Start
	for _, stretch := range s {
		var line strings.Builder
		for _, l := range stretch.Levels {
			fmt.Fprintf(&line, "%.0f:%d ", l.At.Sub(begin).Seconds(), l.N)
		}
		fmt.Fprintf(&line, "until %.0f", stretch.End.Sub(begin).Seconds())
		lines = append(lines, line.String())
	}
	return lines
}

// TestLoopsAndRequestsEndWithTheProcess: minutes that follow each other are one stretch, and a
// restart ends it.
func TestLoopsAndRequestsEndWithTheProcess(t *testing.T) {
	t.Parallel()
	facts := timelinetest.Measured()
	l := Of(append(facts, facts...)) // a log that was saved twice
	for what, tc := range map[string]struct {
		got  Series
		want []string
	}{
		"median":   {l.LoopMedian, []string{"2:200 62:200 122:200 until 182", "301:100 until 361"}},
		"longest":  {l.LoopLongest, []string{"2:1000 62:3000 122:1000 until 182", "301:100 until 361"}},
		"requests": {l.Requests, []string{"2:1500 62:1500 122:1500 until 182"}},
	} {
		if got := texts(tc.got); !slices.Equal(got, tc.want) {
			t.Errorf("the %s is %q, want %q", what, got, tc.want)
		}
	}
	if n, known := l.LoopLongest.At(timelinetest.New().At(100)); n != 3000 || !known {
		t.Errorf("at 100 s the longest loop is %d, %t", n, known)
	}
	if n, known := l.LoopLongest.At(timelinetest.New().At(200)); known {
		t.Errorf("without an autoscaler the longest loop is %d", n)
	}
}

// TestUseFollowsPodsAndNodes: what is requested follows pods that are bound, resized, ended and
// deleted, and nodes that join, change their group and go. The control plane does not count.
func TestUseFollowsPodsAndNodes(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	node := func(at float64, name, group, cpu string) {
		b.Facts = append(b.Facts, timelinetest.NodeOffers(b.At(at), name, group, "cpu="+cpu, "memory=8Gi"))
	}
	pod := func(at float64, name, on, cpu string) {
		b.Add(at, timeline.Fact{Kind: timeline.Pod, What: timeline.Shaped, Name: name, UID: name, Node: on, Shape: shape.Encode(shape.Pod{Requests: timelinetest.Resources("cpu="+cpu, "memory=1Gi")})})
	}
	fact := func(at float64, kind timeline.Kind, what, name, on string) {
		b.Add(at, timeline.Fact{Kind: kind, What: what, Name: name, UID: name, Node: on})
	}
	node(0, "control", timeline.ControlPlane, "8")
	pod(5, "a", "", "1")
	fact(10, timeline.Pod, timeline.Scheduled, "a", "n1") // its node is recorded later
	node(20, "n1", "", "4")
	node(30, "n1", "MachineDeployment/default/web", "4")
	pod(40, "a", "", "2")
	pod(50, "b", "n1", "1")
	pod(55, "c", "control", "1")
	fact(60, timeline.Pod, timeline.Ended, "b", "")
	node(70, "n2", "db", "2")
	b.Facts = append(b.Facts, timeline.Fact{Time: b.At(80), Kind: timeline.Node, What: timeline.Gone, Name: "n1", UID: "n-n1"})
	fact(90, timeline.Pod, timeline.Gone, "a", "")
	l := Of(b.Facts)
	lines := func(uses []Use) (all []string) {
		for _, u := range uses {
			all = append(all, fmt.Sprintf("%.0f:%d/%d", u.At.Sub(b.Start).Seconds(), u.CPU.Requested, u.CPU.Allocatable))
		}
		return all
	}
	for name, want := range map[string][]string{
		"all": {"30:1000/4000", "40:2000/4000", "50:3000/4000", "60:2000/4000", "70:2000/6000", "80:0/2000"},
		"web": {"30:1000/4000", "40:2000/4000", "50:3000/4000", "60:2000/4000", "80:0/0"},
		"db":  {"70:0/2000"},
	} {
		uses := l.All
		if name != "all" {
			i := slices.IndexFunc(l.Groups, func(g Group) bool { return g.Name == name })
			if i < 0 {
				t.Errorf("the group %s has no numbers", name)
				continue
			}
			uses = l.Groups[i].Uses
		}
		if got := lines(uses); !slices.Equal(got, want) {
			t.Errorf("%s: used %q, want %q", name, got, want)
		}
	}
	if len(l.Groups) != 2 {
		t.Errorf("there are %d groups", len(l.Groups))
	}
	if u, known := UseAt(l.All, b.At(45)); !known || u.CPU.Percent() != 50 {
		t.Errorf("at 45 s the use is %v, %t", u, known)
	}
	if _, known := UseAt(l.All, b.At(1)); known {
		t.Error("the use is known before the first node")
	}
}

// TestFastChangesCountOnce: what changes within a second is one change, with the last state.
func TestFastChangesCountOnce(t *testing.T) {
	t.Parallel()
	begin := timelinetest.New().Start
	facts := []timeline.Fact{timelinetest.NodeOffers(begin, "n", "web", "cpu=4", "memory=8Gi")}
	for i := range 4 {
		facts = append(facts, timelinetest.NodeOffers(begin.Add(time.Duration(i)*100*time.Millisecond), fmt.Sprint("n", i), "web", "cpu=4", "memory=8Gi"))
	}
	if l := Of(facts); len(l.All) != 1 || l.All[0].CPU.Allocatable != 20000 {
		t.Errorf("the use is %v", l.All)
	}
}
