// Package source brings the source tree of a component to this machine: from
// git, from the Go module proxy, or from the developer's own checkout.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"

	"caslab/magefiles/internal/run"
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
	// Setting is the prefix of the component's environment variables, for
	// errors that say what to type.
	Setting string
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

// ClusterAPI is the spec of a Cluster API tree, but for where it comes from.
func ClusterAPI(tag string) Spec {
	const root = "sigs.k8s.io/cluster-api"
	return Spec{
		Name: "cluster-api", Setting: "CAPI", Version: tag, Tag: tag, RootModule: root,
		Modules: []GoModule{{Path: root}, {Path: root + "/test", Folder: "test"}},
	}
}

// Autoscaler is the spec of a cluster autoscaler tree, but for where it comes
// from. Its releases are not on the Go module proxy.
func Autoscaler(version string) Spec {
	return Spec{
		Name: "autoscaler", Setting: "AUTOSCALER", Version: version, Tag: "cluster-autoscaler-" + version,
		RootModule: "k8s.io/autoscaler/cluster-autoscaler", GoMod: "cluster-autoscaler",
	}
}

// Options of Check and Fetch.
type Options struct {
	// Dir takes the fetched trees.
	Dir    string
	Runner run.Runner
	// Progress, if set, is told what is fetched.
	Progress func(string)
}

func (o Options) progress(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}

// Tree is a tree on this machine.
type Tree struct {
	// Dir is its root.
	Dir string
	// Origin is Git, Module or Dir; Why says why, where Auto chose.
	Origin, Why string
	// Commit is empty for modules.
	Commit string
	// Dirty marks a checkout with changes that are not committed.
	Dirty bool
	// ID identifies the content; empty for a checkout, which may change.
	ID string
}

// Check finds out, before anything starts, whether Fetch can succeed: the
// checkout is one, the tree was fetched before, or the release exists where it
// will be fetched. It needs the network only for a tree that is not here yet,
// for Origin Auto from neither git nor the Go module proxy.
func Check(ctx context.Context, s Spec, o Options) error {
	switch s.Origin {
	case Dir:
		return s.verify(s.Path)
	case Git:
		if s.have(o, Git) {
			return nil
		}
		_, err := s.resolve(ctx)
		return err
	case Module:
		if s.have(o, Module) {
			return nil
		}
		return s.checkModule(ctx, o)
	}
	if s.have(o, Git) || len(s.Modules) > 0 && s.have(o, Module) {
		return nil
	}
	_, err := s.resolve(ctx)
	if err == nil || len(s.Modules) == 0 || ctx.Err() != nil {
		return err
	}
	if moduleErr := s.checkModule(ctx, o); moduleErr != nil {
		return errors.Join(err, moduleErr)
	}
	return nil
}

// have reports whether the tree was fetched from that origin before.
func (s Spec) have(o Options, origin string) bool {
	_, err := readRecord(s.folder(o, origin))
	return err == nil
}

// Fetch brings the tree of s here, or finds it here. What Auto found before it
// finds again, without asking.
func Fetch(ctx context.Context, s Spec, o Options) (*Tree, error) {
	switch s.Origin {
	case Dir:
		return s.checkout(ctx, o)
	case Git:
		return s.fetchGit(ctx, o)
	case Module:
		return s.fetchModules(ctx, o)
	}
	if !s.have(o, Git) && len(s.Modules) > 0 && s.have(o, Module) {
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
		return nil, errors.Join(gitErr, err)
	}
	tree.Why = "git failed: " + innermost(gitErr)
	return tree, nil
}

// innermost is what an error comes of, without what was tried.
func innermost(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			line, _, _ := strings.Cut(err.Error(), "\n")
			return line
		}
		err = inner
	}
}

// folder is where a fetched tree goes: another one for every repository, since
// a fork's tag is not upstream's.
func (s Spec) folder(o Options, origin string) string {
	name := s.Version
	if s.Commit != "" {
		name = s.Commit[:12]
	}
	name += "-" + origin
	if origin == Git {
		sum := sha256.Sum256([]byte(s.URL))
		name += "-" + hex.EncodeToString(sum[:])[:8]
	}
	return filepath.Join(o.Dir, s.Name, name)
}

// verify reports whether dir holds a tree of the component.
func (s Spec) verify(dir string) error {
	fail := func(why string) error {
		return fmt.Errorf("%s_DIR=%s: %s; want the root of a checkout of %s", s.Setting, dir, why, s.Name)
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
		return fail(fmt.Sprintf("its go.mod is of %q, not of %s", path, s.RootModule))
	}
	return nil
}
