// Package timelines records what happens to a cluster, and shows it.
package timelines

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/explain"
	"caslab/magefiles/internal/timeline/logfacts"
	"caslab/magefiles/internal/timeline/recorder"
	"caslab/magefiles/internal/timeline/render"
	"caslab/magefiles/internal/timeline/trace"
	"caslab/magefiles/internal/ui"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Timelines are the records of clusters.
type Timelines struct {
	*lab.Lab
	// Open opens the cluster.
	Open target.Opener
	// Autoscaler names the release of the cluster's autoscaler, or returns an
	// empty text if it is not known.
	Autoscaler func(ctx context.Context, c *target.Cluster) (string, error)
	// TakeSnapshot returns the debugging snapshot of the cluster's autoscaler, which the
	// autoscaler makes in its next loop.
	TakeSnapshot func(ctx context.Context, c *target.Cluster, progress func(string)) ([]byte, error)
	// Metrics reads the metrics of the cluster's autoscaler. Without it, none are recorded.
	Metrics func(ctx context.Context, c *target.Cluster) (metrics.Sample, error)
}

func recordFile(dir string) string { return filepath.Join(dir, "record.jsonl") }

// options returns what to record of a cluster.
func options(l *lab.Lab, c *target.Cluster) recorder.Options {
	return recorder.Options{
		Workload: c.Workload, Management: c.Management, Namespace: c.Namespace, Cluster: c.Name,
		ConfigNamespace: c.ConfigNamespace(), File: recordFile(l.TimelineDir(c.UID)), LogFile: l.AutoscalerLog(c.UID),
	}
}

// recordRetry is how often a recorder checks whether the previous one has ended.
const recordRetry = 2 * time.Second

// File returns the file of a cluster's record.
func (t *Timelines) File(c *target.Cluster) string { return recordFile(t.TimelineDir(c.UID)) }

// Record records what happens to a cluster until stop is called. While another
// command records, it waits to take over from it.
func (t *Timelines) Record(ctx context.Context, c *target.Cluster) (stop func()) {
	o := t.lasting(c)
	o.OnError = func(err error) { t.reportError(c, err) }
	return record(ctx, o, t.reportEnd)
}

// lasting returns what to record of a cluster for longer than it takes to catch up: also the metrics
// of its autoscaler.
func (t *Timelines) lasting(c *target.Cluster) recorder.Options {
	o := options(t.Lab, c)
	if t.Metrics != nil {
		o.Metrics = func(ctx context.Context) (metrics.Sample, error) { return t.Metrics(ctx, c) }
	}
	return o
}

// reportError says that a recorder failed and goes on. An environment that refuses
// connections is stopped, and the command says that already.
func (t *Timelines) reportError(c *target.Cluster, err error) {
	if !c.Own || !utilnet.IsConnectionRefused(err) {
		t.Log.Printf("! the timeline may be incomplete: %v", err)
	}
}

// reportEnd says that a recorder has ended early.
func (t *Timelines) reportEnd(err error) { reportEnd(t.Lab, err) }

func reportEnd(l *lab.Lab, err error) {
	if errors.As(err, new(*recorder.RestartedError)) {
		err = fmt.Errorf("%w; to record to the new one, type: %s", err, l.Config.Command("timeline:watch"))
	}
	l.Log.Printf("! the timeline is not recorded: %v", err)
}

// record records until stop is called, and calls onEnd if it ends before.
func record(ctx context.Context, o recorder.Options, onEnd func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = wait.PollUntilContextCancel(ctx, recordRetry, true, func(ctx context.Context) (bool, error) {
			err := recorder.Record(ctx, o)
			if errors.As(err, new(*recorder.BusyError)) {
				return false, nil
			}
			if err != nil {
				onEnd(err)
			}
			return true, nil
		})
	}()
	return func() {
		cancel()
		<-done
	}
}

// AddFact records what the lab itself does to a cluster. A fact without a time gets the
// current time.
func (t *Timelines) AddFact(c *target.Cluster, f timeline.Fact) { addFact(t.Lab, t.File(c), f) }

