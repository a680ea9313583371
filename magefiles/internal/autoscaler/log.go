package autoscaler

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Class is what a line of the autoscaler's log tells.
type Class int

// Classes, from what matters least. Loop is the start of a round; Reason says
// why a pod or a node was passed over; Decision changes the size of a group.
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
	// Stamp is all that the head says of the time: month, day, time and
	// fraction of a second, as in "1124 20:26:26.123456".
	Stamp   string
	Source  string
	Message string
	Class   Class
}

// Parse reads one line of the log, without its end.
func Parse(line string) Entry {
	m := klogLine.FindStringSubmatch(line)
	if m == nil {
		return Entry{Message: line, Class: plainClass(line)}
	}
	e := Entry{Time: m[3], Stamp: m[2], Source: m[4], Message: m[5]}
	switch m[1] {
	case "W", "E", "F":
		e.Class = Problem
		for _, prefix := range harmless {
			if strings.HasPrefix(e.Message, prefix) {
				e.Class = Chatter
			}
		}
	default:
		e.Class = classify(e.Message)
	}
	return e
}

// At is when the line was written, in the time zone of near. klog leaves out
// the year: it is the one that puts the line nearest to near. A line without a
// time, or with one that no calendar has, is taken to be of near itself.
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

// harmless are warnings and errors that a healthy cluster gives all the time:
// one a pod while a node goes, one before the first round, those of a group that
// is new, and those of a node of which Cluster API tells later, or no more.
var harmless = []string{
	"SetClusterState: node ", "AcceptableRanges have not been populated yet",
	"Failed to find acceptable ranges for ", "Failed to find readiness information for ",
	"Failed to check cloud provider has instance for ", "Nodegroup is nil for ", "No node group for node ",
}

// plainClass is of what comes without klog's head: a panic is a problem, and
// so is the complaint about a command line.
func plainClass(line string) Class {
	for _, prefix := range []string{"panic:", "fatal error:", "Error:", "unknown flag", "invalid argument", "couldn't", "could not"} {
		if strings.HasPrefix(line, prefix) {
			return Problem
		}
	}
	return Chatter
}

// messages are how the lines begin that a developer looks for, in releases
// 1.18 to 1.36.
var messages = []struct {
	class    Class
	prefixes []string
}{
	{ScaleUp, []string{
		"Best option to resize", "Final scale-up plan", "Scale-up: setting group", "Splitting scale-up between",
		"Estimated ", "ScaleUpToNodeGroupMinSize: final scale-up plan", "Initial scale-up succeeded", "Capping s",
	}},
	{ScaleDown, []string{
		"Scale-down: removing", "Removing unregistered node", "Marking unregistered node", "All pods removed from",
		"Deleting ", "Terminating instance", "Successfully added ToBeDeleted",
	}},
	{Reason, []string{
		"No expansion options", "Skipping ", "Node group ", "Pod ", "Node ", "Max total nodes", "Can only add",
		"Not attempting scale-up", "Expander filtered out all options", "Failed to find place", "Unschedulable pods are very new",
		"Upcoming ", "Cluster has no", "Scale-down: waiting",
	}},
	{Loop, []string{"Starting main loop"}},
}

// passed are lines that begin as reasons do and tell none.
var passed = []string{
	"is being processed", "may be removed", "triggered scale-up", "should not be processed", "can be moved to",
	"Upcoming 0 nodes", "Skipping event processing", "using maxNodeStartupTime",
}

// within are parts of lines that begin with the name of a pod, node or group.
var within = []string{
	" was unneeded for ", " is unneeded since ", " is unschedulable", "cannot be removed", " has no scaling capacity",
	"other pods are also unschedulable", "other pods similar to",
}

func classify(message string) Class {
	for _, m := range messages {
		for _, prefix := range m.prefixes {
			if strings.HasPrefix(message, prefix) {
				if m.class == Reason {
					for _, p := range passed {
						if strings.Contains(message, p) {
							return Chatter
						}
					}
				}
				return m.class
			}
		}
	}
	for _, part := range within {
		if strings.Contains(message, part) {
			return Reason
		}
	}
	return Chatter
}

// Console shows of a log what a developer looks for. A line of a kind that was
// shown a moment ago, as every round of ten seconds repeats its reasons, is
// left out until it changes.
type Console struct {
	mu    sync.Mutex
	out   io.Writer
	opts  ConsoleOptions
	rest  []byte
	shown map[string]bool
}

// ConsoleOptions of NewConsole.
type ConsoleOptions struct {
	// Color marks decisions and problems, on a terminal.
	Color bool
	// All shows every line, marked.
	All bool
}

// NewConsole returns a Console that writes to out.
func NewConsole(out io.Writer, opts ConsoleOptions) *Console {
	return &Console{out: out, opts: opts, shown: map[string]bool{}}
}

// maxShown bounds what is remembered of a long run.
const maxShown = 4096

// maxLine bounds what is kept of a line that does not end.
const maxLine = 64 << 10

// Write implements io.Writer. It never fails: what nobody can read is no
// reason for the autoscaler to stop.
func (c *Console) Write(data []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = append(c.rest, data...)
	for {
		line, rest, found := bytes.Cut(c.rest, []byte{'\n'})
		if !found && len(c.rest) < maxLine {
			return len(data), nil
		}
		c.line(string(line))
		c.rest = append([]byte(nil), rest...)
	}
}

// Close shows a last line that has no end.
func (c *Console) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.rest) > 0 {
		c.line(string(c.rest))
		c.rest = nil
	}
}

func (c *Console) line(text string) {
	e := Parse(strings.TrimRight(text, "\r"))
	if !c.opts.All {
		if e.Class == Chatter || e.Class == Loop {
			return
		}
		key := fmt.Sprint(e.Class, Steady(e.Message))
		if c.shown[key] && (e.Class == Reason || e.Class == Problem) {
			return
		}
		if e.Class == ScaleUp || e.Class == ScaleDown || len(c.shown) > maxShown {
			// What is said after a decision is news again.
			clear(c.shown)
		}
		c.shown[key] = true
	}
	_, _ = io.WriteString(c.out, c.format(e))
}

// numbers are counts and durations, which change from round to round in a
// message that says the same; those inside names do not count.
var numbers = regexp.MustCompile(`([ (:=\[]|^)[-+]?\d[\d.hmsµn]*`)

// Steady is the message without what changes from round to round.
func Steady(message string) string { return numbers.ReplaceAllString(message, "${1}0") }

// marks and colours by class.
var marks = map[Class]struct{ mark, color string }{
	Chatter: {" ", "2"}, Loop: {" ", "2"}, Reason: {"·", ""}, Problem: {"!", "31"}, ScaleUp: {"▲", "1;32"}, ScaleDown: {"▼", "1;36"},
}

func (c *Console) format(e Entry) string {
	m := marks[e.Class]
	text := fmt.Sprintf("%s %s", m.mark, e.Message)
	if e.Time != "" {
		text = fmt.Sprintf("%s %s %s", e.Time, m.mark, e.Message)
	}
	if c.opts.Color && m.color != "" {
		text = "\x1b[" + m.color + "m" + text + "\x1b[0m"
	}
	return text + "\n"
}
