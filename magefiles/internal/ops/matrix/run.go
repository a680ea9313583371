// Package matrix prints which releases work together, tries combinations of them, each
// in an environment of its own, and records the results in the checkout.
package matrix

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// Matrix tries rows of the matrix.
type Matrix struct {
	*lab.Lab
	// Try returns the trial of a row for a lab that has the row's settings.
	Try func(*lab.Lab) Trial
}

// Trial tries a row, in the environment that the settings of its lab name.
type Trial interface {
	// Check refuses a row that cannot be tried on this machine, and leaves nothing.
	Check(ctx context.Context) error
	// Fetch fetches the sources of Cluster API and of the autoscaler.
	Fetch(ctx context.Context) error
	// Build compiles Cluster API's programs and builds the node image, and
	// BuildAutoscaler compiles the autoscaler.
	Build(ctx context.Context) error
	BuildAutoscaler(ctx context.Context) error
	// Up brings the environment up until it manages itself.
	Up(ctx context.Context) error
	// Status returns an error if the environment is not there, or cannot be asked.
	Status(ctx context.Context) error
	// Scale runs a scenario with the row's autoscaler, and returns its results. It
	// writes them into the folder out, unless that is empty.
	Scale(ctx context.Context, scenario, out string) (*results.Results, error)
	// Down removes the environment. It succeeds if there is none.
	Down(ctx context.Context) error
}

// Options of Run.
type Options struct {
	// Rows are releases of Cluster API that the matrix has, and whole rows, separated
	// by commas. Empty means all rows that never ran.
	Rows string
	// Out is the folder of summary.md, and of a folder for each row. None are written
	// if it is empty.
	Out string
}

