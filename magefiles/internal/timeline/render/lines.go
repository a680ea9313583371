// Package render shows a history to a person or a program: lines, a live view,
// an explanation in words, a page, a picture, JSON.
package render

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"caslab/magefiles/internal/ui"

	"caslab/magefiles/internal/timeline"
)

// LineOptions of Lines.
type LineOptions struct {
	// Color marks decisions and problems, on a terminal.
	Color bool
	// Width is the most columns of a line; zero is no limit.
	Width int
	// NameWidth is the width of the column of names. If zero, it is that of the
	// longest name, up to a limit. A caller that writes piece by piece sets it.
	NameWidth int
}

// Widths of the columns before the text.
const (
	kindWidth = 10
	whatWidth = 13
	widest    = 48
)

// colors has the colour of a line by its mark, the same as on the autoscaler's console.
var colors = map[string]string{"▲": "1;32", "▼": "1;36", "!": "31", "✗": "31", "✓": "32"}

// Lines writes a line for each fact but shapes, in columns: the time of day in the time
// zone of the lab, a mark, the kind, the name, what happened and the text.
func Lines(w io.Writer, facts []timeline.Fact, opts LineOptions) error {
	if opts.NameWidth == 0 {
		for _, f := range facts {
			opts.NameWidth = min(max(opts.NameWidth, utf8.RuneCountInString(nameOf(f))), widest)
		}
	}
	for _, f := range facts {
		if f.What == timeline.Shaped {
			continue
		}
		if _, err := io.WriteString(w, oneLine(f, opts)+"\n"); err != nil {
			return fmt.Errorf("write the timeline: %w", err)
		}
	}
	return nil
}

func oneLine(f timeline.Fact, opts LineOptions) string {
	mark := Mark(f)
	text := fmt.Sprintf("%s %s %-*s %-*s %-*s %s", timeline.Clock(f.Time), mark, kindWidth, timeline.Tidy(string(f.Kind)), opts.NameWidth, nameOf(f), whatWidth, timeline.WhatText(f.What), timeline.Tidy(textOf(f)))
	text = strings.TrimRight(text, " ")
	if opts.Width > 0 {
		text = ui.Clip(text, opts.Width)
	}
	if color := colors[mark]; opts.Color && color != "" {
		text = "\x1b[" + color + "m" + text + "\x1b[0m"
	}
	return text
}

// nameOf returns the name that a fact is about: the object, or for the autoscaler
// the pod, node or group that it speaks about.
func nameOf(f timeline.Fact) string {
	switch {
	case f.Name != "":
		return timeline.Tidy(f.Name)
	case f.Kind == timeline.Autoscaler && f.Node != "":
		return timeline.Tidy(f.Node)
	case f.Kind == timeline.Autoscaler && f.Group != "":
		return timeline.Tidy(f.Group)
	}
	return ""
}

// textOf returns the number and the text of a fact, and the node if it has one.
func textOf(f timeline.Fact) string {
	var parts []string
	if f.N != nil {
		parts = append(parts, strconv.Itoa(*f.N))
	}
	switch {
	case f.Kind == timeline.Group && f.What == timeline.Limits && f.Text == "":
		parts = append(parts, "none")
	case f.What == timeline.Sized && f.Text != "":
		parts = append(parts, "by "+f.Text)
	case f.Text != "":
		parts = append(parts, f.Text)
	}
	if f.Node != "" && f.Node != f.Name && f.Kind != timeline.Autoscaler {
		parts = append(parts, "on "+f.Node)
	}
	return strings.Join(parts, " ")
}

// Mark returns the sign of a line: those of the autoscaler's console and, for the
// verdicts of scenarios, those of the lab's steps.
func Mark(f timeline.Fact) string {
	switch {
	case f.What == timeline.ScaleUp:
		return "▲"
	case f.What == timeline.ScaleDown:
		return "▼"
	case f.What == timeline.Refused || f.What == timeline.Kept || f.What == timeline.Unschedulable:
		return "·"
	case f.Kind == timeline.Lab && f.What == timeline.Passed:
		return "✓"
	case f.Kind == timeline.Lab && f.What == timeline.Failed:
		return "✗"
	case f.What == timeline.KnownFailure || f.What == timeline.Interrupted || f.What == timeline.Problem || f.What == timeline.NotReady || f.Kind == timeline.Machine && f.What == timeline.Phase && f.Text == "Failed":
		return "!"
	}
	return " "
}
