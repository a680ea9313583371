package check_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// workflow has the parts of a workflow that the tests need.
type workflow struct {
	// The key "on" is a boolean in YAML 1.1, which the library implements.
	On struct {
		WorkflowCall     struct{ Inputs map[string]any } `json:"workflow_call"`
		WorkflowDispatch struct{ Inputs map[string]any } `json:"workflow_dispatch"`
	} `json:"true"`
	Permissions map[string]string
	Jobs        map[string]struct {
		TimeoutMinutes int `json:"timeout-minutes"`
		Uses           string
		Steps          []step
	}
}

func readWorkflow(t *testing.T, path string) workflow {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(data, &w); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return w
}

func workflowFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, ".github/workflows/*.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("found the workflows %v, %v", files, err)
	}
	return files
}

func TestActionsArePinnedByCommit(t *testing.T) {
	t.Parallel()
	uses := regexp.MustCompile(`(?m)^\s*(?:- )?uses: (.*)$`)
	pinned := regexp.MustCompile(`^(\./\S+|[\w-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$`)
	commits := map[string]string{}
	for _, file := range append(workflowFiles(t), filepath.Join(repository, lab, "action.yml")) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range uses.FindAllStringSubmatch(string(data), -1) {
			if !pinned.MatchString(m[1]) {
				t.Errorf("%s uses %s: want a commit, and its version in a comment", file, m[1])
				continue
			}
			name, commit, _ := strings.Cut(m[1], "@")
			if before, ok := commits[name]; ok && before != commit {
				t.Errorf("%s uses %s at %s, and elsewhere it is %s", file, name, commit, before)
			}
			commits[name] = commit
		}
	}
}

// TestWorkflowsAllowALaterGo: setup-go installs the Go of go.mod and sets
// GOTOOLCHAIN to local, but a nested module may need a later Go.
func TestWorkflowsAllowALaterGo(t *testing.T) {
	t.Parallel()
	steps := slices.Clone(readAction(t).Runs.Steps)
	for _, file := range workflowFiles(t) {
		for _, job := range readWorkflow(t, file).Jobs {
			steps = append(steps, job.Steps...)
		}
	}
	found := 0
	for _, s := range steps {
		if !strings.Contains(s.Run, "go tool mage ") {
			continue
		}
		found++
		if s.Env["GOTOOLCHAIN"] != "auto" {
			t.Errorf("no later Go is allowed to: %s", s.Run)
		}
	}
	if found == 0 {
		t.Fatal("no step runs the lab")
	}
}

func TestWorkflowsHaveTheLeastRights(t *testing.T) {
	t.Parallel()
	steps := slices.Clone(readAction(t).Runs.Steps)
	for _, file := range workflowFiles(t) {
		w := readWorkflow(t, file)
		if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
			t.Errorf("%s has the rights %v", file, w.Permissions)
		}
		for name, job := range w.Jobs {
			if job.TimeoutMinutes == 0 && job.Uses == "" {
				t.Errorf("%s: the job %s has no timeout", file, name)
			}
			steps = append(steps, job.Steps...)
		}
	}
	for _, s := range steps {
		if strings.Contains(s.Run, "${{") {
			t.Errorf("an expression becomes a part of a command: %s", s.Run)
		}
		if strings.HasPrefix(s.Uses, "actions/checkout@") && fmt.Sprint(s.With["persist-credentials"]) != "false" {
			t.Errorf("the step %q leaves the token in the checkout", s.Name)
		}
	}
}

func TestScenariosWorkflowPassesEveryInputOn(t *testing.T) {
	t.Parallel()
	w := readWorkflow(t, filepath.Join(repository, ".github/workflows/scenarios.yml"))
	var with map[string]any
	for _, s := range w.Jobs["scenarios"].Steps {
		if strings.HasSuffix(s.Uses, "/"+lab) {
			with = s.With
		}
	}
	// The inputs are compared with the action's here, because actionlint cannot
	// see an action that a step checks out first.
	got, want := slices.Sorted(maps.Keys(with)), slices.Sorted(maps.Keys(readAction(t).Inputs))
	if !slices.Equal(got, want) {
		t.Errorf("the workflow gives the action\n%v\nwhich has\n%v", got, want)
	}
	if len(w.On.WorkflowCall.Inputs) == 0 || len(w.On.WorkflowDispatch.Inputs) == 0 {
		t.Fatal("the workflow has no inputs")
	}
	text := fmt.Sprint(with)
	for name := range w.On.WorkflowCall.Inputs {
		if !strings.Contains(text, "inputs."+name+" ") {
			t.Errorf("the workflow's input %s reaches nothing", name)
		}
	}
	for name := range w.On.WorkflowDispatch.Inputs {
		if _, ok := w.On.WorkflowCall.Inputs[name]; !ok {
			t.Errorf("a run by hand has the input %s, and a call has not", name)
		}
	}
}
