package state

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestWriteIsAtomic: writers at the same time leave one of their contents, and
// nothing beside it (two commands rewrite a kubeconfig after a restart).
func TestWriteIsAtomic(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "kubeconfig", "work-cluster")
	contents := []string{strings.Repeat("a", 1<<16), strings.Repeat("b", 1<<16)}
	var writers sync.WaitGroup
	for _, content := range contents {
		writers.Go(func() {
			for range 50 {
				err := Write(path, 0o600, func(w io.Writer) error {
					for _, half := range []string{content[:1<<15], content[1<<15:]} {
						if _, err := io.WriteString(w, half); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					t.Errorf("write beside another: %v", err)
					return
				}
				if data, err := os.ReadFile(path); err != nil || string(data) != contents[0] && string(data) != contents[1] {
					t.Errorf("read %d bytes of neither, %v", len(data), err)
					return
				}
			}
		})
	}
	writers.Wait()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v; want mode 0600", info, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func TestFailedWriteKeepsTheOldFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "report.html")
	if err := WriteFile(path, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err := Write(path, 0o644, func(w io.Writer) error {
		_, werr := io.WriteString(w, "half")
		return errors.Join(boom, werr)
	})
	if !errors.Is(err, boom) {
		t.Errorf("Write() = %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "before" {
		t.Errorf("the file has %q, %v", data, err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "owner", "x")
	var got map[string]int
	if there, err := ReadJSON(path, &got); err != nil || there {
		t.Errorf("of no file: %v, %v", there, err)
	}
	if err := WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if there, err := ReadJSON(path, &got); err != nil || there {
		t.Errorf("of an empty file: %v, %v", there, err)
	}
	if err := WriteJSON(path, map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if there, err := ReadJSON(path, &got); err != nil || !there || got["a"] != 1 {
		t.Errorf("read %v, %v, %v", got, there, err)
	}
	if err := WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if there, err := ReadJSON(path, &got); err == nil || there || !strings.Contains(err.Error(), path) {
		t.Errorf("of half a file: %v, %v; want an error that names it", there, err)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one := filepath.Join(dir, "one")
	if err := WriteFile(one, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(filepath.Join(dir, "none"), one); err != nil {
		t.Error(err)
	}
	if there, err := Exists(one); err != nil || there {
		t.Errorf("it is there: %v, %v", there, err)
	}
	full := filepath.Join(dir, "full", "x")
	if err := WriteFile(full, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Remove(filepath.Dir(full)); err == nil {
		t.Error("a folder that is not empty is removed without an error")
	}
}

func TestLogKeepsThePreviousFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "logs", "x.log")
	l := new(Log)
	write := func(text string) {
		if n, err := io.WriteString(l, text); err != nil || n != len(text) {
			t.Errorf("Write(%q) = %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"zero", "one", "two"} {
		write("dropped")
		if err := l.Open(path); err != nil {
			t.Fatal(err)
		}
		write(text)
		if err := l.Close(text != "two"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Open(path); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(false); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path: "", path + ".previous": "two", path + ".failed": "one"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v; want %q", name, got, err, want)
		}
	}
}

// TestShortSumIsStable: if the sum changed, the folders and images of existing
// environments would not be found again.
func TestShortSumIsStable(t *testing.T) {
	t.Parallel()
	if got := ShortSum("abc"); got != "ba7816bf" {
		t.Errorf("ShortSum(abc) = %s", got)
	}
}

// TestCheckFolder: a folder for results is good if it is one, or if it can be created.
func TestCheckFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{
		dir: "", filepath.Join(dir, "new"): "", filepath.Join(dir, "new", "er"): "",
		file: file + " is a file", filepath.Join(file, "below"): ": " + file + " is a file", filepath.Join(file, "below", "it"): ": " + file + " is a file",
	}
	if runtime.GOOS == "linux" {
		paths["/proc/self/new"] = "want a folder into which you may write"
	}
	for path, want := range paths {
		if err := CheckFolder(path); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v are left: %v", left, err)
	}
}
