package run_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"caslab/magefiles/internal/run"
)

func sh(script string) run.Cmd { return run.Cmd{Name: "sh", Args: []string{"-c", script}} }

func TestOutputAndEnvironment(t *testing.T) {
	t.Parallel()
	c := sh(`echo "$CASLAB_TEST in $(pwd)"; echo aside >&2; cat`)
	c.Dir = "/"
	c.Env = []string{"CASLAB_TEST=here"}
	c.Stdin = strings.NewReader("from stdin")
	var live bytes.Buffer
	c.Stderr = &live
	res, err := run.Exec{}.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(res.Stdout), "here in /\nfrom stdin"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	if live.String() != "aside\n" || string(res.Stderr) != "aside\n" {
		t.Errorf("stderr %q, copy %q", res.Stderr, live.String())
	}
}

func TestErrorSaysWhatRanAndItsLastOutput(t *testing.T) {
	t.Parallel()
	_, err := run.Exec{}.Run(t.Context(), sh(`echo "no such tag" >&2; seq 1 4999; printf 5000; exit 3`))
	var failed *run.Error
	if !errors.As(err, &failed) {
		t.Fatalf("Run() = %v, want a *run.Error", err)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("cause %v, want exit status 3", failed.Err)
	}
	if !strings.Contains(err.Error(), "no such tag") || !strings.Contains(err.Error(), "sh -c") {
		t.Errorf("error does not tell the story:\n%v", err)
	}
	if len(failed.Output) > 8<<10 {
		t.Errorf("error keeps %d bytes of output", len(failed.Output))
	}
	if !bytes.HasSuffix(failed.Output, []byte("\n5000\nno such tag\n")) {
		t.Errorf("error lacks the end of the output:\n%s", failed.Output)
	}
	if _, err := (run.Exec{}).Run(t.Context(), run.Cmd{Name: "caslab-no-such-program"}); !errors.As(err, &failed) {
		t.Errorf("a program that is not there gives %v", err)
	}
}

// TestCredentialsAreHidden: a password in a URL is in no error and in no log.
// The process still gets it, and the caller gets the process's output unchanged.
func TestCredentialsAreHidden(t *testing.T) {
	t.Parallel()
	const secret = "https://user:token@host"
	for _, fails := range []bool{true, false} {
		c := run.Cmd{Name: "sh", Args: []string{"-c", `echo "out $0 $URL"; echo "err $0" >&2; exit $1`, secret, map[bool]string{true: "1", false: "0"}[fails]}}
		c.Env = []string{"URL=" + secret}
		var log bytes.Buffer
		res, err := run.Recorded{Runner: run.Exec{}, Log: &log}.Run(t.Context(), c)
		if want := "out " + secret + " " + secret + "\n"; string(res.Stdout) != want {
			t.Errorf("stdout %q, want %q", res.Stdout, want)
		}
		if fails != (err != nil) {
			t.Fatalf("Run() = %v", err)
		}
		if logged := log.String(); strings.Contains(logged, "failed: exit status 1") != fails || strings.Count(logged, "out https") != map[bool]int{true: 1}[fails] {
			t.Errorf("of a process that fails: %v, the log has\n%s", fails, logged)
		}
		shown := log.String() + c.String()
		if failed := new(run.Error); errors.As(err, &failed) {
			shown += err.Error() + string(failed.Output)
			if !strings.Contains(err.Error(), "err https://xxxxx@host") {
				t.Errorf("the error lost what the process printed: %v", err)
			}
		}
		if strings.Contains(shown, "token") || !strings.Contains(log.String(), "https://xxxxx@host") {
			t.Errorf("shown: %s", shown)
		}
	}
	odd := &run.Error{Cmd: run.Cmd{Name: "x"}, Output: []byte(secret), Err: errors.New(secret)}
	if strings.Contains(odd.Error(), "token") {
		t.Errorf("the error says %v", odd)
	}
}

