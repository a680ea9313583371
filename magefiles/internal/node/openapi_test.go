package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestMarkedPackages: a package is marked if one of its own comments has the
// tag.
func TestMarkedPackages(t *testing.T) {
	t.Parallel()
	vendor := t.TempDir()
	for path, text := range map[string]string{
		"k8s.io/api/core/v1/doc.go":                  "// +k8s:openapi-gen=true\n\npackage v1\n",
		"k8s.io/api/core/v1/types.go":                "//+k8s:openapi-gen=true\npackage v1\n",
		"k8s.io/apimachinery/pkg/version/types.go":   "package version\n\n// Info is.\n// +k8s:openapi-gen=false\ntype Info struct{}\n",
		"k8s.io/client-go/rest/config.go":            "package rest\n\nconst tag = \"+k8s:openapi-gen=true\"\n",
		"k8s.io/client-go/rest/notes.md":             "// +k8s:openapi-gen=true\n",
		"k8s.io/client-go/rest/config_test.go":       "// +k8s:openapi-gen=true\n\npackage rest\n",
		"k8s.io/kube-openapi/pkg/common/common.go":   "// +k8s:openapi-gen=true\n\npackage common\n",
		"k8s.io/code-generator/examples/v1/types.go": "// +k8s:openapi-gen=true\n\npackage v1\n",
		"example.com/other/doc.go":                   "// +k8s:openapi-gen=true\n\npackage other\n",
	} {
		writeFile(t, filepath.Join(vendor, filepath.FromSlash(path)), text)
	}
	got, err := markedPackages(vendor)
	if want := []string{"k8s.io/api/core/v1", "k8s.io/apimachinery/pkg/version"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("markedPackages() = %q, %v; want %q", got, err, want)
	}
	if _, err := markedPackages(t.TempDir()); err == nil {
		t.Error("a folder without packages was no error")
	}
}

// writer is a fake go command and a fake generator. They write the files that
// the real ones would write.
type writer struct {
	runtest.Fake
	t    *testing.T
	dir  string
	lazy bool
}

func (w *writer) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	switch {
	case c.Name == "go" && slices.Equal(c.Args, []string{"mod", "vendor"}):
		writeFile(w.t, filepath.Join(w.dir, "vendor", "k8s.io", "api", "v1", "doc.go"), "// +k8s:openapi-gen=true\n\npackage v1\n")
		writeFile(w.t, filepath.Join(w.dir, "vendor", filepath.FromSlash(openAPIPackage), "doc.go"), "package openapi\n")
	case c.Name == "go" && c.Args[0] == "build":
		writeFile(w.t, c.Args[slices.Index(c.Args, "-o")+1], "generator")
	case filepath.Base(c.Name) == "openapi-gen" && !w.lazy:
		writeFile(w.t, filepath.Join(w.dir, "gopath", "src", filepath.FromSlash(openAPIPackage), openAPIFile+".go"), "package openapi\n")
	}
	return w.Fake.Run(ctx, c)
}

// old returns the options for an old Kubernetes, whose upstream go.mod is in a
// folder of the test, and the fake runner.
func old(t *testing.T, kubernetes string) (Options, *writer) {
	t.Helper()
	upstream, state := t.TempDir(), t.TempDir()
	writeFile(t, filepath.Join(upstream, "go.mod"), "module k8s.io/kubernetes\n\ngo 1.13\n\nreplace k8s.io/api => ./staging/src/k8s.io/api\n")
	dir := filepath.Join(state, "node", "kubernetes-"+kubernetes)
	w := &writer{t: t, dir: dir}
	w.Answers = []runtest.Answer{
		{Prefix: "go mod download", Stdout: `{"Dir": "` + upstream + `"}`},
		{Prefix: "go mod"},
		{Prefix: "go env GOROOT", Stdout: "/goroot\n"},
		{Prefix: "go env -json", Stdout: `{"GOMODCACHE": "/elsewhere/mod"}`},
		{Prefix: "go version", Stdout: "go version go1.13.15\n"},
		{Prefix: "go build"},
		{Prefix: filepath.Join(dir, "openapi-gen")},
	}
	return Options{Kubernetes: kubernetes, Root: t.TempDir(), StateDir: state, Arch: "amd64", Runner: w}, w
}

