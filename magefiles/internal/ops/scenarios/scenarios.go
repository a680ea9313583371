// Package scenarios runs scenarios against an autoscaler on any cluster.
package scenarios

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/list"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/ops/timelines"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/actions"
	"caslab/magefiles/internal/scenario/engine"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/render"
	"caslab/magefiles/internal/ui"
)

// Scenarios runs scenarios on a cluster.
type Scenarios struct {
	*lab.Lab
	// Open opens the cluster.
	Open        target.Opener
	Autoscalers *autoscalers.Autoscalers
	Timelines   *timelines.Timelines
	// PrepareHollow makes a cluster ready for hollow machines.
	PrepareHollow func(context.Context, *target.Cluster) error
	// Containers changes machines of the lab's own environment.
	Containers actions.Containers
}

// AllScenarios selects every scenario of the lab.
const AllScenarios = "all"

// scenarios returns the scenarios that names lists, separated by commas: "all", names
// of the lab's scenarios, and paths of files.
func scenarios(names string) ([]*scenario.Scenario, error) {
	shipped, err := scenario.Shipped()
	if err != nil {
		return nil, err
	}
	listed, err := list.Split(names)
	if err != nil {
		return nil, fmt.Errorf("scenarios: %w", err)
	}
	var chosen []*scenario.Scenario
	for _, name := range listed {
		switch {
		case name == AllScenarios:
			chosen = append(chosen, shipped...)
		case strings.ContainsRune(name, os.PathSeparator) || filepath.Ext(name) == ".yaml":
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("read the scenario: %w", err)
			}
			s, err := scenario.Parse(name, data)
			if err != nil {
				return nil, err
			}
			s.Given = name
			chosen = append(chosen, s)
		default:
			i := slices.IndexFunc(shipped, func(s *scenario.Scenario) bool { return s.Name == name })
			if i < 0 {
				return nil, fmt.Errorf("there is no scenario %q; want %s, a path of your own, such as ./mine.yaml, or one of: go tool mage scenario:list", name, AllScenarios)
			}
			chosen = append(chosen, shipped[i])
		}
	}
	seen := map[string]bool{}
	for _, s := range chosen {
		if seen[s.Name] {
			return nil, fmt.Errorf("the scenario %s is in %q twice", s.Name, names)
		}
		seen[s.Name] = true
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no scenario in %q; want %s, names or paths, separated by commas", names, AllScenarios)
	}
	return chosen, nil
}

// tagged returns the scenarios that have one of the tags, which are separated by commas; all of
// them if tags is empty. It refuses a tag that none of them has.
func tagged(all []*scenario.Scenario, tags string) ([]*scenario.Scenario, error) {
	wanted, err := list.Split(tags)
	if err != nil {
		return nil, fmt.Errorf("-tags: %w", err)
	}
	if len(wanted) == 0 {
		return all, nil
	}
	var known []string
	var chosen []*scenario.Scenario
	for _, s := range all {
		known = append(known, s.Tags...)
		if slices.ContainsFunc(s.Tags, func(tag string) bool { return slices.Contains(wanted, tag) }) {
			chosen = append(chosen, s)
		}
	}
	slices.Sort(known)
	for _, tag := range wanted {
		if !slices.Contains(known, tag) {
			return nil, fmt.Errorf("-tags=%s: none of the scenarios has the tag %q; want some of %s", tags, tag, strings.Join(slices.Compact(known), ", "))
		}
	}
	return chosen, nil
}

// ListOptions are the options of List.
type ListOptions struct {
	// Tags choose the scenarios that have one of them; empty means all.
	Tags string
}

// List prints the lab's scenarios, with the seconds that they took in this checkout.
func (sc *Scenarios) List(o ListOptions) error {
	all, err := scenarios(AllScenarios)
	if err != nil {
		return err
	}
	if all, err = tagged(all, o.Tags); err != nil {
		return err
	}
	known, err := sc.usual()
	if err != nil {
		return err
	}
	w := ui.NewTable(sc.Out, "SCENARIO", "SHOWS", "TAGS", "NEEDS", "SECONDS", "SINCE", "FLAGS", "SOURCE")
	for _, s := range all {
		w.Row(s.Name, s.Title, cmp.Or(strings.Join(s.Tags, ","), "-"), cmp.Or(strings.Join(s.Requires(), ","), "-"), known.text(s.Name), cmp.Or(s.Autoscaler.Since, "-"), cmp.Or(strings.Join(s.Autoscaler.Flags, " "), "-"), cmp.Or(s.Source, "-"))
	}
	return w.End()
}

