package scenario

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/workload"
)

const (
	// poolLabel is of nodes: the pool of their group.
	poolLabel = "caslab.local/pool"
	// objectLabel is of all that a scenario makes: its name.
	objectLabel = "caslab.local/scenario"
	// optionPrefix is of the annotations by which a group has options.
	optionPrefix = "cluster.x-k8s.io/autoscaling-options-"
)

// setUp removes what an earlier run left, makes the groups and objects, has
// the autoscaler run, and begins to watch.
func (e *engine) setUp(ctx context.Context, progress func(string)) error {
	limited, cancel := context.WithTimeoutCause(ctx, setupTime, fmt.Errorf("it took longer than %s", setupTime))
	defer cancel()
	if err := e.refusePaused(limited); err != nil {
		return err
	}
	e.touched = true
	if err := e.cleanUp(limited, progress); err != nil {
		return fmt.Errorf("remove what an earlier run left: %w", err)
	}
	// From here on it may speak of what is made; nothing before was of that name.
	e.w.begin()
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
	// They go on when the set-up is over.
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

// refusePaused refuses a Cluster that its user paused: nothing would become of
// what a scenario makes there, and nobody else is to resume it.
func (e *engine) refusePaused(ctx context.Context) error {
	cluster, err := e.o.Management.Get(ctx, kube.Clusters, e.o.Namespace, e.o.Cluster)
	if err != nil {
		return fmt.Errorf("read the Cluster %s: %w", e.o.Cluster, err)
	}
	if kube.Field(cluster, "spec", "paused") == "true" && cluster.GetAnnotations()[pausedByScenario] == "" {
		return fmt.Errorf("the Cluster %s is paused, and no scenario paused it; resume it and run the scenario again: kubectl -n %s patch clusters.cluster.x-k8s.io %[1]s --type=merge -p '{\"spec\":{\"paused\":false}}'",
			e.o.Cluster, e.o.Namespace)
	}
	return nil
}

// makeGroups makes all groups at once and waits for their first nodes.
func (e *engine) makeGroups(ctx context.Context, progress func(string)) error {
	workers, err := e.workers(ctx)
	if err != nil {
		return err
	}
	var groups []capi.NodeGroup
	var of []Group
	for _, g := range e.s.Groups {
		for _, name := range g.names() {
			group, err := e.nodeGroup(g, name, &workers[0])
			if err != nil {
				return fmt.Errorf("group %s: %w", name, err)
			}
			groups, of = append(groups, group), append(of, g)
		}
	}
	return errorsOf(len(groups), func(i int) error {
		if err := e.makeGroup(ctx, groups[i], of[i]); err != nil {
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

// nodeGroup is a group as package capi knows it. Every group tells the
// autoscaler what a node of it will have.
func (e *engine) nodeGroup(g Group, name string, worker *unstructured.Unstructured) (capi.NodeGroup, error) {
	group := capi.NodeGroup{
		Name: e.o.Prefix + name, Namespace: e.o.Namespace, ClusterName: e.o.Cluster, Prefix: e.o.SizePrefix,
		Min: g.Min, Max: g.Max, Labels: map[string]string{poolLabel: e.o.Prefix + g.pool()}, Taints: g.taints,
		Capacity: map[string]string{}, Extra: e.marks(),
	}
	maps.Copy(group.Labels, g.Labels)
	for _, key := range []string{"cpu", "memory"} {
		of, err := resource.ParseQuantity(kube.Field(worker, "status", "capacity", key))
		if err != nil {
			return group, fmt.Errorf("the %s of the node %s: %w", key, worker.GetName(), err)
		}
		text := g.Capacity[key]
		if text == "" {
			text = "1x"
		}
		if group.Capacity[key], err = capacityOf(text, of); err != nil {
			return group, err
		}
	}
	return group, nil
}

func (e *engine) makeGroup(ctx context.Context, group capi.NodeGroup, g Group) error {
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
		// A machine waits for ever for bootstrap data that nobody writes. That
		// is so with every infrastructure, and costs none.
		bootstrap := map[string]any{"configRef": nil, "dataSecretName": group.Name + "-never"}
		patch["spec"] = map[string]any{"template": map[string]any{"spec": map[string]any{"bootstrap": bootstrap}}}
	}
	if len(patch) == 0 {
		return nil
	}
	return e.o.Management.Patch(ctx, kube.MachineDeployments, e.o.Namespace, group.Name, patch)
}

// cleanUp removes everything that a scenario of this prefix made, also one
// that was killed. What cannot be removed keeps no other part from it.
func (e *engine) cleanUp(ctx context.Context, progress func(string)) error {
	return errors.Join(e.resumeAll(ctx), e.deleteWorkloads(ctx, progress), e.deleteObjects(ctx), e.deleteGroups(ctx, progress))
}

// deleteGroups deletes the groups, and then the templates: Cluster API reads
// those of a group until it is gone.
func (e *engine) deleteGroups(ctx context.Context, progress func(string)) error {
	groups, err := capi.Groups(ctx, e.o.Management, e.o.Namespace, e.o.Cluster)
	if err != nil {
		return err
	}
	kinds := capi.TemplateKinds(groups)
	groups = slices.DeleteFunc(groups, func(g unstructured.Unstructured) bool {
		return !e.made(&g) || g.GetLabels()[capi.GroupLabel] == ""
	})
	err = errorsOf(len(groups), func(i int) error {
		return capi.DeleteGroup(ctx, e.o.Management, e.o.Namespace, e.o.Cluster, groups[i].GetName(), e.o.SizePrefix, func(text string) {
			progress(groups[i].GetName() + ": " + text)
		})
	})
	if err != nil {
		return err
	}
	return e.deleteTemplates(ctx, kinds)
}

// resumeAll resumes what a scenario paused: nothing paused can be deleted.
func (e *engine) resumeAll(ctx context.Context) error {
	cluster, err := e.o.Management.Get(ctx, kube.Clusters, e.o.Namespace, e.o.Cluster)
	if err != nil {
		err = fmt.Errorf("read the Cluster %s: %w", e.o.Cluster, err)
	} else if cluster.GetAnnotations()[pausedByScenario] != "" {
		err = e.setClusterPaused(ctx, false)
	}
	groups, listErr := capi.Groups(ctx, e.o.Management, e.o.Namespace, e.o.Cluster)
	errs := []error{err, listErr}
	for i := range groups {
		if _, paused := groups[i].GetAnnotations()[clusterv1.PausedAnnotation]; paused && e.made(&groups[i]) {
			errs = append(errs, e.setPaused(ctx, strings.TrimPrefix(groups[i].GetName(), e.o.Prefix), false))
		}
	}
	return errors.Join(errs...)
}

// deleteObjects deletes the objects of every scenario of the run, and those of
// kinds that the lab's scenarios make.
func (e *engine) deleteObjects(ctx context.Context) error {
	kinds := map[schema.GroupKind]bool{{Kind: "ConfigMap"}: true, {Group: "policy", Kind: "PodDisruptionBudget"}: true}
	for _, s := range e.all {
		for _, o := range s.Objects {
			kinds[(&unstructured.Unstructured{Object: o}).GroupVersionKind().GroupKind()] = true
		}
	}
	var errs []error
	for kind := range kinds {
		objects, err := e.o.Workload.List(ctx, kind, "")
		if err != nil && !meta.IsNoMatchError(err) { // none of a kind that there is not
			errs = append(errs, err)
		}
		for i := range objects {
			o := &objects[i]
			if o.GetLabels()[objectLabel] == "" {
				continue
			}
			if err := e.o.Workload.Delete(ctx, kind, o.GetNamespace(), o.GetName()); err != nil && !apierrors.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("delete the %s %s: %w", kind.Kind, o.GetName(), err))
			}
		}
	}
	return errors.Join(errs...)
}

func (e *engine) deleteWorkloads(ctx context.Context, progress func(string)) error {
	deployments, err := e.o.Workload.List(ctx, kube.Deployments, e.o.PodNamespace)
	if err != nil {
		return err
	}
	deployments = slices.DeleteFunc(deployments, func(d unstructured.Unstructured) bool {
		return !e.made(&d) || d.GetLabels()[workload.Label] == ""
	})
	return errorsOf(len(deployments), func(i int) error {
		err := workload.Delete(ctx, e.o.Workload, e.o.PodNamespace, deployments[i].GetName(), progress)
		if missing := new(workload.MissingError); errors.As(err, &missing) {
			return nil
		}
		return err
	})
}

// deleteTemplates deletes the templates of groups that are gone: a broken
// group does not name its own, and a run may have been killed.
func (e *engine) deleteTemplates(ctx context.Context, kinds map[schema.GroupKind]bool) error {
	var errs []error
	for kind := range kinds {
		templates, err := e.o.Management.List(ctx, kind, e.o.Namespace)
		if err != nil && !meta.IsNoMatchError(err) {
			errs = append(errs, err)
		}
		for i := range templates {
			t := &templates[i]
			labels := t.GetLabels()
			if !e.made(t) || labels[capi.GroupLabel] == "" || labels[clusterv1.ClusterNameLabel] != e.o.Cluster {
				continue
			}
			if err := e.o.Management.Delete(ctx, kind, e.o.Namespace, t.GetName()); err != nil && !apierrors.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("delete the template %s %s: %w", kind.Kind, t.GetName(), err))
			}
		}
	}
	return errors.Join(errs...)
}
