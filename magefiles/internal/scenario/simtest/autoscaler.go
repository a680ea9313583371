package simtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario/engine"
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

	mu    sync.Mutex
	flags map[string]string
	// together is set if a scale-up of a group delays the scale-down of that group only.
	together bool
	stop     context.CancelFunc
	done     <-chan struct{}
	ended    chan error
	starts   int

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

// Flags implements engine.Autoscaler. They are those of the lab's template.
func (a *Autoscaler) Flags() []autoscaler.Flag {
	flags, err := autoscaler.Flags(autoscaler.Settings{})
	if err != nil {
		panic(err) // the template is part of the program
	}
	return flags
}

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
	a.flags, a.together, a.stop, a.ended = named, i.Together, stop, make(chan error, 1)
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
	if a.Behaviour != NeverScalesDown && (a.together || time.Since(a.lastAdd) > afterAdd) {
		a.scaleDown(groups, nodes, pods)
	}
}

// expendable reports whether the priority of a pod is so low that it counts for nothing.
func (a *Autoscaler) expendable(pod *unstructured.Unstructured) bool {
	cutoff, err := strconv.Atoi(a.flags["expendable-pods-priority-cutoff"])
	if err != nil {
		cutoff = -10
	}
	return a.Cluster.priority(pod) < cutoff
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

// flag returns the number that a flag has, or the default.
func (a *Autoscaler) flag(name string, usual int) int {
	if n, err := strconv.Atoi(a.flags[name]); err == nil {
		return n
	}
	return usual
}
