//go:build mage

// caslab is a lab for developers of the Kubernetes cluster autoscaler: a real,
// self-managed Cluster API cluster on Docker, everything in it built from
// source at pinned versions. `go tool mage -h TARGET` explains a target,
// `go tool mage config:show` lists the settings.
package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/magefile/mage/mg"

	"caslab/magefiles/internal/check"
	"caslab/magefiles/internal/launch"
)

// Aliases are short names for the targets typed most.
var Aliases = map[string]any{
	"up":     Env.Up,
	"down":   Env.Down,
	"status": Env.Status,
}

// lab compiles the lab's command, shows the progress, and becomes the command.
// The targets import nothing heavy, so that mage compiles them in seconds on a
// machine with empty caches.
func lab(ctx context.Context, verb string, args ...string) error {
	if last := lastTarget(os.Args[1:]); last != "" && !strings.EqualFold(last, verb) {
		return mg.Fatalf(2, "%s becomes the lab's command, so %s would not run after it; type one target at a time: go tool mage %s && go tool mage %s", verb, last, verb, last)
	}
	if len(args) == 0 {
		// mage ignores options of a target that declares none.
		for _, a := range os.Args[1:] {
			if strings.HasPrefix(a, "-") {
				return mg.Fatalf(2, "%s has no option %s; settings are variables and caslab.yaml: go tool mage config:show", verb, a)
			}
		}
		if last := os.Args[len(os.Args)-1]; !strings.EqualFold(last, verb) && !strings.EqualFold("env:"+last, verb) {
			return mg.Fatalf(2, "%s takes no argument, and a target %s would not run after it; type one target at a time", verb, last)
		}
	}
	// Options that the user did not give are empty.
	args = slices.DeleteFunc(args, func(a string) bool { return a == "" })
	err := launch.Lab(ctx, verb, args...)
	if err != nil {
		return mg.Fatal(1, err)
	}
	return nil
}

// targetPattern matches the names of targets with a namespace, and no argument
// of a target.
var targetPattern = regexp.MustCompile(`^[A-Za-z]+:[A-Za-z]+$`)

// shortName reports whether the word is a key of Aliases. A target cannot look
// there: Aliases contains the targets.
func shortName(word string) bool { return slices.Contains([]string{"up", "down", "status"}, word) }

// lastTarget returns the last of the words that is a target with a namespace
// or, if the first word is a short name, one with a short name; empty if there
// is none.
func lastTarget(words []string) string {
	for _, w := range slices.Backward(words) {
		switch {
		case targetPattern.MatchString(w):
			return w
		case shortName(w) && shortName(words[0]):
			return "env:" + w
		}
	}
	return ""
}

// option returns -name=value for the lab's command, empty if value is nil.
func option[T any](name string, value *T) string {
	if value == nil {
		return ""
	}
	return fmt.Sprintf("-%s=%v", name, *value)
}

// Test runs the unit and integration tests with the race detector and, where a
// Docker engine answers, the end-to-end test. Without an engine it says so and
// counts the skipped test.
func Test(ctx context.Context) error { return check.Test(ctx) }

// TestUnit runs the unit and integration tests alone. They need no Docker
// engine.
func TestUnit(ctx context.Context) error { return check.Unit(ctx) }

// Lint runs gofmt, go vet, golangci-lint, shellcheck and actionlint, at pinned
// versions where Go can fetch them.
func Lint(ctx context.Context) error { return check.Lint(ctx) }

// Bench brings an environment of its own up and down three times and prints
// what each step took. Everything is built before. Each step has its fastest,
// median and slowest time.
func Bench(ctx context.Context) error { return lab(ctx, "bench") }
