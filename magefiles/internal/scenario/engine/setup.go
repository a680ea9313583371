package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
)

const (
	// poolLabel is the label of nodes with the pool of their group.
	poolLabel = "caslab.local/pool"
	// objectLabel is the label of everything that a scenario creates. Its value is
	// the name of the scenario.
	objectLabel = "caslab.local/scenario"
	// optionPrefix begins the annotations with the options of a group.
	optionPrefix = "cluster.x-k8s.io/autoscaling-options-"
)

// setUp removes what an earlier run left, creates the groups and objects, starts the
// watches and the autoscaler, and begins to evaluate what must always hold.
func (e *engine) setUp(ctx context.Context, progress func(string)) error {
	limited, cancel := context.WithTimeoutCause(ctx, setupTime, fmt.Errorf("it took longer than %s", setupTime))
	defer cancel()
	if err := e.refusePaused(limited); err != nil {
		return err
	}
	e.clusterChanged = true
	if err := e.cleanUp(limited, progress); err != nil {
		return fmt.Errorf("remove what an earlier run left: %w", err)
	}
	// From here on, the autoscaler's statements may be about this scenario.
	e.w.setBegin()
	progress("the node groups")
	if err := e.makeGroups(limited, progress); err != nil {
		return err
	}
	nodes, err := e.o.Workload.List(limited, kube.Nodes, "")
	if err != nil {
		return err
	}
	e.w.mu.Lock()
	e.w.nodesBefore = len(nodes)
	e.w.mu.Unlock()
	if err := e.applyObjects(limited); err != nil {
		return err
	}
	progress("the watches")
	// The watches go on after the set-up.
	if err := e.w.follow(ctx, limited, e.o); err != nil {
		return err
	}
	if e.o.Autoscaler.Controlled() {
		progress("the autoscaler")
		if err := e.startAutoscaler(limited); err != nil {
			return fmt.Errorf("start the autoscaler: %w", err)
		}
	}
	base := e.w.baseline()
	for _, c := range e.s.Always {
		e.always = append(e.always, &watch{check: c, base: base, stay: true})
	}
	e.w.add(e.always...)
	return nil
}

// refusePaused returns an error if the user paused the Cluster. In a paused Cluster
// no machine would be created, and only the user should resume it.
func (e *engine) refusePaused(ctx context.Context) error {
	cluster, err := e.o.Management.Get(ctx, kube.Clusters, e.o.Namespace, e.o.Cluster)
	if err != nil {
		return fmt.Errorf("read the Cluster %s: %w", e.o.Cluster, err)
	}
	if kube.Field(cluster, "spec", "paused") == "true" && cluster.GetAnnotations()[pausedByScenario] == "" {
		return fmt.Errorf("the Cluster %s is paused, and no scenario paused it; resume it and run the scenario again: %s", e.o.Cluster, resumeCommand(e.o.Namespace, e.o.Cluster))
	}
	return nil
}

// resumeCommand returns the command that resumes a Cluster.
func resumeCommand(namespace, cluster string) string {
	return fmt.Sprintf(`kubectl -n %s patch clusters.cluster.x-k8s.io %s --type=merge -p '{"spec":{"paused":false}}'`, namespace, cluster)
}

// makeGroups creates all groups concurrently and waits for their first nodes.
func (e *engine) makeGroups(ctx context.Context, progress func(string)) error {
	workers, err := e.workers(ctx)
	if err != nil {
		return err
	}
	var groups []capi.NodeGroup
	var definitions []scenario.Group
	for _, g := range e.s.Groups {
		for _, name := range g.Names() {
			group, err := e.nodeGroup(g, name, &workers[0])
			if err != nil {
				return fmt.Errorf("group %s: %w", name, err)
			}
			groups, definitions = append(groups, group), append(definitions, g)
		}
	}
	return inParallel(len(groups), func(i int) error {
		if err := e.makeGroup(ctx, groups[i], definitions[i]); err != nil {
			return fmt.Errorf("make the group %s: %w", groups[i].Name, err)
		}
		if groups[i].Min == 0 {
			return nil
		}
		err := capi.WaitGroup(ctx, e.o.Management, e.o.Namespace, groups[i].Name, groups[i].Min, func(text string) {
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
func (e *engine) nodeGroup(g scenario.Group, name string, worker *corev1.Node) (capi.NodeGroup, error) {
	taints, err := capi.ParseTaints(strings.Join(g.Taints, ","))
	if err != nil {
		return capi.NodeGroup{}, err
	}
	group := capi.NodeGroup{
		Name: e.o.Prefix + name, Namespace: e.o.Namespace, ClusterName: e.o.Cluster, Prefix: e.o.SizePrefix,
		Min: g.Min, Max: g.Max, Labels: map[string]string{poolLabel: e.o.Prefix + g.PoolName()}, Taints: taints,
		Capacity: map[string]string{}, Extra: e.scenarioLabels(),
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

func (e *engine) makeGroup(ctx context.Context, group capi.NodeGroup, g scenario.Group) error {
	if err := group.Add(ctx, e.o.Management); err != nil {
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
	return e.o.Management.Patch(ctx, kube.MachineDeployments, e.o.Namespace, group.Name, patch)
}
