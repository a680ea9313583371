package autoscaler

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
)

// exitStatus2 is the error of a program that printed its help and ended.
func exitStatus2(t *testing.T) error {
	t.Helper()
	err := exec.CommandContext(t.Context(), "sh", "-c", "exit 2").Run()
	if err == nil {
		t.Fatal("the shell did not fail")
	}
	return err
}

// script writes a program that stands in for the autoscaler.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster-autoscaler")
	// A process that another test starts now would inherit the open file, and the
	// kernel does not run a file that is open for writing.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return path
}

// untilText calls the context's cancel once the buffer holds text.
type untilText struct {
	bytes.Buffer
	text   string
	cancel func()
}

func (u *untilText) Write(p []byte) (int, error) {
	n, err := u.Buffer.Write(p)
	if strings.Contains(u.String(), u.text) {
		u.cancel()
	}
	return n, err
}

func TestRunUntilStopped(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shown := &untilText{text: "started with --v=4", cancel: cancel}
	log := filepath.Join(t.TempDir(), "logs", "autoscaler.log")
	var ends []error
	p := Process{
		Binary:  script(t, `trap 'echo stopped; exit 0' TERM; echo "started with $* and $CAPI_VERSION"; while :; do sleep 0.05; done`),
		Flags:   []Flag{{Name: "v", Value: "4"}},
		Env:     []string{"CAPI_VERSION=v1beta1"},
		LogFile: log, Output: shown,
		OnEnd: func(err error) { ends = append(ends, err) },
	}
	if err := p.Run(ctx, run.Exec{}); err != nil {
		t.Fatalf("Run() = %v, want nil for a process that was stopped", err)
	}
	if len(ends) != 1 || ends[0] != nil {
		t.Errorf("its ends are %v, want one without a reason", ends)
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	// The shell may print that its sleep was terminated, before or after the
	// other lines.
	if !strings.HasPrefix(string(data), "started with --v=4 and v1beta1\n") || !strings.Contains(string(data), "\nstopped\n") {
		t.Errorf("the log holds %q", data)
	}
	// The next run keeps this log.
	p.Binary, shown.text = script(t, "exit 3"), "never"
	var exit *exec.ExitError
	ends = nil
	if err := p.Run(t.Context(), run.Exec{}); !errors.As(err, &exit) || !strings.Contains(err.Error(), p.Binary+" ended: exit status 3\nits whole log is "+log) {
		t.Errorf("Run() of a program that fails = %v, want its end and its log", err)
	}
	if len(ends) != 1 || ends[0].Error() != "exit status 3" {
		t.Errorf("its ends are %v, want its exit status", ends)
	}
	if kept, err := os.ReadFile(log + ".previous"); err != nil || !bytes.Equal(kept, data) {
		t.Errorf("the log before holds %q, %v", kept, err)
	}
}

func TestUnexpectedEndIsAnError(t *testing.T) {
	t.Parallel()
	p := Process{Binary: script(t, "exit 0"), LogFile: filepath.Join(t.TempDir(), "log"), Output: new(bytes.Buffer)}
	if err := p.Run(t.Context(), run.Exec{}); err == nil || !strings.Contains(err.Error(), "by itself") {
		t.Errorf("Run() = %v", err)
	}
}

func TestDebuggersCommandLine(t *testing.T) {
	t.Parallel()
	p := Process{Binary: "/lab/ca", Flags: []Flag{{Name: "v", Value: "4"}}, LogFile: filepath.Join(t.TempDir(), "log"), Output: new(bytes.Buffer)}
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "/lab/dlv"}}}
	d := Debugger{Binary: "/lab/dlv", Address: "127.0.0.1:2345"}
	for range 3 {
		if err := p.Headless(t.Context(), fake, d); err == nil {
			t.Error("a debugger that ended by itself is no error")
		}
		d.OldGo = d.Wait
		d.Wait = true
	}
	const headless = "/lab/dlv exec /lab/ca --headless --api-version=2 --accept-multiclient --listen=127.0.0.1:2345 "
	want := []string{headless + "--continue -- --v=4", headless + "-- --v=4", headless + "--check-go-version=false -- --v=4"}
	if got := fake.Calls(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("ran\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestInteractiveConnectsToAHeadlessDebugger(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	address := l.Addr().String()
	if err := CheckAddress(t.Context(), address); err == nil || !strings.Contains(err.Error(), "choose another host:port") {
		t.Errorf("CheckAddress() of one that is taken: %v", err)
	}
	if err := CheckAddress(t.Context(), "127.0.0.1:0"); err == nil {
		t.Error("CheckAddress() takes a port that no client can know")
	}
	p := Process{Binary: "/lab/ca", LogFile: filepath.Join(t.TempDir(), "log"), Output: new(bytes.Buffer)}
	runner := &fakeDebugger{}
	if err := p.Interactive(t.Context(), runner, Debugger{Binary: "/lab/dlv", Address: address}); err != nil {
		t.Error(err)
	}
	if !runner.terminal || !runner.ended {
		t.Errorf("a client in the terminal: %t; the debugger ended after it: %t", runner.terminal, runner.ended)
	}
}

// fakeDebugger is a headless debugger that runs until it is stopped, and a
// client that disconnects at once.
type fakeDebugger struct{ terminal, ended bool }

func (d *fakeDebugger) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	if c.Args[0] == "connect" {
		d.terminal = c.Terminal
		return run.Result{}, nil
	}
	<-ctx.Done()
	d.ended = true
	return run.Result{}, ctx.Err()
}

func TestEditors(t *testing.T) {
	t.Parallel()
	data, err := VSCode("127.0.0.1:4000")
	if err != nil || !strings.Contains(string(data), `"port": 4000`) || !strings.Contains(string(data), `"mode": "remote"`) {
		t.Errorf("VSCode() = %s, %v", data, err)
	}
	note, err := GoLand("127.0.0.1:4000")
	if err != nil || !strings.Contains(note, "4000") {
		t.Errorf("GoLand() = %s, %v", note, err)
	}
	for _, address := range []string{"", "4000", "a:b:c"} {
		if _, err := VSCode(address); err == nil {
			t.Errorf("VSCode(%q) gave no error", address)
		}
	}
}

func TestFreeAddress(t *testing.T) {
	t.Parallel()
	var address string
	for address == "" {
		free, err := FreeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", free)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue // another process, such as another package's tests, was faster
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		address = free
	}
	// The address is in use now, so the next one has another port.
	if next, err := FreeAddress(t.Context()); err != nil || next == address {
		t.Errorf("FreeAddress() = %s, %v while %s is taken", next, err, address)
	}
}

// TestCommandLine: the output can be pasted into a shell in which the variables
// have other values.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	got := CommandLine([]string{"CAPI_VERSION=", "ARCH=a b"}, "/lab/my autoscaler", []Flag{{Name: "v", Value: "4"}})
	if want := "CAPI_VERSION= \\\n  ARCH='a b' \\\n  '/lab/my autoscaler' \\\n  --v=4"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
