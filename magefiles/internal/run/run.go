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

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/redact"
)

// grace is the time between the signal that asks a process to end and the one
// that kills it.
const grace = 5 * time.Second

// lastGrace replaces grace after the second interruption. A debugger needs this time to end
// the process that it debugs.
const lastGrace = time.Second

// outputTail is how many bytes of each of a process's two streams an Error holds
// at most.
const outputTail = 4 << 10

// Cmd is one process to start.
type Cmd struct {
	// Name is the program, looked up in PATH unless it holds a slash.
	Name string
	// Args are its arguments, passed as they are: no shell reads them.
	Args []string
	// Dir is the working directory; empty means the caller's.
	Dir string
	// Env is added to the lab's own environment, KEY=value each. It is never
	// printed.
	Env []string
	// Stdin may be nil.
	Stdin io.Reader
	// Stdout and Stderr, if set, receive a copy of the output as it comes.
	Stdout, Stderr io.Writer
	// Stream leaves the Result empty, for a process that runs for hours. An Error still
	// has the end of the output.
	Stream bool
	// Kill, if set, kills the process group with SIGKILL when it is closed. It shows what a
	// killed process leaves.
	Kill <-chan struct{}
	// Abort, if set, sends SIGABRT to the process group when it is closed, at which a Go program
	// prints the stacks of its goroutines and ends.
	Abort <-chan struct{}
	// Terminal gives the process the lab's own terminal, with the signals of its
	// keys, instead of Stdin, Stdout and Stderr.
	Terminal bool
}

// String returns the command line for a reader, without the credentials of URLs;
// it is not shell-safe.
func (c Cmd) String() string {
	return redact.Text(strings.Join(append([]string{c.Name}, c.Args...), " "))
}

// Result is what a process printed, unchanged. Stdout is empty if Cmd.Stdout is
// set, because the caller has the stream already.
type Result struct {
	Stdout, Stderr []byte
}

// Runner starts processes and waits for them.
type Runner interface {
	// Run starts c and waits for its end. When ctx is done, the process and its
	// children get SIGTERM, and SIGKILL some seconds later, or one second after the
	// second interruption. A process that fails or does not start gives an *Error.
	Run(ctx context.Context, c Cmd) (Result, error)
}

// Error is returned for a process that failed or did not start.
type Error struct {
	Cmd Cmd
	// Output is the end of standard output, then the end of standard error, without
	// the credentials of URLs.
	Output []byte
	// Err is the cause.
	Err error
}

// Ended returns why a process ended that should have kept running, given the error of Run. It
// leaves out what the process printed, for a caller that has shown it.
func Ended(err error) error {
	if err == nil {
		return errors.New("it ended by itself")
	}
	if failed := new(Error); errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("%s: %v", e.Cmd, e.Err)
	if out := bytes.TrimSpace(e.Output); len(out) > 0 {
		msg += "\n" + string(out)
	}
	return redact.Text(msg)
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
	// The two streams have no common order. In a common tail, a long standard
	// output could replace the message on standard error.
	lastOut, lastErr := &Tail{Max: outputTail}, &Tail{Max: outputTail}

	cmd := exec.CommandContext(ctx, c.Name, c.Args...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdin = c.Stdin
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	} else {
		cmd.Stdout = io.MultiWriter(&stdout, lastOut)
	}
	errs := []io.Writer{lastErr}
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
	// To the kernel, the parent ends when the thread that started the process ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	err := cmd.Start()
	if err == nil {
		ended := make(chan struct{})
		go func() {
			wait := lastGrace
			select {
			case <-interrupt.Now(ctx):
			case <-c.Abort:
				wait = grace                                        // the stacks of many goroutines are long
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGABRT) // it may have just ended
			case <-c.Kill:
				wait = 0
			case <-ended:
				return
			}
			select {
			case <-time.After(wait):
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have just ended
			case <-ended:
			}
		}()
		err = cmd.Wait()
		close(ended)
	}
	if err != nil && cmd.Process != nil && ctx.Err() != nil {
		// Some children ignore SIGTERM.
		if kerr := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); kerr != nil && !errors.Is(kerr, syscall.ESRCH) {
			err = errors.Join(err, kerr)
		}
		err = endedError{context.Cause(ctx), err}
	}
	res := Result{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	if err != nil {
		output := string(lastOut.Bytes())
		if output != "" && !strings.HasSuffix(output, "\n") {
			output += "\n"
		}
		return res, &Error{Cmd: c, Output: []byte(redact.Text(output + string(lastErr.Bytes()))), Err: err}
	}
	return res, nil
}

// endedError is returned for a process that ended because its context did. Its status is
// that of the signal which it got, so only the cause is shown.
type endedError struct{ cause, err error }

func (e endedError) Error() string   { return e.cause.Error() }
func (e endedError) Unwrap() []error { return []error{e.cause, e.err} }

// CheckTerminal returns an error if standard input is not a terminal.
func CheckTerminal() error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("it needs a terminal, and standard input is not one")
	}
	return nil
}
