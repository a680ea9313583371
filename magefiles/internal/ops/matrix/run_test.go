package matrix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/capi/release/proof"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/state"
)

// recorded is the proof.yaml of the tests. Only v1.10.10 ran.
const recorded = `# What ran.
- clusterAPI: v1.10.10
  kubernetes: v1.33.4
  autoscaler: v1.33.6
  built: "2026-01-02"
  generated: "2026-01-02"
  ran: "2026-01-02"
  seconds: {build: 400, up: 90, scaleUp: 30, scaleDown: 40}
- clusterAPI: v1.8.12
  kubernetes: v1.31.4
  autoscaler: v1.31.5
  generated: "2026-01-02"
- clusterAPI: v0.3.25
  kubernetes: v1.18.19
  autoscaler: v1.18.3
  failed: "env:up: no node"
`

// fixture is a lab in a checkout with the two files, and the trials of its rows.
type fixture struct {
	*labtest.Lab
	matrix *Matrix
	now    time.Time
	// calls are the parts that were done, as "ENVIRONMENT PART".
	calls []string
	// do, if set, is called in every part, and returns the part's error.
	do func(ctx context.Context, l *lab.Lab, part string) error
	// verdict is the scenario's; results.Passed if empty.
	verdict results.Verdict
}

func newFixture(t *testing.T, variables map[string]string) *fixture {
	t.Helper()
	f := &fixture{Lab: labtest.New(t, variables), now: time.Date(2026, 2, 3, 23, 30, 0, 0, time.FixedZone("", -3600))}
	f.Now = func() time.Time { return f.now }
	f.matrix = &Matrix{Lab: f.Lab.Lab, Try: func(l *lab.Lab) Trial { return &fakeTrial{f, l} }}
	f.write(t, proofFile, recorded)
	proofs, err := proof.Read([]byte(recorded))
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, readmeFile, "# caslab\n\nText.\n\n"+markdown(proofs)+"\n## Where things are\n\n| a | b |\n")
	return f
}

