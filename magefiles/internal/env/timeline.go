package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/steps"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/recorder"
	"caslab/magefiles/internal/timeline/render"
)

// timelineDir is where the record of the settings' cluster is kept: by name
// for the environment's, by identity for one that the lab did not make.
func (l *Lab) timelineDir(uid string) string {
	if l.cfg.WorkloadKubeconfig == "" || uid == "" {
		return l.path("timeline", l.cfg.ClusterName)
	}
	return l.path("timeline", "cluster-"+uid)
}

func recordIn(dir string) string { return filepath.Join(dir, "record.jsonl") }

// newTimeline keeps the record of an environment that is no more beside that
// of the one that is about to be. One of the lab's own doings alone, of an
// env:up that came to nothing, is not worth that.
func (l *Lab) newTimeline() error {
	dir := l.timelineDir("")
	facts, err := timeline.Read(recordIn(dir))
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

// timelineOf says what to record of a cluster.
func (l *Lab) timelineOf(s *subject) recorder.Options {
	return recorder.Options{
		Workload: s.workload, Management: s.management, Namespace: s.namespace, Cluster: s.name,
		ConfigNamespace: s.configNamespace(), File: recordIn(l.timelineDir(s.uid)), LogFile: l.autoscalerLog(s),
	}
}

// timelineOfNew is of the environment's cluster while it comes up: much fails
// at first, which is for the full log.
func (l *Lab) timelineOfNew(workload, management *kube.Client) recorder.Options {
	o := l.timelineOf(&subject{workload: workload, management: management, name: l.cfg.ClusterName, namespace: l.cfg.Namespace})
	o.Trouble = func(err error) { fmt.Fprintf(l.record, "timeline: %v\n", err) }
	return o
}

// recordAgain is how often a recorder looks whether the one before it ended.
const recordAgain = 2 * time.Second

// recordTimeline records what happens to a cluster until stop is called. While
// another command records, there is nothing to do but to take over from it.
func (l *Lab) recordTimeline(ctx context.Context, o recorder.Options) (stop func()) {
	if o.Trouble == nil {
		o.Trouble = func(err error) { l.log.Printf("! the timeline may miss something: %v", err) }
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			err := recorder.Record(ctx, o)
			if !errors.As(err, new(*recorder.BusyError)) {
				if errors.As(err, new(*recorder.AnewError)) {
					err = fmt.Errorf("%w; to record to the new one, type: go tool mage timeline:watch", err)
				}
				if err != nil {
					l.log.Printf("! the timeline is not recorded: %v", err)
				}
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(recordAgain):
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// tell puts what the lab itself does onto the timeline.
func (l *Lab) tell(file string, f timeline.Fact) {
	f.Kind, f.Source = timeline.Lab, timeline.Own
	if f.Time.IsZero() {
		f.Time = l.now()
	}
	if err := timeline.Append(file, f); err != nil {
		l.log.Printf("! not on the timeline: %v", err)
	}
}

// onTimeline has the steps of env:up on the timeline.
func (l *Lab) onTimeline(all []steps.Step) []steps.Step {
	for i, s := range all {
		all[i].Run = func(ctx context.Context, progress func(string)) (string, error) {
			l.tell(recordIn(l.timelineDir("")), timeline.Fact{What: timeline.Step, Name: "env:up", Text: s.Name})
			return s.Run(ctx, progress)
		}
	}
	return all
}

// upOnTimeline says how env:up ended.
func (l *Lab) upOnTimeline(err error) {
	ended := timeline.Fact{What: timeline.Passed, Name: "env:up"}
	if err != nil {
		ended.What, ended.Text = timeline.Failed, err.Error()
	}
	l.tell(recordIn(l.timelineDir("")), ended)
}

// TimelineWatch shows what happens to the cluster until ctx is done, and
// records it.
func (l *Lab) TimelineWatch(ctx context.Context) error {
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	o := l.timelineOf(s)
	defer l.recordTimeline(ctx, o)()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan timeline.Fact)
	tailed := make(chan error, 1)
	go func() {
		defer close(next)
		tailed <- timeline.Tail(ctx, o.File, func(f timeline.Fact) {
			select {
			case next <- f:
			case <-ctx.Done():
			}
		})
	}()
	if l.terminal {
		err = render.Live(ctx, l.out, next, render.LiveOptions{Color: true})
	} else {
		err = l.printFacts(next)
	}
	cancel() // also if nobody reads any more
	return errors.Join(err, <-tailed)
}

// printFacts prints what happens, and what did a moment ago, a line each.
func (l *Lab) printFacts(next <-chan timeline.Fact) error {
	from := l.now().Add(-time.Minute)
	for f := range next {
		if f.Time.Before(from) {
			continue
		}
		if err := render.Lines(l.out, []timeline.Fact{f}, render.LineOptions{NameWidth: 40}); err != nil {
			return err
		}
	}
	return nil
}

// ReportOptions of TimelineReport.
type ReportOptions struct {
	// Out is the page's file, .html; the picture and the facts go beside it as
	// .svg and .json.
	Out string
	// Since is how far back the page and the picture go; to the record's
	// beginning if zero, or if nothing was recorded since. The JSON is of the
	// whole record.
	Since time.Duration
}

// TimelineReport writes what was recorded as a page, a picture and JSON, and
// prints their paths.
func (l *Lab) TimelineReport(ctx context.Context, o ReportOptions) (err error) {
	dir, facts, err := l.recorded(ctx)
	if err != nil {
		return err
	}
	if o.Out == "" {
		o.Out = filepath.Join(dir, "report.html")
	}
	base, ok := strings.CutSuffix(o.Out, ".html")
	if !ok {
		return fmt.Errorf("-out=%s: want the name of a page, such as report.html", o.Out)
	}
	title := "What happened to " + l.cfg.ClusterName
	versions := ""
	if l.cfg.WorkloadKubeconfig == "" { // of another's cluster the settings tell nothing
		versions = fmt.Sprintf("Cluster API %s, Kubernetes %s, autoscaler %s", l.cfg.ClusterAPI.Tag(), config.Tag(l.cfg.Kubernetes), release.Name(l.autoscalerRelease()))
	}
	var from time.Time
	if o.Since > 0 {
		from = l.now().Add(-o.Since)
	}
	for _, f := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{base + ".html", func(w io.Writer) error {
			return render.Report(w, facts, render.ReportOptions{Title: title, Subtitle: versions, Now: l.now(), From: from})
		}},
		{base + ".svg", func(w io.Writer) error { return render.SVG(w, facts, render.SVGOptions{From: from}) }},
		{base + ".json", func(w io.Writer) error {
			return render.JSON(w, facts, render.JSONOptions{Title: title, Subtitle: versions})
		}},
	} {
		if err := state.Write(f.path, 0o644, f.write); err != nil {
			return err
		}
		fmt.Fprintln(l.out, f.path)
	}
	return nil
}

// TimelineExplain says in words what happened to a pod, node or group.
func (l *Lab) TimelineExplain(ctx context.Context, what string) error {
	_, facts, err := l.recorded(ctx)
	if err != nil {
		return err
	}
	text, err := render.Explain(facts, what)
	if err != nil {
		return err
	}
	_, err = io.WriteString(l.out, text)
	return err
}

// caughtUpWithin is how long a cluster may take to tell what happened since
// somebody recorded.
const caughtUpWithin = 30 * time.Second

// recorded returns the facts of the record, up to this moment if the cluster
// answers, and the folder it is in.
func (l *Lab) recorded(ctx context.Context) (dir string, facts []timeline.Fact, err error) {
	s, err := l.subject(ctx)
	switch {
	case err == nil:
		dir = l.timelineDir(s.uid)
		if err := l.catchUp(ctx, l.timelineOf(s)); err != nil {
			return "", nil, err
		}
	case l.cfg.WorkloadKubeconfig == "":
		dir = l.timelineDir("")
		l.log.Printf("the record as it is, because the cluster cannot be asked: %v", err)
	default:
		return "", nil, err
	}
	facts, err = timeline.Read(recordIn(dir))
	if torn := new(timeline.TornError); errors.As(err, &torn) {
		l.log.Printf("! %v", torn)
		err = nil
	}
	return dir, facts, err
}

// catchUp records what happened since the last recorder ended, unless one is
// at work.
func (l *Lab) catchUp(ctx context.Context, o recorder.Options) error {
	ctx, cancel := within(ctx, caughtUpWithin)
	defer cancel()
	synced := false
	o.Synced = func() {
		synced = true
		cancel()
	}
	err := recorder.Record(ctx, o)
	if errors.As(err, new(*recorder.BusyError)) {
		return nil
	}
	if err == nil && !synced {
		l.log.Printf("! the cluster did not tell all that happened since somebody recorded within %s", caughtUpWithin)
	}
	return err
}
