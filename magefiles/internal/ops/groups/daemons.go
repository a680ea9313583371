package groups

import (
	"context"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// warnOfDaemons warns if the DaemonSets of the cluster request more than a node of a new group
// has: then no other pod that requests any runs there. It is no error, because somebody may want
// to see what the autoscaler does with such a group.
func (g *Groups) warnOfDaemons(ctx context.Context, c *target.Cluster, group capi.NodeGroup) {
	if len(group.Capacity) == 0 {
		return
	}
	ctx, cancel := g.bounded(ctx)
	defer cancel()
	pods, err := c.Workload.List(ctx, kube.Pods, "")
	if err != nil {
		g.Log.Printf("! whether DaemonSets leave room on nodes of %s is not known: %v", group.Name, err)
		return
	}
	w := &world.World{}
	for i := range pods {
		pod, err := kube.Pod(&pods[i])
		if err != nil {
			g.Log.Printf("! %v", err)
			continue
		}
		w.Pods = append(w.Pods, &world.Pod{Pod: shape.OfPod(pod), Name: pod.Namespace + "/" + pod.Name})
	}
	if offer, known := fit.New(w).Offer(&world.Group{Group: shape.Group{Annotations: group.Announced()}, Name: group.Name}); known {
		for _, text := range offer.Overfull {
			g.Log.Printf("! %s: no pod that requests any will run there", text)
		}
	}
}