func (f *fixture) write(t *testing.T, name, text string) {
	t.Helper()
	if err := state.WriteFile(filepath.Join(f.Config.Root, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(f.Config.Root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// entry returns the lines of a release's record.
func (f *fixture) entry(t *testing.T, clusterAPI string) string {
	t.Helper()
	_, after, found := strings.Cut(f.read(t, proofFile), "- clusterAPI: "+clusterAPI+"\n")
	if !found {
		t.Fatalf("there is no entry of %s in\n%s", clusterAPI, f.read(t, proofFile))
	}
	entry, _, _ := strings.Cut(after, "\n- ")
	return strings.TrimSpace(entry)
}

// unchanged reports whether both files have their first content.
func (f *fixture) unchanged(t *testing.T, readme string) bool {
	t.Helper()
	return f.read(t, proofFile) == recorded && f.read(t, readmeFile) == readme
}

// fakeTrial records the parts, and moves the clock forward.
type fakeTrial struct {
	*fixture
	lab *lab.Lab
}

func (t *fakeTrial) part(ctx context.Context, name string, takes time.Duration) error {
	t.calls = append(t.calls, t.lab.Config.ClusterName+" "+name)
	t.now = t.now.Add(takes)
	if t.do != nil {
		return t.do(ctx, t.lab, name)
	}
	return nil
}

func (t *fakeTrial) Check(ctx context.Context) error { return t.part(ctx, "check", time.Second) }
func (t *fakeTrial) Fetch(ctx context.Context) error { return t.part(ctx, "source:fetch", time.Second) }
func (t *fakeTrial) Build(ctx context.Context) error {
	return t.part(ctx, "image:node", 300*time.Second)
}
func (t *fakeTrial) BuildAutoscaler(ctx context.Context) error {
	return t.part(ctx, "autoscaler:build", 50*time.Second)
}
func (t *fakeTrial) Up(ctx context.Context) error { return t.part(ctx, "env:up", 99*time.Second) }
func (t *fakeTrial) Status(ctx context.Context) error {
	if _, err := fmt.Fprintln(t.lab.Out, "nodes"); err != nil {
		return err
	}
	return t.part(ctx, "env:status", time.Second)
}
func (t *fakeTrial) Down(ctx context.Context) error { return t.part(ctx, "env:down", time.Second) }

func (t *fakeTrial) Scale(ctx context.Context, scenario, out string) (*results.Results, error) {
	if err := t.part(ctx, "scenario:run", 200*time.Second); err != nil {
		return nil, err
	}
	if out != "" {
		if err := state.WriteFile(filepath.Join(out, "results.json"), nil, 0o644); err != nil {
			return nil, err
		}
	}
	s := map[string]scaling{fromZero.scenario: fromZero, fromOne.scenario: fromOne}[scenario]
	r := results.Result{Name: scenario, Verdict: results.Passed, Seconds: 200, Steps: []results.StepResult{
		{Say: "set up", Seconds: 20}, {Say: s.up, Seconds: 31.4}, {Say: "no more", Seconds: 15}, {Say: s.down, Seconds: 41.5},
	}}
	if t.verdict != "" {
		r.Verdict, r.Why = t.verdict, "two pods wait"
	}
	return &results.Results{Scenarios: []results.Result{r}}, nil
}

// whole are the parts of a row that passes.
var whole = []string{"check", "env:down", "source:fetch", "image:node", "autoscaler:build", "env:up", "env:status", "scenario:run", "env:down"}

// environmentOf returns the environment of a row.
func environmentOf(t *testing.T, text string) string {
	t.Helper()
	r, err := parseRow(text)
	if err != nil {
		t.Fatal(err)
	}
	return r.environment()
}

func TestRunRecordsARowThatRan(t *testing.T) {
	t.Parallel()
	f := newFixture(t, map[string]string{"CLUSTER_NAME": "mine", "WORKERS": "3", "AUTOSCALER_FLAGS": "--v=9"})
	readme := f.read(t, readmeFile)
	out := filepath.Join(t.TempDir(), "results")
	f.do = func(_ context.Context, l *lab.Lab, _ string) error {
		c := l.Config
		if config.Tag(c.Kubernetes) != "v1.31.4" || c.ClusterAPI.Tag() != "v1.8.12" || c.Autoscaler.Tag() != "v1.31.5" || c.Workers != 1 || c.AutoscalerFlags != "" {
			t.Errorf("the row has the settings %+v", c)
		}
		return nil
	}
	if err := f.matrix.Run(t.Context(), Options{Rows: "v1.8.12", Out: out}); err != nil {
		t.Fatal(err)
	}
	name := environmentOf(t, "v1.8.12+v1.31.4+v1.31.5")
	want := []string{name + " check"} // before the first row
	for _, part := range whole {
		want = append(want, name+" "+part)
	}
	if !slices.Equal(f.calls, want) {
		t.Errorf("the parts were\n%q\nwant\n%q", f.calls, want)
	}
	const entry = `kubernetes: v1.31.4
  autoscaler: v1.31.5
  built: "2026-02-04"
  generated: "2026-02-04"
  ran: "2026-02-04"
  seconds: {build: 300, up: 99, scaleUp: 31, scaleDown: 42}`
	if got := f.entry(t, "v1.8.12"); got != entry {
		t.Errorf("proof.yaml has\n%s\nwant\n%s", got, entry)
	}
	wantReadme := strings.Replace(readme, "its own |  | 2026-01-02 |  |", "its own | 2026-02-04 | 2026-02-04 | 2026-02-04 |", 1)
	if got := f.read(t, readmeFile); got != wantReadme || got == readme {
		t.Errorf("README.md has\n%s\nwant\n%s", got, wantReadme)
	}
	const cells = "v1.8.12 v1.31.4 v1.31.5 ran 300 99 31 42 -"
	if got := strings.Join(strings.Fields(f.Printed.String()), " "); !strings.HasSuffix(got, "WHY "+cells) {
		t.Errorf("printed %s", got)
	}
	summary, err := os.ReadFile(filepath.Join(out, "summary.md"))
	if err != nil || !strings.Contains(string(summary), "| "+strings.ReplaceAll(cells, " ", " | ")+" |\n") {
		t.Errorf("summary.md: %v\n%s", err, summary)
	}
	row := filepath.Join(out, "v1.8.12+v1.31.4+v1.31.5")
	if printed, err := os.ReadFile(filepath.Join(row, "output.txt")); err != nil || string(printed) != "nodes\n" {
		t.Errorf("output.txt has %q, %v", printed, err)
	}
	if there, err := state.Exists(filepath.Join(row, "results.json")); err != nil || !there {
		t.Errorf("the scenario's results are not there: %v", err)
	}
}

// TestRunRecordsAFailure: whatever fails, the environment is removed, the reason is
// recorded in one line, and the next row is tried.
func TestRunRecordsAFailure(t *testing.T) {
	t.Parallel()
	const (
		before = `kubernetes: v1.33.4
  autoscaler: v1.33.6
  built: "2026-01-02"
  generated: "2026-01-02"
  seconds: {build: 400}
  failed: `
		built = `kubernetes: v1.33.4
  autoscaler: v1.33.6
  built: "2026-02-04"
  generated: "2026-01-02"
  seconds: {build: 400}
  failed: `
		up = `kubernetes: v1.33.4
  autoscaler: v1.33.6
  built: "2026-02-04"
  generated: "2026-02-04"
  seconds: {build: 400, up: 99}
  failed: `
		scaled = `kubernetes: v1.33.4
  autoscaler: v1.33.6
  built: "2026-02-04"
  generated: "2026-02-04"
  seconds: {build: 400, up: 99, scaleUp: 31, scaleDown: 42}
  failed: `
	)
	for part, want := range map[string]string{
		"image:node": before, "autoscaler:build": built, "env:up": built, "env:status": up, "scenario:run": up, "env:down": scaled,
	} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			first := environmentOf(t, "v1.10.10+v1.33.4+v1.33.6")
			f.do = func(_ context.Context, l *lab.Lab, at string) error {
				again := at != "env:down" || slices.Contains(f.calls, first+" scenario:run")
				if l.Config.ClusterName == first && at == part && again {
					return fmt.Errorf("read %s/.caslab/x: https://me:secret@git.example is gone. \x00\nlook there", f.Config.Root)
				}
				return nil
			}
			err := f.matrix.Run(t.Context(), Options{Rows: "v1.10.10,v1.8.12"})
			if err == nil || !strings.Contains(err.Error(), "1 of 2 rows did not run: v1.10.10+v1.33.4+v1.33.6 (failed)") {
				t.Errorf("the run ends with %v", err)
			}
			got := f.entry(t, "v1.10.10")
			if !strings.HasPrefix(got, want+`"`+part+": read .caslab/x: ") || !strings.HasSuffix(got, `is gone."`) || strings.Contains(got, "secret") || strings.Contains(got, "look there") {
				t.Errorf("recorded\n%s\nwant\n%s", got, want)
			}
			if !strings.Contains(f.Logged.String(), "look there") {
				t.Errorf("the whole error is not shown in\n%s", f.Logged)
			}
			if last := f.calls[slices.IndexFunc(f.calls, func(c string) bool { return c == environmentOf(t, "v1.8.12+v1.31.4+v1.31.5")+" image:node" })-4]; last != first+" env:down" {
				t.Errorf("the last part of the row that failed is %s, in %q", last, f.calls)
			}
			if got := f.entry(t, "v1.8.12"); !strings.Contains(got, `ran: "2026-02-04"`) {
				t.Errorf("the next row has\n%s", got)
			}
		})
	}
}

func TestRunRecordsAScenarioThatDidNotPass(t *testing.T) {
	t.Parallel()
	for _, verdict := range []results.Verdict{results.Failed, results.Skipped, results.KnownFailure} {
		f := newFixture(t, nil)
		f.verdict = verdict
		if err := f.matrix.Run(t.Context(), Options{Rows: "v1.8.12"}); err == nil {
			t.Errorf("%s is a success", verdict)
		}
		if got, want := f.entry(t, "v1.8.12"), fmt.Sprintf(`failed: "scenario:run: from-zero-and-back: %s: two pods wait"`, verdict); !strings.Contains(got, want) || strings.Contains(got, "ran:") || strings.Contains(got, "scaleUp") {
			t.Errorf("recorded\n%s\nwant %s", got, want)
		}
	}
}

// TestRunInterrupted: the environment of the row is removed, nothing is written, and the
// rows after it do not begin.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	for n, part := range whole {
		t.Run(fmt.Sprint(n, part), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			readme := f.read(t, readmeFile)
			ctx, stop, _ := interrupt.With(t.Context())
			defer stop()
			f.do = func(ctx context.Context, _ *lab.Lab, at string) error {
				if len(f.calls) != 2+n+1 { // both rows are checked first
					if at == "env:down" && ctx.Err() != nil {
						t.Error("the environment cannot be removed, because the context ended")
					}
					return nil
				}
				if at != part {
					t.Errorf("part %d is %s, want %s", n, at, part)
				}
				stop()
				return nil // it ended just then
			}
			err := f.matrix.Run(ctx, Options{Rows: "v1.8.12,v0.3.25"})
			if !errors.Is(err, interrupt.ErrStop) || !strings.Contains(err.Error(), "v1.8.12+v1.31.4+v1.31.5 (interrupted), v0.3.25+v1.18.19+v1.18.3 (not begun)") {
				t.Errorf("the run ends with %v", err)
			}
			if !f.unchanged(t, readme) {
				t.Errorf("an interrupted row is recorded:\n%s", f.read(t, proofFile))
			}
			after := f.calls[min(2+n+1, len(f.calls)-1):] // the last part of the row is env:down anyway
			if !slices.Equal(after, []string{environmentOf(t, "v1.8.12+v1.31.4+v1.31.5") + " env:down"}) {
				t.Errorf("after it, %q was done", after)
			}
		})
	}
}

