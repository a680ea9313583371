package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/workload"
)

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
