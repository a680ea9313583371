package state

import (
	"os"
	"sync"
	"testing"
)

// TestID: a folder keeps its ID, however many processes ask for it first. Another folder has
// another one, even if it is a copy, or has the same path somewhere else.
func TestID(t *testing.T) {
	t.Parallel()
	dir := Dir(t.TempDir())
	ids := make([]string, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			var err error
			if ids[i], err = dir.ID(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		if len(id) != 8 || id != ids[0] {
			t.Errorf("the IDs are %q", ids)
		}
	}
	if left, err := os.ReadDir(string(dir)); err != nil || len(left) != 1 {
		t.Errorf("it left %v, %v", left, err)
	}
	text, err := os.ReadFile(dir.Path("id"))
	if err != nil {
		t.Fatal(err)
	}
	copied := Dir(t.TempDir())
	if err := WriteFile(copied.Path("id"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	if other, err := copied.ID(); err != nil || other == ids[0] {
		t.Errorf("a copy has the ID %s, %v", other, err)
	}
	if err := Remove(dir.Path("id")); err != nil { // now it is another container's folder
		t.Fatal(err)
	}
	if other, err := dir.ID(); err != nil || other == ids[0] {
		t.Errorf("a folder with the same path has the ID %s, %v", other, err)
	}
}
