package timelines

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
	"caslab/magefiles/internal/timeline"
)

// runs returns a function that reports a running autoscaler of this release.
func runs(release string) func(context.Context, *target.Cluster) (string, error) {
	return func(context.Context, *target.Cluster) (string, error) { return release, nil }
}

func recordFact(t *testing.T, path string) {
	t.Helper()
	if err := timeline.Append(path, timeline.Fact{Time: time.Now(), Kind: timeline.Node, What: timeline.Joined, Name: "worker"}); err != nil {
		t.Fatal(err)
	}
}

// TestReportNamesTheAutoscaler: the report has the versions of the cluster and
// of its autoscaler, and not those of the settings.
func TestReportNamesTheAutoscaler(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		own           bool
		release, want string
	}{
		"the environment's, with an autoscaler":  {true, "1.35.2", "Cluster API v1.13.5, Kubernetes v1.35.4, autoscaler 1.35.2"},
		"another's, whose autoscaler is unknown": {false, "", "Cluster API v1.13.5, Kubernetes v1.35.4"},
	} {
		l := labtest.New(t, map[string]string{"CAPI_VERSION": "v1.14.2", "AUTOSCALER_VERSION": "1.36.1"})
		c, _ := targettest.New(t)
		if c.Own = tc.own; !tc.own {
			l.Config.WorkloadKubeconfig = "/kubeconfig"
		}
		tl := &Timelines{Lab: l.Lab, Open: targettest.Open(c), Autoscaler: runs(tc.release)}
		recordFact(t, tl.File(c))
		out := filepath.Join(t.TempDir(), "out", "r.html")
		if err := tl.Report(t.Context(), ReportOptions{Out: out}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, path := range []string{out, strings.Replace(out, ".html", ".json", 1)} {
			data, err := os.ReadFile(path)
			if err != nil || !strings.Contains(string(data), tc.want) || strings.Contains(string(data), "v1.14.2") || strings.Contains(string(data), "1.36.1") {
				t.Errorf("%s: %s does not name %s alone, %v", name, path, tc.want, err)
			}
			if !tc.own && strings.Contains(string(data), "autoscaler 1") {
				t.Errorf("%s: %s names a release", name, path)
			}
		}
		if got := l.Printed.String(); got != out+"\n"+strings.Replace(out, ".html", ".svg", 1)+"\n"+strings.Replace(out, ".html", ".json", 1)+"\n" {
			t.Errorf("%s: printed\n%s", name, got)
		}
	}
}

// TestReportOfAClusterThatDoesNotAnswer: the report is made of the environment's
// record, without the cluster's versions.
func TestReportOfAClusterThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	down := errors.New("it does not answer")
	tl := &Timelines{Lab: l.Lab, Open: func(context.Context) (*target.Cluster, error) { return nil, down }, Autoscaler: runs("1.35.2")}
	recordFact(t, recordFile(l.TimelineDir("")))
	if err := tl.Report(t.Context(), ReportOptions{}); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(l.TimelineDir(""), "report.html")
	data, err := os.ReadFile(page)
	if err != nil || strings.Contains(string(data), "Cluster API v") || strings.Contains(string(data), "autoscaler 1") {
		t.Errorf("the page names versions that nobody was asked for, or is not there: %v", err)
	}
	if !strings.Contains(l.Logged.String(), "the cluster cannot be asked: it does not answer") {
		t.Errorf("said\n%s", l.Logged)
	}
	l.Config.WorkloadKubeconfig = "/kubeconfig"
	if err := tl.Report(t.Context(), ReportOptions{}); !errors.Is(err, down) {
		t.Errorf("of another's cluster: %v; its record is known by its UID", err)
	}
}

// TestReportInterrupted: after Ctrl-C, no incomplete report is written.
func TestReportInterrupted(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(c *target.Cluster, stop func()) target.Opener{
		"while the cluster is looked for": func(_ *target.Cluster, stop func()) target.Opener {
			return func(ctx context.Context) (*target.Cluster, error) {
				stop()
				return nil, ctx.Err()
			}
		},
		"while it is asked": func(c *target.Cluster, stop func()) target.Opener {
			return func(context.Context) (*target.Cluster, error) {
				stop()
				return c, nil
			}
		},
	} {
		l := labtest.New(t, nil)
		c, _ := targettest.New(t)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		tl := &Timelines{Lab: l.Lab, Open: open(c, stop), Autoscaler: runs("1.35.2")}
		recordFact(t, recordFile(l.TimelineDir("")))
		if err := tl.Report(ctx, ReportOptions{}); !errors.Is(err, context.Canceled) || l.Printed.String() != "" || l.Logged.String() != "" {
			t.Errorf("%s: Report() = %v, printed %q and said %q", name, err, l.Printed, l.Logged)
		}
	}
}

