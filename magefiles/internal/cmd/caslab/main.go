// Command caslab does what the mage targets of the same names promise. The
// targets compile it and become it; see package launch.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/env"
	"caslab/magefiles/internal/ui"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ctx = untilOrphaned(ctx)
	err := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// untilOrphaned ends with ctx, or when the mage that became this command's
// parent ends: a SIGTERM to mage reaches mage alone.
func untilOrphaned(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	parent := os.Getppid()
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if os.Getppid() != parent {
					cancel(fmt.Errorf("mage, process %d, ended", parent))
					return
				}
			}
		}
	}()
	return ctx
}

// execute runs the verb args[0], or prints its help if an argument asks for it.
func execute(ctx context.Context, args []string, out, stderr io.Writer) error {
	var name string
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	v, err := find(name)
	if err != nil {
		return err
	}
	if wantsHelp(args) {
		return v.help(out)
	}
	root, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the repository's root: %w", err)
	}
	cfg, err := config.Load(root, os.Getenv)
	if err != nil {
		return err
	}
	lab := env.New(cfg, ui.Options{Terminal: ui.Terminal(os.Stderr)}, out, stderr)
	defer lab.Close()
	return v.run(ctx, &session{cfg: cfg, lab: lab, out: out}, args)
}
