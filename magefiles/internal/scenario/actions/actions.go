package actions

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
)

// actionTime is the maximum duration of an action.
const actionTime = 3 * time.Minute

// Do does an action that is not about the autoscaler.
func (c *Cluster) Do(ctx context.Context, a *scenario.Action, progress func(string)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, actionTime, fmt.Errorf("it took longer than %s", actionTime))
	defer cancel()
	switch {
	case a.Workload != nil:
		return c.makeWorkload(ctx, a.Workload)
	case a.Scale != nil:
		return c.scaleWorkload(ctx, a.Scale)
	case a.Delete != nil && a.Delete.Workload != "":
		return c.deleteWorkload(ctx, a.Delete.Workload, progress)
	case a.Delete != nil:
		return c.deleteObject(ctx, a.Delete.Object)
	case a.Annotate != nil:
		return c.annotate(ctx, a.Annotate)
	case a.Apply != nil:
		return c.apply(ctx, a.Apply)
	case a.Patch != nil:
		return c.patch(ctx, a.Patch)
	case a.Node != nil:
		return c.changeNodes(ctx, a.Node)
	case a.Machine != nil:
		return c.changeMachines(ctx, a.Machine)
	case a.Group != nil:
		return c.changeGroup(ctx, a.Group, progress)
	case a.Controllers == "stop":
		return c.stopControllers(ctx, progress)
	case a.Controllers == "start":
		return c.startControllers(ctx, progress)
	case a.Limits != nil && a.Limits.None:
		return c.patchGroup(ctx, a.Limits.Group, annotated(map[string]any{
			release.SizeAnnotation(c.SizePrefix, "min"): nil, release.SizeAnnotation(c.SizePrefix, "max"): nil,
		}))
	case a.Limits != nil:
		_, err := capi.SetSizes(ctx, c.Management, c.Namespace, c.Cluster, c.Prefix+a.Limits.Group, c.SizePrefix, a.Limits.Min, a.Limits.Max, nil)
		return err
	case a.Pause != "":
		return c.setPaused(ctx, a.Pause, true)
	case a.Resume != "":
		return c.setPaused(ctx, a.Resume, false)
	default:
		return c.rollOut(ctx, c.Prefix+a.Rollout)
	}
}

// setPaused pauses or resumes a group, or TheCluster.
func (c *Cluster) setPaused(ctx context.Context, what string, paused bool) error {
	if what == scenario.TheCluster {
		return c.setClusterPaused(ctx, paused)
	}
	var value any
	if paused {
		value = "true"
	}
	return c.patchGroup(ctx, what, annotated(map[string]any{clusterv1.PausedAnnotation: value}))
}

func (c *Cluster) setClusterPaused(ctx context.Context, paused bool) error {
	patch := annotated(map[string]any{pausedByScenario: nil})
	patch["spec"] = map[string]any{"paused": false}
	if paused {
		patch = annotated(map[string]any{pausedByScenario: c.Scenario.Name})
		patch["spec"] = map[string]any{"paused": true}
	}
	return c.Management.Patch(ctx, kube.Clusters, c.Namespace, c.Cluster, patch)
}

// rollOut replaces all machines of a group without changing anything else.
func (c *Cluster) rollOut(ctx context.Context, group string) error {
	md, err := c.Management.Get(ctx, kube.MachineDeployments, c.Namespace, group)
	if err != nil {
		return err
	}
	now := c.Now().UTC().Format(time.RFC3339)
	patch := map[string]any{}
	for _, path := range release.APIOf(md.GroupVersionKind().Version).RolloutTimes {
		if err := unstructured.SetNestedField(patch, now, path...); err != nil {
			return err
		}
	}
	return c.Management.Patch(ctx, kube.MachineDeployments, c.Namespace, group, patch)
}
