package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
)

const kubernetes = "k8s.io/kubernetes"

// KubernetesError is returned when the source of a release of Kubernetes cannot
// be downloaded, perhaps because there is no such release, or because the module proxy
// lacks one of its modules.
type KubernetesError struct {
	Version string
	Err     error
}

func (e *KubernetesError) Error() string {
	return fmt.Sprintf("download Kubernetes %s: %v", e.Version, e.Err)
}

func (e *KubernetesError) Unwrap() error { return e.Err }

// pinnedKubernetes returns the version of Kubernetes that the module in dir
// requires, or "" if there is no such module.
func pinnedKubernetes(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the pins of Kubernetes: %w", err)
	}
	mod, err := modfile.Parse("go.mod", data, nil)
	if err != nil {
		return "", fmt.Errorf("read the pins of Kubernetes: %w", err)
	}
	for _, r := range mod.Require {
		if r.Mod.Path == kubernetes {
			return r.Mod.Version, nil
		}
	}
	return "", nil
}

// kubernetesModule returns the folder of a module that builds the wanted version
// of Kubernetes: the pinned module, or a generated one for any other version.
func kubernetesModule(ctx context.Context, o Options, r recipe, pinned string) (string, error) {
	have, err := pinnedKubernetes(pinned)
	if err != nil {
		return "", err
	}
	if have == o.Kubernetes {
		return pinned, nil
	}
	upstream, err := download(ctx, o, kubernetes+"@"+o.Kubernetes)
	if err != nil {
		return "", &KubernetesError{Version: o.Kubernetes, Err: err}
	}
	theirs, err := os.ReadFile(filepath.Join(upstream, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("read the modules of Kubernetes %s: %w", o.Kubernetes, err)
	}
	files := map[string][]byte{}
	if files["go.mod"], err = overlay(theirs, o.Kubernetes, r.facts); err != nil {
		return "", err
	}
	if vendored(r.facts) {
		files["tools.go"] = []byte(toolsFile())
	}
	dir := filepath.Join(o.StateDir, "node", "kubernetes-"+o.Kubernetes)
	// This file is written last. It has the inputs of the folder.
	stamp, want := filepath.Join(dir, "made-from"), append([]byte(oldRevision+" "+r.facts.Toolchain+"\n"), files["go.mod"]...)
	if have, err := os.ReadFile(stamp); err == nil && bytes.Equal(have, want) {
		return dir, nil
	}
	if err := prepare(ctx, o, r, dir, files); err != nil {
		return "", err
	}
	if err := state.WriteFile(stamp, want, 0o600); err != nil {
		return "", fmt.Errorf("write the pins of Kubernetes %s: %w", o.Kubernetes, err)
	}
	return dir, nil
}

// prepare replaces dir by a module that builds Kubernetes. If it is vendored, the
// dependencies and the code that its module lacks are in a
// folder vendor.
func prepare(ctx context.Context, o Options, r recipe, dir string, files map[string][]byte) error {
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return fmt.Errorf("write the pins of Kubernetes %s: %w", o.Kubernetes, err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return fmt.Errorf("write the pins of Kubernetes %s: %w", o.Kubernetes, err)
		}
	}
	o.progress("resolving the modules of Kubernetes %s", o.Kubernetes)
	steps, env := []string{"tidy"}, []string{"GOFLAGS=", "GOWORK=off"}
	if vendored(r.facts) {
		// Today's Go resolves these modules: the Go that compiles them ignores the go lines.
		steps = append(steps, "vendor")
	} else if r.facts.Toolchain != "" {
		// A module that wants a newer Go is refused here, and not after minutes of compiling.
		env = append(env, "GOTOOLCHAIN="+r.facts.Toolchain)
	}
	for _, step := range steps {
		_, err := o.Runner.Run(ctx, run.Cmd{Name: "go", Args: []string{"mod", step}, Dir: dir, Env: env})
		if err != nil {
			return &KubernetesError{Version: o.Kubernetes, Err: fmt.Errorf("resolve its modules: %w", err)}
		}
	}
	if r.facts.OpenAPI {
		return nil
	}
	o.progress("generating code that the module of Kubernetes %s lacks", o.Kubernetes)
	if err := generateOpenAPI(ctx, o, r.facts.Toolchain, dir); err != nil {
		return fmt.Errorf("generate the OpenAPI definitions of Kubernetes %s: %w", o.Kubernetes, err)
	}
	return nil
}

// vendored reports whether Kubernetes is compiled from a folder vendor, into which the
// code that its module lacks is generated. The Go of that time does not know tool lines
// in go.mod.
func vendored(k release.Kubernetes) bool { return !k.OpenAPI }

// toolsFile returns a Go file that imports the commands of Kubernetes and the generator
// of its OpenAPI definitions, so that their modules are required. It is never compiled.
func toolsFile() string {
	var text strings.Builder
	text.WriteString("//go:build tools\n// +build tools\n\npackage tools\n\nimport (\n")
	for _, t := range append(prefixed(kubernetes+"/cmd/", kubernetesTools...), openAPIGenerator) {
		fmt.Fprintf(&text, "\t_ %q\n", t)
	}
	text.WriteString(")\n")
	return text.String()
}

// overlay returns a go.mod that builds the commands of Kubernetes from published
// modules. upstream is the go.mod of k8s.io/kubernetes at version: it replaces the
// staging modules with folders, and they are published as v0.MINOR.PATCH.
func overlay(upstream []byte, version string, facts release.Kubernetes) ([]byte, error) {
	theirs, err := modfile.Parse("go.mod", upstream, nil)
	if err != nil {
		return nil, fmt.Errorf("read the modules of Kubernetes %s: %w", version, err)
	}
	if theirs.Go == nil || semver.Canonical(version) != version || semver.Major(version) != "v1" {
		return nil, fmt.Errorf("read the modules of Kubernetes %s: no Go version in them, or no version of theirs", version)
	}
	staging := "v0" + strings.TrimPrefix(version, "v1")
	mod := new(modfile.File)
	if err := mod.AddModuleStmt("caslab/components/kubernetes"); err != nil {
		return nil, err
	}
	if err := mod.AddGoStmt(theirs.Go.Version); err != nil {
		return nil, err
	}
	if !vendored(facts) {
		for _, t := range kubernetesTools {
			if err := mod.AddTool(kubernetes + "/cmd/" + t); err != nil {
				return nil, err
			}
		}
	}
	if err := mod.AddRequire(kubernetes, version); err != nil {
		return nil, err
	}
	for _, r := range theirs.Replace {
		switch {
		case strings.HasPrefix(r.New.Path, "./staging/"):
			err = mod.AddReplace(r.Old.Path, "", r.Old.Path, staging)
		case r.New.Path == r.Old.Path && !vendored(facts):
			// Up to 1.24, upstream pins each dependency by a replacement. Without them, the tests
			// of dependencies get the latest modules, which want a newer Go than facts.Toolchain.
			err = mod.AddReplace(r.Old.Path, "", r.New.Path, r.New.Version)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, old := range slices.Sorted(maps.Keys(facts.Moved)) {
		if err := mod.AddReplace(old, "", facts.Moved[old].Path, facts.Moved[old].Version); err != nil {
			return nil, err
		}
	}
	mod.Cleanup()
	return mod.Format()
}
