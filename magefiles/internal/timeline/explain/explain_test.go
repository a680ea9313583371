package explain

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/timelinetest"
)

// TestExplain compares the answers with testdata, where a person can read them.
func TestText(t *testing.T) {
	t.Parallel()
	facts := timelinetest.TwentyMinutes()
	for file, what := range map[string]string{
		"pod-new-node.txt":   "pod/scale-up-6cf9d-09458",
		"pod-old-node.txt":   "pod/default/scale-up-6cf9d-23645",
		"pod-waiting.txt":    "pod/greedy-6cf9d-85122",
		"node-removed.txt":   "node/work-cluster-work-md-1-jbskx-23757",
		"node-kept.txt":      "node/work-cluster-work-md-1-jbskx-07919",
		"group.txt":          "group/work-md-1",
		"group-refusals.txt": "group/work-zero",
	} {
		got, err := Text(t.Context(), facts, what, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		golden.Check(t, file, got)
	}
}

// TestExplainASplitScaleUp: the event for a pod names a plan for two similar groups. The
// pod's decision is the part of the plan that enlarges the group of its node.
func TestExplainASplitScaleUp(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	groups := []string{"work-md-1", "work-md-2", "work-md-3"}
	for _, g := range groups {
		b.Group(g, 0, 4, 0)
	}
	b.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
	pods := b.Pods(10, "shop", 2)
	nodes := b.SplitScaleUp(20, groups[:2], 4, pods...)
	facts := b.Record()
	for i, want := range []string{"work-md-1 to 1", "work-md-2 to 1"} {
		got, err := Text(t.Context(), facts, "pod/"+pods[i], Options{})
		if err != nil || !strings.Contains(got, "for which the autoscaler enlarged "+want+".") || !strings.Contains(got, "▲ the autoscaler enlarges "+want+"\n") || strings.Contains(got, ", but ") {
			t.Errorf("%v; want that %s was enlarged, and that nothing contradicts it:\n%s", err, want, got)
		}
	}
	// Without the log, only the events say something.
	facts = slices.DeleteFunc(facts, func(f timeline.Fact) bool { return f.Source == timeline.Log })
	got, err := Text(t.Context(), facts, "pod/"+pods[1], Options{})
	if err != nil || !strings.Contains(got, "enlarged work-md-1 to 1 and work-md-2 to 1.") || strings.Contains(got, ", but ") {
		t.Errorf("without a log: %v\n%s", err, got)
	}
	got, err = Text(t.Context(), facts, "node/"+nodes[1], Options{})
	if err != nil || !strings.Contains(got, "the autoscaler enlarged work-md-1 to 1 and work-md-2 to 1 at") {
		t.Errorf("without a log: %v\n%s", err, got)
	}
	// Without the plan, nothing says which groups the decision was about.
	unknown := slices.Clone(facts)
	for i := range unknown {
		if unknown[i].What == timeline.ScaleUp {
			unknown[i].Text = "pod triggered scale-up"
		}
	}
	if got, err := Text(t.Context(), unknown, "pod/"+pods[1], Options{}); err != nil || !strings.Contains(got, "the autoscaler enlarged a group.") || strings.Contains(got, "The decision was") {
		t.Errorf("without a plan: %v\n%s", err, got)
	}
	// The scheduler put the pod on a node of a group that was not in the plan.
	for i := range facts {
		if facts[i].Group == "work-md-2" {
			facts[i].Group = "work-md-3"
		}
	}
	got, err = Text(t.Context(), facts, "pod/"+pods[1], Options{})
	if want := "The decision was to enlarge work-md-1 to 1 and work-md-2 to 1, but the pod was scheduled on a node of work-md-3.\n"; err != nil || !strings.HasSuffix(got, want) {
		t.Errorf("on a node of a third group: %v, want %q:\n%s", err, want, got)
	}
}

// TestExplainAGroupThatIsGone: a group that was deleted is spoken of in the past. A node
// that came with its group, or went with it, is explained by that.
func TestExplainAGroupThatIsGone(t *testing.T) {
	t.Parallel()
	record := func(scenario, command bool) []timeline.Fact {
		b := timelinetest.New()
		b.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
		n := func(n int) *int { return &n }
		for _, start := range []float64{60, 660} { // twice, with the same name
			uid := fmt.Sprint(start)
			group := timeline.Fact{Kind: timeline.Group, Name: "web", UID: "g" + uid, Group: "web", Source: timeline.Watch}
			machine := timeline.Fact{Kind: timeline.Machine, Name: "web-" + uid, UID: "m" + uid, Group: "web", Source: timeline.Watch}
			add := func(at float64, f timeline.Fact, what, text string, n *int) {
				f.What, f.Text, f.N = what, text, n
				b.Add(start+at, f)
			}
			add(0, group, timeline.Created, "", nil)
			add(0, group, timeline.Sized, "", n(2))
			add(0, group, timeline.Limits, "0 2", nil)
			add(1, machine, timeline.Created, "", nil)
			if command {
				b.Add(start+99, timeline.Fact{Kind: timeline.Lab, What: timeline.Deleting, Name: "nodegroup:delete", Group: "web", Source: timeline.Own})
			}
			if scenario {
				for at, text := range map[float64]string{20: "1. wait", 100: timeline.CleanUp} {
					b.Add(start+at, timeline.Fact{Kind: timeline.Lab, What: timeline.Step, Name: "scale-up", Text: text, Source: timeline.Own})
				}
				b.Add(start+130, timeline.Fact{Kind: timeline.Lab, What: timeline.Passed, Name: "scale-up", Source: timeline.Own})
			}
			add(101, machine, timeline.Phase, "Deleting", nil)
			add(120, machine, timeline.Gone, "", nil)
			add(121, group, timeline.Gone, "", nil)
		}
		return b.Record()
	}
	for name, tt := range map[string]struct {
		scenario, command bool
		group, node       string
	}{
		"by the clean-up of a scenario": {true, false, "the scenario scale-up deleted the group when it removed what it created", "the scenario scale-up deleted the group when it removed what it created"},
		"by a command":                  {false, true, "nodegroup:delete deleted the group", "nodegroup:delete deleted the group"},
		"by somebody": {false, false, "the group was deleted; who deleted it is not on record",
			"no decision of the autoscaler is on record; the group was deleted, and gone at 22:13:01"},
	} {
		facts := record(tt.scenario, tt.command)
		got, err := Text(t.Context(), facts, "group/web", Options{})
		want := "group web existed from 22:11:00 until 22:13:01; min 0, max 2.\n\nSizes\n" +
			"  22:01:00  2         the group was created\n  22:03:01  2 → 0     " + tt.group + "\n" +
			"  22:11:00  0 → 2     the group was created\n  22:13:01  2 → 0     " + tt.group + "\n"
		if err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
		got, err = Text(t.Context(), facts, "node/web-660", Options{})
		if err != nil || !strings.Contains(got, "Where it came from: web was created at 22:11:00, 1s before.\n") || !strings.Contains(got, "Why it went: "+tt.node+".\n") {
			t.Errorf("%s: %v\n%s\nwant %s", name, err, got, tt.node)
		}
	}
	// A group that was gone before the clean-up began, or after the scenario ended, was
	// deleted by somebody else.
	for _, shift := range []time.Duration{-time.Minute, time.Minute} {
		facts := record(true, false)
		for i := range facts {
			if facts[i].What == timeline.Gone && facts[i].Kind == timeline.Group {
				facts[i].Time = facts[i].Time.Add(shift)
			}
		}
		if got, err := Text(t.Context(), facts, "group/web", Options{}); err != nil || strings.Contains(got, "scale-up") || !strings.Contains(got, "who deleted it is not on record") {
			t.Errorf("%s beside the clean-up: %v\n%s", shift, err, got)
		}
		if shift < 0 {
			continue
		}
		if got, err := Text(t.Context(), facts, "node/web-660", Options{}); err != nil || strings.Contains(got, "scale-up") {
			t.Errorf("%s beside the clean-up: %v\n%s", shift, err, got)
		}
	}
	// What shrank long before its group was deleted was not removed with it.
	facts := record(false, false)
	for i := range facts {
		if facts[i].What == timeline.Gone && facts[i].Kind == timeline.Group {
			facts[i].Time = facts[i].Time.Add(6 * time.Minute)
		}
	}
	if got, err := Text(t.Context(), facts, "node/web-660", Options{}); err != nil || !strings.Contains(got, "a person, a rollout or a controller removed it") {
		t.Errorf("long before: %v\n%s", err, got)
	}
}

func TestExplainUnknownNames(t *testing.T) {
	t.Parallel()
	facts := timelinetest.TwentyMinutes()
	for what, want := range map[string]string{
		"pod/scale-up-6cf9d-0945":                "there is pod/default/scale-up-6cf9d-09458",
		"pod/default/nothing-like-it":            `the last of \d+ pods are pod/default/.*`,
		"node/work-cluster-work-md-1-jbskx-0791": "there is node/work-cluster-work-md-1-jbskx-07919",
		"group/work-md-2":                        "there is group/work-md-1",
		"deployment/x":                           "is none of pod, node and group",
		"pod":                                    "want pod/NAME",
		"pod/":                                   "want pod/NAME",
	} {
		_, err := Text(t.Context(), facts, what, Options{})
		if err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("explain %s: %v, want %s", what, err, want)
		}
		if strings.HasPrefix(want, "there") && !errors.Is(err, ErrNotOnRecord) {
			t.Errorf("explain %s: %v is not ErrNotOnRecord", what, err)
		}
	}
	if _, err := Text(t.Context(), nil, "pod/x", Options{}); !errors.Is(err, timeline.ErrNoRecord) || !errors.Is(err, ErrNotOnRecord) {
		t.Errorf("the error for an empty record is %v", err)
	}
}

func TestHostileTextDoesNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	facts := timelinetest.HostileFacts()
	m := history.New(facts)
	var all strings.Builder
	for _, n := range m.Nodes {
		text, err := Text(t.Context(), facts, "node/"+n.Name(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(text)
	}
	for _, p := range m.Pods[:6] {
		text, err := Text(t.Context(), facts, "pod/"+p.Name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(text)
	}
	timelinetest.CheckTerminal(t, all.String())
}

// FuzzText: any text is explained or refused, and Check refuses every text that
// Explain cannot explain.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "/", "pod/", "pod/default/web", "node/a", "groups/web", "deployment/web", "pod/\x00", "machine//"} {
		f.Add(seed)
	}
	facts := timelinetest.New().Record()
	f.Fuzz(func(t *testing.T, what string) {
		text, err := Text(t.Context(), facts, what, Options{})
		if (err == nil) != (text != "") || Check(what) != nil && err == nil {
			t.Errorf("Text(%q) = %q, %v", what, text, err)
		}
	})
}

// TestExplainWhatManyPodsAreRefused: the same refusal of several pods is one line.
func TestExplainWhatManyPodsAreRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	for i, pod := range c.Pods(10, "shop", 5) {
		c.Log(20+float64(i), "Pod "+pod+` can't be scheduled on MachineDeployment/default/web, predicate checking error: can't schedule pod `+pod+fmt.Sprintf(`: predicate "NodeAffinity" didn't pass (debugInfo=nodeName: "template-node-for-MachineDeployment/default/web-910574057679500082%d")`, i))
	}
	c.Log(30, "No pod can fit to MachineDeployment/default/web")
	got, err := Text(t.Context(), c.Record(), "group/web", Options{})
	_, refusals, _ := strings.Cut(got, "Refusals and problems\n")
	refusals, _, _ = strings.Cut(refusals, "\n\n")
	lines := strings.Split(refusals, "\n")
	if err != nil || len(lines) != 2 || !strings.Contains(lines[0], " 5× ") || !strings.Contains(lines[0], ", and 2 more: predicate ") {
		t.Errorf("%v: %d lines:\n%s", err, len(lines), refusals)
	}
}
