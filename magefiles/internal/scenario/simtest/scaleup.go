package simtest

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/kube"
)

// totals is what all nodes have, with those that are to come: cpu in thousandths, memory in bytes.
type totals struct {
	nodes       int
	cpu, memory int64
}

func (t *totals) add(node *unstructured.Unstructured) {
	t.nodes++
	t.cpu += millis(node.Object, "status", "allocatable", "cpu")
	t.memory += memory(node.Object, "status", "allocatable", "memory")
}

// scaleUp adds a node for every pod without room on the nodes and the upcoming nodes.
func (a *Autoscaler) scaleUp(groups []*group, nodes, pods []*unstructured.Unstructured) {
	all := slices.DeleteFunc(a.Cluster.nodeRooms(nodes, a.countingPods(pods)), func(r *nodeRoom) bool { return a.unfinished(r.node) })
	var total totals
	for _, n := range nodes {
		total.add(n)
	}
	for _, g := range groups {
		up := sick(g)
		for _, r := range all {
			if slices.ContainsFunc(g.nodes, func(n *unstructured.Unstructured) bool { return n.GetName() == r.node.GetName() }) {
				up++
			}
		}
		if a.Behaviour == ForgetsUpcoming || a.Behaviour == DoesNotWait {
			continue
		}
		if a.Behaviour == CountsDeleted {
			up += a.deleted(g)
		}
		for range g.size - up {
			all = append(all, a.future(g))
		}
		for range g.size - len(g.nodes) {
			total.add(g.template)
		}
	}
	if a.Behaviour == GivesIn || a.Behaviour == WaitsForDeletions {
		groups = slices.DeleteFunc(slices.Clone(groups), a.leavesAlone)
	}
	plan := map[*group]int{}
	refused := map[*unstructured.Unstructured]string{}
	for _, p := range pods {
		if !a.needsNode(p, all) {
			continue
		}
		g, why := a.choose(groups, plan, p, total, all)
		if g == nil {
			refused[p] = why
			continue
		}
		plan[g]++
		total.add(g.template)
		room := a.future(g)
		room.take(p)
		all = append(all, room)
	}
	if a.Behaviour == BlockedByPods && len(refused) > 0 {
		clear(plan)
	}
	for _, p := range pods {
		if why, ok := refused[p]; ok && len(plan) == 0 && a.Behaviour != SaysNothing {
			a.Cluster.event(p, "NotTriggerScaleUp", "pod didn't trigger scale-up: "+why)
		}
	}
	for _, g := range groups {
		n := plan[g]
		if n > 0 && a.Behaviour == AddsTooMany {
			n++
		}
		if a.Behaviour == OneByOne {
			n = min(n, 1)
		}
		if n > 0 {
			a.add(g, n)
		}
	}
}

// sick returns how many nodes of a group have a kubelet that does nothing.
func sick(g *group) int {
	n := 0
	for _, node := range g.nodes {
		conditions, _, _ := unstructured.NestedSlice(node.Object, "status", "conditions")
		if slices.ContainsFunc(conditions, func(c any) bool { return c.(map[string]any)["status"] == "Unknown" }) {
			n++
		}
	}
	return n
}

// countingPods returns the pods that are not expendable.
func (a *Autoscaler) countingPods(pods []*unstructured.Unstructured) []*unstructured.Unstructured {
	if a.Behaviour == CountsExpendable {
		return pods
	}
	return slices.DeleteFunc(slices.Clone(pods), a.expendable)
}

// deleted returns how many nodes of a group are being deleted or were deleted since the
// autoscaler saw them.
func (a *Autoscaler) deleted(g *group) int {
	there := map[string]bool{}
	for _, n := range g.nodes {
		a.seen[n.GetName()] = g.name
		there[n.GetName()] = kube.Field(n, "spec", "unschedulable") != "true"
	}
	n := 0
	for name, of := range a.seen {
		if of == g.name && !there[name] {
			n++
		}
	}
	return n
}

