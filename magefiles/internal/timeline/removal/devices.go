package removal

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/world"
)

// poolsOf returns the pools of devices from which the autoscaler computes how much of a node is in
// use. It returns none if the autoscaler does not look at devices, or if the record is not
// complete.
func poolsOf(w *world.World, n *world.Node) []world.Pool {
	if !w.Autoscaler.JudgesDevices() || !w.Complete[timeline.ResourceSlice] || !w.Complete[timeline.ResourceClaim] {
		return nil
	}
	return world.PoolsOf(w.Devices.Of(n.Name))
}

// missing returns which slices a pool lacks, empty if it has all.
func missing(p world.Pool) string {
	if p.IsComplete() {
		return ""
	}
	return fmt.Sprintf("the pool %s has %d of its %s", p, len(p.Slices), timeline.Plural(p.Wants(), "ResourceSlice"))
}

// counts reports whether the devices of a pool share counters, from which the autoscaler computes
// since 1.36.0 how much of the pool is in use. The lab does not do that.
func counts(p world.Pool) bool {
	return slices.ContainsFunc(p.Slices, func(s *resourcev1.ResourceSlice) bool { return len(s.Spec.SharedCounters) > 0 })
}

// useDevices replaces the shares of cpu and memory by those of a node's devices. All allocated
// devices count, whichever pod uses them. Source: simulator/utilization/info.go of 1.32.0 to
// 1.36.1, and simulator/dynamicresources/utils/utilization.go.
func (u *Usage) useDevices(w *world.World, pools []world.Pool) {
	u.Devices, u.Decisive, u.Share, u.Shares, u.Excluded, u.flags = true, "", 0, nil, nil, ""
	for _, p := range pools {
		u.Failed = cmp.Or(u.Failed, missing(p))
		if counts(p) {
			u.unjudged = "the utilisation of the devices of " + p.String() + ", because they share counters"
		}
		all, allocated := w.Devices.Count(p)
		name, part := corev1.ResourceName(p.String()), float64(allocated)/float64(max(1, all))
		u.Shares = append(u.Shares, ResourceShare{name, part, part})
		if part >= u.Share {
			u.Decisive, u.Share = name, part
		}
	}
	limit := u.Threshold.Number()
	u.Idle = u.unjudged != "" || u.Share < limit || u.Share == limit && w.Autoscaler.Release().RemovesAtThreshold
}
