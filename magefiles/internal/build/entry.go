package build

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"caslab/magefiles/internal/state"
)

// CompilerError is returned when the compiler refuses a program.
type CompilerError struct {
	// Doing is what was tried.
	Doing string
	// Complaints are the compiler's messages, with a line `# PACKAGE` before those of each
	// package.
	Complaints string
	Err        error
}

func (e *CompilerError) Error() string {
	return fmt.Sprintf("%s: %v\n%s", e.Doing, e.Err, e.Complaints)
}

// Unwrap returns the cause.
func (e *CompilerError) Unwrap() error { return e.Err }

// complaintPattern matches a line about the program's code or its module: the compiler's, the
// linker's, and the go command's about what a file imports.
var complaintPattern = regexp.MustCompile(`(?m)^(\S+\.go:\d+(:\d+)?: ` +
	`|link: \S+: invalid reference to |\S+: relocation target \S+ not defined|\S+: function main is undeclared in the main package` +
	`|go: (updates to go\.mod needed|inconsistent vendoring|errors parsing ))`)

// fetchPattern matches a line about a module that the go command could not fetch. The line names
// the file that imports the module.
var fetchPattern = regexp.MustCompile(`\S@v\d\S*: |: Get "`)

// Refused reports whether the code, or its go.mod, does not compile. It is false if the compiler
// had no say, as when a module cannot be fetched, the disk is full, or a process was killed: the
// same program may compile later.
func (e *CompilerError) Refused() bool {
	for line := range strings.Lines(e.Complaints) {
		if complaintPattern.MatchString(line) && !fetchPattern.MatchString(line) {
			return true
		}
	}
	return false
}

// packages returns the import paths of the packages that the compiler complains about.
func (e *CompilerError) packages() []string {
	var all []string
	for line := range strings.Lines(e.Complaints) {
		if path, ok := strings.CutPrefix(line, "# "); ok {
			all = append(all, strings.TrimSpace(path))
		}
	}
	return all
}

// BuildAutoscaler compiles an autoscaler. If its core is another checkout, the
// tree's entry program may use a name that the core no longer has. If that is
// all that the compiler refuses, BuildAutoscaler compiles the core's own entry
// program with the tree's cloud providers. instead then says what was refused
// and what is compiled in its place. Otherwise it is empty.
func BuildAutoscaler(ctx context.Context, a Autoscaler, o Options) (result Result, instead string, err error) {
	request, err := a.Request()
	if err != nil {
		return Result{}, "", err
	}
	result, err = Build(ctx, request, o)
	var refused *CompilerError
	if a.CoreDir == "" || !errors.As(err, &refused) {
		return result, "", err
	}
	misfit := refused.misfit(filepath.Join(request.Dir, "main.go"))
	if misfit == "" {
		return result, "", err
	}
	from, entryErr := a.entry(&request)
	if entryErr != nil {
		return result, "", fmt.Errorf("%w\nthe core's own entry program cannot replace it: %w", err, entryErr)
	}
	instead = fmt.Sprintf("the tree's main.go does not compile with the core in %s: %s; in its place the core's own %s is compiled, with the cloud providers of the tree",
		a.CoreDir, misfit, from)
	if result, err = Build(ctx, request, o); err != nil {
		return result, "", fmt.Errorf("%w\nit was compiled because %s", err, instead)
	}
	return result, instead, nil
}

// undefined matches a complaint about a name that a package does not have.
var undefined = regexp.MustCompile(`^\./main\.go:\d+:\d+: undefined: (\w+)\.\w+$`)

// misfit returns the first complaint that says that the entry program main, a file, uses a
// name which a package of the core does not have. It is empty if there is none, or if
// there are complaints about other packages.
func (e *CompilerError) misfit(main string) string {
	if p := e.packages(); len(p) != 1 || p[0] != AutoscalerModule {
		return ""
	}
	file, err := parser.ParseFile(token.NewFileSet(), main, nil, parser.ImportsOnly)
	if err != nil {
		return ""
	}
	ofCore := map[string]bool{}
	for _, i := range file.Imports {
		imported := strings.Trim(i.Path.Value, `"`)
		if !strings.HasPrefix(imported, CoreModule+"/") {
			continue
		}
		if i.Name != nil {
			ofCore[i.Name.Name] = true
		} else {
			ofCore[path.Base(imported)] = true
		}
	}
	for line := range strings.Lines(e.Complaints) {
		text := strings.TrimSpace(line)
		if m := undefined.FindStringSubmatch(text); m != nil && ofCore[m[1]] {
			return text
		}
	}
	return ""
}

// entry changes a request so that the core's own entry program, with the tree's
// cloud providers, is compiled in the place of the tree's main.go. It writes
// files only into OutDir, and returns the program's path in the core.
func (a Autoscaler) entry(r *Request) (from string, err error) {
	from, err = ownProgram(a.CoreDir)
	if err != nil {
		return "", err
	}
	program, err := withProvidersOfTree(filepath.Join(a.CoreDir, from))
	if err != nil {
		return "", err
	}
	file, overlay := filepath.Join(a.OutDir, "entry", "main.go"), filepath.Join(a.OutDir, "entry", "overlay.json")
	replaced, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(r.Dir, "main.go"): file}})
	if err != nil {
		return "", err
	}
	if err := errors.Join(state.WriteFile(file, program, 0o600), state.WriteFile(overlay, replaced, 0o600)); err != nil {
		return "", fmt.Errorf("write the entry program: %w", err)
	}
	r.Overlay = overlay
	return filepath.ToSlash(from), nil
}

// ownProgram returns the file of the core's entry program, relative to its checkout: the
// only main.go of a package main that imports the builder of autoscalers.
func ownProgram(core string) (string, error) {
	var found []string
	err := filepath.WalkDir(core, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != core || d.Name() == "vendor" || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || d.Name() != "main.go":
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		if file.Name.Name != "main" {
			return nil
		}
		for _, i := range file.Imports {
			if i.Path.Value == strconv.Quote(CoreModule+"/pkg/builder") {
				rel, err := filepath.Rel(core, name)
				found = append(found, rel)
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("look for the entry program of %s: %w", core, err)
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%s has %d entry programs that import %s/pkg/builder, want one: %q", core, len(found), CoreModule, found)
	}
	return found[0], nil
}

// withProvidersOfTree returns a program of the core that imports the cloud providers of
// the tree in the place of the core's.
func withProvidersOfTree(program string) ([]byte, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, program, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	replaced := 0
	for _, i := range file.Imports {
		if i.Name == nil || i.Name.Name != "_" || !strings.HasPrefix(i.Path.Value, `"`+CoreModule+"/pkg/cloudprovider/") {
			continue
		}
		i.Path.Value = strconv.Quote(AutoscalerModule + "/cloudprovider/router")
		replaced++
	}
	if replaced != 1 {
		return nil, fmt.Errorf("%s imports %d cloud providers for their effect alone, want one", program, replaced)
	}
	ast.SortImports(fset, file)
	var out bytes.Buffer
	if err := format.Node(&out, fset, file); err != nil {
		return nil, fmt.Errorf("write the entry program: %w", err)
	}
	return out.Bytes(), nil
}
