// Package faults breaks a real environment in many ways, repairs it as a user would, and
// reports how each fault ended.
package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// environmentName is the name of the environment that is broken.
const environmentName = "caslab-faults"

// Faults breaks an environment of its own.
type Faults struct {
	*lab.Lab
	// Command is the path of the lab's command.
	Command string
	// Steps are the names of the steps of env:up.
	Steps []string
	// Open returns a client of the API server of a kubeconfig.
	Open func(kubeconfig string) (*kube.Client, error)
	// Root reports whether this process may mount file systems.
	Root bool
}

// Options of Run.
type Options struct {
	// Only has the names of faults, and beginnings of names that end with a slash,
	// separated by commas. Empty means all that the other options allow.
	Only string
	// Nodes has the numbers of nodes with which the engine is killed, separated by commas.
	Nodes string
	// Engine allows faults that concern all containers of the engine.
	Engine bool
	// Down removes the environment after each fault, instead of repairing it.
	Down bool
	// Seed chooses the random moments; 0 means another seed each time.
	Seed int
	// Out is the folder of summary.md, results.json and the commands' output. None are
	// written if it is empty.
	Out string
}

// List prints the faults.
func (f *Faults) List() error {
	w := ui.NewTable(f.Out, "FAULT", "BEGINS WITH", "WHAT IS DONE")
	for _, row := range table(f.Steps, []int{2, 5, 10}, 1) {
		begins, does := "nothing", row.does
		if row.ready {
			begins = "a ready environment"
		}
		if strings.HasPrefix(row.name, "killed-at/") {
			does = "SIGKILL of env:up at a random moment"
		}
		if row.engine {
			does += "; needs -engine"
		}
		if row.skip != "" {
			does += "; skipped: " + row.skip
		}
		w.Row(row.name, begins, does)
	}
	return w.End()
}

