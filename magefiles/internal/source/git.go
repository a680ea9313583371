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

	"caslab/magefiles/internal/run"
)

// answerWithin is how long a git server may take to list its tags.
const answerWithin = 30 * time.Second

// record lies beside a fetched tree and says what it is.
type record struct {
	URL    string `json:"url,omitempty"`
	Tag    string `json:"tag,omitempty"`
	Commit string `json:"commit,omitempty"`
	ID     string `json:"id"`
}

func readRecord(dir string) (record, error) {
	var r record
	data, err := os.ReadFile(dir + ".json")
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
	return os.WriteFile(dir+".json", data, 0o644)
}

// MovedTagError is a tag that names another commit than when it was fetched.
type MovedTagError struct{ Tag, URL, Was, Is, Dir string }

func (e *MovedTagError) Error() string {
	return fmt.Sprintf("the tag %s of %s moved: it was commit %s when it was fetched and is %s now\nif you trust that, type: rm -r %s %s.json", e.Tag, e.URL, e.Was, e.Is, e.Dir, e.Dir)
}

// MissingTagError is a tag that a repository does not have.
type MissingTagError struct {
	Tag, URL, Setting string
	// Nearest tags that exist, by version.
	Nearest []string
}

func (e *MissingTagError) Error() string {
	msg := fmt.Sprintf("%s has no tag %s", e.URL, e.Tag)
	if len(e.Nearest) > 0 {
		msg += fmt.Sprintf("; the nearest are %s: set %s_VERSION to one of them", strings.Join(e.Nearest, ", "), e.Setting)
	}
	return msg
}

// elsewhere says what to type where git does not answer.
func (s Spec) elsewhere() string {
	checkout := fmt.Sprintf("type: export %s_DIR=/path/to/your/checkout", s.Setting)
	if len(s.Modules) == 0 {
		return checkout
	}
	return fmt.Sprintf("set %s_SOURCE=module, or %s", s.Setting, checkout)
}

// resolve asks the repository for the commit of the tag. A commit that is
// asked for by its hash resolves to itself, if the repository answers.
func (s Spec) resolve(ctx context.Context) (commit string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	remote := git.NewRemote(memory.NewStorage(), &config.RemoteConfig{Name: "origin", URLs: []string{s.URL}})
	refs, err := remote.ListContext(ctx, &git.ListOptions{PeelingOption: git.AppendPeeled})
	if err != nil {
		return "", fmt.Errorf("list the tags of %s_GIT=%s: %w; check that URL, or %s", s.Setting, s.URL, err, s.elsewhere())
	}
	if s.Commit != "" {
		return s.Commit, nil
	}
	want := plumbing.NewTagReferenceName(s.Tag)
	var tags []string
	for _, ref := range refs {
		switch ref.Name() {
		case want + "^{}": // an annotated tag's commit
			return ref.Hash().String(), nil
		case want:
			commit = ref.Hash().String()
		}
		if ref.Name().IsTag() {
			tags = append(tags, ref.Name().Short())
		}
	}
	if commit == "" {
		return "", &MissingTagError{Tag: s.Tag, URL: s.URL, Setting: s.Setting, Nearest: nearest(s.Tag, tags)}
	}
	return commit, nil
}

