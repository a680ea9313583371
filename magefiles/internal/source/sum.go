package source

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"caslab/magefiles/internal/state"
)

// treeSum returns a digest of a fetched tree. It covers the path, the content and the executable bit of
// each file, and the target of each link. The folder .git does not count, because the compiler does not
// read it.
func treeSum(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && rel == ".git":
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			fmt.Fprintf(h, "link %q %q\n", filepath.ToSlash(rel), target)
			return err
		}
		sum, err := state.FileSum(path)
		fmt.Fprintf(h, "file %q %t %s\n", filepath.ToSlash(rel), info.Mode()&0o100 != 0, sum)
		return err
	})
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fetched returns the record of the tree in dir. ok is false if there is no record, which is then empty,
// or if the tree changed after it was fetched. A record of an older lab has no digest; fetched adds it.
func (s Spec) fetched(o Options, dir string) (r record, ok bool) {
	r, err := readRecord(dir)
	if err != nil {
		return record{}, false
	}
	sum, err := treeSum(dir)
	if err == nil && r.Sum == "" {
		r.Sum = sum
		err = r.write(dir)
	}
	switch {
	case err != nil:
		o.warn("! %s %s cannot be read as it was fetched (%v): fetching it again", s.Name, s.Version, err)
	case sum != r.Sum:
		o.warn("! %s %s in %s is not as it was fetched: fetching it again", s.Name, s.Version, dir)
	default:
		return r, true
	}
	return r, false
}
