package timeline

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"caslab/magefiles/internal/ui"
)

// How long a text may be where a person reads it: a line of an answer, and
// what a mouse uncovers.
const (
	LongestText  = 600
	LongestHover = 300
)

// spoken are the words for what happened, where the constant itself is none.
var spoken = map[string]string{
	Sized: "wants", ReadyCount: "has ready", Ready: "Ready", NotReady: "not Ready", Marked: "to be deleted",
	ScaleUp: "scale-up", ScaleDown: "scale-down", Refused: "no scale-up", Kept: "kept", Untainted: "untainted",
}

// Word is what happened as a person says it.
func Word(what string) string {
	if w, ok := spoken[what]; ok {
		return w
	}
	return Tidy(what)
}

// Tidy makes text of the cluster fit for a line: no control characters, which
// a terminal would obey and XML forbids, and no runs of spaces.
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

// Shorten is tidy text of at most n characters.
func Shorten(text string, n int) string { return ui.Clip(Tidy(text), n) }

// Took writes a duration with the precision that a person cares for.
func Took(d time.Duration) string {
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

// Clock is the time of day where the lab runs.
func Clock(t time.Time) string { return t.Local().Format(time.TimeOnly) }

// Day is clock with the date.
func Day(t time.Time) string { return t.Local().Format(time.DateTime) }

// Plural counts things.
func Plural(n int, one string) string {
	switch {
	case n == 1:
		return "1 " + one
	case strings.HasSuffix(one, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(one, "y"))
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// SomeOf is the beginning of a list, shortened, with the number of the rest.
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

// LastPart is a name without the kind and namespace that the autoscaler puts
// before it.
func LastPart(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// Once appends an item unless the list has it, or it is empty.
func Once(list []string, item string) []string {
	if item == "" || slices.Contains(list, item) {
		return list
	}
	return append(list, item)
}
