package kube_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

// logging returns an API server with a pod, and a client that uses its kubeconfig.
func logging(t *testing.T) (*kubetest.Server, *kube.Client) {
	t.Helper()
	s := kubetest.New(t, []schema.GroupVersionKind{{Version: "v1", Kind: "Pod"}}, "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: team}}")
	c, err := kube.Open(s.KubeconfigFile())
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func TestLogsAreFollowed(t *testing.T) {
	t.Parallel()
	s, c := logging(t)
	since := time.Date(2026, 11, 24, 22, 0, 1, 5, time.FixedZone("east", 2*60*60))
	s.Log("team", "p", "c", since.Add(-time.Minute), "too old")
	s.Log("team", "p", "c", since, "one")
	s.Log("team", "p", "d", since, "of another container")
	log, err := c.Logs(t.Context(), "team", "p", "c", since)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(log)
	for _, want := range []string{"2026-11-24T20:00:01.000000005Z one\n", "2026-11-24T20:00:02.000000005Z two\n"} {
		if got, err := lines.ReadString('\n'); err != nil || got != want {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
		s.Log("team", "p", "c", since.Add(time.Second), "two") // the first one was read before there was more
	}
	s.EndLog("team", "p", "c")
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != "2026-11-24T20:00:02.000000005Z two\n" {
		t.Errorf("at the end: %q, %v", rest, err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

func TestLogsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	s, c := logging(t)
	s.Log("team", "p", "c", time.Now(), "one")
	ctx, cancel := context.WithCancel(t.Context())
	log, err := c.Logs(ctx, "team", "p", "c", time.Time{})
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

func TestMissingLogs(t *testing.T) {
	t.Parallel()
	_, c := logging(t)
	if _, err := c.Logs(t.Context(), "team", "q", "c", time.Time{}); !apierrors.IsNotFound(err) {
		t.Errorf("Logs() of no pod = %v", err)
	}
	if _, err := c.Logs(t.Context(), "team", "p", "c", time.Time{}); !apierrors.IsBadRequest(err) {
		t.Errorf("Logs() of a container that has not started = %v", err)
	}
}
