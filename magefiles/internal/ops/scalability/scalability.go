// Package scalability measures how an autoscaler does with many node groups, nodes and pods.
package scalability

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/list"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/ops/groups"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/traffic"
	"caslab/magefiles/internal/workload"
)

// Command is the target's name.
const Command = "bench:autoscaler"

// Bench measures autoscalers on the environment's cluster.
type Bench struct {
	*lab.Lab
	// Open opens the cluster.
	Open        target.Opener
	Autoscalers *autoscalers.Autoscalers
	Groups      Groups
	// Prepare makes a cluster ready for hollow machines.
	Prepare func(context.Context, *target.Cluster) error
}

// Groups adds node groups, and deletes them with their nodes.
type Groups interface {
	Add(ctx context.Context, name string, lowest, highest int, o groups.Options) error
	Delete(ctx context.Context, name string) error
}

// Options of Run.
type Options struct {
	// Groups is how many node groups there are. Pods need Nodes nodes, at least.
	Groups, Nodes, Pods int
	// Trees has the autoscalers, separated by commas: releases, or folders of checkouts. If
	// empty, the settings' autoscaler is measured. Each is measured Rounds times, by turns.
	Trees  string
	Rounds int
	// Flags add to those of the settings, as on a command line.
	Flags string
	// Quiet is how long the autoscaler is watched while nothing changes.
	Quiet time.Duration
	// Out is the folder of results.json and of the profiles; there are none if it is empty.
	Out string
}

// Bounds of the options. Up to maxPerNode pods, exactly as many as are to fit on a node do.
const (
	maxGroups  = 1000
	maxNodes   = 1000
	maxPerNode = 15
)

// validate refuses what cannot be measured.
func (o Options) validate() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(o.Groups < 1 || o.Groups > maxGroups, "-groups=%d: want 1 to %d", o.Groups, maxGroups)
	refuse(o.Nodes < 1 || o.Nodes > maxNodes || o.Groups > 0 && o.Nodes%o.Groups != 0, "-nodes=%d: want as many for each of the %d groups, and at most %d in all", o.Nodes, o.Groups, maxNodes)
	refuse(o.Nodes > 0 && (o.Pods < o.Nodes || o.Pods > maxPerNode*o.Nodes || o.Pods%o.Nodes != 0), "-pods=%d: want as many for each of the %d nodes, 1 to %d", o.Pods, o.Nodes, maxPerNode)
	refuse(o.Rounds < 1, "-rounds=%d: want 1 or more", o.Rounds)
	refuse(o.Quiet < 0, "-quiet=%s: want a duration, such as 1m", o.Quiet)
	if o.Out != "" {
		if err := state.CheckFolder(o.Out); err != nil {
			errs = append(errs, fmt.Errorf("-out=%s: %w", o.Out, err))
		}
	}
	return errors.Join(errs...)
}

// plan is what Options mean for each node group.
type plan struct {
	groups int
	// nodes that a group needs, and pods that it gets, of which perNode fit on a node.
	nodes, pods, perNode int
	// memory that each pod requests, in MiB.
	memory int
}

// Capacity of a node.
const (
	nodeMemory   = 16 << 10 // MiB
	nodeCapacity = "cpu=8,memory=16Gi"
	// usable is the part of a node's memory that pods of the measurement request, in per
	// cent. The rest is for DaemonSets.
	usable = 95
)

func planOf(o Options) plan {
	p := plan{groups: o.Groups, perNode: o.Pods / o.Nodes, nodes: o.Nodes / o.Groups}
	p.pods = p.nodes * p.perNode
	p.memory = nodeMemory * usable / 100 / p.perNode
	return p
}

func (p plan) allPods() int  { return p.groups * p.pods }
func (p plan) allNodes() int { return p.groups * p.nodes }

const namePrefix = "bench-"

// name returns the name of the i-th group and of its workload.
func (plan) name(i int) string { return fmt.Sprintf(namePrefix+"%03d", i) }

// has reports whether an object with these labels belongs to one of the groups.
func (p plan) has(labels map[string]string) bool {
	name := labels[groupLabel]
	i, err := strconv.Atoi(strings.TrimPrefix(name, namePrefix))
	return err == nil && i >= 0 && i < p.groups && name == p.name(i)
}