// nearest returns the tags, at most three, whose versions are nearest to that
// of want, among those that are written alike.
func nearest(want string, tags []string) []string {
	prefix := want[:len(want)-len(strings.TrimLeft(want, "abcdefghijklmnopqrstuvwxyz-"))]
	target, err := version.NewSemver(strings.TrimPrefix(want, prefix))
	if err != nil {
		return nil
	}
	type candidate struct {
		tag      string
		distance int
	}
	var all []candidate
	for _, tag := range tags {
		rest, ok := strings.CutPrefix(tag, prefix)
		if !ok {
			continue
		}
		v, err := version.NewSemver(rest)
		if err != nil || v.Prerelease() != "" {
			continue
		}
		all = append(all, candidate{tag, distance(target, v)})
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var names []string
	for _, c := range all[:min(3, len(all))] {
		names = append(names, c.tag)
	}
	return names
}

func distance(a, b *version.Version) int {
	total := 0
	for i, weight := range []int{1_000_000, 1_000, 1} {
		d := a.Segments()[i] - b.Segments()[i]
		total += max(d, -d) * weight
	}
	return total
}

// fetchGit clones the tag or commit, only that, unless it is here already.
func (s Spec) fetchGit(ctx context.Context, o Options) (*Tree, error) {
	dir := s.folder(o, Git)
	rec, recErr := readRecord(dir)
	commit, err := s.resolve(ctx)
	switch {
	case err != nil && recErr == nil && !errors.As(err, new(*MissingTagError)):
		o.progress("%s does not answer; using what was fetched before", s.URL)
		return rec.tree(dir), nil
	case err != nil:
		return nil, err
	case recErr == nil && rec.Commit == commit:
		return rec.tree(dir), nil
	case recErr == nil:
		return nil, &MovedTagError{Tag: s.Tag, URL: s.URL, Was: rec.Commit, Is: commit, Dir: dir}
	}
	o.progress("cloning %s at %s", s.URL, cmp.Or(s.Commit, s.Tag))
	if err := place(dir, func(temp string) error { return s.clone(ctx, temp, commit, o) }); err != nil {
		return nil, fmt.Errorf("clone %s at %s: %w", s.URL, cmp.Or(s.Commit, s.Tag), err)
	}
	rec = record{URL: s.URL, Tag: s.Tag, Commit: commit, ID: "git:" + commit}
	if err := rec.write(dir); err != nil {
		return nil, fmt.Errorf("record the commit of %s: %w", dir, err)
	}
	return rec.tree(dir), nil
}

func (r record) tree(dir string) *Tree {
	origin := Git
	if r.Commit == "" {
		origin = Module
	}
	return &Tree{Dir: dir, Origin: origin, Commit: r.Commit, ID: r.ID}
}

func (s Spec) clone(ctx context.Context, dir, commit string, o Options) error {
	repo, err := git.PlainInit(dir, false)
	if err != nil {
		return err
	}
	remote, err := repo.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{s.URL}})
	if err != nil {
		return err
	}
	from := plumbing.NewTagReferenceName(s.Tag).String()
	if s.Commit != "" {
		from = s.Commit
	}
	err = remote.FetchContext(ctx, &git.FetchOptions{
		RefSpecs: []config.RefSpec{config.RefSpec("+" + from + ":refs/heads/caslab")},
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
	o.progress("checking out %s", commit[:12])
	if err := worktree.Checkout(&git.CheckoutOptions{Hash: plumbing.NewHash(commit)}); err != nil {
		return err
	}
	return ctx.Err()
}

// sideband hands on the lines that a git server sends about its progress.
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

// place lets fill make a folder and gives it its name only when it is whole.
func place(dir string, fill func(temp string) error) (err error) {
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
	// Without its record, what is there came from a run that was cut off.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// unfinished is what the folder is called while a process, whose number comes
// after it, fills it.
func unfinished(dir string) string {
	return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".")
}

// removeStale removes what processes left that were killed while they filled
// dir.
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

// checkout describes the developer's own tree, which is only read.
func (s Spec) checkout(ctx context.Context, o Options) (*Tree, error) {
	if err := s.verify(s.Path); err != nil {
		return nil, err
	}
	return State(ctx, s.Path, o.Runner)
}

// State describes a checkout as it is: without a commit if git does not have
// it.
func State(ctx context.Context, dir string, runner run.Runner) (*Tree, error) {
	tree := &Tree{Dir: dir, Origin: Dir}
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return tree, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the checkout %s: %w", dir, err)
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

// dirty asks git, which compares times before contents, and go-git, which
// reads every file, only where git is not there or refuses the checkout.
func dirty(ctx context.Context, dir string, repo *git.Repository, runner run.Runner) (bool, error) {
	// GIT_OPTIONAL_LOCKS: not even the index is refreshed in a user's checkout.
	res, err := runner.Run(ctx, run.Cmd{
		Name: "git", Args: []string{"status", "--porcelain"}, Dir: dir, Env: []string{"GIT_OPTIONAL_LOCKS=0"},
	})
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
