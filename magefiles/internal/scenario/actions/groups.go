package actions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
)

// optionPrefix begins the annotations with the options of a group.
const optionPrefix = "cluster.x-k8s.io/autoscaling-options-"

// MakeGroups creates all groups concurrently and waits for their first nodes.
func (c *Cluster) MakeGroups(ctx context.Context, progress func(string)) error {
	workers, err := c.workers(ctx)
	if err != nil {
		return err
	}
	var groups []capi.NodeGroup
	var definitions []scenario.Group
	for _, g := range c.Scenario.Groups {
		for _, name := range g.Names() {
			group, err := c.nodeGroup(g, name, &workers[0])
			if err != nil {
				return fmt.Errorf("group %s: %w", name, err)
			}
			groups, definitions = append(groups, group), append(definitions, g)
		}
	}
	return inParallel(len(groups), func(i int) error {
		if err := c.makeGroup(ctx, groups[i], definitions[i]); err != nil {
			return fmt.Errorf("make the group %s: %w", groups[i].Name, err)
		}
		if groups[i].Min == 0 {
			return nil
		}
		err := capi.WaitGroup(ctx, c.Management, c.Namespace, groups[i].Name, groups[i].Min, func(text string) {
			progress(groups[i].Name + ": " + text)
		})
		if err != nil {
			return fmt.Errorf("the first nodes of the group %s: %w", groups[i].Name, err)
		}
		return nil
	})
}

// nodeGroup returns the node group to create under that name. Every group has the
// annotations that tell the autoscaler the capacity of a future node, and its nodes have that
// capacity unless it is more than a worker's.
func (c *Cluster) nodeGroup(g scenario.Group, name string, worker *corev1.Node) (capi.NodeGroup, error) {
	taints, err := capi.ParseTaints(strings.Join(g.Taints, ","))
	if err != nil {
		return capi.NodeGroup{}, err
	}
	group := capi.NodeGroup{
		Name: c.Prefix + name, Namespace: c.Namespace, ClusterName: c.Cluster, Prefix: c.SizePrefix,
		Min: g.Min, Max: g.Max, Labels: map[string]string{poolLabel: c.Prefix + g.PoolName()}, Taints: taints,
		Capacity: map[string]string{}, Extra: c.labels(),
	}
	maps.Copy(group.Labels, g.Labels)
	for _, key := range []string{"cpu", "memory"} {
		has, reported := worker.Status.Capacity[corev1.ResourceName(key)]
		if !reported {
			return group, fmt.Errorf("the node %s does not report its %s", worker.Name, key)
		}
		text := g.Capacity[key]
		if text == "" {
			text = "1x"
		}
		if group.Capacity[key], err = scenario.CapacityOf(text, has); err != nil {
			return group, err
		}
	}
	if len(g.Capacity) == 0 {
		return group, nil
	}
	group.KubeletArgs, err = capi.KubeletArgs(group.Capacity, worker.Status.Capacity)
	if errors.As(err, new(*capi.TooLargeError)) {
		return group, nil // for a group that never gets a node
	}
	return group, err
}

func (c *Cluster) makeGroup(ctx context.Context, group capi.NodeGroup, g scenario.Group) error {
	if err := group.Add(ctx, c.Management); err != nil {
		return err
	}
	patch := map[string]any{}
	if len(g.Options) > 0 {
		annotations := map[string]any{}
		for key, value := range g.Options {
			annotations[optionPrefix+key] = value
		}
		patch = annotated(annotations)
	}
	if g.Broken {
		// The machines wait for bootstrap data that never comes. This works with every
		// infrastructure provider and creates no infrastructure.
		bootstrap := map[string]any{"configRef": nil, "dataSecretName": group.Name + "-never"}
		patch["spec"] = map[string]any{"template": map[string]any{"spec": map[string]any{"bootstrap": bootstrap}}}
	}
	if len(patch) == 0 {
		return nil
	}
	return c.Management.Patch(ctx, kube.MachineDeployments, c.Namespace, group.Name, patch)
}

// inParallel calls do for 0 to n-1 concurrently and joins the errors.
func inParallel(n int, do func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}
