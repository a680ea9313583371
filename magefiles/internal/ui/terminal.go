package ui

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Terminal reports whether w is a terminal. Ask it for each stream: stdout may be a pipe
// while stderr is a terminal.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("CI") == ""
}

// Color reports whether w is a terminal and NO_COLOR (https://no-color.org) is not set.
func Color(w io.Writer) bool { return Terminal(w) && os.Getenv("NO_COLOR") == "" }

// Region is a part of a terminal that is drawn again and again, below the lines
// that stay. Only Draw may write to the terminal.
type Region struct {
	// W is the terminal.
	W io.Writer
	// Columns and Rows of the terminal. If zero, Draw asks the terminal each time,
	// because a person may resize it.
	Columns, Rows int

	drawn int // lines on the screen
}

// Draw writes the lines of above, which stay, and then lines over those that it drew
// before, each cut to the width of the terminal. It writes line by line and clears only
// the rest, so that nothing flickers. It changes no mode of the terminal, so that a
// killed process leaves nothing to restore.
func (r *Region) Draw(above, lines []string) error {
	var b strings.Builder
	if r.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", r.drawn)
	}
	for _, part := range [][]string{above, lines} {
		for _, line := range part {
			b.WriteString("\r" + line + "\x1b[K\n")
		}
	}
	b.WriteString("\x1b[J")
	r.drawn = len(lines)
	_, err := io.WriteString(r.W, b.String())
	return err
}

// Size returns the columns and rows of the terminal, 80 and 24 if it has none.
func (r *Region) Size() (columns, rows int) {
	columns, rows = 80, 24
	if f, ok := r.W.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			columns, rows = w, h
		}
	}
	if r.Columns > 0 {
		columns = r.Columns
	}
	if r.Rows > 0 {
		rows = r.Rows
	}
	return columns, rows
}