// TestRunOnAMachineThatRefusesARow: the row is not recorded, because the refusal says
// nothing about the releases.
func TestRunOnAMachineThatRefusesARow(t *testing.T) {
	t.Parallel()
	full := errors.New("the disk is full")
	f := newFixture(t, nil)
	readme := f.read(t, readmeFile)
	f.do = func(_ context.Context, l *lab.Lab, _ string) error {
		if strings.HasPrefix(l.Config.ClusterName, "row-0-3-25-") {
			return full
		}
		return nil
	}
	err := f.matrix.Run(t.Context(), Options{Rows: "v1.8.12,v0.3.25"})
	if !errors.Is(err, full) || !strings.Contains(err.Error(), "no row was begun") || len(f.calls) != 2 || !f.unchanged(t, readme) {
		t.Errorf("before the first row: %v, and %q was done", err, f.calls)
	}

	for part, why := range map[string]string{
		"check": "check of the machine", "env:down": "removal of what an earlier run left", "source:fetch": "source:fetch",
	} {
		f := newFixture(t, nil)
		f.do = func(_ context.Context, l *lab.Lab, at string) error {
			if strings.HasPrefix(l.Config.ClusterName, "row-0-3-25-") && at == part && len(f.calls) > 2 {
				return full
			}
			return nil
		}
		err := f.matrix.Run(t.Context(), Options{Rows: "v1.8.12,v0.3.25"})
		if err == nil || !strings.Contains(err.Error(), "v0.3.25+v1.18.19+v1.18.3 (not tried)") {
			t.Errorf("%s after the first row: %v", part, err)
		}
		if got := f.entry(t, "v0.3.25"); !strings.Contains(got, "env:up: no node") {
			t.Errorf("recorded\n%s", got)
		}
		if !strings.Contains(f.Printed.String(), why+": the disk is full") {
			t.Errorf("printed\n%s", f.Printed)
		}
	}
}

