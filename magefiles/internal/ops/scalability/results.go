package scalability

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/traffic"
	"caslab/magefiles/internal/ui"
)

// Results has what was measured.
type Results struct {
	// Groups, Nodes and Pods are how many there were. Nodes is the lowest number of nodes
	// on which the pods fit.
	Groups int   `json:"groups"`
	Nodes  int   `json:"nodes"`
	Pods   int   `json:"pods"`
	Runs   []Run `json:"runs"`
}

// Run is one measurement of an autoscaler.
type Run struct {
	// Autoscaler is its release and source.
	Autoscaler string  `json:"autoscaler"`
	Round      int     `json:"round"`
	Phases     []Phase `json:"phases"`
}

// Phase has what happened in a part of a run.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	// Nodes of the groups at the end.
	Nodes int `json:"nodes"`
	// Bought is the largest number of nodes that the groups were to have at a time during a
	// scale-up; 0 in the other phases.
	Bought int `json:"nodesBought,omitempty"`
	// Functions are the durations of the autoscaler's functions, by their names.
	Functions map[string]metrics.Duration `json:"functions"`
	// CPU is the processor time of the autoscaler in seconds, and Memory the resident memory
	// in bytes at the end.
	CPU    float64 `json:"cpuSeconds"`
	Memory int64   `json:"memoryBytes"`
	// Requests are the autoscaler's, those that cost most first.
	Requests []Requests `json:"requests"`
}

// Requests are requests of one kind.
type Requests struct {
	traffic.Request
	traffic.Count
}

// phaseBetween returns what happened between two moments.
func phaseBetween(name string, before, after moment) Phase {
	p := Phase{
		Name: name, Seconds: after.at.Sub(before.at).Seconds(),
		Functions: metrics.Since(before.metrics.Durations(), after.metrics.Durations()),
		CPU:       after.metrics.CPU() - before.metrics.CPU(), Memory: after.metrics.Memory(),
	}
	since := after.traffic.Since(before.traffic)
	for _, r := range slices.SortedFunc(maps.Keys(since), func(a, b traffic.Request) int {
		return cmp.Or(cmp.Compare(since[b].Requests, since[a].Requests), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Verb, b.Verb))
	}) {
		p.Requests = append(p.Requests, Requests{r, since[r]})
	}
	return p
}

// sum returns the number of requests and the bytes that were received.
func (p Phase) sum() (requests int, received int64) {
	for _, r := range p.Requests {
		requests += r.Requests
		received += r.Received
	}
	return requests, received
}

// bought returns how many nodes the autoscaler bought, and how many of them more, or fewer, than
// the least number on which the pods fit. It returns "-" for a phase without a scale-up.
func (p Phase) bought(least int) string {
	if p.Bought == 0 {
		return "-"
	}
	return fmt.Sprintf("%d (%+d)", p.Bought, p.Bought-least)
}

// JSON writes the results.
func (r Results) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// most is how many functions and kinds of requests the tables have.
const most = 8

// print writes the results as tables.
func (r Results) print(w io.Writer) error {
	fmt.Fprintf(w, "%d node groups, %d pods, which fit on %d nodes\n", r.Groups, r.Pods, r.Nodes)
	for _, run := range r.Runs {
		fmt.Fprintf(w, "\nAutoscaler %s, round %d\n", run.Autoscaler, run.Round)
		if err := run.print(w, r.Nodes); err != nil {
			return err
		}
	}
	return r.compare(w)
}

// print writes a run as tables. least is the lowest number of nodes on which the pods fit.
func (run Run) print(w io.Writer, least int) error {
	t := ui.NewTable(w, "PHASE", "SECONDS", "NODES", "BOUGHT", "LOOPS", "MEAN LOOP s", "REQUESTS", "RECEIVED MiB", "CPU s", "MEMORY MiB")
	for _, p := range run.Phases {
		loop := p.Functions[metrics.MainLoop]
		requests, received := p.sum()
		t.Row(p.Name, decimal(p.Seconds), strconv.Itoa(p.Nodes), p.bought(least), strconv.FormatUint(loop.Count, 10), decimal(loop.Mean()),
			strconv.Itoa(requests), decimal(float64(received)/(1<<20)), decimal(p.CPU), strconv.FormatInt(p.Memory>>20, 10))
	}
	if err := t.End(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = ui.NewTable(w, "PHASE", "FUNCTION", "TIMES", "MEAN s", "SECONDS")
	for _, p := range run.Phases {
		functions := slices.SortedFunc(maps.Keys(p.Functions), func(a, b string) int {
			return cmp.Or(cmp.Compare(p.Functions[b].Seconds, p.Functions[a].Seconds), cmp.Compare(a, b))
		})
		functions = slices.DeleteFunc(functions, func(f string) bool { return f == metrics.Wait })
		for _, f := range functions[:min(most, len(functions))] {
			d := p.Functions[f]
			t.Row(p.Name, f, strconv.FormatUint(d.Count, 10), fmt.Sprintf("%.3f", d.Mean()), decimal(d.Seconds))
		}
	}
	if err := t.End(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t = ui.NewTable(w, "PHASE", "REQUESTS", "PER LOOP", "RECEIVED KiB", "VERB", "PATH")
	for _, p := range run.Phases {
		for _, r := range p.Requests[:min(most, len(p.Requests))] {
			t.Row(p.Name, strconv.Itoa(r.Requests), perLoop(r.Requests, p.Functions[metrics.MainLoop].Count), strconv.FormatInt(r.Received>>10, 10), r.Verb, r.Path)
		}
	}
	return t.End()
}

func perLoop(requests int, loops uint64) string {
	if loops == 0 {
		return "-"
	}
	return decimal(float64(requests) / float64(loops))
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// saveProfile writes the profile of the processor time that the process at address uses in
// the next seconds.
func saveProfile(ctx context.Context, address string, d time.Duration, file string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, int(d.Seconds()))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("profile the autoscaler: %w", err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("profile the autoscaler: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("profile the autoscaler: %s answers with %s", url, answer.Status)
	}
	return state.Write(file, 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, answer.Body)
		return err
	})
}
