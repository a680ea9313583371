// Package engine runs scenarios against an autoscaler, on real clusters: it makes
// what they need, does their steps, watches what is expected of them, and removes
// what it made.
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

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/ui"
)

// Autoscaler is the one that scenarios are run against.
type Autoscaler interface {
	// Describe names it for a reader and tells its release; nil if that is not
	// known.
	Describe() (name string, release *version.Version)
	// Controlled reports whether Start and Stop may be called.
	Controlled() bool
	// Start runs it with these flags beside the usual ones and returns when it
	// has read the cluster. One that runs with others is restarted; one that
	// runs with the same goes on.
	Start(ctx context.Context, flags []string) error
	// Stop ends it; it may not run.
	Stop(ctx context.Context) error
	// Ended tells when the one that was started last ended though nobody told
	// it to, with the end of its log in the error. Nil if that cannot be told.
	Ended() <-chan error
}

// Options of Run. All are needed but those that say what they are without.
type Options struct {
	// Workload reaches the cluster that is scaled, Management the one with its
	// machines; they may be the same.
	Workload, Management *kube.Client
	// Namespace and Cluster are those of the Cluster object.
	Namespace, Cluster string
	// ConfigNamespace is the autoscaler's --namespace; PodNamespace is where
	// workloads are made.
	ConfigNamespace, PodNamespace string
	// SizePrefix of the size annotations that the autoscaler reads;
	// release.SizePrefix if empty.
	SizePrefix string
	// Prefix of the names of what is made; "sc-" if empty. Whatever has it and
	// the lab's marks is deleted before a scenario and after it.
	Prefix     string
	Autoscaler Autoscaler
	// Versions, if set, are of what else takes part, by name, for the results.
	Versions map[string]string
	// Subscribe has tell called with every fact from then on, until the
	// returned function is called.
	Subscribe func(tell func(timeline.Fact)) (unsubscribe func())
	// Mark, if set, puts the scenario's steps onto the timeline.
	Mark func(timeline.Fact)
	// Tell, if set, writes facts in words: the last minute of a failure.
	Tell func(io.Writer, []timeline.Fact)
	// Report, if set, is called after every scenario with what there is so far,
	// so that a run that is killed loses nothing. An error of it is logged.
	Report func(*results.Results) error
	Log    *ui.Log
	// Now is the clock; time.Now if nil. Waits are by the real one.
	Now func() time.Time
}

// Limits on what is not the autoscaler's work.
const (
	setupTime   = 8 * time.Minute
	cleanupTime = 8 * time.Minute
	// listTime is how long it may take to see what a clean-up left.
	listTime = 2 * time.Second
	// lateFacts is how long the recorder may need to tell what happened.
	lateFacts = 3 * time.Second
)

