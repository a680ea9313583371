package environment

import (
	"context"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/environment/outage"
	"caslab/magefiles/internal/node"
)

func (e *Environment) nodeOptions(arch string, progress func(string)) node.Options {
	return node.Options{
		Origin: e.Config.NodeImage, Kubernetes: config.Tag(e.Config.Kubernetes), Arch: arch,
		LoadBalancer: release.Of(e.Config.ClusterAPI.Version).LoadBalancer,
		Root:         e.Config.Root, StateDir: e.Config.StateDir(), Mirror: e.Config.RegistryMirror,
		Engine: e.engine, Runner: e.Runner, Progress: progress,
	}
}

// home returns what the environment has on this machine.
func (e *Environment) home() home.Home {
	return home.New(e.Config.ClusterName, e.Config.ManagementName(), e.State, e.engine)
}

// Machines returns the machines of the environment.
func (e *Environment) Machines() outage.Machines { return outage.Machines{Owner: e.home().Owner} }

// containers returns the environment's containers: those of the workload and those of the
// management cluster. One that the lab did not make is an error.
func (e *Environment) containers(ctx context.Context) (workload, management []engine.Container, err error) {
	return e.home().Containers(ctx)
}
