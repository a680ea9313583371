// Package environment brings up, inspects and removes the lab's own environment: a
// self-managed cluster on this machine's Docker engine.
package environment

import (
	"context"
	"errors"
	"fmt"

	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/bringup"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/machine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
)

// Environment is one environment of the lab.
type Environment struct {
	*lab.Lab
	// Temporary is set if the caller removes the environment after a failure too, so
	// that Up does not say that it stays.
	Temporary bool
	// PrepareHollow makes the workload cluster ready for hollow machines. Up calls it before the
	// move, if the management cluster has the kinds of hollow machines.
	PrepareHollow func(ctx context.Context, cluster *kube.Client) error

	engine *engine.Engine
	bounds timeouts
	tools  bringup.Tools
	host   machine.Host
	// checkSource asks whether a tree can be fetched.
	checkSource func(context.Context, source.Spec) error
	// checkToolchain and checkNodeImage are the methods of machine.Machine. Tests replace
	// them, because they ask the module proxy and a registry.
	checkToolchain func(m machine.Machine, ctx context.Context, progress func(string)) error
	checkNodeImage func(m machine.Machine, ctx context.Context, o node.Options) error
	// recorders returns the recorder of the environment that a lab's settings
	// name.
	recorders func(*lab.Lab) Recorder
}

// Recorder records what happens to the environment.
type Recorder interface {
	// Begin starts a new record, before the environment is created.
	Begin() error
	// AddFact records what env:up does. what is "step", "passed" or "failed", and
	// text the name of the step, or the error.
	AddFact(what, text string)
	// AddChange records that the environment was "stopped" or "started".
	AddChange(what string)
	// Record records what happens in the self-managed cluster until stop is
	// called.
	Record(ctx context.Context, cluster *kube.Client) (stop func())
}

// New returns the environment that the lab's settings name. Each environment has
// a recorder of its own.
func New(l *lab.Lab, recorders func(*lab.Lab) Recorder) *Environment {
	return &Environment{Lab: l, engine: engine.New(l.Runner), bounds: defaultTimeouts(), tools: tools(l), host: machine.RealHost(),
		checkSource:    func(ctx context.Context, s source.Spec) error { return component.Check(ctx, l, s) },
		checkToolchain: machine.Machine.CheckToolchain, checkNodeImage: machine.Machine.CheckNodeImage, recorders: recorders}
}

// checkOwn refuses command if the settings name a cluster that the lab did not create:
// the command would work on another cluster than the user means.
func (e *Environment) checkOwn(command string) error {
	if e.Config.WorkloadKubeconfig == "" {
		return nil
	}
	return fmt.Errorf("%s works on the lab's own environment, and WORKLOAD_KUBECONFIG=%s names another cluster; unset WORKLOAD_KUBECONFIG (in caslab.yaml: workloadKubeconfig), or type: env -u WORKLOAD_KUBECONFIG -u MANAGEMENT_KUBECONFIG -u CLUSTER_NAMESPACE go tool mage %[1]s", command, e.Config.WorkloadKubeconfig)
}

// locked calls do while it holds the environment's lock, and keeps a full log.
func (e *Environment) locked(command string, do func() error) (err error) {
	lock, err := e.State.Lock(e.Config.ClusterName, command)
	if held := new(state.HeldError); errors.As(err, &held) {
		return fmt.Errorf("environment %q is in use by %s; wait for it to end, or stop it and type the command again", e.Config.ClusterName, held.Holder)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if err := e.FullLog.Open(e.home().LogFile()); err != nil {
		return err
	}
	defer func() {
		failed := err != nil
		if failed {
			fmt.Fprintln(e.FullLog, "Error:", redact.Err(err))
		}
		err = errors.Join(err, e.FullLog.Close(failed))
	}()
	return do()
}

// workStart is the lock of starting stopped containers, which environments share: the
// placeholders of one environment would take the addresses of another one. An environment's
// name has no dot, so its own lock differs.
const workStart = "start.containers"
