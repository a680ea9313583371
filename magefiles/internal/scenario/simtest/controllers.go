package simtest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/kube"
)

// Durations in the simulated cluster.
const (
	joinTime   = 30 * time.Second // until the node of a new machine joins
	readyTime  = 10 * time.Second // until a new node is ready
	deleteTime = 4 * time.Second  // until a deleted machine is gone
)

// owners are the kinds that make pods, and the fields with the number of pods.
var owners = map[string][]string{"Deployment": {"spec", "replicas"}, "StatefulSet": {"spec", "replicas"}, "Job": {"spec", "parallelism"}, "DaemonSet": nil}

// runWorkloads creates and deletes the pods of owners.
func (c *Cluster) runWorkloads() {
	pods := c.list("Pod")
	own := map[types.UID][]*unstructured.Unstructured{}
	for _, p := range pods {
		if kube.Field(p, "status", "phase") == "" {
			c.patch(p, map[string]any{"status": map[string]any{"phase": "Pending"}}) // a person created it
		}
		for _, owner := range p.GetOwnerReferences() {
			own[owner.UID] = append(own[owner.UID], p)
		}
	}
	for kind, path := range owners {
		for _, o := range c.list(kind) {
			if _, manager := o.GetLabels()[clusterv1.ProviderNameLabel]; manager {
				c.runManager(o)
				continue
			}
			if kind == "DaemonSet" {
				c.runDaemons(o, own[o.GetUID()])
			} else {
				c.runOwner(o, number(o, path...), own[o.GetUID()])
			}
			delete(own, o.GetUID())
		}
	}
	for _, orphans := range own {
		for _, p := range orphans {
			c.remove(p)
		}
	}
}

// runManager starts and stops the manager that the simulation is.
func (c *Cluster) runManager(o *unstructured.Unstructured) {
	if want := number(o, "spec", "replicas"); number(o, "status", "replicas") != want {
		c.patch(o, map[string]any{"status": map[string]any{"replicas": want, "availableReplicas": want}})
	}
}

// managed reports whether the managers of Cluster API run.
func (c *Cluster) managed() bool {
	return !slices.ContainsFunc(c.list("Deployment"), func(o *unstructured.Unstructured) bool {
		_, manager := o.GetLabels()[clusterv1.ProviderNameLabel]
		return manager && number(o, "status", "replicas") == 0
	})
}

// runOwner creates and deletes pods until an owner has as many as it wants.
func (c *Cluster) runOwner(owner *unstructured.Unstructured, want int, own []*unstructured.Unstructured) {
	for range want - len(own) {
		c.createPod(owner, "")
	}
	// Pending pods go first, then the youngest.
	slices.SortFunc(own, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(kube.Field(a, "status", "phase"), kube.Field(b, "status", "phase")), cmp.Compare(b.GetName(), a.GetName()))
	})
	for _, p := range own[:max(len(own)-want, 0)] {
		c.remove(p)
	}
}

// runDaemons creates a pod on each node that the pods select.
func (c *Cluster) runDaemons(owner *unstructured.Unstructured, own []*unstructured.Unstructured) {
	template := &unstructured.Unstructured{Object: map[string]any{}}
	template.Object["spec"], _, _ = unstructured.NestedMap(owner.Object, "spec", "template", "spec")
	for _, n := range c.list("Node") {
		has := slices.ContainsFunc(own, func(p *unstructured.Unstructured) bool { return kube.Field(p, "spec", "nodeName") == n.GetName() })
		if !has && matchesSelector(n, template) && admitsPod(n, template) {
			c.createPod(owner, n.GetName())
		}
	}
}

// createPod creates a pod of an owner, on a node if that is not empty.
func (c *Cluster) createPod(owner *unstructured.Unstructured, node string) {
	template, _, _ := unstructured.NestedMap(owner.Object, "spec", "template")
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetNamespace(owner.GetNamespace())
	pod.SetName(owner.GetName())
	controls := true
	pod.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID(), Controller: &controls}})
	pod.Object["status"] = map[string]any{"phase": "Pending"}
	if node != "" {
		_ = unstructured.SetNestedField(pod.Object, node, "spec", "nodeName") // a template has a spec
		pod.Object["status"] = map[string]any{"phase": "Running"}
	}
	c.create(pod)
}

