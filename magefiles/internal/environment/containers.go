package environment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
)

// clusterLabel is on every container of a cluster, kind's and Cluster API's.
const clusterLabel = "io.x-k8s.kind.cluster"

// roleLabel is on every container of a cluster, kind's and Cluster API's.
const roleLabel = "io.x-k8s.kind.role"

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
	return capi.Management{Name: e.Config.ManagementName(), Kubeconfig: e.managementKubeconfig(), Progress: progress}
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

// containers returns the environment's containers: those of the workload and
// those of the management cluster. One that the lab did not make is an error.
func (e *Environment) containers(ctx context.Context) (workload, management []engine.Container, err error) {
	if workload, err = e.engine.List(ctx, clusterLabel+"="+e.Config.ClusterName); err != nil {
		return nil, nil, err
	}
	if management, err = e.engine.List(ctx, clusterLabel+"="+e.Config.ManagementName()); err != nil {
		return nil, nil, err
	}
	marks, err := e.State.Marks(e.Config.ClusterName)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range slices.Concat(workload, management) {
		owned := state.IsMark(c.Mounts[capi.OwnerMount], marks)
		if !owned && isLoadBalancer(c) {
			owned = len(marks) > 0 // Cluster API mounts nothing there
		}
		if !owned {
			foreign := &ForeignError{Container: c.Name, Environment: e.Config.ClusterName, Cluster: c.Labels[clusterLabel], Mark: c.Mounts[capi.OwnerMount]}
			_, err := os.Stat(foreign.Mark)
			foreign.Lost = errors.Is(err, fs.ErrNotExist)
			return nil, nil, foreign
		}
	}
	return workload, management, nil
}

// OtherEngineError is returned when the engine has no container of an environment
// that was made on another engine.
type OtherEngineError struct{ Name, File string }

func (e *OtherEngineError) Error() string {
	return fmt.Sprintf("environment %q was made on another Docker engine, and this one has no container of it; go back to that engine (docker context ls, DOCKER_HOST), choose another name with CLUSTER_NAME, or, if that engine no longer exists, type: rm %s", e.Name, e.File)
}

// onEngine records the engine on which the environment is. It returns an
// *OtherEngineError for an environment that is on another engine: that one still
// exists.
func (e *Environment) onEngine(ctx context.Context, info engine.Info) error {
	workload, management, err := e.containers(ctx)
	if err != nil {
		return err
	}
	if len(workload)+len(management) > 0 {
		return e.recordEngine(info)
	}
	var id string
	there, err := state.ReadJSON(e.engineFile(), &id)
	if err != nil {
		return fmt.Errorf("look for the environment's engine: %w", err)
	}
	if !there {
		return nil
	}
	if id != info.ID {
		return &OtherEngineError{Name: e.Config.ClusterName, File: e.engineFile()}
	}
	return nil
}

func (e *Environment) recordEngine(info engine.Info) error {
	if err := state.WriteJSON(e.engineFile(), info.ID); err != nil {
		return fmt.Errorf("record the environment's engine: %w", err)
	}
	return nil
}

func isLoadBalancer(c engine.Container) bool { return c.Labels[roleLabel] == "external-load-balancer" }

func isControlPlane(c engine.Container) bool { return c.Labels[roleLabel] == "control-plane" }

// ForeignError is returned for a container that has the environment's name and
// that this checkout of the lab did not create.
type ForeignError struct {
	Container, Environment string
	// Cluster is the container's cluster: the workload or the management cluster.
	Cluster string
	// Mark is the owner file of the checkout that created it; empty if no checkout
	// did.
	Mark string
	// Lost is true if that file does not exist here: it is gone, so that no
	// checkout can remove the environment, or it is on another machine.
	Lost bool
}

func (e *ForeignError) Error() string {
	if checkout, _, found := strings.Cut(e.Mark, "/.caslab/owner/"); found && e.Lost {
		return fmt.Sprintf("the container %s of an environment named %q was made by the lab in %s, whose .caslab this command does not see; if that checkout is elsewhere, type there: %s; if it is gone: docker rm -f -v $(docker ps -aq --filter label=%s=%s); or choose another name with CLUSTER_NAME",
			e.Container, e.Environment, checkout, downCommand(e.Environment), clusterLabel, e.Cluster)
	} else if found {
		return fmt.Sprintf("the container %s of an environment named %q belongs to another checkout of the lab, %s; type there: %s; or choose another name with CLUSTER_NAME",
			e.Container, e.Environment, checkout, downCommand(e.Environment))
	}
	return fmt.Sprintf("the container %s of a cluster named %q was not made by this lab, which leaves it alone; choose another name with CLUSTER_NAME, or delete that cluster with the tool that made it", e.Container, e.Cluster)
}

func ids(containers []engine.Container) []string {
	all := make([]string, len(containers))
	for i, c := range containers {
		all[i] = c.ID
	}
	return all
}
