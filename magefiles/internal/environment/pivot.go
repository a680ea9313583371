package environment

import (
	"context"
	"fmt"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/state"
)

func (c *bringUp) initWorkload(ctx context.Context, progress func(string)) (string, error) {
	return "", c.install(ctx, c.workload, c.EnvironmentKubeconfig(), progress)
}

func (c *bringUp) move(ctx context.Context, progress func(string)) (string, error) {
	facts := release.Of(c.Config.ClusterAPI.Version)
	ctl, err := c.clusterctl(ctx, facts, progress)
	if err != nil {
		return "", err
	}
	// The next run must know if the move is interrupted: each cluster then has a part
	// of the objects.
	if err := state.WriteFile(c.home().MovingFile(), nil, 0o600); err != nil {
		return "", fmt.Errorf("record that the move begins: %w", err)
	}
	if !facts.HonorsPause {
		// clusterctl removes the finalizer of a DockerMachine and then deletes the object. In
		// between, the provider would add the finalizer again, see the deletion, and remove
		// the machine's container.
		if err := c.stopInfrastructure(ctx, progress); err != nil {
			return "", err
		}
	}
	if err := ctl.Move(ctx, c.home().ManagementKubeconfig(), c.EnvironmentKubeconfig(), home.Namespace); err != nil {
		return "", err
	}
	if err := c.checkMoved(ctx); err != nil {
		return "", err
	}
	// Recording starts only now: a move deletes and creates objects, although nothing
	// happens to the machines.
	c.stopRecording = c.recorder.Record(context.WithoutCancel(ctx), c.workload)
	return "", nil
}

// checkMoved refuses a move that left something behind. Nothing but this is between the move
// and the deletion of the management cluster.
func (c *bringUp) checkMoved(ctx context.Context) error {
	ctx, cancel := lab.WithTimeout(ctx, readTimeout)
	defer cancel()
	return capi.CheckMoved(ctx, c.workload, home.Namespace, c.Config.ClusterName, 1+c.Config.Workers)
}

// stopInfrastructure ends the Docker provider of the management cluster.
func (c *bringUp) stopInfrastructure(ctx context.Context, progress func(string)) error {
	ctx, cancel := lab.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return capi.StopManagers(ctx, c.mgmt, c.repo.InfrastructureNamespace(), progress)
}

// verify waits until the workload cluster's own controllers have looked at all machines. The
// management cluster has no object since the move, so it is deleted meanwhile.
func (c *bringUp) verify(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := lab.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return "", capi.WaitSeen(ctx, c.workload, home.Namespace, 1+c.Config.Workers, progress)
}

func (c *bringUp) deleteManagement(ctx context.Context, progress func(string)) (string, error) {
	// From here on no later run may replace the environment, even if this run is
	// killed before the management cluster is gone.
	if err := c.home().MarkReady(ctx, c.workload); err != nil {
		return "", err
	}
	if err := c.tools.kind(c.management(progress)).Delete(ctx); err != nil {
		return "", err
	}
	return "", c.home().ForgetManagement()
}
