// Package run is the only place of the lab that starts processes.
package run

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// grace is how long a process may take to end after its context is done and
// it was told to end, before it is killed.
const grace = 5 * time.Second

// outputTail bounds what an Error keeps of a process's output, in bytes.
const outputTail = 8 << 10

// Cmd is one process to start.
type Cmd struct {
	// Name is the program, looked up in PATH unless it holds a slash.
	Name string
	// Args are its arguments, passed as they are: no shell reads them.
	Args []string
	// Dir is the working directory; empty means the caller's.
	Dir string
	// Env is added to the lab's own environment, KEY=value each.
	Env []string
	// Stdin may be nil.
	Stdin io.Reader
	// Stdout and Stderr, if set, receive a copy of the output as it comes.
	Stdout, Stderr io.Writer
	// Stream keeps no output for the Result but what an Error shows of it: for
	// a process that runs for hours.
	Stream bool
	// Terminal gives the process the lab's own terminal, and the signals of
	// its keys, instead of Stdin, Stdout and Stderr.
	Terminal bool
}

// String returns the command line for a reader; it is not shell-safe.
func (c Cmd) String() string {
	return strings.Join(append([]string{c.Name}, c.Args...), " ")
}

// Result is what a process printed. Where Cmd.Stdout is set, Result.Stdout is
// empty: the caller has the stream already.
type Result struct {
	Stdout, Stderr []byte
}

// Runner starts processes and waits for them.
type Runner interface {
	// Run starts c and waits for its end. When ctx is done the process and
	// its children are told to end, then killed. A process that fails or
	// does not start gives an *Error.
	Run(ctx context.Context, c Cmd) (Result, error)
}

// Error is a process that failed: what was run, the end of what it printed,
// and the cause.
type Error struct {
	Cmd    Cmd
	Output []byte
	Err    error
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("%s: %v", e.Cmd, e.Err)
	if out := bytes.TrimSpace(e.Output); len(out) > 0 {
		msg += "\n" + string(out)
	}
	return msg
}

// Unwrap returns the cause: an *exec.ExitError, or the context's error when
// the process ended because the context did.
func (e *Error) Unwrap() error { return e.Err }

// Exec is the Runner that starts real processes, each in a process group of
// its own so that an interrupted step leaves no grandchildren.
type Exec struct{}

// Run implements Runner.
func (Exec) Run(ctx context.Context, c Cmd) (Result, error) {
	var stdout, stderr bytes.Buffer
	last := &tail{max: outputTail}

	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdin = c.Stdin
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	} else {
		cmd.Stdout = io.MultiWriter(&stdout, last)
	}
	errs := []io.Writer{last}
	if !c.Stream {
		errs = append(errs, &stderr)
	}
	if c.Stderr != nil {
		errs = append(errs, c.Stderr)
	}
	cmd.Stderr = io.MultiWriter(errs...)
	cmd.SysProcAttr = groupOfItsOwn()
	if c.Terminal {
		if err := CheckTerminal(); err != nil {
			return Result{}, &Error{Cmd: c, Err: err}
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, int(os.Stdin.Fd())
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	// The kernel tells a process of its parent's end by the thread that started
	// it: that thread must not end before.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	err := cmd.Run()
	if err != nil && cmd.Process != nil && ctx.Err() != nil {
		// Whatever of the group outlived the grace goes now.
		if kerr := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); kerr != nil && !errors.Is(kerr, syscall.ESRCH) {
			err = errors.Join(err, kerr)
		}
		err = errors.Join(context.Cause(ctx), err)
	}
	res := Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	if err != nil {
		return res, &Error{Cmd: c, Output: last.bytes(), Err: err}
	}
	return res, nil
}

// CheckTerminal refuses a standard input that is no terminal.
func CheckTerminal() error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("it needs a terminal, and standard input is none")
	}
	return nil
}