func TestReportRefusesAnotherKindOfFileFirst(t *testing.T) {
	t.Parallel()
	tl := &Timelines{Lab: labtest.New(t, nil).Lab, Open: targettest.Closed(t)}
	if err := tl.Report(t.Context(), ReportOptions{Out: "r.pdf"}); err == nil || !strings.Contains(err.Error(), "-out=r.pdf") {
		t.Errorf("Report() = %v", err)
	}
}

// TestWrongInputIsRefusedFirst: wrong input is refused before a cluster is asked.
func TestWrongInputIsRefusedFirst(t *testing.T) {
	t.Parallel()
	tl := &Timelines{Open: func(context.Context) (*target.Cluster, error) {
		t.Error("a cluster was opened")
		return nil, errors.New("no cluster")
	}}
	if err := tl.Report(t.Context(), ReportOptions{Since: -5 * time.Minute}); err == nil || !strings.Contains(err.Error(), "-since=-5m0s: want how far back") {
		t.Errorf("Report() since a negative time = %v", err)
	}
	if err := tl.Export(t.Context(), ExportOptions{Since: -5 * time.Minute}); err == nil || !strings.Contains(err.Error(), "-since=-5m0s: want how far back") {
		t.Errorf("Export() since a negative time = %v", err)
	}
	for what, want := range map[string]string{"web": "want pod/NAME", "pod/": "want pod/NAME", "deployment/web": "none of pod, node and group"} {
		if err := tl.Explain(t.Context(), what, ExplainOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Explain(%q) = %v, want %q", what, err, want)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	c, _ := targettest.New(t)
	tl := &Timelines{Lab: l.Lab, Open: targettest.Open(c)}
	recordFact(t, tl.File(c))
	if err := tl.Explain(t.Context(), "node/worker", ExplainOptions{}); err != nil || !strings.Contains(l.Printed.String(), "worker") {
		t.Errorf("Explain() = %v, printed\n%s", err, l.Printed)
	}
	// The cluster's autoscaler can be started, and not that of a record that somebody sent.
	const none = "nothing of an autoscaler is on record."
	for record, want := range map[string]string{"": none + " To start one, type: go tool mage autoscaler:run\n", tl.File(c): none + "\n"} {
		before := len(l.Printed.String())
		if err := tl.Explain(t.Context(), "autoscaler", ExplainOptions{Record: record}); err != nil || l.Printed.String()[before:] != want {
			t.Errorf("of %q: Explain() = %v, printed\n%s", record, err, l.Printed.String()[before:])
		}
	}
	// The answer is as of now, and that about a file as of its last fact.
	l.Now = func() time.Time { return time.Now().Add(time.Hour) }
	started := timeline.Fact{Time: time.Now(), Kind: timeline.Autoscaler, What: timeline.Started, Text: "1.36.1", Source: timeline.Log}
	if err := timeline.Append(tl.File(c), started); err != nil {
		t.Fatal(err)
	}
	for record, later := range map[string]bool{"": true, tl.File(c): false} {
		before := len(l.Printed.String())
		if err := tl.Explain(t.Context(), "autoscaler", ExplainOptions{Record: record}); err != nil || strings.Contains(l.Printed.String()[before:], "its last message on record is from") != later {
			t.Errorf("of %q: Explain() = %v, printed\n%s", record, err, l.Printed.String()[before:])
		}
	}
}

// TestExport: the trace is beside the record, or in the file that was named.
func TestExport(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	c, _ := targettest.New(t)
	tl := &Timelines{Lab: l.Lab, Open: targettest.Open(c)}
	recordFact(t, tl.File(c))
	named := filepath.Join(t.TempDir(), "new", "t.json")
	beside := filepath.Join(filepath.Dir(tl.File(c)), "trace.json")
	for _, o := range []ExportOptions{{}, {Out: named, Since: time.Hour}} {
		if err := tl.Export(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.Printed.String(); got != beside+"\n"+named+"\n" {
		t.Errorf("printed\n%s", got)
	}
	for _, path := range []string{beside, named} {
		data, err := os.ReadFile(path)
		if err != nil || !json.Valid(data) || !strings.Contains(string(data), `"name":"worker"`) {
			t.Errorf("%s has not the node: %v\n%s", path, err, data)
		}
	}
}

// TestRecordContinuesAfterAnotherRecorder: a recorder that finds another at work waits for it to end.
func TestRecordContinuesAfterAnotherRecorder(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	c, _ := targettest.New(t)
	tl := &Timelines{Lab: l.Lab, Open: targettest.Open(c)}
	first := tl.Record(t.Context(), c)
	deadline := time.Now().Add(time.Minute)
	for {
		if facts, err := timeline.Read(tl.File(c)); err == nil && len(facts) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is recorded")
		}
		time.Sleep(20 * time.Millisecond)
	}
	second := tl.Record(t.Context(), c)
	second()
	first()
	if logged := l.Logged.String(); strings.Contains(logged, "!") {
		t.Errorf("said\n%s", logged)
	}
}
