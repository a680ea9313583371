package list

import (
	"slices"
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
