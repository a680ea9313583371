package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
)

// upstream is a temporary repository, which git's own server serves over HTTP.
type upstream struct {
	t    *testing.T
	dir  string
	repo *git.Repository
	url  string
	// While stopped is set, every connection is cut. The server is not closed
	// instead, because another test's server may then get its port.
	stopped atomic.Bool
	// If cut is not zero, every response ends after that many bytes.
	cut atomic.Int64
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	backend, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
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
		// git complains on stderr when a test requests what does not exist.
		Stderr: io.Discard,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u.stopped.Load() {
			panic(http.ErrAbortHandler)
		}
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

// commit writes files, given as path, content, path, content and so on, and
// commits them.
func (u *upstream) commit(files ...string) plumbing.Hash {
	u.t.Helper()
	worktree, err := u.repo.Worktree()
	if err != nil {
		u.t.Fatal(err)
	}
	for i := 0; i < len(files); i += 2 {
		if files[i+1] != "" { // a link, which is there already, has no content
			write(u.t, filepath.Join(u.dir, files[i]), files[i+1])
		}
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
	// The large hosts of git repositories allow this too.
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

// TestGitFetchesTheLastCommitOfABranch: a server that sends only commits that its
// references name, as git does by default, sends the last commit of a branch, and refuses
// an earlier one.
func TestGitFetchesTheLastCommitOfABranch(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	before, last := u.commit("go.mod", goMod, "f", "one"), u.commit("f", "two")
	s := u.spec("v1.14.2")
	s.Commit = last.String()
	tree, err := Fetch(t.Context(), s, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if tree.Commit != last.String() || read(t, filepath.Join(tree.Dir, "f")) != "two" {
		t.Errorf("tree %+v", tree)
	}
	s.Commit = before.String()
	var failed *GitError
	// The Go module proxy has releases, and no commits.
	if _, err := Fetch(t.Context(), s, options(t)); !errors.As(err, &failed) || failed.InModules || !strings.Contains(err.Error(), "clone "+s.Commit) {
		t.Errorf("a commit before it: %v", err)
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
	if !errors.As(err, &moved) || moved.Is != is.String() || !strings.Contains(err.Error(), moved.Was) {
		t.Fatalf("Fetch() of a moved tag = %v", err)
	}
	for _, path := range []string{moved.Dir, moved.Record} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Error(err)
		}
	}
	if tree, err := Fetch(t.Context(), u.spec("v1.14.2"), o); err != nil || tree.Commit != is.String() {
		t.Errorf("Fetch() after both were removed = %+v, %v", tree, err)
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
		var missing *MissingTagError
		if want := "has no tag v1.14.3; the nearest are v1.14.1, v1.14.0, v1.13.5"; !errors.As(err, &missing) || missing.Component != ClusterAPIName || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", name, err, want)
		}
	}
}

func TestCutConnectionIsResumed(t *testing.T) {
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
	s := ClusterAPI("v1.14.2")
	s.Origin, s.URL = Git, "http://127.0.0.1:1/cluster-api"
	var failed *GitError
	if err := Check(t.Context(), s, options(t)); !errors.As(err, &failed) || failed.Component != ClusterAPIName || !failed.InModules || !strings.Contains(err.Error(), "list the tags of "+s.URL+": ") {
		t.Errorf("Check() = %v; want a GitError with the repository in it", err)
	}
}

func TestFetchedTreeNeedsNoNetwork(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.tag("v1.14.2", u.commit("go.mod", goMod), false)
	o := options(t)
	want, err := Fetch(t.Context(), u.spec("v1.14.2"), o)
	if err != nil {
		t.Fatal(err)
	}
	u.stopped.Store(true)
	for _, origin := range []string{Git, Auto} {
		s := u.spec("v1.14.2")
		s.Origin = origin
		if err := Check(t.Context(), s, o); err != nil {
			t.Errorf("%s: Check() = %v", origin, err)
		}
		got, err := Fetch(t.Context(), s, o)
		if err != nil || got.Dir != want.Dir {
			t.Errorf("%s: Fetch() = %+v, %v; want what was fetched before", origin, got, err)
		}
	}
}

// TestChangedTreeIsFetchedAgain: a tree with a file that was changed, added or removed, a link that leads
// elsewhere or a file that became executable is not compiled: it is fetched again, and a person is told.
// A tag that moved meanwhile is still an error.
func TestChangedTreeIsFetchedAgain(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	if err := os.Symlink("go.mod", filepath.Join(u.dir, "link")); err != nil {
		t.Fatal(err)
	}
	u.tag("v1.14.2", u.commit("go.mod", goMod, "a/b", "old", "link", ""), false)
	o := options(t)
	var told []string
	o.Warn = func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	tree, err := Fetch(t.Context(), u.spec("v1.14.2"), o)
	if err != nil {
		t.Fatal(err)
	}
	file, link := filepath.Join(tree.Dir, "a", "b"), filepath.Join(tree.Dir, "link")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	fine := []func() error{
		func() error { return nil },
		func() error { return os.WriteFile(filepath.Join(tree.Dir, ".git", "x"), nil, 0o600) },
		func() error { return os.Chtimes(file, time.Time{}, time.Unix(1, 0)) },
		func() error { // a record of an older lab
			rec, err := readRecord(tree.Dir)
			rec.Sum = ""
			return errors.Join(err, rec.write(tree.Dir))
		},
	}
	changes := []func() error{
		func() error {
			return errors.Join(os.WriteFile(file, []byte("new"), 0o644), os.Chtimes(file, info.ModTime(), info.ModTime()))
		},
		func() error { return os.WriteFile(file+"2", nil, 0o600) },
		func() error { return os.Remove(file) },
		func() error { return os.Chmod(file, 0o755) },
		func() error { return errors.Join(os.Remove(link), os.Symlink("a/b", link)) },
		func() error { return os.RemoveAll(tree.Dir) },
	}
	for i, change := range slices.Concat(fine, changes) {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		before := len(told)
		again, err := Fetch(t.Context(), u.spec("v1.14.2"), o)
		if err != nil || again.Dir != tree.Dir || again.ID != tree.ID || read(t, file) != "old" {
			t.Errorf("change %d: %+v, %v", i, again, err)
		}
		if want := min(1, max(0, i-len(fine)+1)); len(told)-before != want {
			t.Errorf("change %d: told %q, want %d lines", i, told[before:], want)
		}
	}
	if want := "! cluster-api v1.14.2 in " + tree.Dir + " is not as it was fetched: fetching it again"; told[0] != want {
		t.Errorf("told %q, want %q", told[0], want)
	}
	write(t, file, "new")
	u.tag("v1.14.2", u.commit("other", "x"), false)
	if _, err := Fetch(t.Context(), u.spec("v1.14.2"), o); !errors.As(err, new(*MovedTagError)) {
		t.Errorf("a changed tree of a tag that moved: %v", err)
	}
}

// silentServer listens and never answers, so that it looks like a firewall that
// drops packets. The kernel accepts connections, but nobody reads from them.
func silentServer(t *testing.T) (address string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// fetchBefore writes a tree to the folder where an earlier fetch would have left
// it.
func fetchBefore(t *testing.T, s Spec, o Options, commit string) (dir string) {
	t.Helper()
	dir = s.folder(o, Git)
	write(t, filepath.Join(dir, "go.mod"), goMod)
	if err := (record{Tag: s.Tag, Commit: commit, ID: "git:" + commit}).write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

const someCommit = "0123456789012345678901234567890123456789"

func TestFetchedTreeIsUsedIfTheServerDoesNotAnswer(t *testing.T) {
	if recheckTimeout > 5*time.Second {
		t.Errorf("who works without a network waits %s", recheckTimeout)
	}
	known := filepath.Join(t.TempDir(), "known_hosts")
	write(t, known, "")
	t.Setenv("SSH_KNOWN_HOSTS", known)
	agent := filepath.Join(t.TempDir(), "agent")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", agent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	t.Setenv("SSH_AUTH_SOCK", agent)
	for _, scheme := range []string{"http://", "ssh://git:secret-token@"} {
		o := options(t)
		o.recheckTimeout = 200 * time.Millisecond
		s := ClusterAPI("v1.14.2")
		s.Origin, s.URL = Git, scheme+silentServer(t)+"/cluster-api"
		dir := fetchBefore(t, s, o, someCommit)
		var progress []string
		o.Progress = func(line string) { progress = append(progress, line) }
		tree, err := Fetch(t.Context(), s, o)
		if err != nil || tree.Dir != dir || tree.Commit != someCommit {
			t.Fatalf("%s: Fetch() = %+v, %v; want what was fetched before", scheme, tree, err)
		}
		if want := "whether the tag v1.14.2 moved is not known"; !strings.Contains(tree.Why, want) || !strings.Contains(tree.Why, "no answer within 200ms") || len(progress) != 1 || progress[0] != tree.Why {
			t.Errorf("%s: Why is %q, progress %q; want %q once", scheme, tree.Why, progress, want)
		}
		if strings.Contains(tree.Why, "secret-token") {
			t.Errorf("the token is in %q", tree.Why)
		}
	}
}

func TestFetchedCommitNeedsNoRequest(t *testing.T) {
	t.Parallel()
	for _, origin := range []string{Git, Auto} {
		o := options(t)
		s := ClusterAPI("v1.14.2")
		s.Origin, s.URL, s.Commit = origin, "http://"+silentServer(t)+"/cluster-api", someCommit
		dir := fetchBefore(t, s, o, someCommit)
		o.recheckTimeout = time.Nanosecond // who asks gets no answer, and says so
		tree, err := Fetch(t.Context(), s, o)
		if err != nil || tree.Dir != dir || tree.Why != "" {
			t.Errorf("%s: Fetch() = %+v, %v; want what was fetched before, at once", origin, tree, err)
		}
	}
}

// TestServerThatDoesNotAnswer: a fetch from a server that does not answer ends
// after a time limit.
func TestServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, commit := range []string{"", someCommit} {
		o := options(t)
		o.answerTimeout = 200 * time.Millisecond
		s := ClusterAPI("v1.14.2")
		s.Origin, s.URL, s.Commit = Git, "http://"+silentServer(t)+"/cluster-api", commit
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var failed *GitError
		if _, err := Fetch(ctx, s, o); !errors.As(err, &failed) || !strings.Contains(err.Error(), "no answer within 200ms") {
			t.Errorf("commit %q: Fetch() = %v; want that there was no answer", commit, err)
		}
	}
}

func TestInterruptedRecheckIsAnError(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.recheckTimeout = time.Minute
	s := ClusterAPI("v1.14.2")
	s.Origin, s.URL = Git, "http://"+silentServer(t)+"/cluster-api"
	fetchBefore(t, s, o, someCommit)
	stop := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(stop) })
	if tree, err := Fetch(ctx, s, o); !errors.Is(err, stop) {
		t.Errorf("Fetch() = %+v, %v; want %v", tree, err, stop)
	}
}

// TestTokenIsNotRevealed: a token in the URL appears neither in an error, nor in progress,
// nor in the name or the content of a file, whether the repository answers, refuses, has
// no such tag or does not exist.
func TestTokenIsNotRevealed(t *testing.T) {
	t.Parallel()
	const token = "ghp-secret"
	u := newUpstream(t)
	u.tag("v1.14.2", u.commit("go.mod", goMod), false)
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(refuses.Close)
	fails := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	t.Cleanup(fails.Close)
	for _, userinfo := range []string{"user:" + token, token, token + ":x-oauth-basic"} {
		for url, tag := range map[string]string{
			u.url: "v1.14.2", u.url + "#": "v1.14.9", u.url + "-not": "v1.14.2",
			refuses.URL: "v1.14.2", fails.URL: "v1.14.2", "http://127.0.0.1:1/gone": "v1.14.2", "https://127.0.0.1:%zz/bad": "v1.14.2",
		} {
			o := options(t)
			var progress strings.Builder
			o.Progress = func(line string) { progress.WriteString(line + "\n") }
			s := ClusterAPI(tag)
			s.Origin, s.URL = Git, strings.TrimSuffix(strings.Replace(url, "://", "://"+userinfo+"@", 1), "#")
			checkErr := Check(t.Context(), s, o)
			_, err := Fetch(t.Context(), s, o)
			if wants := url == u.url; wants != (err == nil && checkErr == nil) {
				t.Errorf("%s: Check() = %v, Fetch() = %v", url, checkErr, err)
			}
			if _, err := Fetch(t.Context(), s, o); url == u.url && err != nil {
				t.Errorf("again: %v", err)
			}
			if shown := errors.Join(checkErr, err, errors.New(progress.String())).Error(); strings.Contains(shown, token) {
				t.Errorf("%s: the token is shown:\n%s", url, shown)
			}
			if err != nil && strings.Contains(innermost(err), token) {
				t.Errorf("%s: the token is in %q", url, innermost(err))
			}
			err = filepath.WalkDir(o.Dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() && strings.Contains(path+read(t, path), token) {
					t.Errorf("%s: the token is in %s", url, path)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestInnermostHidesCredentials(t *testing.T) {
	t.Parallel()
	err := ClusterAPI("v1.14.2").gitError("clone", errors.New("GET https://user:token@host: refused"))
	if got, want := innermost(err), "GET https://xxxxx@host: refused"; got != want {
		t.Errorf("innermost() = %q, want %q", got, want)
	}
}

// TestAnotherTokenIsTheSameRepository: a tree that was fetched with an old token
// is used with a new one too.
func TestAnotherTokenIsTheSameRepository(t *testing.T) {
	t.Parallel()
	o := options(t)
	s := ClusterAPI("v1.14.2")
	folders := map[string]bool{}
	for _, url := range []string{"https://user:old@host/a", "https://user:new@host/a", "https://newest@host/a"} {
		s.URL = url
		folders[s.folder(o, Git)] = true
	}
	if len(folders) != 1 {
		t.Errorf("one repository has the folders %v", folders)
	}
}

// TestAForkIsNotUpstream: a tree that was fetched from one repository is not
// used for another one, even if that cannot be reached.
func TestAForkIsNotUpstream(t *testing.T) {
	t.Parallel()
	u, fork := newUpstream(t), newUpstream(t)
	u.tag("v1.14.2", u.commit("go.mod", goMod), false)
	want := fork.commit("go.mod", goMod, "only", "in the fork")
	fork.tag("v1.14.2", want, false)
	o := options(t)
	if _, err := Fetch(t.Context(), u.spec("v1.14.2"), o); err != nil {
		t.Fatal(err)
	}
	tree, err := Fetch(t.Context(), fork.spec("v1.14.2"), o)
	if err != nil || tree.Commit != want.String() {
		t.Errorf("Fetch() of a fork = %+v, %v; want commit %s", tree, err, want)
	}
	gone := u.spec("v1.14.2")
	gone.URL = "http://127.0.0.1:1/gone"
	if err := Check(t.Context(), gone, o); err == nil || !strings.Contains(err.Error(), "list the tags of http://127.0.0.1:1/gone") {
		t.Errorf("Check() of a repository that does not answer = %v", err)
	}
	if tree, err := Fetch(t.Context(), gone, o); err == nil {
		t.Errorf("Fetch() of a repository that does not answer = %+v", tree)
	}
}

func TestStaleFoldersAreRemoved(t *testing.T) {
	t.Parallel()
	ended := exec.CommandContext(t.Context(), "true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "v1.14.2-git")
	stale := unfinished(dir) + strconv.Itoa(ended.Process.Pid)
	filled := unfinished(dir) + strconv.Itoa(os.Getppid())
	other := filepath.Join(filepath.Dir(dir), "v1.14.1-git")
	for _, path := range []string{stale, filled, other} {
		write(t, filepath.Join(path, "f"), "")
	}
	if err := publish(dir, func(temp string) error { return os.WriteFile(filepath.Join(temp, "f"), nil, 0o600) }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("what a killed process left is still there")
	}
	for _, path := range []string{filled, other, dir} {
		if _, err := os.Stat(filepath.Join(path, "f")); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// newFakeOptions returns options whose runner gives these answers to go
// commands.
func newFakeOptions(answers ...runtest.Answer) (Options, *runtest.Fake) {
	fake := &runtest.Fake{Answers: answers}
	return Options{Dir: "unused", Runner: fake}, fake
}

func TestMissingReleaseOfAModuleNamesTheNearest(t *testing.T) {
	t.Parallel()
	answers := []runtest.Answer{
		{Prefix: "go list -m -json", Err: errors.New("exit status 1"), Stderr: "go: sigs.k8s.io/cluster-api@v1.14.3: invalid version:\n\tunknown revision v1.14.3"},
		{Prefix: "go mod download", Err: errors.New("exit status 1"), Stderr: "unknown revision v1.14.3"},
		{Prefix: "go list -m -versions sigs.k8s.io/cluster-api/test", Stdout: "sigs.k8s.io/cluster-api/test v1.13.5 v1.14.1 v1.14.2 v1.14.4\n"},
		{Prefix: "go list -m -versions sigs.k8s.io/cluster-api", Stdout: "sigs.k8s.io/cluster-api v1.13.5 v1.14.0 v1.14.1 v1.14.2 v1.15.0-rc.0\n"},
	}
	for _, origin := range []string{Module, Auto} {
		for name, do := range map[string]func(Spec, Options) error{
			"Check": func(s Spec, o Options) error { return Check(t.Context(), s, o) },
			// Without a check before it, source:fetch says the same.
			"Fetch": func(s Spec, o Options) error { _, err := Fetch(t.Context(), s, o); return err },
		} {
			s := ClusterAPI("v1.14.3")
			s.Origin, s.URL = origin, "http://127.0.0.1:1/gone"
			o, fake := newFakeOptions(answers...)
			o.Dir = t.TempDir()
			err := do(s, o)
			// The nearest have both modules.
			const want = "sigs.k8s.io/cluster-api on the Go module proxy has no tag v1.14.3 (invalid version: unknown revision v1.14.3); the nearest are v1.14.2, v1.14.1, v1.13.5"
			if !errors.As(err, new(*MissingTagError)) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s from %s: %v; want %q in it", name, origin, err, want)
			}
			if asked := "\n(git was asked first: http://127.0.0.1:1/gone: connection refused)"; strings.HasSuffix(err.Error(), asked) != (origin == Auto) {
				t.Errorf("%s from %s: %v; want at its end, from auto alone, %q", name, origin, err, asked)
			}
			for _, c := range fake.Cmds() {
				if c.Dir != os.TempDir() {
					t.Errorf("%s: %s ran in %s, inside whatever module is there", origin, c, c.Dir)
				}
			}
		}
	}
	s := ClusterAPI("v1.14.3")
	s.Origin = Module
	o, _ := newFakeOptions(runtest.Answer{Prefix: "go list", Err: errors.New("exit status 1"), Stderr: "no proxy answers"})
	if err := Check(t.Context(), s, o); !errors.As(err, new(*ModuleError)) || !strings.Contains(err.Error(), "no proxy answers") {
		t.Errorf("Check() without a proxy = %v; want why", err)
	}
}

// TestModuleThatCannotBeVerified: a version that exists is not called missing, although the
// proxy's list lacks it, and Check finds what would make Fetch fail. The answers are those of
// the go command 1.26 for a module that the checksum database does not know.
func TestModuleThatCannotBeVerified(t *testing.T) {
	t.Parallel()
	goMod := filepath.Join(t.TempDir(), "go.mod")
	write(t, goMod, "module sigs.k8s.io/cluster-api\n\nreplace sigs.k8s.io/cluster-api/api => ./api\n")
	for _, unknown := range []string{"sigs.k8s.io/cluster-api", "sigs.k8s.io/cluster-api/test", "sigs.k8s.io/cluster-api/api"} {
		s := ClusterAPI("v1.7.9")
		s.Origin = Module
		why := unknown + "@v1.7.9: verifying go.mod: " + unknown + "@v1.7.9/go.mod: 404 Not Found"
		o, _ := newFakeOptions(
			runtest.Answer{Prefix: "go list -m -json " + unknown + "@", Stdout: `{"Version": "v1.7.9"}`},
			runtest.Answer{Prefix: "go mod download -json " + unknown + "@", Stdout: fmt.Sprintf(`{"Error": %q}`, why), Err: errors.New("exit status 1")},
			runtest.Answer{Prefix: "go list -m -json", Stdout: fmt.Sprintf(`{"GoMod": %q}`, goMod)},
			runtest.Answer{Prefix: "go mod download", Stdout: fmt.Sprintf(`{"GoMod": %q, "Dir": %q}`, goMod, t.TempDir())},
			runtest.Answer{Prefix: "go list -m -versions", Stdout: "sigs.k8s.io/cluster-api v1.14.2\n"},
		)
		o.Dir = t.TempDir()
		want := fmt.Sprintf("ask the Go module proxy for %s@v1.7.9: verifying go.mod: %[1]s@v1.7.9/go.mod: 404 Not Found", unknown)
		if err := Check(t.Context(), s, o); !errors.As(err, new(*ModuleError)) || err.Error() != want {
			t.Errorf("Check() = %v; want %s", err, want)
		}
		if _, err := Fetch(t.Context(), s, o); !errors.As(err, new(*ModuleError)) || errors.As(err, new(*MissingTagError)) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("Fetch() = %v; want %s at its end", err, want)
		}
	}
}

// TestGitIsBelieved: if the repository answers that it has no such tag, its answer comes
// before that of the Go module proxy.
func TestGitIsBelieved(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.tag("v1.14.2", u.commit("go.mod", goMod), false)
	s := u.spec("v1.14.3")
	s.Origin = Auto
	o, _ := newFakeOptions(runtest.Answer{Prefix: "go list", Err: errors.New("exit status 1"), Stderr: "unknown revision v1.14.3"})
	want := u.url + " has no tag v1.14.3; the nearest is v1.14.2\n(then the Go module proxy was asked: unknown revision v1.14.3)"
	if err := Check(t.Context(), s, o); !errors.As(err, new(*MissingTagError)) || err.Error() != want {
		t.Errorf("Check() = %v; want %s", err, want)
	}
}

func TestCheckOfAFetchedTreeAsksNoServer(t *testing.T) {
	t.Parallel()
	for _, here := range []string{Git, Module} {
		for _, origin := range []string{here, Auto} {
			o, fake := newFakeOptions()
			o.Dir = t.TempDir()
			s := ClusterAPI("v1.14.2")
			s.Origin, s.URL = origin, "http://127.0.0.1:1/gone"
			dir := s.folder(o, here)
			write(t, dir+".json", "{}")
			if err := Check(t.Context(), s, o); err != nil || len(fake.Calls()) > 0 {
				t.Errorf("%s with a tree from %s here: %v after %q", origin, here, err, fake.Calls())
			}
		}
	}
}

// TestInterruptedAutoTriesNoOtherOrigin: auto tries the Go module proxy if the
// git server fails, but not if the user interrupts the command.
func TestInterruptedAutoTriesNoOtherOrigin(t *testing.T) {
	t.Parallel()
	s := ClusterAPI("v1.14.2")
	s.Origin, s.URL = Auto, "http://"+silentServer(t)+"/cluster-api"
	for name, try := range map[string]func(context.Context, Options) error{
		"check": func(ctx context.Context, o Options) error { return Check(ctx, s, o) },
		"fetch": func(ctx context.Context, o Options) error { _, err := Fetch(ctx, s, o); return err },
	} {
		o, fake := newFakeOptions()
		o.Dir = t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if err := try(ctx, o); !errors.Is(err, context.Canceled) || len(fake.Calls()) > 0 {
			t.Errorf("%s: %v after %q", name, err, fake.Calls())
		}
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

// TestModulesHaveTheLayoutOfTheRepository fetches the real release, if the module
// proxy answers.
func TestModulesHaveTheLayoutOfTheRepository(t *testing.T) {
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
	// The replacements by ../ in upstream's go.mod must work.
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

func TestAutoRecordsWhy(t *testing.T) {
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
	if tree, err = Fetch(t.Context(), s, o); err != nil || !strings.Contains(tree.Why, "git was not asked") {
		t.Errorf("again: %+v, %v; want why it is a module", tree, err)
	}
	s.Version, s.Tag = "v1.14.999", "v1.14.999"
	if err := Check(t.Context(), s, o); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:1/gone") || !strings.Contains(err.Error(), "proxy") {
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

// TestSparseCheckout: go-git does not open repositories with extensions of their format.
func TestSparseCheckout(t *testing.T) {
	t.Parallel()
	for _, extension := range []string{"worktreeConfig", "partialClone"} {
		u := newUpstream(t)
		head := u.commit("go.mod", goMod)
		config := filepath.Join(u.dir, ".git", "config")
		write(t, config, read(t, config)+"[extensions]\n\t"+extension+" = true\n")
		for _, dirty := range []bool{false, true} {
			if dirty {
				write(t, filepath.Join(u.dir, "go.mod"), goMod+"// changed\n")
			}
			tree, err := State(t.Context(), u.dir, run.Exec{})
			if err != nil || tree.Commit != head.String() || tree.Dirty != dirty {
				t.Errorf("%s: %+v, %v; want the commit %s, and changed %t", extension, tree, err, head, dirty)
			}
		}
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
		if err := Check(t.Context(), s, options(t)); err == nil || !errors.As(err, new(*CheckoutError)) || !strings.HasPrefix(err.Error(), dir+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("Check(%s) = %v; want %s", dir, err, want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	tags := []string{"cluster-autoscaler-1.36.1", "cluster-autoscaler-1.35.2", "cluster-autoscaler-1.9.9", "vertical-pod-autoscaler-1.36.2", "junk"}
	for want, near := range map[string]string{
		"cluster-autoscaler-1.36.2": "1.36.1 1.35.2 1.9.9",
		"cluster-autoscaler-9.9.9":  "1.36.1 1.35.2 1.9.9",
		"cluster-autoscaler-1.36.0": "1.35.2 1.36.1 1.9.9",
		"cluster-autoscaler-1.9.0":  "1.9.9 1.35.2 1.36.1",
		"main":                      "",
	} {
		got := strings.ReplaceAll(strings.Join(nearest(want, tags), " "), "cluster-autoscaler-", "")
		if got != near {
			t.Errorf("nearest(%s) = %q, want %q", want, got, near)
		}
	}
}

// FuzzNearest: no tag of a repository or of a user makes it panic.
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

// FuzzNestedModules: any go.mod is read or refused, and no module that it names
// is written outside of the tree.
func FuzzNestedModules(f *testing.F) {
	f.Add("module example.com/m\n\nreplace example.com/m/api => ./api\n")
	f.Add("module example.com/m\n\nreplace example.com/m/up => ./../up\n")
	f.Add("module example.com/m\n\nreplace example.com/other => ./api\n")
	f.Add("replace x => ./y\n")
	f.Add("module")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "go.mod")
		write(t, path, text)
		nested, err := nestedModules(path)
		if err != nil {
			return
		}
		for _, m := range nested {
			if !filepath.IsLocal(m.Folder) || m.Path == "" {
				t.Errorf("%+v of %q", m, text)
			}
		}
	})
}

// TestReleases: git is asked before the Go module proxy. If neither knows the
// component, the error names both.
func TestReleases(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	hash := u.commit("go.mod", "module sigs.k8s.io/cluster-api\n")
	u.tag("v1.14.2", hash, false)
	u.tag("v1.14.3", hash, true)
	proxy := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "go list -m -versions sigs.k8s.io/cluster-api", Stdout: "sigs.k8s.io/cluster-api v1.14.2 v1.14.9\n"}}}
	spec := ClusterAPI("v1.14.2")
	spec.Origin, spec.URL = Auto, u.url
	versions, from, err := Releases(t.Context(), spec, Options{Runner: proxy})
	slices.Sort(versions)
	if err != nil || from != u.url || !slices.Equal(versions, []string{"v1.14.2", "v1.14.3"}) || len(proxy.Calls()) > 0 {
		t.Errorf("Releases() = %q of %s, %v; the proxy was asked %q", versions, from, err, proxy.Calls())
	}
	u.stopped.Store(true)
	versions, from, err = Releases(t.Context(), spec, Options{Runner: proxy})
	if err != nil || from != Proxy || !slices.Equal(versions, []string{"v1.14.2", "v1.14.9"}) {
		t.Errorf("without git Releases() = %q of %s, %v", versions, from, err)
	}
	spec.Origin = Git
	if _, _, err := Releases(t.Context(), spec, Options{Runner: proxy}); !errors.As(err, new(*GitError)) {
		t.Errorf("from git alone Releases() = %v", err)
	}
	other := Autoscaler("1.36.1")
	other.Origin = Module
	if _, _, err := Releases(t.Context(), other, Options{Runner: proxy}); !errors.As(err, new(*NoModuleError)) {
		t.Errorf("Releases() of a component without modules = %v", err)
	}
}
