package scenarios

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/bisect"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
)

// searchOf returns a search in a throwaway repository with one commit for each word. The word says
// how the scenario ends with that commit.
func searchOf(t *testing.T, l *labtest.Lab, words ...string) *search {
	t.Helper()
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		if _, err := (run.Exec{}).Run(t.Context(), run.Cmd{Name: "git", Args: append([]string{"-c", "user.name=A", "-c", "user.email=a@example.com"}, args...), Dir: dir}); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "--quiet", "--initial-branch=main")
	for i, word := range words {
		if err := os.WriteFile(filepath.Join(dir, "file"), fmt.Appendf(nil, "%s %d", word, i), 0o600); err != nil {
			t.Fatal(err)
		}
		git("add", "--all")
		git("commit", "--quiet", "--message", fmt.Sprintf("change %d", i))
		git("tag", fmt.Sprintf("v1.%d.0", i))
	}
	clone, err := bisect.Open(t.Context(), bisect.Options{Checkout: dir, Dir: filepath.Join(t.TempDir(), "clone"), Runner: run.Exec{}, Progress: func(string) {}})
	if err != nil {
		t.Fatal(err)
	}
	s := &search{
		Scenarios: &Scenarios{Lab: l.Lab}, clone: clone, runs: 1, goodName: "1.0.0", badName: fmt.Sprintf("1.%d.0", len(words)-1),
		scenario: &scenario.Scenario{Name: "grow"}, file: l.State.Path("bisect", "grow.json"), out: t.TempDir(),
	}
	s.try = func(context.Context, bisect.Commit) (results.Result, error) { return fake(clone.Dir) }
	var errs [2]error
	s.good, errs[0] = clone.Resolve(t.Context(), s.goodName, "v")
	s.bad, errs[1] = clone.Resolve(t.Context(), s.badName, "v")
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return s
}

// fake runs a scenario as the checked-out commit says.
func fake(dir string) (results.Result, error) {
	text, err := os.ReadFile(filepath.Join(dir, "file"))
	if err != nil {
		return results.Result{}, err
	}
	r := results.Result{Name: "grow", Verdict: results.Passed, Seconds: 60}
	setUp, step, cause := error(nil), error(nil), results.CheckFailed
	switch word, _, _ := strings.Cut(string(text), " "); word {
	case "passes":
	case "unexpected":
		r.Verdict = results.UnexpectedPass
	case "fails", "known":
		step = errors.New("did not come true within 1m0s: the group web has 2 nodes\n  seen: " + string(text))
	case "crashes":
		step, cause = errors.New("the autoscaler ended in the middle of the step"), results.AutoscalerEnded
	case "no-action":
		step, cause = errors.New("taint the nodes of the group web: the group web has no machine"), results.ActionFailed
	case "no-cluster":
		setUp = errors.New("the first nodes of the group web: not within 8m")
	case "no-compile":
		return results.Result{}, &cannotTestError{errors.New("go build: exit status 1\nundefined: x")}
	case "no-proxy":
		return results.Result{}, errors.New("the module proxy does not answer")
	case "unclean":
		r.Add("set up", 1, nil)
		r.Fail(results.CleanUpFailed, "clean-up", errors.New("the machine stays"))
		return r, nil
	case "too-old":
		r.Verdict, r.Why = results.Skipped, "it needs autoscaler 1.26.0"
		return r, nil
	}
	r.Add("set up", 1, setUp)
	r.Add("grow", 1, step)
	if setUp != nil {
		r.Fail(results.SetUpFailed, "set up", setUp)
	} else if step != nil {
		r.Fail(cause, "grow", step)
	}
	if strings.HasPrefix(string(text), "known") {
		r.Verdict = results.KnownFailure
	}
	return r, nil
}

