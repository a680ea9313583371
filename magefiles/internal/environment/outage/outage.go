// Package outage makes nodes of an environment fail, as scenarios ask for it: it stops kubelets and
// kills containers.
package outage

import (
	"context"
	"fmt"

	"caslab/magefiles/internal/environment/owner"
)

// Machines are the machines of the environment's workload cluster, by the names of their nodes.
type Machines struct{ owner.Owner }

// StopKubelet stops the kubelet of a node. The node's pods keep running.
func (m Machines) StopKubelet(ctx context.Context, node string) error {
	return m.run(ctx, node, "systemctl", "stop", "kubelet")
}

// StartKubelet starts the kubelet of a node.
func (m Machines) StartKubelet(ctx context.Context, node string) error {
	return m.run(ctx, node, "systemctl", "start", "kubelet")
}

// run runs a command in the container of a node.
func (m Machines) run(ctx context.Context, node string, argv ...string) error {
	id, err := m.container(ctx, node)
	if err != nil {
		return err
	}
	_, err = m.Engine.Exec(ctx, id, nil, argv...)
	return err
}

// KillNode kills the container of a node. The engine does not start it again.
func (m Machines) KillNode(ctx context.Context, node string) error {
	id, err := m.container(ctx, node)
	if err != nil {
		return err
	}
	return m.Engine.Kill(ctx, id)
}

// container returns the ID of the container of a node. The Docker provider gives both the same
// name.
func (m Machines) container(ctx context.Context, node string) (id string, err error) {
	workload, _, err := m.Containers(ctx)
	if err != nil {
		return "", err
	}
	for _, c := range workload {
		if c.Name == node {
			return c.ID, nil
		}
	}
	return "", fmt.Errorf("the environment %s has no container %s", m.Environment, node)
}
