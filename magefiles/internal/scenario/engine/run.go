// Package engine runs scenarios against an autoscaler on a real cluster. It creates
// what a scenario needs, does its steps, evaluates its checks at every change, and
// removes what it created.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/metrics"
	releases "caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/actions"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/ui"
)

// Invocation is how a scenario wants the autoscaler to be started.
type Invocation struct {
	// Flags are added to the usual ones, which they replace.
	Flags []string
	// Env are environment variables, each as KEY=value, which replace the usual ones.
	Env []string
	// Together is set if several scenarios use the autoscaler at the same time.
	Together bool
	// RBAC says which rights the autoscaler has in the cluster, as scenario.Needs has it.
	RBAC string
}

// Equal reports whether two invocations are the same.
func (i Invocation) Equal(other Invocation) bool {
	return slices.Equal(i.Flags, other.Flags) && slices.Equal(i.Env, other.Env) && i.Together == other.Together && i.RBAC == other.RBAC
}

// Autoscaler is the autoscaler under test.
type Autoscaler interface {
	// Describe returns a name for a reader and the release; nil if the release is
	// not known.
	Describe() (name string, release *version.Version)
	// Controlled reports whether Start and Stop may be called, and Deployed whether Start runs
	// the autoscaler in the cluster.
	Controlled() bool
	Deployed() bool
	// Flags returns the flags that the autoscaler gets if a scenario adds none; nil if they are
	// not known.
	Flags() []autoscaler.Flag
	// Start runs the autoscaler. It returns when the autoscaler has read the cluster. If
	// the autoscaler already runs with the same invocation, it goes on; with another one,
	// it is restarted.
	Start(ctx context.Context, i Invocation) error
	// Stop ends the autoscaler if it runs.
	Stop(ctx context.Context) error
	// Kill ends the autoscaler as SIGKILL does: it has no time to finish anything. It may
	// start again by itself; Start waits until it runs.
	Kill(ctx context.Context) error
	// Metrics returns the autoscaler's metrics of this moment.
	Metrics(ctx context.Context) (metrics.Sample, error)
	// Ended returns a channel with an error if the autoscaler ended by itself. The
	// error contains the end of the log. The channel is nil if the lab cannot see
	// that.
	Ended() <-chan error
}

// Options are the options of Run. All are required unless a default is given.
type Options struct {
	// Workload is the cluster that is scaled. Management has the Cluster API
	// objects; it may be the same cluster.
	Workload, Management *kube.Client
	// Namespace and Cluster are the namespace and the name of the Cluster object.
	Namespace, Cluster string
	// ConfigNamespace is the autoscaler's --namespace. Workloads are created in
	// PodNamespace.
	ConfigNamespace, PodNamespace string
	// SizePrefix is the prefix of the size annotations that the autoscaler reads.
	// The default is release.SizePrefix.
	SizePrefix string
	// Prefix begins the names of groups and workloads. The default is "sc-". What
	// has this prefix and the label of scenarios is deleted before and after each
	// scenario that runs alone; scenarios that run at the same time have longer prefixes.
	Prefix     string
	Autoscaler Autoscaler
	// PrepareHollow makes the cluster ready for hollow machines. Only scenarios with such
	// machines need it.
	PrepareHollow func(context.Context) error
	// Containers changes machines that are containers; nil in a cluster that the lab did not
	// create.
	Containers actions.Containers
	// Versions are the versions of other components, by name, for the results. They
	// are optional.
	Versions map[string]string
	// Subscribe calls tell with every new fact of the timeline until unsubscribe is
	// called.
	Subscribe func(onFact func(timeline.Fact)) (unsubscribe func())
	// AddFact adds a fact about a scenario to the timeline. It is optional.
	AddFact func(timeline.Fact)
	// WriteFacts writes facts in words, for the last minute of a failure. It is optional.
	WriteFacts func(io.Writer, []timeline.Fact)
	// Repeat is how often each scenario runs, one run after the other. The default is 1.
	Repeat int
	// Parallel is how many scenarios may run at the same time, of those that scenario.Batches
	// puts into one batch. The default is 1.
	Parallel int
	// Report is called after every run of a scenario with the results so far, so that a run
	// that is killed loses nothing. Its error is logged. It is optional.
	Report func(*results.Results) error
	Log    *ui.Log
	// Now is the clock for time stamps. The default is time.Now. Waits use the real
	// clock.
	Now func() time.Time
}

