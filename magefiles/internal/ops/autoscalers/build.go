package autoscalers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
)

// workAutoscaler is the lock for compiling the autoscaler and Delve.
const workAutoscaler = "build.autoscaler"

// Compiled is an autoscaler ready to run on this machine.
type Compiled struct {
	Tree   *source.Tree
	Binary string
	// State describes the release and the source that it was compiled from.
	State string
}

// Build compiles the autoscaler and prints the program's path and its source.
func (a *Autoscalers) Build(ctx context.Context, debug bool) error {
	built, err := a.Compile(ctx, debug)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "%s\t%s\n", built.Binary, built.State)
	return nil
}

// Compile fetches the autoscaler and compiles it for this machine.
func (a *Autoscalers) Compile(ctx context.Context, debug bool) (built Compiled, err error) {
	if err := a.checkRelease(); err != nil {
		return built, err
	}
	for _, doubt := range component.AutoscalerDoubts(a.Config) {
		a.Log.Printf("! %s", doubt)
	}
	if err := a.checkToolchain(ctx); err != nil {
		return built, err
	}
	step := a.Log.Start("fetch the autoscaler", 10*time.Second)
	built.Tree, err = component.Fetch(ctx, a.Lab, component.Autoscaler(a.Config), step.Progress)
	if err != nil {
		step.Done("", err)
		return built, err
	}
	if built.State, err = a.autoscalerState(ctx, built.Tree); err != nil {
		step.Done("", err)
		return built, err
	}
	step.Done(built.State, nil)
	program := a.autoscalerProgram(built.Tree, debug)
	built.Binary = program.Output()
	own, err := a.compileProgram(ctx, "compile the autoscaler", program)
	if !own {
		built.State += ", with the core's own entry program"
	}
	return built, err
}

// checkRelease refuses a checkout whose autoscaler has no provider for Cluster API.
func (a *Autoscalers) checkRelease() error {
	if err := CheckRelease(component.AutoscalerRelease(a.Config)); err != nil {
		return fmt.Errorf("AUTOSCALER_DIR=%s: %w", a.Config.Autoscaler.Dir, err)
	}
	return nil
}

// CheckRelease refuses releases without a provider for Cluster API.
func CheckRelease(v *version.Version) error {
	if !release.OfAutoscaler(v).Supported {
		return fmt.Errorf("autoscaler %s has no provider for Cluster API; want %s or later", v,
			release.FirstAutoscaler(func(r release.Autoscaler) bool { return r.Supported }))
	}
	return nil
}

// checkToolchain fetches the Go that must compile the release, unless it is the
// installed one. It runs before anything else is fetched.
func (a *Autoscalers) checkToolchain(ctx context.Context) error {
	toolchain := release.OfAutoscaler(component.AutoscalerRelease(a.Config)).Toolchain
	if toolchain == "" {
		return nil
	}
	step := a.Log.Start("find "+toolchain+", which compiles the autoscaler", 10*time.Second)
	err := build.CheckToolchain(ctx, toolchain, build.Options{Runner: a.Runner, Progress: step.Progress})
	step.Done("", err)
	if errors.As(err, new(*build.ToolchainError)) {
		return fmt.Errorf("%w\ncheck GOPROXY and GOSUMDB, put a program %s into PATH, or set AUTOSCALER_VERSION=%s or later, which the installed Go compiles", err, toolchain,
			release.FirstAutoscaler(func(r release.Autoscaler) bool { return r.Toolchain == "" }))
	}
	return err
}

// compileProgram compiles the program. own is false if the core's entry program was
// compiled instead of the tree's.
func (a *Autoscalers) compileProgram(ctx context.Context, say string, program build.Autoscaler) (own bool, err error) {
	step := a.Log.Start(say, 2*time.Minute)
	var instead string
	err = a.State.Exclusively(ctx, workAutoscaler, step.Progress, func() (err error) {
		_, instead, err = build.BuildAutoscaler(ctx, program, build.Options{Runner: a.Runner, Progress: step.Progress, Warn: a.Log.Printf})
		return err
	})
	step.Done("", err)
	if instead != "" {
		a.Log.Printf("%s", instead)
	}
	return instead == "", err
}

// autoscalerProgram is the build of a tree. Each tree has a folder of its own:
// two environments may run two.
func (a *Autoscalers) autoscalerProgram(tree *source.Tree, debug bool) build.Autoscaler {
	name, called := a.Config.Autoscaler.Version.String(), a.Config.Autoscaler.Version.String()
	switch {
	case tree.Origin == source.Dir:
		name, called = "checkout", strings.TrimSuffix(component.AutoscalerRelease(a.Config).String(), "-dev")+"-dev"
	case a.Config.Autoscaler.Commit != "":
		name, called = a.Config.Autoscaler.Commit[:12], a.Config.Autoscaler.Commit
	}
	from := strings.Join([]string{redact.URL(a.Config.Autoscaler.Git), a.Config.Autoscaler.Dir, a.Config.AutoscalerCoreDir}, "\n")
	name += "-" + tree.Origin + "-" + a.Config.AutoscalerProviders + "-" + state.ShortSum(from)
	if debug {
		name += "-debug"
	}
	return build.Autoscaler{
		Dir: tree.Dir, CoreDir: a.Config.AutoscalerCoreDir, Version: called, ID: tree.ID,
		Arch: runtime.GOARCH, Host: runtime.GOOS != "linux",
		AllProviders: a.Config.AutoscalerProviders == config.ProvidersAll, Debug: debug,
		Toolchain: release.OfAutoscaler(component.AutoscalerRelease(a.Config)).Toolchain,
		OutDir:    a.State.Path("bin", "autoscaler", name),
	}
}

// autoscalerState describes the release and the source of a tree, and of its core if
// that is another tree.
func (a *Autoscalers) autoscalerState(ctx context.Context, tree *source.Tree) (string, error) {
	text := release.Name(component.AutoscalerRelease(a.Config))
	if tree.Origin == source.Dir && build.AutoscalerVersion(tree.Dir) == nil {
		text = "a checkout that does not name its release, treated as " + text + ","
	}
	text += " from " + stateOf(tree)
	if a.Config.AutoscalerCoreDir == "" {
		return text, nil
	}
	core, err := source.State(ctx, a.Config.AutoscalerCoreDir, a.Runner)
	if err != nil {
		return "", err
	}
	return text + "; core from " + stateOf(core), nil
}

func stateOf(tree *source.Tree) string {
	text := tree.Origin
	if tree.Origin == source.Dir {
		text = tree.Dir
	}
	if tree.Commit != "" {
		text += ", commit " + tree.Commit[:12]
	}
	if tree.Dirty {
		text += ", with uncommitted changes"
	}
	return text
}

// debugger compiles Delve at the version that its module pins.
func (a *Autoscalers) debugger(ctx context.Context) (string, error) {
	dir := filepath.Join(a.Config.Root, "magefiles", "tools", "delve")
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return "", fmt.Errorf("read the pins of Delve: %w", err)
	}
	step := a.Log.Start("compile Delve", 20*time.Second)
	request := build.Request{
		Dir: dir, Packages: []string{"github.com/go-delve/delve/cmd/dlv"}, Output: a.State.Path("bin", "dlv"), Host: true, ID: string(sum),
	}
	err = a.State.Exclusively(ctx, workAutoscaler, step.Progress, func() error {
		_, err := build.Build(ctx, request, build.Options{Runner: a.Runner, Progress: step.Progress, Warn: a.Log.Printf})
		return err
	})
	step.Done("", err)
	return request.Output, err
}
