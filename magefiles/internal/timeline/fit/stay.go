package fit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// Annotations that decide what the autoscaler does with a node or a pod.
const (
	scaleDownDisabled = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
	safeToEvict       = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	safeVolumes       = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
)

// Stay is what keeps the autoscaler from removing a node of a node group.
type Stay struct {
	Usage Usage
	// Obstacles hold for the node, in the order in which the autoscaler judges.
	Obstacles []Obstacle
	// Blockers are the pods that block its removal, one for each reason.
	Blockers []Blocker
	// AtMinimum is set if the group may not become smaller.
	AtMinimum *Obstacle
	// Timers are the times that must pass, also those that are over.
	Timers []Timer
	// Unjudged says what this package does not judge of what may keep the node.
	Unjudged []string
}

// Blocker is a pod that blocks the removal of its node.
type Blocker struct {
	Pod string
	Obstacle
}

// Stay returns what keeps the autoscaler from removing a node. The rules are those of
// cluster-autoscaler/core/scaledown and simulator in the releases.
func (w *World) Stay(n *Node, g *Group) Stay {
	s := Stay{Usage: w.usage(n, g)}
	obstacle := func(text, change string) { s.Obstacles = append(s.Obstacles, Obstacle{text, change}) }
	if !w.Autoscaler.set("scale-down-enabled") {
		obstacle("--scale-down-enabled is false", "--scale-down-enabled")
	}
	if n.Annotations[scaleDownDisabled] == "true" {
		obstacle("its annotation "+scaleDownDisabled+" is true", "no annotation "+scaleDownDisabled+" on the node")
	}
	if !n.Ready && !w.Autoscaler.set("scale-down-unready-enabled") {
		obstacle("it is not Ready, and --scale-down-unready-enabled is false", "a node that is Ready, or --scale-down-unready-enabled")
	}
	if !s.Usage.Idle {
		change := fmt.Sprintf("fewer requests for %s on the node, or a higher threshold", s.Usage.Decisive)
		if s.Usage.flags != "" {
			change += ", or " + s.Usage.flags
		}
		obstacle(s.Usage.String(), change)
	}
	s.Blockers, s.Unjudged = w.blockers(n)
	if least, _ := w.Limits(g); g.Wanted <= least {
		s.AtMinimum = &Obstacle{fmt.Sprintf("min reached: %s wants %d of at least %d", g.Name, g.Wanted, least), fmt.Sprintf("min of %s to %d", g.Name, max(0, g.Wanted-1))}
	}
	if s.Usage.Idle && len(s.Blockers) == 0 {
		s.Timers = append(s.Timers, w.unneeded(n, g))
	}
	s.Timers = append(s.Timers, w.CoolDowns(g)...)
	return s
}

// Usage is how much of a node is in use, as the autoscaler computes it.
type Usage struct {
	// Decisive is the resource of which the largest share is requested, and Share is that
	// share; of a node with GPUs, only these count.
	Decisive corev1.ResourceName
	Share    float64
	// Shares has each resource that counts, Without also without the pods of DaemonSets and
	// static pods.
	Shares []ResourceShare
	// Threshold is the share above which the node stays. Releases differ at the threshold
	// itself.
	Threshold Setting
	// Excluded says which pods the autoscaler leaves out.
	Excluded []string
	// Idle is set if the node may be removed.
	Idle bool
	// flags are the flags with which the node would be idle, because the pods that fill it would
	// not count. It is empty if the node is idle, or if no flags have that effect.
	flags string
}

// ResourceShare is the share of a resource that is requested.
type ResourceShare struct {
	Name         corev1.ResourceName
	All, Without float64
}

// String returns the decisive share beside the threshold.
func (u Usage) String() string {
	relation := "above"
	switch limit := u.Threshold.Number(); {
	case u.Idle && u.Share < limit:
		relation = "below"
	case u.Share == limit:
		relation = "at"
	}
	return fmt.Sprintf("%s of %s is requested, %s the threshold of %s (%s)", Percent(u.Share), u.Decisive, relation, Percent(u.Threshold.Number()), u.Threshold.By)
}

