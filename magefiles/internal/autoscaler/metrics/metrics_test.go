package metrics

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const sample = `# HELP cluster_autoscaler_function_duration_seconds [ALPHA] Time taken by various parts of CA main loop.
# TYPE cluster_autoscaler_function_duration_seconds histogram
cluster_autoscaler_function_duration_seconds_bucket{function="main",le="0.01"} 1
cluster_autoscaler_function_duration_seconds_bucket{function="main",le="+Inf"} 4
cluster_autoscaler_function_duration_seconds_sum{function="main"} 6.5
cluster_autoscaler_function_duration_seconds_count{function="main"} 4
cluster_autoscaler_function_duration_seconds_bucket{function="scaleUp",le="+Inf"} 2
cluster_autoscaler_function_duration_seconds_sum{function="scaleUp"} 1
cluster_autoscaler_function_duration_seconds_count{function="scaleUp"} 2
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 12.25
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 1.048576e+08
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e+09
# TYPE rest_client_requests_total counter
rest_client_requests_total{code="200",host="10.0.0.1:6443",method="GET"} 40
rest_client_requests_total{code="409",host="10.0.0.1:6443",method="PUT"} 2
`

func TestRead(t *testing.T) {
	t.Parallel()
	text, status := sample, http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")

	s, err := Read(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Duration{MainLoop: {4, 6.5}, "scaleUp": {2, 1}}
	if got := s.Durations(); !maps.Equal(got, want) {
		t.Errorf("the durations are %v, want %v", got, want)
	}
	if s.CPU() != 12.25 || s.Memory() != 100<<20 {
		t.Errorf("the process has %v seconds and %d bytes", s.CPU(), s.Memory())
	}
	if n, counted := s.Requests(); n != 42 || !counted || s.Started() != 1.7e9 {
		t.Errorf("the process has sent %d requests (%t) since %v", n, counted, s.Started())
	}
	if n, counted := (Sample{}).Requests(); n != 0 || counted {
		t.Errorf("a process that counts no requests has %d", n)
	}
	later := map[string]Duration{MainLoop: {6, 9.5}, "scaleUp": {2, 1}}
	since := Since(want, later)
	if !maps.Equal(since, map[string]Duration{MainLoop: {2, 3}}) || since[MainLoop].Mean() != 1.5 || (Duration{}).Mean() != 0 {
		t.Errorf("since then ran %v", since)
	}

	text = "no metrics {"
	if _, err := Read(t.Context(), address); err == nil {
		t.Error("text that is no metrics was read")
	}
	status = http.StatusNotFound
	if _, err := Read(t.Context(), address); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("the answer 404 gave %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Fuzz(func(_ *testing.T, text string) {
		s, err := Parse(strings.NewReader(text))
		if err == nil {
			s.Durations()
			s.CPU()
		}
	})
}
