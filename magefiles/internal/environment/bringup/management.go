package bringup

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/environment/settings"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"
)

// lookEvery is how often a step looks whether the management cluster is there.
const lookEvery = 2 * time.Second

// kindNetwork is the engine's network on which kind creates nodes.
const kindNetwork = "kind"

func (b *BringUp) createManagement(ctx context.Context, progress func(string)) (_ string, err error) {
	if b.mark, err = b.Home.State.Mark(b.Config.ClusterName); err != nil {
		return "", err
	}
	if err := b.Home.RecordEngine(b.Info); err != nil {
		return "", err
	}
	workload, existing, err := b.Home.Containers(ctx)
	if err != nil {
		return "", err
	}
	if err := state.Remove(b.Home.ManagementKubeconfigLock()); err != nil {
		return "", err
	}
	replace := ""
	switch {
	case len(existing) == 0:
	case b.Anew:
		// What a killed run started may create the container after this run has looked at
		// what is there.
		replace = "a killed run left it unfinished"
	case !b.sameImages(append(workload, existing...)):
		replace = "its images have changed"
	}
	if replace != "" {
		progress(replace + ": replacing it and the cluster that it created")
		if err := b.Home.RemoveClusters(ctx); err != nil {
			return "", err
		}
		if err := settings.Record(b.Home.SettingsFile(), b.Config.Values()); err != nil {
			return "", err
		}
	}
	kind := b.Tools.Kind(b.newManagement(progress))
	if len(existing) == 0 || replace != "" {
		err = kind.Create(ctx)
	} else {
		err = kind.ExportKubeconfig()
	}
	if err != nil {
		return "", err
	}
	if network := release.Of(b.Config.ClusterAPI.Version).Network; network != kindNetwork {
		// The engine forwards nothing between two networks, but the managers
		// must reach the workload cluster.
		if err := b.Home.Engine.Connect(ctx, network, b.Config.ManagementName()+"-control-plane"); err != nil {
			return "", err
		}
	}
	b.mgmt, err = b.Tools.Open(b.Home.ManagementKubeconfig())
	return "", err
}

// errManagementGone ends a step that needs the management cluster.
var errManagementGone = errors.New("the container of the management cluster was removed, or ended; env:up creates both clusters again")

// whileManaged returns run with a context that ends soon after the container of the
// management cluster does. Otherwise the step would wait for the API server until its limit.
func (b *BringUp) whileManaged(run stepFunc) stepFunc {
	return func(ctx context.Context, progress func(string)) (string, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		var watch sync.WaitGroup
		defer watch.Wait()
		defer cancel(nil)
		watch.Go(func() {
			tick := time.NewTicker(lookEvery)
			defer tick.Stop()
			// The engine may start a container again that ended.
			for missed := 0; missed < 3; {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				switch management, err := b.Home.Engine.List(ctx, owner.ClusterLabel+"="+b.Config.ManagementName()); {
				case err != nil: // the engine did not answer, which tells nothing
				case slices.ContainsFunc(management, func(n engine.Container) bool { return n.Running }):
					missed = 0
				default:
					missed++
				}
			}
			cancel(errManagementGone)
		})
		return run(ctx, progress)
	}
}

// newManagement returns the management cluster to create.
func (b *BringUp) newManagement(progress func(string)) capi.Management {
	m := b.management(progress)
	m.NodeImage, m.CgroupV1, m.OwnerFile = b.image, b.allowCgroupV1(), b.mark
	return m
}

// sameImages reports whether the nodes that an interrupted run left have this run's
// image.
func (b *BringUp) sameImages(nodes []engine.Container) bool {
	return !slices.ContainsFunc(nodes, func(n engine.Container) bool { return !owner.IsLoadBalancer(n) && n.Image != b.image })
}

// install has clusterctl install the providers and waits until they answer.
func (b *BringUp) install(ctx context.Context, client *kube.Client, kubeconfig string, progress func(string)) error {
	ctx, cancel := interrupt.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if !b.Config.CertManager {
		if err := capi.StandIn(ctx, client, release.Of(b.Config.ClusterAPI.Version), progress); err != nil {
			return err
		}
	}
	ctl, err := b.clusterctl(ctx, progress)
	if err != nil {
		return err
	}
	if err := capi.WaitTestGone(ctx, client, progress); err != nil {
		return err
	}
	if err := ctl.Init(ctx, kubeconfig, b.repo.Version); err != nil {
		return err
	}
	return capi.WaitProviders(ctx, client, b.repo.Namespaces(), progress)
}

func (b *BringUp) initManagement(ctx context.Context, progress func(string)) (string, error) {
	return "", b.install(ctx, b.mgmt, b.Home.ManagementKubeconfig(), progress)
}
