package launch_test

import (
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
