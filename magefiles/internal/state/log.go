package state

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// Log is the full log of a run: its steps with all their notes, and every
// process. What is written while it is not open is dropped.
type Log struct {
	mu   sync.Mutex
	file *os.File
}

// Open begins the log at path; the previous log is renamed to path.previous.
func (l *Log) Open(path string) error {
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
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file = f
	return nil
}

// Close ends the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.file.Close()
	l.file = nil
	return err
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return len(p), nil
	}
	return l.file.Write(p)
}