// needsNode reports whether a pod waits for a node that is not there or on its way, and
// puts it on one that is.
func (a *Autoscaler) needsNode(pod *unstructured.Unstructured, all []*nodeRoom) bool {
	scheduler := kube.Field(pod, "spec", "schedulerName")
	switch {
	case !isPending(pod),
		a.expendable(pod) && a.Behaviour != IgnoresPriority,
		foreign(pod) && a.Behaviour != TakesAnyScheduler && (scheduler != a.flags["bypassed-scheduler-names"] || a.Behaviour == WaitsForSchedulers):
		return false
	case a.Behaviour == NodePerPod:
		return len(all) == 0 || placePod(slices.DeleteFunc(slices.Clone(all), func(r *nodeRoom) bool { return len(r.pods) > 0 }), pod) == nil
	case a.Behaviour == MissesDevices:
		pod = pod.DeepCopy()
		unstructured.RemoveNestedField(pod.Object, "spec", "resourceClaims")
	case a.Behaviour == IgnoresSpread:
		pod = pod.DeepCopy()
		unstructured.RemoveNestedField(pod.Object, "spec", "topologySpreadConstraints")
	case a.Behaviour == IgnoresHostPorts || a.Behaviour == IgnoresAffinity:
		pod = pod.DeepCopy()
		unstructured.RemoveNestedField(pod.Object, "spec", "affinity")
		containers, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers")
		for _, container := range containers {
			delete(container.(map[string]any), "ports")
		}
		_ = unstructured.SetNestedSlice(pod.Object, containers, "spec", "containers") // a pod has containers
	}
	return placePod(all, pod) == nil
}

// choose returns the group that gets a node for a pod, or why there is none.
func (a *Autoscaler) choose(groups []*group, plan map[*group]int, pod *unstructured.Unstructured, total totals, all []*nodeRoom) (*group, string) {
	if limit, err := strconv.Atoi(a.flags["max-nodes-total"]); err == nil && total.nodes >= limit && a.Behaviour != IgnoresTotal {
		return nil, "max total nodes in cluster reached"
	}
	var options []*group
	reasons := map[string]int{}
	for _, g := range groups {
		switch {
		case time.Since(a.backoff[g.name]) < backoffTime:
			reasons["in backoff after failed scale-up"]++
		case g.size+plan[g] >= g.max && a.Behaviour != ExceedsMaximum:
			reasons["max node group size reached"]++
			a.log("I", "orchestrator.go:520", "Skipping node group %s - max size reached", g.id())
		case sick(g) > a.flag("ok-total-unready-count", 3) && a.Behaviour != IgnoresHealth:
			reasons["not ready for scale-up"]++
			a.log("W", "orchestrator.go:596", "Node group %s is not ready for scaleup - unhealthy", g.id())
		case a.overLimit(total, g) != "":
			reasons[a.overLimit(total, g)]++
		case a.tolerable(a.futureObstacle(g, pod, all)) != "":
			reasons[a.futureObstacle(g, pod, all)]++
		default:
			options = append(options, g)
		}
	}
	if len(options) == 0 {
		var parts []string
		for _, reason := range slices.Sorted(maps.Keys(reasons)) {
			parts = append(parts, fmt.Sprintf("%d %s", reasons[reason], reason))
		}
		return nil, strings.Join(parts, ", ")
	}
	size := func(g *group) int {
		if a.Behaviour == Unbalanced {
			return 0
		}
		if a.Behaviour == SkipsEmpty && len(g.nodes) == 0 {
			return g.max
		}
		return g.size + plan[g]
	}
	priority := func(*group) int { return 0 }
	if strings.HasPrefix(a.flags["expander"], "priority") {
		priority = a.priorities()
	}
	slices.SortStableFunc(options, func(x, y *group) int {
		return cmp.Or(priority(y)-priority(x), cmp.Compare(x.memory(), y.memory()), size(x)-size(y), strings.Compare(x.name, y.name))
	})
	if a.Behaviour == WrongGroup {
		return options[len(options)-1], ""
	}
	if a.Behaviour == IgnoresTaints {
		// The first by name, without regard to its nodes.
		return slices.MinFunc(options, func(x, y *group) int { return strings.Compare(x.name, y.name) }), ""
	}
	return options[0], ""
}

// overLimit returns which limit of the cluster a node of the group would exceed; empty for none.
func (a *Autoscaler) overLimit(total totals, g *group) string {
	if a.Behaviour == IgnoresResources {
		return ""
	}
	total.add(g.template)
	for _, limit := range []struct {
		flag, name string
		has        int64
	}{{"cores-total", "cpu", total.cpu / 1000}, {"memory-total", "memory", total.memory >> 30}} {
		_, highest, _ := strings.Cut(a.flags[limit.flag], ":")
		if n, err := strconv.ParseInt(highest, 10, 64); err == nil && limit.has > n {
			return fmt.Sprintf("exceeded quota: %q, resources: %s", "cluster-wide", limit.name)
		}
	}
	return ""
}

