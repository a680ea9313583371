package scalability

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/ops/groups"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
	"caslab/magefiles/internal/traffic"
	"caslab/magefiles/internal/ui"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	good := Options{Groups: 50, Nodes: 300, Pods: 3000, Rounds: 1, Quiet: time.Minute}
	if err := good.validate(); err != nil {
		t.Errorf("%+v was refused: %v", good, err)
	}
	for want, change := range map[string]func(*Options){
		"-groups=0: want 1 to 1000":                   func(o *Options) { o.Groups = 0 },
		"-nodes=0: want as many for each of the 50":   func(o *Options) { o.Nodes = 0 },
		"-nodes=99: want as many for each of the 50":  func(o *Options) { o.Nodes = 99 },
		"-nodes=1050: want as many":                   func(o *Options) { o.Nodes = 1050 },
		"-pods=0: want as many for each of the 300":   func(o *Options) { o.Pods = 0 },
		"-pods=301: want as many for each of the 300": func(o *Options) { o.Pods = 301 },
		"-pods=4800: want as many for each":           func(o *Options) { o.Pods = 4800 },
		"-rounds=0: want 1 or more":                   func(o *Options) { o.Rounds = 0 },
		"-quiet=-1s: want a duration":                 func(o *Options) { o.Quiet = -time.Second },
	} {
		o := good
		change(&o)
		if err := o.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}

// TestPlan: each group gets as many pods as fill its nodes.
func TestPlan(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		o    Options
		want plan
	}{
		{Options{Groups: 50, Nodes: 300, Pods: 3000}, plan{groups: 50, nodes: 6, pods: 60, perNode: 10, memory: 1556}},
		{Options{Groups: 1, Nodes: 1, Pods: 1}, plan{groups: 1, nodes: 1, pods: 1, perNode: 1, memory: 15564}},
		{Options{Groups: 2, Nodes: 4, Pods: 4 * maxPerNode}, plan{groups: 2, nodes: 2, pods: 2 * maxPerNode, perNode: maxPerNode, memory: 1037}},
	} {
		p := planOf(tc.o)
		if p != tc.want {
			t.Errorf("%+v: %+v, want %+v", tc.o, p, tc.want)
		}
		if p.memory*p.perNode > nodeMemory || p.memory*(p.perNode+1) <= nodeMemory {
			t.Errorf("%+v: not exactly %d pods of %d MiB fit on a node", tc.o, p.perNode, p.memory)
		}
	}
}

func sampleOf(t *testing.T, main, seconds, cpu string) metrics.Sample {
	t.Helper()
	s, err := metrics.Parse(strings.NewReader(`# TYPE cluster_autoscaler_function_duration_seconds histogram
cluster_autoscaler_function_duration_seconds_sum{function="main"} ` + seconds + `
cluster_autoscaler_function_duration_seconds_count{function="main"} ` + main + `
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total ` + cpu + `
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 104857600
`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPrint(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	get, list := traffic.Request{Verb: "get", Path: "/apis/cluster.x-k8s.io/v1beta2"}, traffic.Request{Verb: "list", Path: "/api/v1/nodes"}
	before := moment{began, sampleOf(t, "2", "1", "3"), traffic.Counts{get: {Requests: 5, Received: 1 << 10}}}
	after := moment{
		began.Add(90 * time.Second), sampleOf(t, "6", "3", "8"),
		traffic.Counts{get: {Requests: 25, Received: 3<<20 + 1<<10}, list: {Requests: 2, Received: 1 << 20}},
	}
	p := phaseBetween("scale-up", before, after)
	p.Nodes, p.Bought = 7, 8
	r := Results{Groups: 3, Nodes: 6, Pods: 60, Runs: []Run{{"1.36.1 from git", 1, []Phase{p, {Name: "quiet, all nodes"}}}}}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "results.txt", out.String())
	out.Reset()
	if err := r.JSON(&out); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "results.json", out.String())
}

// TestCompare: two autoscalers have one table at the end, with the medians of their rounds. A round
// that was stopped counts in the phases that it had.
func TestCompare(t *testing.T) {
	t.Parallel()
	phase := func(name string, seconds, cpu float64, loops uint64, requests int) Phase {
		return Phase{
			Name: name, Seconds: seconds, CPU: cpu, Functions: map[string]metrics.Duration{metrics.MainLoop: {Count: loops, Seconds: 2 * float64(loops)}},
			Requests: []Requests{{traffic.Request{Verb: "get", Path: "/apis"}, traffic.Count{Requests: requests}}},
		}
	}
	a, b := "1.35.2 from git", "/home/me/autoscaler, with uncommitted changes"
	r := Results{Groups: 3, Nodes: 6, Pods: 60, Runs: []Run{
		{a, 1, []Phase{phase(phaseUp, 90, 10, 5, 400), phase(phaseDown, 60, 5, 3, 100)}},
		{b, 1, []Phase{phase(phaseUp, 45, 5, 0, 100), phase(phaseDown, 66, 0, 3, 100)}},
		{a, 2, []Phase{phase(phaseUp, 110, 20, 5, 401), phase(phaseDown, 62, 5, 3, 102)}},
		{b, 2, []Phase{phase(phaseUp, 55, 5, 0, 101)}},
		{a, 3, []Phase{phase(phaseUp, 900, 30, 5, 900)}},
	}}
	var out bytes.Buffer
	if err := r.compare(&out); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "compared.txt", out.String())
	out.Reset()
	r.Runs = []Run{r.Runs[0], r.Runs[2]}
	if err := r.compare(&out); err != nil || out.Len() > 0 {
		t.Errorf("one autoscaler is compared: %v\n%s", err, &out)
	}
}