func TestBisect(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		words []string
		// want are parts of what is printed, and err is a part of the error.
		want []string
		err  string
	}{
		"a regression": {
			words: []string{"passes", "passes", "unexpected", "known", "fails", "fails"},
			want:  []string{"grow fails from ", "  change 3 (A, 20", "With this commit, and in the same way with 1.5.0:\n  grow: did not come true within 1m0s: the group web has 2 nodes\n    seen: known 3\n", "good     ", "bad      "},
		},
		"another failure": {
			words: []string{"passes", "passes", "crashes", "fails"},
			want:  []string{"  change 2 (A", "With this commit:\n  grow: the autoscaler ended", "In another way, with 1.3.0:\n  grow: did not come true"},
		},
		"commits that cannot be tested": {
			words: []string{"passes", "no-compile", "no-cluster", "unclean", "too-old", "no-action", "fails"},
			want:  []string{"grow fails from one of 6 commits on", "  change 1 (A", "  change 6 (A", "go build: exit status 1", "the scenario could not be set up: set up: the first nodes", "the scenario passed, but could not be cleaned up", "it needs autoscaler 1.26.0", "an action of the scenario failed: grow: taint the nodes of the group web: the group web has no machine"},
			err:   "grow fails from one of 6 commits on; it is not known from which, because the commits between the good and the bad ones cannot be tested",
		},
		"it fails already":         {words: []string{"fails", "fails", "fails"}, err: "grow should pass with 1.0.0 ("},
		"it passes":                {words: []string{"passes", "passes"}, err: ", but it passes"},
		"the end does not compile": {words: []string{"passes", "no-compile"}, err: "cannot be tested: go build: exit status 1\nundefined: x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := labtest.New(t, nil)
			s := searchOf(t, l, tt.words...)
			err := s.run(t.Context())
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("%v, want %q", err, tt.err)
			}
			for _, want := range tt.want {
				if !strings.Contains(l.Printed.String(), want) {
					t.Errorf("%q was not printed:\n%s", want, l.Printed)
				}
			}
			if len(tt.want) == 0 {
				return
			}
			summary, serr := os.ReadFile(filepath.Join(s.out, "summary.md"))
			data, derr := os.ReadFile(filepath.Join(s.out, "bisect.json"))
			var read bisectReport
			if err := errors.Join(serr, derr, json.Unmarshal(data, &read)); err != nil || len(read.Tested) != len(s.tested) {
				t.Errorf("bisect.json has %+v, %v", read, err)
			}
			if !strings.HasPrefix(string(summary), "### grow fails from ") || strings.Count(string(summary), "<details>") == 0 {
				t.Errorf("summary.md is\n%s", summary)
			}
		})
	}
}

// TestBisectGoesOn: after an interruption, the same command tests no commit again, except those
// that the cluster could not test.
func TestBisectGoesOn(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	s := searchOf(t, l, "passes", "passes", "passes", "no-cluster", "passes", "passes", "fails", "fails")
	ctx, stop := context.WithCancelCause(t.Context())
	tries := 0
	s.try = func(ctx context.Context, _ bisect.Commit) (results.Result, error) {
		if tries++; tries == 4 {
			stop(errors.New("Ctrl-C"))
			return results.Result{}, context.Cause(ctx)
		}
		return fake(s.clone.Dir)
	}
	err := s.run(ctx)
	if err == nil || !strings.Contains(err.Error(), "Ctrl-C\n3 commits were tested, and the results are kept: type the same command to continue, or add -again to start over") {
		t.Fatalf("%v, want how to go on", err)
	}
	var kept map[string]outcome
	if _, err := state.ReadJSON(s.file, &kept); err != nil {
		t.Fatal(err)
	}
	again := &search{
		Scenarios: s.Scenarios, clone: s.clone, runs: 1, goodName: s.goodName, badName: s.badName, good: s.good, bad: s.bad, scenario: s.scenario, file: s.file,
		try: func(_ context.Context, c bisect.Commit) (results.Result, error) {
			if _, there := kept[c.ID]; there {
				t.Errorf("%s is tested again", c.Title)
			}
			return fake(s.clone.Dir)
		},
	}
	if err := again.run(t.Context()); err != nil || !strings.Contains(l.Printed.String(), "change 6 (A") || !strings.Contains(l.Logged.String(), "good, as an earlier search found") {
		t.Errorf("%v, printed\n%s\nlogged\n%s", err, l.Printed, l.Logged)
	}
}

