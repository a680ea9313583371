package steps

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/ui"
)

func discardLog(t *testing.T) *ui.Log {
	t.Helper()
	log := ui.New(io.Discard, ui.Options{})
	t.Cleanup(log.Close)
	return log
}

func TestStepsThatNeedNothingRunTogether(t *testing.T) {
	t.Parallel()
	meet := make(chan struct{})
	both := func(first bool) func(context.Context, func(string)) (string, error) {
		return func(ctx context.Context, _ func(string)) (string, error) {
			if first {
				select {
				case meet <- struct{}{}:
					return "", nil
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
			select {
			case <-meet:
				return "", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := Run(ctx, discardLog(t), time.Now, []Step{
		{Name: "a", Run: both(true)},
		{Name: "b", Run: both(false)},
	})
	if err != nil {
		t.Fatalf("two independent steps did not meet: %v", err)
	}
}

func TestStepsWaitForTheirNeeds(t *testing.T) {
	t.Parallel()
	var order []string
	add := func(name string) func(context.Context, func(string)) (string, error) {
		return func(context.Context, func(string)) (string, error) { order = append(order, name); return "", nil }
	}
	_, err := Run(t.Context(), discardLog(t), time.Now, []Step{
		{Name: "c", Needs: []string{"b"}, Run: add("c")},
		{Name: "b", Needs: []string{"a"}, Run: add("b")},
		{Name: "a", Run: add("a")},
	})
	if want := []string{"a", "b", "c"}; err != nil || !slices.Equal(order, want) {
		t.Fatalf("ran %v, %v; want %v", order, err, want)
	}
}

func TestFirstErrorStopsTheRest(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	ran := false
	_, err := Run(t.Context(), discardLog(t), time.Now, []Step{
		{Name: "fails", Run: func(context.Context, func(string)) (string, error) { return "", boom }},
		{Name: "waits", Run: func(ctx context.Context, _ func(string)) (string, error) { <-ctx.Done(); return "", ctx.Err() }},
		{Name: "after", Needs: []string{"fails"}, Run: func(context.Context, func(string)) (string, error) { ran = true; return "", nil }},
	})
	var failed *Error
	if !errors.As(err, &failed) || failed.Step != "fails" || !errors.Is(err, boom) {
		t.Errorf("Run() = %v, want the failure of step %q", err, "fails")
	}
	if ran {
		t.Error("a step ran whose need had failed")
	}
}

func TestCriticalPath(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	path := CriticalPath([]Timing{
		{Name: "fetch", Start: at(0), End: at(2)},
		{Name: "node image", Start: at(0), End: at(9)},
		{Name: "build", Needs: []string{"fetch"}, Start: at(2), End: at(5)},
		{Name: "cluster", Needs: []string{"build", "node image"}, Start: at(9), End: at(12)},
		{Name: "aside", Needs: []string{"build"}, Start: at(5), End: at(6)},
	})
	var names []string
	for _, p := range path {
		names = append(names, p.Name)
	}
	if want := []string{"node image", "cluster"}; !slices.Equal(names, want) {
		t.Errorf("CriticalPath() = %v, want %v", names, want)
	}
	if got := CriticalPath(nil); got != nil {
		t.Errorf("CriticalPath(nil) = %v", got)
	}
}

func step(name string, needs ...string) Step {
	return Step{Name: name, Needs: needs, Run: func(context.Context, func(string)) (string, error) { return "", nil }}
}

// TestInvalidGraphsAreRefused: an invalid graph would otherwise wait for ever.
func TestInvalidGraphsAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		steps []Step
		want  string
	}{
		"a need that is no step": {[]Step{step("a"), step("b", "a", "c")}, `step "b" needs "c", which is no step`},
		"itself":                 {[]Step{step("a", "a")}, `wait for each other: "a"`},
		"a cycle":                {[]Step{step("free"), step("a", "free", "c"), step("b", "a"), step("c", "b")}, `wait for each other: "a", "b", "c"`},
		"two of a name":          {[]Step{step("a"), step("a")}, `two steps are called "a"`},
	} {
		ended := make(chan error, 1)
		go func() {
			_, err := Run(t.Context(), discardLog(t), time.Now, tc.steps)
			ended <- err
		}()
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: Run() = %v, want %q in it", name, err, tc.want)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: Run() hangs", name)
		}
	}
	if err := Validate([]Step{step("c", "b", "a"), step("b", "a"), step("a")}); err != nil {
		t.Errorf("steps in no order: %v", err)
	}
}

func TestUpTo(t *testing.T) {
	t.Parallel()
	// The steps are not sorted: c comes before the step that it needs.
	all := []Step{step("c", "b"), step("a"), step("aside", "a"), step("b", "a"), step("d", "c")}
	for target, want := range map[string]string{"a": "a", "b": "a b", "c": "c a b", "d": "c a b d"} {
		steps, err := UpTo(all, target)
		var names []string
		for _, s := range steps {
			names = append(names, s.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("UpTo(%s) = %s, %v; want %s", target, got, err, want)
		}
	}
	if len(all) != 5 || all[4].Name != "d" {
		t.Errorf("UpTo changed its argument: %v", all)
	}
	if _, err := UpTo(all, "e"); err == nil || !strings.Contains(err.Error(), `no step "e"`) {
		t.Errorf("UpTo of no step: %v", err)
	}
}

// TestTimings: there is one timing for each step that ended without an error, in
// the order in which they ended.
func TestTimings(t *testing.T) {
	t.Parallel()
	clock := time.Unix(0, 0)
	now := func() time.Time { clock = clock.Add(time.Second); return clock }
	fails := step("fails", "b")
	fails.Run = func(context.Context, func(string)) (string, error) { return "", errors.New("boom") }
	timings, err := Run(t.Context(), discardLog(t), now, []Step{step("b", "a"), step("a"), fails})
	if err == nil || len(timings) != 2 || timings[0].Name != "a" || timings[1].Name != "b" || timings[1].Took() != time.Second || timings[1].Start.Before(timings[0].End) {
		t.Errorf("Run() = %+v, %v", timings, err)
	}
}

func TestPrint(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	timings := []Timing{
		{Name: "short", Start: at(10), End: at(11)},
		{Name: "long", Start: at(10), End: at(14)},
		{Name: "last", Needs: []string{"short", "long"}, Start: at(14), End: at(15)},
	}
	seconds := Seconds(timings)
	if want := map[string]float64{"short": 1, "long": 4, "last": 1, "total": 5}; !maps.Equal(seconds, want) {
		t.Errorf("Seconds() = %v, want %v", seconds, want)
	}
	var out bytes.Buffer
	if err := Print(&out, timings); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	if want := []string{"STEP SECONDS", "short 1.0", "long 4.0 critical path", "last 1.0 critical path", "total 5.0"}; !slices.Equal(rows, want) {
		t.Errorf("Print() wrote %q, want %q", rows, want)
	}
	if got := Seconds(nil)["total"]; got != 0 {
		t.Errorf("no steps took %v s", got)
	}
}
