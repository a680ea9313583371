package scenarios

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"caslab/magefiles/internal/bisect"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

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
	// file has what is known from earlier searches; empty if nothing is kept. out is the folder
	// for the results.
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
	if s.file != "" {
		if _, err := state.ReadJSON(s.file, &s.known); err != nil {
			return fmt.Errorf("%w; with -again, the file is removed", err)
		}
	}
	found, err := s.clone.Find(ctx, s.good, s.bad, s.paths, s.test)
	end := new(bisect.EndError)
	switch {
	case errors.As(err, &end):
		return s.wrongEnd(end)
	case errors.As(err, new(*bisect.MergeBaseError)):
		return err
	case err != nil && s.file != "" && len(s.tested) > 0:
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
		if !again && s.file != "" {
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
