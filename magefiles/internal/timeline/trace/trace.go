// Package trace writes a record as trace events, which Perfetto and other viewers of traces
// show.
package trace

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/levels"
)

// Options of Write.
type Options struct {
	// Title names the trace.
	Title string
	// From is the time at which the trace begins. If zero, it begins when somebody began to
	// record.
	From time.Time
}

// file is a file in the JSON format of Chrome's trace events, as the document "Trace
// Event Format" describes it. Perfetto reads it.
type file struct {
	Events []event `json:"traceEvents"`
	// Unit is the unit in which a viewer shows times.
	Unit string `json:"displayTimeUnit"`
	// Other is shown as properties of the trace.
	Other map[string]string `json:"otherData,omitempty"`
}

// event is one event of a trace.
type event struct {
	Name     string `json:"name"`
	Category string `json:"cat,omitempty"`
	// Phase is the type of the event, one of the phases below.
	Phase string `json:"ph"`
	// Microseconds is when it happened, since 1970.
	Microseconds int64 `json:"ts"`
	Process      int   `json:"pid"`
	Thread       int   `json:"tid"`
	// ID connects the events of one object: those between its first begin and its last end
	// are nested.
	ID string `json:"id,omitempty"`
	// Scope is how large an instant is drawn: "t" is its thread.
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// Phases of events.
const (
	phaseBegin    = "b" // of nestable asynchronous events
	phaseEnd      = "e"
	phaseInstant  = "i"
	phaseCounter  = "C"
	phaseMetadata = "M"
)

// Write writes the record as trace events: a process for the lab, for the autoscaler, for
// each node group and for all pods. Each node and each pod is an asynchronous event that
// contains its states. The sizes of a group, what its pods request and its nodes offer, the
// durations of the autoscaler's loops and its requests are counters. What the autoscaler says are
// instants. An event that was still going on when the record ended gets that end, and the
// argument open.
func Write(w io.Writer, facts []timeline.Fact, opts Options) error {
	m := history.New(facts)
	t := &tracer{from: cmp.Or(opts.From, m.RecordedSince, m.From), events: []event{}}
	numbers := levels.Of(facts)
	t.lab(m)
	t.autoscaler(m)
	t.loops(numbers)
	for _, g := range m.Groups {
		t.group(g)
		if i := slices.IndexFunc(numbers.Groups, func(n levels.Group) bool { return n.Name == g.Name }); i >= 0 {
			t.uses(numbers.Groups[i].Uses)
		}
	}
	t.pods(m.Pods)
	f := file{Events: t.events, Unit: "ms"}
	if opts.Title != "" {
		f.Other = map[string]string{"title": timeline.Tidy(opts.Title)}
	}
	if err := json.NewEncoder(w).Encode(f); err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	return nil
}

// tracer makes the events of a trace.
type tracer struct {
	from   time.Time
	events []event
	// process and objects are the numbers of processes and of objects so far.
	process, objects int
}

// add adds an event of the last process.
func (t *tracer) add(e event, at time.Time) {
	if !at.IsZero() {
		e.Microseconds = at.UnixMicro()
	}
	e.Process = t.process
	t.events = append(t.events, e)
}

// metadata adds a property of the last process or of one of its threads.
func (t *tracer) metadata(what string, thread int, key string, value any) {
	t.add(event{Name: what, Phase: phaseMetadata, Thread: thread, Args: map[string]any{key: value}}, time.Time{})
}

// begin begins a process.
func (t *tracer) begin(name string) {
	t.process++
	t.metadata("process_name", 0, "name", name)
	t.metadata("process_sort_index", 0, "sort_index", t.process)
}

// arguments returns the arguments of an event from names and values, without those that
// are empty.
func arguments(pairs ...string) map[string]any {
	args := map[string]any{}
	for pair := range slices.Chunk(pairs, 2) {
		if value := timeline.Shorten(pair[1], timeline.LongestText); value != "" {
			args[pair[0]] = value
		}
	}
	return args
}

// object adds an object with its states. It leaves out what was before the trace begins.
func (t *tracer) object(category, name string, states []history.Span, args map[string]any) {
	states = slices.DeleteFunc(slices.Clone(states), func(s history.Span) bool { return s.To.Before(t.from) })
	if len(states) == 0 {
		return
	}
	t.objects++
	id := "0x" + strconv.FormatInt(int64(t.objects), 16)
	span := func(name string, from, to time.Time, args map[string]any, inside func()) {
		if from.Before(t.from) {
			from = t.from
		}
		t.add(event{Name: name, Category: category, Phase: phaseBegin, ID: id, Args: args}, from)
		inside()
		t.add(event{Name: name, Category: category, Phase: phaseEnd, ID: id}, to)
	}
	last := states[len(states)-1]
	if last.Open {
		args["open"] = true
	}
	span(timeline.Tidy(name), states[0].From, last.To, args, func() {
		for _, s := range states {
			if s.State == history.Ongoing {
				continue // that is the object itself
			}
			span(string(s.State), s.From, s.To, arguments("text", s.Text), func() {})
		}
	})
}

// instant adds a moment in a thread.
func (t *tracer) instant(thread int, category, name string, at time.Time, args map[string]any) {
	if !at.Before(t.from) {
		t.add(event{Name: timeline.Tidy(name), Category: category, Phase: phaseInstant, Thread: thread, Scope: "t", Args: args}, at)
	}
}

// lab adds the process of the lab: when nobody recorded, and the runs of env:up and of
// scenarios.
func (t *tracer) lab(m *history.Model) {
	t.begin("lab")
	t.metadata("thread_name", 1, "name", "steps")
	for _, gap := range m.Gaps {
		t.object("gap", "nobody recorded", []history.Span{gap}, arguments("text", gap.Text))
	}
	for _, s := range slices.Concat(m.BringUps, m.Scenarios) {
		t.object("scenario", s.Name, []history.Span{s.Span}, arguments("verdict", s.Verdict))
		for _, step := range s.Steps {
			t.instant(1, "step", step.Text, step.At, arguments())
		}
	}
}

// Threads of the autoscaler's process.
const (
	decisionThread = iota + 1
	statementThread
	problemThread
)

// autoscaler adds the process of the autoscaler: its runs, decisions, statements and
// problems.
func (t *tracer) autoscaler(m *history.Model) {
	t.begin("autoscaler")
	for i, name := range []string{"decisions", "statements", "problems"} {
		t.metadata("thread_name", decisionThread+i, "name", name)
		t.metadata("thread_sort_index", decisionThread+i, "sort_index", i)
	}
	for _, run := range m.Runs {
		t.object("run", "runs", []history.Span{run}, arguments("text", run.Text))
	}
	for _, d := range m.Decisions {
		direction := map[bool]string{true: timeline.ScaleUp, false: timeline.ScaleDown}[d.Up]
		t.instant(decisionThread, direction, timeline.WhatText(direction)+" "+d.Where(), d.At, arguments("text", d.Words(), "pods", strings.Join(d.Pods, " "), "nodes", strings.Join(d.Nodes, " ")))
	}
	for _, f := range m.Facts {
		if f.Kind != timeline.Autoscaler {
			continue
		}
		thread := statementThread
		switch f.What {
		case timeline.Problem:
			thread = problemThread
		case timeline.Refused, timeline.Kept, timeline.Considered:
		default:
			continue
		}
		pod, node, group := history.About(f)
		t.instant(thread, f.What, timeline.WhatText(f.What)+" "+cmp.Or(pod, node, group), f.Time, arguments("text", f.Text, "pod", pod, "node", node, "group", group))
	}
}

// group adds the process of a node group: its sizes and its nodes.
func (t *tracer) group(g *history.GroupStory) {
	t.begin("group " + g.Title())
	t.replicas("wanted", g.Wanted, g.Gone)
	t.replicas("ready", g.Ready, g.Gone)
	for _, pause := range g.Pauses {
		t.object("pause", "paused", []history.Span{pause}, arguments())
	}
	for _, n := range g.Nodes {
		t.object("node", n.Name(), n.Spans, arguments("machine", n.Machine))
	}
}

// replicas adds a number of replicas, which is 0 when the group is gone.
func (t *tracer) replicas(which string, sizes []history.Level, gone time.Time) {
	sizes = slices.Clone(sizes)
	if n := len(sizes); n > 0 && gone.After(sizes[n-1].At) {
		sizes = append(sizes, history.Level{At: gone})
	}
	t.counter("replicas", which, sizes, 1)
}

// counter adds a number that holds until the next one, in units of that many levels.
func (t *tracer) counter(name, which string, numbers []history.Level, unit float64) {
	for i, l := range numbers {
		if i+1 < len(numbers) && !numbers[i+1].At.After(t.from) {
			continue // it changed before the trace begins
		}
		if l.At.Before(t.from) {
			l.At = t.from
		}
		t.add(event{Name: name, Phase: phaseCounter, Args: map[string]any{which: float64(l.N) / unit}}, l.At)
	}
}

// loops adds to the process of the autoscaler how long its loops took and how many requests it sent.
func (t *tracer) loops(l levels.Levels) {
	t.series("loop duration", "median, seconds", l.LoopMedian)
	t.series("loop duration", "longest, seconds", l.LoopLongest)
	t.series("API calls", "requests per second", l.Requests)
}

// series adds thousandths, which are 0 while nothing is known.
func (t *tracer) series(name, which string, s levels.Series) {
	var all []history.Level
	for _, stretch := range s {
		all = append(append(all, stretch.Levels...), history.Level{At: stretch.End})
	}
	t.counter(name, which, all, 1000)
}

// uses adds to the process of a group what pods request of its nodes, and what is allocatable.
func (t *tracer) uses(uses []levels.Use) {
	const mebi = 1 << 20
	for _, c := range []struct {
		name string
		of   func(levels.Use) levels.Share
		each int64 // of one level
		unit float64
	}{
		{"cpu, cores", func(u levels.Use) levels.Share { return u.CPU }, 1, 1000},
		{"memory, MiB", func(u levels.Use) levels.Share { return u.Memory }, mebi, 1},
	} {
		var requested, allocatable []history.Level
		for _, u := range uses {
			share := c.of(u)
			requested = append(requested, history.Level{At: u.At, N: int(share.Requested / c.each)})
			allocatable = append(allocatable, history.Level{At: u.At, N: int(share.Allocatable / c.each)})
		}
		t.counter(c.name, "requested", requested, c.unit)
		t.counter(c.name, "allocatable", allocatable, c.unit)
	}
}

// pods adds the process of the pods.
func (t *tracer) pods(pods []*history.PodStory) {
	if len(pods) == 0 {
		return
	}
	t.begin("pods")
	for _, p := range pods {
		t.object("pod", p.Name, p.Spans, arguments("node", p.Node))
	}
}
