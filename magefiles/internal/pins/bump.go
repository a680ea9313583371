package pins

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
)

// Newest is the version to pass to Bump for the newest release that Check finds.
const Newest = "newest"

// Change is what Bump did.
type Change struct {
	Pin
	// To is the new version.
	To string
	// Files were changed, relative to the root.
	Files []string
	// Notes say what was looked for and not found.
	Notes []string
	// Next is what has to be done by hand.
	Next []string
}

// DirtyError is returned for a checkout with uncommitted changes, because nobody
// could distinguish them from Bump's changes.
type DirtyError struct {
	Root string
	// Files are the changed files, as git names them.
	Files []string
}

func (e *DirtyError) Error() string {
	shown := e.Files[:min(3, len(e.Files))]
	return fmt.Sprintf("%s has uncommitted changes in %d files, such as %s; want a clean tree", e.Root, len(e.Files), strings.Join(shown, ", "))
}

// UnknownVersionError is returned for a version that does not exist.
type UnknownVersionError struct {
	Answer
	Wanted string
}

func (e *UnknownVersionError) Error() string {
	msg := fmt.Sprintf("%s has no release %s (asked: %s)", e.Name, e.Wanted, e.From)
	if e.Newest != "" {
		msg += "; the newest is " + e.Newest
	}
	if e.Patch != "" && e.Patch != e.Newest {
		msg += ", and the newest of the pinned minor is " + e.Patch
	}
	return msg
}

// Bump changes the version of a pin in the whole checkout, with all that depends
// on it, and commits nothing. Before it changes anything, it refuses an unknown
// pin, a version that does not exist (*UnknownVersionError) or is already
// pinned, and a checkout with other changes (*DirtyError). After a later error,
// the files that were changed stay changed.
func Bump(ctx context.Context, name, version string, o Options) (*Change, error) {
	all, err := Read(o.Root)
	if err != nil {
		return nil, err
	}
	p, err := find(all, name)
	if err != nil {
		return nil, err
	}
	if err := clean(ctx, o); err != nil {
		return nil, err
	}
	o.progress("asking for the releases of %s", name)
	a := ask(ctx, p, o)
	if a.Err != nil {
		return nil, fmt.Errorf("ask for the releases of %s: %w", name, a.Err)
	}
	to, err := a.choose(version)
	if err != nil {
		return nil, err
	}
	b := &bump{Options: o, all: all, change: &Change{Pin: p, To: to}}
	if err := b.apply(ctx, p, to); err != nil {
		return nil, fmt.Errorf("%w\nwhat was changed until then stays; to undo it, type: git -C %s checkout .", err, o.Root)
	}
	if b.change.Files, err = changed(ctx, o); err != nil {
		return nil, err
	}
	b.change.Next = append(slices.Clone(p.after), "run all tests: go tool mage test", "look at the change, and commit it: git diff")
	return b.change, nil
}

// choose returns the version to pin, with or without a leading v as in the pin.
func (a Answer) choose(wanted string) (string, error) {
	to := wanted
	if to == Newest {
		to = a.Newest
	}
	i := slices.IndexFunc(a.Versions, func(v string) bool { return canonical(v) != "" && canonical(v) == canonical(to) })
	if i < 0 {
		return "", &UnknownVersionError{Answer: a, Wanted: wanted}
	}
	to = written(to, a.Version)
	if to == a.Version {
		return "", fmt.Errorf("%s is pinned at %s already", a.Name, to)
	}
	return to, nil
}

// clean returns a *DirtyError for a checkout with changes.
func clean(ctx context.Context, o Options) error {
	files, err := changed(ctx, o)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		return &DirtyError{Root: o.Root, Files: files}
	}
	return nil
}

// changed returns the files with uncommitted changes.
func changed(ctx context.Context, o Options) ([]string, error) {
	res, err := o.Runner.Run(ctx, run.Cmd{Name: "git", Args: []string{"status", "--porcelain"}, Dir: o.Root})
	if err != nil {
		return nil, fmt.Errorf("look for changes in %s: %w", o.Root, err)
	}
	var files []string
	for line := range strings.Lines(string(res.Stdout)) {
		if len(line) > 3 {
			files = append(files, strings.TrimSpace(line[3:]))
		}
	}
	return files, nil
}

// bump is one call of Bump.
type bump struct {
	Options
	all    []Pin
	change *Change
}

func (b *bump) note(format string, args ...any) {
	b.change.Notes = append(b.change.Notes, fmt.Sprintf(format, args...))
}

