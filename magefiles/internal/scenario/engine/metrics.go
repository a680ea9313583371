package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/scenario"
)

// metricsEvery is the time between two looks at the autoscaler's metrics.
const metricsEvery = 3 * time.Second

// followMetrics keeps the autoscaler's metrics up to date until ctx is done, if a check needs
// them.
func (e *engine) followMetrics(ctx context.Context) {
	if !slices.ContainsFunc(e.s.Checks(), func(c scenario.Check) bool { return c.Metric != nil }) {
		return
	}
	go func() {
		for ctx.Err() == nil {
			process := e.w.process()
			sample, err := e.o.Autoscaler.Metrics(ctx)
			e.w.setMetrics(process, sample, err)
			select {
			case <-time.After(metricsEvery):
			case <-ctx.Done():
			}
		}
	}()
}

// process returns the number of the autoscaler's process, which forgetMetrics counts.
func (w *world) process() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.processes
}

// forgetMetrics forgets the metrics of a process that ended, before the next one starts.
func (w *world) forgetMetrics() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.processes++
	w.metrics, w.metricsErr = nil, nil
}

// setMetrics stores the metrics of the autoscaler's process, or why there are none. The last
// metrics stay while the autoscaler is stopped. Metrics of an earlier process, which were requested
// before it ended, are ignored.
func (w *world) setMetrics(process int, sample metrics.Sample, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if process != w.processes {
		return
	}
	w.metricsErr = err
	if err == nil {
		w.metrics = sample
		w.evaluateAll(w.now(), "the autoscaler's metrics")
	}
}

// evalMetric evaluates a check of a metric. The caller holds mu.
func (w *world) evalMetric(m *scenario.MetricCheck) outcome {
	if w.metrics == nil {
		seen := "no metrics yet"
		if w.metricsErr != nil {
			seen += ": " + w.metricsErr.Error()
		}
		return outcome{empty: true, holds: true, seen: seen}
	}
	sum, samples := 0.0, 0
	for _, sample := range w.metrics[m.Name].GetMetric() {
		if hasLabels(sample, m.Labels) {
			samples++
			sum += valueOf(sample)
		}
	}
	if samples == 0 {
		// A counter with labels is there only once it counts.
		return outcome{holds: m.Value.Holds(0, w.nodesBefore), seen: "no sample, which counts as 0"}
	}
	return outcome{holds: m.Value.Holds(int(sum), w.nodesBefore), seen: fmt.Sprintf("it is %g", sum)}
}

func hasLabels(sample *dto.Metric, want map[string]string) bool {
	found := 0
	for _, l := range sample.GetLabel() {
		if value, wanted := want[l.GetName()]; wanted && value == l.GetValue() {
			found++
		}
	}
	return found == len(want)
}

// valueOf returns the value of a sample; of a distribution, the number of observations.
func valueOf(sample *dto.Metric) float64 {
	switch {
	case sample.GetCounter() != nil:
		return sample.GetCounter().GetValue()
	case sample.GetGauge() != nil:
		return sample.GetGauge().GetValue()
	case sample.GetHistogram() != nil:
		return float64(sample.GetHistogram().GetSampleCount())
	case sample.GetSummary() != nil:
		return float64(sample.GetSummary().GetSampleCount())
	default:
		return sample.GetUntyped().GetValue()
	}
}
