package source

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"caslab/magefiles/internal/run"
)

// upstream is a throwaway repository, served over HTTP by git itself.
type upstream struct {
	t    *testing.T
	dir  string
	repo *git.Repository
	url  string
	// cut, while set, ends every response after that many bytes.
	cut atomic.Int64
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	backend, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Skipf("a git server needs git: %v", err)
	}
	root := t.TempDir()
	u := &upstream{t: t, dir: filepath.Join(root, "cluster-api")}
	if u.repo, err = git.PlainInit(u.dir, false); err != nil {
		t.Fatal(err)
	}
	handler := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(backend)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := u.cut.Load(); n > 0 && strings.HasSuffix(r.URL.Path, "git-upload-pack") {
			w = &cutWriter{ResponseWriter: w, left: n}
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	u.url = server.URL + "/cluster-api/.git"
	return u
}

// cutWriter drops the connection in the middle of a response.
type cutWriter struct {
	http.ResponseWriter
	left int64
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if c.left -= int64(len(p)); c.left < 0 {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(p)
}

// commit writes the files, paths and contents in turn, and commits them.
func (u *upstream) commit(files ...string) plumbing.Hash {
	u.t.Helper()
	worktree, err := u.repo.Worktree()
	if err != nil {
		u.t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		write(u.t, filepath.Join(u.dir, files[i]), files[i+1])
		if _, err := worktree.Add(files[i]); err != nil {
			u.t.Fatal(err)
		}
	}
	who := &object.Signature{Name: "t", Email: "t@example.com", When: time.Unix(0, 0)}
	hash, err := worktree.Commit("c", &git.CommitOptions{Author: who})
	if err != nil {
		u.t.Fatal(err)
	}
	return hash
}

func (u *upstream) tag(name string, hash plumbing.Hash, annotated bool) {
	u.t.Helper()
	if err := u.repo.DeleteTag(name); err != nil && !errors.Is(err, git.ErrTagNotFound) {
		u.t.Fatal(err)
	}
	var options *git.CreateTagOptions
	if annotated {
		options = &git.CreateTagOptions{Message: name, Tagger: &object.Signature{Name: "t", Email: "t@example.com"}}
	}
	if _, err := u.repo.CreateTag(name, hash, options); err != nil {
		u.t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (u *upstream) spec(tag string) Spec {
	s := ClusterAPI(tag)
	s.Origin, s.URL = Git, u.url
	return s
}

func options(t *testing.T) Options {
	return Options{Dir: t.TempDir(), Runner: run.Exec{}}
}

const goMod = "module sigs.k8s.io/cluster-api\n"

func TestGitFetchesATagOnceAndRecordsItsCommit(t *testing.T) {
	t.Parallel()
	for _, annotated := range []bool{false, true} {
		u := newUpstream(t)
		first := u.commit("go.mod", goMod, "old", "x")
		want := u.commit("a/b", "at the tag")
		u.tag("v1.14.2", want, annotated)
		u.commit("a/b", "after the tag")

		o := options(t)
		tree, err := Fetch(t.Context(), u.spec("v1.14.2"), o)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Commit != want.String() || tree.Origin != Git || tree.ID == "" {
			t.Errorf("annotated %v: tree %+v, want commit %s", annotated, tree, want)
		}
		if got := read(t, filepath.Join(tree.Dir, "a", "b")); got != "at the tag" {
			t.Errorf("the tree holds %q", got)
		}
		cloned, err := git.PlainOpen(tree.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cloned.CommitObject(first); err == nil {
			t.Error("the clone is not shallow")
		}
		before, _ := os.Stat(tree.Dir)
		if tree, err = Fetch(t.Context(), u.spec("v1.14.2"), o); err != nil {
			t.Fatal(err)
		}
		if after, _ := os.Stat(tree.Dir); !os.SameFile(before, after) {
			t.Error("it was fetched again")
		}
	}
}

func TestGitFetchesACommit(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	// As the large hosts of git repositories allow.
	settings, err := u.repo.Config()
	if err != nil {
		t.Fatal(err)
	}
	settings.Raw.SetOption("uploadpack", "", "allowAnySHA1InWant", "true")
	if err := u.repo.SetConfig(settings); err != nil {
		t.Fatal(err)
	}
	want := u.commit("go.mod", goMod, "f", "one")
	u.commit("f", "two")
	s := u.spec("v1.14.2")
	s.Commit = want.String()
	tree, err := Fetch(t.Context(), s, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if tree.Commit != want.String() || read(t, filepath.Join(tree.Dir, "f")) != "one" {
		t.Errorf("tree %+v", tree)
	}
}

func TestMovedTag(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.tag("v1.14.2", u.commit("go.mod", goMod), false)
	o := options(t)
	if _, err := Fetch(t.Context(), u.spec("v1.14.2"), o); err != nil {
		t.Fatal(err)
	}
	is := u.commit("other", "x")
	u.tag("v1.14.2", is, false)
	_, err := Fetch(t.Context(), u.spec("v1.14.2"), o)
	var moved *MovedTagError
	if !errors.As(err, &moved) || moved.Is != is.String() || !strings.Contains(err.Error(), "rm -r") {
		t.Errorf("Fetch() of a moved tag = %v", err)
	}
}

func TestMissingTagNamesTheNearest(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	hash := u.commit("go.mod", goMod)
	for _, tag := range []string{"v0.3.5", "v1.13.5", "v1.14.0", "v1.14.1", "v1.15.0-rc.0", "test/v1.14.3"} {
		u.tag(tag, hash, false)
	}
	for name, try := range map[string]func() error{
		"check": func() error { return Check(t.Context(), u.spec("v1.14.3"), options(t)) },
		"fetch": func() error { _, err := Fetch(t.Context(), u.spec("v1.14.3"), options(t)); return err },
	} {
		err := try()
		if want := "has no tag v1.14.3; the nearest are v1.14.1, v1.14.0, v1.13.5: set CAPI_VERSION"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", name, err, want)
		}
	}
}

func TestCutConnectionIsTakenUp(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.tag("v1.14.2", u.commit("go.mod", goMod, "large", strings.Repeat("noise that does not matter\n", 4000)), false)
	o := options(t)
	u.cut.Store(300)
	if _, err := Fetch(t.Context(), u.spec("v1.14.2"), o); err == nil {
		t.Fatal("a fetch succeeded whose connection was cut")
	}
	entries, err := os.ReadDir(filepath.Join(o.Dir, "cluster-api"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 0 {
		t.Errorf("the cut fetch left %v", entries)
	}
	u.cut.Store(0)
	if _, err := Fetch(t.Context(), u.spec("v1.14.2"), o); err != nil {
		t.Errorf("the next fetch: %v", err)
	}
}

func TestUnreachableGit(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := ClusterAPI("v1.14.2")
	s.Origin, s.URL = Git, "http://"+address+"/cluster-api"
	if err := Check(t.Context(), s, options(t)); err == nil || !strings.Contains(err.Error(), "CAPI_GIT=http://"+address) {
		t.Errorf("Check() = %v; want the setting and its value in it", err)
	}
}

func TestFetchedTreeServesWithoutNetwork(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.tag("v1.14.2", u.commit("go.mod", goMod), false)
	o := options(t)
	want, err := Fetch(t.Context(), u.spec("v1.14.2"), o)
	if err != nil {
		t.Fatal(err)
	}
	s := u.spec("v1.14.2")
	s.URL = "http://127.0.0.1:1/gone"
	got, err := Fetch(t.Context(), s, o)
	if err != nil || got.Dir != want.Dir {
		t.Errorf("Fetch() = %+v, %v; want what was fetched before", got, err)
	}
}

func TestCancelledFetchLeavesNothing(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.tag("v1.14.2", u.commit("go.mod", goMod), false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := options(t)
	if _, err := Fetch(ctx, u.spec("v1.14.2"), o); !errors.Is(err, context.Canceled) {
		t.Errorf("Fetch() = %v, want context.Canceled", err)
	}
	if entries, _ := os.ReadDir(o.Dir); len(entries) != 0 {
		t.Errorf("left %v", entries)
	}
}

// TestModulesLieAsTheRepositoryDid fetches the real release, if the module
// proxy answers.
func TestModulesLieAsTheRepositoryDid(t *testing.T) {
	t.Parallel()
	s := ClusterAPI("v1.14.2")
	s.Origin = Module
	o := options(t)
	if err := Check(t.Context(), s, o); err != nil {
		t.Skipf("no Go module proxy: %v", err)
	}
	tree, err := Fetch(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"core/main.go", "api/go.mod", "test/go.mod", "test/infrastructure/docker/main.go", "metadata.yaml"} {
		if _, err := os.Stat(filepath.Join(tree.Dir, path)); err != nil {
			t.Errorf("the tree has no %s", path)
		}
	}
	// Upstream's own replacements by ../ must hold.
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./infrastructure/docker")
	cmd.Dir, cmd.Env = filepath.Join(tree.Dir, "test"), append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "sigs.k8s.io/cluster-api/api/core") {
		t.Errorf("the Docker provider's packages: %v\n%.2000s", err, out)
	}
	s.Version = "v1.14.999"
	if err := Check(t.Context(), s, o); err == nil || !strings.Contains(err.Error(), "v1.14.999") {
		t.Errorf("Check() of a release that is not there = %v", err)
	}
}

func TestAutoTellsWhy(t *testing.T) {
	t.Parallel()
	s := ClusterAPI("v1.14.2")
	s.Origin, s.URL = Auto, "http://127.0.0.1:1/gone"
	o := options(t)
	probe := s
	probe.Origin = Module
	if err := Check(t.Context(), probe, o); err != nil {
		t.Skipf("no Go module proxy: %v", err)
	}
	tree, err := Fetch(t.Context(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	if tree.Origin != Module || !strings.Contains(tree.Why, "git failed") {
		t.Errorf("tree %+v, want a module and why", tree)
	}
	s.Version, s.Tag = "v1.14.999", "v1.14.999"
	if err := Check(t.Context(), s, o); err == nil || !strings.Contains(err.Error(), "CAPI_GIT") || !strings.Contains(err.Error(), "proxy") {
		t.Errorf("Check() = %v; want both reasons", err)
	}
}

func TestCheckout(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	head := u.commit("go.mod", goMod)
	s := ClusterAPI("v1.14.2")
	s.Origin, s.Path = Dir, u.dir
	index := read(t, filepath.Join(u.dir, ".git", "index"))
	tree, err := Fetch(t.Context(), s, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if tree.Dir != u.dir || tree.Commit != head.String() || tree.Dirty || tree.ID != "" {
		t.Errorf("clean checkout: %+v", tree)
	}
	write(t, filepath.Join(u.dir, "go.mod"), goMod+"// changed\n")
	if tree, err = Fetch(t.Context(), s, options(t)); err != nil || !tree.Dirty {
		t.Errorf("changed checkout: %+v, %v", tree, err)
	}
	if read(t, filepath.Join(u.dir, ".git", "index")) != index {
		t.Error("the checkout was written to")
	}
}

func TestNotACheckout(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	other := t.TempDir()
	write(t, filepath.Join(other, "go.mod"), "module example.com/other\n")
	for dir, want := range map[string]string{
		filepath.Join(other, "gone"): "no such folder",
		file:                         "not a folder",
		t.TempDir():                  "it has no go.mod",
		other:                        `"example.com/other"`,
	} {
		s := ClusterAPI("v1.14.2")
		s.Origin, s.Path = Dir, dir
		if err := Check(t.Context(), s, options(t)); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "CAPI_DIR="+dir) {
			t.Errorf("Check(%s) = %v; want %s", dir, err, want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	tags := []string{"cluster-autoscaler-1.36.1", "cluster-autoscaler-1.35.2", "cluster-autoscaler-1.0.0", "vertical-pod-autoscaler-1.36.2", "junk"}
	got := nearest("cluster-autoscaler-1.36.2", tags)
	if len(got) != 3 || got[0] != "cluster-autoscaler-1.36.1" || got[1] != "cluster-autoscaler-1.35.2" {
		t.Errorf("nearest() = %v", got)
	}
	if got := nearest("main", tags); got != nil {
		t.Errorf("nearest() of no version = %v", got)
	}
}

// FuzzNearest: any tag that a repository has or a user wants is survived.
func FuzzNearest(f *testing.F) {
	f.Add("v1.14.2", "v1.14.1")
	f.Add("cluster-autoscaler-1.36.1", "x")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, want, tag string) {
		for _, got := range nearest(want, []string{tag}) {
			if got != tag {
				t.Errorf("nearest(%q) = %q, which no one tagged", want, got)
			}
		}
	})
}
