// Package check runs the project's own tests and linters, at pinned versions,
// as `mage test` and `mage lint` and the workflows do.
package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"caslab/magefiles/internal/run"
)

// The tools, fetched and built by `go run` so that they cost this module no
// dependency.
const (
	gotestsum    = "gotest.tools/gotestsum@v1.13.0"
	golangciLint = "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.6.2"
	actionlint   = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.9"
)

// nodetools is a module of its own, whose programs go into nodes.
const nodetools = "magefiles/components/nodetools"

// Unit runs the unit and integration tests with the race detector on, and
// prints a count that includes the skipped ones, each with its reason. The
// programs of nodes are vetted and tested too.
func Unit(ctx context.Context) error {
	if err := compiler(ctx); err != nil {
		return err
	}
	return errors.Join(
		stream(ctx, "go", "run", gotestsum, "--format=pkgname", "--", "-race", "./..."),
		stream(ctx, "go", "-C", nodetools, "vet", "./..."),
		stream(ctx, "go", "-C", nodetools, "test", "-race", "./..."),
	)
}

// compiler looks for the C compiler that the race detector is linked with.
func compiler(ctx context.Context) error {
	res, err := run.Exec{}.Run(ctx, run.Cmd{Name: "go", Args: []string{"env", "CC"}})
	if err != nil {
		return err
	}
	cc := strings.Fields(string(res.Stdout))
	if len(cc) == 0 || !installed(ctx, cc[0]) {
		return fmt.Errorf("the race detector needs a C compiler, and %q is not installed; on Debian: apt-get install gcc libc6-dev, on a Mac: xcode-select --install", strings.Join(cc, " "))
	}
	return nil
}

func installed(ctx context.Context, program string) bool {
	_, err := run.Exec{}.Run(ctx, run.Cmd{Name: program, Args: []string{"--version"}})
	return err == nil
}

// Test is Unit, then the end-to-end test, which skips and says so where no
// Docker engine answers, unless CASLAB_E2E=required.
func Test(ctx context.Context) error {
	if err := Unit(ctx); err != nil {
		return err
	}
	return stream(ctx, "go", "run", gotestsum, "--format=standard-verbose", "--",
		"-tags=e2e", "-count=1", "-timeout=80m", "./magefiles/internal/e2e")
}

// Lint runs every linter, and returns all that failed.
func Lint(ctx context.Context) error {
	scripts, err := tracked(ctx, "*.sh", ".ci/run")
	if err != nil {
		return err
	}
	errs := []error{
		gofmt(ctx),
		stream(ctx, "go", "vet", "./..."),
		stream(ctx, "go", "vet", "-tags=mage,e2e", "./..."),
		stream(ctx, "go", "run", golangciLint, "run", "./..."),
		stream(ctx, "go", "run", actionlint),
	}
	if !installed(ctx, "shellcheck") {
		errs = append(errs, errors.New("shellcheck is not installed; on Debian: apt-get install shellcheck"))
	} else {
		errs = append(errs, stream(ctx, "shellcheck", scripts...))
	}
	return errors.Join(errs...)
}

func gofmt(ctx context.Context) error {
	files, err := tracked(ctx, "*.go")
	if err != nil {
		return err
	}
	res, err := run.Exec{}.Run(ctx, run.Cmd{Name: "gofmt", Args: append([]string{"-l"}, files...)})
	if err != nil {
		return err
	}
	if odd := strings.TrimSpace(string(res.Stdout)); odd != "" {
		return fmt.Errorf("not formatted, run gofmt -w on:\n%s", odd)
	}
	return nil
}

// tracked lists the files git knows, or would if they were added, that match.
func tracked(ctx context.Context, patterns ...string) ([]string, error) {
	args := append([]string{"ls-files", "--cached", "--others", "--exclude-standard", "--"}, patterns...)
	res, err := run.Exec{}.Run(ctx, run.Cmd{Name: "git", Args: args})
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(res.Stdout)), nil
}

// stream runs a command with its output passed on as it comes.
func stream(ctx context.Context, name string, args ...string) error {
	fmt.Fprintln(os.Stderr, "+", name, strings.Join(args, " "))
	_, err := run.Exec{}.Run(ctx, run.Cmd{Name: name, Args: args, Stdout: os.Stdout, Stderr: os.Stderr})
	var failed *run.Error
	if errors.As(err, &failed) {
		// Its output was just printed.
		return fmt.Errorf("%s: %w", failed.Cmd, failed.Err)
	}
	return err
}
