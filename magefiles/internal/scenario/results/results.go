// Package results is what came of scenarios: a verdict each, with the evidence, as
// a table, as files for machines and as Markdown, and two runs side by side.
package results

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Verdict is what came of a scenario.
type Verdict string

// Verdicts. Only Failed is a failure of the run.
const (
	Passed  Verdict = "passed"
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped"
	// KnownFailure failed, and is known to with this release; UnexpectedPass
	// passed though.
	KnownFailure   Verdict = "known failure"
	UnexpectedPass Verdict = "unexpected pass"
)

// Mark is the sign in front of a verdict.
func (v Verdict) Mark() string {
	switch v {
	case Passed:
		return "✓"
	case Failed:
		return "✗"
	case Skipped:
		return "-"
	default:
		return "!"
	}
}

// Results are what came of a run. Their JSON is stable: fields are added, none
// is renamed or changes its meaning.
type Results struct {
	// Autoscaler is what it is called, Release its version if that is known.
	Autoscaler string    `json:"autoscaler"`
	Release    string    `json:"release,omitempty"`
	Started    time.Time `json:"started"`
	Seconds    float64   `json:"seconds"`
	// Versions of what else took part, by name.
	Versions  map[string]string `json:"versions,omitempty"`
	Scenarios []Result          `json:"scenarios"`
}

// Result is what came of one scenario.
type Result struct {
	Name string `json:"name"`
	// Given is how the user named the scenario; empty is by its name.
	Given   string    `json:"-"`
	Title   string    `json:"title"`
	Verdict Verdict   `json:"verdict"`
	Started time.Time `json:"started,omitzero"`
	Seconds float64   `json:"seconds"`
	// Why is in a line what failed, or why it was skipped.
	Why string `json:"why,omitempty"`
	// Known is why upstream is known to fail, for the two verdicts of that.
	Known string `json:"known,omitempty"`
	// Failure is everything that was seen of a failure.
	Failure string       `json:"failure,omitempty"`
	Steps   []StepResult `json:"steps,omitempty"`
}

// StepResult is what came of one step; the first is the set-up.
type StepResult struct {
	Say     string  `json:"say"`
	Passed  bool    `json:"passed"`
	Seconds float64 `json:"seconds"`
}

// Seconds are those of a duration, to a tenth.
func Seconds(d time.Duration) float64 { return d.Round(100 * time.Millisecond).Seconds() }

// Add notes what came of a step.
func (r *Result) Add(say string, took time.Duration, err error) {
	r.Steps = append(r.Steps, StepResult{Say: say, Passed: err == nil, Seconds: Seconds(took)})
}

// Fail notes a failure beside those that there are.
func (r *Result) Fail(say string, err error) {
	text := say + ": " + err.Error()
	if r.Failure != "" {
		r.Failure += "\n" + text
		return
	}
	r.Verdict, r.Failure = Failed, text
	// The line is the first, with what was seen.
	lines := strings.SplitN(text, "\n", 3)
	r.Why = lines[0]
	if len(lines) > 1 {
		r.Why += "; " + strings.TrimSpace(lines[1])
	}
}

// FailedError is returned for results with failed scenarios.
type FailedError struct {
	// Names of those that failed.
	Names []string
	// Again is how the user named the first of them: its name, or a path.
	Again string
}

func (e *FailedError) Error() string {
	if len(e.Names) == 1 {
		return fmt.Sprintf("1 scenario failed: %s", e.Names[0])
	}
	return fmt.Sprintf("%d scenarios failed: %s", len(e.Names), strings.Join(e.Names, ", "))
}

// SkippedError is returned for results without any scenario that ran.
type SkippedError struct{ Scenarios int }

func (e *SkippedError) Error() string {
	return fmt.Sprintf("no scenario ran: all %d were skipped", e.Scenarios)
}

// Err is a *FailedError if scenarios failed, a *SkippedError if none ran, and
// nil otherwise. A failure that is known is none.
func (r *Results) Err() error {
	failed, ran := &FailedError{}, false
	for _, s := range r.Scenarios {
		ran = ran || s.Verdict != Skipped
		if s.Verdict != Failed {
			continue
		}
		if len(failed.Names) == 0 {
			failed.Again = cmp.Or(s.Given, s.Name)
		}
		failed.Names = append(failed.Names, s.Name)
	}
	switch {
	case len(failed.Names) > 0:
		return failed
	case !ran:
		return &SkippedError{len(r.Scenarios)}
	}
	return nil
}

// count says how many there are of each verdict.
func (r *Results) count() string {
	var parts []string
	for _, v := range []Verdict{Passed, Failed, KnownFailure, UnexpectedPass, Skipped} {
		n := 0
		for _, s := range r.Scenarios {
			if s.Verdict == v {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, v))
		}
	}
	if len(parts) == 0 {
		return "no scenarios"
	}
	return strings.Join(parts, ", ")
}

// subject names the autoscaler with its release.
func (r *Results) subject() string {
	if r.Release == "" || strings.Contains(r.Autoscaler, r.Release) {
		return r.Autoscaler
	}
	return r.Autoscaler + " " + r.Release
}

// why is a result's reason in a line.
func (r Result) why() string {
	switch {
	case r.Why != "" && r.Known != "":
		return r.Why + "; known: " + r.Known
	case r.Known != "":
		return "known: " + r.Known
	default:
		return r.Why
	}
}

// Table writes a line for each scenario, and how many there are of each kind.
func (r *Results) Table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SCENARIO\tVERDICT\tSECONDS\tWHY")
	for _, s := range r.Scenarios {
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\n", s.Name, s.Verdict.Mark(), s.Verdict, took(s), clip(s.why(), 120))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s, with %s, in %s\n", r.count(), r.subject(), time.Duration(r.Seconds*float64(time.Second)).Round(time.Second))
	return err
}

func took(r Result) string {
	if r.Verdict == Skipped {
		return "-"
	}
	return fmt.Sprintf("%.0f", r.Seconds)
}

// clip shortens a line for a table.
func clip(text string, n int) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return text
}

// JSON writes the results.
func (r *Results) JSON(out io.Writer) error { return writeJSON(out, r) }

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
