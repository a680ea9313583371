package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/timelinetest"
)

// written returns the trace of facts, as its readers decode it.
func written(t *testing.T, facts []timeline.Fact, o Options) file {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, facts, o); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(&out)
	decoder.DisallowUnknownFields()
	var f file
	if err := decoder.Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

// required has the fields that the format requires of an event of each phase, besides ph,
// ts, pid and name, which it requires of all.
var required = map[string]func(event) bool{
	phaseBegin:    func(e event) bool { return e.Category != "" && e.ID != "" && e.Scope == "" },
	phaseEnd:      func(e event) bool { return e.Category != "" && e.ID != "" && e.Scope == "" && e.Args == nil },
	phaseInstant:  func(e event) bool { return e.Thread > 0 && e.Scope == "t" && e.ID == "" },
	phaseCounter:  func(e event) bool { return len(e.Args) == 1 && e.ID == "" && e.Scope == "" },
	phaseMetadata: func(e event) bool { return len(e.Args) == 1 && e.Microseconds == 0 && e.Scope == "" },
}

// properties are the properties of processes and threads that the format knows, with the
// names of their arguments.
var properties = map[string]string{
	"process_name": "name", "process_sort_index": "sort_index", "thread_name": "name", "thread_sort_index": "sort_index",
}

// check fails the test for each event that is not as the format wants it.
func check(t *testing.T, f file) {
	t.Helper()
	names := map[string]bool{}
	for _, e := range f.Events {
		if e.Phase == phaseMetadata && strings.HasSuffix(e.Name, "_name") {
			names[fmt.Sprint(e.Process, e.Thread)] = true
		}
	}
	open, last := map[string][]string{}, map[string]int64{}
	for _, e := range f.Events {
		valid := required[e.Phase]
		if valid == nil || !valid(e) || e.Name == "" || e.Process < 1 || e.Microseconds <= 0 && e.Phase != phaseMetadata {
			t.Errorf("the event %+v is not as its phase wants it", e)
			continue
		}
		if !names[fmt.Sprint(e.Process, 0)] || e.Phase == phaseInstant && !names[fmt.Sprint(e.Process, e.Thread)] {
			t.Errorf("the process or the thread of %+v has no name", e)
		}
		key := fmt.Sprint(e.Category, " ", e.ID)
		switch e.Phase {
		case phaseMetadata:
			if _, there := e.Args[properties[e.Name]]; !there {
				t.Errorf("the property %+v is not one of the format", e)
			}
		case phaseCounter:
			for name, value := range e.Args {
				if n, isNumber := value.(float64); !isNumber || n < 0 {
					t.Errorf("the counter %s is %v", name, value)
				}
			}
		case phaseBegin:
			open[key] = append(open[key], e.Name)
		case phaseEnd:
			if n := len(open[key]); n == 0 || open[key][n-1] != e.Name {
				t.Errorf("%+v ends while %q are open", e, open[key])
			} else {
				open[key] = open[key][:n-1]
			}
		}
		if e.Phase == phaseBegin || e.Phase == phaseEnd {
			if e.Microseconds < last[key] {
				t.Errorf("%+v is before the event before it", e)
			}
			last[key] = e.Microseconds
		}
	}
	for key, names := range open {
		if len(names) > 0 {
			t.Errorf("%s does not end: %q", key, names)
		}
	}
}

// TestTraceIsAsTheFormatWantsIt: every event has the fields of its phase, and what begins
// ends, in order.
func TestTraceIsAsTheFormatWantsIt(t *testing.T) {
	t.Parallel()
	for name, facts := range map[string][]timeline.Fact{
		"a run": timelinetest.TwentyMinutes(), "a long record": timelinetest.LongRecord(100), "numbers": timelinetest.Measured(), "nothing": nil,
	} {
		for _, from := range []float64{0, 300, 900} {
			o := Options{Title: name}
			if from > 0 {
				o.From = timelinetest.New().At(from)
			}
			f := written(t, facts, o)
			check(t, f)
			if name != "nothing" && len(f.Events) < 20 {
				t.Errorf("%s from %v has %d events", name, from, len(f.Events))
			}
		}
	}
}

