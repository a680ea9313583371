package source

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"

	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/run"
)

// downloaded is what `go mod download -json` prints about a module.
type downloaded struct{ Path, Version, Dir, GoMod, Sum, Error string }

// goCommand runs a go command about modules outside any module, because a main module's
// requirements and replacements would change the result.
func goCommand(ctx context.Context, o Options, args ...string) (run.Result, error) {
	return o.Runner.Run(ctx, run.Cmd{Name: "go", Args: args, Dir: os.TempDir(), Env: []string{"GOFLAGS=-mod=mod", "GOWORK=off"}})
}

// goModule runs a go command that prints one module, such as example.com/m@v1.2.3, as JSON.
// The go command verifies its downloads against the checksum database.
func goModule(ctx context.Context, o Options, module string, args ...string) (downloaded, error) {
	var d downloaded
	res, err := goCommand(ctx, o, append(args, module)...)
	said := ""
	if json.Unmarshal(res.Stdout, &d) == nil {
		said = d.Error
	}
	if failed := new(run.Error); said == "" && errors.As(err, &failed) {
		said = string(failed.Output)
	}
	if said == "" || ctx.Err() != nil {
		return d, err
	}
	// On one line, and without the module's name, which callers add.
	said = strings.TrimPrefix(strings.Join(strings.Fields(said), " "), "go: ")
	return d, redact.Err(errors.New(strings.TrimPrefix(said, module+": ")))
}

// NoModuleError is returned for a component whose releases are not on the Go
// module proxy.
type NoModuleError struct {
	// Component is the Spec's name.
	Component string
}

func (e *NoModuleError) Error() string {
	return fmt.Sprintf("%s is not on the Go module proxy; its releases are only in git", e.Component)
}

// ModuleError is returned when the go command cannot find, get or verify a module of a
// release, and the Go module proxy does not say that there is no such version.
type ModuleError struct {
	// Component is the Spec's name.
	Component string
	// Module is the module's path and version, such as example.com/m@v1.2.3.
	Module string
	// Err is what the go command said.
	Err error
}

func (e *ModuleError) Error() string {
	return fmt.Sprintf("ask the %s for %s: %v", Proxy, e.Module, e.Err)
}

// Unwrap returns the cause.
func (e *ModuleError) Unwrap() error { return e.Err }

// visitModules calls visit for each module of the release, those included that the root's
// go.mod replaces by folders. visit returns the path of the module's go.mod.
func (s Spec) visitModules(visit func(GoModule) (goMod string, err error)) error {
	if len(s.Modules) == 0 {
		return &NoModuleError{Component: s.Name}
	}
	modules := s.Modules
	for i := 0; i < len(modules); i++ {
		goMod, err := visit(modules[i])
		if err != nil {
			return err
		}
		if i == 0 {
			nested, err := nestedModules(goMod)
			if err != nil {
				return err
			}
			modules = append(modules[:len(modules):len(modules)], nested...)
		}
	}
	return nil
}

// checkModule finds out whether the modules exist, and whether the go command can verify their
// go.mod files. It downloads no module.
func (s Spec) checkModule(ctx context.Context, o Options) error {
	return s.visitModules(func(m GoModule) (string, error) {
		d, err := s.find(ctx, o, m)
		if err == nil && d.GoMod == "" {
			// The go command found the version, and not its go.mod. It says why only here.
			d, err = s.download(ctx, o, m)
		}
		return d.GoMod, err
	})
}

// find returns what the go command knows about a module of the release.
func (s Spec) find(ctx context.Context, o Options, m GoModule) (downloaded, error) {
	d, err := goModule(ctx, o, m.Path+"@"+s.Version, "list", "-m", "-json")
	if err == nil {
		return d, nil
	}
	if missing := s.missingTag(ctx, o, m.Path, err); missing != nil {
		return d, missing
	}
	return d, s.moduleError(m, err)
}

// download brings a module of the release into the go command's cache.
func (s Spec) download(ctx context.Context, o Options, m GoModule) (downloaded, error) {
	d, err := goModule(ctx, o, m.Path+"@"+s.Version, "mod", "download", "-json")
	if err == nil || ctx.Err() != nil {
		return d, err
	}
	if _, missing := s.find(ctx, o, m); missing != nil {
		return d, missing
	}
	return d, s.moduleError(m, err)
}

