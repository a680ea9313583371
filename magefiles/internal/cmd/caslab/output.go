package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/ui"
)

// errUnread is the cause with which a command ends when nobody reads its output any more.
var errUnread = errors.New("nobody reads the output any more")

// outputs returns the command's stdout and stderr. When the reader of a pipe ends, as tee
// does at the same Ctrl-C, writing to the pipe fails and interrupts the command of ctx.
// Otherwise the SIGPIPE of the next line would kill the command in the middle of its
// clean-up.
func outputs(ctx context.Context) (stdout, stderr io.Writer) {
	// Not signal.Ignore, which the children would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	unread := func() { interrupt.Stop(ctx, errUnread) }
	return output(os.Stdout, unread), output(os.Stderr, unread)
}

// output returns the file itself if it is a terminal, on which pictures are drawn.
func output(file *os.File, unread func()) io.Writer {
	if ui.Terminal(file) {
		return file
	}
	return pipe{file, unread}
}

// pipe is a writer that calls unread when nobody reads.
type pipe struct {
	io.Writer
	unread func()
}

func (p pipe) Write(data []byte) (int, error) {
	n, err := p.Writer.Write(data)
	if errors.Is(err, syscall.EPIPE) {
		p.unread()
	}
	return n, err
}
