package timelines

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/target/targettest"
	"caslab/magefiles/internal/timeline"
)

// TestServe: the address is printed, the page has the versions and what is recorded while
// it is served, and the end of the context is no error.
func TestServe(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	c, _ := targettest.New(t)
	tl := &Timelines{Lab: l.Lab, Open: targettest.Open(c), Autoscaler: runs("1.35.2")}
	recordFact(t, tl.File(c))
	printed, out := io.Pipe()
	tl.Out = out
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() { served <- tl.Serve(ctx, ServeOptions{}) }()
	line := make([]byte, 100)
	n, err := printed.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSpace(string(line[:n]))
	if !strings.HasPrefix(address, "http://127.0.0.1:") {
		t.Fatalf("printed %q", address)
	}
	if page := get(t, address); !strings.Contains(page, "autoscaler 1.35.2") || !strings.Contains(page, "What happened to work-cluster") || strings.Contains(page, "second-node") {
		t.Errorf("the page is\n%.3000s", page)
	}
	if err := timeline.Append(tl.File(c), timeline.Fact{Time: time.Now(), Kind: timeline.Node, What: timeline.Joined, Name: "second-node"}); err != nil {
		t.Fatal(err)
	}
	if page := get(t, address); !strings.Contains(page, "second-node") {
		t.Errorf("the page lacks what was recorded since\n%.3000s", page)
	}
	if state := get(t, address+"state"); !strings.Contains(state, `"quietSeconds":`) || strings.Contains(state, "trouble") {
		t.Errorf("the state is %s", state)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve() = %v", err)
	}
}

func get(t *testing.T, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // it was only read
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v\n%s", address, answer.StatusCode, err, body)
	}
	return string(body)
}

// TestServeRefusesFirst: a wrong port is refused before a cluster is asked.
func TestServeRefusesFirst(t *testing.T) {
	t.Parallel()
	tl := &Timelines{Lab: labtest.New(t, nil).Lab, Open: targettest.Closed(t)}
	for _, port := range []int{-1, 65536} {
		if err := tl.Serve(t.Context(), ServeOptions{Port: port}); err == nil || !strings.Contains(err.Error(), "want a port from 1 to 65535") {
			t.Errorf("Serve() at port %d = %v", port, err)
		}
	}
	if err := tl.Serve(t.Context(), ServeOptions{Since: -time.Second}); err == nil || !strings.Contains(err.Error(), "-since=-1s") {
		t.Errorf("Serve() since a negative time = %v", err)
	}
}

// TestTroubleIsForgotten: an error that the recorder no longer repeats is over, and the
// end of the recorder is not.
func TestTroubleIsForgotten(t *testing.T) {
	t.Parallel()
	now := time.Now()
	trouble := &trouble{now: func() time.Time { return now }}
	if text := trouble.text(); text != "" {
		t.Errorf("at first it is %q", text)
	}
	trouble.report(errors.New("watch Pod: connection refused"))
	if text := trouble.text(); text != "The record may be incomplete: watch Pod: connection refused" {
		t.Errorf("it is %q", text)
	}
	now = now.Add(troubleFor)
	if text := trouble.text(); text != "" {
		t.Errorf("later it is %q", text)
	}
	trouble.end(errors.New("the disk is full"))
	now = now.Add(time.Hour)
	if text := trouble.text(); text != "Nothing is recorded any more: the disk is full" {
		t.Errorf("in the end it is %q", text)
	}
}
