// Package source brings the source tree of a component to this machine: from
// git, from the Go module proxy, or from the developer's own checkout.
package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"

	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
)

// Origins of a tree.
const (
	Auto   = "auto"
	Git    = "git"
	Module = "module"
	Dir    = "dir"
)

// Spec is a tree to fetch.
type Spec struct {
	// Name of the component, such as cluster-api; names its folders.
	Name string
	// Version names the tree's folder; Tag is the release's tag in git.
	Version, Tag string
	// Commit, if set, is fetched from git instead of the tag.
	Commit string
	// Origin is one of the constants above.
	Origin string
	// URL is the git repository, Path the checkout of Origin Dir.
	URL, Path string
	// Modules are published together at Version, the root first; empty if the
	// component is not on the Go module proxy.
	Modules []GoModule
	// RootModule is the module path that the tree's go.mod must name; it is
	// looked for in the folder GoMod.
	RootModule, GoMod string
}

// GoModule is a module and its folder in the repository.
type GoModule struct{ Path, Folder string }

// Names of the components, in the errors of this package too.
const (
	ClusterAPIName = "cluster-api"
	AutoscalerName = "autoscaler"
	KubernetesName = "kubernetes"
)

// ClusterAPI returns the Spec of the Cluster API tree at a tag, such as
// v1.14.2, without its origin.
func ClusterAPI(tag string) Spec {
	const root = "sigs.k8s.io/cluster-api"
	return Spec{
		Name: ClusterAPIName, Version: tag, Tag: tag, RootModule: root,
		Modules: []GoModule{{Path: root}, {Path: root + "/test", Folder: "test"}},
	}
}

// Autoscaler returns the Spec of the cluster autoscaler's tree at a version,
// such as 1.36.1, without its origin. Its releases are not on the Go module
// proxy.
func Autoscaler(version string) Spec {
	return Spec{
		Name: AutoscalerName, Version: version, Tag: "cluster-autoscaler-" + version,
		RootModule: "k8s.io/autoscaler/cluster-autoscaler", GoMod: "cluster-autoscaler",
	}
}

// Kubernetes returns the Spec of the module of Kubernetes at a tag, such as v1.36.1, with
// which Check finds out whether the release exists.
func Kubernetes(tag string) Spec {
	return Spec{
		Name: KubernetesName, Version: tag, Tag: tag, Origin: Module,
		RootModule: "k8s.io/kubernetes", Modules: []GoModule{{Path: "k8s.io/kubernetes"}},
	}
}

// Options of Check and Fetch.
type Options struct {
	// Dir is the folder for fetched trees.
	Dir    string
	Runner run.Runner
	// Progress, if set, is called with what is fetched.
	Progress func(string)
	// Warn, if set, says that a fetched tree was changed, and is fetched again.
	Warn func(format string, args ...any)
	// answerTimeout and recheckTimeout replace the constants of these names in
	// tests.
	answerTimeout, recheckTimeout time.Duration
}

