package recorder

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/objectfacts"
)

// schedulingKinds are objects that decide where pods fit, beside pods and nodes. Of each only its
// shape is recorded.
var schedulingKinds = map[schema.GroupKind]timeline.Kind{
	kube.DaemonSets: timeline.DaemonSet, kube.Namespaces: timeline.Namespace, kube.Claims: timeline.Claim,
	kube.Volumes: timeline.Volume, kube.StorageClasses: timeline.StorageClass, kube.CSINodes: timeline.CSINode,
}

// followScheduling follows schedulingKinds. When all objects of a kind were seen, it records that
// they are on record, of which there may be none.
func (r *recorder) followScheduling(ctx context.Context) []<-chan struct{} {
	var all []<-chan struct{}
	for kind, of := range schedulingKinds {
		all = append(all, r.follow(ctx, r.Workload, kube.Follower{
			Kind: kind, OnChange: func(change kube.Change) { r.scheduling(of, change) },
			OnSynced: func() { r.allSeen(of) },
		}))
	}
	return all
}

// allSeen records once that all objects of a kind are on record, of which there may be none.
func (r *recorder) allSeen(kind timeline.Kind) {
	r.recordDeleted(kind)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.complete[kind] {
		return
	}
	r.recordFacts([]timeline.Fact{{Time: r.now(), Kind: kind, What: timeline.Shaped, Source: timeline.Watch}})
}

// scheduling records an object of schedulingKinds.
func (r *recorder) scheduling(kind timeline.Kind, change kube.Change) {
	o := change.After
	if o == nil {
		r.recordGone(kind, string(change.Before.GetUID()))
		return
	}
	f, err := objectfacts.Scheduling(kind, o, r.now())
	if err != nil {
		r.report(err)
		return
	}
	r.observe(kind, string(o.GetUID()), func() []timeline.Fact { return []timeline.Fact{f} })
}