// describe returns the events after the metadata, one line each, with seconds since start.
func describe(f file, start time.Time) []string {
	var all []string
	for _, e := range f.Events {
		if e.Phase != phaseMetadata {
			args, _ := json.Marshal(e.Args)
			all = append(all, fmt.Sprintf("%g %s %s %s", time.UnixMicro(e.Microseconds).Sub(start).Seconds(), e.Phase, e.Name, args))
		}
	}
	return all
}

// TestEventsOfATrace: the trace of a small record, from its middle on.
func TestEventsOfATrace(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	size := func(n int) *int { return &n }
	b.Add(0, timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: "web", UID: "g", Group: "web", N: size(1), Source: timeline.Watch})
	b.Add(5, timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: "web", UID: "g", Group: "web", N: size(2), Source: timeline.Watch})
	b.Add(6, timeline.Fact{Kind: timeline.Node, What: timeline.Joined, Name: "n-1", UID: "n", Group: "web", Source: timeline.Watch})
	b.Add(8, timeline.Fact{Kind: timeline.Pod, What: timeline.Created, Name: "default/a", UID: "p", Source: timeline.Watch})
	b.Add(12, timeline.Fact{Kind: timeline.Pod, What: timeline.Unschedulable, Name: "default/a", UID: "p", Text: "no room", Source: timeline.Watch})
	b.Log(14, "Pod default/a can be moved to n-1")
	b.Log(15, "Scale-up: setting group MachineDeployment/default/web size to 3")
	b.Log(16, "E no room")
	b.Add(20, timeline.Fact{Kind: timeline.Group, What: timeline.Gone, Name: "web", UID: "g", Group: "web", Source: timeline.Watch})
	f := written(t, b.Record(), Options{From: b.At(10)})
	check(t, f)
	want := []string{
		`14 b runs {"open":true}`,
		`20 e runs null`,
		`15 i scale-up web to 3 {"text":"Scale-up: setting group MachineDeployment/default/web size to 3"}`,
		`14 i considered default/a {"node":"n-1","pod":"default/a","text":"can be moved to n-1"}`,
		`16 i problem {"text":"no room"}`,
		`10 C replicas {"wanted":2}`,
		`20 C replicas {"wanted":0}`,
		`20 C replicas {"ready":0}`,
		`10 b n-1 {"open":true}`,
		`10 b joining null`,
		`20 e joining null`,
		`20 e n-1 null`,
		`10 b default/a {"open":true}`,
		`10 b pending null`,
		`12 e pending null`,
		`12 b unschedulable {"text":"no room"}`,
		`20 e unschedulable null`,
		`20 e default/a null`,
	}
	if got := describe(f, b.Start); !slices.Equal(got, want) {
		t.Errorf("the trace has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestNumbersAreCounters: loops, requests and the use of nodes are counters, which are 0 while no
// autoscaler runs. A record without them has only the counter of replicas.
func TestNumbersAreCounters(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	at := map[string][]string{}
	for _, e := range written(t, timelinetest.Measured(), Options{}).Events {
		if e.Phase == phaseCounter && e.Name != "replicas" {
			for which, n := range e.Args {
				key := e.Name + ": " + which
				at[key] = append(at[key], fmt.Sprintf("%d:%v", (e.Microseconds-b.Start.UnixMicro())/1e6, n))
			}
		}
	}
	want := map[string][]string{
		"loop duration: median, seconds":  {"2:0.2", "62:0.2", "122:0.2", "182:0", "301:0.1", "361:0"},
		"loop duration: longest, seconds": {"2:1", "62:3", "122:1", "182:0", "301:0.1", "361:0"},
		"API calls: requests per second":  {"2:1.5", "62:1.5", "122:1.5", "182:0"},
		"cpu, cores: requested":           {"0:0", "40:2", "500:0"},
		"cpu, cores: allocatable":         {"0:4", "40:4", "500:4"},
		"memory, MiB: requested":          {"0:0", "40:2048", "500:0"},
		"memory, MiB: allocatable":        {"0:8192", "40:8192", "500:8192"},
	}
	if !maps.EqualFunc(at, want, slices.Equal[[]string]) {
		t.Errorf("the counters are %v, want %v", at, want)
	}
	for _, e := range written(t, timelinetest.TwentyMinutes(), Options{}).Events {
		if e.Phase == phaseCounter && e.Name != "replicas" {
			t.Fatalf("an old record has the counter %s", e.Name)
		}
	}
}
