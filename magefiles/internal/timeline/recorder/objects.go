package recorder

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// parseTime parses a time of an object. It returns zero for any other text.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// podCondition returns the pod's condition of that type, an empty one if it has none.
func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// readyCondition returns the node's condition Ready, an empty one if it has none.
func readyCondition(node *corev1.Node) corev1.NodeCondition {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// sentence joins a reason and a message, of which one may be empty.
func sentence(reason, message string) string {
	if reason == "" || message == "" {
		return reason + message
	}
	return reason + ": " + message
}

// factAbout returns a fact with the fields that all facts about the object o share.
func factAbout(kind timeline.Kind, o metav1.Object, group string) timeline.Fact {
	name := o.GetName()
	if kind == timeline.Pod {
		name = o.GetNamespace() + "/" + name
	}
	return timeline.Fact{Kind: kind, Name: name, UID: string(o.GetUID()), Group: group, Source: timeline.Watch}
}

// complete returns f with what happened, the time, and a text.
func complete(f timeline.Fact, what string, at time.Time, text string) timeline.Fact {
	f.What, f.Time, f.Text = what, at, text
	return f
}

// systemNamespaces are namespaces of the cluster's own components. A name that ends in
// -system is another.
var systemNamespaces = map[string]bool{
	"kube-public": true, "kube-node-lease": true, "cert-manager": true, "local-path-storage": true,
}

// isSystemNamespace reports whether a namespace belongs to the cluster's own components.
func isSystemNamespace(namespace string) bool {
	return strings.HasSuffix(namespace, "-system") || systemNamespaces[namespace]
}

// isWorkload reports whether a pod was created for a user or a scenario: not by the
// cluster itself, a provider, a DaemonSet or a kubelet.
func isWorkload(pod *corev1.Pod) bool {
	_, provider := pod.Labels[clusterv1.ProviderNameLabel]
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	for _, owner := range pod.OwnerReferences {
		if owner.Kind == "DaemonSet" || owner.Kind == "Node" {
			return false
		}
	}
	return !isSystemNamespace(pod.Namespace) && !provider && !mirror
}

// shaped returns the fact of an object's shape, which it has since its creation unless the
// record has another.
func shaped(f timeline.Fact, o metav1.Object, now time.Time, what any) timeline.Fact {
	f = complete(f, timeline.Shaped, cmp.Or(o.GetCreationTimestamp().UTC(), now), "")
	f.Shape = shape.Encode(what)
	return f
}

// systemPodFacts returns the facts of a pod that is no workload: what it uses of its node.
func systemPodFacts(pod *corev1.Pod, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Pod, pod, "")
	f.Node = pod.Spec.NodeName
	return []timeline.Fact{shaped(f, pod, now, shape.OfPod(pod))}
}

// templateFacts returns the facts of an infrastructure template's present state.
func templateFacts(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Template, o, "")
	f.Name = o.GetKind() + "/" + f.Name
	return []timeline.Fact{shaped(f, o, now, shape.OfTemplate(o))}
}

// budgetFacts returns the facts of a PodDisruptionBudget's present state.
func budgetFacts(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Budget, o, "")
	f.Name = o.GetNamespace() + "/" + f.Name
	return []timeline.Fact{shaped(f, o, now, shape.OfBudget(o))}
}

// podFacts returns the facts of a pod's present state; group is that of its node.
func podFacts(pod *corev1.Pod, group string, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Pod, pod, group)
	created := f
	created.Group = "" // a new pod has no node yet
	facts := []timeline.Fact{complete(created, timeline.Created, cmp.Or(pod.CreationTimestamp.Time, now), ""), shaped(created, pod, now, shape.OfPod(pod))}

	placed := podCondition(pod, corev1.PodScheduled)
	since := placed.LastTransitionTime.UTC()
	if node := pod.Spec.NodeName; node != "" {
		f.Node = node
		var started time.Time
		if t := pod.Status.StartTime; t != nil {
			started = t.UTC()
		}
		facts = append(facts, complete(f, timeline.Scheduled, cmp.Or(since, started, now), ""))
	} else if placed.Status == corev1.ConditionFalse {
		facts = append(facts, complete(f, timeline.Unschedulable, cmp.Or(since, now), placed.Message))
	}
	begun, ended := containerTimes(pod)
	switch phase := pod.Status.Phase; phase {
	case corev1.PodRunning:
		facts = append(facts, complete(f, timeline.Running, cmp.Or(begun, now), ""))
	case corev1.PodSucceeded, corev1.PodFailed:
		facts = append(facts, complete(f, timeline.Ended, cmp.Or(ended, now), sentence(string(phase), pod.Status.Reason)))
	}
	if c := podCondition(pod, corev1.DisruptionTarget); c.Status == corev1.ConditionTrue {
		facts = append(facts, complete(f, timeline.Evicted, cmp.Or(c.LastTransitionTime.UTC(), now), sentence(c.Reason, c.Message)))
	}
	return facts
}

