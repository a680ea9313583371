package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// HeldError is returned for a lock that another process, or another part of
// this one, holds.
type HeldError struct {
	// Path of the lock.
	Path string
	// Holder says which command holds it, in which process and since when.
	Holder string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("the lock %s is held by %s", e.Path, e.Holder)
}

// Lock is a lock that this process holds on a file. The kernel releases it when
// the process ends, however it ends.
type Lock struct {
	file *flock.Flock
	stat fs.FileInfo
}

// How long and how often to try a lock that others hold only for moments.
const (
	settleTimeout = 500 * time.Millisecond
	settleEvery   = 20 * time.Millisecond
)

// awaitEvery is the time between two tries of a lock that somebody else holds.
const awaitEvery = 200 * time.Millisecond

// TryLock locks the file at path, creates it if necessary, and writes into it that
// command holds the lock. It returns a *HeldError if there is another holder.
func TryLock(path, command string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	for deadline := time.Now().Add(settleTimeout); ; time.Sleep(settleEvery) {
		lock, err := tryOnce(path, command)
		if lock != nil || err != nil {
			return lock, err
		}
		// A reader holds the lock for a moment, and a new holder writes its name a
		// moment after it has the lock: until then the file names the previous one.
		holder, err := Holder(path)
		if err != nil {
			return nil, err
		}
		if holder != "" && holder != unnamed || time.Now().After(deadline) {
			return nil, &HeldError{Path: path, Holder: orDefault(holder, unnamed)}
		}
	}
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// tryOnce returns nil and no error if the lock is held.
func tryOnce(path, command string) (*Lock, error) {
	file := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
	locked, err := file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !locked {
		return nil, file.Close()
	}
	lock := &Lock{file: file}
	text := fmt.Sprintf("%s (process %d, since %s)\n", command, os.Getpid(), time.Now().Format(time.TimeOnly))
	// In place, because those who wait for the lock have this file open.
	if err = os.WriteFile(path, []byte(text), 0o644); err == nil {
		lock.stat, err = file.Stat()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
	}
	return lock, nil
}

// Release gives the lock back.
func (l *Lock) Release() error {
	// A name left in the file would be read as the next holder's.
	var err error
	if !l.Lost() {
		err = os.Truncate(l.file.Path(), 0)
	}
	return errors.Join(err, l.file.Close())
}

// Lost reports whether the path now has another file or none, so that somebody else may
// hold a lock with the same path.
func (l *Lock) Lost() bool {
	there, err := os.Stat(l.file.Path())
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return !os.SameFile(l.stat, there)
}

// unnamed is the name of an unknown holder.
const unnamed = "a process that does not say which"

// Holder returns who holds the lock at path at this moment; empty if nobody
// does.
func Holder(path string) (string, error) {
	if there, err := Exists(path); err != nil || !there {
		return "", err
	}
	file := flock.New(path, flock.SetFlag(os.O_RDONLY))
	free, err := file.TryRLock()
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // its holder removed it since
	}
	if err != nil {
		return "", fmt.Errorf("look at the lock %s: %w", path, err)
	}
	if err := file.Close(); err != nil || free {
		return "", err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at the lock %s: %w", path, err)
	}
	holder := strings.TrimSpace(string(text))
	if !runs(holder) {
		return unnamed, nil
	}
	return holder, nil
}

// runs reports whether the process that a holder names is running. A process that was
// killed leaves its name in the file.
func runs(holder string) bool {
	_, rest, _ := strings.Cut(holder, "(process ")
	digits, _, _ := strings.Cut(rest, ",")
	pid, err := strconv.Atoi(digits)
	return err == nil && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// lockPath is where the lock of that name is.
func (d Dir) lockPath(name string) string { return d.Path("lock", name) }

// Lock takes the lock of that name for a command, or returns a *HeldError at
// once.
func (d Dir) Lock(name, command string) (*Lock, error) { return TryLock(d.lockPath(name), command) }

// Holder returns who holds the lock of that name at this moment; empty if nobody
// does.
func (d Dir) Holder(name string) (string, error) { return Holder(d.lockPath(name)) }

// Exclusively calls do while no other process does the work of that name, which takes
// minutes at most. It waits for its turn and calls progress with the holder.
func (d Dir) Exclusively(ctx context.Context, work string, progress func(string), do func() error) (err error) {
	lock, err := d.await(ctx, work, progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	return do()
}

// await tries to take the lock until it has it. It does not use apimachinery's wait:
// the mage targets import this package, and must compile in seconds.
func (d Dir) await(ctx context.Context, name string, progress func(string)) (*Lock, error) {
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for {
		lock, err := d.Lock(name, "a process")
		held := new(HeldError)
		if !errors.As(err, &held) {
			return lock, err
		}
		progress("waiting for " + held.Holder)
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}
