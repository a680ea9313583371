package source

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/memory"
	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
)

// How long a git server may take to list its tags. If the tag was fetched before, the
// list only shows whether the tag moved, and the wait is short for those who work
// without a network.
const (
	answerTimeout  = 30 * time.Second
	recheckTimeout = 3 * time.Second
)

// record is the content of a file beside a fetched tree that says what the tree is.
type record struct {
	URL    string `json:"url,omitempty"` // without credentials
	Tag    string `json:"tag,omitempty"`
	Commit string `json:"commit,omitempty"`
	ID     string `json:"id"`
	// Sum is that of treeSum.
	Sum string `json:"sum,omitempty"`
}

// recordPath returns where the record of the tree in dir is.
func recordPath(dir string) string { return dir + ".json" }

func readRecord(dir string) (record, error) {
	var r record
	data, err := os.ReadFile(recordPath(dir))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

func (r record) write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return state.WriteFile(recordPath(dir), data, 0o644)
}

// MovedTagError is returned when a tag names another commit than it did when
// it was fetched.
type MovedTagError struct {
	Tag, URL string
	// Was and Is are the commits.
	Was, Is string
	// Dir is the tree of the commit Was, and Record the file that names it. After both
	// are removed, the tag is fetched again.
	Dir, Record string
}

func (e *MovedTagError) Error() string {
	return fmt.Sprintf("the tag %s of %s moved: it was commit %s when it was fetched and is %s now", e.Tag, e.URL, e.Was, e.Is)
}

func (s Spec) movedTag(was record, is wanted, dir string) *MovedTagError {
	return &MovedTagError{Tag: s.Tag, URL: s.shownURL(), Was: was.Commit, Is: is.commit, Dir: dir, Record: recordPath(dir)}
}

// MissingTagError is returned when a component has no release of the wanted
// version.
type MissingTagError struct {
	// Component is the Spec's name.
	Component string
	// Tag is what is missing, and URL where: the repository without its
	// credentials, or a module on the Go module proxy.
	Tag, URL string
	// Nearest are the existing tags, at most three, that are nearest by
	// version.
	Nearest []string
	// Err is what the Go module proxy answered; nil for a repository.
	Err error
}

func (e *MissingTagError) Error() string {
	msg := fmt.Sprintf("%s has no tag %s", e.URL, e.Tag)
	if e.Err != nil {
		msg += fmt.Sprintf(" (%v)", e.Err)
	}
	switch len(e.Nearest) {
	case 0:
		return msg
	case 1:
		return msg + "; the nearest is " + e.Nearest[0]
	}
	return msg + "; the nearest are " + strings.Join(e.Nearest, ", ")
}

// GitError is returned when a repository does not answer, or refuses a request.
type GitError struct {
	// Component is the Spec's name.
	Component string
	// Doing is what was tried, such as "list the tags of".
	Doing string
	// URL is the repository, without credentials.
	URL string
	// InModules is set if the Go module proxy may have the release too.
	InModules bool
	Err       error
}

func (e *GitError) Error() string { return fmt.Sprintf("%s %s: %v", e.Doing, e.URL, e.Err) }

// Unwrap returns the cause.
func (e *GitError) Unwrap() error { return e.Err }

func (s Spec) gitError(doing string, err error) error {
	return &GitError{Component: s.Name, Doing: doing, URL: s.shownURL(), InModules: len(s.Modules) > 0 && s.Commit == "", Err: redact.Err(err)}
}

// shownURL is the repository's URL without its credentials.
func (s Spec) shownURL() string { return redact.URL(s.URL) }

// ref is the commit or the tag to fetch.
func (s Spec) ref() string { return cmp.Or(s.Commit, s.Tag) }

// wanted is a commit of a repository.
type wanted struct {
	commit string
	// from is the reference that is fetched: a tag, a branch, or the commit itself. Not
	// every server sends a commit that is asked for by its hash.
	from string
}

// resolve asks the repository for the commit of the tag. A Spec with a commit
// resolves to it, if the repository answers.
func (s Spec) resolve(ctx context.Context, within time.Duration) (wanted, error) {
	refs, err := s.list(ctx, within)
	if err != nil {
		return wanted{}, s.gitError("list the tags of", err)
	}
	if s.Commit != "" {
		return s.resolveCommit(refs), nil
	}
	want := plumbing.NewTagReferenceName(s.Tag)
	found := wanted{from: want.String()}
	var tags []string
	for _, ref := range refs {
		switch ref.Name() {
		case want + "^{}": // an annotated tag's commit
			found.commit = ref.Hash().String()
			return found, nil
		case want:
			found.commit = ref.Hash().String()
		}
		if ref.Name().IsTag() {
			tags = append(tags, ref.Name().Short())
		}
	}
	if found.commit == "" {
		return wanted{}, &MissingTagError{Component: s.Name, Tag: s.Tag, URL: s.shownURL(), Nearest: nearest(s.Tag, tags)}
	}
	return found, nil
}

