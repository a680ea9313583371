package recorder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// BusyError is a record that another command of the lab writes.
type BusyError struct{ File string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("another command of the lab records to %s already; what it records can be read meanwhile", e.File)
}

// AnewError is a record that was begun anew, or removed, while a recorder was
// at work: what that one knows is of the record before.
type AnewError struct{ File string }

func (e *AnewError) Error() string {
	return fmt.Sprintf("the record %s was begun anew while it was written", e.File)
}

// held is the lock of a record.
type held struct {
	path string
	file *os.File
}

// lock takes the record at path for one recorder, or returns a *BusyError. The
// kernel gives it back when the process ends, however it ends.
func lock(path string) (*held, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("lock the record: %w", err)
	}
	file, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the record: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = fmt.Errorf("lock the record: %w", err)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = &BusyError{File: path}
		}
		return nil, errors.Join(err, file.Close())
	}
	return &held{path, file}, nil
}

// release gives the record back.
func (h *held) release() error { return h.file.Close() }

// lost reports whether the record at the path is another one by now: its
// folder was moved away with the lock.
func (h *held) lost() bool {
	there, err := os.Stat(h.path + ".lock")
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	ours, err := h.file.Stat()
	return err == nil && !os.SameFile(ours, there)
}
