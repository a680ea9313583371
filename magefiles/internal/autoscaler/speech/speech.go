// Package speech parses the log of the cluster autoscaler with one table of messages,
// which the console and the timeline use.
package speech

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Class is how much a line of the log matters to a person who reads it.
type Class int

// Classes, the least important first. Loop is the start of a round; Reason says why a
// pod or a node was passed over; ScaleUp and ScaleDown change the size of a group.
const (
	Chatter Class = iota
	Loop
	Reason
	Problem
	ScaleUp
	ScaleDown
)

// klogLine is the head that klog puts before a message: severity, month and
// day, time, thread, source.
var klogLine = regexp.MustCompile(`^([IWEF])(\d{4} (\d\d:\d\d:\d\d)\.\d+)\s+\d+ ([^ :]+:\d+)\] (.*)$`)

// Entry is one line of the log.
type Entry struct {
	// Time is hours, minutes and seconds of the autoscaler's clock; empty for a
	// line without klog's head, such as a stack.
	Time string
	// Stamp is the time in the head: month, day, time and fraction of a second, as in
	// "1124 20:26:26.123456".
	Stamp   string
	Source  string
	Message string
	Class   Class

	// known is the message's row of the table, nil if it has none; found are
	// the submatches of its pattern.
	known *Message
	found []string
}

// Parse reads one line of the log, with or without its line break.
func Parse(line string) Entry {
	line = strings.TrimRight(line, "\r\n")
	m := klogLine.FindStringSubmatch(line)
	if m == nil {
		return Entry{Message: line, Class: plainClass(line)}
	}
	e := Entry{Time: m[3], Stamp: m[2], Source: m[4], Message: m[5]}
	for i := range Messages {
		if found := Messages[i].Pattern.FindStringSubmatch(e.Message); found != nil {
			e.known, e.found = &Messages[i], found
			break
		}
	}
	switch severe := m[1] != "I"; {
	case severe && (e.known == nil || !e.known.Harmless):
		e.Class = Problem
	case severe:
		e.Class = Chatter
	case e.known != nil:
		e.Class = e.known.Class
	}
	return e
}

// Known reports whether the table has a row for the line which says that it states something
// or begins a round. No other program logs such lines.
func (e Entry) Known() bool {
	return e.known != nil && (e.known.Kind != KindNone || e.known.Class == Loop)
}

// plainClass classifies a line without klog's head: a panic is a problem, and
// so is the complaint about a command line.
func plainClass(line string) Class {
	for _, prefix := range []string{"panic:", "fatal error:", "Error:", "unknown flag", "invalid argument", "couldn't", "could not"} {
		if strings.HasPrefix(line, prefix) {
			return Problem
		}
	}
	return Chatter
}

// At returns when the line was written, in the time zone of near. klog leaves out the
// year: At chooses the year in which the time is nearest to near. It returns near for a
// line without a valid time.
func (e Entry) At(near time.Time) time.Time {
	var best time.Time
	for year := near.Year() - 1; year <= near.Year()+1; year++ {
		t, err := time.ParseInLocation("2006 0102 15:04:05", fmt.Sprintf("%04d %s", year, e.Stamp), near.Location())
		if err == nil && (best.IsZero() || t.Sub(near).Abs() < best.Sub(near).Abs()) {
			best = t
		}
	}
	if best.IsZero() {
		return near
	}
	return best
}

// What changes from round to round in a message that says the same.
var (
	// numbers are counts and durations; those inside names do not count.
	numbers = regexp.MustCompile(`([ (:=\[]|^)[-+]?\d[\d.hmsµn]*`)
	// moments are points in time.
	moments = regexp.MustCompile(`\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[^\s,;)\]]*`)
	// random are generated names and parts of names: the number of a template node or
	// of its pods, followed by the number of the copy; a UID; an address in memory.
	random = regexp.MustCompile(`-\d{9,}(?:-(?:e|upcoming)-\d+|-\d+-salvo-\d+)?\b|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b0x[0-9a-f]{6,}\b`)
	// representative is the name of one of many similar pods. Its last five characters
	// are random.
	representative = regexp.MustCompile(`( pods similar to \S+)-[bcdfghjklmnpqrstvwxz2456789]{5}\b`)
)

// Normalize returns the message without what changes from round to round: two
// messages say the same if Normalize returns the same.
func Normalize(message string) string {
	message = moments.ReplaceAllString(message, "0")
	message = random.ReplaceAllString(message, "-0")
	message = representative.ReplaceAllString(message, "${1}")
	return numbers.ReplaceAllString(message, "${1}0")
}
