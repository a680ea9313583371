package scenarios

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/bisect"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/ui"
)

// Repositories that Bisect can search.
const (
	OfAutoscaler = "autoscaler"
	OfCore       = "core"
)

// BisectOptions are the options of Bisect.
type BisectOptions struct {
	Options
	// Of is the repository: OfAutoscaler or OfCore.
	Of string
	// Again forgets what earlier searches found out.
	Again bool
}

// repository is a repository that can be searched.
type repository struct {
	// of is OfAutoscaler or OfCore.
	of string
	// checkout is the user's checkout; url is cloned if there is none.
	checkout, url string
	// tagPrefix begins the tags of releases. folders are those that the program is
	// compiled from; none means all.
	tagPrefix string
	folders   []string
}

// repository returns the repository to search.
func (sc *Scenarios) repository(of string) (repository, error) {
	switch of {
	case OfAutoscaler:
		spec := source.Autoscaler("")
		return repository{of: of, checkout: sc.Config.Autoscaler.Dir, url: sc.Config.Autoscaler.Git, tagPrefix: spec.Tag, folders: []string{spec.GoMod}}, nil
	case OfCore:
		if sc.Config.AutoscalerCoreDir == "" {
			return repository{}, fmt.Errorf("-of=%s: set AUTOSCALER_CORE_DIR to a checkout of the core, and AUTOSCALER_DIR to an autoscaler that imports it", of)
		}
		return repository{of: of, checkout: sc.Config.AutoscalerCoreDir, tagPrefix: "v"}, nil
	}
	return repository{}, fmt.Errorf("-of=%s: want %s or %s", of, OfAutoscaler, OfCore)
}

// name names the repository, without credentials.
func (r repository) name() string { return cmp.Or(r.checkout, redact.URL(r.url)) }

// with returns a copy that runs the autoscaler that is compiled from the tree in dir.
func (sc *Scenarios) with(r repository, dir string) (*Scenarios, error) {
	if r.of == OfAutoscaler {
		return sc.withAutoscalerOf(dir)
	}
	other := *sc
	other.Autoscalers = sc.Autoscalers.WithCore(dir)
	other.Lab = other.Autoscalers.Lab
	return &other, nil
}

