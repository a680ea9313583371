package recorder

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/objectfacts"
	"caslab/magefiles/internal/timeline/shape"
)

// schedulingKinds are the kinds of objects that, beside pods and nodes, decide where pods fit. Only
// the shapes of these objects are recorded.
var schedulingKinds = map[schema.GroupKind]timeline.Kind{
	kube.DaemonSets: timeline.DaemonSet, kube.Namespaces: timeline.Namespace, kube.Claims: timeline.Claim,
	kube.Volumes: timeline.Volume, kube.StorageClasses: timeline.StorageClass, kube.CSINodes: timeline.CSINode,
	kube.CSIDrivers: timeline.CSIDriver, kube.StorageCapacities: timeline.StorageCapacity, kube.VolumeAttachments: timeline.Attachment,
	kube.ResourceClaims: timeline.ResourceClaim, kube.ClaimTemplates: timeline.ResourceClaimTemplate,
	kube.ResourceSlices: timeline.ResourceSlice, kube.DeviceClasses: timeline.DeviceClass,
}

// notEverywhere has the kinds of schedulingKinds that some clusters do not serve, and the API
// versions that the lab can read. nil means any version. Kubernetes has CSIDrivers since 1.14,
// VolumeAttachments since 1.13, CSIStorageCapacities since 1.19, and resource.k8s.io in these versions
// since 1.32, off by default until 1.34.
var notEverywhere = map[schema.GroupKind][]string{
	kube.CSIDrivers: nil, kube.StorageCapacities: nil, kube.VolumeAttachments: nil, kube.ResourceClaims: shape.DeviceVersions, kube.ClaimTemplates: shape.DeviceVersions,
	kube.ResourceSlices: shape.DeviceVersions, kube.DeviceClasses: shape.DeviceVersions,
}

// followScheduling follows schedulingKinds, apart from those that the cluster does not serve. When all
// objects of a kind were seen, it records that all of them are on record, even if there are none.
func (r *recorder) followScheduling(ctx context.Context) []<-chan struct{} {
	var all []<-chan struct{}
	answers := true // if the cluster cannot be asked, it is asked no more, and all kinds are followed
	for kind, factKind := range schedulingKinds {
		if versions, some := notEverywhere[kind]; some && answers {
			served, err := r.Workload.Serves(ctx, kind, versions...)
			if err != nil && ctx.Err() == nil { // the end of the recording is no failure
				r.report(err)
			}
			if answers = err == nil; answers && !served {
				continue
			}
		}
		all = append(all, r.followOptional(ctx, r.Workload, kube.Follower{
			Kind: kind, OnChange: func(change kube.Change) { r.scheduling(factKind, change) },
			OnSynced: func() { r.allSeen(factKind) },
		}))
	}
	return all
}

// allSeen records once that all objects of a kind are on record, even if there are none.
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
