package hostlog

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestUnrecordedLinesAreReadAgain: a line that could not be recorded is read again, and
// others are not.
func TestUnrecordedLinesAreReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("begin\none\ntwo\n" + strings.Repeat("x", 3*prefixLength) + "\n")
	var read []string
	full := true
	h := &Reader{Path: path, OnPosition: func(Position) {}, OnLine: func(text string) bool {
		if full && strings.HasSuffix(text, "two") {
			return false
		}
		read = append(read, text[len(text)-3:])
		return true
	}}
	defer h.close()
	if err := h.poll(); !errors.Is(err, errUnrecorded) {
		t.Errorf("poll() = %v", err)
	}
	full = false
	h.close()
	for range 2 {
		if err := h.poll(); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"gin", "one", "two", "xxx"}; !slices.Equal(read, want) {
		t.Errorf("read %q, want %q", read, want)
	}
	// Another log at the same path is read from its beginning, even if it has the same length.
	write(strings.Repeat("y", int(h.At.Offset)-1) + "\n")
	h.close()
	read = nil
	if err := h.poll(); err != nil || !slices.Equal(read, []string{"yyy"}) {
		t.Errorf("read %q of another log, %v", read, err)
	}
}
