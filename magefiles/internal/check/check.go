// Package check runs the project's own tests and linters, at pinned versions,
// as `mage test` and `mage lint` and the workflows do.
package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"caslab/magefiles/internal/run"
)

// The linters. `go run` fetches and builds them, so that they are not dependencies of
// this module.
const (
	gotestsum    = "gotest.tools/gotestsum@v1.13.0"
	golangciLint = "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.6.2"
	actionlint   = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.9"
	govulncheck  = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
)

// ownComponents are the modules of the lab's own programs.
var ownComponents = []string{"magefiles/components/nodetools", "magefiles/components/balancer", "magefiles/components/hollow", "magefiles/components/predicates"}

// unitTime bounds the tests of one package. The simulation of all scenarios takes minutes with the race
// detector on two cores, beside other packages.
const unitTime = "30m"

// Unit runs the unit and integration tests with the race detector, and prints a
// count that includes the skipped ones, each with its reason. It vets and tests
// ownComponents too.
func Unit(ctx context.Context) error {
	if err := compiler(ctx); err != nil {
		return err
	}
	err := stream(ctx, "go", "run", gotestsum, "--format=pkgname", "--", "-race", "-timeout="+unitTime, "./...")
	for _, module := range ownComponents {
		err = errors.Join(err,
			stream(ctx, "go", "-C", module, "vet", "./..."),
			stream(ctx, "go", "-C", module, "test", "-race", "-timeout="+unitTime, "./..."),
		)
	}
	return err
}

// compiler returns an error unless the C compiler that links the race detector is
// installed.
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

// Test runs Unit, then the end-to-end test. If no Docker engine answers, the end-to-end
// test is skipped and says so, or, with CASLAB_E2E=required, fails.
func Test(ctx context.Context) error {
	if err := Unit(ctx); err != nil {
		return err
	}
	return stream(ctx, "go", "run", gotestsum, "--format=standard-verbose", "--",
		"-tags=e2e", "-count=1", "-timeout=80m", "./magefiles/internal/e2e")
}

// Lint runs every linter, even after a failure, and returns all failures. If govulncheck
// cannot read its database, Lint prints the reason, and that is no failure.
func Lint(ctx context.Context) error {
	scripts, err := tracked(ctx, ".", "*.sh", ".ci/run")
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
	err = execute(ctx, "go", "run", govulncheck, "-tags=mage,e2e", "./...")
	if why := unreadDatabase(err); why != "" {
		fmt.Fprintf(os.Stderr, "\n1 linter skipped: govulncheck: its database cannot be read: %s\n", why)
		err = nil
	}
	return errors.Join(append(errs, printed(err))...)
}

// noDatabase begins govulncheck's message when it cannot read its database.
const noDatabase = "fetching vulnerabilities: "

// unreadDatabase returns why govulncheck, which ended with err, could not read its
// database, or an empty string if it could.
func unreadDatabase(err error) string {
	failed := new(run.Error)
	if !errors.As(err, &failed) {
		return ""
	}
	for line := range strings.Lines(string(failed.Output)) {
		if _, why, found := strings.Cut(strings.TrimSpace(line), noDatabase); found {
			return why
		}
	}
	return ""
}

// gofmt returns an error that names the Go files that gofmt would change.
func gofmt(ctx context.Context) error {
	files, err := tracked(ctx, ".", "*.go")
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

// tracked returns the files below dir, relative to it, that match a pattern and that git
// tracks or would add. A deleted file that is still in the index is left out.
func tracked(ctx context.Context, dir string, patterns ...string) ([]string, error) {
	args := append([]string{"ls-files", "-z", "--deduplicate", "--cached", "--others", "--exclude-standard", "--"}, patterns...)
	res, err := run.Exec{}.Run(ctx, run.Cmd{Name: "git", Args: args, Dir: dir})
	if err != nil {
		return nil, err
	}
	var files []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(res.Stdout), "\x00"), "\x00") {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			files = append(files, name)
		}
	}
	return files, nil
}

// stream runs a command and prints its output as it comes.
func stream(ctx context.Context, name string, args ...string) error {
	return printed(execute(ctx, name, args...))
}

// execute does what stream does. Its error also has the end of the output.
func execute(ctx context.Context, name string, args ...string) error {
	fmt.Fprintln(os.Stderr, "+", name, strings.Join(args, " "))
	_, err := run.Exec{}.Run(ctx, run.Cmd{Name: name, Args: args, Stdout: os.Stdout, Stderr: os.Stderr})
	return err
}

// printed returns err without the command's output, which has already been printed.
func printed(err error) error {
	var failed *run.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("%s: %w", failed.Cmd, failed.Err)
	}
	return err
}
