// Package build compiles the Go programs of a pinned tree: reproducibly, with the
// user's Go caches, and only if an input or the binary itself changed.
package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
)

// Request is one `go build`.
type Request struct {
	// Dir is a folder inside the module that is built.
	Dir string
	// Packages are main packages, as folders of Dir or as import paths.
	Packages []string
	// Output is the path of the binary if there is one package. If there are more,
	// it is the folder of their binaries, which `go build` names.
	Output string
	// ID identifies the tree's content. If ID and the rest of the request are
	// unchanged, the build is skipped. For a working tree it is empty: then
	// `go build` decides what to compile.
	ID string
	// Toolchain is the Go that compiles the program, such as go1.13.15. The go
	// command fetches it if it is not on this machine. Empty means the installed
	// Go.
	Toolchain string
	// Overlay, if not empty, is a file in the format of `go help build`, which replaces
	// files of the tree for the compiler.
	Overlay string
	// Vendor compiles the packages in the module's folder vendor.
	Vendor bool
	// LDFlags are for the linker, Tags for the compiler.
	LDFlags, Tags []string
	// Env is added to the environment of `go build`.
	Env []string
	// Arch is the target's architecture; the system is Linux unless Host.
	Arch string
	// Host builds for this machine instead of a Linux container.
	Host bool
	// Debug keeps what a debugger reads and turns optimisation off.
	Debug bool
}

// Options of Build.
type Options struct {
	Runner run.Runner
	// Progress, if not nil, gets what is compiled.
	Progress func(string)
	// Warn, if not nil, says which binary is not as it was built, and is built again.
	Warn func(format string, args ...any)
}

// Result is what Build did.
type Result struct {
	// Cached is true when nothing had to be compiled or linked.
	Cached bool
	Took   time.Duration
}

// Build compiles the programs of r unless they are up to date. The error of a
// failed build has what the compiler printed. It is a *ToolchainError if
// r.Toolchain cannot be fetched.
func Build(ctx context.Context, r Request, o Options) (Result, error) {
	start := time.Now()
	settings, err := settingsFor(ctx, r.Toolchain, o.Runner)
	if err != nil {
		return Result{}, err
	}
	inputs, err := digest(ctx, r, settings, o)
	if err != nil {
		return Result{}, err
	}
	was := readRecord(r)
	whole, changed := was.check()
	if r.ID != "" && was.Inputs == inputs && whole {
		return Result{Cached: true, Took: time.Since(start)}, nil
	}
	for _, path := range changed {
		if o.Warn != nil {
			o.Warn("! %s is not as the lab built it: building it again", path)
		}
	}
	dir := filepath.Dir(r.Output)
	if len(r.Packages) > 1 {
		dir = r.Output
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Result{}, fmt.Errorf("build %s: %w", r.Output, err)
	}
	// go build refuses to replace a file that is not a binary, such as one that was written only in
	// part. It keeps a binary whose build ID is that of the sources, whatever else is in it.
	stale := changed
	if r.ID != "" {
		stale = Outputs(r)
	}
	// Without a record, what a build that is killed leaves does not count as changed.
	for _, path := range append(stale, record(r)) {
		if err := os.RemoveAll(path); err != nil {
			return Result{}, fmt.Errorf("build %s: %w", r.Output, err)
		}
	}
	shown := &progress{report: o.Progress}
	res, err := o.Runner.Run(ctx, run.Cmd{Name: "go", Args: args(r), Dir: r.Dir, Env: append(settings, env(r)...), Stderr: shown})
	if err != nil {
		var failed *run.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return Result{}, &CompilerError{
			Doing: fmt.Sprintf("go build %s in %s", strings.Join(r.Packages, " "), r.Dir), Complaints: complaints(res.Stderr), Err: err,
		}
	}
	if err := write(record(r), inputs, r); err != nil {
		return Result{}, err
	}
	return Result{Took: time.Since(start)}, nil
}

// UpToDate reports whether Build would compile nothing. It is false if r has no ID. It reads the
// binaries.
func UpToDate(ctx context.Context, r Request, o Options) bool {
	settings, err := settingsFor(ctx, r.Toolchain, o.Runner)
	if err != nil {
		return false
	}
	inputs, err := digest(ctx, r, settings, o)
	if err != nil || r.ID == "" {
		return false
	}
	was := readRecord(r)
	whole, _ := was.check()
	return was.Inputs == inputs && whole
}

// record returns the path of the record of a build.
func record(r Request) string { return strings.TrimSuffix(r.Output, "/") + ".build.json" }

// All compiles the programs of several requests, one after the other, and returns how many
// were up to date.
func All(ctx context.Context, requests []Request, o Options) (cached int, err error) {
	for i, r := range requests {
		one := o
		if o.Progress != nil {
			one.Progress = func(text string) {
				o.Progress(fmt.Sprintf("%s (%d of %d): %s", filepath.Base(r.Output), i+1, len(requests), text))
			}
		}
		result, err := Build(ctx, r, one)
		if err != nil {
			return cached, err
		}
		if result.Cached {
			cached++
		}
	}
	return cached, nil
}

