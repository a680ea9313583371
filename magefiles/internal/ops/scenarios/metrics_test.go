package scenarios

import (
	"context"
	"sync"
	"testing"

	"caslab/magefiles/internal/scenario/engine"
)

// TestMetricsDuringAStart: an autoscaler may be asked for its metrics while it is started. The
// race detector finds what Start and Metrics share without a lock.
func TestMetricsDuringAStart(t *testing.T) {
	t.Parallel()
	over, end := context.WithCancel(t.Context())
	end()
	host, _ := newHostAutoscaler(t)
	other, _ := newHostAutoscaler(t)
	for name, tc := range map[string]struct {
		a   engine.Autoscaler
		ctx context.Context
	}{
		"on this machine": {host, t.Context()},
		// It is not really deployed.
		"in the cluster": {&inClusterAutoscaler{compiledAutoscaler: other.compiledAutoscaler, image: "autoscaler:dev"}, over},
	} {
		if _, err := tc.a.Metrics(over); err == nil {
			t.Errorf("%s: an autoscaler that was not started has metrics", name)
		}
		var started sync.WaitGroup
		started.Go(func() { _ = tc.a.Start(tc.ctx, engine.Invocation{}) })
		_, _ = tc.a.Metrics(over)
		started.Wait()
		if _, err := tc.a.Metrics(over); err == nil || err.Error() == "the autoscaler was not started yet" {
			t.Errorf("%s: Metrics() = %v, and it was started", name, err)
		}
	}
	if err := host.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
