package simtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario/engine"
)

// Behaviour says what the simulated autoscaler does wrong.
type Behaviour string

// The behaviours of the simulated autoscaler.
const (
	Good              Behaviour = "good"
	NeverScalesUp     Behaviour = "never scales up"
	NeverScalesDown   Behaviour = "never scales down"
	AddsTooMany       Behaviour = "adds a node too many"
	ExceedsMaximum    Behaviour = "exceeds the maximum"
	SaysNothing       Behaviour = "says nothing"
	IgnoresMinimum    Behaviour = "ignores the minimum"
	NeverEnforces     Behaviour = "does not enforce the minimum"
	IgnoresTotal      Behaviour = "ignores the total"
	DeletesWrong      Behaviour = "deletes the wrong machine"
	IgnoresPDB        Behaviour = "ignores disruption budgets"
	IgnoresNotSafe    Behaviour = "ignores safe-to-evict"
	WrongGroup        Behaviour = "takes the wrong group"
	IgnoresTaints     Behaviour = "ignores taints and labels"
	Unbalanced        Behaviour = "does not balance"
	IgnoresPause      Behaviour = "ignores a pause"
	IgnoresRollout    Behaviour = "scales down in a rollout"
	NeverGivesUp      Behaviour = "waits for a node for ever"
	TriesAgain        Behaviour = "treats a group that it gave up as healthy"
	GivesUpAltogether Behaviour = "gives a group up and tries no other"
	DoesNotWait       Behaviour = "does not wait for a node"
	ForgetsUpcoming   Behaviour = "forgets the nodes that are coming"
	DeadAfterRestart  Behaviour = "does nothing after a restart"
	EndsByItself      Behaviour = "ends by itself"
	IgnoresPauseDown  Behaviour = "removes nodes of a group that is paused"

	NodePerPod          Behaviour = "adds a node for each pod"
	IgnoresSize         Behaviour = "adds nodes for pods that do not fit on them"
	IgnoresHostPorts    Behaviour = "ignores host ports"
	IgnoresAffinity     Behaviour = "ignores affinity"
	IgnoresLocalStorage Behaviour = "ignores local storage"
	IgnoresOwners       Behaviour = "evicts pods that nobody makes again"
	IgnoresSystemPods   Behaviour = "evicts system pods"
	IgnoresPriority     Behaviour = "adds nodes for expendable pods"
	CountsDeleted       Behaviour = "counts nodes that are being deleted"
	OneByOne            Behaviour = "adds one node in each round"
	IgnoresStartup      Behaviour = "takes a node that is not finished for one that is"
	GivesIn             Behaviour = "leaves a group alone that somebody else resized"
	WaitsForDeletions   Behaviour = "adds no node while a machine is being deleted"
	LacksRights         Behaviour = "waits for machine templates that it may not list"
	TakesAnyScheduler   Behaviour = "adds nodes for pods of other schedulers"

	ScalesForeign      Behaviour = "scales groups without limits"
	RefusesVolumes     Behaviour = "adds no node for a pod with a volume"
	HeedsAnyPDB        Behaviour = "moves no pod that has a disruption budget"
	CountsExpendable   Behaviour = "keeps nodes under expendable pods"
	IgnoresUse         Behaviour = "removes nodes that are in use"
	IgnoresHealth      Behaviour = "enlarges a group whose nodes are not ready"
	MissesDevices      Behaviour = "takes devices for endless"
	IgnoresDevices     Behaviour = "adds nodes with too few devices"
	ForgetsDevices     Behaviour = "knows no devices of an empty group"
	IgnoresLateDevices Behaviour = "takes a node whose devices come late for one without"
	IgnoresManaged     Behaviour = "knows no labels of Cluster API's"
	SkipsEmpty         Behaviour = "balances only groups that have nodes"
	IgnoresDaemons     Behaviour = "forgets DaemonSets on new nodes"
	IgnoresSpread      Behaviour = "ignores topology spread"
	IgnoresVolumes     Behaviour = "ignores where volumes are"
	IgnoresResources   Behaviour = "ignores the limits of cores and memory"
	StopsAtFirst       Behaviour = "stops at the first node that it cannot remove"
	BlockedByNodes     Behaviour = "removes no node while another one is not ready"
	BlockedByPods      Behaviour = "does nothing while a pod fits on no node"
)

