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

// targets are what mage finds in this folder. It passes over a method whose
// signature it does not know without a word.
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

func TestTargetsAreTheCommandsVerbs(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "run", "./internal/cmd/caslab")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("the command ran without a verb")
	}
	_, list, found := strings.Cut(strings.Split(string(out), "\n")[0], "want one of: ")
	if !found {
		t.Fatalf("the command printed %s", out)
	}
	verbs := append(strings.Split(list, ", "), "lint", "test", "testunit")
	slices.Sort(verbs)
	if got := targets(t); !slices.Equal(got, verbs) {
		t.Errorf("mage has the targets\n%v\nand the command the verbs\n%v", got, verbs)
	}
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
