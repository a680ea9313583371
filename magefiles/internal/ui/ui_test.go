package ui

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// clock is advanced by the test.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestPlainLines(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	c := &clock{time.Unix(0, 0)}
	l := New(&out, Options{Now: c.now})
	defer l.Close()

	s := l.Start("compile the managers", 90*time.Second)
	s.Progress("412 packages")
	c.t = c.t.Add(61 * time.Second)
	l.beat()
	s.Done("5 built", nil)
	s = l.Start("delete", 0)
	s.Progress("the second of three")
	s.Done("", errors.New("no engine"))
	l.beat()

	want := []string{
		"→ compile the managers (usually about 1m30s)",
		"… compile the managers                         1m01s of about 1m30s  412 packages",
		"✓ compile the managers                         1m01s  5 built",
		"→ delete",
		"✗ delete                                        0.0s  the second of three",
	}
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(got) != len(want) {
		t.Fatalf("printed %d lines, want %d:\n%s", len(got), len(want), out.String())
	}
	for i := range want {
		if strings.TrimSpace(got[i]) != want[i] {
			t.Errorf("line %d:\n got %q\nwant %q", i, got[i], want[i])
		}
	}
}

func TestTerminalRedrawsItsOwnLinesOnly(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	c := &clock{time.Unix(0, 0)}
	l := New(&out, Options{Terminal: true, Width: 40, Now: c.now})
	defer l.Close()

	a, b := l.Start("first", 0), l.Start("second", 0)
	out.Reset()
	l.Printf("a line")
	if !strings.HasPrefix(out.String(), "\x1b[2A\x1b[Ja line\n") {
		t.Errorf("a line over two running steps wrote %q", out.String())
	}
	for _, line := range strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n") {
		if n := len([]rune(strings.TrimPrefix(line, "\x1b[2A\x1b[J"))); n > 39 {
			t.Errorf("line of %d columns on a terminal of 40: %q", n, line)
		}
	}
	a.Done("", nil)
	out.Reset()
	b.Done("", nil)
	if !strings.HasPrefix(out.String(), "\x1b[1A\x1b[J") {
		t.Errorf("the last step wrote %q", out.String())
	}
}

func TestRound(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0:                          "0.0s",
		1250 * time.Millisecond:    "1.2s",
		59 * time.Second:           "59.0s",
		61 * time.Second:           "1m01s",
		3599500 * time.Millisecond: "60m00s",
	} {
		if got := Round(d); got != want {
			t.Errorf("Round(%v) = %q, want %q", d, got, want)
		}
	}
}
