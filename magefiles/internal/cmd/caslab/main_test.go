package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/scenario/results"
)

func TestExecuteAddsAdvice(t *testing.T) {
	v := verb{
		usage: usage{name: "scenario:run"},
		run: func(context.Context, *session, []string) error {
			return errors.Join(&capi.TakenError{Name: "web"}, &results.FailedError{Names: []string{"a"}, Again: "a"})
		},
	}
	t.Setenv("CLUSTER_NAME", "mine")
	err := v.execute(t.Context(), []string{"-out=r", "a"}, io.Discard, io.Discard)
	for _, want := range []string{
		"\nTo change its limits, type: CLUSTER_NAME=mine go tool mage nodegroup:set web MIN MAX",
		"\nTo run one again, type: CLUSTER_NAME=mine go tool mage scenario:run a -out=r",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the user sees %v, want %s", err, want)
		}
	}
	// The next command reads the file too.
	if err := os.Unsetenv("CLUSTER_NAME"); err != nil { // t.Setenv above restores it
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "caslab.yaml"), []byte("clusterName: mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	if err := v.execute(t.Context(), nil, io.Discard, io.Discard); !strings.Contains(err.Error(), "type: go tool mage nodegroup:set") {
		t.Errorf("the user sees %v", err)
	}
}

func TestACommandSaysThatItsEnvironmentIsGone(t *testing.T) {
	t.Chdir(t.TempDir())
	gone := &interrupt.GoneError{Reason: "the environment is gone"}
	other := errors.New("disk full")
	for _, tc := range []struct{ ends, want error }{
		{nil, gone}, {fmt.Errorf("get nodes: %w", context.Canceled), gone}, {fmt.Errorf("stopped: %w", gone), gone}, {other, other},
	} {
		ctx, _, _ := interrupt.With(t.Context())
		v := verb{run: func(ctx context.Context, _ *session, _ []string) error {
			interrupt.Abandon(ctx, gone)
			return tc.ends
		}}
		if err := v.execute(ctx, nil, io.Discard, io.Discard); err == nil || err.Error() != tc.want.Error() {
			t.Errorf("it ends with %v, which is told as %v, want %v", tc.ends, err, tc.want)
		}
	}
}

func TestConfigShow(t *testing.T) {
	t.Setenv("CLUSTER_NAME", "mine")
	t.Setenv("KUBERNETES_VERSION", "v1.20.0")
	var out bytes.Buffer
	if err := execute(t.Context(), []string{"config:show"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		`SETTING +VARIABLE +VALUE +FROM +MEANING`,
		`clusterName +CLUSTER_NAME +mine +environment +name of the environment`,
		`workers +WORKERS +1 +default +machines`,
		`! env:up refuses these settings: KUBERNETES_VERSION=v1.20.0 `,
	} {
		if !regexp.MustCompile(`(?m)^` + row).MatchString(out.String()) {
			t.Errorf("no row %s in\n%s", row, out.String())
		}
	}
}

// The arguments reach the function if it refuses a wrong one, which happens before a
// cluster is opened.
func TestArgumentsArePassedInOrder(t *testing.T) {
	t.Chdir(t.TempDir())
	for line, want := range map[string]string{
		"nodegroup:add -- web 3 1":             "minimum 3, maximum 1",
		"nodegroup:set -- web 3 1":             "minimum 3, maximum 1",
		"workload:add -name=":                  "-name is empty",
		"workload:scale -name= 3":              "-name is empty",
		"workload:delete -name=":               "-name is empty",
		"scenario:compare ./nosuch1 ./nosuch2": `"./nosuch1"`,
	} {
		if err := execute(t.Context(), strings.Fields(line), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

func TestTheSecondInterruptionEndsTheCommandIfNothingElseDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop, now := interrupt.With(t.Context())
		var ended atomic.Bool
		go exitIfInterruptedTwice(ctx, func() { ended.Store(true) })
		stop()
		time.Sleep(time.Hour)
		synctest.Wait()
		if ended.Load() {
			t.Fatal("the first interruption ends the command while it cleans up")
		}
		now()
		time.Sleep(exitDelay - time.Second)
		synctest.Wait()
		if ended.Load() {
			t.Error("the command has no time to say what it leaves")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !ended.Load() {
			t.Error("the command goes on")
		}
	})
}

func TestAnInterruptionIsNamed(t *testing.T) {
	t.Parallel()
	ctx, stop, _ := interrupt.With(t.Context())
	request := fmt.Errorf("get nodes: %w", context.Canceled)
	if text := interruptedText(ctx, request); text != "get nodes: context canceled" {
		t.Errorf("without an interruption: %s", text)
	}
	stop()
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{request, "get nodes: interrupted"},
		{fmt.Errorf("%w: %w", context.Cause(ctx), request), "interrupted: get nodes: interrupted"},
		{fmt.Errorf("%w: %w", context.Cause(ctx), context.Canceled), "interrupted"},
		{errors.New("no such thing"), "no such thing"},
	} {
		if text := interruptedText(ctx, tc.err); text != tc.want {
			t.Errorf("%v: %q, want %q", tc.err, text, tc.want)
		}
	}
}
