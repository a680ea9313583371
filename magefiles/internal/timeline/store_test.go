package timeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func fact(after time.Duration, what, name string) Fact {
	return Fact{Time: noon.Add(after), Kind: Pod, What: what, Name: name, UID: "uid-" + name, Source: Watch}
}

func TestReadSortsByTime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "record")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read() of nothing = %v", err)
	}
	n := 3
	sized := Fact{Time: noon, Seen: noon.Add(time.Hour), Kind: Group, What: Sized, Name: "g", Group: "g", N: &n, Text: "a\nline", Source: Own}
	first, second := fact(0, Created, "a"), fact(time.Second, Scheduled, "a")
	for _, facts := range [][]Fact{{second}, {first, sized}} {
		if err := Append(path, facts...); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read(path)
	if want := []Fact{first, sized, second}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Read() = %v, %v; want %v", got, err, want)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestTornLineLosesNoOtherFact(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	if err := Append(path, fact(0, Created, "a")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// A process was killed in the middle of a line.
	if err := os.WriteFile(path, append(whole, whole[:len(whole)/2]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(path); err != nil || len(got) != 1 {
		t.Errorf("Read() with a torn last line = %v, %v", got, err)
	}
	// The next one begins a line of its own.
	if err := Append(path, fact(1, Gone, "a")); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if torn := new(TornError); !errors.As(err, &torn) || torn.Lines != 1 || torn.Path != path {
		t.Errorf("Read() with a torn line in the middle = %v", err)
	}
	if len(got) != 2 || got[1].What != Gone {
		t.Errorf("Read() = %v; want both whole facts", got)
	}
}

// TestInvalidLinesAreCounted: a line is invalid if its fact lacks the time, the
// kind, or what happened.
func TestInvalidLinesAreCounted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	timeless, kindless, mute := fact(0, Created, "a"), fact(0, Created, "b"), fact(0, "", "c")
	timeless.Time, kindless.Kind = time.Time{}, ""
	if err := Append(path, timeless, kindless, mute, fact(0, Created, "d")); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if torn := new(TornError); !errors.As(err, &torn) || torn.Lines != 3 || len(got) != 1 || got[0].Name != "d" {
		t.Errorf("Read() = %v, %v; want d and 3 lines that are no facts", got, err)
	}
}

func TestConcurrentAppends(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 50 {
				if err := Append(path, fact(0, Created, strconv.Itoa(i)+"/"+strconv.Itoa(j))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got, err := Read(path)
	names := map[string]bool{}
	for _, f := range got {
		names[f.Name] = true
	}
	if err != nil || len(names) != 400 {
		t.Errorf("%d facts, %v; want 400", len(names), err)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "record")
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		reported := make(chan Fact, 16)
		done := make(chan error, 1)
		go func() { done <- Tail(ctx, path, func(f Fact) { reported <- f }) }()
		expect := func(name string) {
			t.Helper()
			select {
			case f := <-reported:
				if f.Name != name {
					t.Fatalf("%s was reported, want %s", f.Name, name)
				}
			case err := <-done:
				t.Fatalf("Tail() = %v before it reported %s", err, name)
			}
		}
		add := func(name string) {
			t.Helper()
			if err := Append(path, fact(0, Created, name)); err != nil {
				t.Fatal(err)
			}
		}
		add("a") // the record was not there
		add("b")
		expect("a")
		expect("b")

		// A line that is written in two pieces is reported when it is complete.
		line, err := json.Marshal(fact(0, Created, "c"))
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range [][]byte{line[:9], append(line[9:], '\n')} {
			file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := file.Write(piece); err != nil {
				t.Fatal(err)
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * PollEvery)
			synctest.Wait()
		}
		expect("c")

		add("d") // and a moment later the record is another
		if err := os.Rename(path, path+".previous"); err != nil {
			t.Fatal(err)
		}
		add("e")
		expect("d")
		expect("e")
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Tail() = %v", err)
		}
	})
}

// TestTailNew: only facts that are added later are reported.
func TestTailNew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "record")
		if err := Append(path, fact(0, Created, "old")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		reported := make(chan Fact, 16)
		done := make(chan error, 1)
		go func() { done <- TailNew(ctx, path, func(f Fact) { reported <- f }) }()
		synctest.Wait() // until it has seen the old one
		if err := Append(path, fact(0, Created, "new")); err != nil {
			t.Fatal(err)
		}
		select {
		case f := <-reported:
			if f.Name != "new" {
				t.Errorf("%s was reported, want new", f.Name)
			}
		case <-ctx.Done():
			t.Error("nothing was reported")
		}
		// A record that is begun anew is reported from its beginning.
		if err := os.Rename(path, path+".previous"); err != nil {
			t.Fatal(err)
		}
		if err := Append(path, fact(0, Created, "anew")); err != nil {
			t.Fatal(err)
		}
		select {
		case f := <-reported:
			if f.Name != "anew" {
				t.Errorf("%s was reported, want anew", f.Name)
			}
		case <-ctx.Done():
			t.Error("nothing of the record that was begun anew was reported")
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// FuzzRead: in any file, every line is either a complete fact or counted as
// invalid. Facts are sorted by time, and none consists of parts of two lines.
func FuzzRead(f *testing.F) {
	line, err := json.Marshal(fact(0, Created, "a"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(append(line, '\n'))
	f.Add(append(append(line[:20:20], line...), "\n{}\nnull\n5\n"...))
	f.Add(append(append(line, '\n'), line[:30]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "record")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		facts, err := Read(path)
		torn := new(TornError)
		if err != nil && !errors.As(err, &torn) {
			t.Fatal(err)
		}
		lines := 0
		for l := range bytes.Lines(data) {
			if bytes.HasSuffix(l, []byte{'\n'}) && len(bytes.TrimSpace(l)) > 0 {
				lines++
			}
		}
		if len(facts)+torn.Lines != lines {
			t.Errorf("%d facts and %d torn lines of %d", len(facts), torn.Lines, lines)
		}
		for i := 1; i < len(facts); i++ {
			if facts[i].Time.Before(facts[i-1].Time) {
				t.Error("not by time")
			}
		}
		before := len(facts)
		if err := Append(path, fact(0, Gone, "z")); err != nil {
			t.Fatal(err)
		}
		// A line that was cut off may lack nothing but its end.
		if facts, _ = Read(path); len(facts) != before+1 && len(facts) != before+2 {
			t.Errorf("%d facts after one was added to %d", len(facts), before)
		}
	})
}
