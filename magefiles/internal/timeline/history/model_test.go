package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/timelinetest"
)

func TestModelOfTwentyMinutes(t *testing.T) {
	t.Parallel()
	m := New(timelinetest.TwentyMinutes())
	var groups []string
	for _, g := range m.Groups {
		groups = append(groups, g.Title())
	}
	if want := []string{"work-big-memory", "work-cluster-md-0", "work-md-1", "work-zero", timeline.ControlPlane}; !slices.Equal(groups, want) {
		t.Errorf("groups %q, want %q", groups, want)
	}
	if len(m.Runs) != 2 || m.Runs[0].Took() != 358*time.Second || !m.Runs[1].Open {
		t.Errorf("the autoscaler's runs are %+v", m.Runs)
	}
	if len(m.Gaps) != 2 || m.Gaps[1].To.Sub(m.RecordedSince) != 680*time.Second || m.Gaps[1].Took() < 90*time.Second {
		t.Errorf("gaps %+v, want the time before the record and the two minutes before 680s", m.Gaps)
	}
	if len(m.Scenarios) != 2 || m.Scenarios[0].Verdict != timeline.Passed || m.Scenarios[1].Verdict != timeline.Failed || len(m.Scenarios[1].Steps) != 3 {
		t.Errorf("scenarios %+v", m.Scenarios)
	}
	up, down, removed := 0, 0, 0
	for _, d := range m.Decisions {
		if d.Up {
			up++
			if d.N < 0 || len(d.Pods) == 0 {
				t.Errorf("a decision without its size or pods: %+v", d)
			}
			continue
		}
		down++
		removed += len(d.Nodes)
	}
	if up != 6 || down != 3 || removed != 6 {
		t.Errorf("%d decisions up and %d down, of %d nodes", up, down, removed)
	}
	waiting := 0
	for _, p := range m.Pods {
		if p.Pending() {
			waiting++
		}
	}
	if waiting != 2 {
		t.Errorf("%d pods still wait, want 2", waiting)
	}
}

// TestEveryObjectHasAStory: for any record, in any order and with any part of it
// missing, no fact is lost and times are in order.
func TestEveryObjectHasAStory(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	whole := timelinetest.TwentyMinutes()
	for round := range 60 {
		facts := slices.Clone(whole)
		if round > 0 {
			part := rng.Float64()
			facts = slices.DeleteFunc(facts, func(timeline.Fact) bool { return rng.Float64() < part })
			facts = append(facts, facts[:len(facts)/3]...)
			rng.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		}
		m := New(facts)
		for _, f := range facts {
			if !has(m, f) {
				t.Fatalf("round %d: no story of %+v", round, f)
			}
		}
		for _, n := range m.Nodes {
			inOrder(t, n.Name(), n.Spans, m.From, m.To)
		}
		for _, p := range m.Pods {
			inOrder(t, p.Name, p.Spans, m.From, m.To)
		}
		for i := 1; i < len(m.Facts); i++ {
			if m.Facts[i].Time.Before(m.Facts[i-1].Time) {
				t.Fatalf("round %d: facts are out of order", round)
			}
		}
		for _, g := range m.Groups {
			for _, levels := range [][]Level{g.Wanted, g.Ready} {
				for i := 1; i < len(levels); i++ {
					if levels[i].N == levels[i-1].N || levels[i].At.Before(levels[i-1].At) {
						t.Fatalf("round %d: %s has the levels %+v", round, g.Title(), levels)
					}
				}
			}
		}
	}
}

func has(m *Model, f timeline.Fact) bool {
	switch f.Kind {
	case timeline.Pod:
		return len(m.PodsNamed(f.Name)) > 0
	case timeline.Machine, timeline.Node:
		return len(m.NodesNamed(f.Name)) > 0
	case timeline.Group:
		return slices.ContainsFunc(m.Groups, func(g *GroupStory) bool { return g.Name == f.Name }) ||
			slices.ContainsFunc(m.Pauses, func(s Span) bool { return s.Text == f.Name })
	case timeline.Autoscaler:
		pod, node, group := About(f)
		return (pod == "" || len(m.PodsNamed(pod)) > 0) && (node == "" || len(m.NodesNamed(node)) > 0) &&
			(group == "" || slices.ContainsFunc(m.Groups, func(g *GroupStory) bool { return g.Name == group }))
	}
	return slices.ContainsFunc(m.Facts, func(known timeline.Fact) bool { return known.What == f.What && known.Time.Equal(f.Time) })
}

