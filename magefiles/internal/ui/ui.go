// Package ui shows a person what the lab is doing: running steps on a terminal,
// plain lines elsewhere. It hides the credentials of URLs. Results do not go through
// this package, but to stdout.
package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"caslab/magefiles/internal/redact"
)

// How often a running step shows that it is alive: with a spinner on a terminal, with a
// line elsewhere.
const (
	frameEvery     = 120 * time.Millisecond
	heartbeatEvery = 15 * time.Second
)

var frames = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// Options of a Log.
type Options struct {
	// Terminal selects running steps that are drawn again and again over plain
	// lines.
	Terminal bool
	// Width of the terminal in columns; if zero, the terminal is asked.
	Width int
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// Record, if set, gets everything, including every note of a step, as plain lines
	// with the time of day.
	Record io.Writer
}

// Log shows the running steps, and lines that stay. Its methods may be called
// from several goroutines.
type Log struct {
	w    io.Writer
	opts Options

	mu      sync.Mutex
	region  Region
	running []*Step
	frame   int
	stop    chan struct{}
	stopped chan struct{}
}

// New returns a Log that writes to w. Close ends it.
func New(w io.Writer, opts Options) *Log {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	l := &Log{
		w: w, opts: opts, region: Region{W: w, Columns: opts.Width},
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	every := heartbeatEvery
	if opts.Terminal {
		every = frameEvery
	}
	go l.tick(every)
	return l
}

// Close stops the redrawing; steps still running keep their last line.
func (l *Log) Close() {
	close(l.stop)
	<-l.stopped
}

func (l *Log) tick(every time.Duration) {
	defer close(l.stopped)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
			l.beat()
		}
	}
}

// beat shows that the running steps are alive.
func (l *Log) beat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frame++
	if l.opts.Terminal {
		l.write()
		return
	}
	for _, s := range l.running {
		l.write("  … " + s.status())
	}
}

// Printf writes one line, or several, above the running steps.
func (l *Log) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := redact.Text(strings.TrimSuffix(fmt.Sprintf(format, args...), "\n"))
	l.record(text)
	l.write(strings.Split(text, "\n")...)
}

// record writes to Options.Record. The caller holds mu.
func (l *Log) record(text string) {
	if l.opts.Record != nil {
		_, _ = fmt.Fprintf(l.opts.Record, "%s %s\n", l.opts.Now().Format("15:04:05.000"), text)
	}
}

// Step is one piece of work with a beginning and an end.
type Step struct {
	log     *Log
	name    string
	usually time.Duration
	start   time.Time
	note    string
}

// Start begins a step. usually is how long it usually takes, which is shown beside its
// time so far; zero shows nothing.
func (l *Log) Start(name string, usually time.Duration) *Step {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &Step{log: l, name: redact.Text(name), usually: usually, start: l.opts.Now()}
	l.running = append(l.running, s)
	l.record("→ " + s.name)
	if l.opts.Terminal {
		l.write()
		return s
	}
	line := "  → " + s.name
	if usually > 0 {
		line += fmt.Sprintf(" (usually about %s)", Round(usually))
	}
	l.write(line)
	return s
}

// Progress says what the step is doing now. The step shows the last note.
func (s *Step) Progress(note string) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if note = redact.Text(strings.TrimSpace(note)); note != s.note {
		s.log.record(s.name + ": " + note)
	}
	s.note = note
}

// Done ends the step. Its line shows result, which may be empty, if err is nil,
// and the last note otherwise.
func (s *Step) Done(result string, err error) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range l.running {
		if r == s {
			l.running = append(l.running[:i], l.running[i+1:]...)
			break
		}
	}
	took := l.opts.Now().Sub(s.start)
	mark := "✓"
	if err != nil {
		mark, result = "✗", s.note
	}
	line := fmt.Sprintf("  %s %-42s %7s", mark, s.name, Round(took))
	if result != "" {
		line += "  " + redact.Text(result)
	}
	l.record(strings.TrimSpace(line))
	l.write(strings.Split(line, "\n")...)
}

// status returns the line of a running step without its mark.
func (s *Step) status() string {
	line := fmt.Sprintf("%-42s %7s", s.name, Round(s.log.opts.Now().Sub(s.start)))
	if s.usually > 0 {
		line += fmt.Sprintf(" of about %s", Round(s.usually))
	}
	if s.note != "" {
		line += "  " + s.note
	}
	return line
}

// write writes lines that stay, and on a terminal the running steps below them.
// It ignores errors: nothing can be done if nobody can read. The caller holds
// mu.
func (l *Log) write(lines ...string) {
	if !l.opts.Terminal {
		for _, line := range lines {
			_, _ = io.WriteString(l.w, line+"\n")
		}
		return
	}
	columns, _ := l.region.Size()
	var steps []string
	for _, s := range l.running {
		steps = append(steps, Clip(fmt.Sprintf("  %c %s", frames[l.frame%len(frames)], s.status()), columns-1))
	}
	_ = l.region.Draw(lines, steps)
}

// Clip cuts a line to the width in columns, with an ellipsis in place of the
// rest.
func Clip(line string, width int) string {
	line, _, _ = strings.Cut(line, "\n")
	if r := []rune(line); len(r) > width {
		return string(r[:max(width-1, 0)]) + "…"
	}
	return line
}

// Round writes a duration for a reader, in tenths of a second below a minute and
// in whole seconds above.
func Round(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}
