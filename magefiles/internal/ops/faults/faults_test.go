package faults

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/state"
)

// run makes one fault, and returns the results and the error of Run.
func (f *fixture) run(ctx context.Context, t *testing.T, o Options) (report, error) {
	t.Helper()
	o.Out, o.Nodes, o.Seed = t.TempDir(), "2,3", 1
	err := f.faults.Run(ctx, o)
	var r report
	if _, rerr := state.ReadJSON(filepath.Join(o.Out, "results.json"), &r); rerr != nil {
		t.Fatal(rerr)
	}
	return r, err
}

// TestEveryFaultOfALabThatRepairsAll: every row of the table can be made.
func TestEveryFaultOfALabThatRepairsAll(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]bool{"env:up": false, "env:down": true} {
		f := newFixture(t)
		r, err := f.run(t.Context(), t, Options{Engine: true, Down: down})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, result := range r.Results {
			if result.Verdict != atFirst && result.Fault != "clock" || result.Came == "" {
				t.Errorf("%s: %+v", name, result)
			}
		}
		if want := len(table(steps, []int{2, 3}, 1)); len(r.Results) != want {
			t.Errorf("%s: %d results, want %d", name, len(r.Results), want)
		}
		if want := "31 faults tried, 31 ended well at first, 1 skipped"; !strings.Contains(f.Printed.String(), want) {
			t.Errorf("%s: printed\n%s\nwant %q", name, f.Printed, want)
		}
		if f.up[environmentName] {
			t.Errorf("%s: the environment is still there", name)
		}
	}
}

// TestFaultsThatEndBadly: what a lab does wrong is seen.
func TestFaultsThatEndBadly(t *testing.T) {
	t.Parallel()
	// after returns a function that calls do when the fault has been made.
	after := func(do func(f *fixture)) func(f *fixture) {
		return func(f *fixture) {
			f.after = func(line string) {
				if strings.HasPrefix(line, "docker kill") {
					do(f)
				}
			}
		}
	}
	// failing makes the next n calls of env:up fail.
	failing := func(n int) func(f *fixture) {
		return after(func(f *fixture) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.fail = func(line string) error {
				if line != "caslab env:up" || n == 0 {
					return nil
				}
				n--
				return errors.New("it is not well")
			}
		})
	}
	for name, tc := range map[string]struct {
		options Options
		breaks  func(f *fixture)
		want    verdict
		came    string
	}{
		"nothing":           {want: atFirst, breaks: func(*fixture) {}, came: "docker kill worker"},
		"env:up fails once": {want: later, breaks: failing(1), came: "the first env:up ended: Error: it is not well"},
		"env:up fails":      {want: bad, breaks: failing(2), came: "the second env:up ended: Error: it is not well"},
		"a lost workload": {want: bad, came: "Deployment default/faults is gone", breaks: after(func(f *fixture) {
			f.server.Remove(kube.Deployments, "default", "faults")
		})},
		"a changed group": {want: bad, came: "MachineDeployment default/faults-md-1 has changed", breaks: after(func(f *fixture) {
			f.server.Edit(kube.MachineDeployments, "default", "faults-md-1", func(o *unstructured.Unstructured) { o.Object["spec"] = map[string]any{"replicas": int64(1)} })
		})},
		"another node": {want: bad, came: "Node /new is new", breaks: after(func(f *fixture) {
			f.server.PutYAML(`{apiVersion: v1, kind: Node, metadata: {name: new}}`)
		})},
		"a lost object of a new environment": {options: Options{Only: "killed-in/move"}, want: bad, came: "1 Node is gone, 2 Node is new", breaks: func(f *fixture) {
			f.after = func(line string) {
				if line == "caslab env:up" && f.count(line) == 3 {
					f.server.PutYAML(`{apiVersion: v1, kind: Node, metadata: {name: new}}`)
				}
			}
		}},
		"a fault without effect": {options: Options{Only: "disk-full/images"}, want: bad, came: "the fault could not be made: Error: mount", breaks: func(f *fixture) {
			f.fail = func(line string) error {
				if strings.HasPrefix(line, "mount ") {
					return errors.New("mount: permission denied")
				}
				return nil
			}
		}},
		"env:up ends before the fault": {options: Options{Only: "killed-in/move"}, want: bad, came: "env:up had ended before: Error: no disk", breaks: func(f *fixture) {
			f.fail = func(line string) error {
				if line == "caslab env:up" && f.count(line) == 2 {
					return errors.New("no disk")
				}
				return nil
			}
		}},
		"env:down leaves containers": {options: Options{Only: "node-killed", Down: true}, want: bad, came: "env:down left the container worker", breaks: after(func(f *fixture) { f.stays = true })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			tc.breaks(f)
			if tc.options.Only == "" {
				tc.options.Only = "node-killed"
			}
			r, err := f.run(t.Context(), t, tc.options)
			if len(r.Results) != 1 || r.Results[0].Verdict != tc.want || !strings.Contains(r.Results[0].Came, tc.came) || (err != nil) != (tc.want == bad) {
				t.Errorf("Run() = %v, %+v; want %s with %q", err, r.Results, tc.want, tc.came)
			}
		})
	}
}

