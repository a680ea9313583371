// Package bisect finds the first commit of a git repository that fails a test. git bisect chooses
// the commits, in the lab's own clone of the repository.
package bisect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/run"
)

// Verdict is what a test says about a commit.
type Verdict string

// Verdicts.
const (
	Good Verdict = "good"
	Bad  Verdict = "bad"
	// Skip is for a commit that cannot be tested, such as one that does not compile.
	Skip Verdict = "skip"
)

// Commit is a commit of the repository.
type Commit struct {
	// ID is the whole hash.
	ID string `json:"id"`
	// Title is the subject of the message: its first paragraph, in one line.
	Title  string `json:"title"`
	Author string `json:"author"`
	// Date is the date on which it was committed, as 2026-01-31.
	Date string `json:"date"`
}

// Short returns the beginning of the hash.
func (c Commit) Short() string { return c.ID[:12] }

// Repository is the lab's own clone of a repository.
type Repository struct {
	// Dir is the root of the clone's tree. It has no files before the first Checkout.
	Dir    string
	Runner run.Runner
	// names is the repository in which the user's names are looked up: the user's
	// checkout, or the clone.
	names string
}

// Options of Open.
type Options struct {
	// Checkout is a folder in the user's checkout, which is only read: the clone uses its
	// objects. URL is the repository to clone if Checkout is empty.
	Checkout, URL string
	// Dir is the folder of the clone.
	Dir string
	// Folders are the folders of the tree that are checked out, beside the files in its
	// root. Empty means all.
	Folders []string
	Runner  run.Runner
	// Progress is called with a description of the work that begins.
	Progress func(string)
}

