package lab

import (
	"context"
	"errors"
	"testing"
)

// TestWaited: an error is about waiting only if the context has ended. It then has the
// cause once.
func TestWaited(t *testing.T) {
	t.Parallel()
	refused, late := errors.New("refused"), errors.New("not within 1m0s")
	if err := Waited(t.Context(), "answer", refused); err != refused { //nolint:errorlint // the same, not one that wraps it
		t.Errorf("Waited() before the end = %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(late)
	if err := Waited(ctx, "answer", nil); err != nil {
		t.Errorf("Waited() without an error = %v", err)
	}
	for want, err := range map[string]error{
		"waited for the API server to answer: not within 1m0s":                            late,
		"waited for the API server to answer: not within 1m0s: context deadline exceeded": context.DeadlineExceeded,
	} {
		if got := Waited(ctx, "answer", err); got.Error() != want || !errors.Is(got, err) || !errors.Is(got, late) {
			t.Errorf("Waited(%v) = %v, want %s", err, got, want)
		}
	}
}
