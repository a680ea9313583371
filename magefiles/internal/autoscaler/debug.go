package autoscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"caslab/magefiles/internal/run"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Debugger is Delve, compiled at its pinned version.
type Debugger struct {
	Binary string
	// Address is the host:port that a headless debugger listens on.
	Address string
	// Wait holds the autoscaler of a headless debugger at its first instruction
	// until a client continues it.
	Wait bool
	// OldGo is set if the autoscaler was compiled by a Go that is too old for
	// this Delve, which refuses such programs by default.
	OldGo bool
}

// Headless runs the autoscaler under the debugger until ctx is done. Clients may
// attach and leave.
func (p Process) Headless(ctx context.Context, runner run.Runner, d Debugger) error {
	args := []string{"exec", p.Binary, "--headless", "--api-version=2", "--accept-multiclient", "--listen=" + d.Address}
	if d.OldGo {
		args = append(args, "--check-go-version=false")
	}
	if !d.Wait {
		args = append(args, "--continue")
	}
	return p.run(ctx, runner, run.Cmd{Name: d.Binary, Args: append(append(args, "--"), Args(p.Flags)...)})
}

// Interactive runs the autoscaler under a headless debugger, and the debugger's client
// in the lab's terminal, until the user leaves. A headless debugger ends the autoscaler
// when it gets a signal; an interactive one would leave it running.
func (p Process) Interactive(ctx context.Context, runner run.Runner, d Debugger) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var end error
	ended := make(chan struct{})
	d.Wait = true
	go func() {
		defer close(ended)
		end = p.Headless(ctx, runner, d)
	}()
	if !listens(ctx, d.Address, ended) {
		<-ended
		if end != nil {
			end = fmt.Errorf("the debugger ended before it listened: %w", end)
		}
		return end
	}
	_, err := runner.Run(ctx, run.Cmd{Name: d.Binary, Args: []string{"connect", d.Address}, Terminal: true})
	cancel()
	<-ended
	if err == nil {
		return nil // a user may end the debugger with the client
	}
	return errors.Join(fmt.Errorf("connect to the debugger at %s: %w", d.Address, err), end)
}

// listens waits until a process listens at address. It returns false if the
// debugger ended or ctx was done before.
func listens(ctx context.Context, address string, ended <-chan struct{}) bool {
	err := wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		select {
		case <-ended:
			return false, errors.New("it ended")
		default:
		}
		if conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address); err == nil {
			_ = conn.Close()
			return true, nil
		}
		return false, nil
	})
	return err == nil
}

// CheckAddress returns an error unless address is a host:port at which no process
// listens.
func CheckAddress(ctx context.Context, address string) error {
	if _, port, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("address %q: %w; want host:port, such as 127.0.0.1:2345", address, err)
	} else if port == "0" {
		return fmt.Errorf("address %q: want a fixed port, such as 127.0.0.1:2345", address)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("the debugger cannot listen: %w; choose another host:port", err)
	}
	return l.Close()
}

// clientAddress returns the host and the port at which a client on this machine
// reaches a debugger that listens at address.
func clientAddress(address string) (host, port string, err error) {
	host, port, err = net.SplitHostPort(address)
	if err != nil {
		return "", "", fmt.Errorf("address %q: %w; want host:port, such as 127.0.0.1:2345", address, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return host, port, nil
}

// VSCode returns a .vscode/launch.json that attaches to a headless debugger at
// address.
func VSCode(address string) ([]byte, error) {
	host, port, err := clientAddress(address)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(map[string]any{
		"version": "0.2.0",
		"configurations": []any{map[string]any{
			"name": "caslab: attach to the autoscaler", "type": "go", "request": "attach", "mode": "remote",
			"host": host, "port": json.Number(port), "apiVersion": 2,
			"stopOnEntry": false,
		}},
	}, "", "  ")
}

// GoLand returns the run configuration with which GoLand attaches to Delve at
// address.
func GoLand(address string) (string, error) {
	host, port, err := clientAddress(address)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`Run > Edit Configurations > + > Go Remote
  Name:           caslab: attach to the autoscaler
  Host:           %s
  Port:           %s
  On disconnect:  Leave it running
`, host, port), nil
}
