package timelines

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/timeline/snapshot"
)

// SnapshotWithin is how long timeline:snapshot waits, unless its user says otherwise. Loops of
// a large cluster take a minute.
const SnapshotWithin = 2 * time.Minute

// SnapshotOptions of Snapshot.
type SnapshotOptions struct {
	// Out is the snapshot's file; one beside the record if empty.
	Out string
	// Within is how long to wait for the loop.
	Within time.Duration
}

// Snapshot takes the debugging snapshot of the autoscaler, stores it, and prints in what it
// and the record differ.
func (t *Timelines) Snapshot(ctx context.Context, o SnapshotOptions) error {
	if o.Within <= 0 {
		return fmt.Errorf("-within=%s: want how long to wait for the autoscaler's loop, such as 2m", o.Within)
	}
	c, err := t.Open(ctx)
	if err != nil {
		return err
	}
	if err := t.catchUp(ctx, options(t.Lab, c)); err != nil {
		return err
	}
	taken, data, until, err := t.take(ctx, c, o.Within)
	if err != nil {
		return err
	}
	// It has the whole pods, with the values of their variables.
	file := cmp.Or(o.Out, snapshotFile(t.File(c), taken))
	if err := state.Write(file, 0o600, func(w io.Writer) error { _, err := w.Write(data); return err }); err != nil {
		return err
	}
	facts, err := t.read(t.File(c))
	if err != nil {
		return err
	}
	if err := snapshot.Write(t.Out, taken, snapshot.Compare(taken, facts, until)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.Out, file)
	return err
}

// snapshotsOf returns the folder with the snapshots that belong to the record in a file.
func snapshotsOf(record string) string { return strings.TrimSuffix(record, ".jsonl") + ".snapshots" }

// snapshotFile returns the file of a snapshot. In the order of their names, the files of a
// folder are in the order of their times.
func snapshotFile(record string, s *snapshot.Snapshot) string {
	return filepath.Join(snapshotsOf(record), s.Start.UTC().Format("20060102-150405.json"))
}

// lastSnapshot returns the last snapshot that belongs to the record in a file, nil if there is
// none.
func lastSnapshot(record string) (*snapshot.Snapshot, error) {
	files, err := os.ReadDir(snapshotsOf(record))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files = slices.DeleteFunc(files, func(f fs.DirEntry) bool { return filepath.Ext(f.Name()) != ".json" })
	if len(files) == 0 {
		return nil, nil
	}
	last := filepath.Join(snapshotsOf(record), files[len(files)-1].Name()) // ReadDir sorts
	data, err := os.ReadFile(last)
	if err != nil {
		return nil, err
	}
	s, err := snapshot.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", last, err)
	}
	return s, nil
}

// recordedWithin is how long it may take until what happened is on record.
const recordedWithin = time.Second

// take takes a snapshot, and records meanwhile. The record is complete to until.
func (t *Timelines) take(ctx context.Context, c *target.Cluster, within time.Duration) (taken *snapshot.Snapshot, data []byte, until time.Time, err error) {
	defer t.Record(ctx, c)()
	step := t.Log.Start("take the autoscaler's snapshot", 20*time.Second)
	defer func() { step.Done("", err) }()
	bounded, cancel := interrupt.WithTimeout(ctx, within)
	defer cancel()
	if data, err = t.TakeSnapshot(bounded, c, step.Progress); err != nil {
		if ctx.Err() == nil && bounded.Err() != nil {
			err = errors.Join(fmt.Errorf("no loop of the autoscaler ended within %s: it may be in a debugger, wait for its lease, or need longer; -within=%s waits longer", within, 2*within), err)
		}
		return nil, nil, until, err
	}
	if taken, err = snapshot.Decode(data); err != nil {
		return nil, nil, until, err
	}
	select {
	case <-time.After(recordedWithin):
		return taken, data, t.Now(), nil
	case <-ctx.Done():
		return nil, nil, until, context.Cause(ctx)
	}
}
