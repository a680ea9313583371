package env

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// record is the full log of a run that changes something: the steps with all
// their notes, and every process. Nothing is written while it is not open.
type record struct {
	mu   sync.Mutex
	file *os.File
}

// open begins the log at path; the one before is kept as path.previous.
func (r *record) open(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("begin the log: %w", err)
	}
	if err := os.Rename(path, path+".previous"); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("keep the log of the run before: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("begin the log: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file = f
	return nil
}

func (r *record) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.file.Close()
	r.file = nil
	return err
}

// Write implements io.Writer.
func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return len(p), nil
	}
	return r.file.Write(p)
}
