package actions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
)

// listTime is for listing what a clean-up left.
const listTime = 2 * time.Second

// LeftoversError is returned when a clean-up failed or was interrupted.
type LeftoversError struct {
	// Left has the kinds and names of the objects that are still there. Commands
	// remove them, in this order.
	Left, Commands []string
	// Unseen is why Left may be incomplete; nil if it is complete.
	Unseen error
	// Err is why the clean-up ended early.
	Err error
}

func (e *LeftoversError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "remove what the scenario created: %v", e.Err)
	if e.Unseen != nil {
		fmt.Fprintf(&b, "\nmore may be left in the cluster: %v", e.Unseen)
	}
	if len(e.Left) == 0 {
		return b.String()
	}
	fmt.Fprintf(&b, "\nleft in the cluster: %s\nthe next run of a scenario removes it first; by hand:", strings.Join(e.Left, ", "))
	for _, command := range e.Commands {
		fmt.Fprintf(&b, "\n  %s", command)
	}
	return b.String()
}

// Unwrap returns why the clean-up ended early.
func (e *LeftoversError) Unwrap() error { return e.Err }

// Leftovers lists what is left after a clean-up that ended with an error. It takes at most
// listTime, even after the second interruption.
func (c *Cluster) Leftovers(ctx context.Context, ended error) *LeftoversError {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTime)
	defer cancel()
	leftovers := &LeftoversError{Err: ended}
	var errs []error
	look := func(client *kube.Client, kind schema.GroupKind, namespace, where string) {
		objects, err := client.List(ctx, kind, namespace)
		if err != nil && !meta.IsNoMatchError(err) {
			errs = append(errs, err)
		}
		objects = slices.DeleteFunc(objects, func(o unstructured.Unstructured) bool { return !c.created(&o) })
		for i := range objects {
			leftovers.Left = append(leftovers.Left, kind.Kind+" "+objects[i].GetName())
		}
		if len(objects) > 0 {
			leftovers.Commands = append(leftovers.Commands, fmt.Sprintf("kubectl delete %s %s -l %s", where, kind, c.selector()))
		}
	}
	// While the managers are stopped, the API server refuses changes of their objects.
	managers, err := c.managers(ctx)
	errs = append(errs, err)
	for i := range managers {
		if replicas := managers[i].GetAnnotations()[stoppedByScenario]; replicas != "" {
			m := &managers[i]
			leftovers.Left = append(leftovers.Left, "Deployment "+m.GetName()+", which is stopped")
			leftovers.Commands = append(leftovers.Commands, fmt.Sprintf("kubectl -n %s scale deployment %s --replicas=%s", m.GetNamespace(), m.GetName(), replicas))
		}
	}
	// Paused groups and held machines cannot be deleted.
	cluster, err := c.Management.Get(ctx, kube.Clusters, c.Namespace, c.Cluster)
	errs = append(errs, err)
	if err == nil && cluster.GetAnnotations()[pausedByScenario] != "" {
		leftovers.Left = append(leftovers.Left, "Cluster "+c.Cluster+", which is paused")
		leftovers.Commands = append(leftovers.Commands, resumeCommand(c.Namespace, c.Cluster))
	}
	groups, err := capi.Groups(ctx, c.Management, c.Namespace, c.Cluster)
	errs = append(errs, err)
	for i := range groups {
		if c.pausedGroup(&groups[i]) {
			leftovers.Left = append(leftovers.Left, "MachineDeployment "+groups[i].GetName()+", which is paused")
			leftovers.Commands = append(leftovers.Commands, c.unannotateCommand(kube.MachineDeployments, groups[i].GetName(), clusterv1.PausedAnnotation))
		}
	}
	held, err := c.heldMachines(ctx)
	errs = append(errs, err)
	for _, name := range held {
		leftovers.Left = append(leftovers.Left, "Machine "+name+", which is held")
		leftovers.Commands = append(leftovers.Commands, c.unannotateCommand(kube.Machines, name, holdHook))
	}
	for _, kind := range c.objectKinds() {
		look(c.clientOf(kind), kind, "", "-A")
	}
	look(c.Workload, kube.Pods, "", "-A")
	look(c.Management, kube.MachineDeployments, c.Namespace, "-n "+c.Namespace)
	byName := func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) }
	for _, kind := range slices.SortedFunc(maps.Keys(capi.TemplateKinds(groups)), byName) {
		look(c.Management, kind, c.Namespace, "-n "+c.Namespace)
	}
	leftovers.Unseen = errors.Join(errs...)
	return leftovers
}

