package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/actions"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/workload"
)

// world is the state of the clusters and the facts about the autoscaler. At every
// change it has the checks evaluated.
type world struct {
	prefix string
	// own has the names of the scenario's groups, without the prefix.
	own []string
	// lanes begins the prefixes of all scenarios that run at the same time; empty if this one runs
	// alone.
	lanes string
	// podNamespace is the usual namespace of workloads.
	podNamespace string
	now          func() time.Time
	// followed are the kinds of objects that are followed. It does not change after follow.
	followed []*followed

	mu sync.Mutex
	// The objects by name. The pods are those of the scenario's workloads, and of their
	// usual namespace.
	pods, nodes, groups, machines map[string]*unstructured.Unstructured
	// workloadOf has the workload of every pod, also of pods that are gone.
	workloadOf map[string]string
	// oldMachines has the UIDs of the machines from before the rollout, by group.
	oldMachines map[string]map[string]bool
	// objects has the objects of other kinds that checks are about.
	objects map[collection]map[string]*unstructured.Unstructured
	// metrics are those of the autoscaler's last process; nil if they are not known.
	// metricsErr is why they could not be read the last time. processes is how often the
	// autoscaler was started.
	metrics    metrics.Sample
	metricsErr error
	processes  int
	facts      []timeline.Fact
	// decisions are those of the first decisionsOf facts.
	decisions   []*history.Decision
	decisionsOf int
	// variables are the values for ${…}.
	variables scenario.Variables
	// nodesBefore is the number of nodes before the first step. began is the time
	// just before the first object was created.
	nodesBefore int
	began       time.Time
	watches     []*watch
	// decided signals that a check came true or broke. Its capacity is one.
	decided chan struct{}
}

func newWorld(prefix string, now func() time.Time) *world {
	return &world{
		prefix: prefix, now: now, workloadOf: map[string]string{}, oldMachines: map[string]map[string]bool{}, decided: make(chan struct{}, 1),
		pods: map[string]*unstructured.Unstructured{}, nodes: map[string]*unstructured.Unstructured{},
		groups: map[string]*unstructured.Unstructured{}, machines: map[string]*unstructured.Unstructured{},
	}
}

// follow keeps the world up to date until ctx is done. It returns when all existing
// objects have been seen, or with an error when limited is done. The pods are those of
// o.PodNamespace, and those of workloads in other namespaces. objects are what checks look at.
func (w *world) follow(ctx, limited context.Context, o Options, others []string, objects map[collection]map[string]*unstructured.Unstructured) error {
	synced := make(chan struct{})
	errs := make(chan error, 1)
	start := func(c *kube.Client, kind schema.GroupKind, namespace string, into map[string]*unstructured.Unstructured) {
		seen := w.following(c, kind, namespace)
		go c.Follow(ctx, kube.Follower{
			Kind: kind, Namespace: namespace,
			OnSynced: func() {
				select {
				case synced <- struct{}{}:
				case <-limited.Done():
				}
			},
			OnChange: func(change kube.Change) {
				w.update(kind, change, into)
				seen.see(change)
			},
			OnError: func(err error) {
				select {
				case errs <- err:
				default:
				}
			},
		})
	}
	w.podNamespace = o.PodNamespace
	start(o.Workload, kube.Pods, o.PodNamespace, w.pods)
	for _, namespace := range others {
		start(o.Workload, kube.Pods, namespace, w.pods)
	}
	start(o.Workload, kube.Nodes, "", w.nodes)
	start(o.Management, kube.MachineDeployments, o.Namespace, w.groups)
	start(o.Management, kube.Machines, o.Namespace, w.machines)
	w.mu.Lock()
	w.objects = objects
	w.mu.Unlock()
	for of, into := range objects {
		client := actions.ClientOf(of.kind, o.Workload, o.Management)
		if err := refuseUnserved(limited, client, of); err != nil {
			return err
		}
		start(client, of.kind, of.namespace, into)
	}
	for range w.followed {
		select {
		case <-synced:
		case <-limited.Done():
			err := context.Cause(limited)
			select {
			case last := <-errs:
				return fmt.Errorf("watch the cluster: %w; last: %w", err, last)
			default:
				return fmt.Errorf("watch the cluster: %w", err)
			}
		}
	}
	return nil
}

func (w *world) update(kind schema.GroupKind, change kube.Change, into map[string]*unstructured.Unstructured) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := change.After
	if o == nil {
		o = change.Before
	}
	if kind == kube.Pods && !w.follows(o) {
		return
	}
	if change.After == nil {
		delete(into, o.GetName())
	} else {
		into[o.GetName()] = o
	}
	if kind == kube.Pods {
		w.workloadOf[o.GetName()] = o.GetLabels()[workload.Label]
	}
	w.evaluateAll(w.changedAt(change), describeChange(kind, change))
}

