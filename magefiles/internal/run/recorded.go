package run

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// Recorded is a Runner that writes every process it runs to a log: what was
// run and where, how long it took, and if it failed all it printed.
type Recorded struct {
	Runner
	Log io.Writer
}

// Run implements Runner. A log that cannot be written stops no process.
func (r Recorded) Run(ctx context.Context, c Cmd) (Result, error) {
	start := time.Now()
	res, err := r.Runner.Run(ctx, c)
	line := fmt.Sprintf("+ %s", c)
	if c.Dir != "" {
		line += " (in " + c.Dir + ")"
	}
	line += fmt.Sprintf(": %.1f s", time.Since(start).Seconds())
	if err != nil {
		line += fmt.Sprintf(", failed: %v\n%s%s", err, res.Stdout, res.Stderr)
	}
	_, _ = io.WriteString(r.Log, strings.TrimRight(line, "\n")+"\n")
	return res, err
}