// Percent returns a share in percent, with at most one decimal.
func Percent(share float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(100*share, 'f', 1, 64), ".0") + "%"
}

// gpuLabel is on nodes with GPUs, and gpus is the resource that counts there. Source:
// cloudprovider/clusterapi/clusterapi_provider.go and utils/gpu/gpu.go.
const (
	gpuLabel = "cluster-api/accelerator"
	gpus     = corev1.ResourceName("nvidia.com/gpu")
)

// gpuResources are the resources by which the autoscaler sees that the GPUs of a node are there.
// Source: utils/gpu/gpu.go of 1.36.1; older releases know fewer.
var gpuResources = []corev1.ResourceName{gpus, "amd.com/gpu", "microsoft.com/directx"}

// usage returns how much of a node is in use. Source: simulator/utilization/info.go,
// Calculate.
func (w *World) usage(n *Node, g *Group) Usage {
	names, u := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}, Usage{}
	u.Threshold = w.option(g, "scale-down-utilization-threshold", "scaledownutilizationthreshold")
	if _, labelled := n.Labels[gpuLabel]; labelled {
		names, u.Threshold = []corev1.ResourceName{gpus}, w.option(g, "scale-down-gpu-utilization-threshold", "scaledowngpuutilizationthreshold")
	}
	daemons, mirrors := w.Autoscaler.set("ignore-daemonsets-utilization"), w.Autoscaler.set("ignore-mirror-pods-utilization")
	if daemons {
		u.Excluded = append(u.Excluded, "pods of DaemonSets")
	}
	if mirrors {
		u.Excluded = append(u.Excluded, "static pods")
	}
	for _, name := range names {
		share := w.share(n, name, daemons, mirrors)
		u.Shares = append(u.Shares, ResourceShare{name, w.share(n, name, false, false), w.share(n, name, true, true)})
		// Of equal shares, that of memory decides.
		if u.Decisive == "" || share >= u.Share {
			u.Decisive, u.Share = name, share
		}
	}
	limit := u.Threshold.Number()
	idle := func(notDaemons, notMirrors bool) bool {
		return !slices.ContainsFunc(names, func(name corev1.ResourceName) bool {
			share := w.share(n, name, notDaemons, notMirrors)
			return share > limit || share == limit && !w.Autoscaler.Release().RemovesAtThreshold
		})
	}
	u.Idle = idle(daemons, mirrors)
	const ofDaemons, ofMirrors = "--ignore-daemonsets-utilization", "--ignore-mirror-pods-utilization"
	switch {
	case u.Idle:
	case idle(true, mirrors):
		u.flags = ofDaemons
	case idle(daemons, true):
		u.flags = ofMirrors
	case idle(true, true):
		u.flags = ofDaemons + " with " + ofMirrors
	}
	return u
}

// lacksGPUs reports whether a node should have GPUs that it does not offer yet.
func (n *Node) lacksGPUs() bool {
	_, labelled := n.Labels[gpuLabel]
	return labelled && !slices.ContainsFunc(gpuResources, func(name corev1.ResourceName) bool {
		q, there := n.Allocatable[name]
		return there && !q.IsZero()
	})
}

// share returns which part of a resource the pods of a node request. The requests of pods
// that do not count are subtracted from the whole too.
func (w *World) share(n *Node, name corev1.ResourceName, notDaemons, notMirrors bool) float64 {
	all, used := n.Allocatable[name], int64(0)
	whole := all.MilliValue()
	for _, p := range n.Pods {
		requested := p.Requests[name]
		switch {
		case notDaemons && p.OfDaemonSet(), notMirrors && p.Mirror():
			if w.Autoscaler.Release().DaemonSetsOfWhole {
				continue
			}
			whole -= requested.MilliValue()
		case !w.overdue(p):
			used += requested.MilliValue()
		}
	}
	if whole <= 0 {
		return 0
	}
	return float64(used) / float64(whole)
}

