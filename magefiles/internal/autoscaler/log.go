package autoscaler

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"caslab/magefiles/internal/autoscaler/speech"
)

// Console shows the lines of a log that matter to a developer. The autoscaler repeats
// its reasons in every round of ten seconds: Console leaves a line out until it changes.
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
	// All shows every line, with its mark.
	All bool
}

// NewConsole returns a Console that writes to out.
func NewConsole(out io.Writer, opts ConsoleOptions) *Console {
	return &Console{out: out, opts: opts, shown: map[string]bool{}}
}

// maxShown bounds what is remembered of a long run.
const maxShown = 4096

// maxLine bounds what is stored of a line that does not end.
const maxLine = 64 << 10

// Write implements io.Writer. It never fails: the autoscaler must not stop because
// nobody can read its log.
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
	e := speech.Parse(text)
	if !c.opts.All {
		if e.Class == speech.Chatter || e.Class == speech.Loop {
			return
		}
		key := fmt.Sprint(e.Class, speech.Normalize(e.Message))
		if c.shown[key] && (e.Class == speech.Reason || e.Class == speech.Problem) {
			return
		}
		if e.Class == speech.ScaleUp || e.Class == speech.ScaleDown || len(c.shown) > maxShown {
			// After a decision, every line is shown again.
			clear(c.shown)
		}
		c.shown[key] = true
	}
	_, _ = io.WriteString(c.out, c.format(e))
}

// marks and colours by class.
var marks = map[speech.Class]struct{ mark, color string }{
	speech.Chatter: {" ", "2"}, speech.Loop: {" ", "2"}, speech.Reason: {"·", ""}, speech.Problem: {"!", "31"}, speech.ScaleUp: {"▲", "1;32"}, speech.ScaleDown: {"▼", "1;36"},
}

func (c *Console) format(e speech.Entry) string {
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
