package history

import (
	"fmt"
	"time"

	"caslab/magefiles/internal/timeline"
)

// Tug is a tug of war: two writers who undo each other's changes of a group's size.
type Tug struct {
	From, To time.Time
	// First and Last are the indices of its changes.
	First, Last int
	// Up writes the larger numbers and Down the smaller ones; Ups and Downs are how
	// often.
	Up, Down   string
	Ups, Downs int
	// Low and High are the smallest and the largest number.
	Low, High int
}

const (
	// tugChanges is the smallest number of changes that make a tug of war: each writer
	// has undone what the other did, and again.
	tugChanges = 4
	// tugPause is the longest time between two of them.
	tugPause = 10 * time.Minute
)

// writer returns who made a change.
func (c SizeChange) writer() string {
	switch {
	case c.Decision != nil:
		return "the autoscaler"
	case c.By != "":
		return "the field manager " + timeline.Tidy(c.By)
	}
	return "somebody else"
}

// Tugs returns the tugs of war in the changes of a group's size.
func Tugs(changes []SizeChange) []Tug {
	var tugs []Tug
	for first := 0; first < len(changes); first++ {
		last := first
		for last+1 < len(changes) && undoes(changes[last+1], changes[last]) {
			last++
		}
		if last-first+1 < tugChanges {
			continue
		}
		tugs = append(tugs, newTug(changes, first, last))
		first = last
	}
	return tugs
}

// undoes reports whether one writer changes the size in the other direction than another
// did shortly before.
func undoes(c, before SizeChange) bool {
	return before.From >= 0 && (c.To > c.From) != (before.To > before.From) && c.writer() != before.writer() && c.At.Sub(before.At) <= tugPause
}

func newTug(changes []SizeChange, first, last int) Tug {
	t := Tug{From: changes[first].At, To: changes[last].At, First: first, Last: last, Low: changes[first].To, High: changes[first].To}
	for _, c := range changes[first : last+1] {
		if c.To > c.From {
			t.Up = c.writer()
			t.Ups++
		} else {
			t.Down = c.writer()
			t.Downs++
		}
		t.Low, t.High = min(t.Low, c.To), max(t.High, c.To)
	}
	return t
}

// Words returns the tug of war in a sentence.
func (t Tug) Words() string {
	return fmt.Sprintf("a tug of war: %s raised it %s to at most %d, and %s lowered it %s to %d, the last time at %s",
		t.Up, times(t.Ups), t.High, t.Down, times(t.Downs), t.Low, timeline.Clock(t.To))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