func ready(o *unstructured.Unstructured) bool { return kube.True(o, "Ready") }

func (c *Cluster) clusterPaused() bool {
	return kube.Field(c.list("Cluster")[0], "spec", "paused") == "true"
}

// runMachines does what the controllers of Cluster API do.
func (c *Cluster) runMachines(ctx context.Context) {
	if c.clusterPaused() || !c.managed() {
		return
	}
	nodes := map[string]*unstructured.Unstructured{}
	for _, n := range c.list("Node") {
		nodes[n.GetName()] = n
	}
	of := map[string][]*unstructured.Unstructured{}
	for _, m := range c.list("Machine") {
		of[m.GetLabels()[clusterv1.MachineDeploymentNameLabel]] = append(of[m.GetLabels()[clusterv1.MachineDeploymentNameLabel]], m)
	}
	for _, g := range c.list("MachineDeployment") {
		machines := of[g.GetName()]
		delete(of, g.GetName())
		if _, paused := g.GetAnnotations()[clusterv1.PausedAnnotation]; paused {
			continue
		}
		for _, m := range machines {
			c.runMachine(ctx, g, m, nodes)
		}
		c.checkHealth(machines)
		c.scale(ctx, g, machines, nodes)
	}
	// The machines of groups that are gone.
	for _, machines := range of {
		for _, m := range machines {
			c.runMachine(ctx, nil, m, nodes)
			if m.GetDeletionTimestamp() == nil {
				c.delete(m)
			}
		}
	}
}

// runMachine moves a machine to its next phase when it is time.
func (c *Cluster) runMachine(ctx context.Context, group, m *unstructured.Unstructured, nodes map[string]*unstructured.Unstructured) {
	name := kube.Field(m, "status", "nodeRef", "name")
	if m.GetDeletionTimestamp() != nil {
		if time.Since(m.GetDeletionTimestamp().Time) < deleteTime || isHeld(m) {
			return
		}
		if node := nodes[name]; node != nil {
			c.remove(node)
			for _, p := range c.list("Pod") {
				if kube.Field(p, "spec", "nodeName") == name {
					c.remove(p)
				}
			}
		}
		if hollow.IsMachine(m) {
			c.remove(c.find(hollowMachine, m.GetName()))
		}
		c.remove(m)
		return
	}
	if group == nil || group.GetName() == "work-md-0" || c.broken(ctx, group) {
		return
	}
	if _, fails := m.GetAnnotations()[neverJoins]; fails {
		return
	}
	spec := hollow.Spec{}
	if hollow.Is(group) {
		spec = c.hollow(ctx, group)
	}
	switch node := nodes[name]; {
	case node == nil && time.Since(m.GetCreationTimestamp().Time) >= joinTime:
		node = c.template(group)
		c.register(ctx, group, node)
		setManagedLabels(group, node)
		node.SetName("node-" + m.GetName())
		c.create(node)
		c.since[m.GetUID()] = time.Now()
		c.patch(m, map[string]any{"status": map[string]any{"phase": "Running", "nodeRef": map[string]any{"name": node.GetName()}}})
	case node != nil && c.hollowState(m) != "":
		c.patch(node, map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "Unknown"}}}})
	case node != nil && isLate(node) && time.Since(c.since[m.GetUID()]) >= readyTime+spec.Lifecycle.LateAfter.Duration:
		devices := map[string]any{}
		for name, amount := range spec.Node.Late {
			devices[string(name)] = amount.String()
		}
		c.patch(node, map[string]any{"metadata": map[string]any{"annotations": map[string]any{lateDevices: nil}}, "status": map[string]any{"allocatable": devices}})
	case node != nil && !ready(node) && time.Since(c.since[m.GetUID()]) >= readyTime:
		c.patch(node, map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "status": "True"}}}})
	}
}

