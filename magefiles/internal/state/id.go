package state

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// ID returns a short text that no other folder has, for names in an engine. A folder in
// another container may have the same path, and a copy of this one has another path. The
// first call writes a file.
func (d Dir) ID() (string, error) {
	path := d.Path("id")
	id, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = d.createID(path)
		if err == nil {
			id, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return "", fmt.Errorf("identify the folder %s: %w", d, err)
	}
	return ShortSum(string(d) + " " + string(id)), nil
}

// createID writes a random text to path, unless another process is faster.
func (d Dir) createID(path string) error {
	id := strings.ToLower(rand.Text())
	draft := path + "." + id
	if err := WriteFile(draft, []byte(id), 0o644); err != nil {
		return err
	}
	err := os.Link(draft, path)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, Remove(draft))
}