// Run makes the faults one after the other, repairs or removes the environment after each,
// and prints the results. It returns an error if a fault ended badly. The environment is
// removed at the end.
func (f *Faults) Run(ctx context.Context, o Options) (err error) {
	if f.Config.WorkloadKubeconfig != "" {
		return errors.New("faults:run breaks an environment of its own, and WORKLOAD_KUBECONFIG names another cluster; unset WORKLOAD_KUBECONFIG (in caslab.yaml: workloadKubeconfig)")
	}
	nodes, err := parseNodes(o.Nodes)
	if err != nil {
		return err
	}
	seed := cmp.Or(o.Seed, int(f.Now().UnixNano()%1e6)+1)
	chosen, err := choose(table(f.Steps, nodes, uint64(seed)), o.Only, o.Engine)
	if err != nil {
		return err
	}
	lock, err := f.State.Lock("faults.run", "faults:run")
	if held := new(state.HeldError); errors.As(err, &held) {
		return fmt.Errorf("faults are already being made in this checkout by %s; wait for it to end, or stop it", held.Holder)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	output := io.Discard
	if o.Out != "" {
		file, err := create(filepath.Join(o.Out, "output.txt"))
		if err != nil {
			return fmt.Errorf("-out=%s: %w", o.Out, err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		output = file
	}
	t := &trial{site: f.site(output), down: o.Down, mayMount: f.Root}
	if err := t.refuseForeign(ctx); err != nil {
		return err
	}
	defer func() {
		clean, cancel := interrupt.Cleanup(ctx, commandTimeout)
		defer cancel()
		err = errors.Join(err, t.remove(clean))
	}()
	f.Log.Printf("%d faults in the environment %q; the seed of the random moments is %d", len(chosen), environmentName, seed)
	if err := t.begin(ctx, f.Config.Root); err != nil {
		return fmt.Errorf("before the first fault: %w", err)
	}
	var all []Result
	for i, row := range chosen {
		if ctx.Err() != nil {
			break
		}
		f.Log.Printf("fault %d of %d, %s: %s", i+1, len(chosen), row.name, row.does)
		r := t.try(ctx, row)
		f.Log.Printf("%s %s", r.Verdict.mark(), r)
		all = append(all, r)
	}
	return errors.Join(context.Cause(ctx), f.report(report{Seed: seed, Down: o.Down, Results: all}, o.Out))
}

func create(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.Create(path)
}

// site returns the environment that is broken, in a checkout of its own.
func (f *Faults) site(output io.Writer) *site {
	own := f.With(func(c *config.Config) {
		c.ClusterName, c.Root = environmentName, filepath.Join(c.StateDir(), "faults", "checkout")
	})
	own.State = state.Dir(own.Config.StateDir())
	return &site{Lab: own, engine: engine.New(f.Runner), command: f.Command, open: f.Open, output: output}
}

// trial makes faults on a site.
type trial struct {
	*site
	// down is set if the environment is removed after each fault.
	down     bool
	mayMount bool
	// furnished is set while the environment is ready and has a node group and a workload.
	furnished bool
	// first is the shape of an environment that nothing happened to.
	first snapshot
}

// refuseForeign refuses environments that faults:run did not make.
func (t *trial) refuseForeign(ctx context.Context) error {
	for _, name := range []string{environmentName, second(t.site)} {
		if _, err := t.containers(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// begin makes the checkout, removes what an earlier run left, and brings up an environment
// to which nothing happens.
func (t *trial) begin(ctx context.Context, root string) error {
	if err := errors.Join(t.link(root), t.remove(ctx), t.lab(ctx, "image:node")); err != nil {
		return err
	}
	start := t.Now()
	if err := t.lab(ctx, "env:up"); err != nil {
		return err
	}
	t.usually = t.Now().Sub(start)
	first, err := t.take(ctx)
	t.first = first.shape()
	return err
}

// remove removes the site's environments.
func (t *trial) remove(ctx context.Context) error {
	t.furnished = false
	return errors.Join(t.lab(ctx, "env:down"), t.do(ctx, t.cmd(second(t.site), "env:down")))
}

// try makes a fault, and repairs or removes the environment.
func (t *trial) try(ctx context.Context, row fault) Result {
	r := Result{Fault: row.name, Did: row.does, Verdict: skipped}
	switch {
	case row.skip != "":
		r.Came = row.skip
		return r
	case row.root && !t.mayMount:
		r.Came = "only root can mount a file system"
		return r
	}
	err := t.attempt(ctx, row, &r)
	switch {
	case ctx.Err() != nil:
		r.Verdict = interrupted
	case err != nil:
		r.Verdict = bad
		r.Came = strings.TrimPrefix(r.Came+"; "+outcome(err), "; ")
	}
	if ctx.Err() == nil && (r.Verdict == bad || row.nodes > 0) {
		// The next fault begins from an environment that nothing happened to.
		if err := t.remove(ctx); err != nil {
			r.Verdict, r.Came = bad, r.Came+"; env:down: "+outcome(err)
		}
	}
	return r
}

// attempt returns an error if the fault could not be made, or ended badly.
func (t *trial) attempt(ctx context.Context, row fault, r *Result) (err error) {
	var before snapshot
	if row.ready {
		before, err = t.furnish(ctx, row.nodes)
	} else {
		err = errors.Join(t.remove(ctx), os.RemoveAll(t.TimelineDir("")))
	}
	if err != nil {
		return fmt.Errorf("before the fault: %s", outcome(err))
	}
	r.Came, err = row.strike(ctx, t.site)
	t.furnished = row.ready && row.loses == ""
	if err != nil {
		if row.cure != nil {
			_ = row.cure(ctx, t.site) // there may be nothing to cure
		}
		return fmt.Errorf("the fault could not be made: %s", outcome(err))
	}
	start := t.Now()
	defer func() { r.Seconds = t.Now().Sub(start).Seconds() }()
	if row.cure != nil {
		if err := row.cure(ctx, t.site); err != nil {
			return err
		}
	}
	if t.down {
		return t.ends(ctx, r)
	}
	r.Verdict = atFirst
	if err := t.lab(ctx, "env:up"); err != nil {
		r.Came += "; the first env:up ended: " + outcome(err)
		r.Verdict = later
		if err := t.lab(ctx, "env:up"); err != nil {
			return fmt.Errorf("the second env:up ended: %s", outcome(err))
		}
	}
	return t.compare(ctx, row, before, r)
}

// ends removes the environment, and looks for what is left.
func (t *trial) ends(ctx context.Context, r *Result) error {
	if err := t.remove(ctx); err != nil {
		return fmt.Errorf("env:down ended: %s", outcome(err))
	}
	left, err := t.left(ctx, environmentName)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("env:down left %s", strings.Join(left, ", "))
	}
	r.Verdict, r.Kept = atFirst, "nothing is left"
	return nil
}

// The node group and the workload that must survive.
const (
	groupName    = "faults-md-1"
	wideName     = "faults-md-2"
	workloadName = "faults"
)

// furnish makes the environment ready, with a node group, a workload and as many nodes as
// wanted, and returns its snapshot.
func (t *trial) furnish(ctx context.Context, nodes int) (snapshot, error) {
	if err := t.lab(ctx, "env:up"); err != nil {
		return nil, err
	}
	if !t.furnished {
		err := t.lab(ctx, "nodegroup:add", groupName, "0", "3")
		if err == nil {
			err = t.lab(ctx, "workload:add", "-name="+workloadName)
		}
		if err != nil {
			return nil, err
		}
		t.furnished = true
	}
	if more := nodes - 1 - t.Config.Workers; more > 0 {
		n := fmt.Sprint(more)
		if err := t.lab(ctx, "nodegroup:add", wideName, n, n); err != nil {
			return nil, err
		}
	}
	return t.take(ctx)
}

func (t *trial) take(ctx context.Context) (snapshot, error) {
	client, err := t.open(t.EnvironmentKubeconfig())
	if err != nil {
		return nil, err
	}
	ctx, cancel := interrupt.WithTimeout(ctx, lab.AnswerWithin)
	defer cancel()
	return take(ctx, client)
}

// compare says whether everything is still there. If the environment was created again, it
// compares only the numbers of objects, with those of the first environment.
func (t *trial) compare(ctx context.Context, row fault, before snapshot, r *Result) error {
	after, err := t.take(ctx)
	if err != nil {
		return fmt.Errorf("look for the objects: %w", err)
	}
	if row.loses != "" {
		r.Came += "; lost as expected: " + row.loses
	}
	if before == nil || row.loses != "" {
		before, after, r.Kept = t.first, after.shape(), "as many objects as in another new environment"
	} else {
		r.Kept = "all objects are there"
	}
	if changes := before.changes(after); len(changes) > 0 {
		r.Kept = ""
		return fmt.Errorf("not as before: %s", strings.Join(changes, ", "))
	}
	return nil
}

// verdict says how a fault ended.
type verdict string

const (
	atFirst     verdict = "well at first"
	later       verdict = "well at the second try"
	bad         verdict = "badly"
	skipped     verdict = "skipped"
	interrupted verdict = "interrupted"
)

func (v verdict) mark() string {
	switch v {
	case atFirst:
		return results.Passed.Mark()
	case later, bad:
		return results.Failed.Mark()
	default:
		return results.Skipped.Mark()
	}
}
