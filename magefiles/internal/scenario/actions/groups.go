package actions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
)

// optionPrefix begins the annotations with the options of a group.
const optionPrefix = "cluster.x-k8s.io/autoscaling-options-"

// MakeGroups creates all groups concurrently and waits for their first nodes.
func (c *Cluster) MakeGroups(ctx context.Context, progress func(string)) error {
	if slices.ContainsFunc(c.Scenario.Groups, scenario.Group.IsHollow) {
		if err := c.PrepareHollow(ctx); err != nil {
			return fmt.Errorf("make the cluster ready for hollow machines: %w", err)
		}
	}
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
			if err := c.defineDevices(ctx, g); err != nil {
				return fmt.Errorf("group %s: %w", name, err)
			}
			groups, definitions = append(groups, group), append(definitions, g)
		}
	}
	return inParallel(len(groups), func(i int) error {
		if err := c.makeGroup(ctx, groups[i], definitions[i], &workers[0]); err != nil {
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

// defineDevices creates the DeviceClasses of a group's drivers of devices.
func (c *Cluster) defineDevices(ctx context.Context, g scenario.Group) error {
	if g.Hollow == nil || g.Hollow.DRA == "" {
		return nil
	}
	spec, err := hollow.New(hollow.Shape{}, hollow.Change{DRA: g.Hollow.DRA})
	if err != nil {
		return err
	}
	return spec.DefineClasses(ctx, c.Workload)
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
		Min: g.Min, Max: g.Max, Labels: map[string]string{poolLabel: c.Prefix + g.PoolName()}, Taints: taints, Extra: c.labels(),
	}
	maps.Copy(group.Labels, g.Labels)
	if group.Capacity, err = capacityOf(g.Capacity, worker); err != nil {
		return group, err
	}
	if g.IsHollow() {
		spec, err := g.HollowSpec(group.Labels, group.Capacity)
		if err != nil {
			return group, err
		}
		return spec.Group(group)
	}
	if len(g.Capacity) == 0 {
		return group, nil
	}
	physical := maps.Clone(group.Capacity)
	delete(physical, "maxPods")
	group.KubeletArgs, err = capi.KubeletArgs(physical, worker.Status.Capacity)
	if errors.As(err, new(*capi.TooLargeError)) {
		return group, nil // for a group that never gets a node
	}
	if pods := group.Capacity["maxPods"]; pods != "" && err == nil {
		group.KubeletArgs["max-pods"] = pods
	}
	return group, err
}

// capacityOf returns a capacity with quantities instead of multiples, and with the cpu and the
// memory of a worker where it has none.
func capacityOf(given map[string]string, worker *corev1.Node) (map[string]string, error) {
	capacity := map[string]string{"cpu": "1x", "memory": "1x"}
	maps.Copy(capacity, given)
	for _, key := range []string{"cpu", "memory"} {
		has, reported := worker.Status.Capacity[corev1.ResourceName(key)]
		if !reported {
			return nil, fmt.Errorf("the node %s does not report its %s", worker.Name, key)
		}
		var err error
		if capacity[key], err = scenario.CapacityOf(capacity[key], has); err != nil {
			return nil, err
		}
	}
	return capacity, nil
}

// told returns the annotations that tell the autoscaler something else than what is true; nil
// removes one.
func told(t *scenario.Told, group capi.NodeGroup, worker *corev1.Node) (map[string]any, error) {
	annotations := map[string]any{}
	if t == nil {
		return annotations, nil
	}
	if t.Capacity != nil {
		for key := range group.Capacity {
			annotations[release.CapacityPrefix+key] = nil
		}
	}
	if len(t.Capacity) > 0 {
		capacity, err := capacityOf(t.Capacity, worker)
		if err != nil {
			return nil, err
		}
		for key, value := range capacity {
			annotations[release.CapacityPrefix+key] = value
		}
	}
	if t.Labels != nil {
		labels := maps.Clone(t.Labels)
		if labels[poolLabel] == "" && len(labels) > 0 {
			labels[poolLabel] = group.Labels[poolLabel]
		}
		annotations[release.CapacityPrefix+"labels"] = text(capi.JoinLabels(labels))
	}
	if t.Taints != nil {
		annotations[release.CapacityPrefix+"taints"] = text(strings.Join(t.Taints, ","))
	}
	return annotations, nil
}

// text returns the value of an annotation; nil for an empty one.
func text(value string) any {
	if value == "" {
		return nil
	}
	return value
}

func (c *Cluster) makeGroup(ctx context.Context, group capi.NodeGroup, g scenario.Group, worker *corev1.Node) error {
	annotations, err := told(g.Told, group, worker)
	if err != nil {
		return err
	}
	if err := group.Add(ctx, c.Management); err != nil {
		return err
	}
	for key, value := range g.Options {
		annotations[optionPrefix+key] = value
	}
	patch := map[string]any{}
	if len(annotations) > 0 {
		patch = annotated(annotations)
	}
	if g.Broken && !g.IsHollow() {
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

// patchGroup merges a patch into the MachineDeployment of a group.
func (c *Cluster) patchGroup(ctx context.Context, name string, patch map[string]any) error {
	return c.Management.Patch(ctx, kube.MachineDeployments, c.Namespace, c.Prefix+name, patch)
}

// changeGroup does an action on a group.
func (c *Cluster) changeGroup(ctx context.Context, g *scenario.GroupAction, progress func(string)) error {
	switch {
	case g.Size != nil:
		return c.patchGroup(ctx, g.Name, map[string]any{"spec": map[string]any{"replicas": *g.Size}})
	case len(g.Annotations) > 0:
		return c.patchGroup(ctx, g.Name, annotated(values(g.Annotations)))
	case g.Broken != nil:
		return c.breakGroup(ctx, g.Name, *g.Broken)
	default:
		return capi.DeleteGroup(ctx, c.Management, c.Namespace, c.Cluster, c.Prefix+g.Name, c.SizePrefix, progress)
	}
}

// breakingCommand is what machines of a broken group run before they join, and what fails.
const breakingCommand = "false # a scenario breaks the group"

// breakGroup makes the group's next machines fail before they become nodes, or mends it. It
// changes the template of the bootstrap data in place, so that no rollout begins and the
// machines that exist stay as they are.
func (c *Cluster) breakGroup(ctx context.Context, name string, broken bool) error {
	group, err := c.Management.Get(ctx, kube.MachineDeployments, c.Namespace, c.Prefix+name)
	if err != nil {
		return fmt.Errorf("read the group %s: %w", name, err)
	}
	if hollow.Is(group) {
		return c.breakHollow(ctx, name, group, broken)
	}
	kind, template := capi.BootstrapTemplate(group)
	if kind.Kind != "KubeadmConfigTemplate" {
		return fmt.Errorf("the machines of %s are broken through kubeadm, and the group bootstraps with %q", name, kind.Kind)
	}
	o, err := c.Management.Get(ctx, kind, c.Namespace, template)
	if err != nil {
		return fmt.Errorf("read the template %s %s: %w", kind.Kind, template, err)
	}
	if !c.ours(o) {
		return fmt.Errorf("the template %s %s is not the group's own", kind.Kind, template)
	}
	commands, _, err := unstructured.NestedStringSlice(o.Object, "spec", "template", "spec", "preKubeadmCommands")
	if err != nil {
		return fmt.Errorf("read the template %s %s: %w", kind.Kind, template, err)
	}
	commands = slices.DeleteFunc(commands, func(command string) bool { return command == breakingCommand })
	if broken {
		commands = slices.Insert(commands, 0, breakingCommand)
	}
	if len(commands) == 0 {
		commands = nil // in a merge patch, null removes the field; the API from v1beta2 on refuses an empty list
	}
	return c.Management.Patch(ctx, kind, c.Namespace, template, map[string]any{
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"preKubeadmCommands": commands}}},
	})
}

// breakHollow makes the next hollow machines of a group fail. If broken is false, it gives them
// again the behaviour that the scenario defines.
func (c *Cluster) breakHollow(ctx context.Context, name string, group *unstructured.Unstructured, broken bool) error {
	change := hollow.Behaviour{Fail: "0", Never: "0"}
	if broken {
		change.Fail = "100%"
	} else if g := c.definition(name); g.Hollow != nil {
		change.Fail, change.Never = cmp.Or(g.Hollow.Fail, "0"), cmp.Or(g.Hollow.Never, "0")
	}
	_, err := hollow.Set(ctx, c.Management, group, hollow.Shape{}, hollow.Change{Behaviour: change})
	return err
}

// definition returns what the scenario says about a group.
func (c *Cluster) definition(name string) scenario.Group {
	i := slices.IndexFunc(c.Scenario.Groups, func(g scenario.Group) bool { return slices.Contains(g.Names(), name) })
	if i < 0 {
		return scenario.Group{}
	}
	return c.Scenario.Groups[i]
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