// Time limits for everything but the autoscaler.
const (
	setupTime   = 8 * time.Minute
	cleanupTime = 8 * time.Minute
	// progressEvery is how old the progress of a step may be.
	progressEvery = 5 * time.Second
	// maxFactDelay is how late the recorder may report a fact.
	maxFactDelay = 3 * time.Second
)

// Run runs the scenarios, one after the other or up to Parallel at the same time, and returns
// their results, whose Err says whether a scenario failed. Run returns an error if ctx was done:
// then the scenarios that were running are cleaned up, and the others are skipped. It also
// returns one if, before scenarios run at the same time, it cannot remove what an earlier run
// left.
func Run(ctx context.Context, o Options, scenarios []*scenario.Scenario) (*results.Results, error) {
	if o.Prefix == "" {
		o.Prefix = "sc-"
	}
	if o.SizePrefix == "" {
		o.SizePrefix = releases.SizePrefix
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AddFact == nil {
		o.AddFact = func(timeline.Fact) {}
	}
	name, release := o.Autoscaler.Describe()
	r := &runs{Options: o, all: scenarios, release: release, groups: map[string]bool{}, done: make([][]results.Result, len(scenarios))}
	r.head = results.Results{Autoscaler: name, Started: o.Now(), Versions: o.Versions}
	if release != nil {
		r.head.Release = releases.Name(release)
	}
	if o.Repeat > 1 {
		r.head.Repeat = o.Repeat
	}
	var err error
	if o.Parallel > 1 {
		r.head.Parallel = o.Parallel
		err = r.runTogether(ctx)
	} else {
		for i := range scenarios {
			r.run(ctx, i, place{Autoscaler: o.Autoscaler, prefix: o.Prefix})
		}
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("stopped: %w", context.Cause(ctx))
	}
	return r.sofar(), err
}

// runs are the runs of all scenarios.
type runs struct {
	Options
	all []*scenario.Scenario
	// release is that of the autoscaler; nil if it is not known.
	release *version.Version
	// head has what is known from the beginning.
	head results.Results

	// groups are the names of groups that the autoscaler may remember.
	groups map[string]bool

	mu sync.Mutex
	// done has the results of the scenarios, in the order of all.
	done [][]results.Result
}

// place is where a scenario runs.
type place struct {
	Autoscaler
	// prefix begins the names of its groups and workloads. If shared is set, because other
	// scenarios run at the same time, each run gets a prefix of its own.
	prefix string
	shared bool
}

// run runs a scenario, as often as Repeat says. i is its place in all.
func (r *runs) run(ctx context.Context, i int, where place) {
	s := r.all[i]
	for run := range max(1, r.Repeat) {
		which := fmt.Sprintf("scenario %d of %d", i+1, len(r.all))
		if r.Repeat > 1 {
			which += fmt.Sprintf(", run %d of %d", run+1, r.Repeat)
		}
		r.Log.Printf("%s: %s: %s", which, s.Name, s.Title)
		if where.shared {
			where.prefix = fmt.Sprintf("%s%d-", r.Prefix, run*len(r.all)+i+1)
		}
		result := r.runOnce(ctx, s, where)
		if r.Repeat > 1 {
			result.Run = run + 1
		}
		r.add(i, result)
		if result.Verdict == results.Skipped {
			break // the next run would be skipped, too
		}
	}
}

// add adds a result of a scenario, and calls Report with the results so far.
func (r *runs) add(i int, result results.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[i] = append(r.done[i], result)
	r.save()
}

// save calls Report. The caller holds mu.
func (r *runs) save() {
	if r.Report == nil {
		return
	}
	if err := r.Report(r.sofar()); err != nil {
		r.Log.Printf("! the results so far could not be written: %v", err)
	}
}

// sofar returns the results so far. The caller holds mu, or nothing runs any more.
func (r *runs) sofar() *results.Results {
	sofar := r.head
	sofar.Scenarios = slices.Concat(r.done...)
	sofar.Seconds = results.Seconds(r.Now().Sub(sofar.Started))
	return &sofar
}

// runOnce runs a scenario once, or skips it, and reports the result.
func (r *runs) runOnce(ctx context.Context, s *scenario.Scenario, where place) results.Result {
	lanes, label := "", ""
	if where.shared {
		lanes, label = r.Prefix, s.Name+": "
	}
	why := s.WhySkipped(r.means())
	if ctx.Err() != nil {
		why = "the run was stopped: " + context.Cause(ctx).Error()
	}
	if why != "" {
		r.Log.Printf("  %sskipped: %s", label, why)
		return results.Result{Name: s.Name, Given: s.Given, Title: s.Title, Machines: s.Machines(), Verdict: results.Skipped, Why: why}
	}
	o := r.Options
	o.Autoscaler, o.Prefix = where.Autoscaler, where.prefix
	e := &engine{o: o, s: s, lanes: lanes, label: label, cluster: r.cluster(s, where), flags: s.Autoscaler.Flags, remembered: r.remembered(s, where)}
	result := e.applyKnown(e.run(ctx), r.release)
	o.markEnd(result)
	e.report(result)
	return result
}

// means returns what scenarios can run with.
func (r *runs) means() scenario.Means {
	return scenario.Means{Release: r.release, Controlled: r.Autoscaler.Controlled(), Deployed: r.Autoscaler.Deployed(), Containers: r.Containers != nil}
}

// remembered reports whether the autoscaler may remember a group of the scenario's: it knows
// groups by their names, and remembers the back-off of a group, for example, and what its nodes
// looked like. No two scenarios that run at the same time have a group of the same name.
func (r *runs) remembered(s *scenario.Scenario, where place) bool {
	if where.shared {
		return false
	}
	var names []string
	for _, g := range s.Groups {
		names = append(names, g.Names()...)
	}
	known := slices.ContainsFunc(names, func(name string) bool { return r.groups[name] })
	if known {
		clear(r.groups) // the set-up starts another autoscaler
	}
	for _, name := range names {
		r.groups[name] = true
	}
	return known
}

// cluster returns the cluster that a scenario of the run changes.
func (r *runs) cluster(s *scenario.Scenario, where place) *actions.Cluster {
	return actions.New(actions.Options{
		Workload: r.Workload, Management: r.Management, Namespace: r.Namespace, Cluster: r.Cluster,
		ConfigNamespace: r.ConfigNamespace, PodNamespace: r.PodNamespace, SizePrefix: r.SizePrefix, Prefix: where.prefix, Shared: where.shared,
		PrepareHollow: r.PrepareHollow, Containers: r.Containers, Now: r.Now,
	}, s, r.all)
}

// applyKnown replaces the verdict of a scenario that is known to fail with this release.
// Only a failure of a check can be a known failure. If the release is nil, a
// failure that may be known stays a failure, and its text says so.
func (e *engine) applyKnown(r results.Result, release *version.Version) results.Result {
	if e.s.Known == nil || e.otherFailure {
		return r
	}
	if release == nil && r.Verdict == results.Failed && e.s.KnownAs(r.Failure) {
		r.Failure += fmt.Sprintf("\nreleases %s are known to fail like this, and which release runs is not known: %s", e.s.Known.Releases, e.s.Known.Why)
		return r
	}
	if !e.s.KnownWith(release) {
		return r
	}
	switch {
	case r.Verdict == results.Failed && e.s.KnownAs(r.Failure):
		r.Verdict = results.KnownFailure
	case r.Verdict == results.Passed:
		r.Verdict = results.UnexpectedPass
	default:
		return r
	}
	r.Known = e.s.Known.Why
	return r
}

// markEnd adds the end of a scenario to the timeline.
func (o Options) markEnd(r results.Result) {
	f := timeline.Fact{Time: o.Now(), Kind: timeline.Lab, What: timeline.Passed, Name: r.Name, Text: r.Why, Source: timeline.Own}
	switch r.Verdict {
	case results.Failed:
		f.What = timeline.Failed
	case results.KnownFailure:
		f.What, f.Text = timeline.KnownFailure, r.Known
	case results.Interrupted:
		f.What = timeline.Interrupted
	}
	o.AddFact(f)
}

// report logs the end of a scenario.
func (e *engine) report(r results.Result) {
	e.o.Log.Printf("  %s%s %s in %s", e.label, r.Verdict.Mark(), r.Verdict, ui.Round(time.Duration(r.Seconds*float64(time.Second))))
	if r.Known != "" {
		e.o.Log.Printf("    known: %s", r.Known)
	}
	if r.Failure != "" {
		e.o.Log.Printf("%s", indent(r.Failure, "    "))
	}
}

// engine runs one scenario.
type engine struct {
	o Options
	s *scenario.Scenario
	// lanes begins the prefixes of all scenarios that run at the same time, and label the lines of
	// this one; both are empty if it runs alone.
	lanes, label string
	cluster      *actions.Cluster
	// flags are those of the scenario with which the autoscaler is started next.
	flags []string
	// remembered is set if the running autoscaler may remember a group of an earlier scenario.
	remembered bool

	w      *world
	always []*watch
	// clusterChanged is set when something may have been created or removed.
	clusterChanged bool
	// otherFailure is set for a failure that no check found: of the set-up, an action or
	// the clean-up, a crash of the autoscaler, or an interruption.
	otherFailure bool
}

// run runs the scenario and always removes what it created.
func (e *engine) run(ctx context.Context) (r results.Result) {
	r = results.Result{Name: e.s.Name, Given: e.s.Given, Title: e.s.Title, Machines: e.s.Machines(), Verdict: results.Passed, Started: e.o.Now()}
	e.w = newWorld(e.o.Prefix, e.o.Now)
	e.w.lanes = e.lanes
	for _, g := range e.s.Groups {
		e.w.own = append(e.w.own, g.Names()...)
	}
	unsubscribe := e.o.Subscribe(e.w.addFact)
	defer unsubscribe()
	defer func() {
		e.runCleanUp(ctx, &r)
		r.Seconds = results.Seconds(e.o.Now().Sub(r.Started))
	}()
	// The watches end before the clean-up.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	say := "set up"
	step, began := e.o.Log.Start(e.label+say, time.Minute), e.o.Now()
	err := e.setUp(ctx, step.Progress)
	step.Done("", err)
	r.Add(say, e.o.Now().Sub(began), err)
	for i := range e.s.Steps {
		if err != nil {
			break
		}
		say, began = e.s.Steps[i].Say, e.o.Now()
		e.addFact(timeline.Step, fmt.Sprintf("%d. %s", i+1, say))
		step := e.o.Log.Start(fmt.Sprintf("%s%d. %s", e.label, i+1, say), 0)
		err = e.step(ctx, &e.s.Steps[i], step.Progress)
		if err == nil && i == len(e.s.Steps)-1 {
			err = e.failNeverEvaluated(ctx, e.always)
		}
		step.Done("", err)
		r.Add(say, e.o.Now().Sub(began), err)
	}
	if err != nil {
		cause := causeOf(err)
		if len(r.Steps) == 1 {
			cause = results.SetUpFailed
		}
		// Only a failure of a check can be a known failure.
		e.otherFailure = ctx.Err() != nil || cause != results.CheckFailed
		if ctx.Err() != nil && cause != results.CheckFailed {
			r.Interrupt(say, err)
		} else {
			r.Fail(cause, say, err)
		}
	}
	return r
}

// causeOf returns the cause of the failure of a step.
func causeOf(err error) results.Cause {
	switch {
	case errors.As(err, new(*checkError)):
		return results.CheckFailed
	case errors.As(err, new(*endedError)):
		return results.AutoscalerEnded
	default:
		return results.ActionFailed
	}
}

func (e *engine) addFact(what, text string) {
	e.o.AddFact(timeline.Fact{Time: e.o.Now(), Kind: timeline.Lab, What: what, Name: e.s.Name, Text: text, Source: timeline.Own})
}

// step does the actions of a step and waits for its expectations.
func (e *engine) step(ctx context.Context, s *scenario.Step, progress func(string)) error {
	base := e.w.baseline()
	for i := range s.Do {
		progress(s.Do[i].String())
		if err := e.do(ctx, &s.Do[i], progress); err != nil {
			return fmt.Errorf("%s: %w", s.Do[i], err)
		}
	}
	var expects, stays []*watch
	// The limits count from the end of the last action.
	began := e.o.Now()
	if err := e.w.catchUp(ctx); err != nil {
		return err
	}
	for _, c := range s.Expect {
		expects = append(expects, &watch{check: c, base: base, limit: began.Add(time.Duration(c.Within))})
	}
	for _, c := range s.Stays {
		stays = append(stays, &watch{check: c, base: base, stay: true})
	}
	return e.await(ctx, began, expects, stays, progress)
}

// await waits until all expectations came true and the stays held for long enough,
// or until a check failed. began is the end of the last action.
func (e *engine) await(ctx context.Context, began time.Time, expects, stays []*watch, progress func(string)) error {
	watches := slices.Concat(expects, stays)
	e.w.add(watches...)
	defer e.w.remove(watches...)
	for {
		state := e.w.state(began, e.always, stays, expects)
		now := e.o.Now()
		if state.broken != nil {
			e.awaitLateFacts(ctx)
			return e.checkFailed(state.broken)
		}
		var next time.Time
		wake := func(at time.Time) {
			if next.IsZero() || at.Before(next) {
				next = at
			}
		}
		for _, c := range state.missing {
			if c.limit.After(now) {
				wake(c.limit)
				continue
			}
			// A check that came true in time may be seen late.
			e.awaitLateFacts(ctx)
			if !e.w.metAt(c) {
				return e.checkFailed(c)
			}
			wake(now)
		}
		if len(state.missing) == 0 {
			for _, c := range stays {
				if end := state.metAt.Add(time.Duration(c.check.For)); end.After(now) {
					wake(end)
				}
			}
			if next.IsZero() {
				if err := e.autoscalerEnded(); err != nil {
					return err
				}
				return e.failNeverEvaluated(ctx, stays)
			}
			progress("checking that it stays so")
		} else {
			progress(state.actual)
		}
		if err := e.sleep(ctx, min(next.Sub(now), progressEvery)); err != nil {
			return err
		}
	}
}

// sleep waits until a check came true or broke, at most for d.
func (e *engine) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.w.decided:
	case err := <-e.o.Autoscaler.Ended():
		return &endedError{err}
	case <-ctx.Done():
		return fmt.Errorf("stopped: %w", context.Cause(ctx))
	}
	return nil
}