// inOrder fails the test if spans have a gap between them, overlap, or are
// outside of the record.
func inOrder(t *testing.T, name string, spans []Span, from, to time.Time) {
	t.Helper()
	if len(spans) == 0 {
		t.Fatalf("%s has no beginning", name)
	}
	for i, s := range spans {
		if s.To.Before(s.From) || s.From.Before(from) || s.To.After(to) || s.State == "" {
			t.Fatalf("%s has the span %+v in a record from %v to %v", name, s, from, to)
		}
		if i > 0 && (!s.From.Equal(spans[i-1].To) || s.State == spans[i-1].State) {
			t.Fatalf("%s: %+v follows %+v", name, s, spans[i-1])
		}
		if s.Open && i < len(spans)-1 {
			t.Fatalf("%s: %+v goes on and is not the last", name, s)
		}
	}
}

func TestReusedNames(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	for i, uid := range []string{"a", "b"} {
		at := float64(i * 100)
		b.Add(at, timeline.Fact{Kind: timeline.Pod, What: timeline.Created, Name: "default/db-0", UID: uid})
		b.Add(at+1, timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: "default/db-0", UID: uid, Node: "node-1"})
		b.Add(at+100, timeline.Fact{Kind: timeline.Pod, What: timeline.Gone, Name: "default/db-0", UID: uid})
		b.Add(at, timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: "m", UID: "m" + uid, Group: "g"})
		b.Add(at+10, timeline.Fact{Kind: timeline.Node, What: timeline.Joined, Name: "m", UID: "n" + uid})
		b.Add(at+90, timeline.Fact{Kind: timeline.Node, What: timeline.Gone, Name: "m", UID: "n" + uid})
		b.Add(at+95, timeline.Fact{Kind: timeline.Machine, What: timeline.Gone, Name: "m", UID: "m" + uid})
	}
	m := New(b.Record())
	if pods := m.PodsNamed("db-0"); len(pods) != 2 || pods[0].Ended().IsZero() || pods[1].Began().Sub(pods[0].Ended()) != 0 {
		t.Errorf("the pods of one name are %+v", pods)
	}
	nodes := m.NodesNamed("m")
	if len(nodes) != 2 {
		t.Fatalf("%d stories of two machines that had one name after the other", len(nodes))
	}
	for i, n := range nodes {
		if n.Created.Sub(b.At(float64(i*100))) != 0 || n.Joined.Sub(n.Created) != 10*time.Second || n.Gone.Sub(n.Created) != 95*time.Second || n.Group != "g" {
			t.Errorf("machine %d: %+v", i, n)
		}
	}
}

func TestANodeBeforeItsMachine(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Add(0, timeline.Fact{Kind: timeline.Node, What: timeline.Ready, Name: "node-x", UID: "n"})
	b.Add(5, timeline.Fact{Kind: timeline.Machine, What: timeline.Phase, Text: "Running", Name: "machine-x", Node: "node-x", UID: "m", Group: "g"})
	b.Add(9, timeline.Fact{Kind: timeline.Machine, What: timeline.Phase, Text: "Deleting", Name: "machine-x", UID: "m"})
	m := New(b.Record())
	if len(m.Nodes) != 1 || m.Nodes[0].Machine != "machine-x" || m.Nodes[0].Group != "g" || m.Nodes[0].Spans[len(m.Nodes[0].Spans)-1].State != Deleting {
		t.Errorf("stories %+v", m.Nodes)
	}
}

