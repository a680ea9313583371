package timelines

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/explain"
	"caslab/magefiles/internal/ui"
)

func TestEnvUpIsOnTheTimeline(t *testing.T) {
	t.Parallel()
	r := &Recorder{labtest.New(t, nil).Lab}
	r.AddFact("step", "one")
	r.AddFact("step", "two")
	r.AddFact("failed", "no room")
	r.AddChange(timeline.Stopped)
	facts, err := timeline.Read(recordFile(r.TimelineDir("")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range facts {
		got = append(got, f.What+" "+f.Name+" "+f.Text)
	}
	if want := []string{"step env:up one", "step env:up two", "failed env:up no room", "stopped work-cluster the containers of the environment"}; !slices.Equal(got, want) {
		t.Errorf("the timeline has %q, want %q", got, want)
	}
}

// TestEndIsOnTheTimeline: how the autoscaler on this machine ended, which explain says.
func TestEndIsOnTheTimeline(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"":                nil,
		"exit status 255": errors.New("exit status 255"),
		"signal: aborted": errors.New("signal: aborted"),
		"signal: killed, by somebody or by the kernel for lack of memory": errors.New("signal: killed"),
	} {
		l := labtest.New(t, nil)
		tl := &Timelines{Lab: l.Lab}
		tl.AddStart(&target.Cluster{}, nil, "")
		tl.AddEnd(&target.Cluster{}, err)
		facts, readErr := timeline.Read(tl.File(&target.Cluster{}))
		if readErr != nil || len(facts) != 2 || facts[1].Text != want {
			t.Fatalf("of the end %v the timeline has %+v, %v; want %q", err, facts, readErr, want)
		}
		text, explainErr := explain.Text(t.Context(), facts, "autoscaler", explain.Options{})
		if explainErr != nil || !strings.Contains(text, "has stopped"+strings.TrimSuffix(": "+want, ": ")+".") {
			t.Errorf("after the end %v: %v: %s", err, explainErr, text)
		}
	}
}

func TestNewTimelineKeepsTheOneBefore(t *testing.T) {
	t.Parallel()
	lab := &Recorder{labtest.New(t, nil).Lab}
	record := recordFile(lab.TimelineDir(""))
	if err := lab.Begin(); err != nil {
		t.Errorf("without one before: %v", err)
	}
	if err := timeline.Append(record, timeline.Fact{Time: time.Now(), Kind: timeline.Node, What: timeline.Joined, Name: "n"}); err != nil {
		t.Fatal(err)
	}
	if err := lab.Begin(); err != nil {
		t.Fatal(err)
	}
	// A record without a fact about the cluster does not replace the previous
	// record.
	lab.AddFact("failed", "no engine")
	if err := lab.Begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lab.TimelineDir("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old one is in the new one's place: %v", err)
	}
	facts, err := timeline.Read(recordFile(lab.TimelineDir("") + ".previous"))
	if err != nil || len(facts) != 1 || facts[0].Name != "n" {
		t.Errorf("the one before has %v, %v", facts, err)
	}
}

func TestTimelineOfAnotherCluster(t *testing.T) {
	t.Parallel()
	lab := labtest.New(t, nil).Lab
	own := lab.TimelineDir("u")
	lab.Config.WorkloadKubeconfig = "/k"
	if other := lab.TimelineDir("u"); other == own || filepath.Base(other) != "cluster-u" {
		t.Errorf("another cluster's timeline is in %s, the environment's in %s", other, own)
	}
}

// TestStoppedEnvironmentIsNoNews: a recorder does not repeat that an environment is
// stopped.
func TestStoppedEnvironmentIsNoNews(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	recording := &Timelines{Lab: l.Lab}
	refused := fmt.Errorf("watch Pod: %w", syscall.ECONNREFUSED)
	recording.reportError(&target.Cluster{Own: true}, refused)
	if said := l.Logged.String(); said != "" {
		t.Errorf("it says %s", said)
	}
	recording.reportError(&target.Cluster{Own: true}, errors.New("forbidden"))
	recording.reportError(&target.Cluster{}, refused)
	want := "! the timeline may be incomplete: forbidden\n! the timeline may be incomplete: watch Pod: connection refused\n"
	if said := l.Logged.String(); said != want {
		t.Errorf("it says %s", said)
	}
}

// TestWatchInAPipeIsPlain: in `timeline:watch | tee log`, stdout is a pipe
// although stderr is a terminal.
func TestWatchInAPipeIsPlain(t *testing.T) {
	t.Parallel()
	var out, stderr strings.Builder
	l := lab.New(labtest.New(t, nil).Config, ui.Options{Terminal: true}, &out, &stderr)
	defer l.Close()
	next := make(chan timeline.Fact, 1)
	next <- timeline.Fact{Time: time.Now(), Kind: timeline.Pod, Name: "default/web", What: timeline.Unschedulable}
	close(next)
	if err := (&Timelines{Lab: l}).show(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "default/web") || strings.Contains(got, "\x1b") || strings.Count(got, "\n") != 1 {
		t.Errorf("printed %q; want one plain line", got)
	}
}
