package launch_test

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/launch"
)

func TestOptionsThatATargetLacksAreRefusedWithThoseThatItHas(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"workload:scale 1 -nam=x":        "workload:scale: there is no option -nam; want one of -name=NAME\nFor its arguments and options, type: go tool mage -h workload:scale",
		"workload:add -pods=x":           "workload:add: -pods=x: want a whole number",
		"workload:add -pods 3":           "-pods has no value; want -pods=N, without a space",
		"nodegroup:add web 0 2 -own=may": "-own=may: want true or false",
		"timeline:report -since=x":       "-since=x: want a duration, such as 15m",
		"Autoscaler:Run -fast":           "autoscaler:run: there is no option -fast; want one of -all, -flags=FLAGS\n",
		"nodegroup:delete web -own":      "nodegroup:delete: there is no option -own; the target has none",
		"env:upp":                        `there is no target "env:upp"; did you mean env:doctor, env:down, env:kubeconfig, env:start, env:status, env:stop, env:up?` + "\nTo see all, type: go tool mage -l",
		"node:list":                      "did you mean faults:list, nodegroup:add, nodegroup:delete, nodegroup:list, nodegroup:set, scenario:list?",
		"doctor":                         "did you mean env:doctor?",
		"nosuch":                         `there is no target "nosuch"; to see all, type: go tool mage -l`,
		"-h nosuch":                      `there is no target "nosuch"`,
	} {
		if err := launch.CheckTarget(strings.Fields(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}

func TestOptionsThatATargetHasAreAccepted(t *testing.T) {
	t.Parallel()
	lines := []string{
		"", "-l", "-h", "-h env:up", "-h Env:Up", "-h testUnit", "-h up", "-v env:up", "up", "Status", "test", "testUnit lint", "bench",
		"workload:add -pods=3 -name=x", "workload:scale -1", "scenario:run -1 -out=r", "nodegroup:add web 0 2 -own -labels=a=b", "autoscaler:debug -wait=true",
		"timeline:report -since=15m", "source:fetch cluster-api", "env:up -workers=3", "env:up env:status",
	}
	for _, r := range launch.Arguments {
		line, _, _ := strings.Cut(strings.TrimPrefix(r.Example, "go tool mage "), " >")
		lines = append(lines, line)
	}
	for _, line := range lines {
		if err := launch.CheckTarget(strings.Fields(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
