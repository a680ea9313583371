package ui

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// clock is advanced by the test.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestPlainLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
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
	})
}

func TestTerminalRedrawsItsOwnLinesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		c := &clock{time.Unix(0, 0)}
		l := New(&out, Options{Terminal: true, Width: 40, Now: c.now})
		defer l.Close()

		a, b := l.Start("first", 0), l.Start("second", 0)
		out.Reset()
		l.Printf("a line")
		if !strings.HasPrefix(out.String(), "\x1b[2A\ra line\x1b[K\n\r  ⠋ first ") || !strings.HasSuffix(out.String(), "\x1b[K\n\x1b[J") {
			t.Errorf("a line over two running steps wrote %q", out.String())
		}
		for _, line := range strings.Split(strings.TrimSuffix(out.String(), "\n\x1b[J"), "\n") {
			line = strings.NewReplacer("\x1b[2A", "", "\r", "", "\x1b[K", "").Replace(line)
			if n := len([]rune(line)); n > 39 {
				t.Errorf("line of %d columns on a terminal of 40: %q", n, line)
			}
		}
		a.Done("", nil)
		out.Reset()
		b.Done("", nil)
		if !strings.HasPrefix(out.String(), "\x1b[1A\r  ✓ second") {
			t.Errorf("the last step wrote %q", out.String())
		}
	})
}

func TestMultiLineTextKeepsTheRegion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		l := New(&out, Options{Terminal: true, Width: 80})
		defer l.Close()
		s := l.Start("first", 0)
		s.Progress("two\nlines")
		out.Reset()
		l.Printf("one\ntwo\n")
		got := out.String()
		if !strings.HasPrefix(got, "\x1b[1A\rone\x1b[K\n\rtwo\x1b[K\n\r  ⠋ first") || strings.Count(got, "\n") != 3 {
			t.Errorf("wrote %q; want two lines and one step", got)
		}
	})
}

// TestEachStreamIsATerminalOrNot: a pipe, a file and /dev/null get no control sequences,
// even if other streams are terminals.
func TestEachStreamIsATerminalOrNot(t *testing.T) {
	for name, value := range map[string]string{"CI": "", "TERM": "xterm", "NO_COLOR": ""} {
		t.Setenv(name, value)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{r, w, null, file} {
		t.Cleanup(func() { _ = f.Close() })
		if Terminal(f) || Color(f) {
			t.Errorf("%s is taken for a terminal", f.Name())
		}
	}
	if Terminal(new(strings.Builder)) {
		t.Error("a buffer is taken for a terminal")
	}
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to look at: %v", err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	if !Terminal(tty) || !Color(tty) {
		t.Error("a terminal is not taken for one")
	}
	t.Setenv("NO_COLOR", "1")
	if !Terminal(tty) || Color(tty) {
		t.Error("NO_COLOR: want a terminal without colours")
	}
	t.Setenv("TERM", "dumb")
	if Terminal(tty) {
		t.Error("a dumb terminal is drawn on")
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("CI", "true")
	if Terminal(tty) {
		t.Error("a CI's log is drawn on")
	}
}

// TestCredentialsAreHidden: neither on the screen, where a line may be cut in the
// middle of a password, nor in the record.
func TestCredentialsAreHidden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const secret = "https://user:token@host"
		for _, terminal := range []bool{true, false} {
			var out, record strings.Builder
			l := New(&out, Options{Terminal: terminal, Width: 30, Record: &record})
			s := l.Start("fetch "+secret, time.Minute)
			s.Progress("clone " + secret)
			l.beat()
			l.Printf("from %s", secret)
			s.Done(secret, nil)
			s = l.Start("again", 0)
			s.Progress(secret)
			s.Done("", errors.New(secret))
			l.Close()
			if shown := out.String() + record.String(); strings.Contains(shown, "user") || strings.Contains(shown, "token") {
				t.Errorf("terminal %v: it shows\n%s", terminal, shown)
			}
		}
	})
}

func TestSize(t *testing.T) {
	t.Parallel()
	if columns, rows := (&Region{W: new(strings.Builder)}).Size(); columns != 80 || rows != 24 {
		t.Errorf("no terminal has %d columns and %d rows", columns, rows)
	}
	if columns, rows := (&Region{Columns: 40, Rows: 10}).Size(); columns != 40 || rows != 10 {
		t.Errorf("asked for 40 columns and 10 rows, got %d and %d", columns, rows)
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
