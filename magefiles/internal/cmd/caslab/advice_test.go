package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/render"
	"caslab/magefiles/internal/workload"
)

func TestErrorsOfTheDomainAreFollowedByWhatToType(t *testing.T) {
	t.Parallel()
	_, empty := render.Explain(nil, "pod/web")
	_, none := timeline.Read(t.TempDir() + "/none")
	for _, tc := range []struct {
		name    string
		err     error
		command command
		want    string
	}{
		{"workload", &workload.MissingError{Name: "shop"}, command{}, "To create it, type: go tool mage workload:add -name=shop"},
		{"workload of the default name", &workload.MissingError{Name: workload.DefaultName}, command{}, "To create it, type: go tool mage workload:add"},
		{"group that exists", &capi.TakenError{Name: "web"}, command{}, "To change its limits, type: go tool mage nodegroup:set web MIN MAX"},
		{"missing group", &capi.MissingGroupError{Name: "web"}, command{}, "To add it, type: go tool mage nodegroup:add web MIN MAX"},
		{"missing group beside others", &capi.MissingGroupError{Name: "web", There: []string{"gpu"}}, command{}, "To see the node groups, type: go tool mage nodegroup:list"},
		{"flag", &autoscaler.UnknownFlagError{Flag: "x"}, command{}, "To see where flags come from, type: go tool mage autoscaler:flags -h"},
		{"no record", none, command{}, "To record what happens, type: go tool mage timeline:watch"},
		{"no record to explain", empty, command{}, "To record what happens, type: go tool mage timeline:watch"},
		{"scenario", &results.FailedError{Names: []string{"a"}, Again: "./my own.yaml"}, command{verb: "scenario:compare", options: []string{"-out=x"}},
			"To run one again, type: go tool mage scenario:run './my own.yaml'"},
		{"scenario with options", &results.FailedError{Names: []string{"a"}, Again: "a"}, command{verb: "scenario:run", options: []string{"-flags=--v=5 --x", "-out=r"}},
			"To run one again, type: go tool mage scenario:run a '-flags=--v=5 --x' -out=r"},
		{"environment with another name", &capi.TakenError{Name: "web"}, command{clusterName: "mine"}, "To change its limits, type: CLUSTER_NAME=mine go tool mage nodegroup:set web MIN MAX"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			wrapped := errors.Join(fmt.Errorf("do it: %w", tc.err), errors.New("and another"))
			got := advised(wrapped, tc.command)
			if want := wrapped.Error() + "\n" + tc.want; got.Error() != want {
				t.Errorf("the user sees\n%v\nwant\n%s", got, want)
			}
			if !errors.Is(got, tc.err) {
				t.Error("the error is lost")
			}
			_, line, _ := strings.Cut(tc.want, "go tool mage ")
			target, _, _ := strings.Cut(line, " ")
			if _, err := find(target); err != nil {
				t.Errorf("there is no such target: %v", err)
			}
			if strings.Contains(tc.err.Error(), "go tool mage") {
				t.Errorf("the domain speaks of mage: %v", tc.err)
			}
		})
	}
}

func TestErrorsWithoutAdviceStayAsTheyAre(t *testing.T) {
	t.Parallel()
	if got := advised(fs.ErrNotExist, command{}); got != fs.ErrNotExist { //nolint:errorlint // the same, not one that wraps it
		t.Errorf("got %v", got)
	}
	if got := advised(nil, command{}); got != nil {
		t.Errorf("got %v for no error", got)
	}
}

func TestOptionsOfACommand(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                     "[]",
		"all":                  "[]",
		"-out=r all":           "[-out=r]",
		"-own=true -from=x":    "[-own=true -from=x]",
		"-own=true -- web 0 1": "[-own=true]",
	} {
		if got := fmt.Sprint(optionsIn(strings.Fields(args))); got != want {
			t.Errorf("the options of %q are %s, want %s", args, got, want)
		}
	}
}
