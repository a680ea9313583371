package objectfacts

import (
	"cmp"
	"strconv"
	"time"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// Machine returns the facts of a Machine's present state.
func Machine(o *unstructured.Unstructured, group string, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Machine, o, group)
	facts := []timeline.Fact{complete(f, timeline.Created, cmp.Or(o.GetCreationTimestamp().Time, now), ""), shaped(f, o, now, shape.OfMachine(o))}
	f.Node = kube.Field(o, "status", "nodeRef", "name")
	if phase := kube.Field(o, "status", "phase"); phase != "" {
		since := parseTime(kube.Field(o, "status", "lastUpdated"))
		if deleted := o.GetDeletionTimestamp(); deleted != nil && phase == "Deleting" {
			since = deleted.Time
		}
		facts = append(facts, complete(f, timeline.Phase, cmp.Or(since, now), phase))
	}
	at, marked := autoscaler.DeleteMark(o)
	if !marked {
		return append(facts, complete(f, timeline.Unmarked, now, ""))
	}
	return append(facts, complete(f, timeline.Marked, cmp.Or(autoscaler.ParseTime(at), now), ""))
}

// External returns the fact of the problems that an infrastructure machine or a bootstrap config reports now.
// It returns false if the object reports none.
func External(kind timeline.Kind, o *unstructured.Unstructured, now time.Time) (timeline.Fact, bool) {
	external, reports := shape.OfExternal(o)
	f := complete(factAbout(kind, o, ""), timeline.Shaped, now, "")
	f.Name, f.Shape = o.GetKind()+"/"+f.Name, shape.Encode(external)
	return f, reports
}

// Group returns the facts of the present state of a MachineDeployment, MachineSet or MachinePool.
func Group(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Group, o, o.GetName())
	facts := []timeline.Fact{complete(f, timeline.Created, cmp.Or(o.GetCreationTimestamp().Time, now), ""), shaped(f, o, now, shape.OfGroup(o))}
	if n, ok := number(o, "spec", "replicas"); ok {
		manager, at := changedBy(o, "spec", "replicas")
		size := complete(f, timeline.Sized, cmp.Or(at, now), manager)
		size.N = &n
		facts = append(facts, size)
	}
	n, _ := number(o, "status", "readyReplicas") // it is left out while it is 0
	ready := complete(f, timeline.ReadyCount, now, "")
	ready.N = &n
	facts = append(facts, ready, complete(f, timeline.Limits, now, limits(o)))
	_, annotated := o.GetAnnotations()[clusterv1.PausedAnnotation]
	return append(facts, complete(f, pausedIf(annotated || kube.Field(o, "spec", "paused") == "true"), now, ""))
}

// Cluster returns the facts of the Cluster's present state: whether it is paused,
// which pauses every group.
func Cluster(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
	_, annotated := o.GetAnnotations()[clusterv1.PausedAnnotation]
	return []timeline.Fact{complete(factAbout(timeline.Group, o, ""), pausedIf(annotated || kube.Field(o, "spec", "paused") == "true"), now, "")}
}

func pausedIf(paused bool) string {
	if paused {
		return timeline.Paused
	}
	return timeline.Resumed
}

// limits returns "MIN MAX", the size limits that the annotations, with either prefix, set for the
// autoscaler. It returns "" if the object is not a node group. Without a minimum, the autoscaler
// takes 0; without a maximum, it leaves the object out.
func limits(o *unstructured.Unstructured) string {
	for _, prefix := range []string{release.SizePrefix, release.OldSizePrefix} {
		size := func(which string) string { return o.GetAnnotations()[release.SizeAnnotation(prefix, which)] }
		if most := size("max"); most != "" {
			return cmp.Or(size("min"), "0") + " " + most
		}
	}
	return ""
}

func number(o *unstructured.Unstructured, path ...string) (int, bool) {
	n, err := strconv.Atoi(kube.Field(o, path...))
	return n, err == nil
}

// changedBy returns, among the managers of the field at path, the one whose fields changed last,
// and when they did. Both results are zero if managedFields does not have the field. Kubernetes
// 1.36 writes no time for a manager that uses the subresource scale.
func changedBy(o *unstructured.Unstructured, path ...string) (manager string, latest time.Time) {
	all, _, _ := unstructured.NestedSlice(o.Object, "metadata", "managedFields")
	for _, entry := range all {
		m, _ := entry.(map[string]any)
		fields := []string{"fieldsV1"}
		for _, p := range path {
			fields = append(fields, "f:"+p)
		}
		if _, found, err := unstructured.NestedFieldNoCopy(m, fields...); err != nil || !found {
			continue
		}
		text, _ := m["time"].(string)
		if at := parseTime(text); at.After(latest) || manager == "" {
			latest = at
			manager, _ = m["manager"].(string)
		}
	}
	return manager, latest
}