func args(r Request) []string {
	output := r.Output
	if len(r.Packages) > 1 {
		output = strings.TrimSuffix(output, "/") + "/"
	}
	a := []string{"build", "-v", "-o", output}
	if !beforeGo118(r.Toolchain) {
		a = slices.Insert(a, 2, "-buildvcs=false")
	}
	switch {
	case r.Vendor:
		a = append(a, "-mod=vendor")
	case beforeGo118(r.Toolchain):
		// Without this, Go before 1.16 adds missing requirements to go.mod, even
		// in a developer's checkout.
		a = append(a, "-mod=readonly")
	}
	if r.Overlay != "" {
		a = append(a, "-overlay="+r.Overlay)
	}
	if r.Debug {
		// With full paths, so that the debugger's client finds the sources.
		a = append(a, "-gcflags=all=-N -l", "-ldflags="+strings.Join(r.LDFlags, " "))
	} else {
		a = append(a, Lean(r.LDFlags...)...)
	}
	if len(r.Tags) > 0 {
		a = append(a, "-tags", strings.Join(r.Tags, ","))
	}
	return append(a, r.Packages...)
}

// Lean returns the flags of `go build` for a program without debug information,
// with ldflags for its linker. All programs of the lab are compiled with them, so
// that a package that two programs share is compiled once. Without -dwarf=false
// the compiler writes, and the linker reads, what -w drops.
func Lean(ldflags ...string) []string {
	return []string{"-trimpath", "-gcflags=all=-dwarf=false", "-ldflags=" + strings.Join(append([]string{"-s", "-w"}, ldflags...), " ")}
}

func env(r Request) []string {
	// The user's GOFLAGS and workspace are for the user's code. GOFLAGS is not empty,
	// because go would then use the value of `go env -w`.
	e := []string{"CGO_ENABLED=0", "GOWORK=off"}
	if !beforeGo118(r.Toolchain) {
		e = append(e, "GOFLAGS=-buildvcs=false")
	}
	if !r.Host {
		e = append(e, "GOOS=linux", "GOARCH="+r.Arch)
	}
	return append(e, r.Env...)
}

// digest covers every input of the build.
func digest(ctx context.Context, r Request, settings []string, o Options) (string, error) {
	version, err := goVersion(ctx, r.Dir, append(settings, r.Env...), r.Toolchain, o)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, part := range append(append([]string{r.ID, version}, args(r)...), env(r)...) {
		fmt.Fprintf(h, "%d:%s\n", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// FilesID returns a digest of the files with these names in a folder, for the ID of a Request.
func FilesID(dir string, names ...string) (string, error) {
	h := sha256.New()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// buildRecord has the inputs of a finished build, and the SHA-256 of each of its binaries by path.
type buildRecord struct {
	Inputs string            `json:"inputs"`
	Sums   map[string]string `json:"sums"`
}

// readRecord returns the record of a build, an empty one if there is none that can be read.
func readRecord(r Request) (rec buildRecord) {
	if there, err := state.ReadJSON(record(r), &rec); err != nil || !there {
		return buildRecord{}
	}
	return rec
}

// check reports whether all binaries are there as they were built, and returns those that are there
// and have changed.
func (rec buildRecord) check() (whole bool, changed []string) {
	whole = len(rec.Sums) > 0
	for _, path := range slices.Sorted(maps.Keys(rec.Sums)) {
		switch sum, err := state.FileSum(path); {
		case err != nil:
			whole = false
		case sum != rec.Sums[path]:
			whole, changed = false, append(changed, path)
		}
	}
	return whole, changed
}

func write(record, inputs string, r Request) error {
	rec := buildRecord{Inputs: inputs, Sums: map[string]string{}}
	for _, path := range Outputs(r) {
		sum, err := state.FileSum(path)
		if err != nil {
			return fmt.Errorf("find what was built: %w", err)
		}
		rec.Sums[path] = sum
	}
	if err := state.WriteJSON(record, rec); err != nil {
		return fmt.Errorf("record the build: %w", err)
	}
	return nil
}

// Outputs returns the paths of the binaries of r, in the order of its packages.
func Outputs(r Request) []string {
	if len(r.Packages) == 1 {
		return []string{r.Output}
	}
	paths := make([]string, len(r.Packages))
	for i, p := range r.Packages {
		paths[i] = filepath.Join(r.Output, filepath.Base(p))
	}
	return paths
}

// complaints returns the compiler's output without the package names of -v.
func complaints(stderr []byte) string {
	var kept []string
	for line := range bytes.Lines(stderr) {
		text := strings.TrimRight(string(line), "\n")
		if isPackage(text) || strings.HasPrefix(text, "go: downloading ") {
			continue
		}
		kept = append(kept, text)
	}
	return strings.Join(kept, "\n")
}

// isPackage reports whether a line of `go build -v` names a package.
func isPackage(line string) bool {
	return line != "" && !strings.ContainsAny(line, " :#")
}

// progress reports the packages that `go build -v` names.
type progress struct {
	report func(string)
	count  int
}

func (p *progress) Write(data []byte) (int, error) {
	if p.report == nil {
		return len(data), nil
	}
	for line := range bytes.Lines(data) {
		switch text := strings.TrimSpace(string(line)); {
		case isPackage(text):
			p.count++
			p.report(fmt.Sprintf("%d packages compiled", p.count))
		case strings.HasPrefix(text, "go: downloading "):
			p.report(strings.TrimPrefix(text, "go: "))
		}
	}
	return len(data), nil
}