// Run tries rows one after the other, records each in the checkout when it has ended, and
// prints all results at the end. If one of them cannot be tried, it refuses all, before the
// first one begins. If ctx ends, the environment of the running row is removed, and that
// row is not recorded. Run returns an error unless all rows ran.
func (m *Matrix) Run(ctx context.Context, o Options) (err error) {
	checkout := files{root: m.Config.Root}
	proofs, err := checkout.read()
	if err != nil {
		return err
	}
	all, err := rows(proofs)
	if err != nil {
		return err
	}
	chosen, err := choose(all, o.Rows)
	if err != nil {
		return err
	}
	if len(chosen) == 0 {
		m.Log.Printf("every row ran; to try rows again, name them, such as -rows=%s", all[0])
		return nil
	}
	lock, err := m.State.Lock("matrix.run", "matrix:run")
	if held := new(state.HeldError); errors.As(err, &held) {
		return fmt.Errorf("rows are already being tried in this checkout by %s; wait for it to end, or stop it", held.Holder)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	attempts, closeAll, err := m.attempts(chosen, o)
	defer func() { err = errors.Join(err, closeAll()) }()
	if err != nil {
		return err
	}
	m.announce(attempts)
	if err := m.check(ctx, attempts); err != nil {
		return err
	}
	for i, a := range attempts {
		m.Log.Printf("row %d of %d: %s, in the environment %q", i+1, len(attempts), a.title(), a.environment())
		a.run(ctx)
		m.Log.Printf("%s %s: %s", a.verdict.mark(), a.row, a.result())
		if a.err != nil {
			m.Log.Printf("%v\nIts logs are %s", a.err, m.State.Path("logs", a.environment()+"*"))
		}
		if a.verdict == ran || a.verdict == failed {
			if err := checkout.put(a.record(m.today())); err != nil {
				return errors.Join(err, m.print(attempts, o))
			}
			m.Log.Printf("recorded in %s and %s", proofFile, readmeFile)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(verdictOf(ctx, attempts), m.print(attempts, o))
}

func (m *Matrix) today() string { return m.Now().UTC().Format(time.DateOnly) }

// attempts returns an attempt for each row. It refuses rows that cannot run, and a
// folder for results that cannot be written. closeAll closes the files of the attempts.
func (m *Matrix) attempts(chosen []row, o Options) (all []*attempt, closeAll func() error, err error) {
	var opened []io.Closer
	closeAll = func() error {
		var errs []error
		for _, c := range opened {
			errs = append(errs, c.Close())
		}
		return errors.Join(errs...)
	}
	var errs []error
	for _, r := range chosen {
		l := m.With(r.apply)
		l.Out = io.Discard
		a := &attempt{row: r, lab: l, verdict: notBegun}
		errs = append(errs, r.check(l.Config))
		if o.Out != "" {
			a.out = filepath.Join(o.Out, r.String())
			printed, err := create(filepath.Join(a.out, "output.txt"))
			if err != nil {
				return nil, closeAll, fmt.Errorf("-out=%s: %w", o.Out, err)
			}
			l.Out, opened = printed, append(opened, printed)
		}
		a.trial = m.Try(l)
		all = append(all, a)
	}
	return all, closeAll, errors.Join(errs...)
}

func create(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.Create(path)
}

// announce says which rows are tried, what is uncertain about them, and how long they
// usually take.
func (m *Matrix) announce(attempts []*attempt) {
	var usually time.Duration
	var text strings.Builder
	for _, a := range attempts {
		usually += a.usually()
		fmt.Fprintf(&text, "\n  %s  %s", a.row, a.history())
		for _, doubt := range component.Doubts(a.lab.Config) {
			fmt.Fprintf(&text, "\n    ! %s", doubt)
		}
	}
	m.Log.Printf("trying %s: usually about %s on 2 cores, and less if parts are built already; Ctrl-C keeps the rows that were recorded%s", count(len(attempts)), ui.Round(usually), &text)
}

func count(rows int) string {
	if rows == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", rows)
}

// check refuses rows that cannot be tried on this machine.
func (m *Matrix) check(ctx context.Context, attempts []*attempt) error {
	var errs []error
	for _, a := range attempts {
		m.Log.Printf("checking whether %s can be tried here", a.row)
		if err := a.trial.Check(ctx); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.row, err))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("no row was begun, because %d of %s cannot be tried on this machine:\n%w", len(errs), count(len(attempts)), err)
	}
	return nil
}

// verdictOf returns an error unless all rows ran.
func verdictOf(ctx context.Context, attempts []*attempt) error {
	var not []string
	for _, a := range attempts {
		if a.verdict != ran {
			not = append(not, fmt.Sprintf("%s (%s)", a.row, a.verdict))
		}
	}
	if len(not) == 0 {
		return nil
	}
	err := fmt.Errorf("%d of %s did not run: %s", len(not), count(len(attempts)), strings.Join(not, ", "))
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

// resultHeader has the columns of the table of results.
var resultHeader = []string{"CLUSTER API", "KUBERNETES", "AUTOSCALER", "RESULT", "BUILD", "UP", "SCALE-UP", "SCALE-DOWN", "WHY"}

// print writes the table of results, and summary.md.
func (m *Matrix) print(attempts []*attempt, o Options) error {
	w := ui.NewTable(m.Out, resultHeader...)
	for _, a := range attempts {
		w.Row(a.cells()...)
	}
	err := w.End()
	if o.Out == "" {
		return err
	}
	m.Log.Printf("summary.md and a folder for each row are in %s", o.Out)
	return errors.Join(err, state.WriteFile(filepath.Join(o.Out, "summary.md"), []byte(summary(attempts)), 0o644))
}

// summary returns the results as Markdown.
func summary(attempts []*attempt) string {
	var text strings.Builder
	text.WriteString("### Rows of the version matrix\n\n" + line(resultHeader) + strings.Repeat("|---", len(resultHeader)) + "|\n")
	for _, a := range attempts {
		cells := slices.Clone(a.cells())
		for i, cell := range cells {
			cells[i] = strings.ReplaceAll(cell, "|", `\|`)
		}
		text.WriteString(line(cells))
	}
	return text.String()
}
