package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	goversion "go/version"
	"os"
	"strings"

	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/run"
)

// ToolchainError is returned if the Go that a tree needs is not on this machine and
// cannot be fetched.
type ToolchainError struct {
	// Toolchain is the name of the Go, such as go1.13.15.
	Toolchain string
	Err       error
}

func (e *ToolchainError) Error() string {
	return fmt.Sprintf("%s, which compiles this tree, is not on this machine, and the go command cannot fetch it: %v", e.Toolchain, e.Err)
}

// Unwrap returns the cause.
func (e *ToolchainError) Unwrap() error { return e.Err }

// CheckToolchain fetches the Go of that name, such as go1.13.15, unless it is on this
// machine. Its error is a *ToolchainError. Empty means the installed Go.
func CheckToolchain(ctx context.Context, toolchain string, o Options) error {
	if toolchain == "" {
		return nil
	}
	_, err := fetch(ctx, toolchain, o)
	return err
}

// GoRoot returns the folder of the Go of that name, such as go1.13.15. It fetches the Go
// unless it is on this machine, and returns a *ToolchainError if that fails.
func GoRoot(ctx context.Context, toolchain string, o Options) (string, error) {
	settings, err := fetch(ctx, toolchain, o)
	if err != nil {
		return "", err
	}
	res, err := o.Runner.Run(ctx, run.Cmd{Name: "go", Args: []string{"env", "GOROOT"}, Dir: os.TempDir(), Env: settings})
	if err != nil {
		return "", fmt.Errorf("find the folder of %s: %w", toolchain, err)
	}
	return strings.TrimSpace(string(res.Stdout)), nil
}

// fetch fetches a toolchain unless it is on this machine, and returns the environment
// variables that select it.
func fetch(ctx context.Context, toolchain string, o Options) ([]string, error) {
	settings, err := settingsFor(ctx, toolchain, o.Runner)
	if err != nil {
		return nil, err
	}
	_, err = goVersion(ctx, os.TempDir(), settings, toolchain, o)
	return settings, err
}

// beforeGo118 reports whether a toolchain, such as go1.13.15, is older than Go 1.18, which
// brought -buildvcs.
func beforeGo118(toolchain string) bool {
	return toolchain != "" && goversion.Compare(toolchain, "go1.18") < 0
}

// kept are the user's settings that every Go needs: where modules, toolchains and their
// sums come from, and where they are cached.
var kept = []string{
	"GOAUTH", "GOCACHE", "GOINSECURE", "GOMODCACHE", "GONOPROXY", "GONOSUMDB", "GOPATH", "GOPRIVATE", "GOPROXY", "GOSUMDB", "GOVCS",
}

// settingsFor returns the environment variables that select a toolchain. An old
// Go aborts on some settings that a user may have for today's Go, in the
// environment or by `go env -w`. It therefore gets only those that it needs.
func settingsFor(ctx context.Context, toolchain string, runner run.Runner) ([]string, error) {
	if toolchain == "" {
		return nil, nil
	}
	settings := []string{"GOTOOLCHAIN=" + toolchain}
	if !beforeGo118(toolchain) {
		return settings, nil
	}
	res, err := runner.Run(ctx, run.Cmd{Name: "go", Args: append([]string{"env", "-json"}, kept...), Dir: os.TempDir(), Env: []string{"GOTOOLCHAIN=local"}})
	if err != nil {
		return nil, fmt.Errorf("ask for the settings of Go: %w", err)
	}
	values := map[string]string{}
	if err := json.Unmarshal(res.Stdout, &values); err != nil {
		return nil, fmt.Errorf("ask for the settings of Go: %w", err)
	}
	settings = append(settings, "GOENV=off", "GOFLAGS=", "GOEXPERIMENT=", "GO111MODULE=on")
	for _, name := range kept {
		if value := values[name]; value != "" {
			settings = append(settings, name+"="+value)
		}
	}
	return settings, nil
}

// goVersion returns what the go command says about its version in dir. It fetches the
// toolchain if it has to.
func goVersion(ctx context.Context, dir string, env []string, toolchain string, o Options) (string, error) {
	shown := &progress{report: o.Progress}
	res, err := o.Runner.Run(ctx, run.Cmd{Name: "go", Args: []string{"version"}, Dir: dir, Env: env, Stderr: shown})
	switch {
	case err != nil && toolchain != "" && ctx.Err() == nil:
		return "", &ToolchainError{Toolchain: toolchain, Err: refusal(res.Stderr, toolchain, err)}
	case err != nil:
		return "", fmt.Errorf("ask for the Go version: %w", err)
	}
	return string(res.Stdout), nil
}

// refusal returns what the go command says about a toolchain that it cannot fetch, or
// err if it says nothing.
func refusal(stderr []byte, toolchain string, err error) error {
	var said []string
	for line := range bytes.Lines(stderr) {
		text := strings.TrimSpace(strings.TrimPrefix(string(line), "go: download "+toolchain+": "))
		if text != "" && !strings.HasPrefix(text, "go: downloading ") {
			said = append(said, text)
		}
	}
	if len(said) == 0 {
		return err
	}
	return errors.New(redact.Text(strings.Join(said, "; ")))
}
