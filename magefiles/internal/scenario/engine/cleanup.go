package engine

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
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/workload"
)

// runCleanUp removes what the scenario created, even if ctx is done. It ends at the second
// interruption.
func (e *engine) runCleanUp(ctx context.Context, r *results.Result) {
	if !e.clusterChanged || interrupt.Gone(ctx) != nil {
		return
	}
	limited, cancel := interrupt.Cleanup(ctx, cleanupTime)
	defer cancel()
	// The history needs it to know what the clean-up removed.
	e.addFact(timeline.Step, timeline.CleanUp)
	step := e.o.Log.Start(timeline.CleanUp, 30*time.Second)
	err := e.cleanUp(limited, step.Progress)
	if gone := interrupt.Gone(ctx); gone != nil {
		err = gone
	} else if err != nil {
		if cause := context.Cause(limited); cause != nil {
			err = errors.Join(cause, otherErrors(err, cause))
		}
		err = e.leftovers(ctx, err)
	}
	step.Done("", err)
	select {
	case ended := <-e.o.Autoscaler.Ended():
		e.otherFailure = true
		r.Fail("clean-up", fmt.Errorf("the autoscaler ended: %w", ended))
	default:
	}
	if err != nil {
		e.otherFailure = true
		if errors.Is(context.Cause(limited), interrupt.ErrNow) {
			r.Interrupt("clean-up", err)
		} else {
			r.Fail("clean-up", err)
		}
	}
}

// otherErrors returns the errors of a clean-up, without those of requests that only ended
// because the whole clean-up ended with that cause.
func otherErrors(err, cause error) error {
	joined, ok := err.(interface{ Unwrap() []error }) // only the errors that are joined here, not those that they wrap
	if ok && errors.Join(joined.Unwrap()...).Error() == err.Error() {
		var others []error
		for _, e := range joined.Unwrap() {
			others = append(others, otherErrors(e, cause))
		}
		return errors.Join(others...)
	}
	if errors.Is(err, cause) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// leftoversError is returned when a clean-up failed or was interrupted.
type leftoversError struct {
	// Left has the kinds and names of the objects that are still there. Commands
	// remove them, in this order.
	Left, Commands []string
	// Unseen is why Left may be incomplete; nil if it is complete.
	Unseen error
	// Err is why the clean-up ended early.
	Err error
}

func (e *leftoversError) Error() string {
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
func (e *leftoversError) Unwrap() error { return e.Err }

// leftovers lists what is left after a clean-up that ended with an error. It takes at most
// listTime, even after the second interruption.
func (e *engine) leftovers(ctx context.Context, ended error) *leftoversError {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTime)
	defer cancel()
	leftovers := &leftoversError{Err: ended}
	var errs []error
	look := func(c *kube.Client, kind schema.GroupKind, namespace, where string) {
		objects, err := c.List(ctx, kind, namespace)
		if err != nil && !meta.IsNoMatchError(err) {
			errs = append(errs, err)
		}
		objects = slices.DeleteFunc(objects, func(o unstructured.Unstructured) bool { return o.GetLabels()[objectLabel] == "" })
		for i := range objects {
			leftovers.Left = append(leftovers.Left, kind.Kind+" "+objects[i].GetName())
		}
		if len(objects) > 0 {
			leftovers.Commands = append(leftovers.Commands, fmt.Sprintf("kubectl delete %s %s -l %s", where, kind, objectLabel))
		}
	}
	cluster, err := e.o.Management.Get(ctx, kube.Clusters, e.o.Namespace, e.o.Cluster)
	errs = append(errs, err)
	if err == nil && cluster.GetAnnotations()[pausedByScenario] != "" {
		leftovers.Left = append(leftovers.Left, "Cluster "+e.o.Cluster+", which is paused")
		leftovers.Commands = append(leftovers.Commands, resumeCommand(e.o.Namespace, e.o.Cluster))
	}
	look(e.o.Workload, kube.Deployments, e.o.PodNamespace, "-n "+e.o.PodNamespace)
	for _, kind := range e.objectKinds() {
		look(e.o.Workload, kind, "", "-A")
	}
	groups, err := capi.Groups(ctx, e.o.Management, e.o.Namespace, e.o.Cluster)
	errs = append(errs, err)
	look(e.o.Management, kube.MachineDeployments, e.o.Namespace, "-n "+e.o.Namespace)
	byName := func(a, b schema.GroupKind) int { return strings.Compare(a.String(), b.String()) }
	for _, kind := range slices.SortedFunc(maps.Keys(capi.TemplateKinds(groups)), byName) {
		look(e.o.Management, kind, e.o.Namespace, "-n "+e.o.Namespace)
	}
	leftovers.Unseen = errors.Join(errs...)
	return leftovers
}

// cleanUp removes everything that scenarios with this prefix created, also in a run
// that was killed. If one part fails, the others are still removed.
func (e *engine) cleanUp(ctx context.Context, progress func(string)) error {
	return errors.Join(e.resumeAll(ctx), e.deleteWorkloads(ctx, progress), e.deleteObjects(ctx), e.deleteGroups(ctx, progress))
}

// deleteGroups deletes the groups and then the templates, because Cluster API reads
// the templates of a group until the group is gone.
func (e *engine) deleteGroups(ctx context.Context, progress func(string)) error {
	groups, err := capi.Groups(ctx, e.o.Management, e.o.Namespace, e.o.Cluster)
	if err != nil {
		return err
	}
	kinds := capi.TemplateKinds(groups)
	groups = slices.DeleteFunc(groups, func(g unstructured.Unstructured) bool {
		return !e.ours(&g) || g.GetLabels()[capi.GroupLabel] == ""
	})
	err = inParallel(len(groups), func(i int) error {
		return capi.DeleteGroup(ctx, e.o.Management, e.o.Namespace, e.o.Cluster, groups[i].GetName(), e.o.SizePrefix, func(text string) {
			progress(groups[i].GetName() + ": " + text)
		})
	})
	if err != nil {
		return err
	}
	return e.deleteTemplates(ctx, kinds)
}

// resumeAll resumes what scenarios paused: paused objects cannot be deleted.
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
		if _, paused := groups[i].GetAnnotations()[clusterv1.PausedAnnotation]; paused && e.ours(&groups[i]) {
			errs = append(errs, e.setPaused(ctx, strings.TrimPrefix(groups[i].GetName(), e.o.Prefix), false))
		}
	}
	return errors.Join(errs...)
}

