package env

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// LockedError says who changes the environment at this moment.
type LockedError struct{ Environment, Holder string }

func (e *LockedError) Error() string {
	return fmt.Sprintf("environment %q is in use by %s; wait for it to end, or stop it and type the command again", e.Environment, e.Holder)
}

// awaitLock takes a lock that is held for minutes at most, such as that of a
// build, and waits for its holder.
func (l *Lab) awaitLock(ctx context.Context, name string, progress func(string)) (unlock func() error, err error) {
	for {
		unlock, err := lock(l.cfg.StateDir(), name, "a process")
		locked := new(LockedError)
		if !errors.As(err, &locked) {
			return unlock, err
		}
		progress("waiting for " + locked.Holder)
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// holder says who holds a lock; empty if nobody does.
func holder(stateDir, name string) (string, error) {
	path := filepath.Join(stateDir, "lock", name)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at the lock: %w", err)
	}
	defer func() { _ = f.Close() }()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		text, err := io.ReadAll(f)
		return strings.TrimSpace(string(text)), err
	}
	if err != nil {
		return "", fmt.Errorf("look at the lock %s: %w", path, err)
	}
	return "", nil
}

// lock takes the environment's lock for this process, or returns a
// *LockedError at once. The kernel gives the lock back when the process ends,
// however it ends.
func lock(stateDir, environment, command string) (unlock func() error, err error) {
	path := filepath.Join(stateDir, "lock", environment)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock the environment: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the environment: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		// Who looks at the lock has it for a moment.
		time.Sleep(50 * time.Millisecond)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		holder, _ := os.ReadFile(path)
		err = errors.Join(f.Close(), fmt.Errorf("lock %s: %w", path, err))
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, err
		}
		return nil, &LockedError{Environment: environment, Holder: strings.TrimSpace(string(holder))}
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	if _, err := fmt.Fprintf(f, "%s (process %d, since %s)\n", command, os.Getpid(), time.Now().Format(time.TimeOnly)); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f.Close, nil
}