// unannotateCommand returns the command that removes an annotation from an object of Cluster API.
func (c *Cluster) unannotateCommand(kind schema.GroupKind, name, annotation string) string {
	return fmt.Sprintf("kubectl -n %s annotate %s %s %s-", c.Namespace, kind, name, annotation)
}

// CleanUp removes everything that scenarios with this prefix created, also in a run
// that was killed. If one part fails, the others are still removed.
func (c *Cluster) CleanUp(ctx context.Context, progress func(string)) error {
	return errors.Join(
		// Nothing can be resumed, released or deleted while the managers are stopped.
		c.startControllers(ctx, progress),
		c.resumeAll(ctx), c.releaseAll(ctx), c.deleteObjects(ctx), c.killPods(ctx, progress), c.deleteGroups(ctx, progress),
	)
}

// deleteGroups deletes the groups and then the templates, because Cluster API reads
// the templates of a group until the group is gone.
func (c *Cluster) deleteGroups(ctx context.Context, progress func(string)) error {
	groups, err := capi.Groups(ctx, c.Management, c.Namespace, c.Cluster)
	if err != nil {
		return err
	}
	kinds := capi.TemplateKinds(groups)
	groups = slices.DeleteFunc(groups, func(g unstructured.Unstructured) bool {
		return !c.ours(&g) || g.GetLabels()[capi.GroupLabel] == ""
	})
	err = inParallel(len(groups), func(i int) error {
		return capi.DeleteGroup(ctx, c.Management, c.Namespace, c.Cluster, groups[i].GetName(), c.SizePrefix, func(text string) {
			progress(groups[i].GetName() + ": " + text)
		})
	})
	if err != nil {
		return err
	}
	return c.deleteTemplates(ctx, kinds)
}

// resumeAll resumes what scenarios paused: paused objects cannot be deleted.
func (c *Cluster) resumeAll(ctx context.Context) error {
	cluster, err := c.Management.Get(ctx, kube.Clusters, c.Namespace, c.Cluster)
	if err != nil {
		err = fmt.Errorf("read the Cluster %s: %w", c.Cluster, err)
	} else if cluster.GetAnnotations()[pausedByScenario] != "" {
		err = c.setClusterPaused(ctx, false)
	}
	groups, listErr := capi.Groups(ctx, c.Management, c.Namespace, c.Cluster)
	errs := []error{err, listErr}
	for i := range groups {
		if c.pausedGroup(&groups[i]) {
			errs = append(errs, c.setPaused(ctx, strings.TrimPrefix(groups[i].GetName(), c.Prefix), false))
		}
	}
	return errors.Join(errs...)
}

// pausedGroup reports whether an object is a paused group of a scenario.
func (c *Cluster) pausedGroup(o *unstructured.Unstructured) bool {
	_, paused := o.GetAnnotations()[clusterv1.PausedAnnotation]
	return paused && c.ours(o)
}

// objectKinds returns the kinds of workloads, and of the objects of the lab's own scenarios
// and of all scenarios of the run.
func (c *Cluster) objectKinds() []schema.GroupKind {
	kinds := []schema.GroupKind{kube.ConfigMaps, kube.Budgets, priorityClasses}
	for _, name := range scenario.Owners {
		if kind := ownerKinds[name]; kind != kube.Pods {
			kinds = append(kinds, kind)
		}
	}
	for _, s := range c.All {
		for _, o := range s.Manifests() {
			kind := (&unstructured.Unstructured{Object: o}).GroupVersionKind().GroupKind()
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds
}

// deleteObjects deletes the objects and the workloads that scenarios created.
func (c *Cluster) deleteObjects(ctx context.Context) error {
	var errs []error
	for _, kind := range c.objectKinds() {
		errs = append(errs, c.deleteLabelled(ctx, kind))
	}
	return errors.Join(errs...)
}

// deleteTemplates deletes the templates of groups that are gone. Deleting the group
// does not always do that: a broken group does not refer to its templates, and a
// run may have been killed.
func (c *Cluster) deleteTemplates(ctx context.Context, kinds map[schema.GroupKind]bool) error {
	var errs []error
	for kind := range kinds {
		templates, err := c.Management.List(ctx, kind, c.Namespace)
		if err != nil && !meta.IsNoMatchError(err) {
			errs = append(errs, err)
		}
		for i := range templates {
			t := &templates[i]
			labels := t.GetLabels()
			if !c.ours(t) || labels[capi.GroupLabel] == "" || labels[clusterv1.ClusterNameLabel] != c.Cluster {
				continue
			}
			if err := c.Management.Delete(ctx, kind, c.Namespace, t.GetName()); err != nil && !apierrors.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("delete the template %s %s: %w", kind.Kind, t.GetName(), err))
			}
		}
	}
	return errors.Join(errs...)
}
