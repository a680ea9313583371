package list

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{"": nil, " ": nil, "a": {"a"}, "a,b": {"a", "b"}, " a , b ": {"a", "b"}} {
		if got, err := Split(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		",": `part 1 of the list "," is empty`, "a,": `part 2 of the list "a," is empty`, ",a": `part 1 of the list ",a" is empty`, "a, ,b": `part 2 of the list "a, ,b" is empty`,
	} {
		if got, err := Split(text); err == nil || err.Error() != want {
			t.Errorf("%q: %q, %v; want %s", text, got, err, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]Number{"": nil, "b=2, a=1": {{"b", 2}, {"a", 1}}, "a=9": {{"a", 9}}} {
		if got, err := Numbers(text, 1, 9); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"a=0":     `"a=0": want a name and a number from 1 to 9, such as gpu.example.com=1`,
		"a=10":    `"a=10": want a name and a number from 1 to 9, such as gpu.example.com=1`,
		"a":       `"a": want a name and a number from 1 to 9, such as gpu.example.com=1`,
		"=1":      `"=1": want a name and a number from 1 to 9, such as gpu.example.com=1`,
		"a=1.5":   `"a=1.5": want a name and a number from 1 to 9, such as gpu.example.com=1`,
		"a=1,a=1": "a is there twice",
		"a=1,":    `part 2 of the list "a=1," is empty`,
	} {
		if got, err := Numbers(text, 1, 9); err == nil || err.Error() != want {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
}

// FuzzNumbers: names are not empty, and the numbers written as text are read as the same.
func FuzzNumbers(f *testing.F) {
	for _, seed := range []string{"", "nvidia.com/gpu=1", "a=1,b=2", "a=1,a=2", "a", "=1", "a=", "a=1=2", ","} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		numbers, err := Numbers(text, 0, 9)
		if err != nil {
			return
		}
		var parts []string
		for _, n := range numbers {
			if strings.TrimSpace(n.Name) == "" {
				t.Errorf("Numbers(%q) has an empty name", text)
			}
			parts = append(parts, n.Name+"="+strconv.Itoa(n.Value))
		}
		if again, err := Numbers(strings.Join(parts, ","), 0, 9); err != nil || !slices.Equal(again, numbers) {
			t.Errorf("Numbers(%q) = %v, and that is read as %v, %v", text, numbers, again, err)
		}
	})
}
