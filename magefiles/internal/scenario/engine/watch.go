package engine

import (
	"fmt"
	"time"

	"caslab/magefiles/internal/scenario"
)

// observation is what a check saw and the change that caused it. at is the time of the
// change, which may be earlier than the time when the change was seen.
type observation struct {
	at          time.Time
	text, cause string
}

// watch is a check that is evaluated at every change.
type watch struct {
	check scenario.Check
	base  baseline
	// stay is set for a check that has to hold all the time. The others have to
	// come true once.
	stay bool
	// limit is the time by which an expectation has to come true.
	limit time.Time

	// The fields below are guarded by the world's mu. metAt is when an expectation
	// came true in time; zero if it did not. late is set if it came true after its
	// limit.
	metAt time.Time
	late  *observation
	// evaluated is set once there was something to evaluate.
	evaluated bool
	broken    *observation
	history   []observation
	orderMet  []time.Time
}

// maxHistory is the maximum number of changes that a failure shows.
const maxHistory = 8

// evaluate evaluates the check after a change. at is the time of the change, and cause
// describes it. evaluate reports whether the check came true or broke with this change.
// The caller holds the world's mu.
func (c *watch) evaluate(w *world, at time.Time, cause string) bool {
	if !c.metAt.IsZero() || c.broken != nil {
		return false
	}
	var found outcome
	if len(c.check.Order) > 0 {
		found = c.evaluateOrder(w, at)
	} else {
		found = w.eval(c.check, c.base)
	}
	c.evaluated = c.evaluated || !found.empty
	if found.at.IsZero() || found.at.After(at) {
		found.at = at // the clock of the fact's source may be fast
	}
	now := observation{at, found.seen, cause}
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
				c.late = &observation{found.at, found.seen, cause}
			}
			return false
		}
		c.metAt = found.at
		return true
	}
	return false
}

// describeMissing describes what has not come true yet and what is there instead. For an
// order it describes the first check that is missing. The caller holds the world's
// mu.
func (c *watch) describeMissing() string {
	for i, inner := range c.check.Order {
		if c.orderMet[i].IsZero() {
			return fmt.Sprintf("not yet, as number %d of %d: %s", i+1, len(c.check.Order), inner)
		}
	}
	return fmt.Sprintf("%s: %s", c.check, c.history[len(c.history)-1].text)
}

// orderSlack is the tolerance when two times are compared. Events have whole
// seconds, and what a watch shows may have the time when it was seen.
const orderSlack = 2 * time.Second

// evaluateOrder evaluates an order after a change made at that time. It notes when
// each check came true first. A fact of the log may be seen after the change that
// followed from it, so the times decide, not the order in which things are seen.
func (c *watch) evaluateOrder(w *world, at time.Time) outcome {
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
