package importer

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// limits bound what is read.
type limits struct {
	// files is the largest number of files, bytes the largest size of all files
	// together, uncompressed, and objects that of one file with objects.
	files   int
	bytes   int64
	objects int64
}

var defaultLimits = limits{files: 200_000, bytes: 16 << 30, objects: 256 << 20}

// maxNesting is how deep archives may be in each other.
const maxNesting = 3

// peeker is a file's content, of which the beginning can be seen before it is read.
type peeker = *bufio.Reader

// headSize is how much of a file decides what it is.
const headSize = 64 << 10

// peek returns the beginning of the content.
func peek(content peeker) []byte {
	head, _ := content.Peek(headSize) // a shorter file ends with an error
	return head
}

// walker reads files, and those in archives.
type walker struct {
	ctx    context.Context
	limits limits
	files  int
	bytes  int64
	// visit is called for every file that is no archive, ignore for one that is not used, and unread for one
	// that cannot be read, or only in part.
	visit          func(name string, modified time.Time, content peeker) error
	ignore, unread func(name, why string)
}

// walk reads the file at path or all files in the folder at path. Names are relative to
// that folder.
func (w *walker) walk(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	return filepath.WalkDir(path, func(at string, entry fs.DirEntry, failed error) error {
		name, err := filepath.Rel(path, at)
		if err != nil {
			return err
		}
		if name == "." {
			name = filepath.Base(path)
		}
		name = filepath.ToSlash(name)
		switch {
		case failed == nil && entry.IsDir():
			return nil
		case failed == nil && !entry.Type().IsRegular():
			w.ignore(name, "it is no regular file")
			return nil
		case failed == nil:
			failed = w.open(at, name)
		}
		if errors.Is(failed, fs.ErrPermission) {
			w.unread(name, failed.Error())
			return nil
		}
		return failed
	})
}

// open reads a file.
func (w *walker) open(path, name string) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return w.read(name, info.ModTime(), file, 0)
}

// read reads a file, or the files in it if it is an archive, which is inside of nesting
// others.
func (w *walker) read(name string, modified time.Time, content io.Reader, nesting int) error {
	if err := w.ctx.Err(); err != nil {
		return context.Cause(w.ctx)
	}
	if nesting > maxNesting {
		w.unread(name, fmt.Sprintf("it is in more than %d archives", maxNesting))
		return nil
	}
	buffered := bufio.NewReaderSize(&counted{content, w}, headSize)
	head := peek(buffered)
	for _, other := range []struct{ magic, format string }{{"PK\x03\x04", "zip"}, {"\xfd7zXZ\x00", "xz"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"BZh", "bzip2"}} {
		if bytes.HasPrefix(head, []byte(other.magic)) {
			w.unread(name, "it is compressed with "+other.format+": unpack it first")
			return nil
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		unzipped, err := gzip.NewReader(buffered)
		if err == nil {
			err = w.read(strings.TrimSuffix(name, ".gz"), modified, unzipped, nesting+1)
		}
		return w.damaged(name, err)
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return w.damaged(name, w.archive(name, buffered, nesting))
	}
	w.files++
	if w.files > w.limits.files {
		return fmt.Errorf("there are more than %d files: import only the folders that matter", w.limits.files)
	}
	return w.visit(name, modified, buffered)
}

// archive reads the files of a tar archive.
func (w *walker) archive(name string, content io.Reader, nesting int) error {
	archive := tar.NewReader(content)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := w.read(name+"/"+header.Name, header.ModTime, archive, nesting+1); err != nil {
			return err
		}
	}
}

// damaged ignores the rest of an archive that is not what it seems, and returns other
// errors.
func (w *walker) damaged(name string, err error) error {
	isDamage := func(one error) bool { return errors.Is(err, one) }
	if slices.ContainsFunc([]error{gzip.ErrHeader, gzip.ErrChecksum, tar.ErrHeader, io.ErrUnexpectedEOF}, isDamage) || errors.As(err, new(flate.CorruptInputError)) {
		w.unread(name, "the archive is damaged: "+err.Error())
		return nil
	}
	return err
}

// counted counts the bytes that are read.
type counted struct {
	content io.Reader
	w       *walker
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.content.Read(p)
	c.w.bytes += int64(n)
	if c.w.bytes > c.w.limits.bytes {
		return n, fmt.Errorf("the files have more than %d MiB: import only the folders that matter", c.w.limits.bytes>>20)
	}
	return n, err
}
