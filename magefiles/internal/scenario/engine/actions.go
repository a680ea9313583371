package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/workload"
)

// pausedByScenario is the annotation of a Cluster that a scenario paused. Its value
// is the name of the scenario.
const pausedByScenario = "caslab.local/paused-by-scenario"

// actionTime is the maximum duration of an action.
const actionTime = 3 * time.Minute

func (e *engine) do(ctx context.Context, a *scenario.Action, progress func(string)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, actionTime, fmt.Errorf("it took longer than %s", actionTime))
	defer cancel()
	o := e.o
	switch {
	case a.Workload != nil:
		return e.makeWorkload(ctx, a.Workload)
	case a.Scale != nil:
		return workload.Scale(ctx, o.Workload, o.PodNamespace, o.Prefix+a.Scale.Workload, a.Scale.Pods)
	case a.Delete != nil && a.Delete.Workload != "":
		return workload.Delete(ctx, o.Workload, o.PodNamespace, o.Prefix+a.Delete.Workload, progress)
	case a.Delete != nil:
		return e.deleteObject(ctx, a.Delete.Object)
	case a.Annotate != nil:
		return e.annotate(ctx, a.Annotate)
	case a.Limits != nil:
		_, err := capi.SetSizes(ctx, o.Management, o.Namespace, o.Cluster, o.Prefix+a.Limits.Group, o.SizePrefix, a.Limits.Min, a.Limits.Max, nil)
		return err
	case a.Autoscaler != "":
		return e.autoscaler(ctx, a.Autoscaler)
	case a.Pause != "":
		return e.setPaused(ctx, a.Pause, true)
	case a.Resume != "":
		return e.setPaused(ctx, a.Resume, false)
	default:
		return e.rollOut(ctx, o.Prefix+a.Rollout)
	}
}

func (e *engine) makeWorkload(ctx context.Context, w *scenario.Workload) error {
	memory := ""
	if w.Memory != "" {
		workers, err := e.workers(ctx)
		if err != nil {
			return err
		}
		percent, err := scenario.Percentage(w.Memory)
		if err != nil {
			return err
		}
		if memory, err = shareOf(workers, percent); err != nil {
			return err
		}
	}
	selector := map[string]string{poolLabel: e.o.Prefix + w.Pool}
	maps.Copy(selector, w.Select)
	_, err := workload.Workload{
		Name: e.o.Prefix + w.Name, Namespace: e.o.PodNamespace, Replicas: w.Pods, Memory: memory,
		NodeSelector: selector, Tolerations: w.Tolerate, Extra: e.scenarioLabels(),
	}.Add(ctx, e.o.Workload)
	return err
}

// shareOf returns a percentage of the smallest worker's allocatable memory as a
// quantity, at least 1Mi.
func shareOf(workers []corev1.Node, percent int) (string, error) {
	var least int64
	for _, n := range workers {
		memory := n.Status.Allocatable.Memory().Value()
		if memory <= 0 {
			return "", fmt.Errorf("the node %s does not report its allocatable memory", n.Name)
		}
		if least == 0 || memory < least {
			least = memory
		}
	}
	const mebi = 1 << 20
	return fmt.Sprintf("%dMi", max(least*int64(percent)/100/mebi, 1)), nil
}

func (e *engine) deleteObject(ctx context.Context, name string) error {
	for _, o := range e.s.Objects {
		if scenario.ObjectName(o) != name {
			continue
		}
		object, err := e.object(o)
		if err != nil {
			return err
		}
		return e.o.Workload.Delete(ctx, object.GroupVersionKind().GroupKind(), object.GetNamespace(), object.GetName())
	}
	return fmt.Errorf("the scenario has no %s", name)
}

func (e *engine) annotate(ctx context.Context, a *scenario.Annotate) error {
	pods, err := e.o.Workload.List(ctx, kube.Pods, e.o.PodNamespace)
	if err != nil {
		return err
	}
	annotations := map[string]any{}
	for key, value := range a.Annotations {
		annotations[key] = nil
		if value != nil {
			annotations[key] = *value
		}
	}
	done := 0
	for i := range pods {
		p := &pods[i]
		if p.GetLabels()[workload.Label] != e.o.Prefix+a.Workload || p.GetDeletionTimestamp() != nil {
			continue
		}
		done++
		if err := e.o.Workload.Patch(ctx, kube.Pods, e.o.PodNamespace, p.GetName(), annotated(annotations)); err != nil {
			return err
		}
	}
	if done == 0 {
		return fmt.Errorf("the workload %s has no pods", a.Workload)
	}
	return nil
}

// annotated returns a patch that sets annotations; a nil value removes one.
func annotated(annotations map[string]any) map[string]any {
	return map[string]any{"metadata": map[string]any{"annotations": annotations}}
}