const (
	// groupLabel is on the nodes and on the workload of a group, with the group's name.
	groupLabel = "caslab.local/bench"
	// measuredLabel is on the machine deployments, with the value measured. The autoscaler
	// scales those alone, so that other groups of the cluster do not count.
	measuredLabel = "caslab.local/measured"
	measured      = "true"
)

// candidate is an autoscaler that is measured.
type candidate struct {
	*autoscalers.Autoscalers
	name     string
	compiled autoscalers.Compiled
}

// Run measures each autoscaler and prints the results.
func (b *Bench) Run(ctx context.Context, o Options) (err error) {
	if err := o.validate(); err != nil {
		return err
	}
	overrides, err := b.Autoscalers.Overrides(o.Flags)
	if err != nil {
		return err
	}
	candidates, err := b.candidates(o.Trees)
	if err != nil {
		return err
	}
	c, err := b.Open(ctx)
	if err != nil {
		return err
	}
	if !c.Own {
		return fmt.Errorf("%s adds hollow machines to the environment of the lab; leave out WORKLOAD_KUBECONFIG", Command)
	}
	// Before anything is looked at: what a running measurement made is not left over.
	unlock, err := b.Autoscalers.Lock(ctx, c, Command)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	p := planOf(o)
	if err := b.checkFree(ctx, c, p); err != nil {
		return err
	}
	// The number of nodes is not limited. Later flags win.
	overrides = append([]string{fmt.Sprintf("--max-nodes-total=0 --profiling --node-group-auto-discovery=clusterapi:namespace=%s,clusterName=%s,%s=%s", c.Namespace, c.Name, measuredLabel, measured)}, overrides...)
	for i := range candidates {
		if err := candidates[i].compile(ctx, c, overrides); err != nil {
			return fmt.Errorf("autoscaler %s: %w", candidates[i].name, err)
		}
	}
	if err := b.Prepare(ctx, c); err != nil {
		return err
	}
	results := Results{Groups: p.groups, Nodes: p.allNodes(), Pods: p.allPods()}
	err = b.withGroups(ctx, p, func() error {
		like := measurement{Bench: b, cluster: c, overrides: overrides, plan: p, options: o}
		return like.takeTurns(candidates, &results, func(m *measurement) ([]Phase, error) { return m.run(ctx) })
	})
	if len(results.Runs) == 0 {
		return err
	}
	if o.Out != "" {
		b.Log.Printf("results.json and the profiles are in %s", o.Out)
	}
	return errors.Join(err, results.print(b.Out))
}

