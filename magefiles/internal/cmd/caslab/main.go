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
	log := ui.New(os.Stderr, ui.Options{Terminal: ui.Terminal(os.Stderr)})
	err := execute(ctx, log, os.Args[1:])
	log.Close()
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

// verbs are the targets' names.
var verbs = map[string]func(ctx context.Context, lab *env.Lab, args []string) error{
	"env:up":             func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.Up(ctx, env.Ready) },
	"env:status":         func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.Status(ctx) },
	"env:down":           func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.Down(ctx) },
	"env:kubeconfig":     func(_ context.Context, lab *env.Lab, _ []string) error { return lab.Kubeconfig() },
	"env:doctor":         func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.Doctor(ctx) },
	"cluster:management": func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.Up(ctx, env.ManagementTarget) },
	"cluster:workload":   func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.Up(ctx, env.WorkloadTarget) },
	"cluster:pivot":      func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.Up(ctx, env.Ready) },
	"image:build":        func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.BuildImages(ctx) },
	"image:node":         func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.BuildNodeImage(ctx) },
	"image:load":         func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.LoadImages(ctx) },
	"bench":              func(ctx context.Context, lab *env.Lab, _ []string) error { return lab.Bench(ctx) },
	"source:fetch": func(ctx context.Context, lab *env.Lab, args []string) error {
		return lab.FetchSources(ctx, strings.Join(args, " "))
	},
}

func execute(ctx context.Context, log *ui.Log, args []string) error {
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
	return verbs[args[0]](ctx, env.New(cfg, log, os.Stdout), args[1:])
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
