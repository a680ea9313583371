package source

import (
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

// goModule runs a go command that prints one module as JSON. The go command
// verifies its downloads against the checksum database.
func goModule(ctx context.Context, o Options, args ...string) (downloaded, error) {
	var d downloaded
	res, err := goCommand(ctx, o, args...)
	if len(res.Stdout) > 0 {
		if jsonErr := json.Unmarshal(res.Stdout, &d); jsonErr == nil && d.Error != "" {
			return d, redact.Err(errors.New(d.Error))
		}
	}
	return d, err
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

func (s Spec) checkModule(ctx context.Context, o Options) error {
	if len(s.Modules) == 0 {
		return &NoModuleError{Component: s.Name}
	}
	for _, m := range s.Modules {
		if _, err := goModule(ctx, o, "list", "-m", "-json", m.Path+"@"+s.Version); err != nil {
			if missingTag := s.missingTag(ctx, o, m.Path); missingTag != nil {
				return missingTag
			}
			return fmt.Errorf("ask the Go module proxy for %s@%s: %w", m.Path, s.Version, err)
		}
	}
	return nil
}

// missingTag returns an error if the Go module proxy has the module, but not the version. It
// returns nil if the proxy has the version or does not answer.
func (s Spec) missingTag(ctx context.Context, o Options, path string) *MissingTagError {
	res, err := goCommand(ctx, o, "list", "-m", "-versions", path)
	versions := strings.Fields(string(res.Stdout))
	if answered := err == nil && len(versions) > 1; !answered || slices.Contains(versions, s.Version) {
		return nil
	}
	return &MissingTagError{Component: s.Name, Tag: s.Version, URL: path + " on the Go module proxy", Nearest: nearest(s.Version, versions[1:])}
}

// fetchModules puts the modules of one release into the folders that they have in the
// repository, so that upstream's replacements by folders work and the tree builds like
// one from git.
func (s Spec) fetchModules(ctx context.Context, o Options) (*Tree, error) {
	if len(s.Modules) == 0 {
		return nil, s.checkModule(ctx, o)
	}
	dir := s.folder(o, Module)
	if rec, err := readRecord(dir); err == nil {
		return rec.tree(dir), nil
	}
	var sums []string
	err := publish(dir, func(temp string) error {
		modules := s.Modules
		for i := 0; i < len(modules); i++ {
			m := modules[i]
			o.progress("downloading %s@%s", m.Path, s.Version)
			d, err := goModule(ctx, o, "mod", "download", "-json", m.Path+"@"+s.Version)
			if err != nil {
				if missing := s.missingTag(ctx, o, m.Path); missing != nil {
					return missing
				}
				return err
			}
			sums = append(sums, d.Sum)
			if err := copyTree(d.Dir, filepath.Join(temp, m.Folder)); err != nil {
				return err
			}
			if i == 0 {
				nested, err := nestedModules(d.GoMod)
				if err != nil {
					return err
				}
				modules = append(modules[:len(modules):len(modules)], nested...)
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("fetch %s %s from the Go module proxy: %w", s.Name, s.Version, err)
	}
	rec := record{ID: "module:" + strings.Join(sums, ",")}
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