// TestRunSaysWhatItDoes: before the first row, Run prints the rows and how long they take.
func TestRunSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	begun := ""
	f.do = func(context.Context, *lab.Lab, string) error {
		if begun == "" {
			begun = f.Logged.String()
		}
		return nil
	}
	if err := f.matrix.Run(t.Context(), Options{Rows: "v1.10.10,v1.8.12,v0.3.25,v1.15.0+v1.38.0+v1.38.0"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		// 400 s and three times 10 minutes of builds, and four times 6 minutes.
		"trying 4 rows: usually about 60m40s on 2 cores",
		"\n  v1.10.10+v1.33.4+v1.33.6  ran on 2026-01-02\n",
		"\n  v1.8.12+v1.31.4+v1.31.5  never ran\n",
		"\n  v0.3.25+v1.18.19+v1.18.3  failed: env:up: no node\n",
		"\n    ! Cluster API v1.15.0 is newer than this lab knows",
	} {
		if !strings.Contains(begun, want) {
			t.Errorf("before the first row there is no %q in\n%s", want, begun)
		}
	}
	if got := f.read(t, proofFile); !strings.HasPrefix(got, "# What ran.\n- clusterAPI: v1.15.0\n") {
		t.Errorf("the new row is not recorded:\n%s", got)
	}
	if !strings.Contains(f.Logged.String(), `row 4 of 4: Cluster API v1.15.0 on Kubernetes v1.38.0 with the autoscaler 1.38.0, in the environment "row-1-15-0-`) {
		t.Errorf("logged\n%s", f.Logged)
	}
}

