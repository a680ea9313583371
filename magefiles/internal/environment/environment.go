// Package environment brings up, inspects and removes the lab's own environment: a
// self-managed cluster on this machine's Docker engine.
package environment

import (
	"context"
	"errors"
	"fmt"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/machine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/state"
)

const (
	namespace = "default"
	// podCIDR has a /24 for each of 1,024 nodes.
	podCIDR     = "10.244.0.0/14"
	serviceCIDR = "10.96.0.0/16"
)

// Environment is one environment of the lab.
type Environment struct {
	*lab.Lab
	// Temporary is set if the caller removes the environment after a failure too, so
	// that Up does not say that it stays.
	Temporary bool

	engine *engine.Engine
	bounds timeouts
	tools  tools
	host   machine.Host
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
	return &Environment{Lab: l, engine: engine.New(l.Runner), bounds: defaultTimeouts(), tools: realTools(l), host: machine.RealHost(),
		checkToolchain: machine.Machine.CheckToolchain, checkNodeImage: machine.Machine.CheckNodeImage, recorders: recorders}
}

func (e *Environment) managementKubeconfig() string {
	return e.State.Kubeconfig(e.Config.ManagementName())
}

// managementKubeconfigLock is the lock file that kind creates while it writes
// the kubeconfig. It stays if kind is killed then. A process that holds the
// environment's lock may remove it.
func (e *Environment) managementKubeconfigLock() string { return e.managementKubeconfig() + ".lock" }

func (e *Environment) repositoryDir() string {
	return e.State.Path("repository", e.Config.ClusterName)
}

// ownerFile returns the path of the environment's state file with that suffix.
func (e *Environment) ownerFile(suffix string) string {
	return e.State.Path("owner", e.Config.ClusterName+suffix)
}

// movingFile exists from the start of a move until the move is known to be complete.
func (e *Environment) movingFile() string { return e.ownerFile(".moving") }

// readyFile exists from the moment the environment manages itself until it is
// removed.
func (e *Environment) readyFile() string { return e.ownerFile(".ready") }

// settingsFile has the settings with which the environment was created.
func (e *Environment) settingsFile() string { return e.ownerFile(".settings.json") }

// engineFile has the ID of the engine that runs the environment.
func (e *Environment) engineFile() string { return e.ownerFile(".engine") }

func (e *Environment) logFile() string {
	return e.State.Path("logs", e.Config.ClusterName+".log")
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
	if err := e.FullLog.Open(e.logFile()); err != nil {
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

// Names of locks that environments share. An environment's name has no dot, so its
// own lock differs.
const (
	workCompile = "build.managers"
	workNode    = "build.node"
	// Starting stopped containers: the placeholders of one environment would take
	// the addresses of another one.
	workStart = "start.containers"
)
