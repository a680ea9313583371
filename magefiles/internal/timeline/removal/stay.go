// Package removal says why the autoscaler keeps a node, and what the removal of one waits for.
package removal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/setting"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
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
	Obstacles []fit.Obstacle
	// Blockers are the pods that block its removal, one for each reason.
	Blockers []Blocker
	// AtMinimum is set if the group may not become smaller.
	AtMinimum *fit.Obstacle
	// Timers are the times that must pass, also those that are over.
	Timers []Timer
	// Unjudged says what this package does not judge of what may keep the node.
	Unjudged []string
}

// Blocker is a pod that blocks the removal of its node.
type Blocker struct {
	Pod string
	fit.Obstacle
}

// obstacle returns a reason and the smallest change that removes it.
func obstacle(text, change string) fit.Obstacle { return fit.Obstacle{Text: text, Change: change} }

// Of returns what keeps the autoscaler from removing a node of a group, by what j judges of places for
// its pods. The rules are those of cluster-autoscaler/core/scaledown and simulator in the releases.
func Of(j *fit.Judge, n *world.Node, g *world.Group) Stay {
	w := j.World
	s := Stay{Usage: usage(w, n, g)}
	keeps := func(text, change string) { s.Obstacles = append(s.Obstacles, obstacle(text, change)) }
	if !w.Autoscaler.On("scale-down-enabled") {
		keeps("--scale-down-enabled is false", "--scale-down-enabled")
	}
	if strings.Contains(w.Health, "Unhealthy") {
		keeps("the autoscaler finds the cluster unhealthy, and removes no node: "+w.Health, "nodes that are Ready")
	}
	if n.Annotations[scaleDownDisabled] == "true" {
		keeps("its annotation "+scaleDownDisabled+" is true", "no annotation "+scaleDownDisabled+" on the node")
	}
	if !n.Ready && !w.Autoscaler.On("scale-down-unready-enabled") {
		keeps("it is not Ready, and --scale-down-unready-enabled is false", "a node that is Ready, or --scale-down-unready-enabled")
	}
	if s.Usage.Failed != "" {
		keeps("the autoscaler cannot compute how much of it is in use: "+s.Usage.Failed, "all ResourceSlices of the pool")
	} else if !s.Usage.Idle {
		change := fmt.Sprintf("fewer requests for %s on the node, or a higher threshold", s.Usage.Decisive)
		if s.Usage.flags != "" {
			change += ", or " + s.Usage.flags
		}
		keeps(s.Usage.String(), change)
	}
	s.Blockers, s.Unjudged = blockers(j, n)
	if s.Usage.unjudged != "" {
		s.Unjudged = append(s.Unjudged, s.Usage.unjudged)
	}
	if least, _ := w.Limits(g); g.Wanted <= least {
		s.AtMinimum = new(obstacle(fmt.Sprintf("min reached: %s wants %d of at least %d", g.Name, g.Wanted, least), fmt.Sprintf("min of %s to %d", g.Name, max(0, g.Wanted-1))))
	}
	if s.Usage.Idle && len(s.Blockers) == 0 {
		s.Timers = append(s.Timers, unneeded(w, n, g))
	}
	s.Timers = append(s.Timers, CoolDowns(w, g)...)
	return s
}

// Usage is how much of a node is in use, as the autoscaler computes it.
type Usage struct {
	// Decisive is the resource of which the largest share is requested, and Share is that share. On
	// a node with GPUs, only GPUs count. Devices is set if the node has ResourceSlices: then only
	// devices count, and Decisive is the name of a pool of devices.
	Devices  bool
	Decisive corev1.ResourceName
	Share    float64
	// Shares has each resource that counts, Without also without the pods of DaemonSets and
	// static pods.
	Shares []ResourceShare
	// Threshold is the share above which the node stays. Releases differ at the threshold
	// itself.
	Threshold setting.Setting
	// Excluded says which pods the autoscaler leaves out.
	Excluded []string
	// Idle is set if the node may be removed.
	Idle bool
	// Failed is why the autoscaler cannot compute this, empty if it can.
	Failed string
	// unjudged names the part of the utilisation that the lab does not compute.
	unjudged string
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
	does := "requested"
	if u.Devices {
		does = "allocated"
	}
	return fmt.Sprintf("%s of %s is %s, %s the threshold of %s (%s)", shape.Percent(u.Share), u.Decisive, does, relation, shape.Percent(u.Threshold.Number()), u.Threshold.By)
}