func TestAMachineWhoseNodeHasAnotherName(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Add(0, timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: "machine-x", UID: "m", Group: "g"})
	b.Add(20, timeline.Fact{Kind: timeline.Node, What: timeline.Joined, Name: "node-x", UID: "n"})
	b.Add(21, timeline.Fact{Kind: timeline.Machine, What: timeline.Phase, Text: "Running", Name: "machine-x", UID: "m", Node: "node-x"})
	b.Add(30, timeline.Fact{Kind: timeline.Node, What: timeline.Ready, Name: "node-x", UID: "n"})
	m := New(b.Record())
	if len(m.Nodes) != 1 || m.Nodes[0].Name() != "node-x" || m.Nodes[0].Ready.Sub(m.Nodes[0].Created) != 30*time.Second {
		t.Errorf("stories %+v", m.Nodes)
	}
}

func TestPausesOfTheCluster(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Group("md", 0, 3, 1)
	b.Add(10, timeline.Fact{Kind: timeline.Group, What: timeline.Paused, Name: "work-cluster"})
	b.Add(20, timeline.Fact{Kind: timeline.Group, What: timeline.Resumed, Name: "work-cluster"})
	b.Add(30, timeline.Fact{Kind: timeline.Group, What: timeline.Paused, Name: "md"})
	m := New(b.Record())
	if len(m.Pauses) != 1 || m.Pauses[0].Took() != 10*time.Second || len(m.Groups) != 1 || len(m.Groups[0].Pauses) != 1 || !m.Groups[0].Pauses[0].Open {
		t.Errorf("pauses of the cluster %+v, groups %+v", m.Pauses, m.Groups)
	}
}

func TestRepeatedStatementsAreListedOnce(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	kept := func(at float64, text string) {
		b.Add(at, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Kept, Node: "n", Text: text, Source: timeline.Log})
	}
	kept(0, "was unneeded for 10s")
	kept(10, "was unneeded for 20s")
	kept(20, "was unneeded for 30s")
	kept(60, "memory requested (55% of allocatable) is above")
	b.Add(70, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Group: "g", Text: "plan"})
	kept(80, "memory requested (56% of allocatable) is above")
	b.Add(900, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording})
	m := New(b.Record())
	w := m.NodeWhy(m.Nodes[0])
	if len(w.Kept) != 2 {
		t.Fatalf("kept for %+v", w.Kept)
	}
	first, second := w.Kept[0], w.Kept[1]
	if first.Count != 3 || !first.Until.Equal(b.At(60)) || first.Text != "was unneeded for 30s" {
		t.Errorf("the first reason is %+v, want one until the second", first)
	}
	if second.Count != 2 || !second.Until.Equal(b.At(900)) {
		t.Errorf("the second reason is %+v, want it said again after the decision and to hold to the end", second)
	}
}

func TestEndOfADecisionIsNoDecision(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Log(0, "Final scale-up plan: [{MachineDeployment/default/g 1->3 (max: 4)}]")
	b.Log(40, "Scale up in group MachineDeployment/default/g finished successfully in 40.2s")
	b.Log(55, "Scale-up: setting group MachineDeployment/default/g size to 4")
	b.Log(70, "Scale-down: removing node n, utilization: {0.1 0.2 0 cpu 0.2}, pods to reschedule: default/a")
	b.Log(300, "All pods removed from n")
	m := New(b.Record())
	if len(m.Decisions) != 3 || m.Decisions[0].N != 3 || m.Decisions[1].N != 4 || len(m.Decisions[2].Texts) != 2 {
		t.Errorf("decided:\n%s", decided(m))
	}
}

// decided describes the decisions of a model, one per line.
func decided(m *Model) string {
	var text strings.Builder
	for _, d := range m.Decisions {
		fmt.Fprintf(&text, "%s up=%v %s to %d, nodes %q, texts %q\n", d.At.Format(time.TimeOnly), d.Up, d.Group, d.N, d.Nodes, d.Texts)
	}
	return text.String()
}

