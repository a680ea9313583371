package simtest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/kube"
)

const capacityPrefix = "capacity.cluster-autoscaler.kubernetes.io/"

// Annotations of simulated nodes. One begins with devicesPrefix, ends with a driver, and has the
// number of its devices for claims. Another one is on a node whose devices are not there yet.
const (
	devicesPrefix = "devices.simulation/"
	lateDevices   = "simulation/late-devices"
)

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
	devices := map[string]string{}
	if number := annotations[capacityPrefix+"gpu-count"]; annotations[capacityPrefix+"dra-driver"] != "" {
		devices[devicesPrefix+annotations[capacityPrefix+"dra-driver"]] = number
	} else if number != "" {
		has[annotations[capacityPrefix+"gpu-type"]] = number
	}
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
	node.SetAnnotations(devices)
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
		labels := maps.Clone(spec.Node.Labels)
		labels[kube.MachinesLabel] = kube.Hollow
		if spec.Node.Zone != "" {
			labels[corev1.LabelTopologyZone] = spec.Node.Zone
		}
		node.SetLabels(labels)
		for name := range spec.Node.Late {
			unstructured.RemoveNestedField(node.Object, "status", "allocatable", string(name))
			node.SetAnnotations(map[string]string{lateDevices: ""})
		}
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

// nodeRoom is a node, what is free on it, and its pods.
type nodeRoom struct {
	cluster *Cluster
	node    *unstructured.Unstructured
	// free is memory in bytes, cpu is in thousandths. devices has the numbers of devices by the
	// names of extended resources, and by those of drivers after devicesPrefix.
	free, cpu int64
	devices   map[string]int64
	pods      []*unstructured.Unstructured
}

func (c *Cluster) newRoom(node *unstructured.Unstructured) *nodeRoom {
	r := &nodeRoom{
		cluster: c, node: node, devices: map[string]int64{},
		free: memory(node.Object, "status", "allocatable", "memory"), cpu: millis(node.Object, "status", "allocatable", "cpu"),
	}
	allocatable, _, _ := unstructured.NestedMap(node.Object, "status", "allocatable")
	for name := range allocatable {
		if strings.Contains(name, "/") {
			r.devices[name] = memory(node.Object, "status", "allocatable", name)
		}
	}
	for name, text := range node.GetAnnotations() {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && strings.HasPrefix(name, devicesPrefix) {
			r.devices[name] = n
		}
	}
	return r
}

// nodeRooms returns the nodes on which pods can be scheduled.
func (c *Cluster) nodeRooms(nodes, pods []*unstructured.Unstructured) []*nodeRoom {
	var all []*nodeRoom
	for _, n := range nodes {
		if kube.Field(n, "spec", "unschedulable") == "true" || !ready(n) {
			continue
		}
		r := c.newRoom(n)
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
	for name, n := range r.cluster.devicesOf(pod) {
		r.devices[name] -= n
	}
	r.pods = append(r.pods, pod)
}

// The obstacles that the simulated autoscaler may ignore.
const (
	noDevices = "cannot allocate all claims"
	noVolume  = "node(s) didn't match PersistentVolume's node affinity"
	skewed    = "node(s) didn't match pod topology spread constraints"
)

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
	case !r.reachesVolumes(pod):
		return noVolume
	}
	need := r.cluster.devicesOf(pod)
	for _, name := range slices.Sorted(maps.Keys(need)) {
		if r.devices[name] >= need[name] {
			continue
		}
		if strings.HasPrefix(name, devicesPrefix) {
			return noDevices
		}
		return "Insufficient " + name
	}
	return ""
}

// devicesOf returns the numbers of devices that a pod needs, by their names in a nodeRoom.
func (c *Cluster) devicesOf(pod *unstructured.Unstructured) map[string]int64 {
	need := map[string]int64{}
	containers, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers")
	for _, container := range containers {
		requests, _, _ := unstructured.NestedMap(container.(map[string]any), "resources", "requests")
		for name := range requests {
			if strings.Contains(name, "/") {
				need[name] += memory(container.(map[string]any), "resources", "requests", name)
			}
		}
	}
	claims, _, _ := unstructured.NestedSlice(pod.Object, "spec", "resourceClaims")
	for _, claim := range claims {
		template := c.find("ResourceClaimTemplate", fmt.Sprint(claim.(map[string]any)["resourceClaimTemplateName"]))
		if template == nil {
			continue
		}
		requests, _, _ := unstructured.NestedSlice(template.Object, "spec", "spec", "devices", "requests")
		for _, request := range requests {
			exactly := &unstructured.Unstructured{Object: request.(map[string]any)["exactly"].(map[string]any)}
			class := kube.Field(exactly, "deviceClassName")
			if c.find("DeviceClass", class) == nil {
				class += ", which does not exist"
			}
			need[devicesPrefix+class] += int64(max(1, number(exactly, "count")))
		}
	}
	return need
}

