package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"al.essio.dev/pkg/shellescape"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/run"
)

// Process describes an autoscaler to run on this machine.
type Process struct {
	Binary string
	Flags  []Flag
	// Env is added to the lab's environment.
	Env []string
	// LogFile gets all that the process prints. The log of the run before becomes
	// LogFile.previous.
	LogFile string
	// Output gets the same output, for a person.
	Output io.Writer
	// OnEnd, if set, is called when the process has ended: with nil if ctx was done before, and
	// with the reason if it ended by itself.
	OnEnd func(error)
	// Kill, if set, kills the process with SIGKILL when it is closed. Abort, if set, makes it
	// print the stacks of its goroutines and end.
	Kill, Abort <-chan struct{}
	// Relay, if not nil, runs as long as the process, which reaches its cluster through it.
	Relay Relay
}

// Relay forwards what a process sends to its cluster, from Start until stop is called.
type Relay interface {
	Start(ctx context.Context) (stop func() error, err error)
}

// Run starts the autoscaler and waits for its end. It returns nil if the process ended
// because ctx was done, and an error that names the log if it ended by itself.
func (p Process) Run(ctx context.Context, runner run.Runner) error {
	return p.run(ctx, runner, run.Cmd{Name: p.Binary, Args: Args(p.Flags)})
}

func (p Process) run(ctx context.Context, runner run.Runner, c run.Cmd) (err error) {
	log, err := openLog(p.LogFile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if p.Relay != nil {
		stop, failed := p.Relay.Start(ctx)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	both := &serialWriter{w: io.MultiWriter(log, p.Output)}
	c.Env, c.Stdout, c.Stderr, c.Stream, c.Kill, c.Abort = p.Env, both, both, true, p.Kill, p.Abort
	_, err = runner.Run(ctx, c)
	if ctx.Err() != nil {
		p.ended(nil)
		return nil
	}
	err = run.Ended(err)
	p.ended(err)
	return fmt.Errorf("the autoscaler %s ended: %w\nits whole log is %s", p.Binary, err, p.LogFile)
}

func (p Process) ended(err error) {
	if p.OnEnd != nil {
		p.OnEnd(err)
	}
}

// serialWriter is a writer for two streams that write at the same time.
type serialWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *serialWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

func openLog(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("begin the autoscaler's log: %w", err)
	}
	if err := os.Rename(path, path+".previous"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("rename the autoscaler's previous log: %w", err)
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("begin the autoscaler's log: %w", err)
	}
	return log, nil
}

// Environment returns the autoscaler's environment variables, each as KEY=value.
// v1beta2 says whether Cluster API serves that version of its API. The lab's CAPI_VERSION
// is a release of Cluster API, but the autoscaler's is a version of the API; if it is
// empty, the autoscaler finds the version itself. arch, if not empty, is the
// architecture of nodes of empty groups.
func Environment(a release.Autoscaler, v1beta2 bool, arch string) []string {
	var env []string
	switch {
	case !a.APIVariable:
	case v1beta2 && !a.GroupReferences:
		env = append(env, "CAPI_VERSION=v1beta1")
	default:
		env = append(env, "CAPI_VERSION=")
	}
	if arch != "" {
		env = append(env, "CAPI_SCALE_ZERO_DEFAULT_ARCH="+arch)
	}
	return env
}

// metricsPort is the autoscaler's default.
const metricsPort = "8085"

// FreeAddress returns a host:port on the loopback interface for the autoscaler's
// metrics: its default port, or any other one if that is taken.
func FreeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	for _, port := range []string{metricsPort, "0"} {
		l, err := config.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			continue
		}
		address := l.Addr().String()
		return address, l.Close()
	}
	return "", errors.New("no port is free on 127.0.0.1 for the autoscaler's metrics")
}

// CommandLine returns a command line, with the program's environment, that can be
// pasted into a shell.
func CommandLine(env []string, binary string, flags []Flag) string {
	var lines []string
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if value != "" {
			value = shellescape.Quote(value)
		}
		lines = append(lines, name+"="+value)
	}
	lines = append(lines, shellescape.Quote(binary))
	for _, f := range flags {
		lines = append(lines, shellescape.Quote(f.String()))
	}
	return strings.Join(lines, " \\\n  ")
}