// follows reports whether checks may be about a pod: those of namespaces that the scenario
// shares with others may have any names.
func (w *world) follows(pod *unstructured.Unstructured) bool {
	return w.podNamespace == "" || pod.GetNamespace() == w.podNamespace || strings.HasPrefix(pod.GetLabels()[workload.Label], w.prefix)
}

// addFact adds a fact of the timeline.
func (w *world) addFact(f timeline.Fact) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.facts = append(w.facts, f)
	if f.Kind == timeline.Autoscaler {
		w.evaluateAll(w.now(), "the autoscaler said: "+f.Text)
	}
}

// changedAt returns when a change was made. A watch may show it late, so the time is
// taken from the object's managed fields, which have whole seconds. They do not
// record deletions, nor changes through the subresource scale: for these, and for
// objects without such a time, it is now.
func (w *world) changedAt(change kube.Change) time.Time {
	now := w.now()
	if change.After == nil || change.After.GetDeletionTimestamp() != nil {
		return now
	}
	latest := lastWrite(change.After)
	if latest.IsZero() || latest.After(now) || change.Before != nil && !latest.After(lastWrite(change.Before)) {
		return now
	}
	return latest
}

// lastWrite returns the latest time in the managed fields of an object, zero without one.
func lastWrite(o *unstructured.Unstructured) time.Time {
	var latest time.Time
	for _, m := range o.GetManagedFields() {
		if m.Time != nil && m.Time.After(latest) {
			latest = m.Time.Time
		}
	}
	return latest
}

// evaluateAll evaluates every check after a change that was made at that time. The caller
// holds mu.
func (w *world) evaluateAll(at time.Time, cause string) {
	for _, check := range w.watches {
		if check.evaluate(w, at, cause) {
			select {
			case w.decided <- struct{}{}:
			default:
			}
		}
	}
}

// describeChange describes in words how an object changed.
func describeChange(kind schema.GroupKind, change kube.Change) string {
	name := map[schema.GroupKind]string{kube.Pods: "pod", kube.Nodes: "node", kube.MachineDeployments: "group", kube.Machines: "machine"}[kind]
	if name == "" {
		name = kind.Kind
	}
	switch {
	case change.Before == nil:
		return fmt.Sprintf("%s %s is there", name, change.After.GetName())
	case change.After == nil:
		return fmt.Sprintf("%s %s went", name, change.Before.GetName())
	}
	// The fields that a check may depend on.
	var parts []string
	for _, path := range [][]string{{"spec", "replicas"}, {"status", "phase"}, {"spec", "nodeName"}, {"spec", "unschedulable"}} {
		before, after := kube.Field(change.Before, path...), kube.Field(change.After, path...)
		if before != after {
			parts = append(parts, fmt.Sprintf("%s %s → %s", path[len(path)-1], orNothing(before), orNothing(after)))
		}
	}
	if before, after := kube.True(change.Before, "Ready"), kube.True(change.After, "Ready"); before != after {
		parts = append(parts, fmt.Sprintf("Ready %t → %t", before, after))
	}
	if change.Before.GetDeletionTimestamp() == nil && change.After.GetDeletionTimestamp() != nil {
		parts = append(parts, "is being deleted")
	}
	if len(parts) == 0 {
		return fmt.Sprintf("%s %s changed", name, change.After.GetName())
	}
	return fmt.Sprintf("%s %s: %s", name, change.After.GetName(), strings.Join(parts, ", "))
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// baseline is the state when a step began.
type baseline struct {
	at time.Time
	// at is the time, first the time when the scenario began.
	first time.Time
	// pods has the pods by UID.
	pods map[string]placement
}

type placement struct{ workload, pod, node string }

// podBefore is a pod of a baseline.
type podBefore struct {
	uid string
	placement
}

// setBegin notes that the scenario begins.
func (w *world) setBegin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began = w.now()
}

// setVariables notes the values for ${…} before the first step.
func (w *world) setVariables(v scenario.Variables) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.variables, w.nodesBefore = v, v.Nodes
}

func (w *world) baseline() baseline {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := baseline{at: w.now(), first: w.began, pods: map[string]placement{}}
	for name, p := range w.pods {
		if p.GetDeletionTimestamp() == nil {
			b.pods[string(p.GetUID())] = placement{p.GetLabels()[workload.Label], name, kube.Field(p, "spec", "nodeName")}
		}
	}
	return b
}

// recordOldMachines notes the machines of a group that is about to be rolled out.
func (w *world) recordOldMachines(group string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	oldMachines := map[string]bool{}
	for _, m := range w.machinesOf(strings.TrimPrefix(group, w.prefix)) {
		oldMachines[string(m.GetUID())] = true
	}
	w.oldMachines[group] = oldMachines
}