func addFact(l *lab.Lab, file string, f timeline.Fact) {
	f.Kind, f.Source, f.Text = timeline.Lab, timeline.Own, redact.Text(f.Text)
	if f.Time.IsZero() {
		f.Time = l.Now()
	}
	if err := timeline.Append(file, f); err != nil {
		l.Log.Printf("! not on the timeline: %v", err)
	}
}

// AddStart records with which flags the lab starts an autoscaler, and from what it was
// compiled.
func (t *Timelines) AddStart(c *target.Cluster, flags []autoscaler.Flag, tree string) {
	t.addOfAutoscaler(c, logfacts.Flags(flags, tree, t.Now()))
}

// killed is the text of the error of a process that SIGKILL ended.
const killed = "signal: killed"

// AddEnd records that the autoscaler of this machine has ended: by itself with err, or
// stopped by the lab if err is nil. A process that is killed cannot log its end.
func (t *Timelines) AddEnd(c *target.Cluster, err error) {
	f := timeline.Fact{Time: t.Now(), Kind: timeline.Autoscaler, What: timeline.Stopped}
	if err != nil {
		f.Text = redact.Text(err.Error())
	}
	if f.Text == killed {
		f.Text += ", by somebody or by the kernel for lack of memory"
	}
	t.addOfAutoscaler(c, f)
}

// addOfAutoscaler records what the lab knows of an autoscaler that it runs.
func (t *Timelines) addOfAutoscaler(c *target.Cluster, f timeline.Fact) {
	f.Source = timeline.Own
	if err := timeline.Append(t.File(c), f); err != nil {
		t.Log.Printf("! not on the timeline: %v", err)
	}
}

// Watch shows what happens to the cluster until ctx is done, and
// records it.
func (t *Timelines) Watch(ctx context.Context) error {
	c, err := t.Open(ctx)
	if err != nil {
		return err
	}
	defer t.Record(ctx, c)()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	next := make(chan timeline.Fact)
	tailed := make(chan error, 1)
	go func() {
		defer close(next)
		tailed <- timeline.Tail(ctx, t.File(c), func(f timeline.Fact) {
			select {
			case next <- f:
			case <-ctx.Done():
			}
		})
	}()
	err = t.show(ctx, next)
	cancel() // even if nobody reads any more
	return errors.Join(err, <-tailed)
}

// show shows the facts from next: as a picture if stdout is a terminal, even if stderr
// is none.
func (t *Timelines) show(ctx context.Context, next <-chan timeline.Fact) error {
	if ui.Terminal(t.Out) {
		return render.Live(ctx, t.Out, next, render.LiveOptions{
			Color: ui.Color(t.Out),
			Hint:  []string{"Create pods that need nodes in another terminal:", "  " + t.Config.Command("workload:add -pods=3")},
		})
	}
	return t.printFacts(next)
}

// printFacts prints the facts of the last minute and those that follow, one a line.
func (t *Timelines) printFacts(next <-chan timeline.Fact) error {
	from := t.Now().Add(-time.Minute)
	for f := range next {
		if f.Time.Before(from) {
			continue
		}
		if err := render.Lines(t.Out, []timeline.Fact{f}, render.LineOptions{NameWidth: 40}); err != nil {
			return err
		}
	}
	return nil
}

// ReportOptions of Report.
type ReportOptions struct {
	// Out is the page's file, .html; the picture and the facts go beside it as
	// .svg and .json.
	Out string
	// Since is how far back the page and the picture go; to the record's
	// beginning if zero, or if nothing was recorded since. The JSON has the
	// whole record.
	Since time.Duration
	// Record is the file of a record to read, instead of the cluster's.
	Record string
}

// ExplainOptions of Explain.
type ExplainOptions struct {
	// Record is the file of a record to read, instead of the cluster's.
	Record string
}

// toWatch makes something happen that a page shows.
func (t *Timelines) toWatch() render.HintStep {
	return render.HintStep{
		{Command: t.Config.Command("workload:add -pods=3"), Text: "makes pods that need nodes, or "},
		{Command: t.Config.Command("scenario:run all"), Text: "runs every scenario;"},
	}
}

