package recorder

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/logfacts"
	"caslab/magefiles/internal/timeline/objectfacts"
	"caslab/magefiles/internal/timeline/shape"
)

// Snapshot is what somebody saved of a cluster: objects, and the log of its autoscaler.
type Snapshot struct {
	// Taken is when the objects were read. A fact for which an object has no time gets
	// this one.
	Taken time.Time
	// Objects for which Records returns true, in any order. Of no kind need all be there, apart from
	// those in Complete.
	Objects []*unstructured.Unstructured
	// Complete are kinds of which Objects has all that the cluster had. Those for which it does not
	// matter are ignored, as are those of which an object does not fit its type.
	Complete []schema.GroupKind
	// Lines of the autoscaler's logs, each log in its own order.
	Lines []Line
}

// Line is a line of a log.
type Line struct {
	speech.Entry
	// At is when it was written.
	At time.Time
}

// recordedKinds are the kinds of objects that become facts, in the order in which they are
// recorded: machines know their groups, nodes their machines, and pods their nodes.
var recordedKinds = []schema.GroupKind{
	kube.Clusters, kube.MachineDeployments, kube.MachinePools, kube.MachineSets, kube.Machines, kube.Nodes, kube.Budgets, kube.Pods, kube.ConfigMaps, kube.Events,
	kube.DaemonSets, kube.Namespaces, kube.Claims, kube.Volumes, kube.StorageClasses, kube.CSINodes, kube.CSIDrivers, kube.StorageCapacities, kube.VolumeAttachments,
	kube.ResourceClaims, kube.ClaimTemplates, kube.ResourceSlices, kube.DeviceClasses,
}

// Kinds returns the kinds of objects that become facts. Infrastructure templates of machines,
// infrastructure machines and bootstrap configs do too, whatever their kind.
func Kinds() []schema.GroupKind { return slices.Clone(recordedKinds) }

// CompleteKind returns the kind of the fact with which a record says that it has all objects of a kind.
// It returns false for a kind of which answers do not depend on that.
func CompleteKind(kind schema.GroupKind) (timeline.Kind, bool) {
	if kind == kube.Budgets {
		return timeline.Budget, true
	}
	k, there := schedulingKinds[kind]
	return k, there
}

// Records reports whether an object may become facts: whether its kind is one that the
// recorder follows and, if it is a ConfigMap or an event, whether the autoscaler wrote it. An
// infrastructure machine or a bootstrap config becomes a fact if it reports a problem.
func Records(o *unstructured.Unstructured) bool {
	kind := o.GroupVersionKind().GroupKind()
	switch kind {
	case kube.ConfigMaps:
		return o.GetName() == autoscaler.StatusConfigMap
	case kube.Events:
		return objectfacts.IsFromAutoscaler(o)
	}
	if _, isExternal := externalKind(kind); isExternal {
		_, reports := shape.OfExternal(o)
		return reports
	}
	return slices.Contains(recordedKinds, kind) && shape.CheckDevices(o) == nil || isTemplate(kind)
}

// SnapshotFacts returns the facts of a snapshot of a cluster. It calls onError for each
// object that does not fit the type of its kind. The recording begins at the autoscaler's
// first message, in a log or an event; what happened before is known only from objects.
func SnapshotFacts(s Snapshot, onError func(error)) []timeline.Fact {
	var facts []timeline.Fact
	var current schema.GroupKind // of the object that is recorded
	misfits := map[schema.GroupKind]bool{}
	r := newRecorder(Options{OnError: func(err error) {
		misfits[current] = true
		onError(err)
	}}, nil)
	r.now = func() time.Time { return s.Taken }
	r.write = func(more ...timeline.Fact) error {
		facts = append(facts, more...)
		return nil
	}
	r.bookmark.Events = map[string]string{}
	if clusters := clusterNames(s.Objects); len(clusters) == 1 {
		r.groups = objectfacts.NewGroups(clusters[0])
	}
	lines := logfacts.Reader{Partial: true}
	messages := make([]message, 0, len(s.Lines))
	for _, line := range s.Lines {
		messages = append(messages, message{line.At, func() { r.logEntry(line.Entry, line.At, &lines) }})
	}
	objects := slices.Clone(s.Objects)
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return slices.Index(recordedKinds, a.GroupVersionKind().GroupKind()) - slices.Index(recordedKinds, b.GroupVersionKind().GroupKind())
	})
	for _, object := range objects {
		if current = object.GroupVersionKind().GroupKind(); current != kube.Events {
			r.object(object)
			continue
		}
		e, err := kube.Event(object)
		if err != nil {
			r.report(err)
			continue
		}
		f, _ := objectfacts.Event(e)
		messages = append(messages, message{f.Time, func() { r.event(kube.Change{After: object}) }})
	}
	for _, kind := range s.Complete {
		if factKind, matters := CompleteKind(kind); matters && !misfits[kind] {
			r.allSeen(factKind)
		}
	}
	slices.SortStableFunc(messages, func(a, b message) int { return a.at.Compare(b.at) })
	begin := s.Taken
	for _, m := range messages {
		if !m.at.IsZero() && m.at.Before(begin) {
			begin = m.at
		}
	}
	facts = append(facts, timeline.Fact{Time: begin, Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
	for _, m := range messages {
		m.record()
	}
	r.logRest(&lines)
	return facts
}

// clusterNames returns the names of the Clusters among the objects.
func clusterNames(objects []*unstructured.Unstructured) []string {
	var names []string
	for _, o := range objects {
		if o.GroupVersionKind().GroupKind() == kube.Clusters {
			names = append(names, o.GetName())
		}
	}
	return names
}

// message is a line of a log or an event.
type message struct {
	at     time.Time
	record func()
}

// object records an object that is no event.
func (r *recorder) object(o *unstructured.Unstructured) {
	change := kube.Change{After: o}
	switch o.GroupVersionKind().GroupKind() {
	case kube.Clusters:
		r.cluster(change)
	case kube.MachineDeployments, kube.MachinePools, kube.MachineSets:
		r.group(change)
	case kube.Machines:
		r.machine(change)
	case kube.Nodes:
		r.node(change)
	case kube.Budgets:
		r.budget(change)
	case kube.ConfigMaps:
		r.status(change)
	case kube.Pods:
		pod, err := kube.Pod(o)
		if err != nil {
			r.report(err)
			return
		}
		if containers := objectfacts.AutoscalerContainers(pod); len(containers) > 0 {
			r.observeProcess(pod, containers)
		}
		r.observePod(pod)
	default:
		if kind, there := schedulingKinds[o.GroupVersionKind().GroupKind()]; there {
			r.scheduling(kind, change)
			return
		}
		if kind, is := externalKind(o.GroupVersionKind().GroupKind()); is {
			r.external(kind, change)
			return
		}
		r.template(change)
	}
}

// isTemplate reports whether objects of a kind are infrastructure templates of machines, or the
// infrastructure of MachinePools, which is their template.
func isTemplate(kind schema.GroupKind) bool {
	return kind.Group == infrastructureGroup && (hasSuffix(kind, "MachineTemplate") || hasSuffix(kind, "MachinePool"))
}

func hasSuffix(kind schema.GroupKind, suffix string) bool {
	return strings.HasSuffix(kind.Kind, suffix)
}

// The API groups of the providers' objects.
const (
	infrastructureGroup = "infrastructure.cluster.x-k8s.io"
	bootstrapGroup      = "bootstrap.cluster.x-k8s.io"
)