// TestNextFaultAfterABadOne: it begins from an environment that nothing happened to.
func TestNextFaultAfterABadOne(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fail = func(line string) error {
		if strings.HasPrefix(line, "docker kill id-worker") {
			return errors.New("no such container")
		}
		return nil
	}
	r, err := f.run(t.Context(), t, Options{Only: "node-killed,load-balancer-killed"})
	if err == nil || !strings.Contains(err.Error(), "ended badly: node-killed") || len(r.Results) != 2 || r.Results[1].Verdict != atFirst {
		t.Errorf("Run() = %v, %+v", err, r.Results)
	}
	if n := f.count("caslab nodegroup:add faults-md-1 0 3"); n != 2 {
		t.Errorf("the node group was added %d times, want 2", n)
	}
}

func TestSkippedFaults(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.faults.Root = false
	r, err := f.run(t.Context(), t, Options{Only: "clock,disk-full/"})
	if err != nil || len(r.Results) != 3 || r.count()[skipped] != 3 {
		t.Errorf("Run() = %v, %+v", err, r.Results)
	}
}

// TestInterruptedRun: the environment is removed, and the results so far are written.
func TestInterruptedRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, stop, _ := interrupt.With(t.Context())
	f.after = func(line string) {
		if strings.HasPrefix(line, "docker kill id-lb") {
			stop()
		}
	}
	r, err := f.run(ctx, t, Options{Only: "node-killed,load-balancer-killed,stopped-by-hand"})
	if !errors.Is(err, interrupt.ErrStop) || len(r.Results) != 2 || r.Results[1].Verdict != interrupted || f.up[environmentName] {
		t.Errorf("Run() = %v, %+v, up: %v", err, r.Results, f.up)
	}
}

// TestForeignEnvironment: an environment that faults:run did not make is left alone.
func TestForeignEnvironment(t *testing.T) {
	t.Parallel()
	for _, name := range []string{environmentName, environmentName + "-2"} {
		f := newFixture(t)
		f.up[name], f.mark = true, "/elsewhere/.caslab/owner/caslab-faults-0123456789abcdef"
		_, err := f.run(t.Context(), t, Options{})
		if err == nil || !strings.Contains(err.Error(), "was not made by faults:run in this checkout") || f.count("caslab env:down") > 0 {
			t.Errorf("%s: Run() = %v after %q", name, err, f.calls)
		}
	}
}

func TestRefusedOptions(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Options{
		`there is no fault "nothing"`:            {Only: "nothing", Nodes: "2"},
		"node-killed is named twice":             {Only: "node-killed,node-killed", Nodes: "2"},
		"engine-restarted concerns all":          {Only: "engine-restarted", Nodes: "2"},
		`-nodes=2,11: "11": want numbers from 2`: {Nodes: "2,11"},
		`-nodes=: "": want numbers from 2`:       {},
		"-out=/dev/null/folder: mkdir /dev/null": {Nodes: "2", Out: "/dev/null/folder"},
	} {
		f := newFixture(t)
		if err := f.faults.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) || len(f.calls) > 0 {
			t.Errorf("%+v: %v after %q, want %q", o, err, f.calls, want)
		}
	}
	f := newFixture(t)
	f.Config.WorkloadKubeconfig = "/other"
	if err := f.faults.Run(t.Context(), Options{Nodes: "2"}); err == nil || !strings.Contains(err.Error(), "unset WORKLOAD_KUBECONFIG") {
		t.Errorf("with another cluster: %v", err)
	}
}

// TestEngineFaultsNeedAnOption: without it, no other containers are concerned.
func TestEngineFaultsNeedAnOption(t *testing.T) {
	t.Parallel()
	all := table(steps, []int{2}, 1)
	chosen, err := choose(all, "", false)
	if err != nil || slices.ContainsFunc(chosen, func(f fault) bool { return f.engine }) {
		t.Errorf("choose() = %v, %v", chosen, err)
	}
	if len(all)-len(chosen) != 4 {
		t.Errorf("%d faults concern the engine, want 4", len(all)-len(chosen))
	}
	seen := map[string]bool{}
	for _, f := range all {
		if seen[f.name] || strings.ContainsAny(f.name, " ,") || f.does == "" || (f.strike == nil) != (f.skip != "") {
			t.Errorf("the fault %+v", f)
		}
		seen[f.name] = true
	}
}

