// Package launch turns a mage target into the lab's command: it compiles the
// command, showing that it compiles, and replaces the process with it.
//
// Mage is silent while it compiles targets, and what the lab imports takes a
// minute or more on a machine with empty caches. So the targets import this
// package alone, and the long compilation happens here, in the open.
package launch

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/ui"
)

// command is the package that holds the lab's command.
const command = "./magefiles/internal/cmd/caslab"

// usually is what the first compilation takes on 2 cores with empty caches.
const usually = 3 * time.Minute

// Lab compiles the lab's command in the repository of the working directory
// and becomes it, with verb and args as its arguments. It returns only when
// it fails.
func Lab(ctx context.Context, verb string, args ...string) error {
	binary, err := Compile(ctx)
	if err != nil {
		return err
	}
	argv := append([]string{binary, verb}, args...)
	if err := syscall.Exec(binary, argv, os.Environ()); err != nil {
		return fmt.Errorf("start %s: %w", binary, err)
	}
	return nil
}

// Compile brings the lab's command up to date and returns its path. It prints
// to stderr only if there is something to compile.
func Compile(ctx context.Context) (string, error) {
	root, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository's root: %w", err)
	}
	log := ui.New(os.Stderr, ui.Options{Terminal: ui.Terminal(os.Stderr)})
	defer log.Close()

	binary := filepath.Join(root, ".caslab", "bin", "caslab")
	shown := &compilation{log: log}
	_, err = run.Exec{}.Run(ctx, run.Cmd{
		Name:   "go",
		Args:   slices.Concat([]string{"build", "-v", "-o", binary}, build.Lean(), []string{command}),
		Dir:    root,
		Env:    []string{"CGO_ENABLED=0"},
		Stderr: shown,
	})
	shown.done(err)
	if err != nil {
		return "", fmt.Errorf("compile the lab: %w", err)
	}
	return binary, nil
}

// compilation counts the packages that `go build -v` names, one a line, and
// shows a step from the first one on.
type compilation struct {
	log   *ui.Log
	step  *ui.Step
	count int
}

func (c *compilation) Write(p []byte) (int, error) {
	if c.step == nil {
		c.step = c.log.Start("compile the lab", usually)
	}
	c.count += bytes.Count(p, []byte{'\n'})
	c.step.Progress(fmt.Sprintf("%d packages", c.count))
	return len(p), nil
}

func (c *compilation) done(err error) {
	if c.step != nil {
		c.step.Done("", err)
	}
}