// podsOf returns the pods of a workload that are not being deleted, sorted by name.
// The caller holds mu.
func (w *world) podsOf(name string) []*unstructured.Unstructured {
	return slices.DeleteFunc(w.allPodsOf(name), func(p *unstructured.Unstructured) bool { return p.GetDeletionTimestamp() != nil })
}

// allPodsOf returns all pods of a workload, sorted by name. The caller holds mu.
func (w *world) allPodsOf(name string) []*unstructured.Unstructured {
	return selectObjects(w.pods, func(p *unstructured.Unstructured) bool { return p.GetLabels()[workload.Label] == w.prefix+name })
}

// machinesOf returns the machines of a group, sorted by name. The caller holds mu.
func (w *world) machinesOf(group string) []*unstructured.Unstructured {
	return selectObjects(w.machines, func(m *unstructured.Unstructured) bool {
		return m.GetLabels()[clusterv1.MachineDeploymentNameLabel] == w.prefix+group
	})
}

// nodesOf returns the names of a group's nodes. The caller holds mu.
func (w *world) nodesOf(group string) []string {
	var nodes []string
	for _, m := range w.machinesOf(group) {
		if node := kube.Field(m, "status", "nodeRef", "name"); node != "" {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// factsSince returns the facts since that second, sorted by time: events have whole
// seconds. The caller holds mu.
func (w *world) factsSince(at time.Time) []timeline.Fact {
	at = at.Truncate(time.Second)
	var since []timeline.Fact
	for _, f := range w.facts {
		if !f.Time.Before(at) && !w.isOthers(f) {
			since = append(since, f)
		}
	}
	slices.SortStableFunc(since, func(a, b timeline.Fact) int { return a.Time.Compare(b.Time) })
	return since
}

// isOthers reports whether a fact is about an object of another scenario that runs at the same time.
func (w *world) isOthers(f timeline.Fact) bool {
	if w.lanes == "" {
		return false
	}
	_, pod, _ := strings.Cut(f.Name, "/")
	return slices.ContainsFunc([]string{f.Name, pod, f.Group, f.Node}, func(name string) bool {
		return strings.HasPrefix(name, w.lanes) && !strings.HasPrefix(name, w.prefix)
	})
}

func selectObjects(all map[string]*unstructured.Unstructured, wanted func(*unstructured.Unstructured) bool) []*unstructured.Unstructured {
	var found []*unstructured.Unstructured
	for _, o := range all {
		if wanted(o) {
			found = append(found, o)
		}
	}
	slices.SortFunc(found, func(a, b *unstructured.Unstructured) int { return strings.Compare(a.GetName(), b.GetName()) })
	return found
}

// add evaluates the checks now and at every change, until remove.
func (w *world) add(watches ...*watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watches = append(w.watches, watches...)
	for _, c := range watches {
		c.evaluate(w, w.now(), "")
	}
}

func (w *world) remove(watches ...*watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watches = slices.DeleteFunc(w.watches, func(c *watch) bool { return slices.Contains(watches, c) })
}

// state is the state of the checks of a step.
type state struct {
	// broken is the first check that broke.
	broken *watch
	// missing are the expectations that have not come true in time. actual
	// describes what is there instead of the first one.
	missing []*watch
	actual  string
	// metAt is when the last expectation came true, or when the last action ended.
	metAt time.Time
}

// state returns the state of the checks. began is the end of the last action. A stay
// has to hold until the time For after the last expectation came true. If it broke
// later than that, it does not count as broken.
func (w *world) state(began time.Time, always, stays, expects []*watch) state {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := state{metAt: began}
	for _, c := range expects {
		switch {
		case c.metAt.IsZero():
			if len(s.missing) == 0 {
				s.actual = c.describeMissing()
			}
			s.missing = append(s.missing, c)
		case c.metAt.After(s.metAt):
			s.metAt = c.metAt
		}
	}
	for _, c := range slices.Concat(always, stays, expects) {
		if c.broken == nil {
			continue
		}
		over := slices.Contains(stays, c) && len(s.missing) == 0 && c.broken.at.After(s.metAt.Add(time.Duration(c.check.For)))
		if !over {
			s.broken = c
			break
		}
	}
	return s
}

// neverEvaluated returns the first check that never had anything to evaluate, and breaks
// it; nil if there is none.
func (w *world) neverEvaluated(stays []*watch) *watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range stays {
		if !c.evaluated {
			c.broken = &observation{w.now(), "no pods on a node, from the beginning to the end", "there was nothing to look at"}
			return c
		}
	}
	return nil
}

func (w *world) metAt(c *watch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !c.metAt.IsZero()
}
