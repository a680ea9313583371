package actions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
)

// holdHook is the annotation of a machine that a scenario holds: Cluster API deletes the
// machine only after the annotation is gone.
const holdHook = clusterv1.PreTerminateDeleteHookAnnotationPrefix + "/caslab-scenario"

// machines returns the machines of a group, or those whose nodes are under the pods of a
// workload, oldest first: all of them, or which one. None is an error.
func (c *Cluster) machines(ctx context.Context, which, group, under string) ([]unstructured.Unstructured, error) {
	all, err := c.Management.List(ctx, kube.Machines, c.Namespace)
	if err != nil {
		return nil, err
	}
	var nodes []string
	if under != "" {
		if nodes, err = c.nodesUnder(ctx, under); err != nil {
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(m unstructured.Unstructured) bool {
		of := m.GetLabels()[clusterv1.MachineDeploymentNameLabel]
		node := kube.Field(&m, "status", "nodeRef", "name")
		// A workload may be on nodes that are not of the scenario.
		return !c.isGroup(of) || group != "" && of != c.Prefix+group || under != "" && (node == "" || !slices.Contains(nodes, node))
	})
	slices.SortFunc(all, func(a, b unstructured.Unstructured) int {
		if x, y := a.GetCreationTimestamp(), b.GetCreationTimestamp(); !x.Equal(&y) {
			return x.Compare(y.Time)
		}
		return strings.Compare(a.GetName(), b.GetName())
	})
	switch {
	case len(all) == 0 && under != "":
		return nil, fmt.Errorf("no machine of the scenario has pods of %s", under)
	case len(all) == 0:
		return nil, fmt.Errorf("the group %s has no machine", group)
	case which == scenario.Oldest:
		return all[:1], nil
	case which == scenario.Newest:
		return all[len(all)-1:], nil
	}
	return all, nil
}

// isGroup reports whether a MachineDeployment is a group of the scenario.
func (c *Cluster) isGroup(name string) bool {
	return slices.ContainsFunc(c.Scenario.Groups, func(g scenario.Group) bool {
		return slices.Contains(g.Names(), strings.TrimPrefix(name, c.Prefix)) && strings.HasPrefix(name, c.Prefix)
	})
}

// nodesUnder returns the names of the nodes with pods of a workload.
func (c *Cluster) nodesUnder(ctx context.Context, name string) ([]string, error) {
	w, err := c.madeWorkload(name)
	if err != nil {
		return nil, err
	}
	pods, err := c.podsOf(ctx, w)
	var nodes []string
	for i := range pods {
		if node := kube.Field(&pods[i], "spec", "nodeName"); node != "" {
			nodes = append(nodes, node)
		}
	}
	return nodes, err
}

// changeNodes changes the nodes that an action names.
func (c *Cluster) changeNodes(ctx context.Context, a *scenario.NodeAction) error {
	machines, err := c.machines(ctx, a.Which, a.Group, a.Under)
	if err != nil {
		return err
	}
	changed := 0
	for i := range machines {
		name := kube.Field(&machines[i], "status", "nodeRef", "name")
		if name == "" {
			continue
		}
		changed++
		switch {
		case a.Sick != nil:
			err = c.setSick(ctx, &machines[i], name, *a.Sick)
		case a.Cordon != nil:
			err = c.Workload.Patch(ctx, kube.Nodes, "", name, map[string]any{"spec": map[string]any{"unschedulable": *a.Cordon}})
		case len(a.Labels) > 0:
			err = c.Workload.Patch(ctx, kube.Nodes, "", name, map[string]any{"metadata": map[string]any{"labels": values(a.Labels)}})
		default:
			err = c.changeTaints(ctx, name, a)
		}
		if err != nil {
			return err
		}
	}
	if changed == 0 {
		return fmt.Errorf("none of %d machines has a node", len(machines))
	}
	return nil
}

// changeTaints adds a taint to a node, or removes one.
func (c *Cluster) changeTaints(ctx context.Context, name string, a *scenario.NodeAction) error {
	added, err := capi.ParseTaints(a.Taint)
	if err != nil {
		return err
	}
	for {
		o, err := c.Workload.Get(ctx, kube.Nodes, "", name)
		if err != nil {
			return fmt.Errorf("read the node %s: %w", name, err)
		}
		node, err := kube.Node(o)
		if err != nil {
			return err
		}
		taints := slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool {
			return t.Key == a.Untaint || slices.ContainsFunc(added, func(n capi.Taint) bool { return n.Key == t.Key && n.Effect == string(t.Effect) })
		})
		for _, t := range added {
			taints = append(taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: corev1.TaintEffect(t.Effect)})
		}
		// The autoscaler and the kubelet change taints, too.
		err = c.Workload.Patch(ctx, kube.Nodes, "", name, map[string]any{
			"metadata": map[string]any{"resourceVersion": o.GetResourceVersion()}, "spec": map[string]any{"taints": taints},
		})
		if !apierrors.IsConflict(err) {
			return err
		}
	}
}