func (e *engine) autoscaler(ctx context.Context, action string) error {
	if action == "stop" || action == "restart" {
		if err := e.o.Autoscaler.Stop(ctx); err != nil {
			return err
		}
	}
	if action == "stop" {
		return nil
	}
	return e.startAutoscaler(ctx)
}

// startAutoscaler starts the autoscaler with the scenario's flags.
func (e *engine) startAutoscaler(ctx context.Context) error {
	flags := make([]string, len(e.s.Autoscaler.Flags))
	for i, flag := range e.s.Autoscaler.Flags {
		var err error
		if flags[i], err = e.variables().Expand(flag); err != nil {
			return err
		}
	}
	return e.o.Autoscaler.Start(ctx, flags)
}

// setPaused pauses or resumes a group, or TheCluster.
func (e *engine) setPaused(ctx context.Context, what string, paused bool) error {
	if what == scenario.TheCluster {
		return e.setClusterPaused(ctx, paused)
	}
	var value any
	if paused {
		value = "true"
	}
	return e.o.Management.Patch(ctx, kube.MachineDeployments, e.o.Namespace, e.o.Prefix+what, annotated(map[string]any{clusterv1.PausedAnnotation: value}))
}

func (e *engine) setClusterPaused(ctx context.Context, paused bool) error {
	patch := annotated(map[string]any{pausedByScenario: nil})
	patch["spec"] = map[string]any{"paused": false}
	if paused {
		patch = annotated(map[string]any{pausedByScenario: e.s.Name})
		patch["spec"] = map[string]any{"paused": true}
	}
	return e.o.Management.Patch(ctx, kube.Clusters, e.o.Namespace, e.o.Cluster, patch)
}

// rollOut replaces all machines of a group without changing anything else.
func (e *engine) rollOut(ctx context.Context, group string) error {
	md, err := e.o.Management.Get(ctx, kube.MachineDeployments, e.o.Namespace, group)
	if err != nil {
		return err
	}
	e.w.recordOldMachines(group)
	now := e.o.Now().UTC().Format(time.RFC3339)
	patch := map[string]any{}
	for _, path := range release.APIOf(md.GroupVersionKind().Version).RolloutTimes {
		if err := unstructured.SetNestedField(patch, now, path...); err != nil {
			return err
		}
	}
	return e.o.Management.Patch(ctx, kube.MachineDeployments, e.o.Namespace, group, patch)
}

// object returns one of the scenario's objects with the variables replaced and the
// label of scenarios added.
func (e *engine) object(o map[string]any) (*unstructured.Unstructured, error) {
	filled, err := scenario.Substitute(o, e.variables().Expand)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{Object: filled.(map[string]any)}
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[objectLabel] = e.s.Name
	object.SetLabels(labels)
	return object, nil
}

// applyObjects creates the scenario's objects. It refuses to replace an object that
// no scenario created.
func (e *engine) applyObjects(ctx context.Context) error {
	for _, o := range e.s.Objects {
		object, err := e.object(o)
		if err != nil {
			return err
		}
		kind := object.GroupVersionKind().GroupKind()
		there, err := e.o.Workload.Get(ctx, kind, object.GetNamespace(), object.GetName())
		switch {
		case err == nil && there.GetLabels()[objectLabel] == "":
			return fmt.Errorf("there is a %s %s/%s that no scenario created; delete or rename it, and run the scenario again", kind.Kind, object.GetNamespace(), object.GetName())
		case err == nil:
			continue
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("look for the %s %s: %w", kind.Kind, object.GetName(), err)
		}
		if err := e.o.Workload.Create(ctx, object); err != nil {
			return fmt.Errorf("make the %s %s: %w", kind.Kind, object.GetName(), err)
		}
	}
	return nil
}

func (e *engine) variables() scenario.Variables {
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	return scenario.Variables{Prefix: e.o.Prefix, Namespace: e.o.PodNamespace, ConfigNamespace: e.o.ConfigNamespace, Nodes: e.w.nodesBefore}
}

// workers returns the worker nodes, at least one.
func (e *engine) workers(ctx context.Context) ([]corev1.Node, error) {
	workers, err := workload.Workers(ctx, e.o.Workload)
	if err == nil && len(workers) == 0 {
		err = errors.New("the cluster has no worker node to measure; scale a machine deployment to 1")
	}
	return workers, err
}

func atoi(text string) int {
	n, _ := strconv.Atoi(text) // empty is none
	return n
}

// scenarioLabels returns the labels of what the scenario creates.
func (e *engine) scenarioLabels() map[string]string { return map[string]string{objectLabel: e.s.Name} }

// ours reports whether a scenario with this prefix created an object.
func (e *engine) ours(o *unstructured.Unstructured) bool {
	return strings.HasPrefix(o.GetName(), e.o.Prefix) && o.GetLabels()[objectLabel] != ""
}
