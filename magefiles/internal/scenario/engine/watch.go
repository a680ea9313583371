package engine

import (
	"fmt"
	"time"

	"caslab/magefiles/internal/scenario"
)

// seen is what a check saw from some moment on, and the change that made it. The
// moment is that of the change, which may have been told later.
type seen struct {
	at       time.Time
	text, by string
}

// watch is a check that is looked at with every change.
type watch struct {
	check scenario.Check
	base  baseline
	// stay is one that has to hold all the time; the others have to come true
	// once.
	stay bool
	// limit is until when an expectation has to come true.
	limit time.Time

	// The world's mu guards these. came is when an expectation came true in time;
	// zero if it has not. late is that it came true after its limit.
	came time.Time
	late *seen
	// looked is whether there ever was what it looks at.
	looked   bool
	broken   *seen
	history  []seen
	orderMet []time.Time
}

// maxHistory bounds what a failure tells of how things changed.
const maxHistory = 8

// look evaluates the check after a change that was made at that time, and reports
// whether it came true or broke with that. The caller holds the world's mu.
func (c *watch) look(w *world, at time.Time, by string) bool {
	if !c.came.IsZero() || c.broken != nil {
		return false
	}
	var found outcome
	if len(c.check.Order) > 0 {
		found = c.lookInOrder(w, at)
	} else {
		found = w.eval(c.check, c.base)
	}
	c.looked = c.looked || !found.empty
	if found.at.IsZero() || found.at.After(at) {
		found.at = at // whoever told has a clock of its own
	}
	now := seen{at, found.seen, by}
	if n := len(c.history); n == 0 || c.history[n-1].text != now.text {
		c.history = last(append(c.history, now), maxHistory)
	}
	switch {
	case c.stay && !found.holds, found.final && !found.holds:
		c.broken = &now
		return true
	case !c.stay && found.holds && !found.empty:
		if !c.limit.IsZero() && found.at.After(c.limit) {
			if c.late == nil {
				c.late = &seen{found.at, found.seen, by}
			}
			return false
		}
		c.came = found.at
		return true
	}
	return false
}

// awaited is what has not come true yet, and what is there instead. Of several
// checks in order it is the first that is missing. The caller holds the
// world's mu.
func (c *watch) awaited() string {
	for i, inner := range c.check.Order {
		if c.orderMet[i].IsZero() {
			return fmt.Sprintf("not yet, as number %d of %d: %s", i+1, len(c.check.Order), inner)
		}
	}
	return fmt.Sprintf("%s: %s", c.check, c.history[len(c.history)-1].text)
}

// orderSlack is how much the times of two facts may be wrong: those of events
// are whole seconds, and those of the watches ours.
const orderSlack = 2 * time.Second

// lookInOrder notes when each of several checks came true first. A fact of the
// log may be told after a change that it made, so only the times count.
func (c *watch) lookInOrder(w *world, at time.Time) outcome {
	if c.orderMet == nil {
		c.orderMet = make([]time.Time, len(c.check.Order))
	}
	all, inOrder := true, true
	var text string
	var before, last time.Time
	for i, inner := range c.check.Order {
		if c.orderMet[i].IsZero() {
			if found := w.eval(inner, c.base); found.holds && !found.empty {
				c.orderMet[i] = found.at
				if found.at.IsZero() || found.at.After(at) {
					c.orderMet[i] = at
				}
			}
		}
		if i > 0 {
			text += "; "
		}
		met := c.orderMet[i]
		if met.IsZero() {
			all = false
			text += fmt.Sprintf("%s: not yet", inner)
			continue
		}
		text += fmt.Sprintf("%s: at %s", inner, met.Format(time.TimeOnly))
		if met.Add(orderSlack).Before(before) {
			inOrder = false
		}
		before = met
		if met.After(last) {
			last = met
		}
	}
	return outcome{holds: all && inOrder, final: all, seen: text, at: last}
}