// TestOldKubernetesIsVendored: an old Kubernetes is vendored, because its Go
// does not know tool lines in a go.mod and its module lacks generated code.
func TestOldKubernetesIsVendored(t *testing.T) {
	t.Parallel()
	o, w := old(t, "v1.18.19")
	dir, err := kubernetesModule(t.Context(), o, recipeOf(t, o.Kubernetes), "none")
	if err != nil || dir != w.dir {
		t.Fatalf("kubernetesModule() = %s, %v", dir, err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || strings.Contains(string(mod), "tool") || !strings.Contains(string(mod), "k8s.io/api v0.18.19") || !strings.Contains(string(mod), "vbom.ml/util => github.com/fvbommel/util ") {
		t.Errorf("go.mod is\n%s%v", mod, err)
	}
	tools, err := os.ReadFile(filepath.Join(dir, "tools.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`_ "k8s.io/kubernetes/cmd/kubelet"`, `_ "k8s.io/kube-openapi/cmd/openapi-gen"`, "//go:build tools\n// +build tools\n"} {
		if !strings.Contains(string(tools), want) {
			t.Errorf("no %q in\n%s", want, tools)
		}
	}
	// The toolchain is looked for in the module cache of the user's settings.
	for _, c := range w.Cmds() {
		if c.String() == "go env GOROOT" && !slices.Contains(c.Env, "GOMODCACHE=/elsewhere/mod") {
			t.Errorf("the toolchain is looked for with %q", c.Env)
		}
	}
	generated := w.Cmds()[len(w.Cmds())-1]
	if want := []string{"-i", "k8s.io/api/v1", "-p", "k8s.io/kubernetes/pkg/generated/openapi"}; !slices.Equal(generated.Args[:4], want) {
		t.Errorf("the generator got %q, want %q first", generated.Args, want)
	}
	for _, want := range []string{"GOTOOLCHAIN=go1.13.15", "GO111MODULE=off", "GOROOT=/goroot", "GOPATH=" + filepath.Join(dir, "gopath")} {
		if !slices.Contains(generated.Env, want) {
			t.Errorf("no %s in %q", want, generated.Env)
		}
	}

	calls := len(w.Calls())
	if _, err := kubernetesModule(t.Context(), o, recipeOf(t, o.Kubernetes), "none"); err != nil {
		t.Fatal(err)
	}
	if again := w.Calls()[calls:]; len(again) != 1 || !strings.HasPrefix(again[0], "go mod download") {
		t.Errorf("what was there was made again: %q", again)
	}
}

// TestOldKubernetesIsMadeWhole: files that an interrupted or failed run left are
// not used.
func TestOldKubernetesIsMadeWhole(t *testing.T) {
	t.Parallel()
	o, w := old(t, "v1.21.14")
	w.lazy = true
	if _, err := kubernetesModule(t.Context(), o, recipeOf(t, o.Kubernetes), "none"); err == nil || !strings.Contains(err.Error(), "v1.21.14") || !strings.Contains(err.Error(), "OpenAPI") {
		t.Fatalf("a generator that wrote nothing: %v", err)
	}
	w.lazy = false
	if _, err := kubernetesModule(t.Context(), o, recipeOf(t, o.Kubernetes), "none"); err != nil {
		t.Fatalf("after a failure: %v", err)
	}
	w.Answers[1].Err = errors.New("exit status 1")
	o.StateDir = t.TempDir()
	if _, err := kubernetesModule(t.Context(), o, recipeOf(t, o.Kubernetes), "none"); !errors.As(err, new(*KubernetesError)) || !strings.Contains(err.Error(), "v1.21.14: resolve its modules") {
		t.Errorf("modules that are missing: %v", err)
	}
}

// TestNewKubernetesIsNotVendored: the module of a new Kubernetes has all its
// code, and its go.mod names the tools.
func TestNewKubernetesIsNotVendored(t *testing.T) {
	t.Parallel()
	o, w := old(t, "v1.24.17")
	dir, err := kubernetesModule(t.Context(), o, recipeOf(t, o.Kubernetes), "none")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil || !strings.Contains(string(mod), "k8s.io/kubernetes/cmd/kubelet") {
		t.Errorf("go.mod is\n%s%v", mod, err)
	}
	if calls := w.Calls(); len(calls) != 2 || calls[1] != "go mod tidy" {
		t.Fatalf("calls: %q", calls)
	}
	if env := w.Cmds()[1].Env; !slices.Contains(env, "GOTOOLCHAIN=go1.24.7") {
		t.Errorf("the modules are resolved with %q: the latest version of a module may want a newer Go than the one that compiles", env)
	}
}

// TestToolchainIsFetchedFirst: if the Go of an old Kubernetes cannot be fetched,
// nothing else begins.
func TestToolchainIsFetchedFirst(t *testing.T) {
	t.Parallel()
	if canBuild(runtime.GOOS, os.Geteuid(), func(string) bool { return true }) != nil {
		t.Skip("this user cannot build node images")
	}
	for kubernetes, refused := range map[string]bool{"v1.18.19": true, "v1.36.1": false} {
		o, w := old(t, kubernetes)
		for _, file := range []string{"scripts/node-rootfs.sh", "magefiles/components/kubernetes/go.mod"} {
			writeFile(t, filepath.Join(o.Root, filepath.FromSlash(file)), "")
		}
		for _, folder := range recipeOf(t, kubernetes).components() {
			writeFile(t, filepath.Join(o.Root, "magefiles", "components", folder, "go.mod"), "")
		}
		w.Answers = append([]runtest.Answer{
			{Prefix: "go version", Stderr: "go: download go1.13.15: not served\n", Err: errors.New("exit status 1")},
			{Prefix: "go list", Stdout: "v0.33.0\n"}, {Prefix: "apt-get"}, {Prefix: "docker image ls"},
		}, w.Answers...)
		o.Engine = engine.New(w)
		err := CanBuild(t.Context(), o)
		if errors.As(err, new(*build.ToolchainError)) != refused || (err != nil) != refused {
			t.Errorf("CanBuild(%s) = %v", kubernetes, err)
		}
	}
}
