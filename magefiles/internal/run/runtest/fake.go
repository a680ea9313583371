// Package runtest has a run.Runner for tests. It starts no process: it records the
// commands and answers from a script.
package runtest

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"caslab/magefiles/internal/run"
)

// Answer is the result of a command whose command line begins with Prefix.
type Answer struct {
	// Prefix is matched against the command's String; the first match wins.
	Prefix string
	Stdout string
	Stderr string
	// Err, if set, is returned in a *run.Error with Stderr as output.
	Err error
}

// Fake is a run.Runner that answers from a script. A command without an Answer
// fails, so that a test states every process that it expects.
type Fake struct {
	Answers []Answer

	mu    sync.Mutex
	calls []run.Cmd
}

// Calls returns the command lines so far, in order.
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := make([]string, len(f.calls))
	for i, c := range f.calls {
		lines[i] = c.String()
	}
	return lines
}

// Cmds returns the commands so far, in order.
func (f *Fake) Cmds() []run.Cmd {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]run.Cmd(nil), f.calls...)
}

// Run implements run.Runner.
func (f *Fake) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return run.Result{}, &run.Error{Cmd: c, Err: err}
	}
	if c.Stdin != nil {
		if _, err := io.Copy(io.Discard, c.Stdin); err != nil {
			return run.Result{}, &run.Error{Cmd: c, Err: err}
		}
	}
	for _, a := range f.Answers {
		if !strings.HasPrefix(c.String(), a.Prefix) {
			continue
		}
		if a.Err != nil {
			return run.Result{Stdout: []byte(a.Stdout), Stderr: []byte(a.Stderr)}, &run.Error{Cmd: c, Output: []byte(a.Stderr), Err: a.Err}
		}
		if c.Stdout != nil {
			_, err := io.WriteString(c.Stdout, a.Stdout)
			return run.Result{Stderr: []byte(a.Stderr)}, err
		}
		return run.Result{Stdout: []byte(a.Stdout), Stderr: []byte(a.Stderr)}, nil
	}
	return run.Result{}, &run.Error{Cmd: c, Err: errors.New("runtest: no answer for this command")}
}
