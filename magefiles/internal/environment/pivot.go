package environment

import (
	"context"
	"fmt"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/state"
)

func (c *bringUp) initWorkload(ctx context.Context, progress func(string)) (string, error) {
	return "", c.install(ctx, c.workload, c.EnvironmentKubeconfig(), progress)
}

func (c *bringUp) move(ctx context.Context, progress func(string)) (string, error) {
	ctl, err := c.clusterctl(ctx, release.Of(c.Config.ClusterAPI.Version), progress)
	if err != nil {
		return "", err
	}
	// The next run must know if the move is interrupted: each cluster then has a part
	// of the objects.
	if err := state.WriteFile(c.movingFile(), nil, 0o600); err != nil {
		return "", fmt.Errorf("record that the move begins: %w", err)
	}
	if err := ctl.Move(ctx, c.managementKubeconfig(), c.EnvironmentKubeconfig(), namespace); err != nil {
		return "", err
	}
	// Recording starts only now: a move deletes and creates objects, although nothing
	// happens to the machines.
	c.stopRecording = c.recorder.Record(context.WithoutCancel(ctx), c.workload)
	return "", nil
}

func (c *bringUp) verify(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := lab.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return "", capi.WaitRunning(ctx, c.workload, namespace, 1+c.Config.Workers, progress)
}

func (c *bringUp) deleteManagement(ctx context.Context, progress func(string)) (string, error) {
	// From here on no later run may replace the environment, even if this run is
	// killed before the management cluster is gone.
	if err := c.markReady(ctx, c.workload); err != nil {
		return "", err
	}
	if err := c.tools.kind(c.management(progress)).Delete(ctx); err != nil {
		return "", err
	}
	return "", c.forgetManagement()
}