// TestRunRefuses: no row is begun.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rows string
		// out is below the root of the checkout.
		out    string
		change func(t *testing.T, f *fixture)
		want   string
	}{
		"an unknown release":                  {rows: "v1.8.13", want: "-rows: the matrix has no row of Cluster API v1.8.13"},
		"releases that do not fit":            {rows: "v1.8.12+v1.36.1+v1.36.1", want: "Cluster API v1.8.12 manages itself on Kubernetes v1.27 to v1.31"},
		"a folder for results that is a file": {rows: "v1.8.12", out: proofFile, want: "-out="},
		"a folder that is no checkout": {
			change: func(t *testing.T, f *fixture) {
				t.Helper()
				if err := os.Remove(filepath.Join(f.Config.Root, proofFile)); err != nil {
					t.Fatal(err)
				}
			},
			want: "is no checkout of the lab",
		},
		"a README without the table": {
			change: func(t *testing.T, f *fixture) { t.Helper(); f.write(t, readmeFile, "# caslab\n") },
			want:   "README.md: it has 0 tables",
		},
		"records that it cannot read": {
			change: func(t *testing.T, f *fixture) { t.Helper(); f.write(t, proofFile, "- clusterAPI: 1") },
			want:   proofFile + `: the record of Cluster API 1`,
		},
		"a second run in the checkout": {
			change: func(t *testing.T, f *fixture) {
				t.Helper()
				lock, err := f.State.Lock("matrix.run", "matrix:run")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = lock.Release() })
			},
			want: "already being tried in this checkout by matrix:run",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, nil)
			if tc.change != nil {
				tc.change(t, f)
			}
			o := Options{Rows: tc.rows}
			if tc.out != "" {
				o.Out = filepath.Join(f.Config.Root, tc.out)
			}
			err := f.matrix.Run(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), tc.want) || len(f.calls) > 0 {
				t.Errorf("%v, and %q was done; want %s", err, f.calls, tc.want)
			}
		})
	}
}

// TestRunOfNoRow: if every row ran, there is nothing to do.
func TestRunOfNoRow(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	all, err := rows(nil)
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, r := range all {
		r.before.Built, r.before.Generated, r.before.Ran = "2026-01-02", "2026-01-02", "2026-01-02"
		if text == nil {
			text = []byte("- clusterAPI: v1.0.0\n  kubernetes: v1.21.14\n  autoscaler: v1.22.3\n  built: '2026-01-02'\n  generated: '2026-01-02'\n  ran: '2026-01-02'\n")
		}
		if text, err = proof.Put(text, r.before); err != nil {
			t.Fatal(err)
		}
	}
	f.write(t, proofFile, string(text))
	if err := f.matrix.Run(t.Context(), Options{}); err != nil || len(f.calls) > 0 || !strings.Contains(f.Logged.String(), "every row ran") {
		t.Errorf("%v, %q was done, and logged\n%s", err, f.calls, f.Logged)
	}
}

// TestRunStopsIfARowCannotBeRecorded: otherwise the results of later rows, which take
// hours, would be lost.
func TestRunStopsIfARowCannotBeRecorded(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.do = func(_ context.Context, _ *lab.Lab, part string) error {
		if part == "env:up" {
			f.write(t, proofFile, "- clusterAPI: half")
		}
		return nil
	}
	err := f.matrix.Run(t.Context(), Options{Rows: "v1.8.12,v0.3.25"})
	if err == nil || !strings.Contains(err.Error(), proofFile) || slices.Contains(f.calls, environmentOf(t, "v0.3.25+v1.18.19+v1.18.3")+" env:up") {
		t.Errorf("%v, and %q was done", err, f.calls)
	}
	if !strings.Contains(f.Printed.String(), "v1.31.5") {
		t.Errorf("the results are not printed:\n%s", f.Printed)
	}
}

// TestPutKeepsWhatAPersonChangedMeanwhile: a run takes hours, and a person may change the
// files during it.
func TestPutKeepsWhatAPersonChangedMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	f.do = func(_ context.Context, _ *lab.Lab, part string) error {
		if part == "env:up" {
			f.write(t, proofFile, strings.Replace(recorded, "no node", "no disk", 1))
			f.write(t, readmeFile, strings.Replace(f.read(t, readmeFile), "Text.", "Other text.", 1))
		}
		return nil
	}
	if err := f.matrix.Run(t.Context(), Options{Rows: "v1.8.12"}); err != nil {
		t.Fatal(err)
	}
	if got := f.read(t, proofFile); !strings.Contains(got, "no disk") || !strings.Contains(got, "ran: \"2026-02-04\"") {
		t.Errorf("proof.yaml has\n%s", got)
	}
	if got := f.read(t, readmeFile); !strings.Contains(got, "Other text.") || !strings.Contains(got, "| 2026-02-04 |") || !strings.HasSuffix(got, "|\n\n## Where things are\n\n| a | b |\n") {
		t.Errorf("README.md has\n%s", got)
	}
}
