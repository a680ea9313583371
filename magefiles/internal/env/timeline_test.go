package env

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"caslab/magefiles/internal/steps"
	"caslab/magefiles/internal/timeline"
)

func TestEnvUpIsOnTheTimeline(t *testing.T) {
	t.Parallel()
	lab := newScene(t, nil).Lab
	all := lab.onTimeline([]steps.Step{
		{Name: "one", Run: func(context.Context, func(string)) (string, error) { return "", nil }},
		{Name: "two", Run: func(context.Context, func(string)) (string, error) { return "", errors.New("no room") }},
	})
	for _, s := range all {
		_, err := s.Run(t.Context(), func(string) {})
		if s.Name == "two" {
			lab.upOnTimeline(err)
		}
	}
	facts, err := timeline.Read(recordIn(lab.timelineDir("")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range facts {
		got = append(got, f.What+" "+f.Name+" "+f.Text)
	}
	if want := []string{"step env:up one", "step env:up two", "failed env:up no room"}; !slices.Equal(got, want) {
		t.Errorf("the timeline has %q, want %q", got, want)
	}
}

func TestNewTimelineKeepsTheOneBefore(t *testing.T) {
	t.Parallel()
	lab := newScene(t, nil).Lab
	record := recordIn(lab.timelineDir(""))
	if err := lab.newTimeline(); err != nil {
		t.Errorf("without one before: %v", err)
	}
	if err := timeline.Append(record, timeline.Fact{Time: time.Now(), Kind: timeline.Node, What: timeline.Joined, Name: "n"}); err != nil {
		t.Fatal(err)
	}
	if err := lab.newTimeline(); err != nil {
		t.Fatal(err)
	}
	// One that came to nothing takes no place.
	lab.upOnTimeline(errors.New("no engine"))
	if err := lab.newTimeline(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lab.timelineDir("")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old one is in the new one's place: %v", err)
	}
	facts, err := timeline.Read(recordIn(lab.timelineDir("") + ".previous"))
	if err != nil || len(facts) != 1 || facts[0].Name != "n" {
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