// Run runs the scenarios one after the other and returns what came of each,
// whose Err tells whether any failed. An error of Run is not about a verdict: it
// says that ctx was done. Then what was made is removed, and the scenarios that
// are left are skipped.
func Run(ctx context.Context, o Options, scenarios []*scenario.Scenario) (*results.Results, error) {
	if o.Prefix == "" {
		o.Prefix = "sc-"
	}
	if o.SizePrefix == "" {
		o.SizePrefix = release.SizePrefix
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Mark == nil {
		o.Mark = func(timeline.Fact) {}
	}
	name, running := o.Autoscaler.Describe()
	sofar := &results.Results{Autoscaler: name, Started: o.Now(), Versions: o.Versions}
	if running != nil {
		sofar.Release = release.Name(running)
	}
	for i, s := range scenarios {
		o.Log.Printf("scenario %d of %d: %s: %s", i+1, len(scenarios), s.Name, s.Title)
		why := s.WhySkipped(running, o.Autoscaler.Controlled())
		if ctx.Err() != nil {
			why = "the run was stopped: " + context.Cause(ctx).Error()
		}
		if why != "" {
			o.Log.Printf("  skipped: %s", why)
			sofar.Scenarios = append(sofar.Scenarios, results.Result{Name: s.Name, Given: s.Given, Title: s.Title, Verdict: results.Skipped, Why: why})
		} else {
			e := &engine{o: o, s: s, all: scenarios}
			result := e.judge(e.run(ctx), running)
			o.markEnd(result)
			sofar.Scenarios = append(sofar.Scenarios, result)
			o.report(result)
		}
		sofar.Seconds = results.Seconds(o.Now().Sub(sofar.Started))
		o.keep(sofar)
	}
	if ctx.Err() != nil {
		return sofar, fmt.Errorf("stopped: %w", context.Cause(ctx))
	}
	return sofar, nil
}

// keep hands the results so far to the caller.
func (o Options) keep(sofar *results.Results) {
	if o.Report == nil {
		return
	}
	if err := o.Report(sofar); err != nil {
		o.Log.Printf("! the results so far are not kept: %v", err)
	}
}

// judge gives a scenario that is known to fail a verdict of its own, if it
// failed as is known. What is known is about its steps. Without a release nobody
// can tell whether it is known to fail: its failure stays one, and says so.
func (e *engine) judge(r results.Result, release *version.Version) results.Result {
	if e.s.Known == nil || e.broke {
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

// markEnd puts a scenario's end onto the timeline.
func (o Options) markEnd(r results.Result) {
	f := timeline.Fact{Time: o.Now(), Kind: timeline.Lab, What: timeline.Passed, Name: r.Name, Text: r.Why, Source: timeline.Own}
	switch r.Verdict {
	case results.Failed:
		f.What = timeline.Failed
	case results.KnownFailure:
		f.What, f.Text = timeline.KnownFailure, r.Known
	}
	o.Mark(f)
}

// report shows a scenario's end as a live line.
func (o Options) report(r results.Result) {
	o.Log.Printf("  %s %s in %s", r.Verdict.Mark(), r.Verdict, ui.Round(time.Duration(r.Seconds*float64(time.Second))))
	if r.Known != "" {
		o.Log.Printf("    known: %s", r.Known)
	}
	if r.Failure != "" {
		o.Log.Printf("%s", indent(r.Failure, "    "))
	}
}

// engine runs one scenario.
type engine struct {
	o Options
	s *scenario.Scenario
	// all are those of the run: their objects may have been left behind.
	all []*scenario.Scenario

	w      *world
	always []*watch
	// touched is whether anything was made or removed, which is to be cleaned.
	touched bool
	// broke is a failure that is not of a step: of the set-up or the clean-up,
	// or a stop.
	broke bool
}

// run runs the scenario and removes what it made, whatever happens.
func (e *engine) run(ctx context.Context) (r results.Result) {
	r = results.Result{Name: e.s.Name, Given: e.s.Given, Title: e.s.Title, Verdict: results.Passed, Started: e.o.Now()}
	e.w = newWorld(e.o.Prefix, e.o.Now)
	unsubscribe := e.o.Subscribe(e.w.fact)
	defer unsubscribe()
	defer func() {
		e.clear(ctx, &r)
		r.Seconds = results.Seconds(e.o.Now().Sub(r.Started))
	}()
	// The watches end before the cleaning.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	say := "set up"
	step, began := e.o.Log.Start(say, time.Minute), e.o.Now()
	err := e.setUp(ctx, step.Progress)
	step.Done("", err)
	r.Add(say, e.o.Now().Sub(began), err)
	e.broke = err != nil
	for i := range e.s.Steps {
		if err != nil {
			break
		}
		say, began = e.s.Steps[i].Say, e.o.Now()
		e.mark(timeline.Step, fmt.Sprintf("%d. %s", i+1, say))
		step := e.o.Log.Start(fmt.Sprintf("%d. %s", i+1, say), 0)
		err = e.step(ctx, &e.s.Steps[i], step.Progress)
		if err == nil && i == len(e.s.Steps)-1 {
			err = e.looked(ctx, e.always)
		}
		step.Done("", err)
		r.Add(say, e.o.Now().Sub(began), err)
	}
	if err != nil {
		// Nothing but what a check saw can be the failure that is known.
		failed := new(checkError)
		e.broke = e.broke || ctx.Err() != nil || !errors.As(err, &failed)
		r.Fail(say, err)
	}
	return r
}

func (e *engine) mark(what, text string) {
	e.o.Mark(timeline.Fact{Time: e.o.Now(), Kind: timeline.Lab, What: what, Name: e.s.Name, Text: text, Source: timeline.Own})
}

// step does what a step says and waits for what is expected of it.
func (e *engine) step(ctx context.Context, s *scenario.Step, progress func(string)) error {
	base := e.w.baseline()
	for i := range s.Do {
		progress(s.Do[i].String())
		if err := e.do(ctx, &s.Do[i], progress); err != nil {
			return fmt.Errorf("%s: %w", s.Do[i], err)
		}
	}
	var expects, stays []*watch
	// The limits count from the last action on.
	began := e.o.Now()
	for _, c := range s.Expect {
		expects = append(expects, &watch{check: c, base: base, limit: began.Add(time.Duration(c.Within))})
	}
	for _, c := range s.Stays {
		stays = append(stays, &watch{check: c, base: base, stay: true})
	}
	return e.await(ctx, began, expects, stays, progress)
}

// await waits until all that is expected came true and what stays stayed for
// long enough, or something did not. The last action was over at began.
func (e *engine) await(ctx context.Context, began time.Time, expects, stays []*watch, progress func(string)) error {
	watches := slices.Concat(expects, stays)
	e.w.add(watches...)
	defer e.w.remove(watches...)
	for {
		state := e.w.state(began, e.always, stays, expects)
		now := e.o.Now()
		if state.broken != nil {
			e.pause(ctx)
			return e.failed(state.broken)
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
			// What came true in time may be told late.
			e.pause(ctx)
			if !e.w.came(c) {
				return e.failed(c)
			}
			wake(now)
		}
		if len(state.missing) == 0 {
			for _, c := range stays {
				if end := state.came.Add(time.Duration(c.check.For)); end.After(now) {
					wake(end)
				}
			}
			if next.IsZero() {
				if err := e.ended(); err != nil {
					return err
				}
				return e.looked(ctx, stays)
			}
			progress("waiting whether it stays so")
		} else {
			progress(state.instead)
		}
		if err := e.sleep(ctx, next.Sub(now)); err != nil {
			return err
		}
	}
}

// sleep waits until something came true or broke, or for that long.
func (e *engine) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.w.moved:
	case err := <-e.o.Autoscaler.Ended():
		return endedInTheMiddle(err)
	case <-ctx.Done():
		return fmt.Errorf("stopped: %w", context.Cause(ctx))
	}
	return nil
}

func endedInTheMiddle(err error) error {
	return fmt.Errorf("the autoscaler ended in the middle of the step: %w", err)
}

// failed is the failure of a check, unless the autoscaler ended: then that is
// what failed, and what the check saw comes of it.
func (e *engine) failed(c *watch) error {
	if err := e.ended(); err != nil {
		return fmt.Errorf("%w\n%s", err, e.failure(c).text)
	}
	return e.failure(c)
}

// ended is an error if the autoscaler ended though nobody told it to.
func (e *engine) ended() error {
	select {
	case err := <-e.o.Autoscaler.Ended():
		return endedInTheMiddle(err)
	default:
		return nil
	}
}

// looked fails checks that held because there never was anything to look at.
func (e *engine) looked(ctx context.Context, stays []*watch) error {
	if c := e.w.vacuous(stays); c != nil {
		e.pause(ctx)
		return e.failed(c)
	}
	return nil
}

// pause gives late facts some time.
func (e *engine) pause(ctx context.Context) {
	select {
	case <-time.After(lateFacts):
	case <-ctx.Done():
	}
}

// errorsOf joins what several did concurrently.
func errorsOf(n int, do func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}
