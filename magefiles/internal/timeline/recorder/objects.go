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

// parsed returns a time of an object, zero if it has none.
func parsed(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// condition is a condition in the status of an object.
type condition struct {
	status, reason, message string
	since                   time.Time
}

// conditionOf returns the object's condition of that type, an empty one if it has
// none.
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

// sentence joins a reason and a message, of which one may be empty.
func sentence(reason, message string) string {
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

// about returns the beginning of every fact about an object.
func about(kind timeline.Kind, o *unstructured.Unstructured, group string) timeline.Fact {
	name := o.GetName()
	if kind == timeline.Pod {
		name = o.GetNamespace() + "/" + name
	}
	return timeline.Fact{Kind: kind, Name: name, UID: string(o.GetUID()), Group: group, Source: timeline.Watch}
}

// with returns a fact completed by what happened, when, and a text.
func with(f timeline.Fact, what string, at time.Time, text string) timeline.Fact {
	f.What, f.Time, f.Text = what, at, text
	return f
}

// houses are the namespaces that belong to the cluster itself, besides those that
// end in -system.
var houses = map[string]bool{
	"kube-public": true, "kube-node-lease": true, "cert-manager": true, "local-path-storage": true,
}

// house reports whether a namespace belongs to the cluster itself.
func house(namespace string) bool {
	return strings.HasSuffix(namespace, "-system") || houses[namespace]
}

// isWorkload reports whether a user or a scenario created a pod: it is not the
// cluster's own, nor one of a provider, of a DaemonSet or of a kubelet.
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

// podFacts returns the facts of a pod's present state; group is that of its node.
func podFacts(o *unstructured.Unstructured, group string, now time.Time) []timeline.Fact {
	f := about(timeline.Pod, o, group)
	created := f
	created.Group = "" // a new pod has no node yet
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

// containerTimes returns when the last of a pod's containers began, and ended.
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

// autoscalerTaints are the keys of the autoscaler's taints of nodes. Their value is
// the time, in seconds since 1970.
var autoscalerTaints = []string{"DeletionCandidateOfClusterAutoscaler", "ToBeDeletedByClusterAutoscaler"}

// nodeFacts returns the facts of a node's present state.
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

// machineFacts returns the facts of a Machine's present state.
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

// goTime returns a time that the autoscaler wrote, zero if it is none.
func goTime(text string) time.Time {
	text, _, _ = strings.Cut(text, " m=")
	t, err := time.Parse(autoscaler.TimeLayout, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// deploymentFacts returns the facts of a MachineDeployment's present state.
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

// clusterFacts returns the facts of the Cluster's present state: whether it is
// paused, and with it every group.
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

// limits returns "MIN MAX", the limits that annotations with either prefix set for
// the autoscaler; empty if the MachineDeployment is no node group.
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

// changedAt returns the last time at which a manager of the field at path changed a
// field of its own, zero if managedFields does not say.
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
