package render

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/timelinetest"
)

var update = flag.Bool("update", false, "write testdata anew")

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -update writes it anew. Now:\n%s", path, got)
	}
}

// TestExplain compares the answers with testdata, where a person can read them.
func TestExplain(t *testing.T) {
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
		got, err := Explain(facts, what)
		if err != nil {
			t.Error(err)
			continue
		}
		golden(t, file, got)
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
		_, err := Explain(facts, what)
		if err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
			t.Errorf("explain %s: %v, want %s", what, err, want)
		}
		if strings.HasPrefix(want, "there") && !errors.Is(err, ErrNotOnRecord) {
			t.Errorf("explain %s: %v is not ErrNotOnRecord", what, err)
		}
	}
	if _, err := Explain(nil, "pod/x"); !errors.Is(err, timeline.ErrNoRecord) || !errors.Is(err, ErrNotOnRecord) {
		t.Errorf("the error for an empty record is %v", err)
	}
}

// hostile is text that would be harmful if it were not escaped on a page, in a
// terminal or in a line.
var hostile = `</script></title><img src=x onerror=alert(1)>"'` + "`{{.}}\x1b[2J\x00\r\n\u202e\xff]]>" + strings.Repeat("W", 5000)

// hostileFacts returns facts with hostile text in every field that a cluster can
// fill.
func hostileFacts() []timeline.Fact {
	facts := timelinetest.TwentyMinutes()
	for i := range facts {
		facts[i].Text += hostile
		switch facts[i].Kind {
		case timeline.Lab:
			facts[i].Name += hostile
		case timeline.Group:
			if facts[i].What == timeline.Limits {
				facts[i].Text = "1 4"
			}
		case timeline.Autoscaler:
			if facts[i].Name != "" {
				facts[i].Name = hostile
			}
		}
	}
	return facts
}

func TestHostileTextDoesNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	facts := hostileFacts()
	m := history.New(facts)
	var all strings.Builder
	for _, n := range m.Nodes {
		text, err := Explain(facts, "node/"+n.Name())
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(text)
	}
	for _, p := range m.Pods[:6] {
		text, err := Explain(facts, "pod/"+p.Name)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(text)
	}
	if err := Lines(&all, facts, LineOptions{Width: 120}); err != nil {
		t.Fatal(err)
	}
	all.WriteString(strings.Join(frame(m, m.To, 100, 60, false), "\n"))
	if i := strings.IndexFunc(all.String(), func(r rune) bool { return r < ' ' && r != '\n' || r == '\u202e' }); i >= 0 {
		t.Errorf("a control character at %d: %q", i, all.String()[max(0, i-80):i+10])
	}
	for _, l := range strings.Split(all.String(), "\n") {
		if n := len([]rune(l)); n > timeline.LongestText+200 {
			t.Errorf("a line of %d characters: %.120s…", n, l)
		}
	}
}