// find returns an object by its name; nil if there is none.
func (c *Cluster) find(kind, name string) *unstructured.Unstructured {
	all := c.list(kind)
	i := slices.IndexFunc(all, func(o *unstructured.Unstructured) bool { return o.GetName() == name })
	if i < 0 {
		return nil
	}
	return all[i]
}

// reachesVolumes reports whether the volumes of a pod can be attached to the node.
func (r *nodeRoom) reachesVolumes(pod *unstructured.Unstructured) bool {
	volumes, _, _ := unstructured.NestedSlice(pod.Object, "spec", "volumes")
	for _, v := range volumes {
		name, _, _ := unstructured.NestedString(v.(map[string]any), "persistentVolumeClaim", "claimName")
		claim := r.cluster.find("PersistentVolumeClaim", name)
		if claim == nil {
			continue
		}
		volume := r.cluster.find("PersistentVolume", kube.Field(claim, "spec", "volumeName"))
		terms, _, _ := unstructured.NestedSlice(volume.Object, "spec", "nodeAffinity", "required", "nodeSelectorTerms")
		for _, term := range terms {
			for _, expression := range term.(map[string]any)["matchExpressions"].([]any) {
				e := expression.(map[string]any)
				if !slices.Contains(e["values"].([]any), any(r.node.GetLabels()[e["key"].(string)])) {
					return false
				}
			}
		}
	}
	return true
}

// skews reports whether a pod on the node, which is one of all, would break a topology spread
// constraint of the pod.
func (r *nodeRoom) skews(all []*nodeRoom, pod *unstructured.Unstructured) bool {
	constraints, _, _ := unstructured.NestedSlice(pod.Object, "spec", "topologySpreadConstraints")
	return slices.ContainsFunc(constraints, func(constraint any) bool {
		o := &unstructured.Unstructured{Object: constraint.(map[string]any)}
		key := kube.Field(o, "topologyKey")
		domain := func(r *nodeRoom) string {
			if key == corev1.LabelHostname {
				return fmt.Sprintf("%p", r) // future nodes have no name
			}
			return r.node.GetLabels()[key]
		}
		selector, _, _ := unstructured.NestedStringMap(o.Object, "labelSelector", "matchLabels")
		counts := map[string]int{}
		for _, other := range all {
			if !matchesSelector(other.node, pod) {
				continue
			}
			counts[domain(other)] += 0
			for _, p := range other.pods {
				if hasLabels(p, selector) {
					counts[domain(other)]++
				}
			}
		}
		fewest := 0
		if len(counts) >= max(1, number(o, "minDomains")) {
			fewest = slices.Min(slices.Collect(maps.Values(counts)))
		}
		return counts[domain(r)]+1-fewest > max(1, number(o, "maxSkew"))
	})
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
		if r.obstacle(pod) == "" && !r.skews(all, pod) && (best == nil || r.free > best.free) {
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
	all := c.nodeRooms(c.list("Node"), pods)
	// The most important pods are the first.
	slices.SortStableFunc(pods, func(a, b *unstructured.Unstructured) int { return c.priority(b) - c.priority(a) })
	for _, p := range pods {
		if !isPending(p) || foreign(p) {
			continue
		}
		if r := placePod(all, p); r != nil {
			c.patch(p, map[string]any{"spec": map[string]any{"nodeName": r.node.GetName()}, "status": map[string]any{"phase": "Running"}})
		} else {
			c.preempt(all, p)
		}
	}
}

// preempt removes less important pods from a node, if a pod has room there without them.
func (c *Cluster) preempt(all []*nodeRoom, pod *unstructured.Unstructured) {
	for _, r := range all {
		var victims []*unstructured.Unstructured
		left := c.newRoom(r.node)
		for _, p := range r.pods {
			if c.priority(p) < c.priority(pod) {
				victims = append(victims, p)
			} else {
				left.take(p)
			}
		}
		if len(victims) == 0 || left.obstacle(pod) != "" {
			continue
		}
		for _, p := range victims {
			c.remove(p)
		}
		return
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
