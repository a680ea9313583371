package autoscaler

import (
	"context"
	"encoding/json"
	"fmt"
	"net"

	"caslab/magefiles/internal/run"
)

// Debugger is Delve, compiled at its pinned version.
type Debugger struct {
	Binary string
	// Address is the host:port that a headless debugger listens on.
	Address string
	// Wait has a headless debugger hold the autoscaler until a client tells it
	// to go on, to stop at what happens first.
	Wait bool
}

// Headless runs the autoscaler under the debugger, for clients to attach to
// and leave as they like, until ctx is done.
func (p Process) Headless(ctx context.Context, runner run.Runner, d Debugger) error {
	args := []string{"exec", p.Binary, "--headless", "--api-version=2", "--accept-multiclient", "--listen=" + d.Address}
	if !d.Wait {
		args = append(args, "--continue")
	}
	return p.run(ctx, runner, run.Cmd{Name: d.Binary, Args: append(append(args, "--"), Args(p.Flags)...)})
}

// Interactive runs the debugger in the terminal that the lab has.
func (p Process) Interactive(ctx context.Context, runner run.Runner, d Debugger) error {
	args := append([]string{"exec", p.Binary, "--"}, Args(p.Flags)...)
	_, err := runner.Run(ctx, run.Cmd{Name: d.Binary, Args: args, Env: p.Env, Terminal: true})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("debug %s: %w", p.Binary, err)
	}
	return nil
}

// VSCode returns a .vscode/launch.json that attaches to a headless debugger at
// address.
func VSCode(address string) ([]byte, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", address, err)
	}
	return json.MarshalIndent(map[string]any{
		"version": "0.2.0",
		"configurations": []any{map[string]any{
			"name": "caslab: attach to the autoscaler", "type": "go", "request": "attach", "mode": "remote",
			"host": host, "port": json.Number(port), "apiVersion": 2,
			// The autoscaler lives on when the editor leaves.
			"stopOnEntry": false,
		}},
	}, "", "  ")
}

// GoLand says how to attach with GoLand.
func GoLand(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", address, err)
	}
	return fmt.Sprintf(`Run > Edit Configurations > + > Go Remote
  Name:           caslab: attach to the autoscaler
  Host:           %s
  Port:           %s
  On disconnect:  Leave it running
Start it with Debug while `+"`go tool mage autoscaler:debug`"+` runs.
`, host, port), nil
}
