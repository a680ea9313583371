package build

import (
	"errors"
	"fmt"
	goversion "go/version"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	version "github.com/hashicorp/go-version"
	"golang.org/x/mod/modfile"

	"caslab/magefiles/internal/capi/release"
)

// The autoscaler's module, and the module of its core, which has a repository of
// its own since 2026-07-31.
const (
	AutoscalerModule = "k8s.io/autoscaler/cluster-autoscaler"
	CoreModule       = "sigs.k8s.io/cluster-autoscaler"
)

// Autoscaler is a tree of the cluster autoscaler that is to be built.
type Autoscaler struct {
	// Dir is the root of the tree of kubernetes/autoscaler.
	Dir string
	// CoreDir, if not empty, is a checkout of kubernetes-sigs/cluster-autoscaler,
	// which is built instead of the version that Dir pins.
	CoreDir string
	// Version is the version that the program states.
	Version string
	// ID identifies the tree's content, as Request.ID.
	ID string
	// Arch is the containers' architecture; Host builds for this machine.
	Arch string
	Host bool
	// AllProviders builds in every cloud provider. Without it the program has only
	// Cluster API's, and is linked in a fraction of the time.
	AllProviders bool
	// Debug builds for a debugger, without optimisation.
	Debug bool
	// Toolchain is the Go that compiles the program, as in Request.Toolchain.
	Toolchain string
	// OutDir is the folder of the binary.
	OutDir string
}

// Output is the path of the binary.
func (a Autoscaler) Output() string { return filepath.Join(a.OutDir, "cluster-autoscaler") }

// versionLiteral matches the line in which a tree names its release: at every tag from
// 1.18.0 to 1.36.1 except 1.36.0, which says "dev", as master does.
var versionLiteral = regexp.MustCompile(`ClusterAutoscalerVersion\s*=\s*"([0-9][^"]*)"`)

// AutoscalerVersion returns the version of a tree of kubernetes/autoscaler from its
// version file, or nil if it is unknown. If the file says "dev", or is out of date, as on
// master, it is the version after the Kubernetes that the tree requires, because the
// autoscaler's minor is that of Kubernetes.
func AutoscalerVersion(dir string) *version.Version {
	module := filepath.Join(dir, "cluster-autoscaler")
	var stated *version.Version
	if data, err := os.ReadFile(filepath.Join(module, "version", "version.go")); err == nil {
		if m := versionLiteral.FindSubmatch(data); m != nil {
			stated, _ = version.NewSemver(string(m[1])) // nil if it is none
		}
	}
	required := kubernetesOf(module)
	if required == nil {
		return stated
	}
	_, minor := release.MajorMinor(required)
	if stated != nil {
		if _, of := release.MajorMinor(stated); of >= minor {
			return stated
		}
	}
	if required.Prerelease() != "" {
		minor--
	}
	return release.After(minor)
}

// kubernetesOf returns the version of Kubernetes that a module requires; nil if it
// requires none.
func kubernetesOf(module string) *version.Version {
	mod, err := readMod(module)
	if err != nil {
		return nil
	}
	for _, r := range mod.Require {
		if r.Mod.Path != "k8s.io/kubernetes" {
			continue
		}
		if v, err := version.NewSemver(r.Mod.Version); err == nil {
			return v
		}
	}
	return nil
}

