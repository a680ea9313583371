package render

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/timelinetest"
)

// TestFramesFitTheTerminal compares one frame with testdata, and checks that
// every frame has at most the size of the terminal.
func TestFramesFitTheTerminal(t *testing.T) {
	t.Parallel()
	facts := timelinetest.TwentyMinutes()
	at := 0
	for facts[at].Time.Before(timelinetest.New().At(815)) {
		at++
	}
	golden.Check(t, "frame.txt", strings.Join(frame(history.New(facts[:at]), timelinetest.New().At(815), 120, 40, false), "\n")+"\n")
	for _, size := range [][2]int{{80, 24}, {40, 10}, {200, 60}, {20, 5}, {8, 2}, {2, 1}} {
		for n := 0; n <= len(facts); n += 37 {
			lines := frame(history.New(facts[:n]), facts[max(n-1, 0)].Time, size[0], size[1], false)
			if len(lines) > max(size[1]-1, 1) {
				t.Errorf("%d lines on a terminal of %d", len(lines), size[1])
			}
			for _, l := range lines {
				if w := len([]rune(l)); w > size[0]-1 {
					t.Errorf("%d columns on a terminal of %d: %q", w, size[0], l)
				}
			}
		}
	}
}

// TestAFrameOfManyNodes: nodes that are lost come first, and a third of the
// height is left for the latest facts.
func TestAFrameOfManyNodes(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	nodes := b.Group("md", 1, 60, 60)
	lost := nodes[len(nodes)-1]
	b.Add(10, timeline.Fact{Kind: timeline.Node, What: timeline.NotReady, Name: lost, UID: "n-" + lost, Group: "md", Source: timeline.Watch})
	m := history.New(b.Record())
	for _, height := range []int{24, 45} {
		lines := frame(m, b.At(20), 120, height, false)
		rule := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "──") })
		first := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, nodes[0][:len(nodes[0])-6]) })
		if rule < 0 || len(lines) != height-1 || height-1-rule != height/3 {
			t.Errorf("%d of %d lines are for the last facts, want %d:\n%s", height-1-rule, len(lines), height/3, strings.Join(lines, "\n"))
		}
		if first < 0 || !strings.Contains(lines[first], lost) {
			t.Errorf("the lost node %s is not the first:\n%s", lost, strings.Join(lines, "\n"))
		}
	}
}

func TestLiveShowsAHintWhileThereAreNoFacts(t *testing.T) {
	t.Parallel()
	for height, want := range map[int]string{24: "Nothing has happened yet.|First:|  do it", 3: "Nothing has happened yet.|First:", 2: "Nothing has happened yet.", 1: "Nothing has happened yet."} {
		next := make(chan timeline.Fact)
		close(next)
		var out bytes.Buffer
		opts := LiveOptions{Width: 100, Height: height, Every: time.Hour, Hint: []string{"First:", "  do it"}}
		if err := Live(t.Context(), &out, next, opts); err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(out.String(), "\r"), "\x1b[J")
		if got := strings.TrimSuffix(strings.ReplaceAll(first, "\x1b[K\n\r", "|"), "\x1b[K\n"); got != want {
			t.Errorf("on %d lines it shows %q, want %q", height, got, want)
		}
	}
}

func TestLiveRedrawsItsOwnLinesOnly(t *testing.T) {
	t.Parallel()
	facts := timelinetest.TwentyMinutes()
	next := make(chan timeline.Fact)
	done := make(chan error)
	var out bytes.Buffer
	go func() {
		done <- Live(context.Background(), &out, next, LiveOptions{Width: 100, Height: 30, Every: time.Hour, Now: func() time.Time { return facts[60].Time }})
	}()
	for _, f := range facts[:60] {
		next <- f
	}
	close(next)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	pictures := strings.Split(out.String(), "\x1b[J")
	if len(pictures) != 3 || pictures[2] != "" {
		t.Fatalf("%d pictures for one burst, want the first and the last", len(pictures)-1)
	}
	lines := strings.Count(pictures[0], "\n")
	if want := "\x1b[" + strconv.Itoa(lines) + "A"; !strings.HasPrefix(pictures[1], want) {
		t.Errorf("over %d lines it began with %q", lines, pictures[1][:8])
	}
	last := nameOf(facts[59])
	if !strings.Contains(pictures[1], last) {
		t.Errorf("the last picture lacks the last fact, about %s:\n%s", last, pictures[1])
	}
	for _, code := range []string{"\x1b[?", "\x1b7", "\x1b[s"} {
		if strings.Contains(out.String(), code) {
			t.Errorf("it switched something of the terminal: %q", code)
		}
	}
}

func TestLiveEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out bytes.Buffer
	if err := Live(ctx, &out, nil, LiveOptions{Width: 80, Height: 24}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "Nothing has happened yet.") || !strings.HasSuffix(out.String(), "\x1b[J") {
		t.Errorf("an empty record showed %q", out.String())
	}
}

// broken is a terminal that was closed.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestLiveReportsAWriteError(t *testing.T) {
	t.Parallel()
	if err := Live(context.Background(), broken{}, nil, LiveOptions{}); err == nil || !strings.Contains(err.Error(), "show the timeline: gone") {
		t.Errorf("error %v", err)
	}
}
