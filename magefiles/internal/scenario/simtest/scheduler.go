package simtest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi/hollow"
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

// register gives a new node of a group what its kubelet has and registers: the labels, the
// taints and the capacity of the group's template, which the annotations may tell otherwise.
func (c *Cluster) register(ctx context.Context, group, node *unstructured.Unstructured) {
	if hollow.Is(group) {
		spec := c.hollow(ctx, group)
		var taints []any
		for _, t := range spec.Node.Taints {
			taints = append(taints, map[string]any{"key": t.Key, "value": t.Value, "effect": string(t.Effect)})
		}
		node.Object["spec"] = map[string]any{"taints": taints}
		node.SetLabels(spec.Node.Labels)
		return
	}
	name := kube.Field(group, "spec", "template", "spec", "bootstrap", "configRef", "name")
	templates := c.list("KubeadmConfigTemplate")
	i := slices.IndexFunc(templates, func(t *unstructured.Unstructured) bool { return t.GetName() == name })
	if i < 0 {
		return
	}
	path := []string{"spec", "template", "spec", "joinConfiguration", "nodeRegistration"}
	taints, _, _ := unstructured.NestedSlice(templates[i].Object, append(path, "taints")...)
	args, _, _ := unstructured.NestedSlice(templates[i].Object, append(path, "kubeletExtraArgs")...)
	capacity := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourceCPU: resource.MustParse("4")}
	labels := map[string]string{}
	for _, a := range args {
		arg := a.(map[string]any)
		for part := range strings.SplitSeq(arg["value"].(string), ",") {
			key, value, _ := strings.Cut(part, "=")
			switch arg["name"] {
			case "node-labels":
				labels[key] = value
			case "system-reserved":
				has := capacity[corev1.ResourceName(key)]
				has.Sub(resource.MustParse(value))
				capacity[corev1.ResourceName(key)] = has
			}
		}
	}
	node.SetLabels(labels)
	node.Object["spec"] = map[string]any{"taints": taints}
	has := map[string]any{}
	for key, quantity := range capacity {
		has[string(key)] = quantity.String()
	}
	status := node.Object["status"].(map[string]any)
	status["allocatable"], status["capacity"] = has, has
}

// nodeRoom is a node, its free memory in bytes and cpu in thousandths, and its pods.
type nodeRoom struct {
	node      *unstructured.Unstructured
	free, cpu int64
	pods      []*unstructured.Unstructured
}

func newRoom(node *unstructured.Unstructured) *nodeRoom {
	return &nodeRoom{node: node, free: memory(node.Object, "status", "allocatable", "memory"), cpu: millis(node.Object, "status", "allocatable", "cpu")}
}

// nodeRooms returns the nodes on which pods can be scheduled.
func nodeRooms(nodes, pods []*unstructured.Unstructured) []*nodeRoom {
	var all []*nodeRoom
	for _, n := range nodes {
		if kube.Field(n, "spec", "unschedulable") == "true" || !ready(n) {
			continue
		}
		r := newRoom(n)
		for _, p := range pods {
			if kube.Field(p, "spec", "nodeName") == n.GetName() {
				r.take(p)
			}
		}
		all = append(all, r)
	}
	return all
}

// take puts a pod on the node.
func (r *nodeRoom) take(pod *unstructured.Unstructured) {
	r.free -= requested(pod.Object)
	r.cpu -= requestedCPU(pod.Object)
	r.pods = append(r.pods, pod)
}

// obstacle returns why a pod cannot be on the node, in the words of the scheduler; empty if
// it can.
func (r *nodeRoom) obstacle(pod *unstructured.Unstructured) string {
	switch {
	case !matchesSelector(r.node, pod):
		return "node(s) didn't match Pod's node affinity/selector"
	case !admitsPod(r.node, pod):
		return "node(s) had untolerated taint(s)"
	case r.free < requested(pod.Object):
		return "Insufficient memory"
	case r.cpu < requestedCPU(pod.Object):
		return "Insufficient cpu"
	case slices.ContainsFunc(r.pods, func(p *unstructured.Unstructured) bool { return hostPort(pod) != "" && hostPort(p) == hostPort(pod) }):
		return "node(s) didn't have free ports for the requested pod ports"
	case slices.ContainsFunc(r.pods, func(p *unstructured.Unstructured) bool { return apart(pod, p) }):
		return "node(s) didn't match pod anti-affinity rules"
	}
	return ""
}

// hostPort returns the port of the node that a pod takes; empty for none.
func hostPort(pod *unstructured.Unstructured) string {
	containers, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers")
	for _, container := range containers {
		ports, _, _ := unstructured.NestedSlice(container.(map[string]any), "ports")
		for _, port := range ports {
			if n := port.(map[string]any)["hostPort"]; n != nil {
				return fmt.Sprint(n)
			}
		}
	}
	return ""
}

// apart reports whether a pod keeps away from nodes with the other one.
func apart(pod, other *unstructured.Unstructured) bool {
	terms, _, _ := unstructured.NestedSlice(pod.Object, "spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
	return slices.ContainsFunc(terms, func(term any) bool {
		selector, _, _ := unstructured.NestedStringMap(term.(map[string]any), "labelSelector", "matchLabels")
		return hasLabels(other, selector)
	})
}

// hasLabels reports whether an object has all the labels.
func hasLabels(o *unstructured.Unstructured, labels map[string]string) bool {
	for key, value := range labels {
		if o.GetLabels()[key] != value {
			return false
		}
	}
	return true
}

// matchesSelector reports whether a node has the labels that a pod selects.
func matchesSelector(node, pod *unstructured.Unstructured) bool {
	selector, _, _ := unstructured.NestedStringMap(pod.Object, "spec", "nodeSelector")
	return hasLabels(node, selector)
}

// admitsPod reports whether the taints of a node allow a pod.
func admitsPod(node, pod *unstructured.Unstructured) bool {
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

// placePod puts a pod on the node with the most free memory, and returns the node; nil if
// the pod can be on none.
func placePod(all []*nodeRoom, pod *unstructured.Unstructured) *nodeRoom {
	var best *nodeRoom
	for _, r := range all {
		if r.obstacle(pod) == "" && (best == nil || r.free > best.free) {
			best = r
		}
	}
	if best != nil {
		best.take(pod)
	}
	return best
}

func isPending(pod *unstructured.Unstructured) bool { return kube.Field(pod, "spec", "nodeName") == "" }

// schedule assigns pending pods to nodes.
func (c *Cluster) schedule() {
	pods := c.list("Pod")
	all := nodeRooms(c.list("Node"), pods)
	// The most important pods are the first.
	slices.SortStableFunc(pods, func(a, b *unstructured.Unstructured) int { return c.priority(b) - c.priority(a) })
	for _, p := range pods {
		if !isPending(p) || foreign(p) {
			continue
		}
		if r := placePod(all, p); r != nil {
			c.patch(p, map[string]any{"spec": map[string]any{"nodeName": r.node.GetName()}, "status": map[string]any{"phase": "Running"}})
		}
	}
}

// foreign reports whether another scheduler than the simulated one schedules a pod.
func foreign(pod *unstructured.Unstructured) bool {
	name := kube.Field(pod, "spec", "schedulerName")
	return name != "" && name != "default-scheduler"
}

// priority returns the value of a pod's priority class; 0 if it has none.
func (c *Cluster) priority(pod *unstructured.Unstructured) int {
	for _, class := range c.list("PriorityClass") {
		if class.GetName() == kube.Field(pod, "spec", "priorityClassName") {
			return number(class, "value")
		}
	}
	return 0
}