// overdueAfter is the time after a pod's grace period from which on the autoscaler counts
// it as gone. Source: utils/drain/drain.go.
const overdueAfter = 30 * time.Second

// overdue reports whether a deleted pod should have ended.
func (w *World) overdue(p *Pod) bool {
	return !p.Deleted.IsZero() && p.Deleted.Add(time.Duration(p.Grace)*time.Second+overdueAfter).Before(w.At)
}

// moving returns the pods of a node that the autoscaler would evict to remove it, and the pods
// that it does not evict.
func (w *World) moving(n *Node) (moving []*Pod, blockers []Blocker) {
	for _, p := range n.Pods {
		if p.Mirror() || p.OfDaemonSet() || w.overdue(p) {
			continue
		}
		found := w.notEvicted(p)
		for _, o := range found {
			blockers = append(blockers, Blocker{p.Name, o})
		}
		if len(found) == 0 {
			moving = append(moving, p)
		}
	}
	return moving, blockers
}

// blockers returns the pods that block the removal of a node, and what is not judged.
func (w *World) blockers(n *Node) (blockers []Blocker, unjudged []string) {
	moving, blockers := w.moving(n)
	if !w.BudgetsKnown && len(moving) > 0 {
		unjudged = append(unjudged, "PodDisruptionBudgets, which are not all on record")
	}
	for _, p := range moving {
		if u := w.Unjudged(p); len(u) > 0 {
			unjudged = append(unjudged, p.Name+": "+strings.Join(u, ", "))
		}
	}
	return append(blockers, w.homeless(n, moving)...), unjudged
}

// onCompletion is a value of safeToEvict, for releases that know it: the pod is not evicted,
// and the node waits for its end. To others it means nothing.
const onCompletion = "on-completion"

// replicated are the kinds of controllers that the autoscaler trusts to create a pod again.
var replicated = map[string]bool{"ReplicationController": true, "Job": true, "ReplicaSet": true, "StatefulSet": true}

// notEvicted returns why the autoscaler does not evict a pod. Source: the rules in
// simulator/drainability/rules, in older releases utils/drain/drain.go.
func (w *World) notEvicted(p *Pod) []Obstacle {
	a, release := w.Autoscaler, w.Autoscaler.Release()
	budgets := w.budgets(p)
	var found, budgeted []Obstacle
	for _, b := range budgets {
		if o := b.blocks(); o != nil {
			budgeted = append(budgeted, *o)
		}
	}
	if few := w.fewReplicas(p); few != nil {
		found = append(found, *few) // whatever the annotation says
	}
	safe := p.Annotations[safeToEvict]
	switch {
	case safe == "true" && release.BudgetsBindSafePods:
		return append(found, budgeted...)
	case safe == "true":
		return found
	case safe == onCompletion && release.WaitsForCompletion:
		return append(found, Obstacle{"its annotation " + safeToEvict + " is on-completion: the node waits for its end", "its end"})
	}
	evictable := "the annotation " + safeToEvict + ": \"true\" on the pod"
	switch {
	case p.Owner == nil:
		found = append(found, Obstacle{"no controller would create it again", evictable})
	case !replicated[p.Owner.Kind] && a.set("skip-nodes-with-custom-controller-pods"):
		found = append(found, Obstacle{
			fmt.Sprintf("its controller is a %s, and --skip-nodes-with-custom-controller-pods keeps nodes with pods of such a controller", p.Owner.Kind), evictable,
		})
	}
	if namespaceOf(p.Name) == "kube-system" && len(budgets) == 0 && a.set("skip-nodes-with-system-pods") {
		if o := w.systemPod(p); o != nil {
			found = append(found, *o)
		}
	}
	if safe == "false" {
		found = append(found, Obstacle{"its annotation " + safeToEvict + " is false", "no annotation " + safeToEvict + " on the pod"})
	}
	if texts, names := w.localStorage(p); len(texts) > 0 && a.set("skip-nodes-with-local-storage") {
		if release.ReleasesVolumes {
			evictable += fmt.Sprintf(", or %s: %s", safeVolumes, strings.Join(names, ","))
		}
		found = append(found, Obstacle{"it has local storage: " + strings.Join(texts, ", "), evictable + ", or --skip-nodes-with-local-storage=false"})
	}
	return append(found, budgeted...)
}