// TestDrainsOverlap: the end of a removal belongs to its decision, even after other
// decisions.
func TestDrainsOverlap(t *testing.T) {
	t.Parallel()
	removing := func(node string) string {
		return "Scale-down: removing node " + node + ", utilization: {0.1 0.2 0 cpu 0.2}, pods to reschedule: default/a"
	}
	for _, end := range []float64{35, 60} {
		b := timelinetest.New()
		b.Log(0, removing("n1"))
		b.Log(30, removing("n2"))
		b.Log(end, "All pods removed from n1")
		b.Add(end+2, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleDown, Node: "n1", Text: "nodes removed by cluster autoscaler", Source: timeline.Event})
		b.Log(90, "All pods removed from n2")
		// What comes just after an end is a decision of its own.
		b.Log(95, removing("n3"))
		m := New(b.Record())
		if len(m.Decisions) != 3 {
			t.Fatalf("the end at %v s: decided:\n%s", end, decided(m))
		}
		for i, d := range m.Decisions {
			if want := fmt.Sprintf("[n%d]", i+1); fmt.Sprint(d.Nodes) != want || len(d.Texts) != 3-i || !d.At.Equal(b.At([]float64{0, 30, 95}[i])) {
				t.Errorf("the end at %v s: decision %d is not of %s alone:\n%s", end, i, want, decided(m))
			}
		}
	}
}

func TestGaps(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording})
	b.Add(1, timeline.Fact{Kind: timeline.Pod, What: timeline.Created, Name: "default/p", UID: "p"})
	// Nothing happened for a long time while a recorder ran.
	b.Add(600, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Since: b.At(598)})
	b.Add(900, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Since: b.At(880)})
	m := New(b.Record())
	if len(m.Gaps) != 1 || !m.Gaps[0].From.Equal(b.At(880)) || !m.Gaps[0].To.Equal(b.At(900)) {
		t.Errorf("gaps %+v, want the twenty seconds before 900s alone", m.Gaps)
	}
}

// TestEnvUpIsOneBand: env:up is one band although its steps overlap, and its
// verdict ends it. It is no scenario.
func TestEnvUpIsOneBand(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	step := func(at float64, what, text string) {
		b.Add(at, timeline.Fact{Kind: timeline.Lab, What: what, Name: timeline.BringUp, Text: text, Source: timeline.Own})
	}
	for _, from := range []float64{0, 100} { // again, after it failed
		step(from, timeline.Step, "images")
		step(from+0.001, timeline.Step, "the management cluster")
		step(from+20, timeline.Step, "Cluster API")
	}
	step(30, timeline.Failed, "Cluster API: no room")
	step(140, timeline.Passed, "")
	b.Add(150, timeline.Fact{Kind: timeline.Pod, What: timeline.Created, Name: "default/p", UID: "p"})
	m := New(b.Record())
	if len(m.Scenarios) > 0 || len(m.BringUps) != 2 || m.BringUps[0].Verdict != timeline.Failed || m.BringUps[1].Verdict != timeline.Passed {
		t.Fatalf("runs of env:up: %+v", m.BringUps)
	}
	for i, s := range m.BringUps {
		if len(s.Steps) != 3 || s.Steps[1].Text != "the management cluster" || !s.From.Equal(b.At(float64(100*i))) || s.Open {
			t.Errorf("run %d: %+v", i, s)
		}
	}
	if m.BringUps[1].Took() != 40*time.Second {
		t.Errorf("the second took %v", m.BringUps[1].Took())
	}
}

// TestOldDecisionDoesNotExplainALaterChange: a change by somebody else is not
// attributed to a decision that the autoscaler made just before.
func TestOldDecisionDoesNotExplainALaterChange(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Date(2026, 11, 25, 8, 29, second, 0, time.UTC) }
	down, up := &Decision{At: at(10), last: at(11), Group: "a", N: -1}, &Decision{At: at(20), last: at(20), Up: true, Group: "a", N: 1}
	m := &Model{To: at(59), Decisions: []*Decision{down, up}}
	g := &GroupStory{Name: "a", Wanted: []Level{{At: at(0), N: 1}, {At: at(12)}, {At: at(21), N: 1}, {At: at(40)}}}
	changes := m.SizeChanges(g)
	for i, want := range []*Decision{nil, down, up, nil} {
		if changes[i].Decision != want {
			t.Errorf("behind the change at %s: %+v, want %+v", changes[i].At.Format(time.TimeOnly), changes[i].Decision, want)
		}
	}
}

