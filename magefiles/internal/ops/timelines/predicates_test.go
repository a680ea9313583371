package timelines

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/timeline/predicates"
)

// compiler is a runner with a go command that compiles a program which answers.
type compiler struct {
	t *testing.T
	// refused is what go build says, if it fails.
	refused string
	calls   []string
}

func (c *compiler) Run(_ context.Context, cmd run.Cmd) (run.Result, error) {
	verb := filepath.Base(cmd.Name)
	if verb == "go" {
		verb += " " + cmd.Args[0]
	}
	c.calls = append(c.calls, verb)
	switch {
	case verb == "go build" && c.refused != "":
		return run.Result{Stderr: []byte(c.refused)}, &run.Error{Cmd: cmd, Err: errors.New("exit status 1")}
	case verb == "go build":
		if err := os.WriteFile(cmd.Args[slices.Index(cmd.Args, "-o")+1], []byte("binary"), 0o600); err != nil {
			c.t.Error(err)
		}
	case verb == "predicates":
		return run.Result{Stdout: []byte(`{"version":"v1.36.1","pods":[{}]}`)}, nil
	}
	return run.Result{}, nil
}

// TestScheduler: the program is compiled when it is asked first, once for all commands, and again
// when its sources change. If that fails, the error says why.
func TestScheduler(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	c := &compiler{t: t}
	l.Runner = c
	tl := &Timelines{Lab: l.Lab}
	request := predicates.Request{Ask: make([]corev1.Pod, 1)}
	if _, err := tl.scheduler()(t.Context(), request); err == nil || !strings.HasPrefix(err.Error(), "compile the scheduler's filters: ") {
		t.Errorf("without the sources: %v", err)
	}
	source := filepath.Join(l.Config.Root, "magefiles", "components", "predicates", "main.go")
	write := func(text string) {
		if err := errors.Join(os.MkdirAll(filepath.Join(filepath.Dir(source), "testdata"), 0o700), os.WriteFile(source, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("package main")
	c.refused = "main.go:1: no network"
	if _, err := tl.scheduler()(t.Context(), request); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("the compiler fails: %v", err)
	}
	c.refused = ""
	asked := func(want ...string) {
		t.Helper()
		c.calls = nil
		ask := tl.scheduler()
		for range 2 {
			answer, err := ask(t.Context(), request)
			if err != nil || answer.Version != "v1.36.1" {
				t.Fatalf("%+v, %v", answer, err)
			}
		}
		calls := slices.DeleteFunc(c.calls, func(call string) bool { return call == "go version" })
		if !slices.Equal(calls, want) {
			t.Errorf("started %q, want %q", calls, want)
		}
	}
	asked("go build", "predicates", "predicates")
	if !strings.Contains(l.Logged.String(), "compile the scheduler's filters") {
		t.Errorf("the compilation is not shown:\n%s", l.Logged)
	}
	asked("predicates", "predicates")
	write("package main // changed")
	asked("go build", "predicates", "predicates")
}