func (s Spec) moduleError(m GoModule, err error) error {
	return &ModuleError{Component: s.Name, Module: m.Path + "@" + s.Version, Err: err}
}

// missingTag returns an error if the Go module proxy answers and does not list the version of
// the module at path. why is what the go command said about the version.
func (s Spec) missingTag(ctx context.Context, o Options, path string, why error) *MissingTagError {
	own, common, err := s.listed(ctx, o, path)
	if err != nil || slices.Contains(own, s.Version) {
		return nil //nolint:nilerr // a list that cannot be had tells nothing
	}
	return &MissingTagError{Component: s.Name, Tag: s.Version, URL: path + " on the " + Proxy, Nearest: nearest(s.Version, common), Err: why}
}

// listed returns the versions that the Go module proxy lists of the module at path, and those
// that it lists of all modules.
func (s Spec) listed(ctx context.Context, o Options, path string) (own, common []string, err error) {
	if own, err = ModuleVersions(ctx, path, o); err != nil {
		return nil, nil, err
	}
	common = slices.Clone(own)
	for _, m := range s.Modules {
		if m.Path == path {
			continue
		}
		versions, err := ModuleVersions(ctx, m.Path, o)
		if err != nil {
			return nil, nil, err
		}
		common = slices.DeleteFunc(common, func(v string) bool { return !slices.Contains(versions, v) })
	}
	return own, common, nil
}

// fetchModules puts the modules of one release into the folders that they have in the
// repository, so that upstream's replacements by folders work and the tree builds like
// one from git.
func (s Spec) fetchModules(ctx context.Context, o Options) (*Tree, error) {
	if len(s.Modules) == 0 {
		return nil, s.checkModule(ctx, o)
	}
	dir := s.folder(o, Module)
	if rec, ok := s.fetched(o, dir); ok {
		return rec.tree(dir), nil
	}
	var sums []string
	err := publish(dir, func(temp string) error {
		err := s.visitModules(func(m GoModule) (string, error) {
			o.progress("downloading %s@%s", m.Path, s.Version)
			d, err := s.download(ctx, o, m)
			if err != nil {
				return "", err
			}
			sums = append(sums, d.Sum)
			return d.GoMod, copyTree(d.Dir, filepath.Join(temp, m.Folder))
		})
		return cmp.Or(err, ctx.Err())
	})
	if err != nil {
		return nil, fmt.Errorf("fetch %s %s from the %s: %w", s.Name, s.Version, Proxy, err)
	}
	sum, err := treeSum(dir)
	if err != nil {
		return nil, fmt.Errorf("read the modules of %s: %w", dir, err)
	}
	rec := record{ID: "module:" + strings.Join(sums, ","), Sum: sum}
	if err := rec.write(dir); err != nil {
		return nil, fmt.Errorf("record the modules of %s: %w", dir, err)
	}
	return rec.tree(dir), nil
}

// nestedModules returns the modules that a go.mod replaces by subfolders: they belong to
// the same repository and release.
func nestedModules(goMod string) ([]GoModule, error) {
	data, err := os.ReadFile(goMod)
	if err != nil {
		return nil, err
	}
	mod, err := modfile.Parse(goMod, data, nil)
	if err != nil {
		return nil, err
	}
	if mod.Module == nil {
		return nil, fmt.Errorf("%s names no module", goMod)
	}
	var nested []GoModule
	for _, r := range mod.Replace {
		folder := filepath.Clean(r.New.Path)
		if strings.HasPrefix(r.New.Path, "./") && filepath.IsLocal(folder) && strings.HasPrefix(r.Old.Path, mod.Module.Mod.Path+"/") {
			nested = append(nested, GoModule{Path: r.Old.Path, Folder: folder})
		}
	}
	return nested, nil
}

// copyTree copies the files of a module. The module cache's are read-only; the
// copies can be removed.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		return copyFile(path, filepath.Join(to, rel))
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm()|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