// TestAPendingPodWhoseNodesCame: an enlargement that has ended is no reason to wait for it.
func TestAPendingPodWhoseNodesCame(t *testing.T) {
	t.Parallel()
	two, three := 2, 3
	for want, f := range map[string]timeline.Fact{
		"":                                     {Kind: timeline.Group, What: timeline.ReadyCount, Name: "web", N: &two},
		", whose nodes were Ready at 22:01:30": {Kind: timeline.Group, What: timeline.ReadyCount, Name: "web", N: &three},
		", and its nodes did not come: web was made smaller, to 2, at 22:01:30":    {Kind: timeline.Group, What: timeline.Sized, Name: "web", N: &two},
		", and its nodes did not come: the scale-up of web had failed at 22:01:30": {Kind: timeline.Autoscaler, What: timeline.Health, Group: "web", Text: "Unhealthy, scale-up Backoff"},
	} {
		b := timelinetest.New()
		b.Group("web", 0, 4, 2)
		pod := b.Pods(10, "shop", 1)[0]
		b.Log(20, "Final scale-up plan: [{MachineDeployment/default/web 2->3 (max: 4)}]")
		b.Add(21, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Name: pod, Group: "web", N: &three, Text: "pod triggered scale-up: [{MachineDeployment/default/web 2->3 (max: 4)}]", Source: timeline.Event})
		b.Add(21, timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: "web", N: &three})
		b.Add(90, f)
		m := New(b.Record())
		if got := m.PodWhy(m.PodsNamed(pod)[0]).Verdict(); !strings.HasSuffix(got, "; the autoscaler enlarged web to 3 for it"+want) {
			t.Errorf("the verdict is %q, want the end %q", got, want)
		}
	}
}

// TestPlanExplainsTheSizesThatItHas: a plan for several groups explains the change of
// one of them to the size in the plan, and no other change.
func TestPlanExplainsTheSizesThatItHas(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Date(2026, 11, 25, 8, 29, second, 0, time.UTC) }
	plan := &Decision{At: at(10), last: at(11), Up: true, N: -1, Texts: []string{"pod triggered scale-up", "pod triggered scale-up: [{MachineDeployment/default/a 0->1 (max: 4)} {MachineDeployment/default/b 0->3 (max: 4)}]"}}
	m := &Model{To: at(59), Decisions: []*Decision{plan}}
	for name, tt := range map[string]struct {
		group string
		size  int
		want  *Decision
	}{
		"as planned":   {"b", 3, plan},
		"another size": {"a", 2, nil},
		"not planned":  {"c", 1, nil},
	} {
		changes := m.SizeChanges(&GroupStory{Name: tt.group, Wanted: []Level{{At: at(0)}, {At: at(12), N: tt.size}}})
		if changes[1].Decision != tt.want {
			t.Errorf("%s: %s to %d is explained by %+v", name, tt.group, tt.size, changes[1].Decision)
		}
	}
}

// TestTemplateNodeNumbersAreIgnored: records of earlier recorders have one fact
// for each number of a template node.
func TestTemplateNodeNumbersAreIgnored(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	for i, number := range []string{"3287627618815168233", "7683716520883490983", "1683716520883490981"} {
		b.Add(float64(10*i), timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Name: "default/a", Group: "web", Text: "no match on template-node-for-MachineDeployment/default/web-" + number})
	}
	m := New(b.Record())
	all := m.Statements(m.From, m.To, func(timeline.Fact) bool { return true })
	if len(all) != 1 || all[0].Count != 3 {
		t.Errorf("stated %+v, want one refusal three times", all)
	}
}

