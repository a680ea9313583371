package environment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/restart"
	"caslab/magefiles/internal/state"
)

// promptly is how long a healthy API server, which was not restarted, may take to answer.
const promptly = 3 * time.Second

// markReady records that the environment manages itself, and the addresses that its
// containers must keep: those of the load balancer and the control plane if the Cluster's
// endpoint is an address, and those of several control planes in any case.
func (e *Environment) markReady(ctx context.Context, client *kube.Client) error {
	cluster, err := client.Get(ctx, kube.Clusters, namespace, e.Config.ClusterName)
	if err != nil {
		return fmt.Errorf("look for the cluster's endpoint: %w", err)
	}
	workload, _, err := e.containers(ctx)
	if err != nil {
		return err
	}
	addresses := restart.Members(workload, owner.IsControlPlane)
	if _, err := netip.ParseAddr(kube.Field(cluster, "spec", "controlPlaneEndpoint", "host")); err == nil {
		addresses = restart.Fixed(workload, func(c engine.Container) bool { return owner.IsLoadBalancer(c) || owner.IsControlPlane(c) })
	}
	if err := state.WriteJSON(e.readyFile(), addresses); err != nil {
		return fmt.Errorf("record that the environment manages itself: %w", err)
	}
	return nil
}

// keepMembers adds the addresses of several control planes to the record, because the user
// may have added control planes since the environment became ready.
func (e *Environment) keepMembers(workload []engine.Container) error {
	recorded, now := map[string]netip.Addr{}, restart.Members(workload, owner.IsControlPlane)
	if there, err := state.ReadJSON(e.readyFile(), &recorded); err != nil || !there || len(now) == 0 {
		return err
	}
	maps.Copy(recorded, now)
	return state.WriteJSON(e.readyFile(), recorded)
}

// restarting returns the containers as a cluster that can be stopped and started. It
// ignores addresses of workers, which earlier labs recorded too: a worker may have any
// address.
func (e *Environment) restarting(containers []engine.Container) (restart.Cluster, error) {
	recorded := map[string]netip.Addr{}
	if _, err := state.ReadJSON(e.readyFile(), &recorded); err != nil {
		return restart.Cluster{}, fmt.Errorf("read the environment's addresses: %w", err)
	}
	c := restart.Cluster{Engine: e.engine, Name: e.Config.ClusterName, Addresses: map[string]netip.Addr{}}
	for _, k := range containers {
		if at := recorded[k.Name]; at.IsValid() && (owner.IsLoadBalancer(k) || owner.IsControlPlane(k)) {
			c.Addresses[k.Name] = at
		}
		if !owner.IsLoadBalancer(k) {
			c.Image = k.Image // the load balancer's has no program sleep
		}
	}
	return c, nil
}

// start starts the containers that are stopped, and restarts those that run at an address
// that another container must have. It does nothing if all run and the API server of the
// kubeconfig answers.
func (e *Environment) start(ctx context.Context, containers []engine.Container, kubeconfig string, progress func(string)) (started bool, err error) {
	stopped := slices.ContainsFunc(containers, func(c engine.Container) bool { return !c.Running })
	if !stopped && e.answers(ctx, kubeconfig) {
		return false, nil
	}
	c, err := e.restarting(containers)
	if err != nil {
		return false, err
	}
	err = e.State.Exclusively(ctx, workStart, progress, func() error {
		started, err = c.Start(ctx, containers, progress)
		return err
	})
	return started, err
}

// answers reports whether the API server of a kubeconfig answers promptly.
func (e *Environment) answers(ctx context.Context, kubeconfig string) bool {
	client, err := e.tools.open(kubeconfig)
	if err != nil {
		return false
	}
	ctx, cancel := lab.WithTimeout(ctx, promptly)
	defer cancel()
	return client.Answers(ctx) == nil
}

// Stop stops the environment's containers. Nothing is lost: Start starts them again.
func (e *Environment) Stop(ctx context.Context) error {
	return e.withContainers(ctx, "env:stop", func(workload, management []engine.Container) error {
		all := slices.Concat(management, workload)
		c, err := e.restarting(all)
		if err := errors.Join(err, e.keepMembers(workload)); err != nil {
			return err
		}
		var workers, controlPlane, loadBalancers []engine.Container
		for _, k := range all {
			switch {
			case owner.IsLoadBalancer(k):
				loadBalancers = append(loadBalancers, k)
			case owner.IsControlPlane(k):
				controlPlane = append(controlPlane, k)
			default:
				workers = append(workers, k)
			}
		}
		step := e.Log.Start(fmt.Sprintf("stop %d containers", len(all)), 15*time.Second)
		err = c.Stop(ctx, workers, controlPlane, loadBalancers)
		step.Done("", err)
		if err != nil {
			return err
		}
		e.recorders(e.Lab).AddChange("stopped")
		e.Log.Printf("environment %q is stopped, and everything in it is kept; to start it again, type: %s", e.Config.ClusterName, e.commandFor("env:start"))
		guests, err := e.State.Guests(e.Config.ClusterName)
		if len(guests) > 0 {
			e.Log.Printf("until then, these commands wait: %s", strings.Join(guests, ", "))
		}
		return err
	})
}

// Start starts an environment that was stopped, however that happened, and makes it
// ready. It is Up for an environment that exists.
func (e *Environment) Start(ctx context.Context) error {
	return e.withContainers(ctx, "env:start", func(_, _ []engine.Container) error { return e.up(ctx, Ready) })
}

// withContainers calls do with the containers of the environment, which must exist, while
// it holds the environment's lock.
func (e *Environment) withContainers(ctx context.Context, command string, do func(workload, management []engine.Container) error) error {
	if err := e.checkOwn(command); err != nil {
		return err
	}
	return e.locked(command, func() error {
		workload, management, err := e.containers(ctx)
		if err != nil {
			return err
		}
		if len(workload)+len(management) == 0 {
			return e.whyMissing(ctx)
		}
		return do(workload, management)
	})
}
