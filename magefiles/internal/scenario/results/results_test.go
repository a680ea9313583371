package results

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

func results() *Results {
	return &Results{
		Autoscaler: "cluster-autoscaler 1.36.1", Release: "1.36.1", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Seconds: 300,
		Versions: map[string]string{"Kubernetes": "v1.36.1"},
		Scenarios: []Result{
			{Name: "a", Title: "A", Verdict: Passed, Seconds: 100, Steps: []StepResult{{"set up", true, 20}, {"one", true, 40}}},
			{Name: "b", Title: "B", Verdict: Failed, Seconds: 90, Why: "one: did not <come> true", Failure: "one: did not <come> true\n  seen: \x1b[31m```0 | 1"},
			{Name: "c", Title: "C", Verdict: Skipped, Why: "needs flags"},
			{Name: "d", Title: "D", Verdict: KnownFailure, Seconds: 30, Why: "size 1|2", Known: "upstream 123", Failure: "seen"},
			{Name: "e", Title: "E", Verdict: UnexpectedPass, Seconds: 30, Known: "upstream 124"},
		},
	}
}

func TestOnlyFailuresFailTheRun(t *testing.T) {
	t.Parallel()
	r := results()
	var failed *FailedError
	if err := r.Err(); !errors.As(err, &failed) || !reflect.DeepEqual(failed.Names, []string{"b"}) {
		t.Errorf("error %v, want that b failed and nothing else", err)
	}
	if text := r.Err().Error(); text != "1 scenario failed: b" {
		t.Errorf("error %q", text)
	}
	r.Scenarios[0].Verdict = Failed
	if text := r.Err().Error(); text != "2 scenarios failed: a, b" {
		t.Errorf("error %q", text)
	}
	r.Scenarios[0].Verdict, r.Scenarios[1].Verdict = Passed, KnownFailure
	if err := r.Err(); err != nil {
		t.Errorf("error %v, want none", err)
	}
}

// The error names the failed scenario as the user did, so that it can be run
// again.
func TestFailureNamesTheGivenPath(t *testing.T) {
	t.Parallel()
	r := results()
	r.Scenarios[1].Given = "./my own/b.yaml"
	r.Scenarios = append(r.Scenarios, Result{Name: "z", Verdict: Failed})
	if failed := new(FailedError); !errors.As(r.Err(), &failed) || failed.Again != "./my own/b.yaml" {
		t.Errorf("error %v, want one that names the path", r.Err())
	}
}

// Why and Cause have only the first failure of a scenario, and Failure has all.
func TestFail(t *testing.T) {
	t.Parallel()
	r := Result{Verdict: Passed}
	r.Fail(CheckFailed, "one", errors.New("did not hold\n  seen: 1\n  more"))
	r.Fail(CleanUpFailed, "clean-up", errors.New("left"))
	want := Result{Verdict: Failed, Cause: CheckFailed, Why: "one: did not hold; seen: 1", Failure: "one: did not hold\n  seen: 1\n  more\nclean-up: left"}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("it is %+v, want %+v", r, want)
	}
}

// TestInterrupt: a clean-up that fails does not turn an interruption into a failure, and
// JUnit counts neither.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	r := Result{Name: "a", Verdict: Passed}
	r.Interrupt("one", errors.New("stopped: Ctrl-C"))
	r.Fail(CleanUpFailed, "clean-up", errors.New("left"))
	if want := (Result{Name: "a", Verdict: Interrupted, Why: "one: stopped: Ctrl-C", Failure: "one: stopped: Ctrl-C\nclean-up: left"}); !reflect.DeepEqual(r, want) {
		t.Errorf("it is %+v, want %+v", r, want)
	}
	all := &Results{Scenarios: []Result{r}}
	var out strings.Builder
	if err := all.JUnit(&out); err != nil || strings.Contains(out.String(), "<failure") || !strings.Contains(out.String(), `skipped message="interrupted: one: stopped: Ctrl-C"`) {
		t.Errorf("JUnit() = %v, and wrote\n%s", err, &out)
	}
	if got := all.count(); got != "1 interrupted" || all.Err() != nil {
		t.Errorf("count() = %q, Err() = %v", got, all.Err())
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", "a\n b": "a b", "äöüß": "äöüß", "äöüßa": "äöü…"} {
		if got := clip(text, 4); got != want {
			t.Errorf("clip(%q) = %q, want %q", text, got, want)
		}
	}
}

