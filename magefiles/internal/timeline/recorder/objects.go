package recorder

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
)

// parsed reads a time of an object; the zero time if there is none.
func parsed(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// condition is one of an object's status.
type condition struct {
	status, reason, message string
	since                   time.Time
}

// conditionOf returns the object's condition of that type; an empty one if it
// has none.
func conditionOf(o *unstructured.Unstructured, kind string) condition {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range all {
		m, _ := c.(map[string]any)
		if m["type"] != kind {
			continue
		}
		text := func(field string) string { s, _ := m[field].(string); return s }
		return condition{text("status"), text("reason"), text("message"), parsed(text("lastTransitionTime"))}
	}
	return condition{}
}

// sentence joins a reason and a message as far as there are any.
func sentence(reason, message string) string {
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

// about begins every fact of an object.
func about(kind timeline.Kind, o *unstructured.Unstructured, group string) timeline.Fact {
	name := o.GetName()
	if kind == timeline.Pod {
		name = o.GetNamespace() + "/" + name
	}
	return timeline.Fact{Kind: kind, Name: name, UID: string(o.GetUID()), Group: group, Source: timeline.Watch}
}

// with completes a fact.
func with(f timeline.Fact, what string, at time.Time, text string) timeline.Fact {
	f.What, f.Time, f.Text = what, at, text
	return f
}

// houses are namespaces of what makes up a cluster, other than those that end
// in -system.
var houses = map[string]bool{
	"kube-public": true, "kube-node-lease": true, "cert-manager": true, "local-path-storage": true,
}

// house reports whether a namespace is of what makes up the cluster.
func house(namespace string) bool {
	return strings.HasSuffix(namespace, "-system") || houses[namespace]
}

// isWorkload reports whether a pod is one that a user made, or a scenario:
// none of the cluster's own, of a provider, of a DaemonSet or of a node.
func isWorkload(pod *unstructured.Unstructured) bool {
	_, provider := pod.GetLabels()[clusterv1.ProviderNameLabel]
	_, mirror := pod.GetAnnotations()[corev1.MirrorPodAnnotationKey]
	for _, owner := range pod.GetOwnerReferences() {
		if owner.Kind == "DaemonSet" || owner.Kind == "Node" {
			return false
		}
	}
	return !house(pod.GetNamespace()) && !provider && !mirror
}

// podFacts are what a pod tells now; group is of the node that it is on.
func podFacts(o *unstructured.Unstructured, group string, now time.Time) []timeline.Fact {
	f := about(timeline.Pod, o, group)
	created := f
	created.Group = "" // it is not of a group by birth
	facts := []timeline.Fact{with(created, timeline.Created, cmp.Or(o.GetCreationTimestamp().Time, now), "")}

	placed := conditionOf(o, "PodScheduled")
	node := kube.Field(o, "spec", "nodeName")
	started := parsed(kube.Field(o, "status", "startTime"))
	if node != "" {
		f.Node = node
		facts = append(facts, with(f, timeline.Scheduled, cmp.Or(placed.since, started, now), ""))
	} else if placed.status == "False" {
		facts = append(facts, with(f, timeline.Unschedulable, cmp.Or(placed.since, now), placed.message))
	}
	begun, ended := containerTimes(o)
	switch phase := kube.Field(o, "status", "phase"); phase {
	case "Running":
		facts = append(facts, with(f, timeline.Running, cmp.Or(begun, now), ""))
	case "Succeeded", "Failed":
		facts = append(facts, with(f, timeline.Ended, cmp.Or(ended, now), sentence(phase, kube.Field(o, "status", "reason"))))
	}
	if c := conditionOf(o, "DisruptionTarget"); c.status == "True" {
		facts = append(facts, with(f, timeline.Evicted, cmp.Or(c.since, now), sentence(c.reason, c.message)))
	}
	return facts
}

// containerTimes are when the last of a pod's containers began, and ended.
func containerTimes(pod *unstructured.Unstructured) (begun, ended time.Time) {
	for _, container := range kube.ContainerStatuses(pod) {
		for _, t := range []struct {
			latest *time.Time
			path   []string
		}{
			{&begun, []string{"state", "running", "startedAt"}},
			{&ended, []string{"state", "terminated", "finishedAt"}},
		} {
			text, _, _ := unstructured.NestedString(container, t.path...)
			if at := parsed(text); at.After(*t.latest) {
				*t.latest = at
			}
		}
	}
	return begun, ended
}

// autoscalerTaints are those that the autoscaler gives to nodes. Their value is
// when it did, in seconds since 1970.
var autoscalerTaints = []string{"DeletionCandidateOfClusterAutoscaler", "ToBeDeletedByClusterAutoscaler"}

// nodeFacts are what a node tells now.
func nodeFacts(o *unstructured.Unstructured, group string, now time.Time) []timeline.Fact {
	f := about(timeline.Node, o, group)
	facts := []timeline.Fact{with(f, timeline.Joined, cmp.Or(o.GetCreationTimestamp().Time, now), "")}
	switch c := conditionOf(o, "Ready"); c.status {
	case "True":
		facts = append(facts, with(f, timeline.Ready, cmp.Or(c.since, now), ""))
	case "False", "Unknown":
		facts = append(facts, with(f, timeline.NotReady, cmp.Or(c.since, now), sentence(c.reason, c.message)))
	}
	taints := map[string]map[string]any{}
	all, _, _ := unstructured.NestedSlice(o.Object, "spec", "taints")
	for _, t := range all {
		m, _ := t.(map[string]any)
		if name, ok := m["key"].(string); ok {
			taints[name] = m
		}
	}
	cordoned := timeline.Uncordoned
	var since time.Time
	if kube.Field(o, "spec", "unschedulable") == "true" {
		cordoned = timeline.Cordoned
		added, _ := taints["node.kubernetes.io/unschedulable"]["timeAdded"].(string)
		since = parsed(added)
	}
	facts = append(facts, with(f, cordoned, cmp.Or(since, now), ""))
	for _, name := range autoscalerTaints {
		taint, there := taints[name]
		if !there {
			facts = append(facts, with(f, timeline.Untainted, now, name))
			continue
		}
		since = time.Time{}
		value, _ := taint["value"].(string)
		if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
			since = time.Unix(seconds, 0)
		}
		facts = append(facts, with(f, timeline.Tainted, cmp.Or(since, now), name))
	}
	return facts
}

// machineFacts are what a Machine tells now.
func machineFacts(o *unstructured.Unstructured, group string, now time.Time) []timeline.Fact {
	f := about(timeline.Machine, o, group)
	facts := []timeline.Fact{with(f, timeline.Created, cmp.Or(o.GetCreationTimestamp().Time, now), "")}
	f.Node = kube.Field(o, "status", "nodeRef", "name")
	if phase := kube.Field(o, "status", "phase"); phase != "" {
		since := parsed(kube.Field(o, "status", "lastUpdated"))
		if deleted := o.GetDeletionTimestamp(); deleted != nil && phase == "Deleting" {
			since = deleted.Time
		}
		facts = append(facts, with(f, timeline.Phase, cmp.Or(since, now), phase))
	}
	for name, value := range o.GetAnnotations() {
		// The prefix is Cluster API's or, long ago, the cluster's.
		if strings.HasPrefix(name, "cluster.") && strings.HasSuffix(name, "/delete-machine") {
			facts = append(facts, with(f, timeline.Marked, cmp.Or(goTime(value), now), ""))
		}
	}
	return facts
}

// goTime reads a time as the autoscaler writes it; the zero time if it is none.
func goTime(text string) time.Time {
	text, _, _ = strings.Cut(text, " m=")
	t, err := time.Parse(autoscaler.TimeLayout, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// deploymentFacts are what a MachineDeployment tells now.
func deploymentFacts(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
	f := about(timeline.Group, o, o.GetName())
	facts := []timeline.Fact{with(f, timeline.Created, cmp.Or(o.GetCreationTimestamp().Time, now), "")}
	if n, ok := number(o, "spec", "replicas"); ok {
		size := with(f, timeline.Sized, cmp.Or(changedAt(o, "spec", "replicas"), now), "")
		size.N = &n
		facts = append(facts, size)
	}
	n, _ := number(o, "status", "readyReplicas") // it is left out while it is 0
	ready := with(f, timeline.ReadyCount, now, "")
	ready.N = &n
	facts = append(facts, ready, with(f, timeline.Limits, now, limits(o)))
	_, annotated := o.GetAnnotations()[clusterv1.PausedAnnotation]
	return append(facts, with(f, pausedIf(annotated || kube.Field(o, "spec", "paused") == "true"), now, ""))
}

// clusterFacts are what the Cluster tells now: whether it is paused, and with
// it every group.
func clusterFacts(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
	_, annotated := o.GetAnnotations()[clusterv1.PausedAnnotation]
	return []timeline.Fact{with(about(timeline.Group, o, ""), pausedIf(annotated || kube.Field(o, "spec", "paused") == "true"), now, "")}
}

func pausedIf(paused bool) string {
	if paused {
		return timeline.Paused
	}
	return timeline.Resumed
}

// limits are the least and the most nodes that the autoscaler may give a
// group, with either prefix of the annotations; empty if it is no node group.
func limits(o *unstructured.Unstructured) string {
	for _, prefix := range []string{"cluster.x-k8s.io", "cluster.k8s.io"} {
		size := func(which string) string {
			return o.GetAnnotations()[prefix+"/cluster-api-autoscaler-node-group-"+which+"-size"]
		}
		if size("min") != "" && size("max") != "" {
			return size("min") + " " + size("max")
		}
	}
	return ""
}

func number(o *unstructured.Unstructured, path ...string) (int, bool) {
	n, err := strconv.Atoi(kube.Field(o, path...))
	return n, err == nil
}

// changedAt is when one of those who manage the field at path changed
// something of theirs last; the zero time if nobody knows.
func changedAt(o *unstructured.Unstructured, path ...string) time.Time {
	var latest time.Time
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
		if at := parsed(text); at.After(latest) {
			latest = at
		}
	}
	return latest
}
