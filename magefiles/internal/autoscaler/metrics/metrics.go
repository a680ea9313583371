// Package metrics reads the metrics that an autoscaler serves.
package metrics

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"caslab/magefiles/internal/interrupt"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Names of metrics: those of the autoscaler are in cluster-autoscaler/metrics/metrics.go of its
// sources, that of requests is in k8s.io/component-base/metrics/prometheus/restclient, and those of
// the process come with Prometheus' client for Go.
const (
	durations = "cluster_autoscaler_function_duration_seconds"
	requests  = "rest_client_requests_total"
	resident  = "process_resident_memory_bytes"
	cpu       = "process_cpu_seconds_total"
	started   = "process_start_time_seconds"
)

// Names of functions in Durations (cluster-autoscaler/metrics/metrics.go: Main, LoopWait).
const (
	// MainLoop is a whole loop of the autoscaler.
	MainLoop = "main"
	// Wait is the time between two loops.
	Wait = "loopWait"
)

// answerWithin bounds the time until an autoscaler answers. A loop does not delay its answer.
const answerWithin = 10 * time.Second

// Sample has the metrics of one moment.
type Sample map[string]*dto.MetricFamily

// Read reads the metrics of the autoscaler that serves them at address, a host:port.
func Read(ctx context.Context, address string) (Sample, error) {
	ctx, cancel := interrupt.WithTimeout(ctx, answerWithin)
	defer cancel()
	url := "http://" + address + "/metrics"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("read the autoscaler's metrics: %w", err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("read the autoscaler's metrics: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the autoscaler's metrics: %s answers with %s", url, answer.Status)
	}
	return Parse(answer.Body)
}

// Parse reads metrics in Prometheus' text format.
func Parse(text io.Reader) (Sample, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, fmt.Errorf("read the autoscaler's metrics: %w", err)
	}
	return families, nil
}

// Duration is how often a function ran, and how many seconds it took in all.
type Duration struct {
	Count   uint64  `json:"count"`
	Seconds float64 `json:"seconds"`
}

// Mean returns the mean duration in seconds; 0 if the function never ran.
func (d Duration) Mean() float64 {
	if d.Count == 0 {
		return 0
	}
	return d.Seconds / float64(d.Count)
}

// Durations returns the durations of the autoscaler's functions by their names, since its
// start.
func (s Sample) Durations() map[string]Duration {
	all := map[string]Duration{}
	for _, m := range s[durations].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() == "function" {
				all[label.GetValue()] = Duration{m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()}
			}
		}
	}
	return all
}

// Since returns the durations of what ran after earlier was read, in the same process.
// Functions that did not run are left out.
func Since(earlier, later map[string]Duration) map[string]Duration {
	since := map[string]Duration{}
	for function, d := range later {
		if count := d.Count - earlier[function].Count; count > 0 {
			since[function] = Duration{count, d.Seconds - earlier[function].Seconds}
		}
	}
	return since
}

// Requests returns how many requests the process has sent to API servers. It returns false if the
// process does not count them.
func (s Sample) Requests() (n int64, counted bool) {
	family, counted := s[requests]
	for _, m := range family.GetMetric() {
		n += int64(m.GetCounter().GetValue())
	}
	return n, counted
}

// Started returns when the process started, in seconds since 1970; 0 if it does not say so.
func (s Sample) Started() float64 { return s.value(started) }

// Memory returns the resident memory of the process in bytes.
func (s Sample) Memory() int64 { return int64(s.value(resident)) }

// CPU returns the seconds that the process computed since its start.
func (s Sample) CPU() float64 { return s.value(cpu) }

func (s Sample) value(name string) float64 {
	for _, m := range s[name].GetMetric() {
		return m.GetGauge().GetValue() + m.GetCounter().GetValue() // it has one of them
	}
	return 0
}
