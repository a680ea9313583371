package timeline

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// LineOptions of Lines.
type LineOptions struct {
	// Color marks decisions and problems, on a terminal.
	Color bool
	// Width in columns that a line is cut to; zero cuts nothing.
	Width int
	// NameWidth is of the column of names; if zero that of the longest of these
	// facts, within reason. A stream that is written piece by piece gives it.
	NameWidth int
}

// Widths of the columns before the text.
const (
	kindWidth = 10
	whatWidth = 13
	widest    = 48
)

// colors of lines by their marks, as the autoscaler's console has them.
var colors = map[string]string{"▲": "1;32", "▼": "1;36", "!": "31", "✗": "31", "✓": "32"}

// Lines writes a line a fact, aligned: the time of day where the lab runs, a
// mark, the kind, the name, what happened and the text.
func Lines(w io.Writer, facts []Fact, opts LineOptions) error {
	if opts.NameWidth == 0 {
		for _, f := range facts {
			opts.NameWidth = min(max(opts.NameWidth, utf8.RuneCountInString(nameOf(f))), widest)
		}
	}
	for _, f := range facts {
		if _, err := io.WriteString(w, oneLine(f, opts)+"\n"); err != nil {
			return fmt.Errorf("write the timeline: %w", err)
		}
	}
	return nil
}

func oneLine(f Fact, opts LineOptions) string {
	mark := markOf(f)
	text := fmt.Sprintf("%s %s %-*s %-*s %-*s %s", clock(f.Time), mark, kindWidth, tidy(string(f.Kind)), opts.NameWidth, nameOf(f), whatWidth, word(f.What), tidy(textOf(f)))
	text = strings.TrimRight(text, " ")
	if opts.Width > 0 {
		text = cut(text, opts.Width)
	}
	if color := colors[mark]; opts.Color && color != "" {
		text = "\x1b[" + color + "m" + text + "\x1b[0m"
	}
	return text
}

// nameOf is what a line is about: the object, or for the autoscaler whatever
// it speaks of.
func nameOf(f Fact) string {
	switch {
	case f.Name != "":
		return tidy(f.Name)
	case f.Kind == Autoscaler && f.Node != "":
		return tidy(f.Node)
	case f.Kind == Autoscaler && f.Group != "":
		return tidy(f.Group)
	}
	return ""
}

// textOf is the number and the text of a fact, with the node if it tells one.
func textOf(f Fact) string {
	var parts []string
	if f.N != nil {
		parts = append(parts, strconv.Itoa(*f.N))
	}
	switch {
	case f.Kind == Group && f.What == Limits && f.Text == "":
		parts = append(parts, "none")
	case f.Text != "":
		parts = append(parts, f.Text)
	}
	if f.Node != "" && f.Node != f.Name && f.Kind != Autoscaler {
		parts = append(parts, "on "+f.Node)
	}
	return strings.Join(parts, " ")
}

// markOf is the sign in front of a line: those of the autoscaler's console,
// and those of a step for the verdicts of a scenario.
func markOf(f Fact) string {
	switch {
	case f.What == ScaleUp:
		return "▲"
	case f.What == ScaleDown:
		return "▼"
	case f.What == Refused || f.What == Kept || f.What == Unschedulable:
		return "·"
	case f.Kind == Lab && f.What == Passed:
		return "✓"
	case f.Kind == Lab && f.What == Failed:
		return "✗"
	case f.What == KnownFailure || f.What == Problem || f.What == NotReady || f.Kind == Machine && f.What == Phase && f.Text == "Failed":
		return "!"
	}
	return " "
}
