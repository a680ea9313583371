package check

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maxLines is how many lines a package may have without its tests. A larger one has more
// than one job.
const maxLines = 2500

// TestPackagesAreSmall: a package that grew too large has a job that can move out.
func TestPackagesAreSmall(t *testing.T) {
	t.Parallel()
	lines, err := packageLines(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) < 40 {
		t.Errorf("found %d packages only", len(lines))
	}
	for dir, n := range lines {
		if n > maxLines {
			t.Errorf("%s has %d lines without tests, and at most %d are allowed: move one of its jobs into a package of its own", dir, n, maxLines)
		}
	}
}

// packageLines returns the number of lines of each package below root, without tests.
// Folders called testdata are not counted, because Go ignores them, and simtest neither,
// because only tests import it.
func packageLines(root string) (map[string]int, error) {
	lines := map[string]int{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := entry.Name(); {
		case entry.IsDir() && (name == "testdata" || name == "simtest"):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("count the lines of %s: %w", path, err)
		}
		lines[filepath.Dir(path)] += bytes.Count(text, []byte("\n"))
		return nil
	})
	return lines, err
}

func TestPackageLines(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/a.go": "package a\n\n", "a/b.go": "package a\n", "a/a_test.go": "package a\n", "a/a.txt": "\n",
		"a/testdata/t.go": "package t\n", "a/simtest/s.go": "package simtest\n", "b/b.go": "package b\n",
	} {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	lines, err := packageLines(root)
	if err != nil || len(lines) != 2 || lines[filepath.Join(root, "a")] != 3 || lines[filepath.Join(root, "b")] != 1 {
		t.Errorf("packageLines() = %v, %v", lines, err)
	}
	if _, err := packageLines(filepath.Join(root, "missing")); err == nil {
		t.Error("a missing folder has no error")
	}
}
