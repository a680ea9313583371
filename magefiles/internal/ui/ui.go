// Package ui shows a person what the lab is doing: live steps on a terminal,
// plain lines anywhere else. It writes chatter only; data goes to stdout
// elsewhere.
package ui

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// How often a running step shows that it lives: the spinner on a terminal, a
// line elsewhere.
const (
	frameEvery     = 120 * time.Millisecond
	heartbeatEvery = 15 * time.Second
)

var frames = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// Options of a Log.
type Options struct {
	// Terminal selects live redrawing over plain lines.
	Terminal bool
	// Width of the terminal in columns; if zero, that of the terminal at each
	// moment, or 80.
	Width int
	// Now is the clock; time.Now if nil.
	Now func() time.Time
	// Record, if set, gets everything as plain lines with the time of day, the
	// notes that a person sees only for a moment included.
	Record io.Writer
}

// Log shows steps, several at a time, and lines between them.
type Log struct {
	w    io.Writer
	opts Options

	mu      sync.Mutex
	running []*Step
	drawn   int // lines of the live region on the screen
	frame   int
	stop    chan struct{}
	stopped chan struct{}
}

// Terminal reports whether f is a terminal that a person looks at.
func Terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" && os.Getenv("CI") == ""
}

// New returns a Log that writes to w. Close ends it.
func New(w io.Writer, opts Options) *Log {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	l := &Log{w: w, opts: opts, stop: make(chan struct{}), stopped: make(chan struct{})}
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

// beat shows that the running steps live.
func (l *Log) beat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opts.Terminal {
		l.frame++
		l.redraw("")
		return
	}
	for _, s := range l.running {
		l.write(fmt.Sprintf("  … %s\n", s.status()))
	}
}

// Printf writes one line, or several, above the running steps.
func (l *Log) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSuffix(fmt.Sprintf(format, args...), "\n")
	l.record(text)
	l.redraw(text + "\n")
}

// record writes a line for whoever looks later. The caller holds mu.
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

// Start begins a step. usually is how long it tends to take, shown beside a
// long wait; zero says nothing.
func (l *Log) Start(name string, usually time.Duration) *Step {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &Step{log: l, name: name, usually: usually, start: l.opts.Now()}
	l.running = append(l.running, s)
	l.record("→ " + name)
	line := ""
	if !l.opts.Terminal {
		line = "  → " + name
		if usually > 0 {
			line += fmt.Sprintf(" (usually about %s)", Round(usually))
		}
		line += "\n"
	}
	l.redraw(line)
	return s
}

// Progress says what the step is doing now. Only the last note is kept.
func (s *Step) Progress(note string) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if note = strings.TrimSpace(note); note != s.note {
		s.log.record(s.name + ": " + note)
	}
	s.note = note
}

// Done ends the step. If err is nil the step went well and the line says
// result, which may be empty; if not, it says what the step was doing.
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
		line += "  " + result
	}
	l.record(strings.TrimSpace(line))
	l.redraw(line + "\n")
}

// status is the line of a running step without its mark.
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

// redraw writes above, then the live region anew. The caller holds mu.
func (l *Log) redraw(above string) {
	if !l.opts.Terminal {
		l.write(above)
		return
	}
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", l.drawn)
	}
	b.WriteString(above)
	width := l.width()
	for _, s := range l.running {
		b.WriteString(clip(fmt.Sprintf("  %c %s", frames[l.frame%len(frames)], s.status()), width-1))
		b.WriteByte('\n')
	}
	l.drawn = len(l.running)
	l.write(b.String())
}

// width of the terminal, which a person may change at any moment.
func (l *Log) width() int {
	if l.opts.Width > 0 {
		return l.opts.Width
	}
	if f, ok := l.w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}

// write ignores errors: chatter that nobody can read is no reason to stop.
func (l *Log) write(text string) { _, _ = io.WriteString(l.w, text) }

func clip(line string, width int) string {
	if r := []rune(line); len(r) > width {
		return string(r[:max(width-1, 0)]) + "…"
	}
	return line
}

// Round makes a duration readable: tenths below a minute, seconds above.
func Round(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}
