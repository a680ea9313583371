package state

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// token is the random end of a mark's name, which makes it unique.
var token = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Marks returns the paths of an environment's owner files, which are called NAME-TOKEN.
// Every node has one mounted, so that the engine shows who made it.
func (d Dir) Marks(environment string) ([]string, error) {
	entries, err := os.ReadDir(d.Path("owner"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the environment's mark: %w", err)
	}
	var marks []string
	for _, entry := range entries {
		rest, ok := strings.CutPrefix(entry.Name(), environment+"-")
		if ok && token.MatchString(rest) {
			marks = append(marks, d.Path("owner", entry.Name()))
		}
	}
	return marks, nil
}

// IsMark reports whether the source of a mount is one of the marks. It compares
// the end of the path, because engines add a prefix to paths and checkouts move.
// If a different file is at the source, this checkout is a copy, and the
// environment belongs to the original. A folder at the source does not count: an
// engine creates one when the source of a mount is missing.
func IsMark(source string, marks []string) bool {
	return slices.ContainsFunc(marks, func(mark string) bool {
		if !strings.HasSuffix(source, "/.caslab/owner/"+filepath.Base(mark)) {
			return false
		}
		there, err := os.Stat(source)
		if err != nil || !there.Mode().IsRegular() {
			return true
		}
		own, err := os.Stat(mark)
		return err == nil && os.SameFile(there, own)
	})
}

// Mark returns the environment's mark. It creates one if there is none.
func (d Dir) Mark(environment string) (string, error) {
	marks, err := d.Marks(environment)
	if err != nil {
		return "", err
	}
	if len(marks) > 0 {
		return marks[0], nil
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return "", fmt.Errorf("mark the environment as the lab's: %w", err)
	}
	path := d.Path("owner", environment+"-"+hex.EncodeToString(random))
	if err := WriteFile(path, []byte("caslab environment "+environment+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("mark the environment as the lab's: %w", err)
	}
	return path, nil
}