// usage returns how much of a node is in use. Source: simulator/utilization/info.go,
// Calculate.
func usage(w *world.World, n *world.Node, g *world.Group) Usage {
	names, u := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}, Usage{}
	u.Threshold = w.Option(g, "scale-down-utilization-threshold", "scaledownutilizationthreshold")
	if _, labelled := n.Labels[fit.GPULabel]; labelled {
		names, u.Threshold = []corev1.ResourceName{fit.GPUs}, w.Option(g, "scale-down-gpu-utilization-threshold", "scaledowngpuutilizationthreshold")
	}
	daemons, mirrors := w.Autoscaler.On("ignore-daemonsets-utilization"), w.Autoscaler.On("ignore-mirror-pods-utilization")
	if daemons {
		u.Excluded = append(u.Excluded, "pods of DaemonSets")
	}
	if mirrors {
		u.Excluded = append(u.Excluded, "static pods")
	}
	for _, name := range names {
		part := share(w, n, name, daemons, mirrors)
		u.Shares = append(u.Shares, ResourceShare{name, share(w, n, name, false, false), share(w, n, name, true, true)})
		// Of equal shares, that of memory decides.
		if u.Decisive == "" || part >= u.Share {
			u.Decisive, u.Share = name, part
		}
	}
	limit := u.Threshold.Number()
	idle := func(notDaemons, notMirrors bool) bool {
		return !slices.ContainsFunc(names, func(name corev1.ResourceName) bool {
			part := share(w, n, name, notDaemons, notMirrors)
			return part > limit || part == limit && !w.Autoscaler.Release().RemovesAtThreshold
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
	if pools := poolsOf(w, n); len(pools) > 0 && names[0] != fit.GPUs {
		u.useDevices(w, pools)
	}
	return u
}

// share returns which part of a resource the pods of a node request. The requests of pods
// that do not count are subtracted from the whole too, except for those of expendable pods.
func share(w *world.World, n *world.Node, name corev1.ResourceName, notDaemons, notMirrors bool) float64 {
	all, used := n.Allocatable[name], int64(0)
	whole := all.MilliValue()
	for _, p := range n.Pods {
		requested := p.Requests[name]
		switch {
		case w.Expendable(p):
		case notDaemons && p.OfDaemonSet(), notMirrors && p.Mirror():
			if w.Autoscaler.Release().DaemonSetsOfWhole {
				continue
			}
			whole -= requested.MilliValue()
		case !overdue(w, p):
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
func overdue(w *world.World, p *world.Pod) bool {
	return !p.Deleted.IsZero() && p.Deleted.Add(time.Duration(p.Grace)*time.Second+overdueAfter).Before(w.At)
}

// moving returns the pods of a node that the autoscaler would evict to remove it, and the pods
// that it does not evict.
func moving(w *world.World, n *world.Node) (leaving []*world.Pod, blockers []Blocker) {
	for _, p := range n.Pods {
		if p.Mirror() || p.OfDaemonSet() || overdue(w, p) || w.Expendable(p) {
			continue
		}
		found := notEvicted(w, p)
		for _, o := range found {
			blockers = append(blockers, Blocker{p.Name, o})
		}
		if len(found) == 0 {
			leaving = append(leaving, p)
		}
	}
	return leaving, blockers
}

// Consult asks the scheduler's filters where the pods of a node fit that must leave it, if one of them
// requires what package fit does not judge.
func Consult(ctx context.Context, j *fit.Judge, ask fit.Scheduler, n *world.Node) error {
	leaving, _ := moving(j.World, n)
	return j.ConsultMoves(ctx, ask, n, leaving)
}

// Filters returns the version of Kubernetes whose filters judged the pods of a node that must leave it,
// empty if none did.
func Filters(j *fit.Judge, n *world.Node) string {
	leaving, _ := moving(j.World, n)
	return j.FiltersOf(leaving...)
}

// blockers returns the pods that block the removal of a node, and what is not judged.
func blockers(j *fit.Judge, n *world.Node) (blockers []Blocker, unjudged []string) {
	leaving, blockers := moving(j.World, n)
	if !j.BudgetsKnown && len(leaving) > 0 {
		unjudged = append(unjudged, "PodDisruptionBudgets, which are not all on record")
	}
	for _, p := range leaving {
		if u := j.Unjudged(p); len(u) > 0 {
			unjudged = append(unjudged, p.Name+": "+strings.Join(u, ", "))
		}
	}
	for _, h := range j.Homeless(n, leaving) {
		blockers = append(blockers, Blocker{h.Pod.Name, h.Obstacle})
	}
	return blockers, unjudged
}

// onCompletion is a value of safeToEvict, for releases that know it: the pod is not evicted,
// and the node waits for its end. To others it means nothing.
const onCompletion = "on-completion"

// replicated are the kinds of controllers that the autoscaler trusts to create a pod again.
var replicated = map[string]bool{"ReplicationController": true, "Job": true, "ReplicaSet": true, "StatefulSet": true}

// notEvicted returns why the autoscaler does not evict a pod. Source: the rules in
// simulator/drainability/rules, in older releases utils/drain/drain.go.
func notEvicted(w *world.World, p *world.Pod) []fit.Obstacle {
	a, r := w.Autoscaler, w.Autoscaler.Release()
	selecting := budgets(w, p)
	var found, budgeted []fit.Obstacle
	for _, b := range selecting {
		if o := blocks(b); o != nil {
			budgeted = append(budgeted, *o)
		}
	}
	if few := fewReplicas(w, p); few != nil {
		found = append(found, *few) // whatever the annotation says
	}
	safe := p.Annotations[safeToEvict]
	switch {
	case safe == "true" && r.BudgetsBindSafePods:
		return append(found, budgeted...)
	case safe == "true":
		return found
	case safe == onCompletion && r.WaitsForCompletion:
		return append(found, obstacle("its annotation "+safeToEvict+" is on-completion: the node waits for its end", "its end"))
	}
	evictable := "the annotation " + safeToEvict + ": \"true\" on the pod"
	switch {
	case p.Owner == nil:
		found = append(found, obstacle("no controller would create it again", evictable))
	case !replicated[p.Owner.Kind] && a.On("skip-nodes-with-custom-controller-pods"):
		found = append(found, obstacle(
			fmt.Sprintf("its controller is a %s, and --skip-nodes-with-custom-controller-pods keeps nodes with pods of such a controller", p.Owner.Kind), evictable,
		))
	}
	if p.Namespace() == "kube-system" && len(selecting) == 0 && a.On("skip-nodes-with-system-pods") {
		if o := systemPod(w, p); o != nil {
			found = append(found, *o)
		}
	}
	if safe == "false" {
		found = append(found, obstacle("its annotation "+safeToEvict+" is false", "no annotation "+safeToEvict+" on the pod"))
	}
	if texts, names := localStorage(w, p); len(texts) > 0 && a.On("skip-nodes-with-local-storage") {
		if r.ReleasesVolumes {
			evictable += fmt.Sprintf(", or %s: %s", safeVolumes, strings.Join(names, ","))
		}
		found = append(found, obstacle("it has local storage: "+strings.Join(texts, ", "), evictable+", or --skip-nodes-with-local-storage=false"))
	}
	return append(found, budgeted...)
}

// fewReplicas returns that the controller of a pod has fewer replicas than the autoscaler wants,
// nil if it has enough. The autoscaler reads them in the controller's spec, which is not on
// record: its pods are counted instead. Source: simulator/drainability/rules/replicacount, in
// older releases utils/drain/drain.go.
func fewReplicas(w *world.World, p *world.Pod) *fit.Obstacle {
	least := int(w.Autoscaler.Setting("min-replica-count").Number())
	if p.Owner == nil || p.Owner.Kind != "ReplicaSet" && p.Owner.Kind != "ReplicationController" || !w.Autoscaler.On("skip-nodes-with-custom-controller-pods") {
		return nil
	}
	n := 0
	for _, other := range w.Pods {
		if other.Owner != nil && *other.Owner == *p.Owner && other.Namespace() == p.Namespace() {
			n++
		}
	}
	if n >= least {
		return nil
	}
	return new(obstacle(
		fmt.Sprintf("its %s %s has %s, fewer than --min-replica-count=%d", p.Owner.Kind, p.Owner.Name, timeline.Plural(n, "pod"), least),
		fmt.Sprintf("%d replicas of the %s %s, or --min-replica-count=%d", least, p.Owner.Kind, p.Owner.Name, n),
	))
}

// systemPod returns why a pod of kube-system that no PodDisruptionBudget selects is not
// evicted, nil if it is.
func systemPod(w *world.World, p *world.Pod) *fit.Obstacle {
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
	return new(obstacle(text, "a PodDisruptionBudget that selects it and allows an eviction"))
}

// localStorage returns the pod's volumes on the node that its annotation does not release, and
// the names of all of them. Source: utils/drain/drain.go, HasBlockingLocalStorage.
func localStorage(w *world.World, p *world.Pod) (texts, names []string) {
	r := w.Autoscaler.Release()
	var released []string
	if r.ReleasesVolumes {
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
	if r.MemoryIsLocal {
		note("the emptyDir in memory", p.MemoryDirs)
	}
	note("the hostPath", p.HostPaths)
	note("the emptyDir or hostPath", p.LocalVolumes)
	return texts, names
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
func unneeded(w *world.World, n *world.Node, g *world.Group) Timer {
	wait := w.Option(g, "scale-down-unneeded-time", "scaledownunneededtime")
	if !n.Ready {
		wait = w.Option(g, "scale-down-unready-time", "scaledownunreadytime")
	}
	// It taints only some nodes at a time, or none with --max-bulk-soft-taint-count=0.
	t := Timer{Name: Unneeded, From: cmp.Or(n.Unneeded, n.Candidate)}
	t.Needs, t.By = wait.Duration()
	if !t.From.IsZero() {
		t.Until = t.From.Add(t.Needs)
	}
	return t
}

// CoolDowns returns the delays before the autoscaler removes nodes again. With
// --scale-down-delay-type-local they are those of the group, and there are none without a
// group.
func CoolDowns(w *world.World, g *world.Group) []Timer {
	a := &w.Autoscaler
	last := cmp.Or(a.CoolDown, &a.Decided)
	if a.On("scale-down-delay-type-local") {
		if g == nil {
			return nil
		}
		last = cmp.Or(a.DecidedOf[g.Name], &shape.CoolDown{})
	}
	var timers []Timer
	for _, c := range []struct {
		name, flag    string
		from, decided time.Time
	}{
		{"after adding nodes", "scale-down-delay-after-add", last.Add, a.Decided.Add},
		{"after deleting nodes", "scale-down-delay-after-delete", last.Delete, a.Decided.Delete},
		{"after a failure", "scale-down-delay-after-failure", last.Failure, a.Decided.Failure},
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
