package timeline

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"caslab/magefiles/internal/ui"
)

// The longest text, in characters, in a line of an answer and in a tooltip.
const (
	LongestText  = 600
	LongestHover = 300
)

// whatWords has the words for constants of What that are not words themselves.
var whatWords = map[string]string{
	Sized: "wants", ReadyCount: "has ready", Ready: "Ready", NotReady: "not Ready", Marked: "to be deleted", Unmarked: "no longer to be deleted",
	ScaleUp: "scale-up", ScaleDown: "scale-down", Refused: "no scale-up", Kept: "kept", Untainted: "untainted",
}

// WhatText returns the words for what happened.
func WhatText(what string) string {
	if w, ok := whatWords[what]; ok {
		return w
	}
	return Tidy(what)
}

// Tidy returns text from the cluster as one line: without control characters,
// which a terminal would obey and XML forbids, and without runs of spaces.
func Tidy(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\ufffe', r == '\uffff':
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	return strings.Join(strings.Fields(text), " ")
}

// Shorten returns tidy text of at most n characters.
func Shorten(text string, n int) string { return ui.Clip(Tidy(text), n) }

// DurationText returns a duration for a reader: tenths of a second below a minute, seconds
// below an hour, minutes below two days.
func DurationText(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	switch {
	case d < time.Minute:
		text := fmt.Sprintf("%.1f", d.Seconds())
		return sign + strings.TrimSuffix(text, ".0") + "s"
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%s%dm%02ds", sign, int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%s%dh%02dm", sign, int(d.Hours()), int(d.Minutes())%60)
	}
	d = d.Round(time.Hour)
	return fmt.Sprintf("%s%dd%02dh", sign, int(d.Hours())/24, int(d.Hours())%24)
}

// Clock returns the time of day in the time zone of the lab.
func Clock(t time.Time) string { return t.Local().Format(time.TimeOnly) }

// Day returns the date and the time of day in the time zone of the lab.
func Day(t time.Time) string { return t.Local().Format(time.DateTime) }

// Plural returns a number with its noun, "1 node" or "2 nodes".
func Plural(n int, one string) string {
	switch {
	case n == 1:
		return "1 " + one
	case strings.HasSuffix(one, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(one, "y"))
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// SomeOf returns the first n items, shortened, and the number of the others.
func SomeOf(list []string, n int) []string {
	var some []string
	for i, item := range list {
		if i == n {
			return append(some, fmt.Sprintf("and %d more", len(list)-n))
		}
		some = append(some, Shorten(item, LongestHover))
	}
	return some
}

// LastPart returns the name in namespace/name, or in Kind/namespace/name as the
// autoscaler calls a group.
func LastPart(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// Mentions reports whether a text has a name as a whole: "worker-12" does not mention
// worker-1.
func Mentions(text, name string) bool {
	inName := func(s string) bool {
		return s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9' || s[0] >= 'a' && s[0] <= 'z')
	}
	for from := 0; name != ""; from++ {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return false
		}
		from += i
		before, after := text[max(0, from-1):from], text[from+len(name):]
		// A dot after a name may end a sentence.
		if !inName(before) && before != "." && !inName(strings.TrimPrefix(after, ".")) {
			return true
		}
	}
	return false
}

// AppendUnique appends an item that is not empty and that the list does not have.
func AppendUnique(list []string, item string) []string {
	if item == "" || slices.Contains(list, item) {
		return list
	}
	return append(list, item)
}

// NumberOr returns a number, or other words for one that is below zero because nobody knows
// it.
func NumberOr(n int, otherwise string) string {
	if n < 0 {
		return otherwise
	}
	return fmt.Sprint(n)
}

// MaxText is the longest part of a message that a record has, in bytes.
const MaxText = 4096

// Bound returns a message as valid UTF-8 without space around it, cut to MaxText.
func Bound(text string) string {
	text = strings.ToValidUTF8(strings.TrimSpace(text), "?")
	if len(text) > MaxText {
		return strings.ToValidUTF8(text[:MaxText], "") + "…"
	}
	return text
}
