// Command caslab has a verb for each mage target, of the same name. A target
// compiles it and is replaced with it: see package launch.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/ui"
)

func main() {
	ctx, release := interrupt.Notify(context.Background())
	stdout, stderr := outputs(ctx)
	go stopIfOrphaned(ctx, interrupt.TakeParents(signal.Ignored(syscall.SIGHUP)), interrupt.Parents)
	go exitIfInterruptedTwice(ctx, func() {
		if gone := interrupt.Gone(ctx); gone != nil {
			fmt.Fprintln(stderr, "Error:", gone)
			os.Exit(1)
		}
		fmt.Fprintln(stderr, "Error: interrupted a second time; what was under way may remain: `go tool mage env:status` shows the environment, and `go tool mage env:down` removes it")
		os.Exit(1)
	})
	err := execute(ctx, os.Args[1:], stdout, stderr)
	text := interruptedText(ctx, err)
	release()
	if err != nil {
		fmt.Fprintln(stderr, "Error:", redact.Text(text))
		os.Exit(1)
	}
}

// stopIfOrphaned ends the command of ctx when mage ends, or the shell that started the command
// without nohup. A SIGTERM that is sent to mage does not reach this process.
func stopIfOrphaned(ctx context.Context, parents string, look func() string) {
	if parents != "" && interrupt.Orphaned(ctx, parents, look) {
		interrupt.Stop(ctx, interrupt.ErrOrphaned)
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
const exitDelay = 3 * time.Second

// exitIfInterruptedTwice calls exit when exitDelay has passed since the second interruption.
func exitIfInterruptedTwice(ctx context.Context, exit func()) {
	<-interrupt.Now(ctx)
	time.Sleep(exitDelay)
	exit()
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
	c := command{verb: v.name, options: optionsIn(args), next: cfg.Command}
	s := newSession(cfg, v.name, ui.Options{Terminal: ui.Terminal(stderr)}, out, stderr)
	defer s.lab.Close()
	err = v.run(ctx, s, args)
	if gone := interrupt.Gone(ctx); gone != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = gone // the reason, and not its effect
	} else if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause // except Ctrl-C, which is how some commands end without an error
	}
	return addAdvice(errors.Join(err, s.leave()), c)
}
