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
	"slices"

	"github.com/magefile/mage/mg"

	"caslab/magefiles/internal/check"
	"caslab/magefiles/internal/launch"
)

// Aliases are short names for the targets that are typed most; launch knows
// them too.
var Aliases = map[string]any{
	"up":     Env.Up,
	"down":   Env.Down,
	"status": Env.Status,
	"bench":  Bench.Run,
}

// lab compiles the lab's command, shows the progress, and replaces mage with the
// command. args are options, empty if the user did not give them, and arguments.
// Targets import only small packages, so that mage compiles them in seconds on a
// machine with empty caches.
func lab(ctx context.Context, verb string, args ...string) error {
	if err := launch.CheckAlone(verb, os.Args[1:], len(args) > 0); err != nil {
		return mg.Fatal(2, err)
	}
	args = slices.DeleteFunc(args, func(a string) bool { return a == "" })
	if err := launch.Lab(ctx, verb, args...); err != nil {
		return mg.Fatal(1, err)
	}
	return nil
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

// Lint runs gofmt, go vet, golangci-lint, shellcheck, actionlint and govulncheck,
// at pinned versions where Go can fetch them. Without its database, govulncheck is
// skipped, and lint says so.
func Lint(ctx context.Context) error { return check.Lint(ctx) }