// TestMeasureByTurns: the autoscalers take turns, and a run that fails loses none of those before.
func TestMeasureByTurns(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	var turns []string
	fail := 0
	b := served(t, http.NotFound).Bench
	run := func(m *measurement) ([]Phase, error) {
		turns = append(turns, fmt.Sprintf("%s%d", m.candidate.name, m.round))
		if len(turns) == fail {
			return nil, errRefused
		}
		return []Phase{{Name: phaseStart}}, nil
	}
	candidates := []candidate{{name: "a"}, {name: "b"}}
	like := measurement{Bench: b, options: Options{Rounds: 2, Out: out}}
	var results Results
	if err := like.takeTurns(candidates, &results, run); err != nil || strings.Join(turns, " ") != "a1 b1 a2 b2" || len(results.Runs) != 4 {
		t.Errorf("the turns were %v, with %d runs: %v", turns, len(results.Runs), err)
	}
	turns, fail, results = nil, 3, Results{}
	if err := like.takeTurns(candidates, &results, run); !errors.Is(err, errRefused) || len(turns) != 3 {
		t.Errorf("the third run fails: %v after %v", err, turns)
	}
	var written Results
	data, err := os.ReadFile(filepath.Join(out, "results.json"))
	if err == nil {
		err = json.Unmarshal(data, &written)
	}
	if err != nil || len(written.Runs) != 2 || written.Runs[1].Autoscaler != "b" {
		t.Errorf("results.json has %+v: %v", written.Runs, err)
	}
}

// fakeGroups has the node groups that exist. It refuses to add the one called refused.
type fakeGroups struct {
	mu      sync.Mutex
	there   map[string]groups.Options
	refused string
}

func (f *fakeGroups) Add(_ context.Context, name string, lowest, highest int, o groups.Options) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.there[name]; ok {
		return &capi.TakenError{Name: name}
	}
	if name == f.refused || lowest != 0 || highest != 5 {
		return errRefused
	}
	f.there[name] = o
	return nil
}

func (f *fakeGroups) Delete(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.there[name]; !ok {
		return &capi.MissingGroupError{Name: name}
	}
	delete(f.there, name)
	return nil
}

var errRefused = errors.New("refused")