// Open creates the clone, or updates an existing one.
func Open(ctx context.Context, o Options) (*Repository, error) {
	r := &Repository{Dir: o.Dir, Runner: o.Runner, names: o.Dir}
	from := o.URL
	if o.Checkout != "" {
		common, err := r.git(ctx, o.Checkout, "rev-parse", "--path-format=absolute", "--git-common-dir")
		if err != nil {
			return nil, fmt.Errorf("look for the repository of %s: %w", o.Checkout, err)
		}
		from, r.names = common, o.Checkout
	}
	if _, err := os.Stat(filepath.Join(o.Dir, ".git", "caslab-complete")); err == nil {
		o.Progress("fetching what is new in " + redact.URL(from))
		if _, err := r.git(ctx, o.Dir, "fetch", "--quiet", "--tags", "--force", from, "+refs/heads/*:refs/remotes/origin/*"); err != nil {
			return nil, fmt.Errorf("update the clone in %s: %w", o.Dir, err)
		}
		return r, nil
	}
	// A killed run may have left an incomplete clone.
	if err := os.RemoveAll(o.Dir); err != nil {
		return nil, fmt.Errorf("make room for the clone: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(o.Dir), 0o755); err != nil {
		return nil, fmt.Errorf("make a folder for the clone: %w", err)
	}
	o.Progress("cloning " + redact.URL(from))
	// Files of old commits are fetched when they are checked out.
	args := []string{"clone", "--quiet", "--no-checkout", "--filter=blob:none"}
	if o.Checkout != "" {
		args = []string{"clone", "--quiet", "--no-checkout", "--shared"}
	}
	if _, err := r.git(ctx, filepath.Dir(o.Dir), append(args, "--", from, o.Dir)...); err != nil {
		return nil, fmt.Errorf("clone the repository: %w", err)
	}
	if len(o.Folders) > 0 {
		if _, err := r.git(ctx, o.Dir, append([]string{"sparse-checkout", "set", "--cone"}, o.Folders...)...); err != nil {
			return nil, fmt.Errorf("choose the folders of the clone: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(o.Dir, ".git", "caslab-complete"), nil, 0o600); err != nil {
		return nil, fmt.Errorf("complete the clone: %w", err)
	}
	return r, nil
}

// git runs git in a folder and returns what it prints. Neither the user's hooks nor the
// user's language have an effect.
func (r *Repository) git(ctx context.Context, dir string, args ...string) (string, error) {
	res, err := r.Runner.Run(ctx, run.Cmd{
		Name: "git", Args: append([]string{"-c", "core.hooksPath=" + os.DevNull, "-c", "advice.detachedHead=false"}, args...), Dir: dir,
		Env: []string{"LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0"},
	})
	return strings.TrimSpace(string(res.Stdout)), err
}

// UnknownError is returned for a name that no commit has.
type UnknownError struct {
	Name string
	// Tried are the names that were looked up.
	Tried []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("there is no commit %s; looked for %s", e.Name, strings.Join(e.Tried, ", "))
}

// Resolve returns the commit that a name stands for: a release, whose tag is the name with
// tagPrefix, or a commit, a branch or a tag.
func (r *Repository) Resolve(ctx context.Context, name, tagPrefix string) (Commit, error) {
	tried := []string{"refs/tags/" + tagPrefix + strings.TrimPrefix(name, "v"), name, "refs/remotes/origin/" + name}
	for _, ref := range tried {
		id, err := r.git(ctx, r.names, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
		if err == nil {
			return r.commit(ctx, id)
		}
		if ctx.Err() != nil {
			return Commit{}, err
		}
	}
	return Commit{}, &UnknownError{Name: name, Tried: tried}
}

// commit returns what the clone knows of a commit.
func (r *Repository) commit(ctx context.Context, id string) (Commit, error) {
	text, err := r.git(ctx, r.Dir, "show", "--no-patch", "--format=%H%x00%s%x00%an%x00%cs", id)
	if err != nil {
		return Commit{}, fmt.Errorf("read the commit %s: %w", id, err)
	}
	fields := strings.Split(text, "\x00")
	if len(fields) != 4 {
		return Commit{}, fmt.Errorf("read the commit %s: git printed %q", id, text)
	}
	return Commit{ID: fields[0], Title: fields[1], Author: fields[2], Date: fields[3]}, nil
}

// Checkout brings the tree of a commit into Dir.
func (r *Repository) Checkout(ctx context.Context, c Commit) error {
	if _, err := r.git(ctx, r.Dir, "checkout", "--quiet", "--force", "--detach", c.ID); err != nil {
		return fmt.Errorf("check out the commit %s: %w", c.Short(), err)
	}
	return nil
}

// Step is one commit to test.
type Step struct {
	Commit Commit
	// Left says how many commits and steps are left after this one; empty for the two
	// ends.
	Left string
}

// Test tests a commit. An error ends the search.
type Test func(ctx context.Context, s Step) (Verdict, error)

// EndError is returned if one of the two ends is not what it should be.
type EndError struct {
	Commit    Commit
	Want, Got Verdict
}

func (e *EndError) Error() string {
	return fmt.Sprintf("%s (%s) should be %s, but it is %s", e.Commit.Short(), e.Commit.Title, e.Want, e.Got)
}

// MergeBaseError is returned if the last common commit of both ends is bad. The failure was then
// repaired between that commit and the good end.
type MergeBaseError struct{ Base, Good, Bad Commit }

func (e *MergeBaseError) Error() string {
	return fmt.Sprintf("%s (%s), the last common commit of %s and %s, is bad too: the failure was repaired between it and %[3]s; name a good commit that is before %[1]s",
		e.Base.Short(), e.Base.Title, e.Good.Short(), e.Bad.Short())
}

// Found is the result of a search.
type Found struct {
	// First is the first bad commit; nil if only commits are left that cannot be tested.
	First *Commit
	// Possible are the commits of which one is the first bad one, if First is nil.
	Possible []Commit
}

// Find finds the first bad commit between good and bad. It first tests both. After that, it tests
// only commits that change one of the paths; without paths, it tests any commit.
func (r *Repository) Find(ctx context.Context, good, bad Commit, paths []string, test Test) (Found, error) {
	if good.ID == bad.ID {
		return Found{}, fmt.Errorf("both ends are the commit %s (%s)", good.Short(), good.Title)
	}
	for _, end := range []struct {
		Commit
		want Verdict
	}{{good, Good}, {bad, Bad}} {
		got, err := test(ctx, Step{Commit: end.Commit})
		if err != nil {
			return Found{}, err
		}
		if got != end.want {
			return Found{}, &EndError{Commit: end.Commit, Want: end.want, Got: got}
		}
	}
	base, err := r.git(ctx, r.Dir, "merge-base", good.ID, bad.ID)
	if err != nil {
		return Found{}, fmt.Errorf("look for the last common commit of %s and %s: %w", good.Short(), bad.Short(), err)
	}
	// The start of a search discards the state that a killed search left.
	said, err := r.git(ctx, r.Dir, append([]string{"bisect", "start", "--no-checkout", bad.ID, good.ID, "--"}, paths...)...)
	for {
		if err != nil {
			return Found{}, fmt.Errorf("search between %s and %s: %w", good.Short(), bad.Short(), err)
		}
		found, over, err := r.over(ctx)
		if err != nil {
			return found, err
		}
		if over {
			err := r.dropUnrelated(ctx, &found, good, bad, paths)
			return found, err
		}
		next, err := r.git(ctx, r.Dir, "rev-parse", "--verify", "BISECT_HEAD")
		if err != nil {
			return Found{}, fmt.Errorf("ask git for the next commit: %w", err)
		}
		c, err := r.commit(ctx, next)
		if err != nil {
			return Found{}, err
		}
		got, err := test(ctx, Step{Commit: c, Left: left(said)})
		if err != nil {
			return Found{}, err
		}
		if got == Bad && c.ID == base {
			return Found{}, &MergeBaseError{Base: c, Good: good, Bad: bad}
		}
		said, err = r.mark(ctx, got, c)
		if err != nil {
			return Found{}, err
		}
	}
}

// dropUnrelated removes the possible commits that change none of the paths, because git lists them,
// too.
func (r *Repository) dropUnrelated(ctx context.Context, found *Found, good, bad Commit, paths []string) error {
	if len(paths) == 0 || found.First != nil {
		return nil
	}
	text, err := r.git(ctx, r.Dir, append([]string{"rev-list", bad.ID, "^" + good.ID, "--"}, paths...)...)
	if err != nil {
		return fmt.Errorf("list the commits that change %s: %w", strings.Join(paths, ", "), err)
	}
	changes := strings.Fields(text)
	found.Possible = slices.DeleteFunc(found.Possible, func(c Commit) bool { return !slices.Contains(changes, c.ID) })
	return nil
}

// mark tells git the verdict on a commit, and returns what git says about the next one.
func (r *Repository) mark(ctx context.Context, v Verdict, c Commit) (string, error) {
	said, err := r.git(ctx, r.Dir, "bisect", string(v), c.ID)
	if err == nil {
		return said, nil
	}
	// git bisect also fails if only skipped commits are left.
	if _, over, lerr := r.over(ctx); over && lerr == nil {
		return said, nil
	}
	return said, fmt.Errorf("mark the commit %s as %s: %w", c.Short(), v, err)
}

var leftPattern = regexp.MustCompile(`(?m)^Bisecting: (.*)$`)

// left returns how many commits and steps are left after the next commit, in git's words.
func left(said string) string {
	if m := leftPattern.FindStringSubmatch(said); m != nil {
		return strings.Replace(m[1], "revisions left to test after this", "commits left after it", 1)
	}
	return ""
}

// What git bisect writes into its log at the end.
var (
	firstPattern    = regexp.MustCompile(`(?m)^# first bad commit: \[([0-9a-f]+)\]`)
	possiblePattern = regexp.MustCompile(`(?m)^# possible first bad commit: \[([0-9a-f]+)\]`)
)

// over reports whether the search is over, and returns its result.
func (r *Repository) over(ctx context.Context) (found Found, over bool, err error) {
	log, err := r.git(ctx, r.Dir, "bisect", "log")
	if err != nil {
		return Found{}, false, fmt.Errorf("read the state of the search: %w", err)
	}
	if m := firstPattern.FindStringSubmatch(log); m != nil {
		c, err := r.commit(ctx, m[1])
		return Found{First: &c}, true, err
	}
	var errs []error
	for _, m := range possiblePattern.FindAllStringSubmatch(log, -1) {
		c, err := r.commit(ctx, m[1])
		found.Possible, errs = append(found.Possible, c), append(errs, err)
	}
	slices.Reverse(found.Possible) // the oldest one first
	return found, len(found.Possible) > 0, errors.Join(errs...)
}