// Request returns the build of the autoscaler. If there is a CoreDir, it writes a
// go.work into OutDir.
func (a Autoscaler) Request() (Request, error) {
	module := filepath.Join(a.Dir, "cluster-autoscaler")
	r := Request{
		Dir: module, Packages: []string{"."}, Output: a.Output(),
		ID: a.ID, Arch: a.Arch, Host: a.Host, Debug: a.Debug, Toolchain: a.Toolchain,
		// The linker ignores a variable that the release does not have.
		LDFlags: []string{"-X", AutoscalerModule + "/version.ClusterAutoscalerVersion=" + a.Version,
			"-X", CoreModule + "/pkg/version.ClusterAutoscalerVersion=" + a.Version},
	}
	if !a.AllProviders {
		r.Tags = []string{"clusterapi"}
	}
	if a.CoreDir != "" {
		if err := os.MkdirAll(a.OutDir, 0o755); err != nil {
			return Request{}, fmt.Errorf("write the workspace of both trees: %w", err)
		}
		work := filepath.Join(a.OutDir, "go.work")
		if err := writeWorkspace(work, module, a.CoreDir); err != nil {
			return Request{}, err
		}
		r.Env = append(r.Env, "GOWORK="+work)
		r.ID = "" // the core's checkout may change
		return r, nil
	}
	// vendor/ is in the trees of 1.18.0 to 1.30.7, 1.31.4 and 1.31.5.
	_, err := os.Stat(filepath.Join(module, "vendor", "modules.txt"))
	r.Vendor = err == nil
	return r, nil
}

// ErrOwnCore is returned with a checkout of the core for a tree that needs none.
var ErrOwnCore = errors.New("contains its core")

// CoreError is returned for a checkout of the autoscaler's core that cannot be
// compiled with the autoscaler's tree.
type CoreError struct {
	Dir string
	Err error
}

func (e *CoreError) Error() string { return fmt.Sprintf("core in %s: %v", e.Dir, e.Err) }

func (e *CoreError) Unwrap() error { return e.Err }

// writeWorkspace writes a go.work of the autoscaler's module and its core's. Both pin
// Kubernetes by replacements, and a workspace refuses replacements that differ, so the
// core's are used: the module imports the core.
func writeWorkspace(path, module, core string) error {
	theirs, err := readMod(module)
	if err != nil {
		return err
	}
	cores, err := readMod(core)
	if err != nil {
		return err
	}
	if cores.Module == nil || cores.Module.Mod.Path != CoreModule {
		return &CoreError{Dir: core, Err: fmt.Errorf("want the root of a checkout of %s", CoreModule)}
	}
	i := slices.IndexFunc(theirs.Require, func(r *modfile.Require) bool { return r.Mod.Path == CoreModule })
	if i < 0 {
		return &CoreError{Dir: core, Err: fmt.Errorf("%s %w, as all trees did until 2026-07-31", module, ErrOwnCore)}
	}
	work := &modfile.WorkFile{Syntax: new(modfile.FileSyntax)}
	goVersion := theirs.Go.Version
	if goversion.Compare("go"+cores.Go.Version, "go"+goVersion) > 0 {
		goVersion = cores.Go.Version
	}
	errs := []error{
		work.AddGoStmt(goVersion), work.AddUse(module, ""), work.AddUse(core, ""),
		// Even in a workspace, go looks for the version that the module requires.
		work.AddReplace(CoreModule, theirs.Require[i].Mod.Version, core, ""),
	}
	pinned := map[string]modfile.Replace{}
	for _, r := range theirs.Replace {
		pinned[r.Old.Path] = *r
	}
	for _, r := range cores.Replace {
		if p, ok := pinned[r.Old.Path]; !ok || p.New == r.New {
			continue
		}
		target := r.New.Path
		if r.New.Version == "" && !filepath.IsAbs(target) {
			target = filepath.Join(core, target)
		}
		errs = append(errs, work.AddReplace(r.Old.Path, r.Old.Version, target, r.New.Version))
	}
	work.Cleanup()
	errs = append(errs, os.WriteFile(path, modfile.Format(work.Syntax), 0o600))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write the workspace of both trees: %w", err)
	}
	return nil
}

func readMod(dir string) (*modfile.File, error) {
	path := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a module of the workspace: %w", err)
	}
	mod, err := modfile.Parse(path, data, nil)
	if err != nil {
		return nil, fmt.Errorf("read a module of the workspace: %w", err)
	}
	if mod.Go == nil {
		return nil, fmt.Errorf("%s names no version of Go", path)
	}
	return mod, nil
}
