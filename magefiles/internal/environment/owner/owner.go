// Package owner finds the containers of an environment. It refuses those that another checkout
// of the lab or another tool made, and an environment that is on another engine.
package owner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/state"
)

// Labels of every container of a cluster, kind's and Cluster API's: the cluster's name, and the
// container's role in it.
const (
	ClusterLabel = "io.x-k8s.kind.cluster"
	RoleLabel    = "io.x-k8s.kind.role"
)

// IsLoadBalancer reports whether the container is the load balancer of a cluster.
func IsLoadBalancer(c engine.Container) bool { return c.Labels[RoleLabel] == "external-load-balancer" }

// IsControlPlane reports whether the container is a node of a cluster's control plane.
func IsControlPlane(c engine.Container) bool { return c.Labels[RoleLabel] == "control-plane" }

// Owner finds an environment's containers, and refuses those of others.
type Owner struct {
	// Environment and Management are the names of the workload and of the management cluster.
	Environment, Management string
	// State has the environment's marks: files that its nodes have mounted.
	State  state.Dir
	Engine *engine.Engine
	// EngineFile has the ID of the engine that runs the environment.
	EngineFile string
}

// Containers returns the environment's containers: those of the workload and those of the
// management cluster. One that the lab did not make is a *ForeignError.
func (o Owner) Containers(ctx context.Context) (workload, management []engine.Container, err error) {
	if workload, err = o.Engine.List(ctx, ClusterLabel+"="+o.Environment); err != nil {
		return nil, nil, err
	}
	if management, err = o.Engine.List(ctx, ClusterLabel+"="+o.Management); err != nil {
		return nil, nil, err
	}
	marks, err := o.State.Marks(o.Environment)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range slices.Concat(workload, management) {
		owned := state.IsMark(c.Mounts[capi.OwnerMount], marks)
		if !owned && IsLoadBalancer(c) {
			owned = len(marks) > 0 // Cluster API mounts nothing there
		}
		if !owned {
			foreign := &ForeignError{Container: c.Name, Environment: o.Environment, Cluster: c.Labels[ClusterLabel], Mark: c.Mounts[capi.OwnerMount]}
			_, err := os.Stat(foreign.Mark)
			foreign.Lost = errors.Is(err, fs.ErrNotExist)
			return nil, nil, foreign
		}
	}
	return workload, management, nil
}

// OnEngine records the engine on which the environment is. It returns an *OtherEngineError
// for an environment that is on another engine: that one still exists.
func (o Owner) OnEngine(ctx context.Context, info engine.Info) error {
	workload, management, err := o.Containers(ctx)
	if err != nil {
		return err
	}
	if len(workload)+len(management) > 0 {
		return o.RecordEngine(info)
	}
	var id string
	there, err := state.ReadJSON(o.EngineFile, &id)
	if err != nil {
		return fmt.Errorf("look for the environment's engine: %w", err)
	}
	if there && id != info.ID {
		return &OtherEngineError{Name: o.Environment, File: o.EngineFile}
	}
	return nil
}

// RecordEngine records that the environment is on the engine.
func (o Owner) RecordEngine(info engine.Info) error {
	if err := state.WriteJSON(o.EngineFile, info.ID); err != nil {
		return fmt.Errorf("record the environment's engine: %w", err)
	}
	return nil
}

// OtherEngineError is returned when the engine has no container of an environment
// that was made on another engine.
type OtherEngineError struct{ Name, File string }

func (e *OtherEngineError) Error() string {
	return fmt.Sprintf("environment %q was made on another Docker engine, and this one has no container of it; go back to that engine (docker context ls, DOCKER_HOST), choose another name with CLUSTER_NAME, or, if that engine no longer exists, type: rm %s", e.Name, e.File)
}

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
	down := config.CommandFor(e.Environment, "env:down")
	if checkout, _, found := strings.Cut(e.Mark, "/.caslab/owner/"); found && e.Lost {
		return fmt.Sprintf("the container %s of an environment named %q was made by the lab in %s, whose .caslab this command does not see; if that checkout is elsewhere, type there: %s; if it is gone: docker rm -f -v $(docker ps -aq --filter label=%s=%s); or choose another name with CLUSTER_NAME",
			e.Container, e.Environment, checkout, down, ClusterLabel, e.Cluster)
	} else if found {
		return fmt.Sprintf("the container %s of an environment named %q belongs to another checkout of the lab, %s; type there: %s; or choose another name with CLUSTER_NAME",
			e.Container, e.Environment, checkout, down)
	}
	return fmt.Sprintf("the container %s of a cluster named %q was not made by this lab, which leaves it alone; choose another name with CLUSTER_NAME, or delete that cluster with the tool that made it", e.Container, e.Cluster)
}
