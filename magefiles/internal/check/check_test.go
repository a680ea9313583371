package check

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/run"
)

// TestTrackedFiles: lint gets every tracked file that exists, whatever
// characters its name has.
func TestTrackedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	write := func(name string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tracked(t.Context(), dir, "*.go"); err == nil {
		t.Error("files of no repository are listed")
	}
	git("init", "--quiet")
	if files, err := tracked(t.Context(), dir, "*.go"); err != nil || len(files) > 0 {
		t.Errorf("an empty repository has %q, %v", files, err)
	}
	want := []string{"a.go", "a name with spaces.go", "added later.go", "ünter/two\nlines.go"}
	for _, name := range append(want, "deleted.go", "gone/all.go", "ignored.go", "text.md") {
		write(name)
	}
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("ignored.go\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	git("add", "a.go", "a name with spaces.go", "deleted.go", "gone", "ünter", "text.md")
	for _, name := range []string{"deleted.go", "gone"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := tracked(t.Context(), dir, "*.go")
	slices.Sort(got)
	slices.Sort(want)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("tracked() = %q, %v; want %q", got, err, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tracked(ctx, dir, "*.go"); err == nil || !strings.Contains(err.Error(), "git ls-files") {
		t.Errorf("when interrupted: %v", err)
	}
}

// TestUnreadDatabase: only a database that govulncheck cannot read is skipped, and not what
// it finds.
func TestUnreadDatabase(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{
		"govulncheck: fetching vulnerabilities: Get \"https://db.example/index/modules.json.gz\": no such host\nexit status 1\n": `Get "https://db.example/index/modules.json.gz": no such host`,
		"Vulnerability #1: GO-2026-0001\nexit status 3\n":                                                                        "",
		"": "",
	} {
		if got := unreadDatabase(&run.Error{Output: []byte(output), Err: errors.New("exit status 1")}); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
	if got := unreadDatabase(nil); got != "" {
		t.Errorf("without an error: %q", got)
	}
}
