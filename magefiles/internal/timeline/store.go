package timeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ErrNoRecord is returned when nothing was recorded yet.
var ErrNoRecord = errors.New("nothing was recorded yet")

// TornError is returned, with all other facts, for a record with lines that are not
// facts: a process was killed while it wrote one, or something else wrote to the
// file.
type TornError struct {
	Path  string
	Lines int
}

func (e *TornError) Error() string {
	return fmt.Sprintf("%d lines of the record %s cannot be read; all other lines can", e.Lines, e.Path)
}

// Append adds facts to the record at path, which only the user can read. Every
// fact is one line and one write, so that several processes may append.
func Append(path string, facts ...Fact) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("append to the record: %w", err)
	}
	// The end of its last line is read.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("append to the record: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	torn, err := unended(file)
	if err != nil {
		return fmt.Errorf("append to the record: %w", err)
	}
	for _, f := range facts {
		line, err := json.Marshal(f)
		if err != nil {
			return fmt.Errorf("append to the record %s: %w", path, err)
		}
		line = append(line, '\n')
		if torn {
			// A killed process may have left a part of a line: end that line first.
			line, torn = append([]byte{'\n'}, line...), false
		}
		if _, err := file.Write(line); err != nil {
			return fmt.Errorf("append to the record: %w", err)
		}
	}
	return nil
}

// unended reports whether the file ends in the middle of a line.
func unended(file *os.File) (bool, error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	var last [1]byte
	if _, err := file.ReadAt(last[:], info.Size()-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}

// Read returns the facts of the record at path by time; facts with the same time
// are in the order in which they were recorded. The last line may be torn, because
// it is just being written. If other lines are torn, Read returns the other facts and
// a *TornError.
func Read(path string) ([]Fact, error) {
	facts, err := ReadUnsorted(path)
	slices.SortStableFunc(facts, func(a, b Fact) int { return a.Time.Compare(b.Time) })
	return facts, err
}

// ReadUnsorted returns the facts in the order in which they were recorded.
func ReadUnsorted(path string) ([]Fact, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	facts, _, torn := decode(data)
	if torn > 0 {
		return facts, &TornError{Path: path, Lines: torn}
	}
	return facts, nil
}

// decode reads the complete lines of data. It returns their facts, what follows the
// last line, and how many lines were not facts.
func decode(data []byte) (facts []Fact, rest []byte, torn int) {
	for {
		line, after, found := bytes.Cut(data, []byte{'\n'})
		if !found {
			return facts, data, torn
		}
		data = after
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var f Fact
		if err := json.Unmarshal(line, &f); err != nil || f.Time.IsZero() || f.Kind == "" || f.What == "" {
			torn++
			continue
		}
		facts = append(facts, f)
	}
}

// PollEvery is the time between two checks of files for new lines.
const PollEvery = 250 * time.Millisecond

// Tail calls on with every fact of the record at path, and then with every fact
// that is appended, in the order of the file, until ctx is done. It waits for a
// record that does not exist yet, and reads a record that was started again from its
// beginning. It leaves out lines that are not facts; Read counts them.
func Tail(ctx context.Context, path string, on func(Fact)) error {
	return tail(ctx, path, false, on)
}

// TailNew is Tail without the facts that the record has already.
func TailNew(ctx context.Context, path string, on func(Fact)) error {
	return tail(ctx, path, true, on)
}

func tail(ctx context.Context, path string, skip bool, on func(Fact)) error {
	var file *os.File
	defer func() {
		if file != nil {
			_ = file.Close() // it was only read
		}
	}()
	var rest []byte
	for {
		// First read the rest of a file that was replaced.
		over := file != nil && Replaced(file, path)
		if file == nil {
			f, err := os.Open(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("follow the record: %w", err)
			}
			if err == nil {
				file = f
			}
			if err == nil && skip {
				if _, err := file.Seek(0, io.SeekEnd); err != nil {
					return fmt.Errorf("follow the record: %w", err)
				}
			}
			skip = false
		}
		if file != nil {
			data, err := io.ReadAll(file)
			if err != nil {
				return fmt.Errorf("follow the record: %w", err)
			}
			var facts []Fact
			facts, rest, _ = decode(append(rest, data...))
			rest = slices.Clone(rest)
			for _, f := range facts {
				on(f)
			}
		}
		if over {
			_ = file.Close()
			file, rest = nil, nil
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(PollEvery):
		}
	}
}

// Replaced reports whether path is no longer the open file, or is shorter than what was
// read from it.
func Replaced(file *os.File, path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	ours, err := file.Stat()
	if err != nil || !os.SameFile(ours, there) {
		return true
	}
	read, err := file.Seek(0, io.SeekCurrent)
	return err != nil || there.Size() < read
}
