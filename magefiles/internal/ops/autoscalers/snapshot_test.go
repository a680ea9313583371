package autoscalers

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/target/targettest"
)

// answerWith answers requests for a snapshot.
func answerWith(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/snapshotz" {
			status, body = http.StatusTeapot, "not the snapshot's path"
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// answers has what the autoscaler may answer with, and the error that Snapshot returns.
var answers = map[string]struct {
	status     int
	body, want string
}{
	"a snapshot":             {200, `{"NodeList":[]}`, ""},
	"without the flag":       {404, "404 page not found", "without --debugging-snapshot-enabled, or is older than 1.24.0"},
	"another request":        {429, "Another debugging snapshot request is being processed.", "for somebody else"},
	"a loop that ends early": {500, `{"NodeList":null,"Error":"Unable to collect any data"}`, "Unable to collect any data; its loop ended before"},
	"the end":                {503, "", "ended before it had a snapshot"},
	"something else":         {502, "a proxy", "a proxy"},
}

func TestSnapshotOfAProcess(t *testing.T) {
	t.Parallel()
	for name, tc := range answers {
		c, _ := targettest.New(t)
		a := &Autoscalers{Lab: labtest.New(t, nil).Lab, Open: targettest.Open(c)}
		if _, err := a.Snapshot(t.Context(), c, func(string) {}); err == nil || !strings.Contains(err.Error(), "no running autoscaler") {
			t.Errorf("%s: without an autoscaler: %v", name, err)
		}
		lock, err := a.State.Lock(autoscalerLock(c), "autoscaler:run")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Snapshot(t.Context(), c, func(string) {}); err == nil || !strings.Contains(err.Error(), "start it again") {
			t.Errorf("%s: at an unknown address: %v", name, err)
		}
		server := httptest.NewServer(answerWith(tc.status, tc.body))
		if err := a.recordAddress(c, []autoscaler.Flag{{Name: "address", Value: server.Listener.Addr().String()}}); err != nil {
			t.Fatal(err)
		}
		asked := ""
		got, err := a.Snapshot(t.Context(), c, func(text string) { asked = text })
		check(t, name, got, err)
		if !strings.Contains(asked, server.Listener.Addr().String()) {
			t.Errorf("%s: the progress is %q", name, asked)
		}
		server.Close()
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
	}
}

// check compares what Snapshot returned with the answer of that name.
func check(t *testing.T, name string, got []byte, err error) {
	t.Helper()
	switch tc := answers[name]; {
	case tc.want == "" && (err != nil || string(got) != tc.body):
		t.Errorf("%s: Snapshot() = %s, %v", name, got, err)
	case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
		t.Errorf("%s: Snapshot() = %v, want %q", name, err, tc.want)
	}
}

// TestSnapshotOfAPod: a deployed autoscaler is asked through the API server, at the port of
// its flags.
func TestSnapshotOfAPod(t *testing.T) {
	t.Parallel()
	const objects = `
{apiVersion: apps/v1, kind: Deployment, metadata: {name: cluster-autoscaler, namespace: system}, spec: {replicas: 1, selector: {matchLabels: {app: as}},
  template: {spec: {containers: [{name: proxy, image: "example.com/proxy:1", args: [--address=:1]}, {name: as, image: "example.com/cluster-autoscaler:1", args: [--address=0.0.0.0:9090]}]}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: other, namespace: system, labels: {app: other}}, status: {phase: Running}}
---
{apiVersion: v1, kind: Pod, metadata: {name: as-0, namespace: system, labels: {app: as}}, status: {phase: Pending}}
---
{apiVersion: v1, kind: Pod, metadata: {name: as-1, namespace: system, labels: {app: as}}, status: {phase: Running}}
`
	for name, tc := range answers {
		c, server := targettest.New(t)
		server.PutYAML(objects)
		server.Answers("system", "as-1", "9090", answerWith(tc.status, tc.body))
		a := &Autoscalers{Lab: labtest.New(t, nil).Lab, Open: targettest.Open(c)}
		got, err := a.Snapshot(t.Context(), c, func(string) {})
		check(t, name, got, err)
	}
}

// TestSnapshotOfTheLeader: of several pods, the one that holds the lease is asked.
func TestSnapshotOfTheLeader(t *testing.T) {
	t.Parallel()
	const objects = `
{apiVersion: apps/v1, kind: Deployment, metadata: {name: cluster-autoscaler, namespace: system}, spec: {replicas: 3, selector: {matchLabels: {app: as}},
  template: {spec: {containers: [{name: as, image: "example.com/cluster-autoscaler:1", args: [--namespace=leases, --leader-elect-resource-name=mine]}]}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: as-0, namespace: system, labels: {app: as}}, status: {phase: Running}}
---
{apiVersion: v1, kind: Pod, metadata: {name: as-1, namespace: system, labels: {app: as}}, spec: {hostname: other}, status: {phase: Running}}
---
{apiVersion: v1, kind: Pod, metadata: {name: as-2, namespace: system, labels: {app: as}}, spec: {hostNetwork: true, nodeName: node-2}, status: {phase: Running}}
---
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: cluster-autoscaler, namespace: leases}, spec: {holderIdentity: as-0}}
`
	for holder, pod := range map[string]string{"as-0": "as-0", "other": "as-1", "node-2": "as-2", "as-1": "", "": ""} {
		c, server := targettest.New(t)
		server.PutYAML(objects)
		a := &Autoscalers{Lab: labtest.New(t, nil).Lab, Open: targettest.Open(c)}
		want := fmt.Sprintf("none of 3 pods of the autoscaler leads: %q holds the lease leases/mine", holder)
		if holder == "" {
			want = "which of 3 pods of the autoscaler leads"
		} else {
			server.PutYAML("{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: mine, namespace: leases}, spec: {holderIdentity: " + holder + "}}")
		}
		if pod != "" {
			server.Answers("system", pod, "8085", answerWith(200, pod))
		}
		got, err := a.Snapshot(t.Context(), c, func(string) {})
		if string(got) != pod || (err == nil) != (pod != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("with the holder %q: Snapshot() = %s, %v; want %q", holder, got, err, cmp.Or(pod, want))
		}
	}
}

// TestSnapshotEndsWithItsContext: an autoscaler that begins no loop does not answer.
func TestSnapshotEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c, _ := targettest.New(t)
	a := &Autoscalers{Lab: labtest.New(t, nil).Lab, Open: targettest.Open(c)}
	lock, err := a.State.Lock(autoscalerLock(c), "autoscaler:run")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Release() }()
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	if err := a.recordAddress(c, []autoscaler.Flag{{Name: "address", Value: server.Listener.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Snapshot(ctx, c, func(string) {}); err == nil || ctx.Err() == nil {
		t.Errorf("Snapshot() = %v", err)
	}
}

// TestMetrics: the process on this machine is asked at its address, and a pod through the API server.
func TestMetrics(t *testing.T) {
	t.Parallel()
	const text = "# TYPE rest_client_requests_total counter\nrest_client_requests_total{code=\"200\"} 12\n"
	c, server := targettest.New(t)
	a := &Autoscalers{Lab: labtest.New(t, nil).Lab, Open: targettest.Open(c)}
	if _, err := a.Metrics(t.Context(), c); err == nil || !strings.Contains(err.Error(), "no running autoscaler") {
		t.Errorf("without an autoscaler: %v", err)
	}
	lock, err := a.State.Lock(autoscalerLock(c), "autoscaler:run")
	if err != nil {
		t.Fatal(err)
	}
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, text)
	})
	process := httptest.NewServer(serve)
	t.Cleanup(process.Close)
	if err := a.recordAddress(c, []autoscaler.Flag{{Name: "address", Value: process.Listener.Addr().String()}}); err != nil {
		t.Fatal(err)
	}
	ask := func(who string) {
		t.Helper()
		sample, err := a.Metrics(t.Context(), c)
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		if n, counted := sample.Requests(); n != 12 || !counted {
			t.Errorf("%s has sent %d requests, %t", who, n, counted)
		}
	}
	ask("the process")
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	server.PutYAML(`
{apiVersion: apps/v1, kind: Deployment, metadata: {name: cluster-autoscaler, namespace: system}, spec: {replicas: 1, selector: {matchLabels: {app: as}},
  template: {spec: {containers: [{name: as, image: "example.com/cluster-autoscaler:1", args: [--address=:9090]}]}}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: as-1, namespace: system, labels: {app: as}}, status: {phase: Running}}
`)
	server.Answers("system", "as-1", "9090", serve)
	ask("the pod")
}
