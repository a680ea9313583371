package build

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/run"
)

const program = `package main

import "fmt"

var gitVersion = "unset"

func main() { fmt.Print(gitVersion) }
`

// module writes a module with one program and returns its folder.
func module(t *testing.T, source string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": "module example.com/m\n\ngo 1.21\n", "main.go": source} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func request(t *testing.T, dir string) Request {
	return Request{
		Dir: dir, Packages: []string{"."}, Output: filepath.Join(t.TempDir(), "bin", "program"), ID: "one", Host: true,
		LDFlags: []string{"-X", "main.gitVersion=v1.2.3"},
	}
}

func mustBuild(t *testing.T, r Request) Result {
	t.Helper()
	result, err := Build(t.Context(), r, Options{Runner: run.Exec{}})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestAll(t *testing.T) {
	t.Parallel()
	first, second := request(t, module(t, program+"// new to the compiler: "+rand.Text()+"\n")), request(t, module(t, program))
	mustBuild(t, second)
	var said []string
	o := Options{Runner: run.Exec{}, Progress: func(text string) { said = append(said, text) }}
	if cached, err := All(t.Context(), []Request{first, second}, o); err != nil || cached != 1 {
		t.Errorf("All() = %d, %v; want one that was up to date", cached, err)
	}
	if len(said) == 0 || !strings.HasPrefix(said[0], "program (1 of 2): ") {
		t.Errorf("it said %q", said)
	}
	broken := request(t, module(t, "package main"))
	if cached, err := All(t.Context(), []Request{second, broken, first}, o); !errors.As(err, new(*CompilerError)) || cached != 1 {
		t.Errorf("All() = %d, %v; want one, and the compiler's error", cached, err)
	}
}

func TestBuildOnceForEachInput(t *testing.T) {
	t.Parallel()
	r := request(t, module(t, program))
	if mustBuild(t, r).Cached {
		t.Error("the first build says it was cached")
	}
	out, err := exec.CommandContext(t.Context(), r.Output).Output()
	if err != nil || string(out) != "v1.2.3" {
		t.Errorf("the program says %q, %v; want its linked version", out, err)
	}
	if !mustBuild(t, r).Cached {
		t.Error("the same request was built again")
	}
	other := r
	other.ID = "two"
	if mustBuild(t, other).Cached {
		t.Error("other content was not built")
	}
	flags := other
	flags.LDFlags = nil
	if mustBuild(t, flags).Cached {
		t.Error("other flags were not built")
	}
	built, err := os.ReadFile(r.Output)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range [][]byte{[]byte("tampered"), make([]byte, len(built))} {
		if err := os.WriteFile(r.Output, content, 0o755); err != nil {
			t.Fatal(err)
		}
		if mustBuild(t, flags).Cached {
			t.Errorf("a binary was kept that was replaced by %d bytes", len(content))
		}
	}
	unknown := flags
	unknown.ID = ""
	if mustBuild(t, unknown).Cached {
		t.Error("a tree that may change was not given to go build")
	}
}

// TestChangedBinary: a binary that is not as it was built is built again, and a person is told, even if
// its size and its time are those of the binary. The same for a tree that may change, where go build
// keeps a binary with the right build ID.
func TestChangedBinary(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"one", ""} {
		r := request(t, module(t, program))
		r.ID = id
		mustBuild(t, r)
		built, err := os.ReadFile(r.Output)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(r.Output)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Replace(built, []byte("v1.2.3"), []byte("v6.6.6"), 1)
		if bytes.Equal(changed, built) {
			t.Fatal("the program has no version to change")
		}
		if err := errors.Join(os.WriteFile(r.Output, changed, 0o755), os.Chtimes(r.Output, info.ModTime(), info.ModTime())); err != nil {
			t.Fatal(err)
		}
		if UpToDate(t.Context(), r, Options{Runner: run.Exec{}}) {
			t.Errorf("ID %q: the changed binary is up to date", id)
		}
		var told []string
		o := Options{Runner: run.Exec{}, Warn: func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }}
		for range 2 { // once more, with nothing to tell
			if _, err := Build(t.Context(), r, o); err != nil {
				t.Fatal(err)
			}
		}
		if again, err := os.ReadFile(r.Output); err != nil || !bytes.Equal(again, built) {
			t.Errorf("ID %q: the changed binary was kept: %v", id, err)
		}
		if want := []string{"! " + r.Output + " is not as the lab built it: building it again"}; !slices.Equal(told, want) {
			t.Errorf("ID %q: it told %q, want %q", id, told, want)
		}
		if err := os.Remove(r.Output); err != nil {
			t.Fatal(err)
		}
		if _, err := Build(t.Context(), r, o); err != nil || len(told) != 1 {
			t.Errorf("ID %q: a binary that was removed: %v, %q", id, err, told)
		}
	}
}

