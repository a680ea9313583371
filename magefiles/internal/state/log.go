package state

import (
	"errors"
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

// Open begins the log at path. The log of the run before is renamed to path.previous, and the
// log of the last run that failed stays at path.failed.
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

// Close ends the log. If the run failed, the log has the name path.failed too.
func (l *Log) Close(failed bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.file.Close()
	if failed {
		kept := l.file.Name() + ".failed"
		err = errors.Join(err, Remove(kept), os.Link(l.file.Name(), kept))
	}
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