// fewReplicas returns that the controller of a pod has fewer replicas than the autoscaler wants,
// nil if it has enough. The autoscaler reads them in the controller's spec, which is not on
// record: its pods are counted instead. Source: simulator/drainability/rules/replicacount, in
// older releases utils/drain/drain.go.
func (w *World) fewReplicas(p *Pod) *Obstacle {
	least := int(w.Autoscaler.Setting("min-replica-count").Number())
	if p.Owner == nil || p.Owner.Kind != "ReplicaSet" && p.Owner.Kind != "ReplicationController" || !w.Autoscaler.set("skip-nodes-with-custom-controller-pods") {
		return nil
	}
	n := 0
	for _, other := range w.Pods {
		if other.Owner != nil && *other.Owner == *p.Owner && namespaceOf(other.Name) == namespaceOf(p.Name) {
			n++
		}
	}
	if n >= least {
		return nil
	}
	return &Obstacle{
		fmt.Sprintf("its %s %s has %s, fewer than --min-replica-count=%d", p.Owner.Kind, p.Owner.Name, timeline.Plural(n, "pod"), least),
		fmt.Sprintf("%d replicas of the %s %s, or --min-replica-count=%d", least, p.Owner.Kind, p.Owner.Name, n),
	}
}

// systemPod returns why a pod of kube-system that no PodDisruptionBudget selects is not
// evicted, nil if it is.
func (w *World) systemPod(p *Pod) *Obstacle {
	text := "it is in kube-system, and no PodDisruptionBudget selects it"
	if !w.BudgetsKnown {
		text = "it is in kube-system, and no PodDisruptionBudget is on record that selects it"
	}
	if w.Autoscaler.Release().EvictsSystemPods {
		timeout, _ := w.Autoscaler.Setting("blocking-system-pod-distruption-timeout").Duration()
		end := p.Created.Add(timeout)
		if end.Before(w.At) {
			return nil
		}
		text += fmt.Sprintf("; it is evicted from %s on, when it is %s old", timeline.Clock(end), timeline.DurationText(timeout))
	}
	return &Obstacle{text, "a PodDisruptionBudget that selects it and allows an eviction"}
}

// localStorage returns the pod's volumes on the node that its annotation does not release, and
// the names of all of them. Source: utils/drain/drain.go, HasBlockingLocalStorage.
func (w *World) localStorage(p *Pod) (texts, names []string) {
	release := w.Autoscaler.Release()
	var released []string
	if release.ReleasesVolumes {
		released = strings.Split(p.Annotations[safeVolumes], ",")
	}
	note := func(kind string, volumes []string) {
		for _, v := range volumes {
			names = append(names, v)
			if !slices.Contains(released, v) {
				texts = append(texts, kind+" "+v)
			}
		}
	}
	note("the emptyDir", p.EmptyDirs)
	if release.MemoryIsLocal {
		note("the emptyDir in memory", p.MemoryDirs)
	}
	note("the hostPath", p.HostPaths)
	note("the emptyDir or hostPath", p.LocalVolumes)
	return texts, names
}

