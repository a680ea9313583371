package capi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
)

// DeleteGroup deletes a MachineDeployment, waits until its machines are gone,
// and deletes the templates that were its own.
func DeleteGroup(ctx context.Context, c *kube.Client, namespace, cluster, name, prefix string, progress func(string)) error {
	group, err := get(ctx, c, namespace, cluster, name)
	if err != nil {
		return err
	}
	if !Added(group) {
		return fmt.Errorf("the machine deployment %s was not added as a node group, so it is not deleted: in a self-managed cluster the managers may run on its nodes; to stop scaling it, type, with the kubeconfig of its Cluster API objects: kubectl annotate -n %s machinedeployments.cluster.x-k8s.io %s %s- %s-",
			name, namespace, name, release.SizeAnnotation(prefix, "min"), release.SizeAnnotation(prefix, "max"))
	}
	if err := c.Delete(ctx, kube.MachineDeployments, namespace, name); err != nil {
		return fmt.Errorf("delete the machine deployment %s: %w", name, err)
	}
	err = c.Wait(ctx, kube.Machines, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		left := 0
		for _, m := range all {
			if m.GetLabels()[clusterv1.MachineDeploymentNameLabel] == name {
				left++
			}
		}
		return left == 0, fmt.Sprintf("%d machines to go", left)
	}, progress)
	if err != nil {
		return err
	}
	// Its name can be used again only after its last finalizer is gone.
	err = c.Wait(ctx, kube.MachineDeployments, namespace, func(all []*unstructured.Unstructured) (bool, string) {
		there := slices.ContainsFunc(all, func(g *unstructured.Unstructured) bool { return g.GetUID() == group.GetUID() && g.GetName() == name })
		return !there, "the machine deployment to go"
	}, progress)
	if err != nil {
		return err
	}
	return deleteTemplates(ctx, c, group)
}

// deleteTemplates deletes the templates that were made for a group that is gone: those with its
// name in their label, since it may have had others before, and those that it took over from a
// group that is gone too. Templates stay that another MachineDeployment refers to, whichever
// label they have.
func deleteTemplates(ctx context.Context, c *kube.Client, group *unstructured.Unstructured) error {
	others, err := c.List(ctx, kube.MachineDeployments, group.GetNamespace())
	if err != nil {
		return fmt.Errorf("look for other users of the templates of %s: %w", group.GetName(), err)
	}
	var left usersOf
	for i := range others {
		left.add(&others[i])
	}
	var errs []error
	for _, ref := range [][]string{machineRef, bootstrapRef} {
		kind, named := reference(group, ref)
		if kind.Kind == "" {
			continue
		}
		templates, err := templatesOf(ctx, c, kind, group, named)
		errs = append(errs, err)
		for i := range templates {
			t := &templates[i]
			if madeFor := t.GetLabels()[GroupLabel]; left.use(kind, t.GetName()) ||
				madeFor != group.GetName() && (madeFor == "" || t.GetName() != named || left.groups[madeFor]) {
				continue
			}
			if err := c.Delete(ctx, kind, t.GetNamespace(), t.GetName()); err != nil && !apierrors.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("delete the template %s %s: %w", kind.Kind, t.GetName(), err))
			}
		}
	}
	return errors.Join(errs...)
}

// usersOf has MachineDeployments and the templates that they refer to.
type usersOf struct {
	groups    map[string]bool
	templates map[schema.GroupKind]map[string]bool
}

func (u *usersOf) add(group *unstructured.Unstructured) {
	if u.groups == nil {
		u.groups, u.templates = map[string]bool{}, map[schema.GroupKind]map[string]bool{}
	}
	u.groups[group.GetName()] = true
	for _, ref := range [][]string{machineRef, bootstrapRef} {
		kind, name := reference(group, ref)
		if u.templates[kind] == nil {
			u.templates[kind] = map[string]bool{}
		}
		u.templates[kind][name] = true
	}
}

func (u *usersOf) use(kind schema.GroupKind, name string) bool { return u.templates[kind][name] }

// templatesOf lists the templates of a kind. A user without that right gets the one that the group
// refers to, by its name. If not even that is allowed, and the name says that the template was
// made for the group, the error is an *interrupt.LeftError.
func templatesOf(ctx context.Context, c *kube.Client, kind schema.GroupKind, group *unstructured.Unstructured, name string) ([]unstructured.Unstructured, error) {
	templates, err := c.List(ctx, kind, group.GetNamespace())
	if !apierrors.IsForbidden(err) {
		if err != nil {
			err = fmt.Errorf("look for the templates %s of %s: %w", kind.Kind, group.GetName(), err)
		}
		return templates, err
	}
	template, err := c.Get(ctx, kind, group.GetNamespace(), name)
	switch {
	case err == nil:
		return []unstructured.Unstructured{*template}, nil
	case kube.IsAbsent(err) || apierrors.IsForbidden(err) && !strings.HasPrefix(name, group.GetName()):
		return nil, nil
	}
	return nil, &interrupt.LeftError{
		What: "the template " + kind.Kind + " " + name, Command: fmt.Sprintf("kubectl -n %s delete %s %s", group.GetNamespace(), kind, name), Err: err,
	}
}
