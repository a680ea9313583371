package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The bounds come from tables of the interval of Clopper and Pearson. Without a success, or without
// a failure, a formula gives them too.
func TestPassRate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		passed, n int
		low, high float64
	}{
		{7, 10, 0.3475, 0.9333},
		{1, 2, 0.0126, 0.9874},
		{50, 100, 0.3983, 0.6017},
		{0, 10, 0, 1 - math.Pow(0.025, 0.1)},
		{10, 10, math.Pow(0.025, 0.1), 1},
		{1, 1, 0.025, 1},
		{1000, 1000, math.Pow(0.025, 0.001), 1},
	} {
		low, high := passRate(test.passed, test.n)
		if math.Abs(low-test.low) > 1e-4 || math.Abs(high-test.high) > 1e-4 {
			t.Errorf("passRate(%d, %d) = %.4f, %.4f, want %.4f, %.4f", test.passed, test.n, low, high, test.low, test.high)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for want, values := range map[float64][]float64{3: {9, 1, 3}, 2.5: {4, 1, 2, 3}, 7: {7}} {
		if got := Median(values); got != want {
			t.Errorf("Median(%v) = %v, want %v", values, got, want)
		}
	}
}

// repeated returns the results of n runs of each scenario. failures says how the first runs of each
// one failed.
func repeated(n int, failures map[string][]string) *Results {
	r := &Results{Autoscaler: "cluster-autoscaler 1.36.1", Repeat: n, Seconds: 600}
	for _, name := range slices.Sorted(maps.Keys(failures)) {
		for run := range n {
			s := Result{Name: name, Run: run + 1, Verdict: Passed, Seconds: float64(10 * (run + 1))}
			if run < len(failures[name]) {
				s.Fail(CheckFailed, "grow", errors.New(failures[name][run]))
			}
			r.Scenarios = append(r.Scenarios, s)
		}
	}
	return r
}

func TestRepeats(t *testing.T) {
	t.Parallel()
	late := "did not come true within 1m0s: the group web has 2 nodes"
	broken := make([]string, 10)
	for i := range broken {
		broken[i] = fmt.Sprintf("%s\n  seen: %d", late, i)
	}
	r := repeated(10, map[string][]string{"broken": broken, "flaky": {"the API server is gone", late + "\n  seen: 1", late + "\n  seen: 0"}, "steady": nil})
	r.Scenarios = append(r.Scenarios, Result{Name: "old", Run: 1, Verdict: Skipped, Why: "too old"}, Result{Name: "steady", Run: 11, Verdict: Interrupted, Why: "Ctrl-C"})
	got := r.Repeats()
	for i := range got {
		for j := range got[i].Failures {
			got[i].Failures[j].example = ""
		}
	}
	seconds := Spread{10, 55, 100}
	want := []Repeat{
		{Name: "broken", Finding: Broken, Runs: 10, High: 31, Failures: []Failures{{Check: "grow: " + late, Times: 10, Runs: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}}, Seconds: seconds},
		{Name: "flaky", Finding: Flaky, Runs: 10, Passed: 7, Low: 34, High: 94, Failures: []Failures{
			{Check: "grow: " + late, Times: 2, Runs: []int{2, 3}}, {Check: "grow: the API server is gone", Times: 1, Runs: []int{1}},
		}, Seconds: seconds},
		{Name: "steady", Finding: Passes, Runs: 10, Passed: 10, Low: 69, High: 100, Seconds: seconds},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Repeats() =\n%+v\nwant\n%+v", got, want)
	}
	if err := r.Err(); err == nil || err.Error() != "2 scenarios failed: broken, flaky" {
		t.Errorf("Err() = %v, want each scenario once", err)
	}

	var table, summary, data, junit bytes.Buffer
	if err := errors.Join(r.Table(&table), Summary(&summary, r), r.JSON(&data), r.JUnit(&junit)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"! flaky: flaky: passed 7 of 10; the pass rate is between 34 % and 94 % (95 % confidence)\n    seconds: 10 to 100, median 55\n    2 times: grow: " + late + "\n    once: grow: the API server is gone\n",
		"✗ broken: broken: passed 0 of 10; the pass rate is between 0 % and 31 % (95 % confidence)",
		"✓ steady: passed 10 of 10; the pass rate is between 69 % and 100 % (95 % confidence)",
		"- old, run 1: skipped: too old", "! steady, run 11: interrupted: Ctrl-C",
		"of 32 runs, 17 passed, 13 failed, 1 interrupted, 1 skipped",
	} {
		if !strings.Contains(table.String(), text) {
			t.Errorf("the table has no %q:\n%s", text, &table)
		}
	}
	for _, text := range []string{
		"| flaky | ! flaky: passed 7 of 10; the pass rate is between 34 % and 94 % (95 % confidence) | 10 to 100, median 55 | 2 times: grow: " + late + "<br>once: grow: the API server is gone |",
		"| old, run 1 | - skipped | - | too old |", "<summary>flaky, run 2</summary>", "<summary>broken, run 1</summary>",
	} {
		if !strings.Contains(summary.String(), text) {
			t.Errorf("the summary has no %q:\n%s", text, &summary)
		}
	}
	if n := strings.Count(summary.String(), "<details>"); n != 3 {
		t.Errorf("the summary unfolds %d failures, want one of each kind, which is 3:\n%s", n, &summary)
	}
	var read struct {
		Repeats   []Repeat
		Scenarios []Result
	}
	if err := json.Unmarshal(data.Bytes(), &read); err != nil || !reflect.DeepEqual(read.Repeats, want) || len(read.Scenarios) != 32 {
		t.Errorf("the JSON has %d results and %+v, %v", len(read.Scenarios), read.Repeats, err)
	}
	if !strings.Contains(junit.String(), `name="flaky, run 2"`) {
		t.Errorf("JUnit has no run 2:\n%s", &junit)
	}
}

// A scenario that failed every time in few runs may be flaky.
func TestFewFailuresAreUnclear(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{
		2: "passed 0 of 2; the pass rate is between 0 % and 85 % (95 % confidence); more runs are needed to tell flaky from broken",
		5: "passed 0 of 5; the pass rate is between 0 % and 53 % (95 % confidence); more runs are needed to tell flaky from broken",
		6: "broken: passed 0 of 6; the pass rate is between 0 % and 46 % (95 % confidence)",
	} {
		if got := repeated(n, map[string][]string{"a": {"x", "x", "x", "x", "x", "x"}}).Repeats()[0].Text(); got != want {
			t.Errorf("Text() after %d runs = %q, want %q", n, got, want)
		}
	}
}

// TestBoundsAreNotNarrowed: the bounds are rounded outwards.
func TestBoundsAreNotNarrowed(t *testing.T) {
	t.Parallel()
	for failed, want := range map[int][2]int{0: {99, 100}, 1000: {0, 1}} {
		p := repeated(1000, map[string][]string{"a": slices.Repeat([]string{"x"}, failed)}).Repeats()[0]
		if got := [2]int{p.Low, p.High}; got != want {
			t.Errorf("%d of 1000 runs failed: the pass rate is between %v, want %v", failed, got, want)
		}
	}
}

// A known failure is no pass, and is told apart from another failure of the same check.
func TestKnownFailureIsNoPass(t *testing.T) {
	t.Parallel()
	r := repeated(3, map[string][]string{"a": {"x", "x"}})
	r.Scenarios[1].Verdict, r.Scenarios[1].Known = KnownFailure, "upstream 123"
	r.Scenarios[2].Verdict = UnexpectedPass
	p := r.Repeats()[0]
	if p.Passed != 1 || len(p.Failures) != 2 || p.Failures[1].text() != "once: grow: x; known: upstream 123" {
		t.Errorf("Repeats() = %+v", p)
	}
}
