package logfacts

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

var (
	// flagLine matches a line in which the autoscaler logs one of its flags when it starts.
	flagLine = regexp.MustCompile(`^FLAG: --([^=]+)=(".*")$`)
	// apiLine matches the line in which it logs the version of Cluster API's API that it uses.
	apiLine = regexp.MustCompile(`^Using version "([^"]+)" for API group `)
	// coolDownLine matches the line in which it logs, in every loop, the times from which
	// its cool-downs count, and whether it is in one. Releases from 1.18 to 1.36 have it.
	coolDownLine = regexp.MustCompile(`^Scale down status: .*?lastScaleUpTime=(.+?) lastScaleDownDeleteTime=(.+?) lastScaleDownFailTime=(.+?) scaleDownForbidden=`)
)

// Reader makes facts of the lines of one log, which it gets in their order: how the process
// was started, its cool-downs, and its loops. Statement makes facts of what a line states.
type Reader struct {
	// Partial is set for a log of which lines are left out, so that the length of loops is
	// not known.
	Partial bool

	// flags are those read so far, and flagsAt is the time of the last one, zero after it.
	// Some releases log no flags.
	flags    map[string]string
	flagsAt  time.Time
	coolDown shape.CoolDown
	loops    loops
}

// Matters reports whether Read makes a fact of such a line, alone or with others.
func Matters(e speech.Entry) bool {
	return e.Class == speech.Loop || flagLine.MatchString(e.Message) || apiLine.MatchString(e.Message) || coolDownLine.MatchString(e.Message)
}

// Read returns the facts that are complete with a line. day is as for Statement.
func (r *Reader) Read(e speech.Entry, day time.Time) []timeline.Fact {
	if e.Stamp == "" {
		return nil // a part of the line before
	}
	at := e.At(day)
	if m := flagLine.FindStringSubmatch(e.Message); m != nil {
		if r.flagsAt.IsZero() {
			r.flags = map[string]string{}
		}
		if value, err := strconv.Unquote(m[2]); err == nil && slices.Contains(decisive, m[1]) {
			r.flags[m[1]] = value
		}
		r.flagsAt = at
		return nil
	}
	var facts []timeline.Fact
	if !r.flagsAt.IsZero() {
		facts = append(facts, shaped(r.flagsAt, shape.Autoscaler{Flags: r.flags}))
		r.flagsAt = time.Time{}
	}
	if m := apiLine.FindStringSubmatch(e.Message); m != nil {
		facts = append(facts, shaped(at, shape.Autoscaler{API: m[1]}))
	}
	if m := coolDownLine.FindStringSubmatch(e.Message); m != nil {
		c := shape.CoolDown{Add: autoscaler.ParseTime(m[1]).UTC(), Delete: autoscaler.ParseTime(m[2]).UTC(), Failure: autoscaler.ParseTime(m[3]).UTC()}
		c.Over = strings.Contains(e.Message, " scaleDownInCooldown=false") && !strings.Contains(e.Message, " scaleDownForbidden=true")
		if c != r.coolDown {
			r.coolDown = c
			facts = append(facts, shaped(at, shape.Autoscaler{CoolDown: &c}))
		}
	}
	switch {
	case e.Class == speech.Loop:
		facts = append(facts, r.told(r.loops.begin(at))...)
	case inLoop(e):
		r.loops.line(at)
	}
	return facts
}

// Rest returns the fact of the loops that Read has not returned yet. It is to be called when
// no line follows for now.
func (r *Reader) Rest() []timeline.Fact { return r.told(r.loops.rest()) }

// told returns the fact of loops, of which there may be none.
func (r *Reader) told(l *shape.Loops) []timeline.Fact {
	if l == nil {
		return nil
	}
	if r.Partial {
		l.Median, l.Longest = 0, 0
	}
	return []timeline.Fact{shaped(l.Last, shape.Autoscaler{Loops: l})}
}

func shaped(at time.Time, a shape.Autoscaler) timeline.Fact {
	return timeline.Fact{Time: at, Kind: timeline.Autoscaler, What: timeline.Shaped, Shape: shape.Encode(a), Source: timeline.Log}
}
