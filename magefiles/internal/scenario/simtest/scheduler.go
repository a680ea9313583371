package simtest

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
)

const capacityPrefix = "capacity.cluster-autoscaler.kubernetes.io/"

// template returns a future node of a group as the group's annotations describe it.
func (c *Cluster) template(group *unstructured.Unstructured) *unstructured.Unstructured {
	annotations := group.GetAnnotations()
	labels := map[string]string{}
	for part := range strings.SplitSeq(annotations[capacityPrefix+"labels"], ",") {
		if key, value, found := strings.Cut(part, "="); found {
			labels[key] = value
		}
	}
	var taints []any
	for part := range strings.SplitSeq(annotations[capacityPrefix+"taints"], ",") {
		if rest, effect, found := strings.Cut(part, ":"); found {
			key, value, _ := strings.Cut(rest, "=")
			taints = append(taints, map[string]any{"key": key, "value": value, "effect": effect})
		}
	}
	has := map[string]any{"memory": annotations[capacityPrefix+"memory"], "cpu": annotations[capacityPrefix+"cpu"]}
	node := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"taints": taints},
		"status": map[string]any{
			"allocatable": has, "capacity": has,
			"images": []any{map[string]any{"names": []any{"example.com/pause:3.10"}}},
		},
	}}
	node.SetAPIVersion("v1")
	node.SetKind("Node")
	node.SetLabels(labels)
	return node
}

// nodeRoom is a node and its free memory in bytes.
type nodeRoom struct {
	node *unstructured.Unstructured
	free int64
}

// nodeRooms returns the nodes on which pods can be scheduled.
func nodeRooms(nodes, pods []*unstructured.Unstructured) []*nodeRoom {
	var all []*nodeRoom
	for _, n := range nodes {
		if kube.Field(n, "spec", "unschedulable") == "true" || !ready(n) {
			continue
		}
		r := &nodeRoom{n, memory(n.Object, "status", "allocatable", "memory")}
		for _, p := range pods {
			if kube.Field(p, "spec", "nodeName") == n.GetName() {
				r.free -= requested(p.Object)
			}
		}
		all = append(all, r)
	}
	return all
}

// matchesSelector reports whether a node has the labels that a pod selects.
func matchesSelector(node, pod *unstructured.Unstructured) bool {
	selector, _, _ := unstructured.NestedStringMap(pod.Object, "spec", "nodeSelector")
	for key, value := range selector {
		if node.GetLabels()[key] != value {
			return false
		}
	}
	return true
}

// admitsPod reports whether the labels and taints of a node allow a pod.
func admitsPod(node, pod *unstructured.Unstructured) bool {
	if !matchesSelector(node, pod) {
		return false
	}
	taints, _, _ := unstructured.NestedSlice(node.Object, "spec", "taints")
	tolerations, _, _ := unstructured.NestedSlice(pod.Object, "spec", "tolerations")
	for _, t := range taints {
		tolerated := false
		for _, toleration := range tolerations {
			tolerated = tolerated || toleration.(map[string]any)["key"] == t.(map[string]any)["key"]
		}
		if !tolerated {
			return false
		}
	}
	return true
}

// placePod returns the nodeRoom with the most free memory for a pod, and reduces its free
// memory; nil if no room is left.
func placePod(all []*nodeRoom, pod *unstructured.Unstructured) *nodeRoom {
	var best *nodeRoom
	for _, r := range all {
		if r.free >= requested(pod.Object) && admitsPod(r.node, pod) && (best == nil || r.free > best.free) {
			best = r
		}
	}
	if best != nil {
		best.free -= requested(pod.Object)
	}
	return best
}

func isPending(pod *unstructured.Unstructured) bool { return kube.Field(pod, "spec", "nodeName") == "" }

// schedule assigns pending pods to nodes.
func (c *Cluster) schedule() {
	pods := c.list("Pod")
	all := nodeRooms(c.list("Node"), pods)
	for _, p := range pods {
		if !isPending(p) {
			continue
		}
		if r := placePod(all, p); r != nil {
			c.patch(p, map[string]any{"spec": map[string]any{"nodeName": r.node.GetName()}, "status": map[string]any{"phase": "Running"}})
		}
	}
}
