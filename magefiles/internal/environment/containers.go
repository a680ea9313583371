package environment

import (
	"context"
	"path/filepath"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
)

func (e *Environment) nodeOptions(arch string, progress func(string)) node.Options {
	return node.Options{
		Origin: e.Config.NodeImage, Kubernetes: config.Tag(e.Config.Kubernetes), Arch: arch,
		LoadBalancer: release.Of(e.Config.ClusterAPI.Version).LoadBalancer,
		Root:         e.Config.Root, StateDir: e.Config.StateDir(), Mirror: e.Config.RegistryMirror,
		Engine: e.engine, Runner: e.Runner, Progress: progress,
	}
}

// allowCgroupV1 reports whether the kubelets need a setting to run, because the
// engine has cgroup v1.
func (c *bringUp) allowCgroupV1() bool {
	return c.info.CgroupVersion == "1" && release.OfKubernetes(c.Config.Kubernetes).RefusesCgroupV1
}

func (e *Environment) management(progress func(string)) capi.Management {
	return capi.Management{Name: e.Config.ManagementName(), Kubeconfig: e.home().ManagementKubeconfig(), Progress: progress}
}

// programs returns the programs that are built from a tree of Cluster API.
func (e *Environment) programs(tree *source.Tree, arch string) build.ClusterAPI {
	out := filepath.Join("bin", "cluster-api", e.Config.ClusterAPI.Tag()+"-"+tree.Origin+"-"+state.ShortSum(tree.Dir))
	return build.ClusterAPI{
		Dir: tree.Dir, Version: e.Config.ClusterAPI.Version, Tag: e.Config.ClusterAPI.Tag(),
		Commit: tree.Commit, Dirty: tree.Dirty, ID: tree.ID, Arch: arch, OutDir: e.State.Path(out),
		Components: filepath.Join(e.Config.Root, "magefiles", "components"),
	}
}

// home is what the environment has on this machine.
func (e *Environment) home() home.Home {
	return home.New(e.Config.ClusterName, e.Config.ManagementName(), e.State, e.engine)
}

// Machines returns the machines of the environment.
func (e *Environment) Machines() owner.Machines { return owner.Machines{Owner: e.home().Owner} }

// containers returns the environment's containers: those of the workload and those of the
// management cluster. One that the lab did not make is an error.
func (e *Environment) containers(ctx context.Context) (workload, management []engine.Container, err error) {
	return e.home().Containers(ctx)
}