// takeTurns runs a measurement like m of each candidate in each round, and adds the runs to the results.
// It writes them after each run, so that a measurement that is stopped loses nothing.
func (m measurement) takeTurns(candidates []candidate, results *Results, run func(*measurement) ([]Phase, error)) error {
	o := m.options
	for round := range o.Rounds {
		for _, s := range candidates {
			m.Log.Printf("round %d of %d, autoscaler %s", round+1, o.Rounds, s.name)
			turn := m
			turn.candidate, turn.round = s, round+1
			phases, err := run(&turn)
			if len(phases) > 0 {
				results.Runs = append(results.Runs, Run{Autoscaler: s.name, Round: round + 1, Phases: phases})
			}
			if o.Out != "" && len(results.Runs) > 0 {
				err = errors.Join(err, state.Write(filepath.Join(o.Out, "results.json"), 0o644, results.JSON))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// candidates returns the autoscalers that trees lists.
func (b *Bench) candidates(trees string) ([]candidate, error) {
	listed, err := list.Split(trees)
	if err != nil {
		return nil, fmt.Errorf("-trees: %w", err)
	}
	if len(listed) == 0 {
		return []candidate{{Autoscalers: b.Autoscalers, name: "of the settings"}}, nil
	}
	var all []candidate
	for i, tree := range listed {
		if slices.Contains(listed[:i], tree) {
			return nil, fmt.Errorf("-trees=%s: %s is there twice; -rounds=N measures each N times", trees, tree)
		}
		other, err := b.Autoscalers.Of(tree)
		if err != nil {
			return nil, fmt.Errorf("-trees=%s: %w", trees, err)
		}
		all = append(all, candidate{Autoscalers: other, name: tree})
	}
	return all, nil
}

// compile compiles the autoscaler, and refuses flags that it does not have.
func (s *candidate) compile(ctx context.Context, c *target.Cluster, overrides []string) (err error) {
	if s.compiled, err = s.Compile(ctx, false); err != nil {
		return err
	}
	s.name = s.compiled.State
	_, err = s.CheckedFlags(ctx, s.compiled.Binary, s.Settings(c, "127.0.0.1:0"), overrides)
	return err
}

// checkFree returns an error if the cluster has node groups or workloads of another measurement, as
// a killed measurement leaves them. The autoscaler would work for their pods too.
func (b *Bench) checkFree(ctx context.Context, c *target.Cluster, p plan) error {
	ctx, cancel := interrupt.WithTimeout(ctx, lab.AnswerWithin)
	defer cancel()
	groups, err := capi.Groups(ctx, c.Management, c.Namespace, c.Name)
	if err != nil {
		return lab.Waited(ctx, "list the node groups", err)
	}
	var there, commands []string
	for i := range groups {
		name := groups[i].GetName()
		if groups[i].GetLabels()[measuredLabel] != "" || p.has(map[string]string{groupLabel: name}) {
			there = append(there, "the node group "+name)
			commands = append(commands, b.Config.Command("nodegroup:delete "+name))
		}
	}
	deployments, err := c.Workload.List(ctx, kube.Deployments, target.PodNamespace)
	if err != nil {
		return lab.Waited(ctx, "list the workloads", err)
	}
	for i := range deployments {
		if name := deployments[i].GetName(); deployments[i].GetLabels()[groupLabel] != "" {
			there = append(there, "the workload "+name)
			commands = append(commands, b.Config.Command("workload:delete -name="+name))
		}
	}
	if len(there) == 0 {
		return nil
	}
	return fmt.Errorf("the cluster has %s, perhaps of an earlier measurement; delete what you no longer need:\n  %s", strings.Join(there, ", "), strings.Join(commands, "\n  "))
}

// cleanupTime bounds the removal of what was made, nodes by the hundred included.
const cleanupTime = 20 * time.Minute

// withGroups calls do while the node groups exist.
func (b *Bench) withGroups(ctx context.Context, p plan, do func() error) (err error) {
	var others sync.Map // the names of groups that somebody else added
	defer func() {
		ctx, cancel := interrupt.Cleanup(ctx, cleanupTime)
		defer cancel()
		err = errors.Join(err, b.each(p, "delete", func(name string) error {
			if _, other := others.Load(name); other {
				return nil
			}
			err := b.Groups.Delete(ctx, name)
			if errors.As(err, new(*capi.MissingGroupError)) {
				return nil // it was not added
			}
			return err
		}))
	}()
	err = b.each(p, "add", func(name string) error {
		// Twice the nodes, so that a wrong decision shows.
		err := b.Groups.Add(ctx, name, 0, 2*p.nodes+1, groups.Options{
			Machines: groups.Hollow, Capacity: nodeCapacity, Labels: groupLabel + "=" + name, Extra: map[string]string{measuredLabel: measured},
		})
		if errors.As(err, new(*capi.TakenError)) {
			others.Store(name, true)
		}
		return err
	})
	if err != nil {
		return err
	}
	return do()
}

// atOnce is how many node groups are added, or deleted, at the same time.
const atOnce = 8

// each calls do with the name of each node group. what says what do does with the group.
func (b *Bench) each(p plan, what string, do func(name string) error) error {
	step := b.Log.Start(fmt.Sprintf("%s %d node groups", what, p.groups), time.Duration(p.groups)*time.Second/2)
	var all errgroup.Group
	all.SetLimit(atOnce)
	var done atomic.Int32
	for i := range p.groups {
		all.Go(func() error {
			err := do(p.name(i))
			step.Progress(fmt.Sprintf("%d of %d", done.Add(1), p.groups))
			return err
		})
	}
	err := all.Wait()
	step.Done("", err)
	return err
}

// measurement is one run of one autoscaler.
type measurement struct {
	*Bench
	cluster   *target.Cluster
	candidate candidate
	overrides []string
	plan      plan
	options   Options
	round     int

	proxy   *traffic.Proxy
	address string
	// ended is closed when the autoscaler ended, and end is its error.
	ended  chan struct{}
	end    error
	before moment
	// bought is the largest number of nodes that the groups were to have during the scale-up.
	bought int
	// printed has the last lines that the autoscaler printed.
	printed *run.Tail
}

// moment has all counters at one time.
type moment struct {
	at      time.Time
	metrics metrics.Sample
	traffic traffic.Counts
}

// Names of the phases.
const (
	phaseStart = "first loop"
	phaseEmpty = "quiet, no nodes"
	phaseUp    = "scale-up"
	phaseFull  = "quiet, all nodes"
	phaseDown  = "scale-down"
)

// limit bounds a phase that waits for the autoscaler.
const limit = time.Hour

// run starts the autoscaler, makes its pods come and go, and returns what each phase cost.
func (m *measurement) run(ctx context.Context) (phases []Phase, err error) {
	process, err := m.candidate.Process(ctx, m.cluster, m.candidate.compiled, m.overrides)
	if err != nil {
		return nil, err
	}
	m.proxy = &traffic.Proxy{Server: m.cluster.WorkloadPath, Kubeconfig: m.AutoscalerKubeconfig()}
	m.address = autoscalers.ValueOf(process.Flags, "address")
	m.printed = &run.Tail{Max: 64 << 10}
	process.Relay, process.Output = m.proxy, m.printed
	running, cancel := context.WithCancel(ctx)
	m.ended = make(chan struct{})
	m.before = moment{at: m.Now()}
	go func() {
		defer close(m.ended)
		m.end = process.Run(running, m.Runner)
	}()
	var profiles errgroup.Group
	defer func() {
		cancel()
		<-m.ended
		err = errors.Join(err, m.end)
		_ = profiles.Wait() // without its error, which tells that the autoscaler ended
		clean, done := interrupt.Cleanup(ctx, cleanupTime)
		defer done()
		err = errors.Join(err, m.deletePods(clean))
	}()
	for _, phase := range []struct {
		name string
		do   func(context.Context, func(string)) error
	}{
		{phaseStart, m.firstLoop},
		{phaseEmpty, m.quiet},
		{phaseUp, func(ctx context.Context, progress func(string)) error {
			profiles.Go(func() error { return m.profile(running) }) // may outlast the phase
			defer m.countBought(ctx)()
			return m.up(ctx, progress)
		}},
		{phaseFull, m.quiet},
		{phaseDown, m.down},
	} {
		came, err := m.phase(ctx, phase.name, phase.do)
		if err != nil {
			return phases, fmt.Errorf("%s: %w; the autoscaler's log is %s", phase.name, err, process.LogFile)
		}
		phases = append(phases, came)
	}
	return phases, profiles.Wait()
}

// errEnded says that the autoscaler ended before it was stopped.
var errEnded = errors.New("the autoscaler ended")

// phase calls do, and returns what was counted meanwhile. It fails when the autoscaler ends.
func (m *measurement) phase(ctx context.Context, name string, do func(context.Context, func(string)) error) (Phase, error) {
	step := m.Log.Start(name, 2*time.Minute)
	ctx, cancel := interrupt.WithTimeout(ctx, limit)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- do(ctx, step.Progress) }()
	var err error
	select {
	case err = <-result:
	case <-m.ended:
		if err = context.Cause(ctx); err == nil {
			err = fmt.Errorf("%w: %s", errEnded, whyEnded(string(m.printed.Bytes())))
		}
		cancel()
		<-result
	}
	if err != nil {
		step.Done("", err)
		return Phase{}, err
	}
	now := moment{at: m.Now(), traffic: m.proxy.Counts()}
	if now.metrics, err = metrics.Read(ctx, m.address); err != nil {
		step.Done("", err)
		return Phase{}, err
	}
	nodes, err := m.nodes(ctx)
	p := phaseBetween(name, m.before, now)
	p.Nodes, p.Bought = nodes, m.bought
	m.before, m.bought = now, 0
	step.Done(fmt.Sprintf("%d nodes", nodes), err)
	return p, err
}

// whyEnded returns why an autoscaler ended, from the end of what it printed: the last problem, or
// the last line if there is no problem.
func whyEnded(printed string) string {
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	for _, line := range slices.Backward(lines) {
		if e := speech.Parse(line); e.Class == speech.Problem {
			return e.Message
		}
	}
	return lines[len(lines)-1]
}

// poll is how often the autoscaler is asked for its metrics.
const poll = 500 * time.Millisecond

// firstLoop waits until the autoscaler has ended its first loop.
func (m *measurement) firstLoop(ctx context.Context, _ func(string)) error {
	for {
		sample, err := metrics.Read(ctx, m.address)
		if err == nil && sample.Durations()[metrics.MainLoop].Count > 0 {
			return nil
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return fmt.Errorf("wait for the autoscaler's first loop: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}

// quiet lets the autoscaler run while nothing changes.
func (m *measurement) quiet(ctx context.Context, _ func(string)) error {
	select {
	case <-time.After(m.options.Quiet):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// profileTime is how long the autoscaler's processor time is profiled during the scale-up.
const profileTime = 30 * time.Second

// up makes the pods, and waits until all run.
func (m *measurement) up(ctx context.Context, progress func(string)) error {
	for i := range m.plan.groups {
		name := m.plan.name(i)
		w := workload.Workload{
			Name: name, Namespace: target.PodNamespace, Replicas: m.plan.pods, Memory: fmt.Sprintf("%dMi", m.plan.memory),
			Most: maxNodes * maxPerNode, NodeSelector: map[string]string{groupLabel: name}, Extra: map[string]string{groupLabel: name},
		}
		if _, err := w.Add(ctx, m.cluster.Workload); err != nil {
			return err
		}
	}
	return m.cluster.Workload.Wait(ctx, kube.Deployments, target.PodNamespace, func(all []*unstructured.Unstructured) (bool, string) {
		run := 0
		for _, o := range all {
			if d, err := kube.Deployment(o); err == nil && m.plan.has(o.GetLabels()) {
				run += int(d.Status.ReadyReplicas)
			}
		}
		return run >= m.plan.allPods(), fmt.Sprintf("%d of %d pods run", run, m.plan.allPods())
	}, progress)
}

// countBought follows the sizes that the autoscaler gives the groups, and keeps the largest sum in
// m.bought, until the function that it returns is called. Nodes at the end of the scale-up may be
// fewer, because the autoscaler may have removed some again.
func (m *measurement) countBought(ctx context.Context) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var counting sync.WaitGroup
	counting.Go(func() {
		// The wait ends with the error of the context, because its condition never holds.
		_ = m.cluster.Management.Wait(ctx, kube.MachineDeployments, m.cluster.Namespace, func(all []*unstructured.Unstructured) (bool, string) {
			wanted := 0
			for _, group := range all {
				if group.GetLabels()[measuredLabel] != measured {
					continue
				}
				n, _, _ := unstructured.NestedInt64(group.Object, "spec", "replicas")
				wanted += int(n)
			}
			m.bought = max(m.bought, wanted)
			return false, ""
		}, nil)
	})
	return func() {
		cancel()
		counting.Wait()
	}
}

// profile writes the profile of the autoscaler's next seconds.
func (m *measurement) profile(ctx context.Context) error {
	if m.options.Out == "" {
		return nil
	}
	file := filepath.Join(m.options.Out, fmt.Sprintf("scale-up-%d-%s.pprof", m.round, state.ShortSum(m.candidate.name)))
	return saveProfile(ctx, m.address, profileTime, file)
}

// down deletes the pods, and waits until their nodes are gone.
func (m *measurement) down(ctx context.Context, progress func(string)) error {
	if err := m.deletePods(ctx); err != nil {
		return err
	}
	return m.cluster.Workload.Wait(ctx, kube.Nodes, "", func(all []*unstructured.Unstructured) (bool, string) {
		left := m.plan.count(all)
		return left == 0, fmt.Sprintf("%d nodes to go", left)
	}, progress)
}

// deletePods deletes the workloads of the groups that exist.
func (m *measurement) deletePods(ctx context.Context) error {
	deployments, err := m.cluster.Workload.List(ctx, kube.Deployments, target.PodNamespace)
	if err != nil {
		return err
	}
	for i := range deployments {
		d := &deployments[i]
		if !m.plan.has(d.GetLabels()) {
			continue
		}
		if err := m.cluster.Workload.Delete(ctx, kube.Deployments, d.GetNamespace(), d.GetName()); err != nil {
			return fmt.Errorf("delete the workload %s: %w", d.GetName(), err)
		}
	}
	return nil
}

// nodes returns how many nodes the groups have.
func (m *measurement) nodes(ctx context.Context) (int, error) {
	all, err := m.cluster.Workload.List(ctx, kube.Nodes, "")
	if err != nil {
		return 0, err
	}
	pointers := make([]*unstructured.Unstructured, len(all))
	for i := range all {
		pointers[i] = &all[i]
	}
	return m.plan.count(pointers), nil
}

// count returns how many of the nodes belong to the groups.
func (p plan) count(nodes []*unstructured.Unstructured) int {
	n := 0
	for _, o := range nodes {
		if p.has(o.GetLabels()) {
			n++
		}
	}
	return n
}
