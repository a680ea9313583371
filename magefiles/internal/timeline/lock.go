package timeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// BusyError is a record that another command of the lab writes.
type BusyError struct{ File string }

func (e *BusyError) Error() string {
	return fmt.Sprintf("another command of the lab records to %s already; what it records can be read meanwhile", e.File)
}

// lock takes the record at path for one recorder, or returns a *BusyError. The
// kernel gives it back when the process ends, however it ends.
func lock(path string) (unlock func() error, err error) {
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
	return file.Close, nil
}