// homeless returns the pods that would fit on no other node, if they moved one after the
// other.
func (w *World) homeless(from *Node, moving []*Pod) []Blocker {
	var found []Blocker
	var others []place
	for _, n := range w.Nodes {
		if n != from && n.open() {
			others = append(others, w.place(n, nil))
		}
	}
	for _, p := range moving {
		reasons := map[string]int{}
		at := slices.IndexFunc(others, func(other place) bool {
			other.refusals = w.judged[p][other.name]
			obstacles := w.obstacles(p, other)
			if len(obstacles) > 0 {
				reasons[obstacles[0].Text]++
			}
			return len(obstacles) == 0
		})
		if at < 0 {
			found = append(found, Blocker{p.Name, Obstacle{"it fits on no other node: " + counted(reasons), "another node on which it fits"}})
			continue
		}
		others[at].put(p)
	}
	return found
}

// maxReasons is the largest number of reasons why a pod has no place.
const maxReasons = 3

// counted returns reasons with the numbers of nodes, the commonest first.
func counted(reasons map[string]int) string {
	if len(reasons) == 0 {
		return "there is none that is Ready"
	}
	names := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(reasons[b]-reasons[a], strings.Compare(a, b))
	})
	var texts []string
	for _, name := range names[:min(len(names), maxReasons)] {
		texts = append(texts, fmt.Sprintf("%s (%s)", name, timeline.Plural(reasons[name], "node")))
	}
	if left := len(names) - maxReasons; left > 0 {
		texts = append(texts, fmt.Sprintf("and %s more", timeline.Plural(left, "reason")))
	}
	return strings.Join(texts, "; ")
}

// Timer is a time that must pass before the autoscaler removes a node.
type Timer struct {
	// Name is what it counts from: "unneeded", "after adding nodes".
	Name string
	// From and Needs are when it began and how long it takes; From is zero if it has not
	// begun. By says where the duration is from.
	From  time.Time
	Needs time.Duration
	By    string
	// OfLoop is set if From is the start of the loop in which the autoscaler decided, which was
	// later.
	OfLoop bool
	// Until is when it is over, zero if it has not begun.
	Until time.Time
}

// Unneeded is the Name of the timer of a node that the autoscaler does not need.
const Unneeded = "unneeded"

// unneeded returns for how long the autoscaler must find the node unneeded.
func (w *World) unneeded(n *Node, g *Group) Timer {
	setting := w.option(g, "scale-down-unneeded-time", "scaledownunneededtime")
	if !n.Ready {
		setting = w.option(g, "scale-down-unready-time", "scaledownunreadytime")
	}
	// It taints only some nodes at a time, or none with --max-bulk-soft-taint-count=0.
	t := Timer{Name: Unneeded, From: cmp.Or(n.Unneeded, n.Candidate)}
	t.Needs, t.By = setting.Duration()
	if !t.From.IsZero() {
		t.Until = t.From.Add(t.Needs)
	}
	return t
}

// CoolDowns returns the delays before the autoscaler removes nodes again. With
// --scale-down-delay-type-local they are those of the group, and there are none without a
// group.
func (w *World) CoolDowns(g *Group) []Timer {
	a := &w.Autoscaler
	last := cmp.Or(a.CoolDown, &a.decided)
	if a.set("scale-down-delay-type-local") {
		if g == nil {
			return nil
		}
		last = cmp.Or(a.decidedOf[g.Name], &shape.CoolDown{})
	}
	var timers []Timer
	for _, c := range []struct {
		name, flag    string
		from, decided time.Time
	}{
		{"after adding nodes", "scale-down-delay-after-add", last.Add, a.decided.Add},
		{"after deleting nodes", "scale-down-delay-after-delete", last.Delete, a.decided.Delete},
		{"after a failure", "scale-down-delay-after-failure", last.Failure, a.decided.Failure},
	} {
		t := Timer{Name: c.name, From: c.from, OfLoop: last == a.CoolDown && c.decided.Sub(c.from) >= time.Second}
		if t.From.Before(a.Since) {
			t.From = time.Time{} // a process begins with times in the past
		}
		t.Needs, t.By = a.Setting(c.flag).Duration()
		if !t.From.IsZero() {
			t.Until = t.From.Add(t.Needs)
		}
		timers = append(timers, t)
	}
	return timers
}