// TestWithGroups: the groups exist during the measurement and not afterwards, also if one of
// them cannot be added.
func TestWithGroups(t *testing.T) {
	t.Parallel()
	p := planOf(Options{Groups: 20, Nodes: 40, Pods: 40})
	for _, refused := range []string{"", "bench-007"} {
		f := &fakeGroups{there: map[string]groups.Options{}, refused: refused}
		b := served(t, http.NotFound).Bench
		b.Groups = f
		during := 0
		err := b.withGroups(t.Context(), p, func() error {
			during = len(f.there)
			if o := f.there["bench-003"]; o.Machines != groups.Hollow || o.Labels != "caslab.local/bench=bench-003" || o.Extra[measuredLabel] != measured {
				t.Errorf("a group has the options %+v", o)
			}
			return nil
		})
		if want := refused == ""; (err == nil) != want || (during == 20) != want || !want && !errors.Is(err, errRefused) {
			t.Errorf("%q is refused: %d groups, and the error %v", refused, during, err)
		}
		if len(f.there) > 0 {
			t.Errorf("%q is refused: %d groups are left", refused, len(f.there))
		}
	}
}

// TestOthersGroupStays: a group that somebody else gave one of the names is not deleted.
func TestOthersGroupStays(t *testing.T) {
	t.Parallel()
	f := &fakeGroups{there: map[string]groups.Options{"bench-001": {}}}
	b := served(t, http.NotFound).Bench
	b.Groups = f
	err := b.withGroups(t.Context(), planOf(Options{Groups: 3, Nodes: 6, Pods: 6}), func() error {
		t.Error("it was measured with the group of somebody else")
		return nil
	})
	if _, ok := f.there["bench-001"]; !ok || len(f.there) != 1 || !errors.As(err, new(*capi.TakenError)) {
		t.Errorf("the groups %v are left, and the error is %v", f.there, err)
	}
}

// TestWhyEnded: the last problem says more than the lines after it, such as a stack.
func TestWhyEnded(t *testing.T) {
	t.Parallel()
	for printed, want := range map[string]string{
		"": "", "I1127 15:00:00.000000 1 a.go:1] one\nbye\n": "bye",
		"F1127 15:00:00.000000       1 main.go:1] no kubeconfig\ngoroutine 1 [running]:\n": "no kubeconfig",
	} {
		if got := whyEnded(printed); got != want {
			t.Errorf("%q: %q, want %q", printed, got, want)
		}
	}
}

// TestCheckFree: the error names what an earlier measurement left, and the commands that delete it.
func TestCheckFree(t *testing.T) {
	t.Parallel()
	c, server := targettest.New(t)
	b := Bench{Lab: labtest.New(t, nil).Lab}
	p := planOf(Options{Groups: 3, Nodes: 6, Pods: 6})
	if err := b.checkFree(t.Context(), c, p); err != nil {
		t.Errorf("a cluster without a measurement: %v", err)
	}
	group := func(name, labels string) string {
		return "---\n{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineDeployment, metadata: {name: " + name + ", namespace: default, labels: {" + labels + "}}, spec: {clusterName: work-cluster}}\n"
	}
	server.PutYAML(group("bench-002", "") + group("bench-003", "") + group("bench-040", "caslab.local/measured: 'true'") +
		"---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: bench-041, namespace: default, labels: {caslab.local/bench: bench-041}}}\n")
	err := b.checkFree(t.Context(), c, p)
	for _, want := range []string{
		"the cluster has the node group bench-002, the node group bench-040, the workload bench-041, perhaps",
		"\n  go tool mage nodegroup:delete bench-002\n", "nodegroup:delete bench-040\n", "workload:delete -name=bench-041",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestSecondMeasurement: while a measurement runs, another one names it, and does not tell the
// user to delete what it made.
func TestSecondMeasurement(t *testing.T) {
	t.Parallel()
	c, server := targettest.New(t)
	server.PutYAML("{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineDeployment, metadata: {name: bench-000, namespace: default}, spec: {clusterName: work-cluster}}")
	l := labtest.New(t, nil)
	b := Bench{Lab: l.Lab, Open: targettest.Open(c), Autoscalers: &autoscalers.Autoscalers{Lab: l.Lab}}
	unlock, err := b.Autoscalers.Lock(t.Context(), c, Command)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Groups: 1, Nodes: 1, Pods: 1, Rounds: 1}
	if err := b.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), Command+" (process ") || strings.Contains(err.Error(), "nodegroup:delete") {
		t.Errorf("%v; want who measures", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "nodegroup:delete bench-000") {
		t.Errorf("%v; want how to delete what the earlier measurement left", err)
	}
}

