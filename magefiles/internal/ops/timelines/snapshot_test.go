package timelines

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
)

// taken returns a function that takes this snapshot.
func taken(data string) func(context.Context, *target.Cluster, func(string)) ([]byte, error) {
	return func(context.Context, *target.Cluster, func(string)) ([]byte, error) { return []byte(data), nil }
}

// TestSnapshot: what the autoscaler does not know is printed, and the snapshot is stored where
// only its user can read it.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	c, _ := targettest.New(t)
	data := `{"NodeList":[{"Node":{"metadata":{"name":"ghost"}}}],"StartTimestamp":"` + time.Now().Add(time.Minute).Format(time.RFC3339) + `"}`
	tl := &Timelines{Lab: l.Lab, Open: targettest.Open(c), TakeSnapshot: taken(data)}
	if err := tl.Snapshot(t.Context(), SnapshotOptions{Within: time.Minute}); err != nil {
		t.Fatal(err)
	}
	printed := l.Printed.String()
	for _, want := range []string{"ghost", "counts", "worker", "does not count"} {
		if !strings.Contains(printed, want) {
			t.Errorf("it does not print %q:\n%s", want, printed)
		}
	}
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	file := lines[len(lines)-1]
	stored, err := os.ReadFile(file)
	if err != nil || string(stored) != data || filepath.Dir(file) != filepath.Join(l.TimelineDir(c.UID), "record.snapshots") {
		t.Errorf("%s has %s, %v", file, stored, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of %s: %v, %v", file, info.Mode(), err)
	}
}

// TestSnapshotWithoutALoop: an autoscaler that makes no snapshot in time is an error that says
// how to wait longer, and another error is not.
func TestSnapshotWithoutALoop(t *testing.T) {
	t.Parallel()
	c, _ := targettest.New(t)
	tl := &Timelines{Lab: labtest.New(t, nil).Lab, Open: targettest.Open(c), TakeSnapshot: func(ctx context.Context, _ *target.Cluster, _ func(string)) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	if err := tl.Snapshot(t.Context(), SnapshotOptions{Within: time.Millisecond}); err == nil || !strings.Contains(err.Error(), "no loop of the autoscaler ended within 1ms") || !strings.Contains(err.Error(), "-within=2ms") {
		t.Errorf("Snapshot() = %v", err)
	}
	refused := errors.New("no autoscaler runs")
	tl.TakeSnapshot = func(context.Context, *target.Cluster, func(string)) ([]byte, error) { return nil, refused }
	if err := tl.Snapshot(t.Context(), SnapshotOptions{Within: time.Minute}); !errors.Is(err, refused) || strings.Contains(err.Error(), "-within") {
		t.Errorf("Snapshot() = %v", err)
	}
	tl.TakeSnapshot = taken("404 page not found")
	if err := tl.Snapshot(t.Context(), SnapshotOptions{Within: time.Minute}); err == nil || !strings.Contains(err.Error(), "read the autoscaler's snapshot") {
		t.Errorf("Snapshot() = %v", err)
	}
	tl.Open = targettest.Closed(t)
	if err := tl.Snapshot(t.Context(), SnapshotOptions{}); err == nil || !strings.Contains(err.Error(), "-within=0s") {
		t.Errorf("Snapshot() = %v", err)
	}
}

// TestLastSnapshot: the last snapshot in the order of the names is read, whatever the name of the
// folder is.
func TestLastSnapshot(t *testing.T) {
	t.Parallel()
	record := filepath.Join(t.TempDir(), "a[b]*", "record.jsonl")
	if s, err := lastSnapshot(record); s != nil || err != nil {
		t.Errorf("without a folder: %v, %v", s, err)
	}
	if err := os.MkdirAll(snapshotsOf(record), 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := lastSnapshot(record); s != nil || err != nil {
		t.Errorf("of an empty folder: %v, %v", s, err)
	}
	for name, data := range map[string]string{
		"1.json": `{"StartTimestamp":"2026-01-01T00:00:01Z","NodeList":[]}`, "2.json": `{"StartTimestamp":"2026-01-01T00:00:02Z","NodeList":[]}`, "3.txt": "a note",
	} {
		if err := os.WriteFile(filepath.Join(snapshotsOf(record), name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := lastSnapshot(record); err != nil || s == nil || s.Start.Second() != 2 {
		t.Errorf("the last snapshot is %+v, %v", s, err)
	}
}