// resolveCommit returns the commit of the Spec. If a branch ends with that commit, it is
// fetched from the branch, because every server sends branches.
func (s Spec) resolveCommit(refs []*plumbing.Reference) wanted {
	for _, ref := range refs {
		if ref.Name().IsBranch() && ref.Hash().String() == s.Commit {
			return wanted{commit: s.Commit, from: ref.Name().String()}
		}
	}
	return wanted{commit: s.Commit, from: s.Commit}
}

// list asks the repository for its references. It returns in time even if go-git does
// not, whose SSH transport ignores the context while it connects.
func (s Spec) list(ctx context.Context, within time.Duration) ([]*plumbing.Reference, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("no answer within %s", within))
	defer cancel()
	type answer struct {
		refs []*plumbing.Reference
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		remote := git.NewRemote(memory.NewStorage(), &config.RemoteConfig{Name: "origin", URLs: []string{s.URL}})
		refs, err := remote.ListContext(ctx, &git.ListOptions{PeelingOption: git.AppendPeeled})
		answers <- answer{refs, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return a.refs, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// nearest returns at most three tags: those with the same prefix, without a pre-release,
// and with the versions next below and above want's.
func nearest(want string, tags []string) []string {
	prefix := want[:len(want)-len(strings.TrimLeft(want, "abcdefghijklmnopqrstuvwxyz-"))]
	target, err := version.NewSemver(strings.TrimPrefix(want, prefix))
	if err != nil {
		return nil
	}
	type candidate struct {
		tag     string
		version *version.Version
	}
	var below, above []candidate
	for _, tag := range tags {
		rest, ok := strings.CutPrefix(tag, prefix)
		if !ok {
			continue
		}
		v, err := version.NewSemver(rest)
		switch {
		case err != nil || v.Prerelease() != "":
		case v.LessThan(target):
			below = append(below, candidate{tag, v})
		default:
			above = append(above, candidate{tag, v})
		}
	}
	slices.SortFunc(below, func(a, b candidate) int { return b.version.Compare(a.version) })
	slices.SortFunc(above, func(a, b candidate) int { return a.version.Compare(b.version) })
	var names []string
	for i := range max(len(below), len(above)) {
		for _, side := range [][]candidate{below, above} {
			if i < len(side) && len(names) < 3 {
				names = append(names, side[i].tag)
			}
		}
	}
	return names
}

// fetchGit returns the tree of the tag or commit, and clones it, without its
// history, if it was not fetched before.
func (s Spec) fetchGit(ctx context.Context, o Options) (*Tree, error) {
	dir := s.folder(o, Git)
	was, ok := s.fetched(o, dir)
	if ok {
		return s.fetchedBefore(ctx, o, was, dir)
	}
	// For a commit too, because a clone has no time limit, and a server may never answer.
	want, err := s.resolve(ctx, cmp.Or(o.answerTimeout, answerTimeout))
	if err != nil {
		return nil, err
	}
	if was.Commit != "" && was.Commit != want.commit {
		return nil, s.movedTag(was, want, dir)
	}
	o.progress("cloning %s at %s", s.shownURL(), s.ref())
	if err := publish(dir, func(temp string) error { return s.clone(ctx, temp, want, o) }); err != nil {
		return nil, s.gitError("clone "+s.ref()+" of", err)
	}
	sum, err := treeSum(dir)
	if err != nil {
		return nil, fmt.Errorf("read the tree %s: %w", dir, err)
	}
	rec := record{URL: s.shownURL(), Tag: s.Tag, Commit: want.commit, ID: "git:" + want.commit, Sum: sum}
	if err := rec.write(dir); err != nil {
		return nil, fmt.Errorf("record the commit of %s: %w", dir, err)
	}
	return rec.tree(dir), nil
}

// fetchedBefore returns the tree in dir. For a tag it asks the repository whether the
// tag moved. If the repository does not answer soon, the tree is used, and its Why says
// what is not known.
func (s Spec) fetchedBefore(ctx context.Context, o Options, rec record, dir string) (*Tree, error) {
	tree := rec.tree(dir)
	if s.Commit != "" {
		return tree, nil
	}
	is, err := s.resolve(ctx, cmp.Or(o.recheckTimeout, recheckTimeout))
	switch {
	case err != nil && (ctx.Err() != nil || errors.As(err, new(*MissingTagError))):
		return nil, err
	case err != nil:
		tree.Why = fmt.Sprintf("fetched before; whether the tag %s moved is not known, because %s does not answer: %s", s.Tag, s.shownURL(), innermost(err))
		o.progress("%s", tree.Why)
	case rec.Commit != is.commit:
		return nil, s.movedTag(rec, is, dir)
	}
	return tree, nil
}

func (r record) tree(dir string) *Tree {
	origin := Git
	if r.Commit == "" {
		origin = Module
	}
	return &Tree{Dir: dir, Origin: origin, Commit: r.Commit, ID: r.ID}
}

// clone fetches into dir. The clone's settings name the repository without credentials,
// which would stay on the disk.
func (s Spec) clone(ctx context.Context, dir string, want wanted, o Options) error {
	repo, err := git.PlainInit(dir, false)
	if err != nil {
		return err
	}
	if _, err := repo.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{s.shownURL()}}); err != nil {
		return err
	}
	remote := git.NewRemote(repo.Storer, &config.RemoteConfig{Name: "origin", URLs: []string{s.URL}})
	err = remote.FetchContext(ctx, &git.FetchOptions{
		RefSpecs: []config.RefSpec{config.RefSpec("+" + want.from + ":refs/heads/caslab")},
		Depth:    1,
		Tags:     git.NoTags,
		Progress: &sideband{report: o.Progress},
	})
	if err != nil {
		return err
	}
	worktree, err := repo.Worktree()
	if err != nil {
		return err
	}
	o.progress("checking out %s", want.commit[:12])
	if err := worktree.Checkout(&git.CheckoutOptions{Hash: plumbing.NewHash(want.commit)}); err != nil {
		return err
	}
	return ctx.Err()
}

