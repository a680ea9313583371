// Command caslab does what the mage targets of the same names promise. The
// targets compile it and become it; see package launch.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/env"
	"caslab/magefiles/internal/ui"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ctx = untilOrphaned(ctx)
	err := execute(ctx, os.Args[1:])
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

func execute(ctx context.Context, args []string) error {
	root, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the repository's root: %w", err)
	}
	cfg, err := config.Load(root, os.Getenv)
	if err != nil {
		return err
	}
	if len(args) > 0 && args[0] == "config:show" {
		return show(cfg)
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		names := []string{"config:show"}
		for name := range verbs {
			names = append(names, name)
		}
		slices.Sort(names)
		return fmt.Errorf("want one of: %s", strings.Join(names, ", "))
	}
	lab := env.New(cfg, ui.Options{Terminal: ui.Terminal(os.Stderr)}, os.Stdout, os.Stderr)
	defer lab.Close()
	return verbs[args[0]](ctx, lab, args[1:])
}

// show prints every setting and where it comes from.
func show(cfg *config.Config) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "SETTING\tVARIABLE\tVALUE\tFROM\tMEANING")
	for _, v := range cfg.Values() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Key, v.Env, v.Value, v.Origin, v.Doc)
	}
	return w.Flush()
}