// TestWrongOptionsAreRefusedFirst: nothing is opened or compiled for them.
func TestWrongOptionsAreRefusedFirst(t *testing.T) {
	t.Parallel()
	l := labtest.New(t, nil)
	b := Bench{Lab: l.Lab, Open: targettest.Closed(t), Autoscalers: &autoscalers.Autoscalers{Lab: l.Lab}}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := Options{Groups: 1, Nodes: 1, Pods: 1, Rounds: 1}
	for want, change := range map[string]func(*Options){
		"-out=" + file + ": write into the folder":        func(o *Options) { o.Out = file },
		`-trees: part 2 of the list "1.36.1," is empty`:   func(o *Options) { o.Trees = "1.36.1," },
		`-trees=1.36.1,b: autoscaler "b": want a release`: func(o *Options) { o.Trees = "1.36.1,b" },
		`-trees=1.36.1,1.36.1: 1.36.1 is there twice`:     func(o *Options) { o.Trees = "1.36.1,1.36.1" },
		`"nonsense" is no flag`:                           func(o *Options) { o.Flags = "nonsense" },
	} {
		o := good
		change(&o)
		if err := b.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
}

// served returns a measurement of an autoscaler that serves these metrics.
func served(t *testing.T, handler http.HandlerFunc) *measurement {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	l := &lab.Lab{Log: ui.New(io.Discard, ui.Options{}), Now: time.Now}
	t.Cleanup(l.Close)
	return &measurement{Bench: &Bench{Lab: l}, address: strings.TrimPrefix(server.URL, "http://"), ended: make(chan struct{}), proxy: &traffic.Proxy{}, printed: &run.Tail{Max: 1 << 10}}
}

// TestAutoscalerEnds: a phase does not wait for an autoscaler that ended.
func TestAutoscalerEnds(t *testing.T) {
	t.Parallel()
	m := served(t, http.NotFound)
	_, err := m.phase(t.Context(), phaseStart, func(ctx context.Context, _ func(string)) error {
		fmt.Fprintf(m.printed, "Usage of cluster-autoscaler:\n  --v Level\ninvalid argument \"x\" for \"--scan-interval\" flag\n")
		close(m.ended)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if !errors.Is(err, errEnded) || !strings.HasSuffix(err.Error(), `: invalid argument "x" for "--scan-interval" flag`) {
		t.Errorf("the phase ended with %v", err)
	}
}

// TestInterrupted: Ctrl-C, which ends the autoscaler too, is not reported as its end.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	m := served(t, http.NotFound)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := m.phase(ctx, phaseStart, func(ctx context.Context, _ func(string)) error {
		cancel()
		close(m.ended)
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if !errors.Is(err, context.Canceled) || errors.Is(err, errEnded) {
		t.Errorf("the phase ended with %v", err)
	}
}

func TestFirstLoop(t *testing.T) {
	t.Parallel()
	asked := 0
	m := served(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		if asked == 1 {
			http.NotFound(w, nil) // it does not serve them yet
			return
		}
		_, _ = io.WriteString(w, "# TYPE cluster_autoscaler_function_duration_seconds histogram\n"+
			"cluster_autoscaler_function_duration_seconds_sum{function=\"main\"} 1\ncluster_autoscaler_function_duration_seconds_count{function=\"main\"} 1\n")
	})
	if err := m.firstLoop(t.Context(), nil); err != nil || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	m.address = "127.0.0.1:1"
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := m.firstLoop(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an autoscaler that does not answer: %v", err)
	}
}

func TestProfile(t *testing.T) {
	t.Parallel()
	m := served(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/debug/pprof/profile" || r.URL.Query().Get("seconds") != "30" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "profile")
	})
	if err := m.profile(t.Context()); err != nil {
		t.Errorf("without a folder: %v", err)
	}
	m.options.Out, m.round = t.TempDir(), 2
	if err := m.profile(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(m.options.Out, "scale-up-2-*.pprof"))
	if err != nil || len(files) != 1 {
		t.Fatalf("the files are %q: %v", files, err)
	}
	if data, err := os.ReadFile(files[0]); err != nil || string(data) != "profile" {
		t.Errorf("the profile is %q: %v", data, err)
	}
	if err := saveProfile(t.Context(), m.address, time.Second, files[0]); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("an autoscaler without profiles: %v", err)
	}
}

