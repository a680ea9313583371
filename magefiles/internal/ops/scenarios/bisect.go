package scenarios

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/bisect"
	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
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
	search, err := sc.newSearch(ctx, from, good, bad, t)
	if err != nil {
		return err
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
	if search.file, err = sc.keptFile(ctx, c, from, t); err != nil {
		return err
	}
	if o.Again && search.file != "" {
		if err := state.Remove(search.file); err != nil {
			return fmt.Errorf("forget earlier results: %w", err)
		}
	}
	with, err := sc.with(from, search.clone.Dir)
	if err != nil {
		return err
	}
	search.try = func(ctx context.Context, commit bisect.Commit) (results.Result, error) {
		return with.try(ctx, c, t, commit)
	}
	return search.run(ctx)
}

// newSearch opens the repository and looks up both ends.
func (sc *Scenarios) newSearch(ctx context.Context, from repository, good, bad string, t trial) (*search, error) {
	step := sc.Log.Start("open the history of the "+from.of, 10*time.Second)
	clone, err := bisect.Open(ctx, bisect.Options{
		Checkout: from.checkout, URL: from.url, Dir: sc.State.Path("bisect", from.of+"-"+state.ShortSum(from.name())), Folders: from.folders,
		Runner: sc.Runner, Progress: step.Progress,
	})
	step.Done(from.name(), err)
	if err != nil {
		return nil, err
	}
	s := &search{Scenarios: sc, clone: clone, paths: from.folders, runs: t.runs(), goodName: good, badName: bad, scenario: t.chosen[0], out: t.Out}
	if s.good, err = clone.Resolve(ctx, good, from.tagPrefix); err != nil {
		return nil, fmt.Errorf("the good commit: %w", err)
	}
	if s.bad, err = clone.Resolve(ctx, bad, from.tagPrefix); err != nil {
		return nil, fmt.Errorf("the bad commit: %w", err)
	}
	return s, nil
}

// runs is how often a good commit has to pass.
func (t trial) runs() int { return max(1, t.Repeat) }

// cannotTestError is returned for a commit that cannot be tested.
type cannotTestError struct{ err error }

func (e *cannotTestError) Error() string { return e.err.Error() }

func (e *cannotTestError) Unwrap() error { return e.err }

// cannotTest reports whether newAutoscaler failed because of the commit: the code does not compile,
// alone or with the other tree, or the program lacks a flag. Any other cause, such as a module
// that cannot be fetched, may be gone the next time.
func cannotTest(err error) bool {
	if refused := new(build.CompilerError); errors.As(err, &refused) {
		return refused.Refused()
	}
	return errors.As(err, new(*build.CoreError)) || errors.As(err, new(*autoscaler.UnknownFlagError))
}

// try compiles the autoscaler and runs the scenario once. The error is a *cannotTestError if the
// cause is in the commit.
func (sc *Scenarios) try(ctx context.Context, c *target.Cluster, t trial, commit bisect.Commit) (results.Result, error) {
	if t.Out != "" {
		t.Out = filepath.Join(t.Out, commit.Short())
	}
	t.Repeat = 1
	under, err := sc.newAutoscaler(ctx, c, t)
	if err != nil {
		if ctx.Err() == nil && cannotTest(err) {
			return results.Result{}, &cannotTestError{err}
		}
		return results.Result{}, fmt.Errorf("prepare the autoscaler of the commit %s: %w", commit.Short(), err)
	}
	came, err := sc.runScenarios(ctx, c, under, t)
	if err != nil {
		return results.Result{}, err
	}
	return came.Scenarios[0], nil
}

// otherTree identifies the tree that is compiled with every commit of the search: the core's
// checkout, or the autoscaler that imports the core that is searched. known is false if the tree
// has changes that no commit has.
func (sc *Scenarios) otherTree(ctx context.Context, from repository) (id []string, known bool, err error) {
	dir := sc.Config.AutoscalerCoreDir
	if from.of == OfCore {
		a := sc.Config.Autoscaler
		if dir = a.Dir; dir == "" {
			return []string{a.Version.String(), a.Commit, redact.URL(a.Git)}, true, nil
		}
	}
	if dir == "" {
		return nil, true, nil
	}
	tree, err := source.State(ctx, dir, sc.Runner)
	if err != nil {
		return nil, false, err
	}
	if tree.Commit == "" || tree.Dirty {
		sc.Log.Printf("! the results of this search are not kept for the next one, because not all of %s is committed", dir)
		return nil, false, nil
	}
	return []string{dir, tree.Commit}, true, nil
}

// keptFile returns the path of the file with the outcomes of earlier searches that had the same
// repository, other tree, scenario, machines, flags, versions and number of runs. It is empty if
// outcomes cannot be kept.
func (sc *Scenarios) keptFile(ctx context.Context, c *target.Cluster, from repository, t trial) (string, error) {
	versions, err := c.Versions(ctx)
	if err != nil {
		return "", err
	}
	other, known, err := sc.otherTree(ctx, from)
	if err != nil || !known {
		return "", err
	}
	same, err := json.Marshal([]any{from.name(), other, sc.Config.AutoscalerProviders, t.chosen[0].On(t.machines(c)), t.Autoscaler, t.overrides, t.runs(), versions.Map()})
	if err != nil {
		return "", fmt.Errorf("name the file of earlier results: %w", err)
	}
	return sc.State.Path("bisect", t.chosen[0].Name+"-"+state.ShortSum(string(same))+".json"), nil
}
