package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// CheckFolder returns an error if Write cannot write files into the folder at path, which need
// not exist. A command that writes its results at the end checks their folder at the beginning.
// Nothing is left behind: the folder is not created.
func CheckFolder(path string) error {
	dir, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("write into the folder %s: %w", path, err)
	}
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			return fmt.Errorf("write into the folder %s: %s is a file; want a folder, which need not exist", path, dir)
		}
		if err == nil {
			break
		}
		// ENOTDIR says that a folder on the way is a file.
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) || dir == filepath.Dir(dir) {
			return fmt.Errorf("write into the folder %s: %w", path, err)
		}
		dir = filepath.Dir(dir)
	}
	file, err := os.CreateTemp(dir, ".caslab-")
	if err != nil {
		return fmt.Errorf("write into the folder %s: %w; want a folder into which you may write", path, err)
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}