// The times of the simulated autoscaler.
const (
	round        = 10 * time.Second
	unneededTime = 23 * time.Second
	afterAdd     = 10 * time.Second
	backoffTime  = 5 * time.Minute
	giveUpTime   = 10 * time.Minute
)

// Autoscaler is a simulated autoscaler. It implements engine.Autoscaler.
type Autoscaler struct {
	Cluster   *Cluster
	Behaviour Behaviour
	// Release is the release that Describe returns; the default is 1.36.1. With
	// Unknown, Describe returns none. Foreign is set if the lab does not start and
	// stop the autoscaler.
	Release string
	Unknown bool
	Foreign bool

	mu     sync.Mutex
	flags  map[string]string
	stop   context.CancelFunc
	done   <-chan struct{}
	ended  chan error
	starts int

	// The state of one process.
	added    map[string]time.Time // the last scale-up of a group
	lastAdd  time.Time
	backoff  map[string]time.Time
	unneeded map[string]time.Time
	wanted   map[string]int    // the last size that it gave a group
	seen     map[string]string // the groups of the nodes that it saw
	scaledUp atomic.Int64      // the nodes that it added
}

// Describe implements engine.Autoscaler.
func (a *Autoscaler) Describe() (string, *version.Version) {
	if a.Unknown {
		return "simulated autoscaler", nil
	}
	return "simulated autoscaler", version.Must(version.NewSemver(cmp.Or(a.Release, "1.36.1")))
}

// Controlled implements engine.Autoscaler.
func (a *Autoscaler) Controlled() bool { return !a.Foreign }

// Deployed implements engine.Autoscaler.
func (a *Autoscaler) Deployed() bool { return !a.Foreign }

// Ended implements engine.Autoscaler.
func (a *Autoscaler) Ended() <-chan error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// Start implements engine.Autoscaler.
func (a *Autoscaler) Start(ctx context.Context, i engine.Invocation) error {
	named := map[string]string{}
	for _, flag := range slices.Concat(i.Flags, i.Env) {
		name, value, _ := strings.Cut(strings.TrimLeft(flag, "-"), "=")
		named[name] = value
	}
	a.mu.Lock()
	running := a.stop != nil
	same := maps.Equal(a.flags, named)
	select {
	case <-a.done:
		same = false // it ended by itself
	default:
	}
	a.mu.Unlock()
	if running && same {
		return nil
	}
	if running {
		if err := a.Stop(ctx); err != nil {
			return err
		}
	}
	a.mu.Lock()
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.flags, a.stop, a.ended = named, stop, make(chan error, 1)
	a.starts++
	a.added, a.backoff, a.unneeded = map[string]time.Time{}, map[string]time.Time{}, map[string]time.Time{}
	a.lastAdd, a.wanted, a.seen = time.Time{}, map[string]int{}, map[string]string{}
	a.scaledUp.Store(0)
	a.Cluster.newLog()
	a.Cluster.Log("I", "main.go:309", "Cluster Autoscaler %s", cmp.Or(a.Release, "1.36.1"))
	done := make(chan struct{})
	a.done = done
	go func(ended chan<- error) {
		defer close(done)
		a.run(run, ended)
	}(a.ended)
	a.mu.Unlock()
	time.Sleep(2 * time.Second)
	return nil
}

// Stop implements engine.Autoscaler.
func (a *Autoscaler) Stop(context.Context) error {
	a.mu.Lock()
	stop, done := a.stop, a.done
	a.stop = nil
	a.mu.Unlock()
	if stop != nil {
		stop()
		<-done // its last round is over
	}
	return nil
}