func TestAbout(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]timeline.Fact{
		"default/p||":  {What: timeline.Refused, Name: "default/p"},
		"default/p||g": {What: timeline.ScaleUp, Name: "default/p", Group: "g"},
		"|n|":          {What: timeline.Kept, Name: "n"},
		"|m|":          {What: timeline.ScaleDown, Name: "m"},
		"|k|g":         {What: timeline.Kept, Name: "other", Node: "k", Group: "g"},
		"default/q||":  {What: timeline.Considered, Name: "default/q"},
		"|o|":          {What: timeline.Considered, Name: "o"},
		"||g":          {What: timeline.Refused, Name: "g", Group: "g"},
		"default/r||":  {What: timeline.Problem, Name: "default/r"},
		"||":           {What: timeline.Problem, Name: "r"},
	} {
		if pod, node, group := About(f); pod+"|"+node+"|"+group != want {
			t.Errorf("%+v is about %s|%s|%s, want %s", f, pod, node, group, want)
		}
	}
}

// TestAlternatingStatements: if two reasons alternate, both hold, whether or not
// a message names the node's group.
func TestAlternatingStatements(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	kept := func(at float64, group, text string) {
		b.Add(at, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Kept, Node: "n", Group: group, Text: text, Source: timeline.Log})
	}
	kept(0, "", "was unneeded for 10s")
	kept(1, "g", "min size reached")
	kept(10, "g", "was unneeded for 20s")
	kept(11, "", "min size reached")
	b.Add(90, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording})
	m := New(b.Record())
	all := m.Statements(m.From, m.To, func(f timeline.Fact) bool { return f.What == timeline.Kept })
	if len(all) != 2 || all[0].Count != 2 || all[1].Count != 2 || !all[0].Until.Equal(m.To) || !all[1].Until.Equal(m.To) {
		t.Errorf("stated %+v, want two reasons twice that hold to the end", all)
	}
}

// TestRunsOfTheAutoscaler: a start that the pod and the log both report is
// counted once. An autoscaler that writes a log runs, even if no start of it was
// recorded.
func TestRunsOfTheAutoscaler(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Add(0, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, UID: "a", Text: "image:1", Source: timeline.Watch})
	b.Log(5, "Cluster Autoscaler 1.36.1")
	b.Log(60, "Cleaned up, exiting...")
	b.Log(90, "No expansion options")
	b.Log(100, "No expansion options")
	m := New(b.Record())
	if len(m.Runs) != 2 || m.Runs[0].Text != "image:1 1.36.1" || m.Runs[0].Took() != time.Minute || !m.Runs[1].From.Equal(b.At(90)) || !m.Runs[1].Open {
		t.Errorf("runs %+v", m.Runs)
	}
}

// TestRunsOfTwoReplicas: the pods of a Deployment that start together are one run.
func TestRunsOfTwoReplicas(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	for _, uid := range []string{"a", "b"} {
		b.Add(0, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, UID: uid, Text: "image:1", Source: timeline.Watch})
		b.Log(1, "Cluster Autoscaler 1.36.1")
	}
	if m := New(b.Record()); len(m.Runs) != 1 || m.Runs[0].Text != "image:1 1.36.1" {
		t.Errorf("runs %+v", m.Runs)
	}
}

// TestAnAutoscalerRestartedAtOnce: is another run.
func TestAnAutoscalerRestartedAtOnce(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Log(0, "Cluster Autoscaler 1.36.1")
	b.Log(5, "Cluster Autoscaler 1.36.1")
	if m := New(b.Record()); len(m.Runs) != 2 || !m.Runs[1].From.Equal(b.At(5)) || m.Runs[1].Text != "1.36.1" {
		t.Errorf("runs %+v", m.Runs)
	}
}

