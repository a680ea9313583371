// Package hostlog reads the log of an autoscaler on this machine. It reads each line once, even if
// the file is replaced, or if the reader did not run for a while.
package hostlog

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
)

// Position is a position in a log.
type Position struct {
	// Offset is how many bytes of the file were read, up to the end of a line.
	Offset int64 `json:"offset"`
	// Prefix is the digest of the first prefixLength bytes, or of all Offset bytes if
	// they are fewer. It identifies the log: a log begins with a time in microseconds,
	// while its name and its inode may be reused.
	Prefix string `json:"head"`
}

const prefixLength = 512

// prefixDigest returns the digest of the beginning of a file of which size bytes were read.
func prefixDigest(file io.ReaderAt, size int64) (string, error) {
	data := make([]byte, min(size, prefixLength))
	if _, err := file.ReadAt(data, 0); err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// isIn reports whether file is the log of the position.
func (p Position) isIn(file io.ReaderAt) bool {
	if p.Offset == 0 {
		return false
	}
	sum, err := prefixDigest(file, p.Offset)
	return err == nil && sum == p.Prefix
}

// Reader reads a log. A new process of the autoscaler begins a new file, and the one before
// is then Path.previous.
type Reader struct {
	Path string
	// At is the position from which it reads.
	At Position
	// OnLine is called with every line, without its end. It returns false if the line
	// must be read again.
	OnLine func(text string) bool
	// OnPosition is called with the position up to which everything was read.
	OnPosition func(Position)
	// OnEnd is called when no more lines follow.
	OnEnd func()

	file *os.File
}

// errUnrecorded is returned for a line that must be read again.
var errUnrecorded = errors.New("the line could not be recorded")

// Follow reads the log, from its position on, until ctx is done, and then the rest.
func (l *Reader) Follow(ctx context.Context, onError func(error)) {
	defer l.OnEnd()
	defer l.close()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-time.After(timeline.PollEvery):
		}
		if err := l.poll(); err != nil {
			onError(fmt.Errorf("read the autoscaler's log: %w", err))
			l.close() // begin again at the position
		}
	}
}

func (l *Reader) close() {
	if l.file != nil {
		_ = l.file.Close() // it was only read
		l.file = nil
	}
}

// poll reads the rest of the log that was read last, which may have been renamed, and
// then the logs that began after it.
func (l *Reader) poll() error {
	defer func() { l.OnPosition(l.At) }()
	if l.file == nil {
		if err := l.resume(); err != nil || l.file == nil {
			return err
		}
	}
	if err := l.read(); err != nil {
		return err
	}
	if !timeline.Replaced(l.file, l.Path) {
		return nil
	}
	// Lines may have been added between the read and the replacement of the file.
	if err := l.read(); err != nil {
		return err
	}
	l.close()
	return l.resume()
}

// resume opens the next log to read. That is the current log if the position is in it.
// Else resume reads the rest of the previous log, from the position or, if the position
// is in an older log, from the beginning, and opens the current log at its beginning. A
// log that does not exist is no error.
func (l *Reader) resume() error {
	current, err := open(l.Path)
	if err != nil {
		return err
	}
	if current != nil && (l.At.Offset == 0 || l.At.isIn(current)) {
		l.file = current
		return nil
	}
	if l.At.Offset == 0 {
		return nil
	}
	previous, err := open(l.Path + ".previous")
	if err != nil {
		return errors.Join(err, closeFile(current))
	}
	if previous != nil {
		if !l.At.isIn(previous) {
			l.At = Position{} // the previous log began after the last read
		}
		l.file = previous
		err := l.read()
		l.close()
		if err != nil {
			return errors.Join(err, closeFile(current))
		}
	}
	if current != nil {
		l.At, l.file = Position{}, current
	}
	return nil
}

// open opens a log. It returns nil if the log does not exist.
func open(path string) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return file, err
}

func closeFile(file *os.File) error {
	if file == nil {
		return nil
	}
	return file.Close()
}

// maxLine bounds what is read of a line without an end, in bytes.
const maxLine = 1 << 20

// read reads all whole lines from the position on.
func (l *Reader) read() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < l.At.Offset {
		l.At = Position{} // the file was truncated
	}
	reader := bufio.NewReaderSize(io.NewSectionReader(l.file, l.At.Offset, info.Size()-l.At.Offset), 64<<10)
	for {
		text, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) && len(text) < maxLine {
			return nil // the rest of the line is yet to come
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !l.OnLine(strings.TrimSuffix(text, "\n")) {
			return errUnrecorded
		}
		grown := l.At.Offset < prefixLength
		l.At.Offset += int64(len(text))
		if grown {
			if l.At.Prefix, err = prefixDigest(l.file, l.At.Offset); err != nil {
				return err
			}
		}
	}
}
