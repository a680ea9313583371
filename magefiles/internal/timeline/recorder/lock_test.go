package recorder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestOneRecorderAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	held, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	busy := new(BusyError)
	if err := Record(t.Context(), Options{File: path}); !errors.As(err, &busy) || busy.File != path {
		t.Errorf("a second recorder: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a second recorder wrote: %v", err)
	}
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	if held, err = lock(path); err != nil {
		t.Errorf("the lock was not given back: %v", err)
	} else if err := held.Release(); err != nil {
		t.Error(err)
	}
}
