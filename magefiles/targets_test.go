package main_test

import (
	"os"
	"os/exec"
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

func TestReadmeHasARowForEveryTarget(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "\n## Targets\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var names []string
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || !strings.HasPrefix(line, "| `") {
			continue
		}
		for i, word := range strings.Split(cells[1], "`") {
			if i%2 == 1 { // between back quotes
				names = append(names, strings.ToLower(word))
			}
		}
	}
	slices.Sort(names)
	if got := targets(t); !slices.Equal(got, names) {
		t.Errorf("mage has the targets\n%v\nand the table of README.md has\n%v", got, names)
	}
}

// TestTargetsCompileInSeconds: mage prints nothing while it compiles the targets, so large
// packages belong to the lab's command.
func TestTargetsCompileInSeconds(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags=mage", ".")
	list.Stderr = os.Stderr
	deps, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(deps)) {
		dep = strings.TrimSpace(dep)
		for _, heavy := range []string{"net/http", "k8s.io/", "sigs.k8s.io/", "github.com/google/go-containerregistry/", "github.com/go-git/"} {
			if dep == heavy || strings.HasSuffix(heavy, "/") && strings.HasPrefix(dep, heavy) {
				t.Errorf("the targets import %s", dep)
			}
		}
	}
}
