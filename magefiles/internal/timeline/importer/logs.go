package importer

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline/logfacts"
	"caslab/magefiles/internal/timeline/recorder"
)

// savedLog is the log of an autoscaler, as it was saved.
type savedLog struct {
	name     string
	modified time.Time
	// known is set if a line is one of the autoscaler's.
	known bool
	lines int
	// stated has the lines that state something, begin a round, report a problem or show
	// how the process was started.
	stated []savedLine
}

// savedLine is a line, with the time before klog's own time that kubectl, a container
// runtime or a journal has written; zero if there is none.
type savedLine struct {
	speech.Entry
	stamp time.Time
}

const (
	// maxLine is the longest part of a line that is read, in bytes.
	maxLine = 1 << 20
	// maxPrefix is the longest text before klog's head, in bytes.
	maxPrefix = 512
	// checkEvery is how many lines are read before the context is asked.
	checkEvery = 10_000
)

var (
	// klogHead matches the beginning of klog's head, after a prefix.
	klogHead = regexp.MustCompile(`(?:^|[\s\]:"])([IWEF]\d{4} \d\d:\d\d:\d\d\.\d+\s+\d+ [^ :\]]+:\d+\] )`)
	// stamps matches a time that a tool writes before a line.
	stamps = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[-+]\d\d:?\d\d)`)
)

// stampLayouts are the layouts of times before a line: those of kubectl and container
// runtimes, and those of journalctl -o short-iso.
var stampLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700"}

// parseLine parses a line of a log that may have a prefix.
func parseLine(text string) savedLine {
	at := klogHead.FindStringSubmatchIndex(text[:min(len(text), maxPrefix)])
	prefix, message := "", text
	if at != nil {
		prefix, message = text[:at[2]], text[at[2]:]
	} else if stamp := stamps.FindStringIndex(text); stamp != nil && stamp[0] == 0 {
		prefix, message = text[:stamp[1]], strings.TrimPrefix(text[stamp[1]:], " ")
	}
	line := savedLine{Entry: speech.Parse(message)}
	if stamp := stamps.FindString(prefix); stamp != "" {
		for _, layout := range stampLayouts {
			if t, err := time.Parse(layout, stamp); err == nil {
				line.stamp = t
				break
			}
		}
	}
	return line
}

// readLog reads a log. It keeps the lines that state something, begin a round, report a
// problem or show how the process was started.
func readLog(ctx context.Context, content io.Reader) (savedLog, error) {
	var log savedLog
	reader := bufio.NewReaderSize(content, headSize)
	for {
		text, err := readLine(reader)
		if errors.Is(err, io.EOF) && text == "" {
			return log, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return log, err
		}
		if log.lines++; log.lines%checkEvery == 0 && ctx.Err() != nil {
			return log, context.Cause(ctx)
		}
		line := parseLine(text)
		if line.Known() {
			log.known = true
		}
		if line.Known() || line.Class == speech.Problem || logfacts.Matters(line.Entry) {
			log.stated = append(log.stated, line)
		}
	}
}

// readLine returns the next line without its end, cut to maxLine.
func readLine(reader *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, isPrefix, err := reader.ReadLine()
		if len(line) < maxLine {
			line = append(line, part...)
		}
		if err != nil || !isPrefix {
			return string(line), err
		}
	}
}

// at returns the lines with their times. near is a time near the last line, for the year,
// which klog leaves out.
func (l savedLog) at(near time.Time) []recorder.Line {
	lines := make([]recorder.Line, 0, len(l.stated))
	var last time.Time
	for _, line := range l.stated {
		switch {
		case line.stamp.IsZero():
			last = line.At(cmp.Or(last, near.UTC()))
		default:
			last = line.At(line.stamp.In(clockOf(line)))
		}
		lines = append(lines, recorder.Line{Entry: line.Entry, At: last})
	}
	return lines
}

// clockOf returns the time zone of the clock that wrote klog's time in a line, by the
// stamp before it. Time zones differ by quarters of an hour.
func clockOf(line savedLine) *time.Location {
	stamp := line.stamp.UTC()
	offset := line.At(stamp).Sub(stamp).Round(15 * time.Minute)
	return time.FixedZone("", int(offset.Seconds()))
}
