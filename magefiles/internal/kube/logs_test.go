package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// opened is a client of an API server that answers so.
func opened(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf("{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: %q}}], contexts: [{name: c, context: {cluster: c}}], current-context: c}", server.URL)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLogsAreFollowed(t *testing.T) {
	t.Parallel()
	more := make(chan struct{})
	c := opened(t, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.URL.String(), "/api/v1/namespaces/n/pods/p/log?container=c&follow=true&sinceTime=2026-11-24T20%3A00%3A01Z&timestamps=true"; got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
		fmt.Fprintln(w, "one")
		w.(http.Flusher).Flush()
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
		fmt.Fprintln(w, "two")
	})
	since := time.Date(2026, 11, 24, 22, 0, 1, 5, time.FixedZone("east", 2*60*60))
	log, err := c.Logs(t.Context(), "n", "p", "c", since)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(log)
	for _, want := range []string{"one\n", "two\n"} {
		if got, err := lines.ReadString('\n'); err != nil || got != want {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
		if want == "one\n" {
			close(more) // it was read before there was more
		}
	}
	if _, err := lines.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

func TestLogsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	c := opened(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	log, err := c.Logs(ctx, "n", "p", "c", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(log); !errors.Is(err, context.Canceled) {
		t.Errorf("read: %v", err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

func TestLogsOfNoPod(t *testing.T) {
	t.Parallel()
	c := opened(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind": "Status", "apiVersion": "v1", "code": 404, "reason": "NotFound", "message": "pods \"p\" not found"}`)
	})
	if _, err := c.Logs(t.Context(), "n", "p", "c", time.Time{}); !apierrors.IsNotFound(err) {
		t.Errorf("Logs() = %v", err)
	}
	if _, err := client(t).Logs(t.Context(), "n", "p", "c", time.Time{}); err == nil {
		t.Error("a client of objects alone has logs")
	}
}