// sideband reports the lines that a git server sends about its progress.
type sideband struct{ report func(string) }

func (s *sideband) Write(data []byte) (int, error) {
	if s.report != nil {
		fields := bytes.FieldsFunc(data, func(r rune) bool { return r == '\r' || r == '\n' })
		if len(fields) > 0 {
			s.report(string(fields[len(fields)-1]))
		}
	}
	return len(data), nil
}

// publish lets fill create a temporary folder, and renames it to dir when it is complete.
func publish(dir string, fill func(temp string) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := removeStale(dir); err != nil {
		return err
	}
	temp := unfinished(dir) + strconv.Itoa(os.Getpid())
	if err := os.Mkdir(temp, 0o755); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	if err := fill(temp); err != nil {
		return err
	}
	// A folder without a record was left by a run that was killed.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// unfinished returns the name of the folder while a process fills it, without the
// process ID at the end.
func unfinished(dir string) string {
	return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".")
}

// removeStale removes the unfinished folders of processes that ended.
func removeStale(dir string) error {
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(filepath.Dir(dir), e.Name())
		pid, err := strconv.Atoi(strings.TrimPrefix(path, unfinished(dir)))
		if err != nil || pid <= 0 || pid != os.Getpid() && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// checkout describes the developer's own tree, which is never written to.
func (s Spec) checkout(ctx context.Context, o Options) (*Tree, error) {
	if err := s.verify(s.Path); err != nil {
		return nil, err
	}
	return State(ctx, s.Path, o.Runner)
}

// State describes the checkout in dir as it is now. A folder outside git, or
// without a commit, gives a Tree without one.
func State(ctx context.Context, dir string, runner run.Runner) (*Tree, error) {
	tree := &Tree{Dir: dir, Origin: Dir}
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return tree, nil
	}
	if err != nil {
		return stateByGit(ctx, tree, runner, err)
	}
	head, err := repo.Head()
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return tree, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the commit of %s: %w", dir, err)
	}
	tree.Commit = head.Hash().String()
	tree.Dirty, err = dirty(ctx, dir, repo, runner)
	return tree, err
}

// stateByGit describes a checkout that go-git cannot open: go-git refuses extensions of the
// repository's format, such as those of partial clones and of sparse checkouts. err is the error of
// go-git.
func stateByGit(ctx context.Context, tree *Tree, runner run.Runner, err error) (*Tree, error) {
	res, gitErr := askGit(ctx, tree.Dir, runner, "rev-parse", "--verify", "HEAD^{commit}")
	if gitErr != nil {
		return nil, fmt.Errorf("open the checkout %s: %w", tree.Dir, errors.Join(err, gitErr))
	}
	tree.Commit = strings.TrimSpace(string(res.Stdout))
	if res, gitErr = askGit(ctx, tree.Dir, runner, "status", "--porcelain"); gitErr != nil {
		return nil, fmt.Errorf("look for changes in %s: %w", tree.Dir, gitErr)
	}
	tree.Dirty = len(res.Stdout) > 0
	return tree, nil
}

// askGit runs git in a user's checkout without writing there, not even the index.
func askGit(ctx context.Context, dir string, runner run.Runner, args ...string) (run.Result, error) {
	return runner.Run(ctx, run.Cmd{Name: "git", Args: args, Dir: dir, Env: []string{"GIT_OPTIONAL_LOCKS=0"}})
}

// dirty reports whether the checkout has changes that are not committed. It asks git,
// which compares times before contents. go-git, which reads every file, is used only if
// git is not installed or refuses the checkout.
func dirty(ctx context.Context, dir string, repo *git.Repository, runner run.Runner) (bool, error) {
	res, err := askGit(ctx, dir, runner, "status", "--porcelain")
	if err == nil {
		return len(res.Stdout) > 0, nil
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	worktree, err := repo.Worktree()
	if err != nil {
		return false, fmt.Errorf("look for changes in %s: %w", dir, err)
	}
	status, err := worktree.Status()
	if err != nil {
		return false, fmt.Errorf("look for changes in %s: %w", dir, err)
	}
	return !status.IsClean(), nil
}
