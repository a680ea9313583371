package kube_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/kube"
)

func TestRetry(t *testing.T) {
	t.Parallel()
	refused, late := errors.New("refused"), errors.New("not within 10s")
	for name, tc := range map[string]struct {
		try   func(n int) error // n is 1 at the first call
		calls int
		took  time.Duration
		want  string
		is    error
	}{
		"at once":   {func(int) error { return nil }, 1, 0, "", nil},
		"at last":   {func(n int) error { return errorIf(n < 4, refused) }, 4, 3 * time.Second, "", nil},
		"slowly":    {func(n int) error { time.Sleep(2 * time.Second); return errorIf(n < 3, refused) }, 3, 8 * time.Second, "", nil},
		"permanent": {func(n int) error { return errorIf(true, kube.Permanent(refused)) }, 1, 0, "wanted the door to open: refused", refused},
		"in time":   {func(n int) error { return errorIf(true, refused) }, 10, 9500 * time.Millisecond, "waited for the door to open: not within 10s; last: refused", late},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeoutCause(t.Context(), 9500*time.Millisecond, late)
				defer cancel()
				calls, begun := 0, time.Now()
				err := kube.Retry(ctx, "the door to open", time.Second, func(context.Context) error { calls++; return tc.try(calls) })
				if calls != tc.calls || time.Since(begun) != tc.took {
					t.Errorf("%d calls in %s, want %d in %s", calls, time.Since(begun), tc.calls, tc.took)
				}
				if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want || !errors.Is(err, tc.is) || !errors.Is(err, refused)) {
					t.Errorf("Retry() = %v, want %q", err, tc.want)
				}
			})
		})
	}
	if err := kube.Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) = %v", err)
	}
}

func errorIf(is bool, err error) error {
	if is {
		return err
	}
	return nil
}
