package recorder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/autoscaler/metrics"
)

// TestRequestsOfTheAutoscalerAreRecorded: once a minute, the record gets how many requests the
// autoscaler has sent. A process that was started anew counts from its own beginning.
func TestRequestsOfTheAutoscalerAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		served := []struct {
			started, requests int
		}{{0, 0}, {1, 100}, {1, 160}, {0, 0}, {1, 280}, {2, 300}, {2, 330}}
		i := 0
		b.Metrics = func(context.Context) (metrics.Sample, error) {
			if i >= len(served) {
				return nil, errors.New("the test is over")
			}
			s := served[i]
			i++
			if s.started == 0 {
				return nil, errors.New("no autoscaler runs")
			}
			return metrics.Parse(strings.NewReader(fmt.Sprintf("# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %d\n"+
				"# TYPE rest_client_requests_total counter\nrest_client_requests_total{code=\"200\"} %d\nrest_client_requests_total{code=\"404\"} 7\n", s.started, s.requests)))
		}
		b.record(func() { time.Sleep(7 * time.Minute) })
		want := []string{
			`autoscaler {"requests":{"n":60,"from":"2000-01-01T00:01:00Z","to":"2000-01-01T00:02:00Z"}}`,
			`autoscaler {"requests":{"n":120,"from":"2000-01-01T00:02:00Z","to":"2000-01-01T00:04:00Z"}}`,
			`autoscaler {"requests":{"n":30,"from":"2000-01-01T00:05:00Z","to":"2000-01-01T00:06:00Z"}}`,
		}
		got := b.unnamedShapes("autoscaler")
		if !slices.Equal(got, want) {
			t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