// Containers changes the machines that are containers of the lab's own environment, by the
// names of their nodes.
type Containers interface {
	// StopKubelet stops the kubelet of a node, and StartKubelet starts it.
	StopKubelet(ctx context.Context, node string) error
	StartKubelet(ctx context.Context, node string) error
	// KillNode kills the container of a node, which does not start again.
	KillNode(ctx context.Context, node string) error
}

// errOutOfReach is returned for a machine of a cluster that the lab did not create.
var errOutOfReach = errors.New("the lab did not create this cluster, so it can reach only its hollow machines, and no other kubelets or machines")

// setSick stops or starts the kubelet of a machine's node.
func (c *Cluster) setSick(ctx context.Context, machine *unstructured.Unstructured, node string, sick bool) error {
	switch {
	case hollow.IsMachine(machine):
		state := ""
		if sick {
			state = hollow.Sick
		}
		return hollow.SetState(ctx, c.Management, machine, state)
	case c.Containers == nil:
		return errOutOfReach
	case sick:
		return c.Containers.StopKubelet(ctx, node)
	default:
		return c.Containers.StartKubelet(ctx, node)
	}
}

// failMachine ends a machine for good, and deletes nothing.
func (c *Cluster) failMachine(ctx context.Context, machine *unstructured.Unstructured) error {
	if hollow.IsMachine(machine) {
		return hollow.SetState(ctx, c.Management, machine, hollow.Failed)
	}
	node := kube.Field(machine, "status", "nodeRef", "name")
	switch {
	case node == "":
		return errors.New("it has no node yet")
	case c.Containers == nil:
		return errOutOfReach
	}
	return c.Containers.KillNode(ctx, node)
}

// changeMachines does what an action says to the machines that it names.
func (c *Cluster) changeMachines(ctx context.Context, a *scenario.MachineAction) error {
	machines, err := c.machines(ctx, a.Which, a.Group, a.Under)
	if err != nil {
		return err
	}
	for i := range machines {
		name := machines[i].GetName()
		switch a.Do {
		case scenario.DeleteMachine:
			if err := c.Management.Delete(ctx, kube.Machines, c.Namespace, name); err != nil {
				return fmt.Errorf("delete the machine %s: %w", name, err)
			}
		case scenario.FailMachine:
			if err := c.failMachine(ctx, &machines[i]); err != nil {
				return fmt.Errorf("make the machine %s fail: %w", name, err)
			}
		case scenario.Hold:
			err = c.annotateMachine(ctx, name, c.Scenario.Name)
		default:
			err = c.annotateMachine(ctx, name, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) annotateMachine(ctx context.Context, name string, hook any) error {
	return c.Management.Patch(ctx, kube.Machines, c.Namespace, name, annotated(map[string]any{holdHook: hook}))
}

// heldMachines returns the names of the machines that scenarios hold, without those of scenarios
// that run at the same time.
func (c *Cluster) heldMachines(ctx context.Context) ([]string, error) {
	machines, err := c.Management.List(ctx, kube.Machines, c.Namespace)
	var held []string
	for i := range machines {
		others := c.Shared && !strings.HasPrefix(machines[i].GetLabels()[clusterv1.MachineDeploymentNameLabel], c.Prefix)
		if _, ok := machines[i].GetAnnotations()[holdHook]; ok && !others {
			held = append(held, machines[i].GetName())
		}
	}
	return held, err
}

// releaseAll releases the machines that scenarios hold.
func (c *Cluster) releaseAll(ctx context.Context) error {
	held, err := c.heldMachines(ctx)
	errs := []error{err}
	for _, name := range held {
		if err := c.annotateMachine(ctx, name, nil); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
