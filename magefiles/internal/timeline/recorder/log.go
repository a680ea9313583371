package recorder

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

// place is a position in a log.
type place struct {
	// Offset is how many bytes of the file were read, up to the end of a line.
	Offset int64 `json:"offset"`
	// Head is the digest of the first headLength bytes, or of all Offset bytes if
	// they are fewer. It identifies the log: a log begins with a time in microseconds,
	// while its name and its inode may be reused.
	Head string `json:"head"`
}

const headLength = 512

// head returns the digest of the beginning of a file of which size bytes were read.
func head(file io.ReaderAt, size int64) (string, error) {
	data := make([]byte, min(size, headLength))
	if _, err := file.ReadAt(data, 0); err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// in reports whether the file is the one that the place is in.
func (p place) in(file io.ReaderAt) bool {
	if p.Offset == 0 {
		return false
	}
	sum, err := head(file, p.Offset)
	return err == nil && sum == p.Head
}

// hostLog reads the log of an autoscaler on this machine.
type hostLog struct {
	path string
	// line is called with every line, without its end. It returns false if the line
	// must be read again.
	line func(text string) bool
	// reached is called with the place up to which everything was read.
	reached func(place)
	at      place
	file    *os.File
}

// errUnrecorded is returned for a line that must be read again.
var errUnrecorded = errors.New("the line could not be recorded")

// follow reads the log, from its place on, until ctx is done, and then the rest.
func (l *hostLog) follow(ctx context.Context, trouble func(error)) {
	defer l.close()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-time.After(timeline.PollEvery):
		}
		if err := l.poll(); err != nil {
			trouble(fmt.Errorf("read the autoscaler's log: %w", err))
			l.close() // begin again at the place
		}
	}
}

func (l *hostLog) close() {
	if l.file != nil {
		_ = l.file.Close() // it was only read
		l.file = nil
	}
}

// poll reads the rest of the log that was read last, which may have been renamed, and
// then the logs that began after it.
func (l *hostLog) poll() error {
	defer func() { l.reached(l.at) }()
	if l.file == nil {
		if err := l.resume(); err != nil || l.file == nil {
			return err
		}
	}
	if err := l.read(); err != nil {
		return err
	}
	if !timeline.Replaced(l.file, l.path) {
		return nil
	}
	// Lines may have been added between the read and the replacement of the file.
	if err := l.read(); err != nil {
		return err
	}
	l.close()
	return l.resume()
}

// resume opens the next log to read: the current one if it has the place, else the
// previous one, from the place or, if it is newer, from its beginning, and then the
// current one from its beginning. A log that is not there is no error.
func (l *hostLog) resume() error {
	current, err := open(l.path)
	if err != nil {
		return err
	}
	if current != nil && (l.at.Offset == 0 || l.at.in(current)) {
		l.file = current
		return nil
	}
	if l.at.Offset == 0 {
		return nil
	}
	previous, err := open(l.path + ".previous")
	if err != nil {
		return errors.Join(err, closed(current))
	}
	if previous != nil {
		if !l.at.in(previous) {
			l.at = place{} // a run in between that nobody read
		}
		l.file = previous
		err := l.read()
		l.close()
		if err != nil {
			return errors.Join(err, closed(current))
		}
	}
	if current != nil {
		l.at, l.file = place{}, current
	}
	return nil
}

// open opens a log; nil if it is not there.
func open(path string) (*os.File, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return file, err
}

func closed(file *os.File) error {
	if file == nil {
		return nil
	}
	return file.Close()
}

// maxLine bounds what is read of a line without an end, in bytes.
const maxLine = 1 << 20

// read reads all whole lines from the place on.
func (l *hostLog) read() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < l.at.Offset {
		l.at = place{} // somebody cut it short
	}
	reader := bufio.NewReaderSize(io.NewSectionReader(l.file, l.at.Offset, info.Size()-l.at.Offset), 64<<10)
	for {
		text, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) && len(text) < maxLine {
			return nil // the rest of the line is yet to come
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !l.line(strings.TrimSuffix(text, "\n")) {
			return errUnrecorded
		}
		grown := l.at.Offset < headLength
		l.at.Offset += int64(len(text))
		if grown {
			if l.at.Head, err = head(l.file, l.at.Offset); err != nil {
				return err
			}
		}
	}
}
