package simtest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/kube"
)

// scaleDown removes one node that was unneeded for long enough.
func (a *Autoscaler) scaleDown(groups []*group, nodes, pods []*unstructured.Unstructured) {
	if a.Behaviour == BlockedByNodes && slices.ContainsFunc(nodes, func(n *unstructured.Unstructured) bool { return !ready(n) }) {
		return
	}
	unneeded := map[string]time.Time{}
	done := false
	for _, g := range groups {
		if g.rollingOut && a.Behaviour != IgnoresRollout || a.together && time.Since(a.added[g.name]) <= afterAdd {
			continue
		}
		for _, m := range g.machines {
			i := slices.IndexFunc(g.nodes, func(n *unstructured.Unstructured) bool {
				return n.GetName() == kube.Field(m, "status", "nodeRef", "name")
			})
			if i < 0 || m.GetDeletionTimestamp() != nil || !ready(g.nodes[i]) || a.unfinished(g.nodes[i]) {
				continue
			}
			if !a.removable(g.nodes[i], nodes, pods) {
				if a.Behaviour == StopsAtFirst {
					return
				}
				continue
			}
			node := g.nodes[i]
			since, ok := a.unneeded[node.GetName()]
			if !ok {
				since = time.Now()
			}
			unneeded[node.GetName()] = since
			if time.Since(since) < unneededTime || done {
				continue
			}
			if g.size <= g.min && a.Behaviour != IgnoresMinimum {
				a.log("I", "eligibility.go:155", "Skipping %s - node group min size reached (current: %d, min: %d)", node.GetName(), g.size, g.min)
				continue
			}
			done = true
			a.delete(g, m, node, pods)
		}
	}
	a.unneeded = unneeded
}

// delete drains a node and deletes its machine.
func (a *Autoscaler) delete(g *group, m, node *unstructured.Unstructured, pods []*unstructured.Unstructured) {
	c := a.Cluster
	var here []*unstructured.Unstructured
	var names []string
	for _, p := range pods {
		if kube.Field(p, "spec", "nodeName") == node.GetName() {
			here, names = append(here, p), append(names, Namespace+"/"+p.GetName())
		}
	}
	if len(here) == 0 {
		a.log("I", "actuator.go:194", "Scale-down: removing empty node %q", node.GetName())
	} else {
		a.log("I", "actuator.go:236", "Scale-down: removing node %s, utilization: {0.1 0.1 0 cpu 0.1}, pods to reschedule: %s", node.GetName(), strings.Join(names, ","))
	}
	if a.Behaviour == DeletesWrong {
		for _, other := range g.machines {
			if name := kube.Field(other, "status", "nodeRef", "name"); name != "" && name != node.GetName() && other.GetDeletionTimestamp() == nil {
				m = other
				break
			}
		}
	} else {
		c.patch(node, map[string]any{"spec": map[string]any{"unschedulable": true}})
		for _, p := range here {
			a.evict(p)
		}
	}
	c.patch(m, map[string]any{"metadata": map[string]any{"annotations": map[string]any{clusterv1.DeleteMachineAnnotation: time.Now().String()}}})
	a.resize(g, g.size-1)
}

// evict removes a pod as soon as its budgets allow it.
func (a *Autoscaler) evict(pod *unstructured.Unstructured) {
	c := a.Cluster
	for range 60 {
		pods := c.list("Pod")
		if a.Behaviour == IgnoresPDB || !slices.ContainsFunc(c.budgets(pod), func(b budget) bool { return !b.allows(pods) }) {
			break
		}
		time.Sleep(time.Second)
	}
	c.remove(pod)
}

// removable reports whether the pods of a node fit elsewhere and may be evicted.
func (a *Autoscaler) removable(node *unstructured.Unstructured, nodes, pods []*unstructured.Unstructured) bool {
	if a.Behaviour == IgnoresUse {
		return true
	}
	var here []*unstructured.Unstructured
	var used int64
	pods = a.countingPods(pods)
	for _, p := range pods {
		if kube.Field(p, "spec", "nodeName") == node.GetName() {
			here = append(here, p)
			used += requested(p.Object)
		}
	}
	if 2*used >= memory(node.Object, "status", "allocatable", "memory") {
		return false
	}
	others := a.Cluster.nodeRooms(slices.DeleteFunc(slices.Clone(nodes), func(n *unstructured.Unstructured) bool { return n.GetName() == node.GetName() }), pods)
	for _, p := range here {
		if why := a.blocked(p, pods); why != "" {
			a.log("I", "cluster.go:158", "node %s cannot be removed: %s", node.GetName(), why)
			return false
		}
		if placePod(others, p) == nil {
			return false
		}
	}
	return true
}

// blocked returns why a pod must not be evicted; empty if it may.
func (a *Autoscaler) blocked(pod *unstructured.Unstructured, pods []*unstructured.Unstructured) string {
	if pod.GetAnnotations()["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false" && a.Behaviour != IgnoresNotSafe {
		return "pod annotated as not safe to evict present: " + pod.GetName()
	}
	if why := a.undrainable(pod); why != "" {
		return why
	}
	if a.Behaviour == IgnoresPDB {
		return ""
	}
	for _, b := range a.Cluster.budgets(pod) {
		if !b.allows(pods) || a.Behaviour == HeedsAnyPDB {
			return fmt.Sprintf("not enough pod disruption budget to move %s/%s", pod.GetNamespace(), pod.GetName())
		}
	}
	return ""
}

// undrainable returns why a pod keeps its node, whatever the budgets; empty if it does not.
func (a *Autoscaler) undrainable(pod *unstructured.Unstructured) string {
	volumes, _, _ := unstructured.NestedSlice(pod.Object, "spec", "volumes")
	local := slices.ContainsFunc(volumes, func(v any) bool { return v.(map[string]any)["emptyDir"] != nil })
	switch {
	case pod.GetAnnotations()["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "true":
		return ""
	case len(pod.GetOwnerReferences()) == 0 && a.Behaviour != IgnoresOwners:
		return fmt.Sprintf("%s/%s is not replicated", pod.GetNamespace(), pod.GetName())
	case pod.GetNamespace() == "kube-system" && len(a.Cluster.budgets(pod)) == 0 && a.Behaviour != IgnoresSystemPods:
		return "non-daemonset, non-mirrored, non-pdb-assigned kube-system pod present: " + pod.GetName()
	case local && a.Behaviour != IgnoresLocalStorage && (a.flags["skip-nodes-with-local-storage"] != "false" || a.Behaviour == HeedsAnyVolume):
		return "pod with local storage present: " + pod.GetName()
	}
	return ""
}

// budget is a PodDisruptionBudget.
type budget struct{ *unstructured.Unstructured }

// budgets returns the budgets of a pod.
func (c *Cluster) budgets(pod *unstructured.Unstructured) []budget {
	var all []budget
	for _, o := range c.list("PodDisruptionBudget") {
		if b := (budget{o}); b.matches(pod) {
			all = append(all, b)
		}
	}
	return all
}

func (b budget) matches(pod *unstructured.Unstructured) bool {
	selector, _, _ := unstructured.NestedStringMap(b.Object, "spec", "selector", "matchLabels")
	return b.GetNamespace() == pod.GetNamespace() && hasLabels(pod, selector)
}

// allows reports whether one of the pods may be evicted.
func (b budget) allows(pods []*unstructured.Unstructured) bool {
	running := 0
	for _, p := range pods {
		if b.matches(p) && !isPending(p) {
			running++
		}
	}
	return running > number(b.Unstructured, "spec", "minAvailable") && kube.Field(b.Unstructured, "spec", "maxUnavailable") != "0"
}