// isLate reports whether a node has devices that are not there yet.
func isLate(node *unstructured.Unstructured) bool {
	_, late := node.GetAnnotations()[lateDevices]
	return late
}

// setManagedLabels gives a node the labels of a group's machines that Cluster API copies to nodes.
func setManagedLabels(group, node *unstructured.Unstructured) {
	of, _, _ := unstructured.NestedStringMap(group.Object, "spec", "template", "metadata", "labels")
	labels := node.GetLabels()
	for key, value := range of {
		if strings.HasPrefix(key, clusterv1.ManagedNodeLabelDomain+"/") {
			labels[key] = value
		}
	}
	node.SetLabels(labels)
}

// hollowState returns the state of a hollow machine, such as hollow.Failed; empty for one that is
// well, and for other machines.
func (c *Cluster) hollowState(m *unstructured.Unstructured) string {
	if !hollow.IsMachine(m) {
		return ""
	}
	return c.find(hollowMachine, m.GetName()).GetAnnotations()["caslab.local/hollow-state"]
}

// checkHealth deletes the failed machines that a MachineHealthCheck selects.
func (c *Cluster) checkHealth(machines []*unstructured.Unstructured) {
	for _, check := range c.list("MachineHealthCheck") {
		selector, _, _ := unstructured.NestedStringMap(check.Object, "spec", "selector", "matchLabels")
		for _, m := range machines {
			if m.GetDeletionTimestamp() == nil && hasLabels(m, selector) && c.hollowState(m) == hollow.Failed {
				c.delete(m)
			}
		}
	}
}

// broken reports whether the machines of a group never become nodes.
func (c *Cluster) broken(ctx context.Context, group *unstructured.Unstructured) bool {
	if hollow.Is(group) {
		never := c.hollow(ctx, group).Lifecycle.Never
		return never != nil && never.StrVal == "100%"
	}
	return kube.Field(group, "spec", "template", "spec", "bootstrap", "dataSecretName") != ""
}

// hollow returns what the machines of a hollow group are.
func (c *Cluster) hollow(ctx context.Context, group *unstructured.Unstructured) hollow.Spec {
	spec, err := hollow.Read(ctx, c.Client, group)
	if err != nil {
		c.t.Errorf("simulate hollow machines: %v", err)
	}
	return spec
}

// neverJoins is the annotation of a machine whose bootstrap data fails.
const neverJoins = "simulation/never-joins"

// createHollow creates the hollow machine of a machine.
func (c *Cluster) createHollow(m *unstructured.Unstructured) {
	h := &unstructured.Unstructured{Object: map[string]any{}}
	h.SetAPIVersion(hollow.Templates.Group + "/v1beta2")
	h.SetKind(hollowMachine)
	h.SetNamespace(Namespace)
	h.SetName(m.GetName())
	h.SetUID(types.UID("hollow-" + m.GetName()))
	c.server.Put(h)
	c.patch(m, map[string]any{"spec": map[string]any{"infrastructureRef": map[string]any{"apiGroup": hollow.Templates.Group, "kind": hollowMachine, "name": h.GetName()}}})
}

// breaks reports whether a group's next machine fails before it becomes a node.
func (c *Cluster) breaks(ctx context.Context, group *unstructured.Unstructured) bool {
	if hollow.Is(group) {
		fail := c.hollow(ctx, group).Lifecycle.Fail
		return fail != nil && fail.StrVal == "100%"
	}
	name := kube.Field(group, "spec", "template", "spec", "bootstrap", "configRef", "name")
	return slices.ContainsFunc(c.list("KubeadmConfigTemplate"), func(t *unstructured.Unstructured) bool {
		commands, _, _ := unstructured.NestedStringSlice(t.Object, "spec", "template", "spec", "preKubeadmCommands")
		return t.GetName() == name && slices.ContainsFunc(commands, func(command string) bool { return strings.HasPrefix(command, "false") })
	})
}