// objectKinds returns the kinds of the objects of all scenarios of the run, and
// those of the lab's own scenarios.
func (e *engine) objectKinds() []schema.GroupKind {
	kinds := []schema.GroupKind{{Kind: "ConfigMap"}, {Group: "policy", Kind: "PodDisruptionBudget"}}
	for _, s := range e.all {
		for _, o := range s.Objects {
			kind := (&unstructured.Unstructured{Object: o}).GroupVersionKind().GroupKind()
			if !slices.Contains(kinds, kind) {
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds
}

// deleteObjects deletes the objects that scenarios created.
func (e *engine) deleteObjects(ctx context.Context) error {
	var errs []error
	for _, kind := range e.objectKinds() {
		objects, err := e.o.Workload.List(ctx, kind, "")
		if err != nil && !meta.IsNoMatchError(err) { // the cluster does not have the kind
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
		return !e.ours(&d) || d.GetLabels()[workload.Label] == ""
	})
	return inParallel(len(deployments), func(i int) error {
		err := workload.Delete(ctx, e.o.Workload, e.o.PodNamespace, deployments[i].GetName(), progress)
		if missing := new(workload.MissingError); errors.As(err, &missing) {
			return nil
		}
		return err
	})
}

// deleteTemplates deletes the templates of groups that are gone. Deleting the group
// does not always do that: a broken group does not refer to its templates, and a
// run may have been killed.
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
			if !e.ours(t) || labels[capi.GroupLabel] == "" || labels[clusterv1.ClusterNameLabel] != e.o.Cluster {
				continue
			}
			if err := e.o.Management.Delete(ctx, kind, e.o.Namespace, t.GetName()); err != nil && !apierrors.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("delete the template %s %s: %w", kind.Kind, t.GetName(), err))
			}
		}
	}
	return errors.Join(errs...)
}
