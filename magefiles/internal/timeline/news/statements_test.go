package news

import (
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/logfacts"
)

const info = "I1124 22:20:02.123456   26098 "

// noon is when the facts happened.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// parseLog returns the fact of a line of the autoscaler's log.
func parseLog(line string, day time.Time) (timeline.Fact, bool) {
	return logfacts.Statement(speech.Parse(line), day)
}

// TestRepeatedStatementsAreRecordedOnce: a statement that every round repeats is recorded
// once, and again after a decision or after another statement replaced it.
func TestRepeatedStatementsAreRecordedOnce(t *testing.T) {
	t.Parallel()
	var r Statements
	var recorded []string
	round := func(facts ...timeline.Fact) {
		r.NextRound()
		for _, f := range facts {
			if r.IsNew(f) {
				recorded = append(recorded, f.Text)
			}
			r.Learn(f)
		}
	}
	now := noon
	about := func(what, node, text string) timeline.Fact {
		return timeline.Fact{Time: now, Kind: timeline.Autoscaler, What: what, Node: node, Text: text}
	}
	kept := func(text string) timeline.Fact { return about(timeline.Kept, "n", text) }
	expect := func(want ...string) {
		t.Helper()
		if strings.Join(recorded, "; ") != strings.Join(want, "; ") {
			t.Errorf("recorded %q, want %q", recorded, want)
		}
		recorded = nil
	}
	round(kept("used 55%"))
	round(kept("used 56%"))
	expect("used 55%")
	for range 3 {
		round(kept("unneeded for 10s"), kept("min size reached"))
	}
	expect("unneeded for 10s", "min size reached")
	round(kept("used 55%"))
	round(kept("used 55%"))
	expect("used 55%") // it came back
	round(about(timeline.Kept, "other", "used 55%"))
	expect("used 55%")
	round(kept("used 55%"), about(timeline.ScaleUp, "", "grow"), kept("used 55%"))
	expect("grow", "used 55%")
	round(kept("used 55%"))
	expect()

	// After its expiry a statement counts as new. It is longer for statements about nodes.
	refused := func() timeline.Fact { return about(timeline.Refused, "", "max size reached") }
	round(refused())
	expect("max size reached")
	for range 12 {
		now = now.Add(10 * time.Second)
		round(refused())
	}
	now = now.Add(statementExpiry)
	round(refused())
	expect()
	now = now.Add(statementExpiry + time.Second)
	round(refused(), kept("used 55%"))
	expect("max size reached")
	now = now.Add(nodeStatementExpiry + time.Second)
	round(kept("used 55%"))
	expect("used 55%")

	// In another scenario a statement counts as new.
	step := func(what, name string) {
		r.Learn(timeline.Fact{Time: now, Kind: timeline.Lab, What: what, Name: name})
	}
	step(timeline.Step, "one")
	round(refused())
	step(timeline.Step, "one")
	round(refused())
	expect("max size reached")
	step(timeline.Step, "two")
	round(refused())
	expect("max size reached")
	step(timeline.Passed, "two")
	round(refused())
	expect("max size reached")
	step(timeline.Step, "two")
	round(refused())
	expect("max size reached")
	step(timeline.Recording, "")
	round(refused())
	expect()
}

// TestRepeatsAreBounded: a run of months, with ever new names and texts, needs bounded
// memory.
func TestRepeatsAreBounded(t *testing.T) {
	t.Parallel()
	var r Statements
	for i := range 3 * maxSubjects / 2 {
		name := strings.Repeat("x", 1+i/26) + string(rune('a'+i%26))
		r.Learn(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Name: name})
		r.Learn(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Kept, Node: "n", Text: name})
	}
	texts := 0
	for _, statements := range r.statements {
		texts = max(texts, len(statements))
	}
	if len(r.statements) > maxSubjects+1 || texts > maxTexts+1 {
		t.Errorf("%d subjects and %d texts of one are remembered", len(r.statements), texts)
	}
}

// TestPlacesOfAPodReplaceEachOther: where a pod has a place is news whenever it changes, though
// the same was said a minute ago.
func TestPlacesOfAPodReplaceEachOther(t *testing.T) {
	t.Parallel()
	var r Statements
	var recorded []string
	const (
		none   = "Pod default/a is unschedulable"
		fails  = "failed to find place for default/a: no"
		coming = "Pod default/a can be moved to template-node-for-MachineDeployment/default/web-3287627618815168233-upcoming-0"
	)
	for _, round := range [][]string{{fails, none}, {fails, none}, {coming}, {coming}, {fails, none}, {fails, none}, {coming}, {none}} {
		r.NextRound()
		for _, text := range round {
			f, ok := parseLog(info+"a.go:1] "+text, noon)
			if !ok {
				t.Fatal("no fact of " + text)
			}
			if r.IsNew(f) {
				recorded = append(recorded, strings.Fields(text)[2])
			}
			r.Learn(f)
		}
	}
	if want := []string{"find", "is", "can", "find", "is", "can", "is"}; !slices.Equal(recorded, want) {
		t.Errorf("recorded %q, want %q", recorded, want)
	}
}

// TestAnotherUnneededTimeIsNews: the autoscaler repeats since when it does not need a node. After
// it needed the node, that is another time.
func TestAnotherUnneededTimeIsNews(t *testing.T) {
	t.Parallel()
	var r Statements
	var recorded []string
	for _, since := range []string{"22:00:01.5 +0000 UTC m=+7.1 duration 0s", "22:00:01.5 +0000 UTC m=+7.1 duration 10.2s", "22:00:41.5 +0000 UTC m=+47.1 duration 0s"} {
		r.NextRound()
		f, ok := parseLog(info+"nodes.go:150] n is unneeded since 2026-11-24 "+since, noon)
		if !ok {
			t.Fatal("no fact")
		}
		if r.IsNew(f) {
			recorded = append(recorded, f.Text)
		}
		r.Learn(f)
	}
	if want := []string{"is unneeded since 2026-11-24 22:00:01.5 +0000 UTC", "is unneeded since 2026-11-24 22:00:41.5 +0000 UTC"}; !slices.Equal(recorded, want) {
		t.Errorf("recorded %q, want %q", recorded, want)
	}
}

// TestTemplateNodeNumbersAreIgnored: a statement is a repetition though the template node
// in it has a new number in every round.
func TestTemplateNodeNumbersAreIgnored(t *testing.T) {
	t.Parallel()
	var r Statements
	recorded := 0
	for _, number := range []string{"3287627618815168233", "7683716520883490983"} {
		r.NextRound()
		f, ok := parseLog(info+`orchestrator.go:561] Pod default/a can't be scheduled on MachineDeployment/default/web, predicate checking error: can't schedule pod default/a: predicate "NodeAffinity" didn't pass (predicateReasons=[]; debugInfo=template-node-for-MachineDeployment/default/web-`+number+`)`, noon)
		if !ok {
			t.Fatal("no fact")
		}
		if r.IsNew(f) {
			recorded++
		}
		r.Learn(f)
	}
	if recorded != 1 {
		t.Errorf("recorded %d times, want once", recorded)
	}
}
