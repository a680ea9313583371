package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/run"
)

// role makes this test's program another program: caslab, with a verb that works until it
// is interrupted, or mage, which starts that.
const role = "CASLAB_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "caslab":
		verbs = []verb{
			simpleVerb(usage{name: "work"}, func(ctx context.Context, s *session) error { return work(ctx, s, "") }),
			simpleVerb(usage{name: "stubborn"}, func(ctx context.Context, s *session) error { return work(ctx, s, `trap "" TERM; `) }),
		}
		main()
		os.Exit(0)
	case "mage":
		c := program("caslab", os.Args[1:]...) // the later value of the variable counts
		c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
		_ = c.Run()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// program returns this test's program in a role.
func program(as string, args ...string) *exec.Cmd {
	c := exec.CommandContext(context.Background(), os.Args[0], args...)
	c.Env = append(os.Environ(), role+"="+as)
	return c
}

// work starts a process, which holds the FIFO "child" open, and waits for an interruption.
// Its clean-up lasts until stdin ends.
func work(ctx context.Context, s *session, prepare string) error {
	child := make(chan error, 1)
	go func() {
		_, err := s.lab.Runner.Run(ctx, run.Cmd{Name: "sh", Args: []string{"-c", prepare + "exec 9>child; echo started >&9; exec sleep 600"}})
		child <- err
	}()
	fmt.Fprintln(s.out, "working, SIGHUP ignored:", signal.Ignored(syscall.SIGHUP))
	told := make(chan struct{})
	go func() {
		defer close(told)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	<-ctx.Done()
	fmt.Fprintln(s.out, "cleaning up:", context.Cause(ctx))
	clean, cancel := interrupt.Cleanup(ctx, time.Hour)
	defer cancel()
	select {
	case <-told:
		<-child
		fmt.Fprintln(s.out, "cleaned up")
		return errors.New("cleaned up")
	case <-clean.Done():
		<-child
		return &interrupt.LeftError{What: "the container web", Command: "docker rm -f -v web", Err: context.Cause(clean)}
	}
}

// worker is a program that runs work.
type worker struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	// output is the pipe that stdout reads.
	output   io.ReadCloser
	stdout   *bufio.Reader
	stderr   strings.Builder
	children *os.File
}

// start starts a program and waits until it says that it works.
func start(t *testing.T, c *exec.Cmd, working string) *worker {
	t.Helper()
	w := &worker{t: t, cmd: c}
	c.Dir, c.Stderr = t.TempDir(), &w.stderr
	fifo := filepath.Join(c.Dir, "child")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.stdin, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if w.output, err = c.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	w.stdout = bufio.NewReader(w.output)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if w.children, err = os.Open(fifo); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.children.Close() })
	w.reads(working)
	if started, err := bufio.NewReader(w.children).ReadString('\n'); err != nil {
		t.Fatalf("the child says %q, %v", started, err)
	}
	return w
}

// reads fails the test unless the next line of stdout has that text.
func (w *worker) reads(want string) {
	w.t.Helper()
	line, err := w.stdout.ReadString('\n')
	if err != nil || !strings.Contains(line, want) {
		w.t.Fatalf("it prints %q, %v; want %q; stderr: %s", line, err, want, w.stderr.String())
	}
}

func (w *worker) signal(s syscall.Signal) {
	w.t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil {
		w.t.Fatal(err)
	}
}

// ends waits for the program's end, and fails the test unless it failed with those texts on
// stderr, and its child has ended.
func (w *worker) ends(texts ...string) {
	w.t.Helper()
	exit := new(exec.ExitError)
	if err := w.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		w.t.Errorf("it ends with %v", err)
	}
	for _, text := range texts {
		if !strings.Contains(w.stderr.String(), text) {
			w.t.Errorf("its stderr is %q, want %q", w.stderr.String(), text)
		}
	}
	if rest, err := io.ReadAll(w.children); err != nil {
		w.t.Errorf("the child: %q, %v", rest, err)
	}
}

func TestTheSecondInterruptionEndsEverythingAndSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			w := start(t, program("caslab", "stubborn"), "working")
			w.signal(s)
			w.reads("cleaning up: interrupted")
			w.signal(s)
			w.ends("the container web may be left: interrupted a second time; to remove it, type: docker rm -f -v web")
		})
	}
}

// needsHangup skips a test that runs under nohup. The programs under test then ignore SIGHUP too,
// so the test would show nothing.
func needsHangup(t *testing.T) {
	t.Helper()
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("SIGHUP is ignored, as under nohup: the program outlives its terminal and mage then")
	}
}

func TestAClosedTerminalInterruptsOnce(t *testing.T) {
	t.Parallel()
	needsHangup(t)
	w := start(t, program("caslab", "work"), "working")
	w.signal(syscall.SIGHUP)
	w.reads("cleaning up: interrupted")
	// The shell, the kernel and the system's shutdown each send one.
	w.signal(syscall.SIGHUP)
	w.signal(syscall.SIGTERM)
	if err := w.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	w.reads("cleaned up")
	w.ends("Error: cleaned up")
}

func TestNohup(t *testing.T) {
	t.Parallel()
	c := program("caslab", "-c", `trap "" HUP; exec "$0" stubborn`, os.Args[0])
	c.Path = "/bin/sh"
	w := start(t, c, "working, SIGHUP ignored: true")
	w.signal(syscall.SIGINT)
	w.reads("cleaning up")
	w.signal(syscall.SIGINT)
	w.ends()
}

func TestTheCommandEndsWhenMageIsKilled(t *testing.T) {
	t.Parallel()
	needsHangup(t)
	w := start(t, program("mage", "work"), "working")
	w.signal(syscall.SIGKILL)
	w.reads("cleaning up: " + interrupt.ErrOrphaned.Error())
	if err := w.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	w.reads("cleaned up")
	if rest, err := io.ReadAll(w.children); err != nil {
		t.Errorf("the child: %q, %v", rest, err)
	}
}

func TestTheReaderOfTheOutputEnds(t *testing.T) {
	t.Parallel()
	w := start(t, program("caslab", "work"), "working")
	if err := w.output.Close(); err != nil { // as tee does at Ctrl-C
		t.Fatal(err)
	}
	w.signal(syscall.SIGTERM)
	if err := w.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	w.ends("Error: cleaned up")
}
