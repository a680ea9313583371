package hollows

import (
	"context"
	"errors"
	"fmt"

	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
)

// reservation is the name of what hollow:run reserves in a cluster.
const reservation = "hollow"

// Run runs the controller on this machine, for a cluster that the lab did not create, until ctx
// is done.
func (h *Hollows) Run(ctx context.Context) (err error) {
	c, err := h.Open(ctx)
	if missing := new(target.MissingClusterError); errors.As(err, &missing) && c != nil {
		h.Log.Printf("! the Cluster %s/%s is not in the management cluster, which has none; the controller waits for clusterctl move to bring it. If you plan no move: %v", c.Namespace, c.Name, missing)
	} else if err != nil {
		return err
	}
	if c.Own {
		return fmt.Errorf("hollow:run is for a cluster that the lab did not create; in the lab's own environment, %s runs the controller in the cluster", h.Config.Command("nodegroup:add NAME MIN MAX -machines=hollow"))
	}
	if err := checkAPI(ctx, c); err != nil {
		return err
	}
	unlock, err := h.lock(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	binary, err := h.compile(ctx, true)
	if err != nil {
		return err
	}
	if err := h.define(ctx, c); err != nil {
		return err
	}
	if err := h.warn(ctx, c); err != nil {
		return err
	}
	h.Log.Printf("running: Ctrl-C stops it; hollow nodes then become NotReady, and recover when it runs again. In another terminal: %s", h.Config.Command("nodegroup:add NAME MIN MAX -machines=hollow"))
	_, err = h.Runner.Run(ctx, run.Cmd{Name: binary, Args: arguments(c), Stdout: h.ProcessOutput, Stderr: h.ProcessOutput, Stream: true})
	if ctx.Err() != nil {
		h.Log.Printf("the controller of hollow machines was stopped")
		return nil
	}
	return fmt.Errorf("the controller of hollow machines, %s, ended: %w", binary, run.Ended(err))
}

// arguments returns the arguments of the controller.
func arguments(c *target.Cluster) []string {
	management := c.WorkloadPath
	if c.ManagementPath != "" {
		management = c.ManagementPath
	}
	return []string{"--kubeconfig=" + management, "--workload-kubeconfig=" + c.WorkloadPath, "--namespace=" + c.Namespace, "--cluster=" + c.Name, "--health-addr="}
}

// lock reserves the cluster for one controller until unlock is called.
func (h *Hollows) lock(ctx context.Context, c *target.Cluster) (unlock func() error, err error) {
	const command = "hollow:run"
	unlock, err = c.Claim(ctx, h.Lab, reservation, command)
	held, reserved := new(state.HeldError), new(target.ReservedError)
	switch {
	case errors.As(err, &held):
		return nil, fmt.Errorf("a controller of hollow machines of the cluster %q is already running: %s; stop that one first", c.Name, held.Holder)
	case errors.As(err, &reserved):
		return nil, fmt.Errorf("a controller of hollow machines of the cluster %q already runs elsewhere: %w; stop that one first", c.Name, err)
	}
	return unlock, err
}
