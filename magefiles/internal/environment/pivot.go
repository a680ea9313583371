package environment

import (
	"context"
	"fmt"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/state"
)

func (c *bringUp) initWorkload(ctx context.Context, progress func(string)) (string, error) {
	return "", c.install(ctx, c.workload, c.EnvironmentKubeconfig(), progress)
}

func (c *bringUp) move(ctx context.Context, progress func(string)) (string, error) {
	ctl, err := c.tools.clusterctl(ctx, c.repo.ConfigPath, progress)
	if err != nil {
		return "", err
	}
	// The next run must know that a move was cut off: each cluster then has a part of
	// the objects.
	if err := state.WriteFile(c.movingFile(), nil, 0o600); err != nil {
		return "", fmt.Errorf("record that the move begins: %w", err)
	}
	if err := ctl.Move(ctx, c.managementKubeconfig(), c.EnvironmentKubeconfig(), namespace); err != nil {
		return "", err
	}
	// Not before: a move deletes the objects in the one cluster and makes them in
	// the other, and nothing of that happened to a machine.
	c.stopRecording = c.recorder.Record(context.WithoutCancel(ctx), c.workload)
	return "", nil
}

func (c *bringUp) verify(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := lab.Within(ctx, 3*time.Minute)
	defer cancel()
	return "", capi.WaitRunning(ctx, c.workload, namespace, 1+c.Config.Workers, progress)
}

func (c *bringUp) deleteManagement(ctx context.Context, progress func(string)) (string, error) {
	// From here on no later run may replace the environment, also if this one is
	// killed before the management cluster is gone.
	if err := c.markReady(ctx); err != nil {
		return "", err
	}
	if err := c.tools.kind(c.management(progress)).Delete(ctx); err != nil {
		return "", err
	}
	return "", c.forgetManagement()
}
