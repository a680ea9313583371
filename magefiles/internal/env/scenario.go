package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/engine"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/render"
	"caslab/manifests"
)

// AllScenarios is what stands for every scenario of the lab.
const AllScenarios = "all"

// scenarios returns those that names says: "all", names of the lab's and paths
// of files, separated by commas.
func scenarios(names string) ([]*scenario.Scenario, error) {
	folder, err := fs.Sub(manifests.FS, "scenarios")
	if err != nil {
		return nil, fmt.Errorf("look for scenarios: %w", err)
	}
	shipped, err := scenario.Load(folder)
	if err != nil {
		return nil, err
	}
	var chosen []*scenario.Scenario
	for name := range strings.SplitSeq(names, ",") {
		switch name = strings.TrimSpace(name); {
		case name == "":
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

// ScenarioList prints the lab's scenarios.
func (l *Lab) ScenarioList() error {
	all, err := scenarios(AllScenarios)
	if err != nil {
		return err
	}
	w := l.table("SCENARIO", "SHOWS", "SINCE", "FLAGS")
	for _, s := range all {
		row(w, s.Name, s.Title, or(s.Autoscaler.Since, "-"), or(strings.Join(s.Autoscaler.Flags, " "), "-"))
	}
	return w.Flush()
}

// Autoscalers that scenarios can be run against.
const (
	// OnThisMachine is compiled and run here, as by autoscaler:run.
	OnThisMachine = "run"
	// InTheCluster is compiled and deployed, as by autoscaler:deploy.
	InTheCluster = "deploy"
	// AsItIs is whatever scales the cluster already.
	AsItIs = "as-is"
)

// ScenarioOptions of ScenarioRun and ScenarioCompare.
type ScenarioOptions struct {
	// Out is the folder of results.json, junit.xml and summary.md; none are
	// written if it is empty.
	Out string
	// Autoscaler is OnThisMachine, InTheCluster or AsItIs.
	Autoscaler string
	// Flags add to those of the settings.
	Flags string
}

func (o ScenarioOptions) validate() error {
	if !slices.Contains([]string{OnThisMachine, InTheCluster, AsItIs}, o.Autoscaler) {
		return fmt.Errorf("-autoscaler=%s: want %s (compiled and run here), %s (compiled and run in the cluster) or %s (whatever scales it already)", o.Autoscaler, OnThisMachine, InTheCluster, AsItIs)
	}
	if o.Autoscaler == AsItIs && o.Flags != "" {
		return fmt.Errorf("-flags=%s: -autoscaler=%s takes what runs as it is; leave out one of the two", o.Flags, AsItIs)
	}
	return nil
}

// ScenarioRun runs scenarios against an autoscaler and prints what came of
// them. It fails if one of them did.
func (l *Lab) ScenarioRun(ctx context.Context, names string, o ScenarioOptions) (err error) {
	t, err := l.trial(names, o)
	if err != nil {
		return err
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	release, err := l.claim(ctx, s, o.Autoscaler, "scenario:run")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	under, err := l.underTest(ctx, s, t)
	if err != nil {
		return err
	}
	came, err := l.runScenarios(ctx, s, under, t)
	if o.Out != "" {
		l.log.Printf("results.json, junit.xml and summary.md are in %s", o.Out)
	}
	return errors.Join(came.Err(), err, came.Table(l.out))
}

// trial is what is run, and with which flags of the autoscaler.
type trial struct {
	ScenarioOptions
	chosen    []*scenario.Scenario
	overrides []string
}

// trial reads what is to be run, and refuses what can be seen to be wrong
// before anybody is asked.
func (l *Lab) trial(names string, o ScenarioOptions) (t trial, err error) {
	t.ScenarioOptions = o
	if err := o.validate(); err != nil {
		return t, err
	}
	if o.Autoscaler == InTheCluster && (l.cfg.WorkloadKubeconfig != "" || l.cfg.ManagementKubeconfig != "") {
		return t, errors.New("-autoscaler=deploy is for an environment of the lab; use -autoscaler=run, or as-is for one that you deployed")
	}
	if t.overrides, err = l.overrides(o.Flags); err != nil {
		return t, err
	}
	t.chosen, err = scenarios(names)
	return t, err
}

// keep writes files into a folder; into none if it has no name.
func keep(folder string, files map[string]func(io.Writer) error) error {
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

// runScenarios runs scenarios against an autoscaler, which it ends if it is the
// lab's.
func (l *Lab) runScenarios(ctx context.Context, s *subject, under engine.Autoscaler, t trial) (_ *results.Results, err error) {
	record := l.timelineOf(s)
	// It ends after the autoscaler, whose last words are on the timeline too.
	defer l.recordTimeline(context.WithoutCancel(ctx), record)()
	defer func() {
		ctx, cancel := interrupt.Cleanup(ctx, time.Minute)
		defer cancel()
		err = errors.Join(err, under.Stop(ctx))
	}()
	facts := newFeed()
	following, stopFollowing := context.WithCancel(ctx)
	var followed sync.WaitGroup
	followed.Go(func() {
		if err := timeline.Tail(following, record.File, facts.tell); err != nil {
			l.log.Printf("! the timeline cannot be followed: %v", err)
		}
	})
	defer followed.Wait()
	defer stopFollowing()

	return engine.Run(ctx, engine.Options{
		Workload: s.workload, Management: s.management, Namespace: s.namespace, Cluster: s.name,
		ConfigNamespace: s.configNamespace(), PodNamespace: namespace, SizePrefix: release.OfAutoscaler(l.autoscalerRelease()).SizePrefix,
		Autoscaler: under, Versions: l.versions(s), Subscribe: facts.subscribe, Log: l.log, Now: l.now,
		Mark: func(f timeline.Fact) { l.tell(record.File, f) },
		// After every scenario: a run that is killed loses nothing.
		Report: func(so *results.Results) error {
			return keep(t.Out, map[string]func(io.Writer) error{
				"results.json": so.JSON, "junit.xml": so.JUnit, "summary.md": func(w io.Writer) error { return results.Summary(w, so) },
			})
		},
		Tell: func(w io.Writer, facts []timeline.Fact) { _ = render.Lines(w, facts, render.LineOptions{}) }, // into memory
	}, t.chosen)
}

// versions are of what else takes part, in an environment of the lab: of
// another's cluster the settings tell nothing.
func (l *Lab) versions(s *subject) map[string]string {
	if !s.own {
		return nil
	}
	return map[string]string{"Cluster API": l.cfg.ClusterAPI.Tag(), "Kubernetes": config.Tag(l.cfg.Kubernetes)}
}

// feed hands facts on to whoever subscribed.
type feed struct {
	mu   sync.Mutex
	subs map[*func(timeline.Fact)]bool
}

func newFeed() *feed { return &feed{subs: map[*func(timeline.Fact)]bool{}} }

func (f *feed) tell(fact timeline.Fact) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for sub := range f.subs {
		(*sub)(fact)
	}
}

func (f *feed) subscribe(tell func(timeline.Fact)) (unsubscribe func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs[&tell] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subs, &tell)
	}
}

// ScenarioCompare runs scenarios with two autoscalers, releases or checkouts,
// one after the other on the same cluster, and prints what came of them side
// by side. It fails if the second fails what the first does not.
func (l *Lab) ScenarioCompare(ctx context.Context, a, b, names string, o ScenarioOptions) (err error) {
	if o.Autoscaler == AsItIs {
		return fmt.Errorf("-autoscaler=%s: scenario:compare runs two autoscalers; want %s or %s", AsItIs, OnThisMachine, InTheCluster)
	}
	t, err := l.trial(names, o)
	if err != nil {
		return err
	}
	sides := []*side{{which: a, name: "a"}, {which: b, name: "b"}}
	for _, one := range sides {
		if one.lab, err = l.withAutoscalerOf(one.which); err != nil {
			return err
		}
		one.trial = t
		if o.Out != "" {
			one.trial.Out = filepath.Join(o.Out, one.name)
		}
	}
	s, err := l.subject(ctx)
	if err != nil {
		return err
	}
	release, err := l.claim(ctx, s, o.Autoscaler, "scenario:compare")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	// What does not compile, or lacks a flag, is to be known before an hour has
	// passed.
	for _, one := range sides {
		if one.under, err = one.lab.underTest(ctx, s, one.trial); err != nil {
			return fmt.Errorf("autoscaler %s: %w", one.which, err)
		}
	}
	var both []*results.Results
	for _, one := range sides {
		l.log.Printf("with autoscaler %s, %s", strings.ToUpper(one.name), one.which)
		came, err := one.lab.runScenarios(ctx, s, one.under, one.trial)
		if err != nil {
			return err
		}
		both = append(both, came)
	}
	compared := results.Compare(both[0], both[1])
	err = keep(o.Out, map[string]func(io.Writer) error{"comparison.json": compared.JSON, "summary.md": compared.Summary})
	if o.Out != "" {
		l.log.Printf("comparison.json and summary.md are in %s, what came of each in its folders a and b", o.Out)
	}
	err = errors.Join(err, compared.Table(l.out))
	if compared.Compared() == 0 {
		err = errors.Join(err, errors.New("nothing was compared: no scenario ran with both autoscalers"))
	}
	if worse := compared.Worse(); len(worse) > 0 {
		err = errors.Join(err, fmt.Errorf("%s fails, and %s does not: %s", b, a, strings.Join(worse, ", ")))
	}
	return err
}

// side is one of a comparison's two.
type side struct {
	which, name string
	lab         *Lab
	trial       trial
	under       engine.Autoscaler
}

// withAutoscalerOf is the lab with another autoscaler: a release, such as
// 1.35.2, or a checkout, such as ../autoscaler.
func (l *Lab) withAutoscalerOf(which string) (*Lab, error) {
	cfg, other := *l.cfg, *l
	other.cfg = &cfg
	if v, err := version.NewSemver(which); err == nil {
		if err := refuseOld(v); err != nil {
			return nil, fmt.Errorf("%w; want %s or later", err, firstThatWorks())
		}
		cfg.Autoscaler.Version, cfg.Autoscaler.Commit, cfg.Autoscaler.Dir = v, "", ""
		cfg.AutoscalerCoreDir = "" // a release is whole
		if cfg.Autoscaler.Origin == config.OriginDir {
			cfg.Autoscaler.Origin = config.OriginAuto
		}
		return &other, nil
	}
	dir, err := filepath.Abs(which)
	if err != nil {
		return nil, fmt.Errorf("autoscaler %q: %w", which, err)
	}
	if info, err := os.Stat(dir); which == "" || err != nil || !info.IsDir() {
		return nil, fmt.Errorf("autoscaler %q: want a release, such as 1.35.2, or the folder of a checkout", which)
	}
	cfg.Autoscaler.Origin, cfg.Autoscaler.Dir = config.OriginDir, dir
	return &other, nil
}