// TestStream: a process that runs for hours leaves no output in memory, and its
// error shows the end of the output.
func TestStream(t *testing.T) {
	t.Parallel()
	c := sh("echo out; echo aside >&2; exit 1")
	var stdout, stderr bytes.Buffer
	c.Stream, c.Stdout, c.Stderr = true, &stdout, &stderr
	res, err := run.Exec{}.Run(t.Context(), c)
	if len(res.Stdout)+len(res.Stderr) > 0 || stdout.String() != "out\n" || stderr.String() != "aside\n" {
		t.Errorf("kept %q and %q, streamed %q and %q", res.Stdout, res.Stderr, stdout.String(), stderr.String())
	}
	if failed := new(run.Error); !errors.As(err, &failed) || string(failed.Output) != "aside\n" {
		t.Errorf("Run() = %v; want what it printed on stderr", err)
	}
}

// TestGrandchildrenMayCleanUp: SIGTERM reaches the processes that a process
// started, too.
func TestGrandchildrenMayCleanUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ready, cleaned := filepath.Join(dir, "ready"), filepath.Join(dir, "cleaned")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := run.Exec{}.Run(ctx, sh(fmt.Sprintf(`trap 'wait' TERM; sh -c 'trap "touch %s; exit" TERM; touch %s; while :; do sleep 0.05; done' & wait`, cleaned, ready)))
		done <- err
	}()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the shell did not start")
		}
	}
	cancel()
	<-done
	if _, err := os.Stat(cleaned); err != nil {
		t.Errorf("the grandchild was not asked to end: %v", err)
	}
}

// TestCancelEndsGrandchildren starts a shell that starts a sleep, cancels and
// looks for the sleep.
func TestCancelEndsGrandchildren(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := run.Exec{}.Run(ctx, sh(fmt.Sprintf(`sleep 600 & echo $! >%s.new; mv %s.new %s; wait`, pidFile, pidFile, pidFile)))
		done <- err
	}()
	var pid int
	for deadline := time.Now().Add(time.Minute); pid == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the shell did not start")
		}
		if data, err := os.ReadFile(pidFile); err == nil {
			pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run() = %v, want context.Canceled in it", err)
	} else if strings.Contains(err.Error(), "exit status") || strings.Contains(err.Error(), "signal") {
		t.Errorf("Run() = %v shows the status that its own signal caused", err)
	}
	for deadline := time.Now().Add(time.Minute); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); {
		if state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); bytes.Contains(state, []byte(") Z ")) {
			break // ended; its new parent has not reaped it yet
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d outlived its command", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestKill: a process that is killed cannot clean up, and its context has not ended.
func TestKill(t *testing.T) {
	t.Parallel()
	started := make(chan struct{})
	kill := make(chan struct{})
	go func() {
		<-started
		close(kill)
	}()
	var once sync.Once
	c := sh(`trap 'echo cleaned up' EXIT TERM INT; echo started; while :; do sleep 1; done`)
	c.Kill = kill
	var out bytes.Buffer
	c.Stdout = writerFunc(func(p []byte) (int, error) {
		once.Do(func() { close(started) })
		return out.Write(p)
	})
	_, err := run.Exec{}.Run(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "signal: killed") || out.String() != "started\n" {
		t.Errorf("Run() = %v, printed %q", err, out.String())
	}
}

// TestAbort: a Go program prints its stacks at SIGABRT, so the process gets time for that.
func TestAbort(t *testing.T) {
	t.Parallel()
	abort := make(chan struct{})
	var once sync.Once
	c := sh(`trap 'echo stacks; exit 2' ABRT; echo started; while :; do sleep 0.1; done`)
	c.Abort = abort
	var out bytes.Buffer
	c.Stdout = writerFunc(func(p []byte) (int, error) {
		once.Do(func() { close(abort) })
		return out.Write(p)
	})
	_, err := run.Exec{}.Run(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "exit status 2") || out.String() != "started\nstacks\n" {
		t.Errorf("Run() = %v, printed %q", err, out.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestEnded(t *testing.T) {
	t.Parallel()
	cause, other := errors.New("signal: killed"), errors.New("no such program")
	for _, tc := range []struct{ err, want error }{{&run.Error{Output: []byte("shown"), Err: cause}, cause}, {other, other}} {
		if got := run.Ended(tc.err); !errors.Is(got, tc.want) || got.Error() != tc.want.Error() {
			t.Errorf("Ended(%v) = %v, want %v", tc.err, got, tc.want)
		}
	}
	if err := run.Ended(nil); err == nil {
		t.Error("a process that ended without an error has no reason")
	}
}
