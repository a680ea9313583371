package proc

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// TestRead reads this process, and an ID that no process has.
func TestRead(t *testing.T) {
	t.Parallel()
	p, err := Read(os.Getpid())
	if err != nil || p.Name == "" || p.Parent != os.Getppid() || p.Start == "" || p.State != "R" && p.State != "S" {
		t.Errorf("Read() = %+v, %v", p, err)
	}
	if p, err := Read(1 << 30); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no process: %+v, %v", p, err)
	}
}