// TestAMachineThatIsNoLongerMarked: a node that the autoscaler gave up deleting is as before.
func TestAMachineThatIsNoLongerMarked(t *testing.T) {
	t.Parallel()
	for unmarked, want := range map[bool]State{false: Deleting, true: Ready} {
		b := timelinetest.New()
		node := b.Group("web", 0, 4, 1)[0]
		mark := timeline.Fact{Kind: timeline.Machine, What: timeline.Marked, Name: node, UID: "m-" + node, Group: "web", Source: timeline.Watch}
		b.Add(10, mark)
		if mark.What = timeline.Unmarked; unmarked {
			b.Add(20, mark)
		}
		m := New(b.Record())
		if n := m.NodesNamed(node)[0]; n.Spans[len(n.Spans)-1].State != want || n.Chosen.IsZero() != unmarked || (m.NodeWhy(n).Removal == nil) != unmarked {
			t.Errorf("unmarked %t: %+v, chosen %s", unmarked, n.Spans, n.Chosen)
		}
	}
}

// TestOriginWithoutADecision: neither an old decision nor a change to a smaller
// size is the origin of a node.
func TestOriginWithoutADecision(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording})
	size := func(at float64, n int) {
		b.Add(at, timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: "g", N: &n})
	}
	size(1, 1)
	b.Log(10, "Scale-up: setting group MachineDeployment/default/g size to 3")
	size(10, 3)
	size(190, 2)
	b.Add(200, timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: "m", UID: "m", Group: "g"})
	m := New(b.Record())
	if got, want := m.NodeWhy(m.Nodes[0]).Origin, "no change of size is on record for it"; got != want {
		t.Errorf("the origin is %q, want %q", got, want)
	}
	b.Add(-60, timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: "old", UID: "old", Group: "g"})
	m = New(b.Record())
	if got, want := m.NodeWhy(m.Nodes[0]).Origin, "it was created 1m00s before the record begins"; got != want {
		t.Errorf("the origin is %q, want %q", got, want)
	}
}

// TestPartsAreInOrder: because some times are whole seconds, a node may seem to
// have joined before its machine was created.
func TestPartsAreInOrder(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	pod := func(at float64, what string) {
		b.Add(at, timeline.Fact{Kind: timeline.Pod, What: what, Name: "default/p", UID: "p", Node: map[bool]string{true: "n"}[what == timeline.Scheduled]})
	}
	pod(0, timeline.Created)
	pod(0.1, timeline.Unschedulable)
	n := 2
	b.Add(5, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Name: "default/p", Group: "g", N: &n})
	b.Add(9.4, timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: "n", UID: "m", Group: "g"})
	b.Add(9, timeline.Fact{Kind: timeline.Node, What: timeline.Joined, Name: "n", UID: "n", Group: "g"})
	b.Add(20, timeline.Fact{Kind: timeline.Node, What: timeline.Ready, Name: "n", UID: "n", Group: "g"})
	pod(21, timeline.Scheduled)
	pod(22, timeline.Running)
	w := New(b.Record()).PodWhys()[0]
	if w.Decision == nil || len(w.Parts) != 6 {
		t.Fatalf("decided by %+v, parts %+v", w.Decision, w.Parts)
	}
	for _, p := range w.Parts {
		if p.Took() < 0 {
			t.Errorf("the part %+v took %s", p, p.Took())
		}
	}
}

func TestAMachineThatWasMovedWasNotCreatedAfterItsNodeJoined(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	b.Add(30, timeline.Fact{Kind: timeline.Node, What: timeline.Joined, Name: "n", UID: "n"})
	b.Add(60, timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: "n", UID: "m", Node: "n"})
	b.Add(63, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording})
	m := New(b.Facts)
	if len(m.Nodes) != 1 {
		t.Fatalf("%d nodes, want 1", len(m.Nodes))
	}
	if got, want := m.origin(m.Nodes[0]), "it already existed when it was first recorded"; got != want {
		t.Errorf("it %s, want: %s", got, want)
	}
}

func TestDecisionsThatOverlapStayApart(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	for _, d := range []struct {
		at    float64
		group string
	}{{0, "a"}, {5, "b"}, {9, "a"}, {18, "a"}} {
		b.Add(d.at, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Group: d.group, Text: "grows"})
	}
	if m := New(b.Facts); len(m.Decisions) != 2 {
		t.Errorf("%d decisions, want one of a and one of b", len(m.Decisions))
	}
}
