package removal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/world"
)

// pool is a pool of devices on a node, with the slices of its newest generation.
type pool struct {
	name   string // driver/pool
	slices []*resourcev1.ResourceSlice
}

// poolsOf returns the pools of devices from which the autoscaler computes how much of a node is in
// use. It returns none if the autoscaler does not look at devices, or if the record is not
// complete.
func poolsOf(w *world.World, n *world.Node) []pool {
	if !w.Autoscaler.JudgesDevices() || !w.Complete[timeline.ResourceSlice] || !w.Complete[timeline.ResourceClaim] {
		return nil
	}
	var pools []pool
	for _, s := range w.Devices.Of(n.Name) {
		name := s.Spec.Driver + "/" + s.Spec.Pool.Name
		i := slices.IndexFunc(pools, func(p pool) bool { return p.name == name })
		if i < 0 {
			pools, i = append(pools, pool{name: name}), len(pools)
		}
		p := &pools[i]
		if len(p.slices) > 0 && s.Spec.Pool.Generation > p.slices[0].Spec.Pool.Generation {
			p.slices = nil
		}
		if len(p.slices) == 0 || s.Spec.Pool.Generation == p.slices[0].Spec.Pool.Generation {
			p.slices = append(p.slices, s)
		}
	}
	slices.SortFunc(pools, func(a, b pool) int { return strings.Compare(a.name, b.name) })
	return pools
}

// missing returns which slices the pool lacks, empty if it has all.
func (p pool) missing() string {
	if want := p.slices[0].Spec.Pool.ResourceSliceCount; int64(len(p.slices)) != want {
		return fmt.Sprintf("the pool %s has %d of its %s", p.name, len(p.slices), timeline.Plural(int(want), "ResourceSlice"))
	}
	return ""
}

// share returns which part of the pool's devices is allocated.
func (p pool) share(w *world.World) float64 {
	all, allocated := 0, 0
	for _, s := range p.slices {
		for _, d := range s.Spec.Devices {
			all++
			if w.Devices.Allocated(s, d.Name) {
				allocated++
			}
		}
	}
	return float64(allocated) / float64(max(1, all))
}

// counts reports whether the devices of the pool share counters, from which the autoscaler computes
// since 1.36.0 how much of the pool is in use. The lab does not do that.
func (p pool) counts() bool {
	return slices.ContainsFunc(p.slices, func(s *resourcev1.ResourceSlice) bool { return len(s.Spec.SharedCounters) > 0 })
}

// useDevices replaces the shares of cpu and memory by those of a node's devices. All allocated
// devices count, whichever pod uses them. Source: simulator/utilization/info.go of 1.32.0 to
// 1.36.1, and simulator/dynamicresources/utils/utilization.go.
func (u *Usage) useDevices(w *world.World, pools []pool) {
	u.Devices, u.Decisive, u.Share, u.Shares, u.Excluded, u.flags = true, "", 0, nil, nil, ""
	for _, p := range pools {
		u.Failed = cmp.Or(u.Failed, p.missing())
		if p.counts() {
			u.unjudged = "how much of the devices of " + p.name + " is in use, which share counters"
		}
		name, part := corev1.ResourceName(p.name), p.share(w)
		u.Shares = append(u.Shares, ResourceShare{name, part, part})
		if part >= u.Share {
			u.Decisive, u.Share = name, part
		}
	}
	limit := u.Threshold.Number()
	u.Idle = u.unjudged != "" || u.Share < limit || u.Share == limit && w.Autoscaler.Release().RemovesAtThreshold
}