// Metrics implements engine.Autoscaler.
func (a *Autoscaler) Metrics(context.Context) (metrics.Sample, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop == nil {
		return nil, errors.New("it does not run")
	}
	return metrics.Parse(strings.NewReader(fmt.Sprintf("# TYPE cluster_autoscaler_scaled_up_nodes_total counter\ncluster_autoscaler_scaled_up_nodes_total{gpu=\"\"} %d\n", a.scaledUp.Load())))
}

// Kill implements engine.Autoscaler.
func (a *Autoscaler) Kill(ctx context.Context) error { return a.Stop(ctx) }

func (a *Autoscaler) run(ctx context.Context, ended chan<- error) {
	ticker := time.NewTicker(round)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if a.Behaviour == EndsByItself {
			ended <- fmt.Errorf("panic: on purpose")
			return
		}
		a.mu.Lock()
		dead := a.Behaviour == DeadAfterRestart && a.starts > 1
		a.mu.Unlock()
		if !dead {
			a.loop()
		}
	}
}

// group is a node group with its machines and nodes.
type group struct {
	md             *unstructured.Unstructured
	name           string
	size, min, max int
	machines       []*unstructured.Unstructured
	nodes          []*unstructured.Unstructured
	template       *unstructured.Unstructured
	rollingOut     bool
	paused         bool
}

func (g *group) memory() int64 { return memory(g.template.Object, "status", "allocatable", "memory") }

