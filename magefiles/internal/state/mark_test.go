package state

import (
	"os"
	"path/filepath"
	"testing"
)

func touch(t *testing.T, path string) {
	t.Helper()
	if err := WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	dir := Dir(filepath.Join(t.TempDir(), ".caslab"))
	mark, err := dir.Mark("work-cluster")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := dir.Mark("work-cluster"); err != nil || again != mark {
		t.Errorf("Mark() = %s, then %s, %v", mark, again, err)
	}
	base := filepath.Base(mark)
	touch(t, dir.Path("owner", "work-cluster-two-0123456789abcdef"))
	for source, want := range map[string]bool{
		mark:                                true,
		"/host_mnt" + mark:                  true, // Docker Desktop
		"/moved/.caslab/owner/" + base:      true,
		"/other/.caslab/owner/" + base[:13]: false,
		"/other/.caslab/owner/work-cluster-0123456789abcdef":   false,
		dir.Path("owner", "work-cluster-two-0123456789abcdef"): false,
		"/x" + base: false,
		"":          false,
	} {
		marks, err := dir.Marks("work-cluster")
		if err != nil {
			t.Fatal(err)
		}
		if got := IsMark(source, marks); got != want {
			t.Errorf("a mount of %s is the environment's: %v, want %v", source, got, want)
		}
	}
}

// TestCopiedCheckoutOwnsNoContainers: a copy of the checkout has a mark of the same
// name, but does not own the containers.
func TestCopiedCheckoutOwnsNoContainers(t *testing.T) {
	t.Parallel()
	dir := Dir(filepath.Join(t.TempDir(), ".caslab"))
	mark, err := dir.Mark("work-cluster")
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(t.TempDir(), ".caslab", "owner", filepath.Base(mark))
	touch(t, original)
	if IsMark(original, []string{mark}) {
		t.Errorf("a mount of %s is taken for one of %s", original, mark)
	}
	// If the checkout was moved, Docker creates a folder at the source of the mount.
	moved := filepath.Join(t.TempDir(), ".caslab", "owner", filepath.Base(mark))
	if err := os.MkdirAll(moved, 0o755); err != nil {
		t.Fatal(err)
	}
	if !IsMark(moved, []string{mark}) {
		t.Errorf("a mount of the folder %s is not the environment's", moved)
	}
}