// TestBisectRepeats: with several runs, a commit is bad as soon as one of them fails.
func TestBisectRepeats(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	s := searchOf(t, l, "passes", "passes", "flaky", "flaky", "flaky")
	s.runs = 3
	runs := map[string]int{}
	s.try = func(_ context.Context, c bisect.Commit) (results.Result, error) {
		runs[c.Title]++
		r, err := fake(s.clone.Dir)
		if c.Title > "change 1" && runs[c.Title] == 2 {
			r.Steps[1].Passed = false
			r.Fail(results.CheckFailed, "grow", errors.New("did not come true"))
		}
		return r, err
	}
	if err := s.run(t.Context()); err != nil || !strings.Contains(l.Printed.String(), "change 2 (A") || runs["change 0"] != 3 || runs["change 4"] != 2 {
		t.Errorf("%v, runs %v, printed\n%s", err, runs, l.Printed)
	}
}

// TestBisectRefuses: what cannot be searched is refused before a cluster is asked.
func TestBisectRefuses(t *testing.T) {
	t.Parallel()
	for want, tt := range map[string]struct {
		names string
		o     BisectOptions
	}{
		"-autoscaler=as-is: scenario:bisect compiles autoscalers": {"scale-up", BisectOptions{Of: OfAutoscaler, Options: Options{Autoscaler: AsItIs}}},
		"want one scenario, but this names 2":                     {"scale-up,scale-down", BisectOptions{Of: OfAutoscaler, Options: Options{Autoscaler: OnThisMachine}}},
		"-of=kubernetes: want autoscaler or core":                 {"scale-up", BisectOptions{Of: "kubernetes", Options: Options{Autoscaler: OnThisMachine}}},
		"-of=core: set AUTOSCALER_CORE_DIR":                       {"scale-up", BisectOptions{Of: OfCore, Options: Options{Autoscaler: OnThisMachine}}},
	} {
		l := labtest.New(t, nil)
		sc := &Scenarios{Lab: l.Lab, Autoscalers: &autoscalers.Autoscalers{Lab: l.Lab}}
		if err := sc.Bisect(t.Context(), "1.35.2", "1.36.1", tt.names, tt.o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestBisectEndsWhenNothingCanBeCompiled: a cause that is not in the commit ends the search, and
// the next search tests the commit again.
func TestBisectEndsWhenNothingCanBeCompiled(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	s := searchOf(t, l, "passes", "passes", "no-proxy", "fails", "fails")
	err := s.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "the module proxy does not answer\n2 commits were tested, and the results are kept") {
		t.Fatalf("%v, want why the search ended", err)
	}
	var tested []string
	again := &search{
		Scenarios: s.Scenarios, clone: s.clone, runs: 1, goodName: s.goodName, badName: s.badName, good: s.good, bad: s.bad, scenario: s.scenario, file: s.file,
		try: func(_ context.Context, c bisect.Commit) (results.Result, error) {
			tested = append(tested, c.Title)
			return results.Result{Verdict: results.Passed}, nil
		},
	}
	if err := again.run(t.Context()); err != nil || !slices.Equal(tested, []string{"change 2", "change 3"}) || !strings.Contains(l.Printed.String(), "change 4 (A") {
		t.Errorf("%v, the commits %q were tested, printed\n%s", err, tested, l.Printed)
	}
}

// TestTryTellsCommitsFromTheirSurroundings: only the code of a commit makes it impossible to test.
func TestTryTellsCommitsFromTheirSurroundings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := state.WriteFile(filepath.Join(dir, "cluster-autoscaler", "go.mod"), []byte("module k8s.io/autoscaler/cluster-autoscaler\n\ngo 1.26\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	exit := errors.New("exit status 1")
	for name, tt := range map[string]struct {
		answers []runtest.Answer
		cannot  bool
	}{
		"refused by the compiler": {[]runtest.Answer{{Prefix: "go version"}, {Prefix: "go build", Stderr: "# k8s.io/autoscaler/cluster-autoscaler\n./main.go:7:2: undefined: x\n", Err: exit}}, true},
		"no Go":                   {[]runtest.Answer{{Prefix: "go version", Err: exit}}, false},
		"no module proxy":         {[]runtest.Answer{{Prefix: "go version"}, {Prefix: "go build", Stderr: "main.go:7:2: k8s.io/api@v0.36.1: Get \"https://proxy.example.com/\": connection refused\n", Err: exit}}, false},
	} {
		l := labtest.New(t, map[string]string{"AUTOSCALER_DIR": dir})
		l.Processes.Answers = tt.answers
		sc := &Scenarios{Lab: l.Lab, Autoscalers: &autoscalers.Autoscalers{Lab: l.Lab}}
		_, err := sc.try(t.Context(), &target.Cluster{}, trial{Options: Options{Autoscaler: OnThisMachine}}, bisect.Commit{ID: "0123456789abcdef"})
		if err == nil || errors.As(err, new(*cannotTestError)) != tt.cannot {
			t.Errorf("%s: %v; cannot be tested: want %t", name, err, tt.cannot)
		}
	}
}

// TestKeptResultsAreOfTheSameMachines: hollow machines may pass where others fail. A scenario that
// names its machines has them whatever the option says.
func TestKeptResultsAreOfTheSameMachines(t *testing.T) {
	t.Parallel()
	c, _ := targettest.New(t)
	l := labtest.New(t, nil)
	l.State = "state"
	sc := &Scenarios{Lab: l.Lab}
	file := func(named, option string) string {
		t.Helper()
		s := &scenario.Scenario{Name: "grow", Groups: []scenario.Group{{Name: "web", Machines: named}}}
		name, err := sc.keptFile(t.Context(), c, repository{of: OfAutoscaler, checkout: "/x"}, trial{Options: Options{Machines: option}, chosen: []*scenario.Scenario{s}})
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	hollow, docker := file("", scenario.HollowMachines), file("", scenario.DockerMachines)
	if hollow == docker {
		t.Errorf("both kinds of machines share %s", hollow)
	}
	if got := file(scenario.DockerMachines, scenario.HollowMachines); got != docker {
		t.Errorf("a scenario that names docker machines has %s, want %s", got, docker)
	}
}

// TestKeptResultsAreOfTheSameTrees: results are kept for the next search only if it compiles the
// same other tree with each commit.
func TestKeptResultsAreOfTheSameTrees(t *testing.T) {
	t.Parallel()
	core := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		if _, err := (run.Exec{}).Run(t.Context(), run.Cmd{Name: "git", Args: append([]string{"-c", "user.name=A", "-c", "user.email=a@example.com"}, args...), Dir: core}); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "--quiet")
	git("commit", "--quiet", "--allow-empty", "--message", "one")
	c, _ := targettest.New(t)
	file := func(of string, variables map[string]string) string {
		t.Helper()
		l := labtest.New(t, variables)
		l.Runner, l.State = run.Exec{}, "state"
		sc := &Scenarios{Lab: l.Lab}
		name, err := sc.keptFile(t.Context(), c, repository{of: of, checkout: "/x"}, trial{chosen: []*scenario.Scenario{{Name: "grow"}}})
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	withCore := map[string]string{"AUTOSCALER_CORE_DIR": core}
	first := file(OfAutoscaler, withCore)
	all := []string{
		first, file(OfAutoscaler, nil), file(OfCore, withCore), file(OfCore, map[string]string{"AUTOSCALER_VERSION": "1.35.2"}),
		file(OfCore, map[string]string{"AUTOSCALER_GIT": "https://example.com/fork"}),
	}
	if file(OfAutoscaler, withCore) != first {
		t.Error("the next search with the same core does not find the results")
	}
	git("commit", "--quiet", "--allow-empty", "--message", "two")
	all = append(all, file(OfAutoscaler, withCore))
	slices.Sort(all)
	if all[0] == "" || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("searches with different trees share files: %q", all)
	}
	if err := os.WriteFile(filepath.Join(core, "changed"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if name := file(OfAutoscaler, withCore); name != "" {
		t.Errorf("with changes that no commit has, the results are kept in %s", name)
	}
}