// outcome is what is known about a commit.
type outcome struct {
	Commit  bisect.Commit  `json:"commit"`
	Verdict bisect.Verdict `json:"verdict"`
	// Why says in one line what failed, or why the commit cannot be tested, and Failure
	// has the whole text.
	Why     string  `json:"why,omitempty"`
	Failure string  `json:"failure,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Bisect finds the commit from which a scenario fails, between a good and a bad one: each is
// a release, or a commit, a branch or a tag of the repository.
func (sc *Scenarios) Bisect(ctx context.Context, good, bad, name string, o BisectOptions) (err error) {
	if o.Autoscaler == AsItIs {
		return fmt.Errorf("-autoscaler=%s: scenario:bisect compiles autoscalers; want %s or %s", AsItIs, OnThisMachine, InTheCluster)
	}
	t, err := sc.trial(name, o.Options)
	if err != nil {
		return err
	}
	if len(t.chosen) != 1 {
		return fmt.Errorf("%q: want one scenario, but this names %d", name, len(t.chosen))
	}
	from, err := sc.repository(o.Of)
	if err != nil {
		return err
	}
	lock, err := sc.State.Lock("bisect", "scenario:bisect")
	if held := new(state.HeldError); errors.As(err, &held) {
		return fmt.Errorf("commits are already being searched in this checkout by %s; wait for it to end, or stop it", held.Holder)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	step := sc.Log.Start("open the history of the "+from.of, 10*time.Second)
	clone, err := bisect.Open(ctx, bisect.Options{
		Checkout: from.checkout, URL: from.url, Dir: sc.State.Path("bisect", from.of+"-"+state.ShortSum(from.name())), Folders: from.folders,
		Runner: sc.Runner, Progress: step.Progress,
	})
	step.Done(from.name(), err)
	if err != nil {
		return err
	}
	search := &search{Scenarios: sc, clone: clone, paths: from.folders, runs: max(1, o.Repeat), goodName: good, badName: bad, scenario: t.chosen[0], out: o.Out}
	if search.good, err = clone.Resolve(ctx, good, from.tagPrefix); err != nil {
		return fmt.Errorf("the good commit: %w", err)
	}
	if search.bad, err = clone.Resolve(ctx, bad, from.tagPrefix); err != nil {
		return fmt.Errorf("the bad commit: %w", err)
	}
	c, err := sc.Open(ctx)
	if err != nil {
		return err
	}
	release, err := sc.lockCluster(ctx, c, o.Autoscaler, "scenario:bisect")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if search.file, err = sc.keptFile(ctx, c, from, t, search.runs); err != nil {
		return err
	}
	if o.Again {
		if err := state.Remove(search.file); err != nil {
			return fmt.Errorf("forget earlier results: %w", err)
		}
	}
	with, err := sc.with(from, clone.Dir)
	if err != nil {
		return err
	}
	search.try = func(ctx context.Context, commit bisect.Commit) (results.Result, error) {
		return with.try(ctx, c, t, commit)
	}
	return search.run(ctx)
}

// cannotTestError is returned for a commit that cannot be tested.
type cannotTestError struct{ err error }

func (e *cannotTestError) Error() string { return e.err.Error() }

func (e *cannotTestError) Unwrap() error { return e.err }

// try compiles the autoscaler and runs the scenario once. The error is a *cannotTestError if
// the autoscaler does not compile, or lacks a flag.
func (sc *Scenarios) try(ctx context.Context, c *target.Cluster, t trial, commit bisect.Commit) (results.Result, error) {
	if t.Out != "" {
		t.Out = filepath.Join(t.Out, commit.Short())
	}
	t.Repeat = 1
	under, err := sc.newAutoscaler(ctx, c, t)
	if err != nil {
		if ctx.Err() == nil {
			err = &cannotTestError{err}
		}
		return results.Result{}, err
	}
	came, err := sc.runScenarios(ctx, c, under, t)
	if err != nil {
		return results.Result{}, err
	}
	return came.Scenarios[0], nil
}

// keptFile returns the path of the file with the outcomes of earlier searches that had the same
// repository, scenario, flags, versions and number of runs.
func (sc *Scenarios) keptFile(ctx context.Context, c *target.Cluster, from repository, t trial, runs int) (string, error) {
	versions, err := c.Versions(ctx)
	if err != nil {
		return "", err
	}
	same, err := json.Marshal([]any{from.name(), sc.Config.Autoscaler.Dir, sc.Config.AutoscalerProviders, t.chosen[0], t.Autoscaler, t.overrides, runs, versions.Map()})
	if err != nil {
		return "", fmt.Errorf("name the file of earlier results: %w", err)
	}
	return sc.State.Path("bisect", t.chosen[0].Name+"-"+state.ShortSum(string(same))+".json"), nil
}

// search is one search for a commit.
type search struct {
	*Scenarios
	clone *bisect.Repository
	paths []string
	// good and bad are the ends, and goodName and badName what the user called them.
	good, bad         bisect.Commit
	goodName, badName string
	scenario          *scenario.Scenario
	// runs is how often a good commit has to pass.
	runs int
	// file has what is known from earlier searches, and out is the folder for the results.
	file, out string
	// try runs the scenario once with the commit, whose tree is checked out.
	try func(context.Context, bisect.Commit) (results.Result, error)

	// known has what earlier searches found out, and this one, by commit.
	known map[string]outcome
	// tested are the commits of this search, in order.
	tested []outcome
}

// run searches, and prints what it found.
func (s *search) run(ctx context.Context) error {
	s.known = map[string]outcome{}
	if _, err := state.ReadJSON(s.file, &s.known); err != nil {
		return fmt.Errorf("%w; with -again, the file is removed", err)
	}
	found, err := s.clone.Find(ctx, s.good, s.bad, s.paths, s.test)
	end := new(bisect.EndError)
	switch {
	case errors.As(err, &end):
		return s.wrongEnd(end)
	case ctx.Err() != nil:
		return fmt.Errorf("%w\n%d commits were tested, and the results are kept: type the same command to continue, or add -again to start over", err, len(s.tested))
	case err != nil:
		return err
	}
	report := s.report(found)
	err = errors.Join(report.print(s.Out), writeResults(s.out, map[string]func(io.Writer) error{"bisect.json": report.json, "summary.md": report.summary}))
	if s.out != "" {
		s.Log.Printf("bisect.json, summary.md, and a folder with the results of each commit are in %s", s.out)
	}
	if found.First == nil {
		err = errors.Join(err, fmt.Errorf("%s fails from one of %d commits on; it is not known from which, because the commits between the good and the bad ones cannot be tested", s.scenario.Name, len(found.Possible)))
	}
	return err
}

// wrongEnd says that one of the two ends is not what the user said, and what happened there.
func (s *search) wrongEnd(e *bisect.EndError) error {
	name, want := s.goodName, "pass"
	if e.Want == bisect.Bad {
		name, want = s.badName, "fail"
	}
	failure := s.failure(e.Commit)
	text := fmt.Sprintf("%s should %s with %s (%s), but it ", s.scenario.Name, want, name, e.Commit.Short())
	switch e.Got {
	case bisect.Good:
		return errors.New(text + "passes")
	case bisect.Bad:
		return errors.New(text + "fails: " + failure)
	default:
		return errors.New(text + "cannot be tested: " + failure)
	}
}

// test tests a commit, unless an earlier search has done so.
func (s *search) test(ctx context.Context, step bisect.Step) (bisect.Verdict, error) {
	which := fmt.Sprintf("commit %d: %s %s", len(s.tested)+1, step.Commit.Short(), ui.Clip(step.Commit.Title, 100))
	if step.Left != "" {
		which += ", " + step.Left
	}
	s.Log.Printf("%s", which)
	o, kept := s.known[step.Commit.ID]
	if !kept {
		if err := s.clone.Checkout(ctx, step.Commit); err != nil {
			return "", err
		}
		began := s.Now()
		var again bool
		var err error
		if o, again, err = s.outcome(ctx, step.Commit); err != nil {
			return "", err
		}
		o.Seconds = results.Seconds(s.Now().Sub(began))
		if !again {
			s.known[step.Commit.ID] = o
			if err := state.WriteJSON(s.file, s.known); err != nil {
				return "", err
			}
		}
	}
	text := string(o.Verdict)
	if kept {
		text += ", as an earlier search found"
	}
	if o.Why != "" {
		text += ": " + o.Why
	}
	s.Log.Printf("  %s", text)
	s.tested = append(s.tested, o)
	return o.Verdict, nil
}

// outcome runs the scenario with a commit until it fails, or has passed often enough. again is set
// if the next search has to test the commit again, because the commit is not the cause.
func (s *search) outcome(ctx context.Context, c bisect.Commit) (o outcome, again bool, err error) {
	o = outcome{Commit: c, Verdict: bisect.Good}
	for range s.runs {
		r, err := s.try(ctx, c)
		cannot := new(cannotTestError)
		switch {
		case errors.As(err, &cannot):
			line, _, _ := strings.Cut(err.Error(), "\n")
			o.Verdict, o.Why, o.Failure = bisect.Skip, line, err.Error()
			return o, false, nil
		case err != nil:
			return o, false, err
		case r.Verdict.Passes():
			continue
		}
		o.Verdict, o.Why, o.Failure = bisect.Bad, r.Why, cmp.Or(r.Failure, r.Why)
		switch {
		case r.Verdict == results.Skipped:
			o.Verdict = bisect.Skip
		case !r.Cause.OfAutoscaler():
			o.Verdict, o.Why, again = bisect.Skip, unrelatedCause(r)+": "+o.Why, true
		}
		return o, again, nil
	}
	return o, false, nil
}

// unrelatedCause returns why a failure says nothing about the autoscaler. Its cause is not OfAutoscaler.
func unrelatedCause(r results.Result) string {
	switch r.Cause {
	case results.SetUpFailed:
		return "the scenario could not be set up"
	case results.CleanUpFailed:
		return "the scenario passed, but could not be cleaned up"
	case results.ActionFailed:
		return "an action of the scenario failed"
	default:
		return "the scenario came to no verdict"
	}
}

// report returns what the search found.
func (s *search) report(found bisect.Found) bisectReport {
	r := bisectReport{Scenario: s.scenario.Name, Good: s.goodName, Bad: s.badName, First: found.First, Possible: found.Possible, Tested: s.tested}
	r.FailureAtBad = s.failure(s.bad)
	if found.First != nil {
		r.Failure = s.failure(*found.First)
	}
	return r
}

// failure returns how the scenario fails with a commit of this search, or why the commit cannot
// be tested.
func (s *search) failure(c bisect.Commit) string {
	i := slices.IndexFunc(s.tested, func(o outcome) bool { return o.Commit.ID == c.ID })
	if i < 0 {
		return ""
	}
	return s.tested[i].Failure
}