// endedError is returned when the autoscaler ended by itself in a step.
type endedError struct{ err error }

func (e *endedError) Error() string {
	return "the autoscaler ended in the middle of the step: " + e.err.Error()
}

func (e *endedError) Unwrap() error { return e.err }

// checkFailed returns the failure of a check. If the autoscaler ended, that is the
// error, and the failure of the check is only a consequence.
func (e *engine) checkFailed(c *watch) error {
	if err := e.autoscalerEnded(); err != nil {
		return fmt.Errorf("%w\n%s", err, e.failure(c).text)
	}
	return e.failure(c)
}

// autoscalerEnded returns an error if the autoscaler ended by itself.
func (e *engine) autoscalerEnded() error {
	select {
	case err := <-e.o.Autoscaler.Ended():
		return &endedError{err}
	default:
		return nil
	}
}

// failNeverEvaluated fails checks that held only because there was nothing to evaluate.
func (e *engine) failNeverEvaluated(ctx context.Context, stays []*watch) error {
	if c := e.w.neverEvaluated(stays); c != nil {
		e.awaitLateFacts(ctx)
		return e.checkFailed(c)
	}
	return nil
}

// awaitLateFacts waits for late facts.
func (e *engine) awaitLateFacts(ctx context.Context) {
	select {
	case <-time.After(maxFactDelay):
	case <-ctx.Done():
	}
}