// isHeld reports whether a hook keeps a machine that is deleted.
func isHeld(m *unstructured.Unstructured) bool {
	for key := range m.GetAnnotations() {
		if strings.HasPrefix(key, clusterv1.PreTerminateDeleteHookAnnotationPrefix) {
			return true
		}
	}
	return false
}

// delete begins the deletion of a machine and cordons its node.
func (c *Cluster) delete(m *unstructured.Unstructured) {
	c.patch(m, map[string]any{"metadata": map[string]any{"deletionTimestamp": metav1.Now().UTC().Format(time.RFC3339)}, "status": map[string]any{"phase": "Deleting"}})
	for _, n := range c.list("Node") {
		if n.GetName() == kube.Field(m, "status", "nodeRef", "name") {
			c.patch(n, map[string]any{"spec": map[string]any{"unschedulable": true}})
		}
	}
}

// outdated reports whether a machine is from before the rollout of its group.
func outdated(group, m *unstructured.Unstructured) bool {
	after, err := time.Parse(time.RFC3339, kube.Field(group, "spec", "rollout", "after"))
	return err == nil && m.GetCreationTimestamp().Time.Before(after)
}

// scale creates and deletes machines of a group. Machines that are marked for
// deletion go first. In a rollout, a new machine is ready before an old one goes.
func (c *Cluster) scale(ctx context.Context, group *unstructured.Unstructured, machines []*unstructured.Unstructured, nodes map[string]*unstructured.Unstructured) {
	if group.GetName() == "work-md-0" {
		return
	}
	machines = slices.DeleteFunc(slices.Clone(machines), func(m *unstructured.Unstructured) bool { return m.GetDeletionTimestamp() != nil })
	want, old, readyOnes, freshReady := number(group, "spec", "replicas"), 0, 0, true
	for _, m := range machines {
		node := nodes[kube.Field(m, "status", "nodeRef", "name")]
		up := node != nil && ready(node)
		if up {
			readyOnes++
		}
		if outdated(group, m) {
			old++
		} else if !up {
			freshReady = false
		}
	}
	if old > 0 && want > 0 {
		want++ // the surge
	}
	for range want - len(machines) {
		m := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"clusterName": ClusterName}, "status": map[string]any{"phase": "Provisioning"}}}
		m.SetAPIVersion("cluster.x-k8s.io/v1beta2")
		m.SetKind("Machine")
		m.SetNamespace(Namespace)
		m.SetName(group.GetName())
		m.SetLabels(map[string]string{clusterv1.MachineDeploymentNameLabel: group.GetName()})
		if c.breaks(ctx, group) {
			m.SetAnnotations(map[string]string{neverJoins: ""})
		}
		c.create(m)
		if hollow.Is(group) {
			c.createHollow(m)
		}
	}
	mark := func(m *unstructured.Unstructured) int {
		if _, ok := m.GetAnnotations()[clusterv1.DeleteMachineAnnotation]; ok {
			return 0
		}
		return 1
	}
	age := func(m *unstructured.Unstructured) int {
		if outdated(group, m) {
			return 0
		}
		return 1
	}
	joined := func(m *unstructured.Unstructured) int { return len(kube.Field(m, "status", "nodeRef", "name")) }
	slices.SortStableFunc(machines, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(age(a), age(b)), cmp.Compare(mark(a), mark(b)), cmp.Compare(min(1, joined(a)), min(1, joined(b))))
	})
	surplus := len(machines) - want
	if surplus == 0 && old > 0 && freshReady && len(machines) > old {
		surplus = 1 // the new one is ready: an old one goes
	}
	for _, m := range machines[:max(surplus, 0)] {
		c.delete(m)
	}
	status := map[string]any{"readyReplicas": readyOnes, "replicas": len(machines), "observedGeneration": group.GetGeneration()}
	if number(group, "status", "readyReplicas") != readyOnes || number(group, "status", "replicas") != len(machines) || kube.Field(group, "status", "observedGeneration") == "" {
		c.patch(group, map[string]any{"status": status})
	}
}
