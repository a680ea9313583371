// Command caslab has a verb for each mage target, of the same name. A target
// compiles it and is replaced with it: see package launch.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/ui"
)

func main() {
	ctx, release := interrupt.Notify(context.Background())
	ctx = cancelWhenOrphaned(ctx, os.Getppid)
	go exitIfInterruptedTwice(ctx, func() {
		fmt.Fprintln(os.Stderr, "Error: interrupted a second time; what was under way may remain, and `go tool mage env:status` shows the environment")
		os.Exit(1)
	})
	err := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	text := interruptedText(ctx, err)
	release()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", redact.Text(text))
		os.Exit(1)
	}
}

// interruptedText returns the text of err, which may be nil. If ctx ended, it says why where
// libraries say that their context was canceled.
func interruptedText(ctx context.Context, err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if cause := context.Cause(ctx); cause != nil {
		why := cause.Error()
		text = strings.NewReplacer(why+": "+context.Canceled.Error(), why, context.Canceled.Error(), why).Replace(text)
	}
	return text
}

// exitDelay is how long clean-ups may take to say what they leave after the
// second interruption.
const exitDelay = 5 * time.Second

// exitIfInterruptedTwice calls exit when exitDelay has passed since the second interruption.
func exitIfInterruptedTwice(ctx context.Context, exit func()) {
	<-interrupt.Now(ctx)
	time.Sleep(exitDelay)
	exit()
}

// cancelWhenOrphaned returns a context that ends with ctx, or when the parent
// process, which is mage, ends: a SIGTERM to mage reaches mage alone.
func cancelWhenOrphaned(ctx context.Context, parentID func() int) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	parent := parentID()
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if parentID() != parent {
					cancel(errors.New("stopped, because mage was ended"))
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
	v, err := findVerb(name)
	if err != nil {
		return err
	}
	if wantsHelp(args) {
		return v.help(out)
	}
	return v.execute(ctx, args, out, stderr)
}

// execute runs the verb with the settings of the repository whose root is the
// working directory. An error says what to type next.
func (v verb) execute(ctx context.Context, args []string, out, stderr io.Writer) error {
	root, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the repository's root: %w", err)
	}
	cfg, err := config.Load(root, os.LookupEnv)
	if err != nil {
		return err
	}
	c := command{verb: v.name, options: optionsIn(args)}
	if cfg.NamedByVariable() {
		c.clusterName = cfg.ClusterName
	}
	s := newSession(cfg, ui.Options{Terminal: ui.Terminal(stderr)}, out, stderr)
	defer s.lab.Close()
	return addAdvice(v.run(ctx, s, args), c)
}