// Autoscalers that scenarios can be run against.
const (
	// OnThisMachine is compiled and run here, as by autoscaler:run.
	OnThisMachine = "run"
	// InTheCluster is compiled and deployed, as by autoscaler:deploy.
	InTheCluster = "deploy"
	// AsItIs is the autoscaler that already scales the cluster.
	AsItIs = "as-is"
)

// Options of Run and Compare.
type Options struct {
	// Out is the folder of results.json, junit.xml and summary.md; none are
	// written if it is empty.
	Out string
	// Autoscaler is OnThisMachine, InTheCluster or AsItIs.
	Autoscaler string
	// Flags add to those of the settings.
	Flags string
	// Tags choose, of the scenarios that are named, those that have one of them; empty
	// means all.
	Tags string
	// Repeat is how often each scenario runs, 1 to maxRepeat; 0 means once.
	Repeat int
	// Parallel is how many scenarios run at the same time, 1 to maxParallel; 0 means one.
	Parallel int
	// Machines is the kind of machines of the groups that name none: hollow or docker. Empty
	// means hollow in an environment of the lab, and docker, which are the cluster's own
	// machines, elsewhere.
	Machines string
}

// maxRepeat bounds Repeat, so that a mistyped number does not occupy the cluster for days.
const maxRepeat = 1000

// maxParallel bounds Parallel: more scenarios only wait for one autoscaler and for each other's cool-downs.
const maxParallel = 16

func (o Options) validate() error {
	if o.Repeat < 0 || o.Repeat > maxRepeat {
		return fmt.Errorf("-repeat=%d: want 1 to %d", o.Repeat, maxRepeat)
	}
	if o.Parallel < 0 || o.Parallel > maxParallel {
		return fmt.Errorf("-parallel=%d: want 1 to %d", o.Parallel, maxParallel)
	}
	if !slices.Contains([]string{"", scenario.HollowMachines, scenario.DockerMachines}, o.Machines) {
		return fmt.Errorf("-machines=%s: want %s (nodes that the lab's controller plays, in seconds) or %s (nodes with kubelets)", o.Machines, scenario.HollowMachines, scenario.DockerMachines)
	}
	if !slices.Contains([]string{OnThisMachine, InTheCluster, AsItIs}, o.Autoscaler) {
		return fmt.Errorf("-autoscaler=%s: want %s (compiled and run here), %s (compiled and run in the cluster) or %s (the one that scales it already)", o.Autoscaler, OnThisMachine, InTheCluster, AsItIs)
	}
	if o.Autoscaler == AsItIs && o.Flags != "" {
		return fmt.Errorf("-flags=%s: -autoscaler=%s does not change the running autoscaler; leave out one of the two", o.Flags, AsItIs)
	}
	return nil
}

// Run runs scenarios against an autoscaler and prints the results. It returns an error if
// one of them failed.
func (sc *Scenarios) Run(ctx context.Context, names string, o Options) error {
	came, err := sc.Results(ctx, names, o)
	if came == nil {
		return err // no scenario was begun
	}
	if o.Out != "" {
		sc.Log.Printf("results.json, junit.xml and summary.md are in %s", o.Out)
	}
	return errors.Join(came.Err(), err, came.Table(sc.Out))
}

// Results runs scenarios as Run does, and returns their results, which are nil if none
// was begun. A failed scenario is no error.
func (sc *Scenarios) Results(ctx context.Context, names string, o Options) (came *results.Results, err error) {
	t, err := sc.trial(names, o)
	if err != nil {
		return nil, err
	}
	c, err := sc.Open(ctx)
	if err != nil {
		return nil, err
	}
	release, err := sc.lockCluster(ctx, c, o.Autoscaler, "scenario:run")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	under, err := sc.newAutoscaler(ctx, c, t)
	if err != nil {
		return nil, err
	}
	if came, err = sc.runScenarios(ctx, c, under, t); came == nil || o.Flags != "" || o.Machines != "" || o.Parallel > 1 {
		return came, err // other flags and machines, and other scenarios, make other seconds
	}
	if err := sc.remember(ctx, came); err != nil {
		sc.Log.Printf("! the seconds of the scenarios could not be stored: %v", err)
	}
	return came, err
}

