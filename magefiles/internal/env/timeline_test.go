package env

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"caslab/magefiles/internal/timeline"
)

func TestStepsAreOnTheTimeline(t *testing.T) {
	t.Parallel()
	lab := newScene(t, nil).Lab
	steps := lab.onTimeline([]step{
		{name: "one", run: func(context.Context, func(string)) (string, error) { return "", nil }},
		{name: "two", run: func(context.Context, func(string)) (string, error) { return "", errors.New("no room") }},
	})
	for _, s := range steps {
		_, _ = s.run(t.Context(), func(string) {})
	}
	facts, err := timeline.Read(recordIn(lab.timelineDir("")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range facts {
		got = append(got, f.What+" "+f.Name+" "+f.Text)
	}
	want := []string{"step env:up one", "passed env:up one", "step env:up two", "failed env:up two: no room"}
	if len(got) != len(want) {
		t.Fatalf("the timeline has %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("fact %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func TestNewTimelineKeepsTheOneBefore(t *testing.T) {
	t.Parallel()
	lab := newScene(t, nil).Lab
	if err := lab.newTimeline(); err != nil {
		t.Errorf("without one before: %v", err)
	}
	for _, text := range []string{"first", "second"} {
		lab.tell(recordIn(lab.timelineDir("")), timeline.Fact{What: timeline.Step, Name: text})
		if err := lab.newTimeline(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(lab.timelineDir("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old one is in the new one's place: %v", err)
	}
	facts, err := timeline.Read(recordIn(lab.timelineDir("") + ".previous"))
	if err != nil || len(facts) != 1 || facts[0].Name != "second" {
		t.Errorf("the one before has %v, %v", facts, err)
	}
}

func TestTimelineOfAnotherCluster(t *testing.T) {
	t.Parallel()
	lab := newScene(t, nil).Lab
	own := lab.timelineDir("u")
	lab.cfg.WorkloadKubeconfig = "/k"
	if other := lab.timelineDir("u"); other == own || filepath.Base(other) != "cluster-u" {
		t.Errorf("another cluster's timeline is in %s, the environment's in %s", other, own)
	}
}
