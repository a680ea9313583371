package environment

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
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/state"
)

// kindNetwork is the engine's network on which kind creates nodes.
const kindNetwork = "kind"

func (c *bringUp) createManagement(ctx context.Context, progress func(string)) (_ string, err error) {
	if c.mark, err = c.State.Mark(c.Config.ClusterName); err != nil {
		return "", err
	}
	if err := c.home().RecordEngine(c.info); err != nil {
		return "", err
	}
	workload, existing, err := c.containers(ctx)
	if err != nil {
		return "", err
	}
	if err := state.Remove(c.home().ManagementKubeconfigLock()); err != nil {
		return "", err
	}
	replace := ""
	switch {
	case len(existing) == 0:
	case c.anew:
		// What a killed run started may create the container after this run has looked at
		// what is there.
		replace = "a killed run left it unfinished"
	case !c.sameImages(append(workload, existing...)):
		replace = "its images have changed"
	}
	if replace != "" {
		progress(replace + ": replacing it and the cluster that it created")
		if err := c.home().RemoveClusters(ctx); err != nil {
			return "", err
		}
		if err := settings.Record(c.home().SettingsFile(), c.Config.Values()); err != nil {
			return "", err
		}
	}
	kind := c.tools.kind(c.newManagement(progress))
	if len(existing) == 0 || replace != "" {
		err = kind.Create(ctx)
	} else {
		err = kind.ExportKubeconfig()
	}
	if err != nil {
		return "", err
	}
	if network := release.Of(c.Config.ClusterAPI.Version).Network; network != kindNetwork {
		// The engine forwards nothing between two networks, but the managers
		// must reach the workload cluster.
		if err := c.engine.Connect(ctx, network, c.Config.ManagementName()+"-control-plane"); err != nil {
			return "", err
		}
	}
	c.mgmt, err = c.tools.open(c.home().ManagementKubeconfig())
	return "", err
}

// errManagementGone ends a step that needs the management cluster.
var errManagementGone = errors.New("the container of the management cluster was removed, or ended; env:up creates both clusters again")

// whileManaged returns run with a context that ends soon after the container of the
// management cluster does. Otherwise the step would wait for the API server until its limit.
func (c *bringUp) whileManaged(run stepFunc) stepFunc {
	return func(ctx context.Context, progress func(string)) (string, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		var watch sync.WaitGroup
		defer watch.Wait()
		defer cancel(nil)
		watch.Go(func() {
			tick := time.NewTicker(visitEvery)
			defer tick.Stop()
			// The engine may start a container again that ended.
			for missed := 0; missed < 3; {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				switch management, err := c.engine.List(ctx, owner.ClusterLabel+"="+c.Config.ManagementName()); {
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
func (c *bringUp) newManagement(progress func(string)) capi.Management {
	m := c.management(progress)
	m.NodeImage, m.CgroupV1, m.OwnerFile = c.image, c.allowCgroupV1(), c.mark
	return m
}

// sameImages reports whether the nodes that an interrupted run left have this run's
// image.
func (c *bringUp) sameImages(nodes []engine.Container) bool {
	return !slices.ContainsFunc(nodes, func(n engine.Container) bool { return !owner.IsLoadBalancer(n) && n.Image != c.image })
}

// install has clusterctl install the providers and waits until they answer.
func (c *bringUp) install(ctx context.Context, client *kube.Client, kubeconfig string, progress func(string)) error {
	ctx, cancel := lab.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if !c.Config.CertManager {
		if err := capi.StandIn(ctx, client, release.Of(c.Config.ClusterAPI.Version), progress); err != nil {
			return err
		}
	}
	ctl, err := c.clusterctl(ctx, release.Of(c.Config.ClusterAPI.Version), progress)
	if err != nil {
		return err
	}
	if err := capi.WaitTestGone(ctx, client, progress); err != nil {
		return err
	}
	if err := ctl.Init(ctx, kubeconfig, c.repo.Version); err != nil {
		return err
	}
	return capi.WaitProviders(ctx, client, c.repo.Namespaces(), progress)
}

func (c *bringUp) initManagement(ctx context.Context, progress func(string)) (string, error) {
	return "", c.install(ctx, c.mgmt, c.home().ManagementKubeconfig(), progress)
}