// trial has the scenarios to run, and the flags of the autoscaler.
type trial struct {
	Options
	chosen    []*scenario.Scenario
	overrides []string
}

// trial reads the scenarios and the flags. It refuses wrong input before it reaches for
// a cluster.
func (sc *Scenarios) trial(names string, o Options) (t trial, err error) {
	t.Options = o
	if err := o.validate(); err != nil {
		return t, err
	}
	if o.Autoscaler == InTheCluster && (sc.Config.WorkloadKubeconfig != "" || sc.Config.ManagementKubeconfig != "") {
		return t, errors.New("-autoscaler=deploy is for an environment of the lab; use -autoscaler=run, or as-is for one that you deployed")
	}
	if t.overrides, err = sc.Autoscalers.Overrides(o.Flags); err != nil {
		return t, err
	}
	if t.chosen, err = scenarios(names); err != nil {
		return t, err
	}
	if t.chosen, err = tagged(t.chosen, o.Tags); err != nil {
		return t, err
	}
	if o.Out != "" {
		if err := state.CheckFolder(o.Out); err != nil {
			return t, fmt.Errorf("-out=%s: %w", o.Out, err)
		}
	}
	return t, nil
}

// machines returns the kind of machines on a cluster of the groups that name none.
func (o Options) machines(c *target.Cluster) string {
	if o.Machines == "" && c.Own {
		return scenario.HollowMachines
	}
	return cmp.Or(o.Machines, scenario.DockerMachines)
}

// writeResults writes files into a folder, or nothing if the folder is empty.
func writeResults(folder string, files map[string]func(io.Writer) error) error {
	if folder == "" {
		return nil
	}
	for name, write := range files {
		if err := state.Write(filepath.Join(folder, name), 0o644, write); err != nil {
			return err
		}
	}
	return nil
}

// runScenarios runs scenarios against an autoscaler, and stops it at the end if the
// lab started it.
func (sc *Scenarios) runScenarios(ctx context.Context, c *target.Cluster, under engine.Autoscaler, t trial) (_ *results.Results, err error) {
	// The recording ends after the autoscaler, whose last messages are recorded too.
	defer sc.Timelines.Record(context.WithoutCancel(ctx), c)()
	defer func() {
		ctx, cancel := interrupt.Cleanup(ctx, time.Minute)
		defer cancel()
		err = errors.Join(err, under.Stop(ctx))
	}()
	// The running autoscaler decides, not the settings.
	versions, err := c.Versions(ctx)
	if err != nil {
		return nil, err
	}
	_, reads := under.Describe()
	if reads == nil {
		reads = component.AutoscalerRelease(sc.Config)
	}
	facts := newFeed()
	following, stopFollowing := context.WithCancel(ctx)
	var followed sync.WaitGroup
	followed.Go(func() {
		if err := timeline.Tail(following, sc.Timelines.File(c), facts.publish); err != nil {
			sc.Log.Printf("! the timeline cannot be followed: %v", err)
		}
	})
	defer followed.Wait()
	defer stopFollowing()

	var chosen []*scenario.Scenario
	for _, s := range t.chosen {
		chosen = append(chosen, s.On(t.machines(c)))
	}
	containers := sc.Containers
	if !c.Own {
		containers = nil
	}
	came, err := engine.Run(ctx, engine.Options{
		Workload: c.Workload, Management: c.Management, Namespace: c.Namespace, Cluster: c.Name,
		ConfigNamespace: c.ConfigNamespace(), PodNamespace: target.PodNamespace, SizePrefix: release.OfAutoscaler(reads).SizePrefix,
		PrepareHollow: func(ctx context.Context) error { return sc.PrepareHollow(ctx, c) }, Containers: containers,
		Autoscaler: under, Repeat: t.Repeat, Parallel: t.Parallel, Versions: versions.Map(), Subscribe: facts.subscribe, Log: sc.Log, Now: sc.Now,
		AddFact: func(f timeline.Fact) { sc.Timelines.AddFact(c, f) },
		// After every scenario, so that a run that is killed loses nothing.
		Report: func(so *results.Results) error {
			return writeResults(t.Out, map[string]func(io.Writer) error{
				"results.json": so.JSON, "junit.xml": so.JUnit, "summary.md": func(w io.Writer) error { return results.Summary(w, so) },
			})
		},
		WriteFacts: func(w io.Writer, facts []timeline.Fact) { _ = render.Lines(w, facts, render.LineOptions{}) }, // into memory
	}, chosen)
	return came, err
}