// howToRecord is for a page without a record.
func (t *Timelines) howToRecord() []render.HintStep {
	return []render.HintStep{
		{{Command: t.Config.Command("env:up"), Text: "brings a cluster up, if there is none;"}},
		{{Command: t.Config.Command("timeline:watch"), Text: "records and shows what happens, in a second terminal;"}},
		t.toWatch(),
		{{Command: t.Config.Command("timeline:report"), Text: "writes this page again."}},
	}
}

const pageSuffix = ".html"

// Report writes what was recorded as a page, a picture and JSON, and
// prints their paths.
func (t *Timelines) Report(ctx context.Context, o ReportOptions) (err error) {
	if o.Out != "" && !strings.HasSuffix(o.Out, pageSuffix) {
		return fmt.Errorf("-out=%s: want the name of a page, such as report.html", o.Out)
	}
	if err := checkSince(o.Since); err != nil {
		return err
	}
	foundRecord, err := t.record(ctx, o.Record)
	if err != nil {
		return err
	}
	base, facts := strings.TrimSuffix(cmp.Or(o.Out, filepath.Join(filepath.Dir(foundRecord.file), "report.html")), pageSuffix), foundRecord.facts
	title, from := t.title(o.Record), t.begin(o.Record, facts, o.Since)
	versions, err := t.versions(ctx, foundRecord.cluster)
	if err != nil {
		t.Log.Printf("! the report does not name the versions: %v", err)
	}
	verdict := t.verdicts(ctx, foundRecord.cluster, facts)
	for _, f := range []struct {
		path  string
		write func(io.Writer) error
	}{
		{base + ".html", func(w io.Writer) error {
			return render.Report(w, facts, render.ReportOptions{Title: title, Subtitle: versions, Now: t.Now(), From: from, Hint: t.howToRecord(), Verdict: verdict})
		}},
		{base + ".svg", func(w io.Writer) error { return render.SVG(w, facts, render.SVGOptions{From: from, Verdict: verdict}) }},
		{base + ".json", func(w io.Writer) error {
			return render.JSON(w, facts, render.JSONOptions{Title: title, Subtitle: versions, Verdict: verdict})
		}},
	} {
		if err := state.Write(f.path, 0o644, f.write); err != nil {
			return err
		}
		fmt.Fprintln(t.Out, f.path)
	}
	return nil
}

// verdicts returns what a report says of pods, the same as Explain without the scheduler's filters,
// which take too long for each of a thousand pods. c is nil for a record without its cluster.
func (t *Timelines) verdicts(ctx context.Context, c *target.Cluster, facts []timeline.Fact) render.Verdict {
	var o explain.Options
	if c != nil {
		o.Now = t.Now()
	}
	return explain.Verdicts(ctx, facts, o)
}

// checkSince refuses a negative duration.
func checkSince(since time.Duration) error {
	if since < 0 {
		return fmt.Errorf("-since=%s: want how far back to go, such as 15m; it must not be negative", since)
	}
	return nil
}

// title returns the title of what is made of the record in a file or, without one, of the
// cluster's.
func (t *Timelines) title(file string) string {
	if file != "" {
		return "What happened by " + file
	}
	return "What happened to " + t.Config.ClusterName
}

// begin returns when something that goes back so far begins, zero for the record's
// beginning. The record in a file ends with its last fact, the cluster's now.
func (t *Timelines) begin(file string, facts []timeline.Fact, since time.Duration) time.Time {
	switch {
	case since == 0:
		return time.Time{}
	case file != "":
		return facts[len(facts)-1].Time.Add(-since)
	}
	return t.Now().Add(-since)
}

// ExportOptions of Export.
type ExportOptions struct {
	// Out is the file of the trace; it is beside the record if empty.
	Out string
	// Record is the file of a record to read, instead of the cluster's.
	Record string
	// Since is how far back the trace goes; to the record's beginning if zero.
	Since time.Duration
}