// Only steps that passed in both runs are compared. The set-up is not.
func TestSlower(t *testing.T) {
	t.Parallel()
	a := []StepResult{{"set up", true, 1}, {"failed", false, 1}, {"other", true, 1}, {"slow", true, 1}}
	b := []StepResult{{"set up", true, 90}, {"failed", true, 90}, {"another", true, 90}, {"slow", true, 90}, {"more", true, 90}}
	for _, pairs := range [][]StepPair{slower(a, b), slower(b, a)} {
		if len(pairs) != 1 || pairs[0].Say != "slow" {
			t.Errorf("slower are %v, want slow alone", pairs)
		}
	}
}

func TestSkippedRun(t *testing.T) {
	t.Parallel()
	r := &Results{Scenarios: []Result{{Name: "c", Verdict: Skipped}}}
	if err := r.Err(); err == nil || err.Error() != "no scenario ran: all 1 were skipped" {
		t.Errorf("error %v, want that the one was skipped", r.Err())
	}
	r.Scenarios = append(r.Scenarios, Result{Name: "a", Verdict: Passed})
	if err := r.Err(); err != nil {
		t.Errorf("error %v, want none: one ran", err)
	}
}

// B is worse only in scenarios that both sides ran.
func TestWorse(t *testing.T) {
	t.Parallel()
	run := func(v Verdict) *Results {
		if v == "" {
			return &Results{}
		}
		return &Results{Scenarios: []Result{{Name: "s", Verdict: v}}}
	}
	for _, tt := range []struct {
		a, b     Verdict
		worse    bool
		compared int
	}{
		{Passed, Failed, true, 1}, {UnexpectedPass, Failed, true, 1}, {KnownFailure, Failed, true, 1},
		{Failed, Failed, false, 1}, {Passed, KnownFailure, false, 1}, {Failed, Passed, false, 1},
		{Interrupted, Failed, false, 0}, {Passed, Interrupted, false, 0},
		{Skipped, Failed, false, 0}, {"", Failed, false, 0}, {Passed, Skipped, false, 0}, {Passed, "", false, 0},
	} {
		c := Compare(run(tt.a), run(tt.b))
		if got := len(c.Worse()) > 0; got != tt.worse {
			t.Errorf("%q in A and %q in B: worse is %t, want %t", tt.a, tt.b, got, tt.worse)
		}
		if got := c.Compared(); got != tt.compared {
			t.Errorf("%q in A and %q in B: %d compared, want %d", tt.a, tt.b, got, tt.compared)
		}
	}
}

// The test compares the whole report, because CI systems read it in different
// ways.
func TestJUnit(t *testing.T) {
	t.Parallel()
	r := results()
	r.Scenarios[1].Failure = "one: did not <come> true\n  seen: \x1b[31m]]> 0"
	var out bytes.Buffer
	if err := r.JUnit(&out); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/junit.xml")
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the report is\n%s\nwant testdata/junit.xml", out.String())
	}
	var report junit.Testsuites
	if err := xml.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if got := report.Suites[0].Testcases[1].Failure.Data; got != "one: did not <come> true\n  seen: [31m]]> 0" {
		t.Errorf("the failure is read as %q", got)
	}
}

// A full disk is reported, at whatever byte of the report it is full.
func TestJUnitReportsAWriteError(t *testing.T) {
	t.Parallel()
	var whole bytes.Buffer
	if err := results().JUnit(&whole); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, whole.Len() / 2, whole.Len() - 1} {
		if err := results().JUnit(&limited{room}); !errors.Is(err, errFull) {
			t.Errorf("with room for %d bytes: %v, want that it is full", room, err)
		}
	}
}

var errFull = errors.New("full")

// limited is a writer that takes room bytes and then fails.
type limited struct{ room int }

func (l *limited) Write(data []byte) (int, error) {
	if len(data) > l.room {
		return 0, errFull
	}
	l.room -= len(data)
	return len(data), nil
}

