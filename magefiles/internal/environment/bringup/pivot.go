package bringup

import (
	"context"
	"fmt"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/state"
)

func (b *BringUp) initWorkload(ctx context.Context, progress func(string)) (string, error) {
	return "", b.install(ctx, b.workload, b.Home.Kubeconfig(), progress)
}

func (b *BringUp) move(ctx context.Context, progress func(string)) (string, error) {
	facts := release.Of(b.Config.ClusterAPI.Version)
	ctl, err := b.clusterctl(ctx, progress)
	if err != nil {
		return "", err
	}
	if err := b.prepareHollow(ctx); err != nil {
		return "", err
	}
	// The next run must know if the move is interrupted: each cluster then has a part
	// of the objects.
	if err := state.WriteFile(b.Home.MovingFile(), nil, 0o600); err != nil {
		return "", fmt.Errorf("record that the move begins: %w", err)
	}
	if !facts.HonorsPause {
		// clusterctl removes the finalizer of a DockerMachine and then deletes the object. In
		// between, the provider would add the finalizer again, see the deletion, and remove
		// the machine's container.
		if err := b.stopInfrastructure(ctx, progress); err != nil {
			return "", err
		}
	}
	if err := ctl.Move(ctx, b.Home.ManagementKubeconfig(), b.Home.Kubeconfig(), home.Namespace); err != nil {
		return "", err
	}
	if err := b.checkMoved(ctx); err != nil {
		return "", err
	}
	// Recording starts only now: a move deletes and creates objects, although nothing
	// happens to the machines.
	b.stopRecording = b.Record(context.WithoutCancel(ctx), b.workload)
	return "", nil
}

// prepareHollow makes the workload cluster ready for hollow machines if the management cluster
// has their kinds: clusterctl moves objects only to a cluster that has the same kinds.
func (b *BringUp) prepareHollow(ctx context.Context) error {
	served, err := b.mgmt.Serves(ctx, hollow.Templates, "v1beta2")
	if err != nil {
		return fmt.Errorf("look for hollow machines: %w", err)
	}
	if !served {
		return nil
	}
	return b.PrepareHollow(ctx, b.workload)
}

// checkWithin is how long checkMoved may take.
const checkWithin = 15 * time.Second

// checkMoved refuses a move that left something behind. It is the only check between the move and
// the deletion of the management cluster.
func (b *BringUp) checkMoved(ctx context.Context) error {
	ctx, cancel := interrupt.WithTimeout(ctx, checkWithin)
	defer cancel()
	return capi.CheckMoved(ctx, b.workload, home.Namespace, b.Config.ClusterName, 1+b.Config.Workers)
}

// stopInfrastructure ends the Docker provider of the management cluster.
func (b *BringUp) stopInfrastructure(ctx context.Context, progress func(string)) error {
	ctx, cancel := interrupt.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return capi.StopManagers(ctx, b.mgmt, b.repo.InfrastructureNamespace(), progress)
}

// verify waits until the workload cluster's own controllers have looked at all machines. The
// management cluster has no object since the move, so it is deleted meanwhile.
func (b *BringUp) verify(ctx context.Context, progress func(string)) (string, error) {
	ctx, cancel := interrupt.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return "", capi.WaitSeen(ctx, b.workload, home.Namespace, 1+b.Config.Workers, progress)
}

func (b *BringUp) deleteManagement(ctx context.Context, progress func(string)) (string, error) {
	// From here on no later run may replace the environment, even if this run is
	// killed before the management cluster is gone.
	if err := b.Home.MarkReady(ctx, b.workload); err != nil {
		return "", err
	}
	if err := b.Tools.Kind(b.management(progress)).Delete(ctx); err != nil {
		return "", err
	}
	return "", b.Home.ForgetManagement()
}
