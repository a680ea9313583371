package env

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestLockNamesItsHolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unlock, err := lock(dir, "work-cluster", "env:up")
	if err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if who, err := holder(dir, "work-cluster"); err != nil || !strings.HasPrefix(who, "env:up (process ") {
		t.Errorf("holder() = %q, %v", who, err)
	}
	if who, err := holder(dir, "another"); err != nil || who != "" {
		t.Errorf("holder() of a lock that nobody took = %q, %v", who, err)
	}
	if _, err := lock(dir, "work-cluster", "env:down"); !errors.As(err, &locked) {
		t.Fatalf("second lock() = %v, want a *LockedError", err)
	}
	if want := fmt.Sprintf("env:up (process %d", os.Getpid()); !strings.Contains(locked.Error(), want) {
		t.Errorf("error %q does not name the holder %q", locked, want)
	}
	if _, err := lock(dir, "other", "env:up"); err != nil {
		t.Errorf("another environment's lock() = %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	unlock, err = lock(dir, "work-cluster", "env:down")
	if err != nil {
		t.Fatalf("lock() after unlock: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
}
