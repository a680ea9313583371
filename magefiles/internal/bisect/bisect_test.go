package bisect_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/bisect"
	"caslab/magefiles/internal/run"
)

// history is a throwaway repository of a user.
type history struct {
	t   *testing.T
	dir string
}

func newHistory(t *testing.T) history {
	t.Helper()
	h := history{t, t.TempDir()}
	h.git("init", "--quiet", "--initial-branch=main")
	return h
}

func (h history) git(args ...string) {
	h.t.Helper()
	_, err := run.Exec{}.Run(h.t.Context(), run.Cmd{Name: "git", Args: append([]string{"-c", "user.name=A", "-c", "user.email=a@example.com"}, args...), Dir: h.dir})
	if err != nil {
		h.t.Fatal(err)
	}
}

// commit writes a file and commits it.
func (h history) commit(file, text, title string) {
	h.t.Helper()
	path := filepath.Join(h.dir, file)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		h.t.Fatal(err)
	}
	h.git("add", "--all")
	h.git("commit", "--quiet", "--message", title)
}

// state returns everything in a user's checkout that a search must not change.
func (h history) state() string {
	h.t.Helper()
	var files []string
	err := filepath.WalkDir(h.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			info, ierr := d.Info()
			files, err = append(files, fmt.Sprint(path, info.ModTime())), ierr
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.Join(files, "\n")
}

// open opens the clone in a folder.
func (h history) open(dir string, folders ...string) *bisect.Repository {
	h.t.Helper()
	r, err := bisect.Open(h.t.Context(), bisect.Options{Checkout: h.dir, Dir: dir, Folders: folders, Runner: run.Exec{}, Progress: func(string) {}})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// resolve returns commits by their names.
func resolve(t *testing.T, r *bisect.Repository, names ...string) []bisect.Commit {
	t.Helper()
	var all []bisect.Commit
	for _, name := range names {
		c, err := r.Resolve(t.Context(), name, "release-")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// tester tests the content of the file in the tree of each commit, and notes the titles.
func tester(r *bisect.Repository, tested *[]string) bisect.Test {
	return func(ctx context.Context, s bisect.Step) (bisect.Verdict, error) {
		*tested = append(*tested, s.Commit.Title)
		if err := r.Checkout(ctx, s.Commit); err != nil {
			return "", err
		}
		text, err := os.ReadFile(filepath.Join(r.Dir, "src", "file"))
		if err != nil {
			return "", err
		}
		verdict, _, _ := strings.Cut(string(text), " ")
		return bisect.Verdict(verdict), nil
	}
}

// linear makes one commit for each verdict. The first and the last one are releases.
func linear(h history, verdicts ...bisect.Verdict) {
	for i, v := range verdicts {
		h.commit("src/file", fmt.Sprintf("%s %d", v, i), fmt.Sprintf("change %d", i))
		h.commit("other/file", fmt.Sprint(i), fmt.Sprintf("other %d", i))
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		verdicts []bisect.Verdict
		want     string
	}{
		"in the middle":         {[]bisect.Verdict{"good", "good", "good", "good", "bad", "bad", "bad", "bad"}, "change 4"},
		"the last":              {[]bisect.Verdict{"good", "good", "good", "bad"}, "change 3"},
		"the first after good":  {[]bisect.Verdict{"good", "bad", "bad", "bad", "bad"}, "change 1"},
		"beside skipped ones":   {[]bisect.Verdict{"good", "skip", "good", "bad", "skip", "skip", "bad"}, "change 3"},
		"skipped around it":     {[]bisect.Verdict{"good", "good", "skip", "skip", "bad", "bad"}, "change 2|change 3|change 4"},
		"nothing can be tested": {[]bisect.Verdict{"good", "skip", "bad"}, "change 1|change 2"},
		"neighbours":            {[]bisect.Verdict{"good", "bad"}, "change 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			linear(h, tt.verdicts...)
			before := h.state()
			dir := filepath.Join(t.TempDir(), "new", "clone")
			r := h.open(dir, "src")
			ends := resolve(t, r, "HEAD^{/change 0}", "main")
			var tested []string
			found, err := r.Find(t.Context(), ends[0], ends[1], []string{"src"}, tester(r, &tested))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range found.Possible {
				got = append(got, c.Title)
			}
			if found.First != nil {
				got = append(got, found.First.Title)
			}
			if strings.Join(got, "|") != tt.want {
				t.Errorf("Find() = %q, want %s; tested %q", got, tt.want, tested)
			}
			if tested[0] != "change 0" || !strings.HasPrefix(tested[1], "other") {
				t.Errorf("tested %q, want both ends first", tested)
			}
			if slices.ContainsFunc(tested[2:], func(title string) bool { return strings.HasPrefix(title, "other") }) {
				t.Errorf("tested %q, want only commits that change src", tested)
			}
			if _, err := os.Stat(filepath.Join(dir, "other")); err == nil {
				t.Error("a folder was checked out that nobody asked for")
			}
			if after := h.state(); after != before {
				t.Errorf("the user's checkout changed:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// A release branch is not part of the history of the next release. The last common commit of both
// is tested, too.
func TestReleaseBranches(t *testing.T) {
	t.Parallel()
	build := func(t *testing.T, base bisect.Verdict) (*bisect.Repository, []bisect.Commit) {
		h := newHistory(t)
		h.commit("src/file", "good 0", "begin")
		h.commit("src/file", string(base)+" 1", "base")
		h.git("checkout", "--quiet", "-b", "release")
		h.commit("src/file", "good 2", "backport")
		h.git("tag", "release-1.35.2")
		h.git("checkout", "--quiet", "main")
		for i := range 4 {
			h.commit("src/file", fmt.Sprintf("%s %d", base, 3+i), fmt.Sprintf("main %d", i))
		}
		h.commit("src/file", "bad 9", "regression")
		h.commit("src/file", "bad 10", "after")
		h.git("tag", "--annotate", "--message", "x", "release-1.36.1")
		r := h.open(filepath.Join(t.TempDir(), "clone"))
		return r, resolve(t, r, "1.35.2", "v1.36.1")
	}
	r, ends := build(t, bisect.Good)
	var tested []string
	found, err := r.Find(t.Context(), ends[0], ends[1], nil, tester(r, &tested))
	if err != nil || found.First == nil || found.First.Title != "regression" || !slices.Contains(tested, "base") {
		t.Errorf("Find() = %+v, %v, tested %q; want the regression, and that the base was tested", found, err, tested)
	}
	r, ends = build(t, bisect.Bad)
	if _, err := r.Find(t.Context(), ends[0], ends[1], nil, tester(r, &tested)); !errors.As(err, new(*bisect.MergeBaseError)) {
		t.Errorf("Find() = %v, want that the failure was repaired before the good end", err)
	}
}

func TestWrongEnds(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	linear(h, bisect.Good, bisect.Bad, bisect.Good, bisect.Skip)
	r := h.open(filepath.Join(t.TempDir(), "clone"))
	ends := resolve(t, r, "HEAD^{/change 0}", "HEAD^{/change 1}", "HEAD^{/change 2}", "HEAD^{/change 3}")
	for _, tt := range []struct {
		good, bad int
		want      string
	}{
		{1, 2, "(change 1) should be good, but it is bad"}, {0, 2, "(change 2) should be bad, but it is good"},
		{0, 3, "(change 3) should be bad, but it is skip"}, {0, 0, "both ends are the commit"},
	} {
		_, err := r.Find(t.Context(), ends[tt.good], ends[tt.bad], nil, tester(r, new([]string)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Find() = %v, want %q", err, tt.want)
		}
	}
	if _, err := r.Resolve(t.Context(), "nowhere", "release-"); err == nil || err.Error() != "there is no commit nowhere; looked for refs/tags/release-nowhere, nowhere, refs/remotes/origin/nowhere" {
		t.Errorf("Resolve() = %v", err)
	}
}

// A search that was stopped, or whose clone is incomplete, starts again, and sees what the user has
// committed since.
func TestInterruptedSearchStartsAgain(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	linear(h, bisect.Good, bisect.Good, bisect.Good, bisect.Bad)
	dir := filepath.Join(t.TempDir(), "clone")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, ".git"), 0o755), os.WriteFile(filepath.Join(dir, "part"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	r := h.open(dir)
	ends := resolve(t, r, "HEAD^{/change 0}", "main")
	stop, n := errors.New("Ctrl-C"), 0
	_, err := r.Find(t.Context(), ends[0], ends[1], nil, func(ctx context.Context, s bisect.Step) (bisect.Verdict, error) {
		if n++; n > 3 {
			return "", stop
		}
		return tester(r, new([]string))(ctx, s)
	})
	if !errors.Is(err, stop) {
		t.Fatalf("Find() = %v, want that it was stopped", err)
	}
	h.commit("src/file", "bad 9", "newer")
	r = h.open(dir)
	ends = resolve(t, r, "HEAD^{/change 0}", "main")
	found, err := r.Find(t.Context(), ends[0], ends[1], nil, tester(r, new([]string)))
	if err != nil || ends[1].Title != "newer" || found.First == nil || found.First.Title != "change 3" || len(found.First.Date) != len("2026-01-31") || found.First.Author != "A" {
		t.Errorf("Find() = %+v, %v from %s", found, err, ends[1].Title)
	}
}

// A repository without a checkout is cloned.
func TestRepositoryWithoutACheckout(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	linear(h, bisect.Good, bisect.Bad, bisect.Bad)
	h.git("config", "uploadpack.allowFilter", "true")
	dir := filepath.Join(t.TempDir(), "clone")
	for range 2 {
		r, err := bisect.Open(t.Context(), bisect.Options{URL: "file://" + h.dir, Dir: dir, Runner: run.Exec{}, Progress: func(string) {}})
		if err != nil {
			t.Fatal(err)
		}
		ends := resolve(t, r, "main~5", "main")
		found, err := r.Find(t.Context(), ends[0], ends[1], nil, tester(r, new([]string)))
		if err != nil || found.First == nil || found.First.Title != "change 1" {
			t.Errorf("Find() = %+v, %v", found, err)
		}
	}
	if _, err := bisect.Open(t.Context(), bisect.Options{Checkout: t.TempDir(), Dir: dir, Runner: run.Exec{}, Progress: func(string) {}}); err == nil || !strings.Contains(err.Error(), "look for the repository of") {
		t.Errorf("Open() = %v, want that the folder is in no repository", err)
	}
}