func TestSeveralPrograms(t *testing.T) {
	t.Parallel()
	dir := module(t, program)
	for _, name := range []string{"a", "b"} {
		if err := os.MkdirAll(filepath.Join(dir, "cmd", name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cmd", name, "main.go"), []byte(program), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := request(t, dir)
	r.Packages, r.Output = []string{"./cmd/a", "./cmd/b"}, filepath.Join(t.TempDir(), "bins")
	mustBuild(t, r)
	for _, path := range Outputs(r) {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("no %s", path)
		}
	}
	if !mustBuild(t, r).Cached {
		t.Error("they were built again")
	}
}

func TestReproducible(t *testing.T) {
	t.Parallel()
	var sums [2][sha256.Size]byte
	for i := range sums {
		r := request(t, module(t, program))
		mustBuild(t, r)
		data, err := os.ReadFile(r.Output)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(data)
	}
	if sums[0] != sums[1] {
		t.Error("the same source in two folders gives two binaries")
	}
}

func TestCompilerSpeaksForItself(t *testing.T) {
	t.Parallel()
	r := request(t, module(t, "package main\n\nfunc main() { undefined() }\n"))
	_, err := Build(t.Context(), r, Options{Runner: run.Exec{}})
	if err == nil || !strings.HasPrefix(err.Error(), "go build . in "+r.Dir+": ") || !strings.Contains(err.Error(), "main.go:3:15: undefined: undefined") {
		t.Errorf("the error does not have the compiler's message:\n%v", err)
	}
}

func TestProgressCounts(t *testing.T) {
	t.Parallel()
	var said []string
	p := &progress{report: func(s string) { said = append(said, s) }}
	for _, line := range []string{"internal/cpu\n", "go: downloading k8s.io/api v0.36.1\n", "k8s.io/api\nmain.go:1: x\n"} {
		if _, err := p.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	want := "1 packages compiled|downloading k8s.io/api v0.36.1|2 packages compiled"
	if got := strings.Join(said, "|"); got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestClusterAPILayouts(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]struct{ core, docker, pkg string }{
		"0.3.5":       {".", "/tree/test/infrastructure/docker .", "sigs.k8s.io/cluster-api/cmd/version"},
		"0.4.8":       {".", "/tree/test ./infrastructure/docker", "sigs.k8s.io/cluster-api/version"},
		"1.13.5":      {".", "/tree/test ./infrastructure/docker", "sigs.k8s.io/cluster-api/version"},
		"1.14.0-rc.1": {"./core", "/tree/test ./infrastructure/docker", "sigs.k8s.io/cluster-api/version"},
		"1.14.2":      {"./core", "/tree/test ./infrastructure/docker", "sigs.k8s.io/cluster-api/version"},
	} {
		r := ClusterAPI{Dir: "/tree", Version: version.Must(version.NewSemver(tag)), Tag: "v" + tag, Arch: "arm64"}.Requests()
		if got := r[Core].Packages[0]; got != want.core {
			t.Errorf("%s: core is %s, want %s", tag, got, want.core)
		}
		if got := r[Docker].Dir + " " + r[Docker].Packages[0]; got != want.docker {
			t.Errorf("%s: the Docker provider is %s, want %s", tag, got, want.docker)
		}
		if want := map[string]string{"0.3.5": "go1.13.15", "0.4.8": "go1.16.15"}[tag]; r[Core].Toolchain != want || r[Docker].Toolchain != want {
			t.Errorf("%s is compiled by %q and %q, want %q", tag, r[Core].Toolchain, r[Docker].Toolchain, want)
		}
		if got := strings.Join(r[Core].LDFlags, " "); !strings.Contains(got, want.pkg+".gitVersion=v"+tag) {
			t.Errorf("%s: flags %s", tag, got)
		}
		if r[Core].Host || r[Core].Arch != "arm64" {
			t.Errorf("%s: managers run in containers", tag)
		}
	}
}

// TestOwnClusterctl: clusterctl is built only for older releases, whose
// clusterctl the lab runs on this machine.
func TestOwnClusterctl(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{"0.3.5": true, "1.10.10": true, "1.11.0": false, "1.14.2": false} {
		c := ClusterAPI{Dir: "/tree", Version: version.Must(version.NewSemver(tag)), Tag: "v" + tag, Arch: "arm64", OutDir: "/out"}
		r, built := c.Requests()[Clusterctl]
		if built != want || slices.Contains(c.Programs(), Clusterctl) != want || len(c.Requests()) != len(c.Programs()) {
			t.Errorf("%s: clusterctl is built: %t, among %q", tag, built, c.Programs())
		}
		if want && (!r.Host || r.Dir != "/tree" || r.Packages[0] != "./cmd/clusterctl" || r.Output != "/out/clusterctl" || !strings.Contains(strings.Join(r.LDFlags, " "), "gitVersion=v"+tag)) {
			t.Errorf("%s: %+v", tag, r)
		}
	}
}

// TestCommands: kind and kubectl have the versions that the lab's modules pin.
func TestCommands(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..")
	kubernetes := filepath.Join(root, "magefiles", "components", "kubernetes")
	for pkg, r := range map[string]Request{
		"sigs.k8s.io/kind": Kind(root, "/out/kind"), "k8s.io/kubernetes/cmd/kubectl": Kubectl(kubernetes, "/out/kubectl"),
	} {
		if !slices.Equal(r.Packages, []string{pkg}) || r.Output != "/out/"+path.Base(pkg) || !r.Host || r.ID == "" {
			t.Errorf("%s: %+v", pkg, r)
		}
		list := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Name}}", pkg)
		list.Dir, list.Env = r.Dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
		if name, err := list.Output(); err != nil || string(name) != "main\n" {
			t.Errorf("%s is no program of the module in %s: %q, %v", pkg, r.Dir, name, err)
		}
	}
}

// TestDockerCLI: the docker command is built for old Docker providers, which run
// it.
func TestDockerCLI(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{"0.3.5": true, "0.4.0": true, "0.4.1": false, "1.14.2": false} {
		c := ClusterAPI{Dir: "/tree", Version: version.Must(version.NewSemver(tag)), Arch: "arm64", OutDir: "/out", Components: filepath.Join("..", "..", "components")}
		r, built := c.Requests()[DockerCLI]
		if built != want || slices.Contains(c.Programs(), DockerCLI) != want {
			t.Errorf("%s: the docker command is built: %t, among %q", tag, built, c.Programs())
		}
		if !want {
			continue
		}
		if r.Host || r.Arch != "arm64" || r.Output != "/out/docker" || r.Toolchain != "" {
			t.Errorf("%s: %+v", tag, r)
		}
		if _, err := os.Stat(filepath.Join(r.Dir, "go.mod")); err != nil {
			t.Errorf("%s: its module: %v", tag, err)
		}
	}
}

// TestDockerCLIIsBuiltOnce: the docker command is compiled anew if its pins change, and only
// then.
func TestDockerCLIIsBuiltOnce(t *testing.T) {
	t.Parallel()
	c := ClusterAPI{Version: version.Must(version.NewSemver("0.3.5")), Components: t.TempDir()}
	id := func() string { return c.Requests()[DockerCLI].ID }
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(c.Components, "dockercli", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if got := id(); got != "" {
		t.Errorf("without a module: %q", got)
	}
	write("go.mod", "module a\n")
	write("go.sum", "")
	first := id()
	if first == "" || id() != first {
		t.Errorf("the same pins: %q and %q", first, id())
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		before := id()
		write(name, "changed\n")
		if id() == before {
			t.Errorf("a changed %s is not noticed", name)
		}
	}
}

// TestTreeState: a program's version says whether its tree had uncommitted
// changes.
func TestTreeState(t *testing.T) {
	t.Parallel()
	c := ClusterAPI{Dir: "/tree", Version: version.Must(version.NewSemver("1.14.2")), Tag: "v1.14.2", Commit: "abc"}
	for dirty, want := range map[bool]string{false: "clean", true: "dirty"} {
		c.Dirty = dirty
		flags := strings.Join(c.Requests()[Core].LDFlags, " ")
		for _, variable := range []string{".gitTreeState=" + want, ".gitMajor=1", ".gitMinor=14", ".gitCommit=abc"} {
			if !strings.Contains(flags+" ", variable+" ") {
				t.Errorf("dirty %t: no %s in %s", dirty, variable, flags)
			}
		}
	}
}

// TestCheckLayout: a tree of another series is refused before anything is
// compiled.
func TestCheckLayout(t *testing.T) {
	t.Parallel()
	tree := t.TempDir()
	for _, main := range []string{"core", "bootstrap/kubeadm", "controlplane/kubeadm", "test/infrastructure/docker"} {
		path := filepath.Join(tree, main, "main.go")
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("package main\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for tag, want := range map[string]string{"1.14.2": "", "1.13.5": Core} {
		err := ClusterAPI{Dir: tree, Version: version.Must(version.NewSemver(tag))}.CheckLayout()
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("CheckLayout() of %s = %v, want %q", tag, err, want)
		}
	}
}

// TestRefused: a program that does not compile is told from one that could not be compiled now.
func TestRefused(t *testing.T) {
	t.Parallel()
	for complaints, want := range map[string]bool{
		"# example.com/m\n./main.go:7:2: undefined: x":                                                         true,
		"main.go:3:8: package example.com/gone is not in std":                                                  true,
		"main.go:3:8: no required module provides package example.com/x; to add it:\n\tgo get example.com/x":   true,
		"# example.com/m\nlink: golang.org/x/net: invalid reference to syscall.recvmsg":                        true,
		"# example.com/m\nruntime.main_main·f: function main is undeclared in the main package":                true,
		"go: updates to go.mod needed":                                                                         true,
		"go: inconsistent vendoring in /m:":                                                                    true,
		"main.go:3:8: example.com/x@v1.2.3: Get \"https://proxy.example.com/x\": dial tcp: connection refused": false,
		"main.go:3:8: example.com/x@v1.2.3: module lookup disabled by GOPROXY=off":                             false,
		"go: example.com/x@v1.2.3: reading https://proxy.example.com/x: 502 Bad Gateway":                       false,
		"# example.com/m\n/go/pkg/tool/linux_amd64/compile: signal: killed":                                    false,
		"# example.com/m\n/go/pkg/tool/linux_amd64/link: mapping output file failed: no space left on device":  false,
		"": false,
	} {
		if got := (&CompilerError{Complaints: complaints}).Refused(); got != want {
			t.Errorf("Refused() = %t, want %t, of\n%s", got, want, complaints)
		}
	}
}