// TestRandomMoments: a seed chooses the same moments again.
func TestRandomMoments(t *testing.T) {
	t.Parallel()
	moments := func(seed uint64) (all []string) {
		for _, f := range table(nil, nil, seed) {
			if strings.HasPrefix(f.name, "killed-at/") {
				all = append(all, f.does)
			}
		}
		return all
	}
	if one := moments(1); len(one) != 10 || !slices.Equal(one, moments(1)) || slices.Equal(one, moments(2)) {
		t.Errorf("moments %q, again %q, by another seed %q", one, moments(1), moments(2))
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.faults.List(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"killed-in/node-image", "SIGKILL of env:up at a random moment", "docker container prune; needs -engine", "skipped: a Go program"} {
		if !strings.Contains(f.Printed.String(), want) {
			t.Errorf("no %q in\n%s", want, f.Printed)
		}
	}
}

// TestSnapshotIgnoresUIDsAndTimes: they change in a move.
func TestSnapshotIgnoresUIDsAndTimes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	look := func() snapshot {
		s, err := take(t.Context(), f.server.Client())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := look()
	f.server.Edit(kube.Clusters, "default", environmentName, func(o *unstructured.Unstructured) {
		o.SetUID("another")
		o.SetAnnotations(map[string]string{"seen": "now"})
		o.Object["status"] = map[string]any{"phase": "Provisioned"}
	})
	f.server.Edit(kube.Nodes, "", "worker", func(o *unstructured.Unstructured) {
		o.Object["spec"] = map[string]any{"taints": []any{map[string]any{"key": "node.kubernetes.io/unreachable"}}}
	})
	if changes := before.changes(look()); len(changes) > 0 || len(before) != 4 {
		t.Errorf("%d objects, changes %q", len(before), changes)
	}
	f.server.Edit(kube.Clusters, "default", environmentName, func(o *unstructured.Unstructured) { o.SetLabels(map[string]string{"a": "b"}) })
	if changes := before.changes(look()); !slices.Equal(changes, []string{"Cluster default/caslab-faults has changed"}) {
		t.Errorf("changes %q", changes)
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	text := report{Seed: 3, Results: []Result{{Fault: "a", Verdict: bad, Came: "x | y", Seconds: 1.5}}}.markdown()
	if !strings.Contains(text, `| a | badly | 2 | x \| y | - |`) || !strings.Contains(text, "1 faults tried, 0 ended well at first, 1 badly. The seed is 3.") {
		t.Errorf("markdown() = %s", text)
	}
}

// TestLinks: the checkout that is broken has the user's files, and another .caslab.
func TestLinks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	root := f.Config.Root
	if err := errors.Join(os.MkdirAll(filepath.Join(root, ".caslab", "bin"), 0o755), f.site.link(root), f.site.link(root)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(f.site.Config.Root, "go.mod")); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(f.site.Config.StateDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its .caslab: %v", err)
	}
}

// FuzzChoose: what is chosen is in the table, each fault once, none of the engine's without -engine, and
// the names of what was chosen choose the same.
func FuzzChoose(f *testing.F) {
	for _, seed := range []string{"", "a,,b", "killed-in/", "killed-in/,killed-in/a", "engine-killed/3", "/", " killed-at/1 , killed-at/2", "nothing", "killed-in/ü"} {
		f.Add("2,3", seed, false)
		f.Add("2", seed, true)
	}
	f.Add("2,2", "engine-killed/2", true)
	f.Fuzz(func(t *testing.T, numbers, names string, engine bool) {
		nodes, err := parseNodes(numbers)
		if err != nil {
			return
		}
		all := table([]string{"a", "b c"}, nodes, 1)
		chosen, err := choose(all, names, engine)
		if err != nil {
			return
		}
		var again []string
		for _, c := range chosen {
			if c.engine && !engine || slices.Contains(again, c.name) {
				t.Errorf("choose(%q) has %s", names, c.name)
			}
			again = append(again, c.name)
		}
		if same, err := choose(all, strings.Join(again, ","), engine); err != nil || len(same) != len(chosen) {
			t.Errorf("choose(%q) has %d faults, %v; want the %d of choose(%q)", again, len(same), err, len(chosen), names)
		}
	})
}

// FuzzParseNodes: numbers are from 2 to 10, and each is there once.
func FuzzParseNodes(f *testing.F) {
	for _, seed := range []string{"2", "3, 10", "2,2", "1", "", "2,", "+3", "03,3", "0x2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		nodes, err := parseNodes(text)
		if (err == nil) != (len(nodes) > 0) {
			t.Fatalf("parseNodes(%q) = %v, %v", text, nodes, err)
		}
		seen := map[int]bool{}
		for _, n := range nodes {
			if n < 2 || n > 10 || seen[n] {
				t.Errorf("parseNodes(%q) = %v", text, nodes)
			}
			seen[n] = true
		}
	})
}
