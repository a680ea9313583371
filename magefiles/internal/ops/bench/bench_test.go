package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/run"
)

// world has the two environments and the processes of a bench. A step of env:up takes 2 s
// on the first run, and 1 s more each time. A command takes 1 s.
type world struct {
	*labtest.Lab
	now   time.Time
	calls []string
	cmds  []run.Cmd
	ups   int
	// fail is the call that fails, and at is called when a call begins.
	fail string
	at   func(call string)
}

func newWorld(t *testing.T, variables map[string]string) *world {
	t.Helper()
	w := &world{Lab: labtest.New(t, variables), at: func(string) {}}
	w.Now = func() time.Time { return w.now }
	w.Runner = w
	return w
}

func (w *world) bench() Bench {
	return Bench{Lab: w.Lab.Lab, Steps: []string{"compile", "management cluster", "move"}, Open: func(l *lab.Lab) Environment {
		return &fake{world: w, name: l.Config.ClusterName}
	}}
}

func (w *world) call(ctx context.Context, call string, took time.Duration) error {
	w.at(call)
	w.calls = append(w.calls, call)
	if err := ctx.Err(); err != nil {
		return err
	}
	w.now = w.now.Add(took)
	if call == w.fail {
		return errors.New("failed: " + call)
	}
	return nil
}

// Run implements run.Runner.
func (w *world) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	w.cmds = append(w.cmds, c)
	return run.Result{}, w.call(ctx, filepath.Base(c.Name)+" "+strings.Join(c.Args[:2], " "), time.Second)
}

// fake is an environment.
type fake struct {
	*world
	name  string
	ready bool
}

func (f *fake) BuildNodeImage(ctx context.Context) error {
	return f.call(ctx, "build "+f.name, time.Hour)
}

func (f *fake) Export(ctx context.Context, folder string) error {
	return errors.Join(f.call(ctx, "export "+f.name, time.Hour), os.MkdirAll(folder, 0o755))
}

func (f *fake) Up(ctx context.Context) error {
	took := time.Second
	if !f.ready {
		f.ready = true
		f.ups++
		took = 3 * f.step()
	}
	return f.call(ctx, "up "+f.name, took)
}

// step returns how long a step of the last env:up took.
func (f *fake) step() time.Duration { return time.Duration(f.ups+1) * time.Second }

func (f *fake) Seconds() (map[string]float64, error) {
	s := f.step().Seconds()
	return map[string]float64{"compile": s, "management cluster": s, "move": s, "total": 3 * s}, nil
}

func (f *fake) Down(ctx context.Context) error {
	f.ready = false
	return f.call(ctx, "down "+f.name, time.Minute)
}

// hasRows compares rows of the table that was printed, without regard to spaces.
func (w *world) hasRows(t *testing.T, want ...string) {
	t.Helper()
	printed := strings.Split(w.Printed.String(), "\n")
	for _, row := range want {
		if !slices.ContainsFunc(printed, func(line string) bool { return slices.Equal(strings.Fields(line), strings.Fields(row)) }) {
			t.Errorf("printed\n%s\nwant a row %q", w.Printed, row)
		}
	}
}

// TestRun: everything is built first, both are measured by turns, and the clusters of one
// are gone before the other is measured.
func TestRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if err := w.bench().Run(t.Context(), Options{Pairs: 2}); err != nil {
		t.Fatal(err)
	}
	byHand := []string{"down caslab-hand", "export caslab-hand", "kind create cluster", "kind delete cluster", "down caslab-hand"}
	byLab := []string{"down caslab-bench", "up caslab-bench", "up caslab-bench", "down caslab-bench"}
	want := slices.Concat([]string{"down caslab-hand", "export caslab-hand", "down caslab-hand", "build caslab-bench"}, byHand, byLab, byHand, byLab)
	got := slices.DeleteFunc(slices.Clone(w.calls), func(c string) bool {
		program, _, _ := strings.Cut(c, " ")
		return slices.Contains([]string{"kind", "kubectl", "clusterctl"}, program) && !strings.HasSuffix(c, " cluster")
	})
	if !slices.Equal(got, want) {
		t.Errorf("calls\n%q\nwant\n%q", got, want)
	}
	w.hasRows(t,
		"compile - - - 2.0 2.5 3.0 -",
		"management cluster 1.0 1.0 1.0 2.0 2.5 3.0 2.50",
		"images into its node 1.0 1.0 1.0 - - - -",
		"whole 19.0 19.0 19.0 6.0 7.5 9.0 0.39",
		"env:up when ready - - - 1.0 1.0 1.0 -",
		"env:up takes 0.39 times as long as by hand.")
}

func TestRunAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if err := w.bench().Run(t.Context(), Options{Pairs: 3, Alone: true}); err != nil {
		t.Fatal(err)
	}
	once := []string{"down caslab-bench", "up caslab-bench", "up caslab-bench", "down caslab-bench"}
	if want := slices.Concat([]string{"build caslab-bench"}, once, once, once); !slices.Equal(w.calls, want) {
		t.Errorf("calls = %q, want %q", w.calls, want)
	}
	w.hasRows(t, "STEP MIN MEDIAN MAX", "move 2.0 3.0 4.0", "whole 6.0 9.0 12.0", "env:up when ready 1.0 1.0 1.0")
	if strings.Contains(w.Printed.String(), "images into") {
		t.Errorf("printed\n%s\nwhich has steps by hand", w.Printed)
	}
}