// feed sends facts to its subscribers.
type feed struct {
	mu   sync.Mutex
	subs map[*func(timeline.Fact)]bool
}

func newFeed() *feed { return &feed{subs: map[*func(timeline.Fact)]bool{}} }

func (f *feed) publish(fact timeline.Fact) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for sub := range f.subs {
		(*sub)(fact)
	}
}

func (f *feed) subscribe(publish func(timeline.Fact)) (unsubscribe func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs[&publish] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subs, &publish)
	}
}

// Compare runs scenarios with two autoscalers, releases or checkouts, one after the other
// on the same cluster, and prints the results side by side. It returns an error if the
// second fails a scenario that the first passes.
func (sc *Scenarios) Compare(ctx context.Context, a, b, names string, o Options) (err error) {
	if o.Autoscaler == AsItIs {
		return fmt.Errorf("-autoscaler=%s: scenario:compare runs two autoscalers; want %s or %s", AsItIs, OnThisMachine, InTheCluster)
	}
	t, err := sc.trial(names, o)
	if err != nil {
		return err
	}
	sides := []*side{{which: a, name: "a"}, {which: b, name: "b"}}
	for _, one := range sides {
		if one.Scenarios, err = sc.withAutoscalerOf(one.which); err != nil {
			return err
		}
		one.trial = t
		if o.Out != "" {
			one.trial.Out = filepath.Join(o.Out, one.name)
		}
	}
	c, err := sc.Open(ctx)
	if err != nil {
		return err
	}
	release, err := sc.lockCluster(ctx, c, o.Autoscaler, "scenario:compare")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	// Both are compiled and checked first, so that a failure does not come after an hour.
	for _, one := range sides {
		if one.under, err = one.newAutoscaler(ctx, c, one.trial); err != nil {
			return fmt.Errorf("autoscaler %s: %w", one.which, err)
		}
	}
	var both []*results.Results
	for _, one := range sides {
		sc.Log.Printf("with autoscaler %s, %s", strings.ToUpper(one.name), one.which)
		came, err := one.runScenarios(ctx, c, one.under, one.trial)
		if err != nil {
			return err
		}
		both = append(both, came)
	}
	compared := results.Compare(both[0], both[1])
	err = writeResults(o.Out, map[string]func(io.Writer) error{"comparison.json": compared.JSON, "summary.md": compared.Summary})
	if o.Out != "" {
		sc.Log.Printf("comparison.json and summary.md are in %s, and the results of each in its folders a and b", o.Out)
	}
	err = errors.Join(err, compared.Table(sc.Out))
	if compared.Compared() == 0 {
		err = errors.Join(err, errors.New("nothing was compared: no scenario ran with both autoscalers"))
	}
	if worse := compared.Worse(); len(worse) > 0 {
		err = errors.Join(err, fmt.Errorf("%s fails, and %s does not: %s", b, a, strings.Join(worse, ", ")))
	}
	return err
}

// side is one of the two sides of a comparison.
type side struct {
	which, name string
	*Scenarios
	trial trial
	under engine.Autoscaler
}

// withAutoscalerOf returns a copy that uses the autoscaler that which names, as
// autoscalers.Autoscalers.Of reads it.
func (sc *Scenarios) withAutoscalerOf(which string) (*Scenarios, error) {
	others, err := sc.Autoscalers.Of(which)
	if err != nil {
		return nil, err
	}
	other := *sc
	other.Lab, other.Autoscalers = others.Lab, others
	return &other, nil
}