// futureObstacle returns why a pod cannot be on a future node of a group, beside all the nodes
// that there will be; empty if it can.
func (a *Autoscaler) futureObstacle(g *group, pod *unstructured.Unstructured, all []*nodeRoom) string {
	volumes, _, _ := unstructured.NestedSlice(pod.Object, "spec", "volumes")
	if a.Behaviour == RefusesVolumes && len(volumes) > 0 {
		return "the pod has a volume"
	}
	room := a.future(g)
	if obstacle := room.obstacle(pod); obstacle != "" {
		return obstacle
	}
	if room.skews(append(slices.Clone(all), room), pod) {
		return skewed
	}
	return ""
}

// tolerable returns an obstacle, or nothing if the autoscaler ignores it.
func (a *Autoscaler) tolerable(obstacle string) string {
	size := strings.HasPrefix(obstacle, "Insufficient")
	if a.Behaviour == IgnoresDevices && obstacle == noDevices || a.Behaviour == IgnoresVolumes && obstacle == noVolume || a.Behaviour == IgnoresSize && size || a.Behaviour == IgnoresTaints && !size {
		return ""
	}
	return obstacle
}

// priorities returns the priorities from the ConfigMap of the priority expander.
func (a *Autoscaler) priorities() func(*group) int {
	var rules map[int][]string
	for _, m := range a.Cluster.list("ConfigMap") {
		if m.GetName() != "cluster-autoscaler-priority-expander" {
			continue
		}
		if err := yaml.Unmarshal([]byte(kube.Field(m, "data", "priorities")), &rules); err != nil {
			a.Cluster.t.Errorf("the priorities: %v", err)
		}
	}
	return func(g *group) int {
		best := 0
		for priority, expressions := range rules {
			for _, e := range expressions {
				if regexp.MustCompile(e).MatchString("MachineDeployment/" + Namespace + "/" + g.name) {
					best = max(best, priority)
				}
			}
		}
		return best
	}
}

// future returns a future node of the group, with the pods that DaemonSets make there.
func (a *Autoscaler) future(g *group) *nodeRoom {
	room := a.Cluster.newRoom(g.template)
	for _, o := range a.Cluster.list("DaemonSet") {
		pod := &unstructured.Unstructured{Object: map[string]any{}}
		pod.Object["spec"], _, _ = unstructured.NestedMap(o.Object, "spec", "template", "spec")
		if a.Behaviour != IgnoresDaemons && matchesSelector(g.template, pod) && admitsPod(g.template, pod) {
			room.take(pod)
		}
	}
	return room
}

// giveUp reverts a scale-up whose nodes did not join in time.
func (a *Autoscaler) giveUp(groups []*group) {
	for _, g := range groups {
		up := 0
		for _, n := range g.nodes {
			if ready(n) {
				up++
			}
		}
		added, waiting := a.added[g.name]
		if !waiting || up >= g.size {
			delete(a.added, g.name)
			continue
		}
		limit, err := time.ParseDuration(g.md.GetAnnotations()["cluster.x-k8s.io/autoscaling-options-maxnodeprovisiontime"])
		if err != nil {
			limit = giveUpTime
		}
		if time.Since(added) <= limit || a.Behaviour == NeverGivesUp {
			continue
		}
		switch a.Behaviour {
		case TriesAgain, GivesUpAltogether:
			a.log("I", "static_autoscaler.go:843", "Removing 1 unregistered nodes for node group %s", g.id())
			if a.Behaviour == GivesUpAltogether {
				for _, other := range groups {
					a.backoff[other.name] = time.Now()
				}
			}
		default:
			a.log("W", "clusterstate.go:301", "Scale-up timed out for node group %s after %s", g.id(), time.Since(added))
			a.backoff[g.name] = time.Now()
		}
		delete(a.added, g.name)
		a.resize(g, up)
	}
}

func (a *Autoscaler) add(g *group, n int) {
	a.log("I", "orchestrator.go:243", "Final scale-up plan: [{%s %d->%d (max: %d)}]", g.id(), g.size, g.size+n, g.max)
	a.log("I", "executor.go:166", "Scale-up: setting group %s size to %d", g.id(), g.size+n)
	a.resize(g, g.size+n)
	a.added[g.name], a.lastAdd = time.Now(), time.Now()
	a.scaledUp.Add(int64(n))
}
