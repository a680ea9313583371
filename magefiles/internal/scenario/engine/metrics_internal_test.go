package engine

import (
	"errors"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/scenario"
)

// TestMetricsOfAnEarlierProcess: the last metrics of a process that ended do not count for the next
// process.
func TestMetricsOfAnEarlierProcess(t *testing.T) {
	t.Parallel()
	w := newWorld("sc-", time.Now)
	sample, err := metrics.Parse(strings.NewReader("# TYPE a counter\na 3\n"))
	if err != nil {
		t.Fatal(err)
	}
	check := &scenario.MetricCheck{Name: "a", Value: count(t, "3")}
	before := w.process()
	w.setMetrics(before, sample, nil)
	w.setMetrics(before, nil, errors.New("it was stopped"))
	if found := w.evalMetric(check); found.empty || !found.holds {
		t.Errorf("after a stop: %+v, want the last value", found)
	}
	w.forgetMetrics()
	w.setMetrics(before, sample, nil)
	if found := w.evalMetric(check); !found.empty || found.seen != "no metrics yet" {
		t.Errorf("after a start: %+v, want no metrics", found)
	}
	w.setMetrics(w.process(), sample, nil)
	if found := w.evalMetric(check); found.empty || !found.holds {
		t.Errorf("of the next process: %+v, want its value", found)
	}
}
