// Package golden compares what a test gets with files that a person can read.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Updating reports whether Check writes the files, for tests that depend on other files too.
func Updating() bool { return *update }

// Check compares got with a file in the folder testdata of the test's package. With the
// flag -update, it writes the file.
func Check(t *testing.T, name, got string) {
	t.Helper()
	CheckFile(t, filepath.Join("testdata", name), got)
}

// CheckFile is Check for any file, by its path from the package's folder.
func CheckFile(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // a file of the checkout
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at the difference, and if it is meant run go test with -update in the package's folder. Now:\n%s", path, got)
	}
}
