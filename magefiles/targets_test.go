package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/magefile/mage/parse"
)

// targets returns the names of what mage finds in this folder. Mage ignores a
// method whose signature it does not support; a test of the lab's command
// compares the targets with its verbs.
func targets(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
	info, err := parse.PrimaryPackage("go", ".", files, false)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range info.Funcs {
		names = append(names, strings.ToLower(f.TargetName()))
		if f.Comment == "" {
			t.Errorf("%s explains nothing", f.TargetName())
		}
	}
	slices.Sort(names)
	return names
}

func TestReadmeNamesEveryTarget(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range targets(t) {
		if !strings.Contains(strings.ToLower(string(readme)), "`"+name) && !strings.Contains(string(readme), "mage "+name) {
			t.Errorf("README.md does not name %s", name)
		}
	}
}