func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := results().JSON(&out); err != nil {
		t.Fatal(err)
	}
	r := new(Results)
	if err := json.Unmarshal(out.Bytes(), r); err != nil || !reflect.DeepEqual(r, results()) {
		t.Errorf("read again: %+v, %v", r, err)
	}
}

func TestTableAndSummary(t *testing.T) {
	t.Parallel()
	var table, summary bytes.Buffer
	if err := errors.Join(results().Table(&table), Summary(&summary, results())); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"✗ failed", "1 passed, 1 failed, 1 known failure, 1 unexpected pass, 1 skipped", "size 1|2; known: upstream 123"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, table.String())
		}
	}
	// The code block's fence is longer than the fence in the text, and a "|" in
	// the text does not end a table's cell.
	for _, want := range []string{"\n````\n", "did not &lt;come&gt; true", `size 1\|2; known`, "Kubernetes v1.36.1"} {
		if !strings.Contains(summary.String(), want) {
			t.Errorf("the summary has no %q:\n%s", want, summary.String())
		}
	}
}

func TestRunsBesideOthersAreInTheTableAndTheSummary(t *testing.T) {
	t.Parallel()
	r := &Results{Parallel: 4, Scenarios: []Result{{Name: "a", Verdict: Passed, Beside: "one: did not come true"}}}
	var table, summary bytes.Buffer
	if err := errors.Join(r.Table(&table), Summary(&summary, r)); err != nil {
		t.Fatal(err)
	}
	const why = "it failed at the same time as others, and passed alone"
	if !strings.Contains(table.String(), why) {
		t.Errorf("the table has no %q:\n%s", why, &table)
	}
	for _, want := range []string{why, "<summary>a, at the same time as others</summary>", "one: did not come true"} {
		if !strings.Contains(summary.String(), want) {
			t.Errorf("the summary has no %q:\n%s", want, &summary)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	a, b := results(), results()
	b.Autoscaler, b.Release = "cluster-autoscaler 1.35.2", "1.35.2"
	b.Scenarios = b.Scenarios[:4]
	b.Scenarios[0].Steps = []StepResult{{"set up", true, 90}, {"one", true, 70}}
	b.Scenarios[1] = Result{Name: "b", Title: "B", Verdict: Passed, Seconds: 80}
	c := Compare(a, b)
	var order []string
	for _, p := range c.Scenarios {
		order = append(order, p.Name+" "+p.Difference)
	}
	if want := []string{"b verdict", "e verdict", "a seconds", "c ", "d "}; !reflect.DeepEqual(order, want) {
		t.Errorf("compared as %q, want %q", order, want)
	}
	if c.Differences() != 2 {
		t.Errorf("%d differences in verdict, want 2", c.Differences())
	}
	// The scenario b fails in A and passes in B. It is not worse in B, and it is
	// worse in A.
	if worse := c.Worse(); len(worse) != 0 {
		t.Errorf("worse in B: %q, want none", worse)
	}
	if worse := Compare(b, a).Worse(); !reflect.DeepEqual(worse, []string{"b"}) {
		t.Errorf("worse in A: %q, want b", worse)
	}
	var table, summary, data bytes.Buffer
	if err := errors.Join(c.Table(&table), c.Summary(&summary), c.JSON(&data)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"B is cluster-autoscaler 1.35.2: 2 scenarios have different verdicts", "not run", "one: 40 s and 70 s"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, table.String())
		}
	}
	if !strings.Contains(summary.String(), "| **b** | ✗ failed 90s | ✓ passed 80s |") || !strings.Contains(summary.String(), "<summary>b with A</summary>") {
		t.Errorf("the summary is\n%s", summary.String())
	}
	if !strings.Contains(data.String(), `"difference": "seconds"`) {
		t.Errorf("the JSON is\n%s", data.String())
	}
	// A step is not slower if it took half as long again but less than one more
	// round of the autoscaler.
	if pairs := slower([]StepResult{{"s", true, 1}, {"x", true, 10}}, []StepResult{{"s", true, 1}, {"x", true, 20}}); pairs != nil {
		t.Errorf("one more round counts as slower: %v", pairs)
	}
}
