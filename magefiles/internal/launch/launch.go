// Package launch replaces a mage target with the lab's command: it checks the
// target's arguments, compiles the command and shows the progress, and executes
// the command in the same process.
//
// Mage prints nothing while it compiles targets, and the packages that the lab
// imports take minutes to compile on a machine with empty caches. So the targets
// import only this package, which compiles the rest and shows the progress.
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
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/ui"
)

// command is the package of the lab's command.
const command = "./magefiles/internal/cmd/caslab"

// usualCompileTime is how long the first compilation takes on 2 cores with empty caches.
const usualCompileTime = 3 * time.Minute

// Lab compiles the lab's command in the repository whose root is the working
// directory, and replaces this process with it. Its arguments are verb and
// args. Lab returns only if it fails, or if mage ends while it compiles.
func Lab(ctx context.Context, verb string, args ...string) error {
	parents := interrupt.Parents()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if interrupt.Orphaned(ctx, parents, interrupt.Parents) {
			cancel(interrupt.ErrOrphaned)
		}
	}()
	binary, err := Compile(ctx)
	if err != nil {
		return err
	}
	argv := append([]string{binary, verb}, args...)
	if err := syscall.Exec(binary, argv, append(os.Environ(), interrupt.ParentsVariable(parents))); err != nil {
		return fmt.Errorf("start %s: %w", binary, err)
	}
	return nil
}

// Compile brings the lab's command up to date and returns its path. It prints to
// stderr if there is something to compile.
func Compile(ctx context.Context) (string, error) {
	root, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository's root: %w", err)
	}
	log := ui.New(os.Stderr, ui.Options{Terminal: ui.Terminal(os.Stderr)})
	defer log.Close()
	return compile(ctx, root, run.Exec{}, log)
}

func compile(ctx context.Context, root string, runner run.Runner, log *ui.Log) (string, error) {
	binary := filepath.Join(root, ".caslab", "bin", "caslab")
	shown := &compilation{log: log}
	_, err := runner.Run(ctx, run.Cmd{
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

// compilation shows a step with the number of packages that `go build -v` has named, one a
// line. It shows nothing before the first package.
type compilation struct {
	log   *ui.Log
	step  *ui.Step
	count int
}

func (c *compilation) Write(p []byte) (int, error) {
	if c.step == nil {
		c.step = c.log.Start("compile the lab", usualCompileTime)
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
