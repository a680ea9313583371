package news

import (
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
)

// Statements remembers the autoscaler's statements, which it repeats in every round of ten seconds.
// Only the first occurrence is new. The zero value remembers none.
type Statements struct {
	round int
	// statements has the last occurrence of each text, by subject and text.
	statements map[string]map[string]occurrence
	// scenario is the name of the running scenario, empty if none runs.
	scenario string
}

// occurrence is the round and the time at which a statement was made.
type occurrence struct {
	round int
	at    time.Time
}

// Bounds of the memory that a long run needs.
const (
	maxSubjects = 4096
	maxTexts    = 256
)

const (
	// statementExpiry is the time after which a statement that was not repeated counts as
	// new.
	statementExpiry = 2 * time.Minute
	// nodeStatementExpiry is statementExpiry for statements about nodes. The autoscaler
	// checks a node that it cannot remove again after five minutes
	// (--unremovable-node-recheck-timeout).
	nodeStatementExpiry = 10 * time.Minute
)

// NextRound begins a round.
func (s *Statements) NextRound() { s.round++ }

// IsNew reports whether the fact is to be recorded. A statement is new if the autoscaler
// did not make it, numbers aside, since the last decision or the start of the scenario,
// if the last time is longer ago than its expiry, or if another statement about the same
// subject replaced it meanwhile.
func (s *Statements) IsNew(f timeline.Fact) bool {
	if !isRepeated(f) {
		return true
	}
	texts, text := s.statements[subject(f)], timeline.NormalText(f)
	last, known := texts[text]
	if !known {
		return true
	}
	for other, at := range texts {
		if other != text && s.replaces(at, last, f) {
			return true
		}
	}
	expiry := statementExpiry
	if f.Node != "" {
		expiry = nodeStatementExpiry
	}
	return f.Time.Sub(last.at) > expiry
}

// Learn remembers a fact, new or not.
func (s *Statements) Learn(f timeline.Fact) {
	if s.resets(f) {
		s.statements = nil
	}
	if !isRepeated(f) {
		return
	}
	if s.statements == nil || len(s.statements) > maxSubjects {
		s.statements = map[string]map[string]occurrence{}
	}
	texts := s.statements[subject(f)]
	if texts == nil || len(texts) > maxTexts {
		texts = map[string]occurrence{}
		s.statements[subject(f)] = texts
	}
	text := timeline.NormalText(f)
	if last, known := texts[text]; known && !isPlace(f) {
		for other, at := range texts {
			if other != text && s.replaces(at, last, f) {
				delete(texts, other) // it was replaced, so its next occurrence is new
			}
		}
	}
	texts[text] = occurrence{s.round, f.Time}
}

// resets reports whether every statement counts as new after the fact: the autoscaler
// decided or started, or another scenario begins.
func (s *Statements) resets(f timeline.Fact) bool {
	switch {
	case f.Kind == timeline.Lab && f.What == timeline.Step:
		other := f.Name != s.scenario
		s.scenario = f.Name
		return other
	case f.Kind == timeline.Lab && slices.Contains([]string{timeline.Passed, timeline.Failed, timeline.KnownFailure, timeline.Interrupted}, f.What):
		s.scenario = ""
		return true
	}
	switch f.What {
	case timeline.ScaleUp, timeline.ScaleDown, timeline.Started, timeline.Stopped:
		return true
	}
	return false
}

// LastTimes returns the last time of each statement, for the bookmark: the record has only
// the first.
func (s *Statements) LastTimes() map[string]time.Time {
	lastTimes := map[string]time.Time{}
	for subject, texts := range s.statements {
		for text, last := range texts {
			lastTimes[subject+"\x00"+text] = last.at
		}
	}
	return lastTimes
}

// RestoreTimes restores the times that LastTimes returned, except for statements that
// another fact of the record has reset.
func (s *Statements) RestoreTimes(lastTimes map[string]time.Time) {
	for subject, texts := range s.statements {
		for text, last := range texts {
			if at := lastTimes[subject+"\x00"+text]; at.After(last.at) {
				texts[text] = occurrence{last.round, at}
			}
		}
	}
}

// isRepeated reports whether the autoscaler repeats such a statement in every round.
func isRepeated(f timeline.Fact) bool {
	switch f.What {
	case timeline.Refused, timeline.Kept, timeline.Considered, timeline.Problem:
		return f.Kind == timeline.Autoscaler
	}
	return false
}

// replaces reports whether another statement about the same subject replaced the last one like
// f. Statements that alternate do not replace each other, but a pod has one place in a round.
func (s *Statements) replaces(other, last occurrence, f timeline.Fact) bool {
	if isPlace(f) {
		return other.round > last.round && other.round < s.round
	}
	return other.round > last.round+1
}

// isPlace reports whether a fact says where a pod has a place, or that it has none.
func isPlace(f timeline.Fact) bool {
	return f.What == timeline.Considered && strings.Contains(f.Name, "/")
}

// subject returns what a fact is about: what happened to which pod, node or group.
func subject(f timeline.Fact) string {
	if isPlace(f) {
		f.Node, f.Group = "", ""
	}
	return strings.Join([]string{f.What, f.Name, f.Node, f.Group}, "\x00")
}
