package timelines

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/timeline"
)

// Recorder records what happens to the environment while it comes up.
type Recorder struct{ *lab.Lab }

// Begin starts the record of an environment before it is created. The record of the
// previous environment is renamed, unless it has only facts of the lab itself, from an
// env:up that failed early.
func (r *Recorder) Begin() error {
	dir := r.TimelineDir("")
	facts, err := timeline.Read(recordFile(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.As(err, new(*timeline.TornError)) {
		return err
	}
	if slices.ContainsFunc(facts, func(f timeline.Fact) bool { return f.Kind != timeline.Lab }) {
		previous := dir + ".previous"
		if err := os.RemoveAll(previous); err != nil {
			return fmt.Errorf("begin a new timeline: %w", err)
		}
		if err := os.Rename(dir, previous); err != nil {
			return fmt.Errorf("begin a new timeline: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("begin a new timeline: %w", err)
	}
	return nil
}

// AddFact records what env:up does: what is timeline.Step, Passed, Failed or
// Interrupted, and text the name of the step, or the error.
func (r *Recorder) AddFact(what, text string) {
	addFact(r.Lab, recordFile(r.TimelineDir("")), timeline.Fact{What: what, Name: timeline.BringUp, Text: text})
}

// AddChange records that the environment was started or stopped: what is timeline.Started
// or timeline.Stopped.
func (r *Recorder) AddChange(what string) {
	addFact(r.Lab, recordFile(r.TimelineDir("")), timeline.Fact{What: what, Name: r.Config.ClusterName, Text: "the containers of the environment"})
}

// Record records what happens in the self-managed cluster until stop is called. Errors
// go to the full log only, because many requests fail at first.
func (r *Recorder) Record(ctx context.Context, cluster *kube.Client) (stop func()) {
	o := options(r.Lab, &target.Cluster{
		Workload: cluster, Management: cluster, Name: r.Config.ClusterName, Namespace: r.Config.Namespace, Own: true,
	})
	o.OnError = func(err error) { fmt.Fprintf(r.FullLog, "timeline: %v\n", err) }
	return record(ctx, o, func(err error) { reportEnd(r.Lab, err) })
}
