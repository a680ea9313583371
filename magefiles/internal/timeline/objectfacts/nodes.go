package objectfacts

import (
	"cmp"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// readyCondition returns the node's condition Ready, an empty one if it has none.
func readyCondition(node *corev1.Node) corev1.NodeCondition {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// Node returns the facts of a node's present state.
func Node(node *corev1.Node, group string, now time.Time) []timeline.Fact {
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