// apply changes a pin and those that follow it.
func (b *bump) apply(ctx context.Context, p Pin, to string) error {
	b.progress("%s: %s to %s", p.Name, p.Version, to)
	if p.constant != "" {
		pattern := constant(p.constant)
		if err := b.edit(p.file, func(text string) string { return pattern.ReplaceAllString(text, "${1}"+to+`"`) }); err != nil {
			return err
		}
	}
	if p.file == settingsFile {
		for _, file := range documents {
			if err := b.edit(file, func(text string) string { return p.inDocument(text, to) }); err != nil {
				return err
			}
		}
	}
	if p.Name == kubernetes {
		return b.kubernetes(ctx, p, to)
	}
	for _, folder := range p.folders {
		gets := make([]string, len(p.modules))
		for i, m := range p.modules {
			gets[i] = m + "@" + to
		}
		if err := b.get(ctx, folder, gets...); err != nil {
			return err
		}
	}
	switch p.Name {
	case etcd: // packages that it shares with Kubernetes are compiled once
		return b.align(ctx, p.folders[0], components+"kubernetes")
	case coreDNS: // packages that it shares with the lab are compiled once
		return b.align(ctx, p.folders[0], ".")
	case clusterAPI:
		return b.digests(ctx, to, "")
	}
	return nil
}

// edit replaces the text of a file of the checkout. A missing file is skipped,
// because documents may be removed.
func (b *bump) edit(file string, change func(string) string) error {
	path := filepath.Join(b.Root, file)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		b.note("%s does not exist", file)
		return nil
	}
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	after := change(string(data))
	if after == string(data) {
		return nil
	}
	return state.WriteFile(path, []byte(after), info.Mode().Perm())
}

// inDocument returns the text of a document with the new version of p. Releases of the
// autoscaler and of Kubernetes may have the same numbers. Those of the autoscaler have a
// leading v only where its settings are explained.
func (p Pin) inDocument(text, to string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		ofAutoscaler := p.Name == autoscaler
		if ofAutoscaler {
			line = replaceVersion(line, strings.TrimPrefix(p.Version, "v"), strings.TrimPrefix(to, "v"))
		}
		if ofAutoscaler == strings.Contains(line, "AUTOSCALER_") {
			line = replaceVersion(line, canonical(p.Version), canonical(to))
		}
		b.WriteString(line)
	}
	return b.String()
}

// replaceVersion replaces a version only where it is not part of another text:
// v1.36.1 and 1.36.10 do not contain the version 1.36.1.
func replaceVersion(text, from, to string) string {
	var b strings.Builder
	for {
		i := strings.Index(text, from)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		rest := text[i+len(from):]
		alone := (i == 0 || !inVersion(text[i-1])) && (rest == "" || !inVersion(rest[0]) || rest[0] == '.' && (len(rest) == 1 || !inVersion(rest[1])))
		b.WriteString(text[:i])
		if alone {
			b.WriteString(to)
		} else {
			b.WriteString(from)
		}
		text = rest
	}
}

// inVersion reports whether a byte can be in a version, or in a name that ends with one.
func inVersion(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '.' || c == '-' || c == '+' || c == '_'
}

// get requires modules, each as path@version, in a folder's go.mod, and tidies it.
func (b *bump) get(ctx context.Context, folder string, modules ...string) error {
	b.progress("%s/go.mod: %s", folder, strings.Join(modules, " "))
	if err := b.goCommand(ctx, folder, append([]string{"get"}, modules...)...); err != nil {
		return err
	}
	return b.goCommand(ctx, folder, "mod", "tidy")
}

func (b *bump) goCommand(ctx context.Context, folder string, args ...string) error {
	_, err := b.Runner.Run(ctx, run.Cmd{
		Name: "go", Args: args, Dir: filepath.Join(b.Root, folder), Env: []string{"GOFLAGS=-mod=mod", "GOWORK=off"},
	})
	if err != nil {
		return fmt.Errorf("change %s/go.mod: %w", folder, err)
	}
	return nil
}

// align raises modules in a folder's go.mod to the versions in another folder's
// go.mod, if both require them.
func (b *bump) align(ctx context.Context, folder, with string) error {
	mod, err := readMod(b.Root, folder)
	if err != nil {
		return fmt.Errorf("read %s/go.mod: %w", folder, err)
	}
	other, err := readMod(b.Root, with)
	if err != nil {
		return fmt.Errorf("read %s/go.mod: %w", with, err)
	}
	var gets []string
	for _, r := range mod.Require {
		if v := required(other, r.Mod.Path); v != "" && semver.Compare(v, r.Mod.Version) > 0 {
			gets = append(gets, r.Mod.Path+"@"+v)
		}
	}
	if len(gets) == 0 {
		return nil
	}
	return b.get(ctx, folder, gets...)
}
