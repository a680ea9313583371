package recorder

import (
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/logfacts"
)

const (
	info    = "I1124 22:20:02.123456   26098 "
	warning = "W1124 22:20:02.123456   26098 "
	failure = "E1124 22:20:02.123456   26098 "
)

// parseLog returns the fact of a line of the autoscaler's log.
func parseLog(line string, day time.Time) (timeline.Fact, bool) {
	return logfacts.Statement(speech.Parse(line), day)
}

// TestRepeatedStatementsAreRecordedOnce: a statement that every round repeats is recorded
// once, and again after a decision or after another statement replaced it.
func TestRepeatedStatementsAreRecordedOnce(t *testing.T) {
	t.Parallel()
	var r repeats
	var recorded []string
	round := func(facts ...timeline.Fact) {
		r.nextRound()
		for _, f := range facts {
			if r.isNew(f) {
				recorded = append(recorded, f.Text)
			}
			r.add(f)
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
		r.add(timeline.Fact{Time: now, Kind: timeline.Lab, What: what, Name: name})
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

// TestEventWithoutAReason: an event without a reason means that no group was tried.
func TestEventWithoutAReason(t *testing.T) {
	t.Parallel()
	e := typed(t, kube.Event, `{kind: Event, reason: NotTriggerScaleUp, message: "pod didn't trigger scale-up: ", lastTimestamp: "2026-11-24T11:00:00Z", involvedObject: {kind: Pod, namespace: x, name: p}}`)
	if f, ok := eventFact(e); !ok || f.Text != "no group was tried" || f.Name != "x/p" || f.What != timeline.Refused {
		t.Errorf("the event is %+v, %v", f, ok)
	}
}

// TestEventTime: the fact has the event's latest time, to the microsecond.
func TestEventTime(t *testing.T) {
	t.Parallel()
	const head = `{kind: Event, reason: ScaleDown, metadata: {creationTimestamp: "2026-11-24T10:00:00Z"}`
	for fields, want := range map[string]string{
		"": "2026-11-24T10:00:00Z",
		`, eventTime: "2026-11-24T11:00:00.123456Z"`:                                                                                    "2026-11-24T11:00:00.123456Z",
		`, eventTime: "2026-11-24T11:00:00.123456Z", lastTimestamp: "2026-11-24T11:30:00Z"`:                                             "2026-11-24T11:30:00Z",
		`, eventTime: null, lastTimestamp: "2026-11-24T11:30:00Z", series: {count: 2, lastObservedTime: "2026-11-24T12:00:00.654321Z"}`: "2026-11-24T12:00:00.654321Z",
	} {
		f, ok := eventFact(typed(t, kube.Event, head+fields+"}"))
		if got := f.Time.UTC().Format(time.RFC3339Nano); !ok || got != want {
			t.Errorf("the event with %q has the time %s, want %s", fields, got, want)
		}
	}
}

// TestRepeatsAreBounded: a run of months, with ever new names and texts, needs bounded
// memory.
func TestRepeatsAreBounded(t *testing.T) {
	t.Parallel()
	var r repeats
	for i := range 3 * maxSubjects / 2 {
		name := strings.Repeat("x", 1+i/26) + string(rune('a'+i%26))
		r.add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Name: name})
		r.add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Kept, Node: "n", Text: name})
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
	var r repeats
	var recorded []string
	const (
		none   = "Pod default/a is unschedulable"
		fails  = "failed to find place for default/a: no"
		coming = "Pod default/a can be moved to template-node-for-MachineDeployment/default/web-3287627618815168233-upcoming-0"
	)
	for _, round := range [][]string{{fails, none}, {fails, none}, {coming}, {coming}, {fails, none}, {fails, none}, {coming}, {none}} {
		r.nextRound()
		for _, text := range round {
			f, ok := parseLog(info+"a.go:1] "+text, noon)
			if !ok {
				t.Fatal("no fact of " + text)
			}
			if r.isNew(f) {
				recorded = append(recorded, strings.Fields(text)[2])
			}
			r.add(f)
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
	var r repeats
	var recorded []string
	for _, since := range []string{"22:00:01.5 +0000 UTC m=+7.1 duration 0s", "22:00:01.5 +0000 UTC m=+7.1 duration 10.2s", "22:00:41.5 +0000 UTC m=+47.1 duration 0s"} {
		r.nextRound()
		f, ok := parseLog(info+"nodes.go:150] n is unneeded since 2026-11-24 "+since, noon)
		if !ok {
			t.Fatal("no fact")
		}
		if r.isNew(f) {
			recorded = append(recorded, f.Text)
		}
		r.add(f)
	}
	if want := []string{"is unneeded since 2026-11-24 22:00:01.5 +0000 UTC", "is unneeded since 2026-11-24 22:00:41.5 +0000 UTC"}; !slices.Equal(recorded, want) {
		t.Errorf("recorded %q, want %q", recorded, want)
	}
}

// TestTemplateNodeNumbersAreIgnored: a statement is a repetition though the template node
// in it has a new number in every round.
func TestTemplateNodeNumbersAreIgnored(t *testing.T) {
	t.Parallel()
	var r repeats
	recorded := 0
	for _, number := range []string{"3287627618815168233", "7683716520883490983"} {
		r.nextRound()
		f, ok := parseLog(info+`orchestrator.go:561] Pod default/a can't be scheduled on MachineDeployment/default/web, predicate checking error: can't schedule pod default/a: predicate "NodeAffinity" didn't pass (predicateReasons=[]; debugInfo=template-node-for-MachineDeployment/default/web-`+number+`)`, noon)
		if !ok {
			t.Fatal("no fact")
		}
		if r.isNew(f) {
			recorded++
		}
		r.add(f)
	}
	if recorded != 1 {
		t.Errorf("recorded %d times, want once", recorded)
	}
}

// TestChangedBy: the manager of a field that changed last, also one without a time, as Kubernetes
// 1.36 writes it for kubectl scale.
func TestChangedBy(t *testing.T) {
	t.Parallel()
	const created = `{manager: caslab, time: "2026-11-27T12:19:03Z", fieldsV1: {"f:spec": {"f:clusterName": {}}}}`
	for fields, want := range map[string]string{
		created: " 0001-01-01T00:00:00Z",
		created + `, {manager: kubectl, subresource: scale, fieldsV1: {"f:spec": {"f:replicas": {}}}}`:                                                                                           "kubectl 0001-01-01T00:00:00Z",
		created + `, {manager: a, time: "2026-11-27T12:20:00Z", fieldsV1: {"f:spec": {"f:replicas": {}}}}, {manager: b, time: "2026-11-27T12:19:30Z", fieldsV1: {"f:spec": {"f:replicas": {}}}}`: "a 2026-11-27T12:20:00Z",
	} {
		manager, at := changedBy(decode(t, "{kind: MachineDeployment, metadata: {managedFields: ["+fields+"]}}"), "spec", "replicas")
		if got := manager + " " + at.Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", fields, got, want)
		}
	}
}
