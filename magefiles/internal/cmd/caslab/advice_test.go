package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/explain"
	"caslab/magefiles/internal/workload"
)

// variable matches the environment variables of the settings.
var variable = regexp.MustCompile(`[A-Z]+(_[A-Z]+)+`)

func TestDomainErrorsGetAdvice(t *testing.T) {
	t.Parallel()
	settings, err := config.Load(t.TempDir(), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	mine, err := config.Load(t.TempDir(), func(name string) (string, bool) {
		return map[string]string{"CLUSTER_NAME": "mine"}[name], name == "CLUSTER_NAME"
	})
	if err != nil {
		t.Fatal(err)
	}
	_, empty := explain.Text(t.Context(), nil, "pod/web", explain.Options{})
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
		{"older kinds", &capi.PrunedError{Name: "web"}, command{}, "To start the controller of hollow machines again, which updates that definition, type: go tool mage hollow:run"},
		{"flag", &autoscaler.UnknownFlagError{Flag: "x"}, command{}, "To see where flags come from, type: go tool mage autoscaler:flags -h"},
		{"core of a tree that has its own", &build.CoreError{Dir: "/x", Err: fmt.Errorf("m %w", build.ErrOwnCore)}, command{}, "Unset AUTOSCALER_CORE_DIR, or set AUTOSCALER_DIR to a later tree."},
		{"core that is none", &build.CoreError{Dir: "/x", Err: errors.New("want the root")}, command{}, "Set AUTOSCALER_CORE_DIR to such a checkout, or unset it."},
		{"node image", &node.CannotBuildError{Reason: "takes root"}, command{}, "Or set NODE_IMAGE=registry, with REGISTRY_MIRROR if Docker Hub does not answer."},
		{"release of Kubernetes", &node.KubernetesError{Version: "v1.99.0", Err: errors.New("404")}, command{}, "If there is no such release, or the module proxy lacks a part of it, set KUBERNETES_VERSION to another one, such as v1.37.2."},
		{"missing node image", &node.MissingImageError{Ref: "x:y"}, command{next: mine.Command}, "To build it, type: CLUSTER_NAME=mine go tool mage image:node"},
		{"no record", none, command{}, "To record what happens, type: go tool mage timeline:watch"},
		{"no record to explain", empty, command{}, "To record what happens, type: go tool mage timeline:watch"},
		{"scenario", &results.FailedError{Names: []string{"a"}, Again: "./my own.yaml"}, command{verb: "scenario:compare", options: []string{"-out=x"}},
			"To run one again, type: go tool mage scenario:run './my own.yaml'"},
		{"scenario with options", &results.FailedError{Names: []string{"a"}, Again: "a"}, command{verb: "scenario:run", options: []string{"-flags=--v=5 --x", "-out=r"}},
			"To run one again, type: go tool mage scenario:run a '-flags=--v=5 --x' -out=r"},
		{"environment with another name", &capi.TakenError{Name: "web"}, command{next: mine.Command}, "To change its limits, type: CLUSTER_NAME=mine go tool mage nodegroup:set web MIN MAX"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.command.next == nil {
				tc.command.next = settings.Command
			}
			wrapped := errors.Join(fmt.Errorf("do it: %w", tc.err), errors.New("and another"))
			got := addAdvice(wrapped, tc.command)
			if want := wrapped.Error() + "\n" + tc.want; got.Error() != want {
				t.Errorf("the user sees\n%v\nwant\n%s", got, want)
			}
			if !errors.Is(got, tc.err) {
				t.Error("the error is lost")
			}
			if _, line, found := strings.Cut(tc.want, "go tool mage "); found {
				target, _, _ := strings.Cut(line, " ")
				if _, err := findVerb(target); err != nil {
					t.Errorf("there is no such target: %v", err)
				}
				return
			}
			named := variable.FindAllString(tc.want, -1)
			for _, name := range named {
				if !slices.ContainsFunc(settings.Values(), func(v config.Value) bool { return v.Env == name }) {
					t.Errorf("there is no variable %s", name)
				}
			}
			if len(named) == 0 {
				t.Error("the advice names neither a target nor a variable")
			}
		})
	}
}

// The domain packages must not name mage targets or environment variables, because they
// can be used without both.
func TestTheDomainNamesNoCommandsAndNoVariables(t *testing.T) {
	t.Parallel()
	settings, err := config.Load(t.TempDir(), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	said := []string{"go tool mage", "`mage "}
	for _, v := range settings.Values() {
		// The autoscaler itself reads CAPI_VERSION.
		if v.Env != "CAPI_VERSION" {
			said = append(said, v.Env)
		}
	}
	for _, v := range verbs {
		said = append(said, v.name)
	}
	said = slices.DeleteFunc(said, func(s string) bool { return s == "WORKERS" })
	for _, domain := range []string{
		"autoscaler", "build", "capi", "engine", "image", "interrupt", "kube", "node", "repository", "run", "scenario", "source",
		"state", "steps", "timeline", "ui", "workload",
	} {
		err := filepath.WalkDir(filepath.Join("..", "..", domain), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			tree, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				literal, ok := n.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					return true
				}
				for _, s := range said {
					if strings.Contains(literal.Value, s) && literal.Value != strconv.Quote(timeline.BringUp) { // what a record has, not advice
						t.Errorf("%s speaks of %s: %s", files.Position(literal.Pos()), s, literal.Value)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestOtherErrorsAreUnchanged(t *testing.T) {
	t.Parallel()
	if got := addAdvice(fs.ErrNotExist, command{}); got != fs.ErrNotExist { //nolint:errorlint // the same, not one that wraps it
		t.Errorf("got %v", got)
	}
	if got := addAdvice(nil, command{}); got != nil {
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