// groups returns the groups that may be scaled.
func (a *Autoscaler) groups(machines, nodes []*unstructured.Unstructured) []*group {
	c := a.Cluster
	var all []*group
	if c.clusterPaused() && a.Behaviour != IgnoresPause {
		return nil
	}
	for _, md := range c.list("MachineDeployment") {
		annotations := md.GetAnnotations()
		highest, err := strconv.Atoi(annotations["cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size"])
		if err != nil && a.Behaviour == ScalesForeign && md.GetName() != "work-md-0" {
			highest, err = 10, nil
		}
		if err != nil {
			continue
		}
		_, paused := annotations[clusterv1.PausedAnnotation]
		if paused && a.Behaviour != IgnoresPause && a.Behaviour != IgnoresPauseDown {
			continue
		}
		lowest, _ := strconv.Atoi(annotations["cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size"])
		g := &group{md: md, name: md.GetName(), size: number(md, "spec", "replicas"), min: lowest, max: highest, template: c.template(md), paused: paused}
		g.template.Object["status"].(map[string]any)["conditions"] = []any{map[string]any{"type": "Ready", "status": "True"}}
		for _, m := range machines {
			if m.GetLabels()[clusterv1.MachineDeploymentNameLabel] != g.name {
				continue
			}
			g.rollingOut = g.rollingOut || outdated(md, m)
			g.machines = append(g.machines, m)
			for _, n := range nodes {
				if n.GetName() == kube.Field(m, "status", "nodeRef", "name") {
					g.nodes = append(g.nodes, n)
				}
			}
		}
		if a.Behaviour != IgnoresManaged {
			setManagedLabels(md, g.template)
		}
		if a.Behaviour == ForgetsDevices && len(g.nodes) == 0 {
			g.template.SetAnnotations(nil)
		}
		all = append(all, g)
	}
	return all
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

// log writes a line to the log. As the real autoscaler does, it repeats a line in
// every round.
func (a *Autoscaler) log(severity, source, format string, args ...any) {
	if a.Behaviour != SaysNothing {
		a.Cluster.Log(severity, source, format, args...)
	}
}

// id returns the name of the group in the autoscaler's messages.
func (g *group) id() string { return "MachineDeployment/" + Namespace + "/" + g.name }

func (a *Autoscaler) resize(g *group, size int) {
	g.size, a.wanted[g.name] = size, size
	a.Cluster.patch(g.md, map[string]any{"spec": map[string]any{"replicas": size}})
}

func (a *Autoscaler) loop() {
	c := a.Cluster
	a.log("I", "static_autoscaler.go:308", "Starting main loop")
	nodes, pods := c.list("Node"), c.list("Pod")
	if a.Behaviour == LacksRights {
		a.log("E", "reflector.go:204", `"Failed to watch" err="failed to list infrastructure.cluster.x-k8s.io/v1beta2, Resource=hollowmachinetemplates: hollowmachinetemplates.infrastructure.cluster.x-k8s.io is forbidden"`)
		return
	}
	groups := a.groups(c.list("Machine"), nodes)
	a.giveUp(groups)
	if _, enforce := a.flags["enforce-node-group-min-size"]; enforce && a.Behaviour != NeverEnforces {
		for _, g := range groups {
			if g.size < g.min {
				a.add(g, g.min-g.size)
			}
		}
	}
	if a.Behaviour != NeverScalesUp {
		up := groups
		if a.Behaviour == IgnoresPauseDown {
			up = slices.DeleteFunc(slices.Clone(groups), func(g *group) bool { return g.paused })
		}
		a.scaleUp(up, nodes, pods)
	}
	if a.Behaviour != NeverScalesDown && time.Since(a.lastAdd) > afterAdd {
		a.scaleDown(groups, nodes, pods)
	}
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

// expendable reports whether the priority of a pod is so low that it counts for nothing.
func (a *Autoscaler) expendable(pod *unstructured.Unstructured) bool {
	cutoff, err := strconv.Atoi(a.flags["expendable-pods-priority-cutoff"])
	if err != nil {
		cutoff = -10
	}
	return a.Cluster.priority(pod) < cutoff
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

// unfinished reports whether a node has the taint of one that is not finished.
func (a *Autoscaler) unfinished(node *unstructured.Unstructured) bool {
	if isLate(node) {
		return a.Behaviour != IgnoresLateDevices
	}
	taints, _, _ := unstructured.NestedSlice(node.Object, "spec", "taints")
	return a.Behaviour != IgnoresStartup && slices.ContainsFunc(taints, func(t any) bool { return t.(map[string]any)["key"] == a.flags["startup-taint"] })
}

// leavesAlone reports whether the autoscaler wrongly does not enlarge a group.
func (a *Autoscaler) leavesAlone(g *group) bool {
	wanted, resized := a.wanted[g.name]
	if a.Behaviour == GivesIn {
		return resized && g.size < wanted
	}
	return slices.ContainsFunc(g.machines, func(m *unstructured.Unstructured) bool { return m.GetDeletionTimestamp() != nil })
}

// needsNode reports whether a pod waits for a node that is not there or on its way, and
// puts it on one that is.
func (a *Autoscaler) needsNode(pod *unstructured.Unstructured, all []*nodeRoom) bool {
	scheduler := kube.Field(pod, "spec", "schedulerName")
	switch {
	case !isPending(pod),
		a.expendable(pod) && a.Behaviour != IgnoresPriority,
		foreign(pod) && scheduler != a.flags["bypassed-scheduler-names"] && a.Behaviour != TakesAnyScheduler:
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

// flag returns the number that a flag has, or the default.
func (a *Autoscaler) flag(name string, usual int) int {
	if n, err := strconv.Atoi(a.flags[name]); err == nil {
		return n
	}
	return usual
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

// scaleDown removes one node that was unneeded for long enough.
func (a *Autoscaler) scaleDown(groups []*group, nodes, pods []*unstructured.Unstructured) {
	if a.Behaviour == BlockedByNodes && slices.ContainsFunc(nodes, func(n *unstructured.Unstructured) bool { return !ready(n) }) {
		return
	}
	unneeded := map[string]time.Time{}
	done := false
	for _, g := range groups {
		if g.rollingOut && a.Behaviour != IgnoresRollout {
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
	case local && a.flags["skip-nodes-with-local-storage"] != "false" && a.Behaviour != IgnoresLocalStorage:
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