func (o Options) progress(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

func (o Options) warn(format string, args ...any) {
	if o.Warn != nil {
		o.Warn(format, args...)
	}
}

// Tree is a tree on this machine.
type Tree struct {
	// Dir is its root.
	Dir string
	// Origin is Git, Module or Dir.
	Origin string
	// Why says why Auto chose the Origin, or what the repository could not answer. It
	// may be empty.
	Why string
	// Commit is empty for modules.
	Commit string
	// Dirty marks a checkout with changes that are not committed.
	Dirty bool
	// ID identifies the content; empty for a checkout, which may change.
	ID string
}

// Check finds out, before anything starts, whether Fetch can succeed: Path is a
// checkout, the tree was fetched before, or the release exists where it will be
// fetched from. It uses the network only for a tree that was not fetched
// before. Its errors are a *CheckoutError, *GitError, *MissingTagError,
// *ModuleError or *NoModuleError where one of them fits.
func Check(ctx context.Context, s Spec, o Options) error {
	switch s.Origin {
	case Dir:
		return s.verify(s.Path)
	case Git:
		if s.isFetched(o, Git) {
			return nil
		}
		_, err := s.resolve(ctx, cmp.Or(o.answerTimeout, answerTimeout))
		return err
	case Module:
		if s.isFetched(o, Module) {
			return nil
		}
		return s.checkModule(ctx, o)
	}
	if s.isFetched(o, Git) || len(s.Modules) > 0 && s.isFetched(o, Module) {
		return nil
	}
	_, err := s.resolve(ctx, cmp.Or(o.answerTimeout, answerTimeout))
	if err == nil || len(s.Modules) == 0 || ctx.Err() != nil {
		return err
	}
	if moduleErr := s.checkModule(ctx, o); moduleErr != nil {
		return s.bothFailed(err, moduleErr)
	}
	return nil
}

// bothFailed returns the error of a release that neither git nor the Go module proxy gives.
// What an answering server said comes first.
func (s Spec) bothFailed(git, modules error) error {
	if errors.As(git, new(*MissingTagError)) {
		return fmt.Errorf("%w\n(then the %s was asked: %s)", git, Proxy, innermost(modules))
	}
	return fmt.Errorf("%w\n(git was asked first: %s: %s)", modules, s.shownURL(), innermost(git))
}

// isFetched reports whether the tree was fetched from that origin before.
func (s Spec) isFetched(o Options, origin string) bool {
	_, err := readRecord(s.folder(o, origin))
	return err == nil
}

// Fetch returns the tree of s. It takes the tree on this machine if that was fetched before and has not
// changed since; to find out, it reads all files of the tree. For Auto, that tree may have any origin.
// The errors are those of Check, and a *MovedTagError.
func Fetch(ctx context.Context, s Spec, o Options) (*Tree, error) {
	switch s.Origin {
	case Dir:
		return s.checkout(ctx, o)
	case Git:
		return s.fetchGit(ctx, o)
	case Module:
		return s.fetchModules(ctx, o)
	}
	if !s.isFetched(o, Git) && len(s.Modules) > 0 && s.isFetched(o, Module) {
		tree, err := s.fetchModules(ctx, o)
		if err == nil {
			tree.Why = "fetched before, git was not asked"
		}
		return tree, err
	}
	tree, gitErr := s.fetchGit(ctx, o)
	var moved *MovedTagError
	if gitErr == nil || len(s.Modules) == 0 || errors.As(gitErr, &moved) || ctx.Err() != nil {
		return tree, gitErr
	}
	o.progress("git gave no tree; asking the Go module proxy")
	tree, err := s.fetchModules(ctx, o)
	if err != nil {
		return nil, s.bothFailed(gitErr, err)
	}
	tree.Why = "git failed: " + innermost(gitErr)
	return tree, nil
}

// innermost returns the first line of the error's cause, without credentials.
func innermost(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			line, _, _ := strings.Cut(err.Error(), "\n")
			return redact.Text(line)
		}
		err = inner
	}
}

// folder returns where a fetched tree goes. Every repository has a folder of
// its own, because a fork's tag is not upstream's; a new token for the same
// repository does not change it.
func (s Spec) folder(o Options, origin string) string {
	name := s.Version
	if s.Commit != "" {
		name = s.Commit[:12]
	}
	name += "-" + origin
	if origin == Git {
		name += "-" + state.ShortSum(s.shownURL())
	}
	return filepath.Join(o.Dir, s.Name, name)
}

// CheckoutError is returned for a folder that is no checkout of a component.
type CheckoutError struct {
	// Component is the Spec's name.
	Component, Dir string
	// Problem is what is wrong with the folder.
	Problem string
}

func (e *CheckoutError) Error() string {
	return fmt.Sprintf("%s: %s; want the root of a checkout of %s", e.Dir, e.Problem, e.Component)
}

// verify returns a *CheckoutError unless dir holds a tree of the component.
func (s Spec) verify(dir string) error {
	fail := func(problem string) error {
		return &CheckoutError{Component: s.Name, Dir: dir, Problem: problem}
	}
	if info, err := os.Stat(dir); err != nil {
		return fail("no such folder")
	} else if !info.IsDir() {
		return fail("not a folder")
	}
	data, err := os.ReadFile(filepath.Join(dir, s.GoMod, "go.mod"))
	if err != nil {
		return fail(fmt.Sprintf("it has no %s", filepath.Join(s.GoMod, "go.mod")))
	}
	if path := modfile.ModulePath(data); path != s.RootModule {
		return fail(fmt.Sprintf("its go.mod names the module %q, not %s", path, s.RootModule))
	}
	return nil
}