// TestHand: testdata/hand.txt has the commands. They use the files that Export writes and
// kubeconfigs of the lab's, and never the user's own.
func TestHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if err := w.bench().Hand(t.Context()); err != nil {
		t.Fatal(err)
	}
	folder := w.State.Path("hand")
	var lines bytes.Buffer
	for _, c := range w.cmds {
		fmt.Fprintln(&lines, strings.ReplaceAll(c.String(), folder+"/", ""))
		kubeconfig := slices.Index(c.Args, "--kubeconfig")
		if kubeconfig >= 0 && !strings.HasPrefix(c.Args[kubeconfig+1], folder+"/session/") || kubeconfig < 0 && filepath.Base(c.Name) != "kind" {
			t.Errorf("%s: the kubeconfig is not the lab's", c)
		}
		home := slices.Contains(c.Env, "HOME="+folder+"/session")
		if c.Env[0] != "KUBECONFIG="+folder+"/session/caslab-hand-management.kubeconfig" || home == (filepath.Base(c.Name) == "kind") {
			t.Errorf("%s has %q", c, c.Env)
		}
	}
	golden.Check(t, "hand.txt", lines.String())
	w.hasRows(t, "management cluster 1.0", "providers in it 4.0", "workload control plane 3.0", "move 1.0", "whole 19.0")
	if info, err := os.Stat(folder + "/session"); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the kubeconfigs: %v, %v", info, err)
	}
}

// TestHandWithCertManager: clusterctl installs cert-manager itself.
func TestHandWithCertManager(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.Config.CertManager = true
	if err := w.bench().Hand(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.cmds {
		if strings.Contains(c.String(), "cert-manager") {
			t.Errorf("%s", c)
		}
	}
}

// TestEverythingIsRemoved: also after a failure, and after an interruption.
func TestEverythingIsRemoved(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"export caslab-hand", "kind create cluster", "clusterctl move --kubeconfig", "up caslab-bench"} {
		for _, interrupted := range []bool{false, true} {
			w := newWorld(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			if interrupted {
				w.at = func(c string) {
					if c == call {
						cancel()
					}
				}
			} else {
				w.fail = call
			}
			err := w.bench().Run(ctx, Options{Pairs: 1})
			cancel()
			name := "caslab-hand"
			if call == "up caslab-bench" {
				name = "caslab-bench"
			}
			last := w.calls[len(w.calls)-2:]
			if err == nil || last[0] != call || last[1] != "down "+name || interrupted != errors.Is(err, context.Canceled) {
				t.Errorf("%s, interrupted %t: %v; the last calls are %q", call, interrupted, err, last)
			}
			if w.Printed.String() != "" {
				t.Errorf("%s: printed\n%s", call, w.Printed)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if err := w.bench().Run(t.Context(), Options{}); err == nil || !strings.Contains(err.Error(), "is 0, want 1 or more") {
		t.Errorf("no pairs: %v", err)
	}
	w.at = func(string) {
		if err := w.bench().Hand(t.Context()); err == nil || !strings.Contains(err.Error(), "held by bench (process ") {
			t.Errorf("while another command measures: %v", err)
		}
	}
	w.fail = "down caslab-bench"
	if err := w.bench().Run(t.Context(), Options{Pairs: 1, Alone: true}); err == nil {
		t.Error("the failure is lost")
	}
	if want := []string{"build caslab-bench", "down caslab-bench"}; !slices.Equal(w.calls, want) {
		t.Errorf("calls = %q, want %q", w.calls, want)
	}
}

// TestOldReleases: the hand knows only the objects of today's, and env:up is measured alone.
func TestOldReleases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"CAPI_VERSION": "v1.10.10"})
	const want = "from Cluster API v1.11.0 on, and CAPI_VERSION is v1.10.10; to measure env:up alone, type: go tool mage bench:run -alone"
	for _, err := range []error{w.bench().Hand(t.Context()), w.bench().Run(t.Context(), Options{Pairs: 1})} {
		if err == nil || !strings.Contains(err.Error(), want) || len(w.calls) > 0 {
			t.Errorf("%v after %q", err, w.calls)
		}
	}
	if err := w.bench().Run(t.Context(), Options{Pairs: 1, Alone: true}); err != nil {
		t.Error(err)
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	got := rows([]string{"a", "b", "c"}, []step{{name: "before"}, {name: "a"}, {name: "after a"}, {name: "too"}, {name: "c"}, {name: "last"}})
	if want := []string{"before", "a", "after a", "too", "b", "c", "last", whole, whenReady}; !slices.Equal(got, want) {
		t.Errorf("rows() = %q, want %q", got, want)
	}
}