// TestUpAndDown: the scale-up ends when all pods run, and the scale-down when no node of the
// groups is left. Workloads and nodes of others stay. A group has more pods than one workload of a
// user may have, and nodes that the autoscaler bought and removed again were bought.
func TestUpAndDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := kubetest.New(t, []schema.GroupVersionKind{kube.Nodes.WithVersion("v1"), kube.Deployments.WithVersion("v1"), kube.MachineDeployments.WithVersion("v1beta2")}, `
apiVersion: v1
kind: Node
metadata: {name: worker}
status: {allocatable: {memory: 8Gi}, images: [{names: ["example.com/pause:3.10"]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: default}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineDeployment, metadata: {name: bench-000, namespace: default, labels: {caslab.local/measured: "true"}}, spec: {replicas: 0}}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineDeployment, metadata: {name: bench-001, namespace: default, labels: {caslab.local/measured: "true"}}, spec: {replicas: 0}}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineDeployment, metadata: {name: other, namespace: default}, spec: {replicas: 1000}}
`)
		// Another measurement's node counts neither in the scale-up nor in the scale-down.
		server.PutYAML(`{apiVersion: v1, kind: Node, metadata: {name: another, labels: {caslab.local/bench: bench-002, caslab.local/machines: hollow}}}`)
		p := planOf(Options{Groups: 2, Nodes: 200, Pods: 200 * maxPerNode})
		m := &measurement{cluster: &target.Cluster{Workload: server.Client(), Management: server.Client(), Namespace: "default"}, plan: p}
		size := func(group, nodes int) func() {
			return func() {
				server.Edit(kube.MachineDeployments, "default", p.name(group), func(o *unstructured.Unstructured) {
					_ = unstructured.SetNestedField(o.Object, int64(nodes), "spec", "replicas")
				})
			}
		}
		node := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": "hollow", "labels": map[string]any{groupLabel: p.name(0), "caslab.local/machines": "hollow"}},
		}}
		run := func(group int) func() {
			return func() {
				server.Edit(kube.Deployments, target.PodNamespace, p.name(group), func(o *unstructured.Unstructured) {
					_ = unstructured.SetNestedField(o.Object, int64(p.pods), "status", "readyReplicas")
				})
			}
		}
		server.Put(node)
		time.AfterFunc(10*time.Second, run(0))
		time.AfterFunc(20*time.Second, run(1))
		time.AfterFunc(5*time.Second, size(0, 100))
		time.AfterFunc(6*time.Second, size(1, 103))
		time.AfterFunc(15*time.Second, size(1, 100))
		began := time.Now()
		counted := m.countBought(t.Context())
		if err := m.up(t.Context(), nil); err != nil || time.Since(began) < 20*time.Second {
			t.Fatalf("the scale-up ended after %s: %v", time.Since(began), err)
		}
		if counted(); m.bought != 203 {
			t.Errorf("the autoscaler bought %d nodes", m.bought)
		}
		d, err := kube.Deployment(server.Get(kube.Deployments, target.PodNamespace, p.name(1)))
		if err != nil || int(*d.Spec.Replicas) != p.pods || d.Spec.Template.Spec.NodeSelector[groupLabel] != p.name(1) {
			t.Errorf("the workload of the second group is %+v: %v", d, err)
		}
		if n, err := m.nodes(t.Context()); n != 1 || err != nil {
			t.Errorf("the groups have %d nodes: %v", n, err)
		}
		time.AfterFunc(30*time.Second, func() { server.Remove(kube.Nodes, "", "hollow") })
		began = time.Now()
		if err := m.down(t.Context(), nil); err != nil || time.Since(began) < 30*time.Second {
			t.Errorf("the scale-down ended after %s: %v", time.Since(began), err)
		}
		if left := server.List(kube.Deployments); len(left) != 1 || left[0].GetName() != "other" {
			t.Errorf("the deployments %v are left", left)
		}
	})
}
