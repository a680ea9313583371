package env

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"caslab/magefiles/internal/ui"
)

func quiet(t *testing.T) *ui.Log {
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := runSteps(ctx, quiet(t), time.Now, []step{
		{name: "a", run: both(true)},
		{name: "b", run: both(false)},
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
	_, err := runSteps(t.Context(), quiet(t), time.Now, []step{
		{name: "c", needs: []string{"b"}, run: add("c")},
		{name: "b", needs: []string{"a"}, run: add("b")},
		{name: "a", run: add("a")},
	})
	if want := []string{"a", "b", "c"}; err != nil || !slices.Equal(order, want) {
		t.Fatalf("ran %v, %v; want %v", order, err, want)
	}
}

func TestFirstErrorStopsTheRest(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	ran := false
	_, err := runSteps(t.Context(), quiet(t), time.Now, []step{
		{name: "fails", run: func(context.Context, func(string)) (string, error) { return "", boom }},
		{name: "waits", run: func(ctx context.Context, _ func(string)) (string, error) { <-ctx.Done(); return "", ctx.Err() }},
		{name: "after", needs: []string{"fails"}, run: func(context.Context, func(string)) (string, error) { ran = true; return "", nil }},
	})
	var failed *StepError
	if !errors.As(err, &failed) || failed.Step != "fails" || !errors.Is(err, boom) {
		t.Errorf("runSteps() = %v, want the failure of step %q", err, "fails")
	}
	if ran {
		t.Error("a step ran whose need had failed")
	}
}

func TestCriticalPath(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	path := criticalPath([]timing{
		{name: "fetch", start: at(0), end: at(2)},
		{name: "node image", start: at(0), end: at(9)},
		{name: "build", needs: []string{"fetch"}, start: at(2), end: at(5)},
		{name: "cluster", needs: []string{"build", "node image"}, start: at(9), end: at(12)},
		{name: "aside", needs: []string{"build"}, start: at(5), end: at(6)},
	})
	var names []string
	for _, p := range path {
		names = append(names, p.name)
	}
	if want := []string{"node image", "cluster"}; !slices.Equal(names, want) {
		t.Errorf("criticalPath() = %v, want %v", names, want)
	}
	if got := criticalPath(nil); got != nil {
		t.Errorf("criticalPath(nil) = %v", got)
	}
}
