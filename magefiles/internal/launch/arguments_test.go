package launch_test

import (
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/launch"
)

func TestArgumentsThatMageRefusesAreRefusedWithAnExample(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"nodegroup:set":                "nodegroup:set NAME MIN MAX: missing NAME MIN MAX",
		"nodegroup:set web":            "nodegroup:set NAME MIN MAX: missing MIN MAX",
		"Nodegroup:Set web 1":          "nodegroup:set NAME MIN MAX: missing MAX",
		"nodegroup:set web 1 x":        `MAX is "x", want a whole number`,
		"nodegroup:set web 0.5 1":      `MIN is "0.5", want a whole number`,
		"nodegroup:add -own web 0 2":   "NAME is missing, or it comes after the option -own; options come after all arguments",
		"nodegroup:add web 0 -own 2":   "MAX is missing, or it comes after the option -own",
		"nodegroup:delete":             "go tool mage nodegroup:delete gpu",
		"workload:scale":               "missing PODS",
		"workload:scale two":           `PODS is "two"`,
		"scenario:run":                 "missing NAMES",
		"scenario:run -out=results":    "NAMES is missing",
		"scenario:compare 1.35.2":      "scenario:compare A B: missing B",
		"timeline:explain":             "go tool mage timeline:explain pod/",
		"autoscaler:ide -listen=:2345": "EDITOR is missing",
	} {
		err := launch.CheckArguments(strings.Fields(line))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "\nFor example: go tool mage "+strings.ToLower(strings.Fields(line)[0])+" ") {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

func TestOtherArgumentsAreLeftToMage(t *testing.T) {
	t.Parallel()
	lines := []string{
		"", "-l", "env:up", "nosuch:target", "workload:add -pods=3", "workload:scale 0", "workload:scale -1",
		"nodegroup:set web 1 3", "nodegroup:add web 0 2 -own", "scenario:run all -out=results", "scenario:run -1",
	}
	for _, r := range launch.Arguments {
		line, _, _ := strings.Cut(strings.TrimPrefix(r.Example, "go tool mage "), " >")
		lines = append(lines, line)
	}
	for _, line := range lines {
		if err := launch.CheckArguments(strings.Fields(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestVerb(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"env:up": "env:up", "Env:Up": "env:up", "up": "env:up", "Status": "env:status", "bench": "bench:run",
		"test": "", "testUnit": "", "lint": "", "pod/x:y": "", "./a:b.yaml": "", "-h": "", "": "",
	} {
		verb, ok := launch.Verb(word)
		if ok != (want != "") || ok && verb != want {
			t.Errorf("Verb(%q) = %q, %v; want %q", word, verb, ok, want)
		}
	}
}

func TestOneTargetAtATime(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		verb, line string
		takes      bool
		want       string
	}{
		{"env:up", "env:up", false, ""},
		{"env:up", "Env:Up", false, ""},
		{"env:up", "up", false, ""},
		{"bench:run", "bench", true, ""},
		{"bench:run", "bench -pairs=1", true, ""},
		{"workload:add", "workload:add -pods=3", true, ""},
		{"workload:add", "workload:add", true, ""},
		{"scenario:run", "scenario:run up", true, ""},
		{"nodegroup:delete", "nodegroup:delete status", true, ""},
		{"env:up", "env:up env:status", false, "go tool mage env:up && go tool mage env:status"},
		{"env:up", "up status", false, "go tool mage env:up && go tool mage env:status"},
		{"workload:add", "workload:add -pods=3 Env:Down", true, "env:down would not run after it"},
		{"env:up", "env:up -workers=3", false, "env:up has no option -workers=3"},
		{"env:up", "env:up now", false, "a target now would not run"},
		{"bench:run", "bench lint", true, `no use for "lint", and as a target it would not run`},
		{"source:fetch", "source:fetch cluster-api", true, `source:fetch has no use for "cluster-api"`},
		{"workload:add", "workload:add -pods 3", true, `no use for "3"`},
		{"nodegroup:set", "nodegroup:set web 1 3 5", true, `no use for "5"`},
		{"nodegroup:set", "nodegroup:set web -1 3", true, ""},
		{"scenario:compare", "scenario:compare 1.35.2 ../autoscaler -scenarios=scale-up", true, ""},
	} {
		err := launch.CheckAlone(tc.verb, strings.Fields(tc.line), tc.takes)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.line, err, tc.want)
		}
	}
}

func TestWantsHelp(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"": false, "-h": false, "-h env:up": false, "-v env:up -h": false, "env:up": false, "env:up -h": true,
		"nodegroup:add -help": true, "nodegroup:add web 0 1 --help": true, "autoscaler:run -flags=-h": false,
	} {
		if got := launch.WantsHelp(strings.Fields(line)); got != want {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

// TestHelpVerb: -h after a target that does not exist is no reason to compile the lab.
func TestHelpVerb(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{"ENV:UP": "env:up", "bench": "bench:run"} {
		if verb, err := launch.HelpVerb(target); err != nil || verb != want {
			t.Errorf("HelpVerb(%q) = %q, %v", target, verb, err)
		}
	}
	for target, want := range map[string]string{"env:upp": "did you mean env:", "nope:thing": `there is no target "nope:thing"`, "test": "go tool mage -h test"} {
		if verb, err := launch.HelpVerb(target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("HelpVerb(%q) = %q, %v; want %q", target, verb, err, want)
		}
	}
}

func TestOneDash(t *testing.T) {
	t.Parallel()
	given := []string{"nodegroup:add", "gpu", "0", "2", "--labels=a=b", "-own", "--", "--flags=--v=5"}
	want := []string{"nodegroup:add", "gpu", "0", "2", "-labels=a=b", "-own", "--", "-flags=--v=5"}
	if got := launch.OneDash(given); !slices.Equal(got, want) {
		t.Errorf("OneDash(%q) = %q, want %q", given, got, want)
	}
	if err := launch.CheckArguments([]string{"nodegroup:add", "", "1", "2"}); err == nil || !strings.Contains(err.Error(), "NAME is empty") {
		t.Errorf("an empty NAME: %v", err)
	}
}

// FuzzWords: any words are run or refused with something to type.
func FuzzWords(f *testing.F) {
	for _, seed := range []string{"", "-h", "env:upp", "nodegroup:add web 0 x", "timeline:report -since=-5m", "nodegroup:add -own", "scenario:run all -out", "test -x", ":", "a:b:c -h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := launch.OneDash(strings.Fields(line))
		errs := []error{launch.CheckArguments(words), launch.CheckTarget(words)}
		if launch.WantsHelp(words) {
			_, err := launch.HelpVerb(words[0])
			errs = append(errs, err)
		}
		for _, err := range errs {
			if err != nil && !strings.Contains(err.Error(), "go tool mage ") {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}
