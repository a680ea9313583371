package recorder

import (
	"context"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/objectfacts"
	"caslab/magefiles/internal/timeline/shape"
)

// followTemplates follows the kind of a group's infrastructure template.
func (r *recorder) followTemplates(ctx context.Context, group *unstructured.Unstructured) {
	if group != nil && r.isOurs(group) {
		r.followReferred(ctx, timeline.Template, shape.TemplateKind(group), r.template)
	}
}

// followExternals follows the kinds of a Machine's infrastructure machine and bootstrap config.
func (r *recorder) followExternals(ctx context.Context, machine *unstructured.Unstructured) {
	if machine == nil || !r.isOurs(machine) {
		return
	}
	for factKind, kind := range map[timeline.Kind]schema.GroupKind{
		timeline.InfrastructureMachine: shape.InfrastructureKind(machine), timeline.BootstrapConfig: shape.BootstrapKind(machine),
	} {
		r.followReferred(ctx, factKind, kind, func(change kube.Change) { r.external(factKind, change) })
	}
}

// followReferred follows a kind of objects to which a group or a machine refers, unless it is followed
// already.
func (r *recorder) followReferred(ctx context.Context, factKind timeline.Kind, kind schema.GroupKind, onChange func(kube.Change)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.referred[kind]; known || kind.Group == "" || kind.Kind == "" {
		return
	}
	r.referred[kind] = r.followOptional(ctx, r.Management, kube.Follower{
		Kind: kind, Namespace: r.Namespace, OnChange: onChange, OnSynced: func() { r.recordDeletedOf(factKind, kind.Kind+"/") },
	})
}

// referredSeen returns channels that are closed when all objects of the followed kinds were seen.
func (r *recorder) referredSeen() []<-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.referred))
}

// external records the problems that an infrastructure machine or a bootstrap config reports, and when it reports
// none any more.
func (r *recorder) external(kind timeline.Kind, change kube.Change) {
	o := change.After
	if o == nil {
		r.recordGone(kind, string(change.Before.GetUID()))
		return
	}
	if cluster := o.GetLabels()[clusterv1.ClusterNameLabel]; r.Cluster != "" && cluster != "" && cluster != r.Cluster {
		return
	}
	f, hasProblem := objectfacts.External(kind, o, r.now())
	if !hasProblem {
		r.recordGone(kind, string(o.GetUID()))
		return
	}
	r.observe(kind, string(o.GetUID()), func() []timeline.Fact { return []timeline.Fact{f} })
}

// externalKind returns the kind of facts for a kind of objects: InfrastructureMachine for …Machine, BootstrapConfig
// for …Config, as Cluster API's contracts name them. It returns false for any other kind of objects.
func externalKind(kind schema.GroupKind) (timeline.Kind, bool) {
	switch {
	case kind.Group == infrastructureGroup && hasSuffix(kind, "Machine"):
		return timeline.InfrastructureMachine, true
	case kind.Group == bootstrapGroup && hasSuffix(kind, "Config"):
		return timeline.BootstrapConfig, true
	}
	return "", false
}
