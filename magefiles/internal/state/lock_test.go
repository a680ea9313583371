package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestLockNamesItsHolder(t *testing.T) {
	t.Parallel()
	dir := Dir(t.TempDir())
	lock, err := dir.Lock("work-cluster", "env:up")
	if err != nil {
		t.Fatal(err)
	}
	if who, err := dir.Holder("work-cluster"); err != nil || !strings.HasPrefix(who, "env:up (process ") {
		t.Errorf("Holder() = %q, %v", who, err)
	}
	if who, err := dir.Holder("another"); err != nil || who != "" {
		t.Errorf("Holder() of a lock that nobody took = %q, %v", who, err)
	}
	var held *HeldError
	if _, err := dir.Lock("work-cluster", "env:down"); !errors.As(err, &held) {
		t.Fatalf("the second Lock() = %v, want a *HeldError", err)
	}
	if want := fmt.Sprintf("env:up (process %d, since ", os.Getpid()); !strings.HasPrefix(held.Holder, want) || !strings.Contains(held.Error(), want) {
		t.Errorf("error %q does not name the holder %q", held, want)
	}
	if _, err := dir.Lock("other", "env:up"); err != nil {
		t.Errorf("a lock of another name: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	if who, err := dir.Holder("work-cluster"); err != nil || who != "" {
		t.Errorf("Holder() after the release = %q, %v", who, err)
	}
	if left, err := os.ReadFile(dir.lockPath("work-cluster")); err != nil || len(left) > 0 {
		t.Errorf("the release left the name %q, %v", left, err)
	}
	lock, err = dir.Lock("work-cluster", "env:down")
	if err != nil {
		t.Fatalf("Lock() after the release: %v", err)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
}

// ended returns the ID of a process that ran and ended.
func ended(t *testing.T) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// TestEndedHolderIsNotNamed: a process that was killed leaves its name in the
// lock's file. The next holder has the lock for a moment before it replaces that
// name.
func TestEndedHolderIsNotNamed(t *testing.T) {
	t.Parallel()
	stale := fmt.Sprintf("env:up (process %d, since 10:00:00)\n", ended(t))
	synctest.Test(t, func(t *testing.T) {
		dir := Dir(t.TempDir())
		path := dir.lockPath("work-cluster")
		if err := WriteFile(path, []byte(stale), 0o644); err != nil {
			t.Fatal(err)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		var held *HeldError
		if _, err := dir.Lock("work-cluster", "env:down"); !errors.As(err, &held) || strings.Contains(held.Holder, "env:up") {
			t.Errorf("Lock() = %v; want that it is held, and not by the process that ended", err)
		}
		if who, err := dir.Holder("work-cluster"); err != nil || who != unnamed {
			t.Errorf("Holder() = %q, %v; want that somebody has it", who, err)
		}
		// The holder writes its name while somebody else tries to get the lock.
		time.AfterFunc(100*time.Millisecond, func() {
			text := fmt.Sprintf("scenario:run (process %d, since 10:00:01)\n", os.Getpid())
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Error(err)
			}
		})
		if _, err := dir.Lock("work-cluster", "env:down"); !errors.As(err, &held) || !strings.HasPrefix(held.Holder, "scenario:run (process ") {
			t.Errorf("Lock() = %v; want the holder of this moment", err)
		}
	})
}

// TestHolderTakesNoLock: reading the holder of a lock does not stop another process from
// taking the lock.
func TestHolderTakesNoLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := Dir(t.TempDir())
		path := dir.lockPath("work-cluster")
		if err := WriteFile(path, []byte("env:up (process 1, since 10:00:00)\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH); err != nil {
			t.Fatal(err)
		}
		looked := make(chan struct{})
		defer func() { <-looked }()
		time.AfterFunc(100*time.Millisecond, func() {
			defer close(looked)
			if err := syscall.Flock(int(file.Fd()), syscall.LOCK_UN); err != nil {
				t.Error(err)
			}
		})
		lock, err := dir.Lock("work-cluster", "env:down")
		if err != nil {
			t.Fatalf("Lock() while somebody looks: %v", err)
		}
		if err := lock.Release(); err != nil {
			t.Error(err)
		}
	})
}

func TestRemovedLockIsLost(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := TryLock(path, "one")
	if err != nil {
		t.Fatal(err)
	}
	if lock.Lost() {
		t.Error("it is lost at once")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if !lock.Lost() {
		t.Error("the file is gone, and the lock is not lost")
	}
	other, err := TryLock(path, "two")
	if err != nil {
		t.Fatal(err)
	}
	if !lock.Lost() || other.Lost() {
		t.Error("another file is there, and the lock of the first is not lost, or that of the second is")
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
	if who, err := Holder(path); err != nil || !strings.HasPrefix(who, "two ") {
		t.Errorf("the release of a lost lock left %q, %v of the other", who, err)
	}
}

func TestExclusively(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := Dir(t.TempDir())
		var (
			group    sync.WaitGroup
			mu       sync.Mutex
			at, most int
		)
		for range 3 {
			group.Go(func() {
				err := dir.Exclusively(t.Context(), "build", func(string) {}, func() error {
					mu.Lock()
					at++
					most = max(most, at)
					mu.Unlock()
					time.Sleep(10 * time.Millisecond)
					mu.Lock()
					at--
					mu.Unlock()
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if most != 1 {
			t.Errorf("%d at once", most)
		}

		lock, err := dir.Lock("build", "env:up")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var waited string
		err = dir.Exclusively(ctx, "build", func(text string) { waited = text }, func() error { return errors.New("it ran") })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(waited, "waiting for env:up (process ") {
			t.Errorf("Exclusively() = %v, and it said %q", err, waited)
		}
		if err := lock.Release(); err != nil {
			t.Error(err)
		}
	})
}