// Export writes the record as trace events, and prints the path of their file.
func (t *Timelines) Export(ctx context.Context, o ExportOptions) error {
	if err := checkSince(o.Since); err != nil {
		return err
	}
	found, err := t.record(ctx, o.Record)
	if err != nil {
		return err
	}
	file := cmp.Or(o.Out, filepath.Join(filepath.Dir(found.file), "trace.json"))
	if err := state.Write(file, 0o644, func(w io.Writer) error {
		return trace.Write(w, found.facts, trace.Options{Title: t.title(o.Record), From: t.begin(o.Record, found.facts, o.Since)})
	}); err != nil {
		return err
	}
	_, err = fmt.Fprintln(t.Out, file)
	return err
}

// versions lists the versions that the cluster and its autoscaler report, because the
// settings may name others. For a cluster that does not answer, the list is empty.
func (t *Timelines) versions(ctx context.Context, c *target.Cluster) (string, error) {
	if c == nil {
		return "", nil
	}
	have, err := c.Versions(ctx)
	if err != nil {
		return "", err
	}
	running, err := t.Autoscaler(ctx, c)
	if err != nil {
		return "", err
	}
	all := have.List()
	if running != "" {
		all = append(all, "autoscaler "+running)
	}
	return strings.Join(all, ", "), nil
}

// Explain says in words what happened to a pod, node or group.
func (t *Timelines) Explain(ctx context.Context, what string, o ExplainOptions) error {
	if err := explain.Check(what); err != nil {
		return err
	}
	foundRecord, err := t.record(ctx, o.Record)
	if err != nil {
		return err
	}
	answer := explain.Options{Scheduler: t.scheduler()}
	if o.Record == "" {
		answer.Start = t.Config.Command("autoscaler:run")
	}
	if foundRecord.cluster != nil {
		answer.Now = t.Now() // a recorder is at work, or was until now
	}
	if answer.Snapshot, err = lastSnapshot(foundRecord.file); err != nil {
		t.Log.Printf("! the autoscaler's snapshot could not be read, and is not used: %v", err)
	}
	text, err := explain.Text(ctx, foundRecord.facts, what, answer)
	if err != nil {
		return err
	}
	_, err = io.WriteString(t.Out, text)
	return err
}

// catchUpTimeout bounds the time for reading what happened since the last recorder
// ended.
const catchUpTimeout = 30 * time.Second

// foundRecord is a record: its file, its facts, and its cluster, which is nil if it does not
// answer.
type foundRecord struct {
	file    string
	facts   []timeline.Fact
	cluster *target.Cluster
}

// recorded returns the record, up to this moment if the cluster answers.
func (t *Timelines) recorded(ctx context.Context) (r foundRecord, err error) {
	c, err := t.Open(ctx)
	switch {
	case err == nil:
		r.file, r.cluster = t.File(c), c
		if err := t.catchUp(ctx, options(t.Lab, c)); err != nil {
			return r, err
		}
	case ctx.Err() != nil:
		return r, context.Cause(ctx)
	case t.Config.WorkloadKubeconfig == "":
		r.file = recordFile(t.TimelineDir(""))
		t.Log.Printf("the record may lack the latest events, because the cluster cannot be asked: %v", err)
	default:
		return r, err
	}
	r.facts, err = t.read(r.file)
	return r, err
}

// record returns the record in a file or, without one, that of the cluster.
func (t *Timelines) record(ctx context.Context, file string) (foundRecord, error) {
	if file != "" {
		return t.importedRecord(file)
	}
	return t.recorded(ctx)
}

// read returns the facts of a record, and says how many of its lines are none.
func (t *Timelines) read(file string) ([]timeline.Fact, error) {
	facts, err := timeline.Read(file)
	if torn := new(timeline.TornError); errors.As(err, &torn) {
		t.Log.Printf("! %v", torn)
		err = nil
	}
	return facts, err
}

// catchUp records what happened since the last recorder ended, unless a recorder
// runs.
func (t *Timelines) catchUp(ctx context.Context, o recorder.Options) error {
	bounded, cancel := interrupt.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	synced := false
	o.OnSynced = func() {
		synced = true
		cancel()
	}
	err := recorder.Record(bounded, o)
	if errors.As(err, new(*recorder.BusyError)) {
		return nil
	}
	if err == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil && !synced {
		t.Log.Printf("! within %s the cluster did not report everything since the last recording", catchUpTimeout)
	}
	return err
}
