package autoscaler

import (
	"bytes"
	"strings"
	"testing"
)

func TestConsoleShowsDecisionsAndNewReasons(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := NewConsole(&out, ConsoleOptions{})
	const head = "I1124 20:26:26.123456   1 a.go:1] "
	lines := []string{
		head + "Starting main loop",
		head + "node-1 was unneeded for 10s",
		head + "node-1 was unneeded for 20s", // the same, later
		head + "node-2 was unneeded for 20s", // another node
		head + "Scale-up: setting group g size to 2",
		head + "node-1 was unneeded for 30s", // news after a decision
		"E1124 20:26:26.123456   1 a.go:1] oh no",
		"E1124 20:26:36.123456   1 a.go:1] oh no",
		"the last line",
	}
	// The text arrives in pieces, as from a pipe.
	text := strings.Join(lines, "\n")
	for i := 0; i < len(text); i += 7 {
		if _, err := c.Write([]byte(text[i:min(i+7, len(text))])); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	want := `20:26:26 · node-1 was unneeded for 10s
20:26:26 · node-2 was unneeded for 20s
20:26:26 ▲ Scale-up: setting group g size to 2
20:26:26 · node-1 was unneeded for 30s
20:26:26 ! oh no
`
	if out.String() != want {
		t.Errorf("shown:\n%swant:\n%s", out.String(), want)
	}
	out.Reset()
	c = NewConsole(&out, ConsoleOptions{All: true, Color: true})
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if n := strings.Count(out.String(), "\n"); n != len(lines) || !strings.Contains(out.String(), "\x1b[1;32m20:26:26 ▲") {
		t.Errorf("all in colours: %d lines\n%q", n, out.String())
	}
}

func TestLongLineIsBounded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := NewConsole(&out, ConsoleOptions{All: true})
	piece := bytes.Repeat([]byte("x"), 1<<10)
	for range 200 {
		if _, err := c.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.rest) > maxLine+len(piece) {
		t.Errorf("%d bytes are kept", len(c.rest))
	}
}
