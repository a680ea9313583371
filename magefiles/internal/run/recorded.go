package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"caslab/magefiles/internal/redact"
)

// Recorded is a Runner that logs every process: its command line and folder, how
// long it took, and all that it printed if it failed. The credentials of URLs are
// hidden.
type Recorded struct {
	Runner
	Log io.Writer
}

// Run implements Runner. It ignores errors of writing the log.
func (r Recorded) Run(ctx context.Context, c Cmd) (Result, error) {
	start := time.Now()
	res, err := r.Runner.Run(ctx, c)
	line := fmt.Sprintf("+ %s", c)
	if c.Dir != "" {
		line += " (in " + c.Dir + ")"
	}
	line += fmt.Sprintf(": %.1f s", time.Since(start).Seconds())
	if err != nil {
		cause := err
		if failed := new(Error); errors.As(err, &failed) {
			cause = failed.Err // the rest of it is logged here
		}
		line += fmt.Sprintf(", failed: %v\n%s%s", cause, res.Stdout, res.Stderr)
	}
	_, _ = io.WriteString(r.Log, redact.Text(strings.TrimRight(line, "\n"))+"\n")
	return res, err
}