// containerTimes returns when the last of a pod's containers began, and ended.
func containerTimes(pod *corev1.Pod) (begun, ended time.Time) {
	for _, c := range pod.Status.ContainerStatuses {
		if s := c.State.Running; s != nil && s.StartedAt.After(begun) {
			begun = s.StartedAt.UTC()
		}
		if s := c.State.Terminated; s != nil && s.FinishedAt.After(ended) {
			ended = s.FinishedAt.UTC()
		}
	}
	return begun, ended
}

// nodeFacts returns the facts of a node's present state.
func nodeFacts(node *corev1.Node, group string, now time.Time) []timeline.Fact {
	f := factAbout(timeline.Node, node, group)
	facts := []timeline.Fact{
		complete(f, timeline.Joined, cmp.Or(node.CreationTimestamp.Time, now), ""),
		shaped(f, node, now, shape.OfNode(node, autoscaler.CandidateTaint, autoscaler.DeletedTaint)),
	}
	c := readyCondition(node)
	switch since := cmp.Or(c.LastTransitionTime.UTC(), now); c.Status {
	case corev1.ConditionTrue:
		facts = append(facts, complete(f, timeline.Ready, since, ""))
	case corev1.ConditionFalse, corev1.ConditionUnknown:
		facts = append(facts, complete(f, timeline.NotReady, since, sentence(c.Reason, c.Message)))
	}
	taints := map[string]corev1.Taint{}
	for _, t := range node.Spec.Taints {
		taints[t.Key] = t
	}
	cordoned := timeline.Uncordoned
	var since time.Time
	if node.Spec.Unschedulable {
		cordoned = timeline.Cordoned
		if added := taints[corev1.TaintNodeUnschedulable].TimeAdded; added != nil {
			since = added.UTC()
		}
	}
	facts = append(facts, complete(f, cordoned, cmp.Or(since, now), ""))
	for _, name := range []string{autoscaler.CandidateTaint, autoscaler.DeletedTaint} {
		taint, there := taints[name]
		if !there {
			facts = append(facts, complete(f, timeline.Untainted, now, name))
			continue
		}
		since = time.Time{}
		if seconds, err := strconv.ParseInt(taint.Value, 10, 64); err == nil {
			since = time.Unix(seconds, 0)
		}
		facts = append(facts, complete(f, timeline.Tainted, cmp.Or(since, now), name))
	}
	return facts
}

// machineFacts returns the facts of a Machine's present state.
func machineFacts(o *unstructured.Unstructured, group string, now time.Time) []timeline.Fact {
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

// groupFacts returns the facts of the present state of a MachineDeployment or a MachinePool.
func groupFacts(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
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

// clusterFacts returns the facts of the Cluster's present state: whether it is paused,
// which pauses every group.
func clusterFacts(o *unstructured.Unstructured, now time.Time) []timeline.Fact {
	_, annotated := o.GetAnnotations()[clusterv1.PausedAnnotation]
	return []timeline.Fact{complete(factAbout(timeline.Group, o, ""), pausedIf(annotated || kube.Field(o, "spec", "paused") == "true"), now, "")}
}

func pausedIf(paused bool) string {
	if paused {
		return timeline.Paused
	}
	return timeline.Resumed
}

// limits returns "MIN MAX", the size limits that the annotations, with either prefix, set
// for the autoscaler. It returns "" if the object is no node group.
func limits(o *unstructured.Unstructured) string {
	for _, prefix := range []string{release.SizePrefix, release.OldSizePrefix} {
		size := func(which string) string { return o.GetAnnotations()[release.SizeAnnotation(prefix, which)] }
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

// changedBy returns the manager of the field at path that last changed a field of its own,
// and when. They are zero if managedFields does not have the field. Kubernetes 1.36 writes no
// time for a manager that uses the subresource scale.
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
