package groups

import (
	"context"
	"fmt"
	"strings"
	"time"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/removal"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

const (
	// patience is how long a deletion may take before the user is told what it waits for. It is
	// also the time between two looks.
	patience = 10 * time.Second
	// mostMachines is the largest number of machines that are named.
	mostMachines = 3
)

// tellWaits prints what the deletions of a group's machines wait for, whenever that changes,
// until ctx is done.
func (g *Groups) tellWaits(ctx context.Context, c *target.Cluster, group string) {
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(patience):
		}
		text, err := g.waits(ctx, c, group)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			text = fmt.Sprintf("! it is not known what the deletion of %s waits for: %v", group, err)
		}
		if text != "" && text != last {
			g.Log.Printf("%s", text)
		}
		last = text
	}
}

// waits returns what the deletions of a group's machines wait for, as their conditions and the
// PodDisruptionBudgets say. It is empty if no machine is being deleted.
func (g *Groups) waits(ctx context.Context, c *target.Cluster, group string) (string, error) {
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	machines, err := c.Management.List(ctx, kube.Machines, c.Namespace)
	if err != nil {
		return "", lab.Waited(ctx, "list the machines", err)
	}
	w := draining(ctx, c)
	var lines []string
	going := 0
	for i := range machines {
		o := &machines[i]
		m := &world.Machine{Machine: shape.OfMachine(o), Name: o.GetName(), Node: kube.Field(o, "status", "nodeRef", "name")}
		if o.GetLabels()[clusterv1.MachineDeploymentNameLabel] != group || m.Deletion == nil {
			continue
		}
		if going++; going <= mostMachines {
			lines = append(lines, waitsOf(w, m)...)
		}
	}
	if more := going - mostMachines; more > 0 {
		lines = append(lines, fmt.Sprintf("! and %s more", timeline.Plural(more, "machine")))
	}
	return strings.Join(lines, "\n"), nil
}

// waitsOf returns what the deletion of a machine waits for.
func waitsOf(w *world.World, m *world.Machine) []string {
	node := &world.Node{Name: m.Node}
	for _, p := range w.Pods {
		if m.Node != "" && p.Node == m.Node {
			node.Pods = append(node.Pods, p)
		}
	}
	// Cluster API's message lists pods too, but not what would let their eviction succeed.
	full := m.Deletion.Message
	m.Deletion.Message, _, _ = strings.Cut(full, "\n")
	going := removal.GoingOf(w, node, m)
	if len(going.Details) == 0 {
		m.Deletion.Message = full
		going = removal.GoingOf(w, nil, m)
	}
	lines := []string{"! " + going.Text}
	for _, d := range going.Details {
		text := "    " + d.Text
		if d.Change != "" {
			text += "; it needs " + d.Change
		}
		lines = append(lines, text)
	}
	return lines
}

// draining returns the pods of the cluster, and the budgets that hold them on their nodes, as far
// as they can be read. What the machines' own conditions say does not depend on them.
func draining(ctx context.Context, c *target.Cluster) *world.World {
	w := new(world.World)
	pods, err := c.Workload.List(ctx, kube.Pods, "")
	if err != nil {
		return w
	}
	for i := range pods {
		if pod, err := kube.Pod(&pods[i]); err == nil {
			w.Pods = append(w.Pods, &world.Pod{Pod: shape.OfPod(pod), Name: pod.Namespace + "/" + pod.Name, Node: pod.Spec.NodeName})
		}
	}
	budgets, err := c.Workload.List(ctx, kube.Budgets, "")
	w.BudgetsKnown = err == nil
	for i := range budgets {
		w.Budgets = append(w.Budgets, world.NewBudget(budgets[i].GetNamespace()+"/"+budgets[i].GetName(), shape.OfBudget(&budgets[i])))
	}
	return w
}
