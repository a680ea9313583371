package environment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/interrupt"
)

// promptly is how long a healthy API server, which was not restarted, may take to answer.
const promptly = 3 * time.Second

// start starts the containers that are stopped, and restarts those that run at an address
// that another container must have. It does nothing if all run and the API server of the
// kubeconfig answers.
func (e *Environment) start(ctx context.Context, containers []engine.Container, kubeconfig string, progress func(string)) (started bool, err error) {
	stopped := slices.ContainsFunc(containers, func(c engine.Container) bool { return !c.Running })
	if !stopped && e.answers(ctx, kubeconfig) {
		return false, nil
	}
	c, err := e.home().Restarting(containers)
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
	client, err := e.tools.Open(kubeconfig)
	if err != nil {
		return false
	}
	ctx, cancel := interrupt.WithTimeout(ctx, promptly)
	defer cancel()
	return client.Answers(ctx) == nil
}

// Stop stops the environment's containers. Nothing is lost: Start starts them again.
func (e *Environment) Stop(ctx context.Context) error {
	return e.withContainers(ctx, "env:stop", func(workload, management []engine.Container) error {
		all := slices.Concat(management, workload)
		c, err := e.home().Restarting(all)
		if err := errors.Join(err, e.home().KeepMembers(workload)); err != nil {
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
