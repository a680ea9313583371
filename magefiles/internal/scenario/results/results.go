// Package results has the results of scenarios: a verdict for each, with the
// evidence. It writes them as a table, as JSON, as a JUnit report and as Markdown,
// and compares two runs.
package results

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"caslab/magefiles/internal/ui"
)

// Verdict is the verdict on a scenario.
type Verdict string

// Verdicts. Only Failed makes a run fail.
const (
	Passed  Verdict = "passed"
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped"
	// KnownFailure is for a scenario with a known failure of this release,
	// UnexpectedPass for one that passed although it is known to fail.
	KnownFailure   Verdict = "known failure"
	UnexpectedPass Verdict = "unexpected pass"
	// Interrupted is for a scenario that was stopped before its verdict.
	Interrupted Verdict = "interrupted"
)

// Cause says what made a scenario fail.
type Cause string

// Causes. Only the first two tell something about the autoscaler.
const (
	// CheckFailed: a check did not hold.
	CheckFailed Cause = "check"
	// AutoscalerEnded: the autoscaler ended by itself.
	AutoscalerEnded Cause = "autoscaler ended"
	// ActionFailed: the lab could not do an action of a step.
	ActionFailed Cause = "action"
	// SetUpFailed and CleanUpFailed: the lab could not do what comes before and after the steps.
	SetUpFailed   Cause = "set-up"
	CleanUpFailed Cause = "clean-up"
)

// OfAutoscaler reports whether the cause tells something about the autoscaler.
func (c Cause) OfAutoscaler() bool { return c == CheckFailed || c == AutoscalerEnded }

// Passes reports whether the scenario passed, known to fail or not.
func (v Verdict) Passes() bool { return v == Passed || v == UnexpectedPass }

// Mark returns the sign in front of a verdict.
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

// Results are the results of a run. Their JSON is stable: fields may be added, but
// are not renamed and keep their meaning.
type Results struct {
	// Autoscaler is the name of the autoscaler, Release its version; empty if it is
	// not known.
	Autoscaler string    `json:"autoscaler"`
	Release    string    `json:"release,omitempty"`
	Started    time.Time `json:"started"`
	Seconds    float64   `json:"seconds"`
	// Versions are the versions of other components, by name.
	Versions map[string]string `json:"versions,omitempty"`
	// Repeat is how often each scenario was to run, if that is more than once.
	Repeat int `json:"repeat,omitempty"`
	// Parallel is how many scenarios were to run at the same time, if that is more than one.
	Parallel int `json:"parallel,omitempty"`
	// Scenarios has a result for each run of each scenario.
	Scenarios []Result `json:"scenarios"`
}

// Result is the result of one scenario.
type Result struct {
	Name string `json:"name"`
	// Given is what the user typed for the scenario: a name or a path. Empty means
	// the name.
	Given string `json:"-"`
	Title string `json:"title"`
	// Machines are the kinds of machines of its groups: docker, hollow or both.
	Machines []string `json:"machines,omitempty"`
	// Run is the number of the run, from 1, if the scenario runs several times.
	Run     int       `json:"run,omitempty"`
	Verdict Verdict   `json:"verdict"`
	Started time.Time `json:"started,omitzero"`
	Seconds float64   `json:"seconds"`
	// Why says in one line what failed, or why the scenario was skipped.
	Why string `json:"why,omitempty"`
	// Cause is what made the scenario fail, first of all. It is set for Failed and KnownFailure.
	Cause Cause `json:"cause,omitempty"`
	// Known is why upstream is known to fail. It is set for KnownFailure and
	// UnexpectedPass.
	Known string `json:"known,omitempty"`
	// Beside is the failure of a run at the same time as other scenarios, after which the scenario
	// ran again alone. The other fields are about the run alone.
	Beside string `json:"beside,omitempty"`
	// Failure is the whole text of the failure, with the evidence.
	Failure string       `json:"failure,omitempty"`
	Steps   []StepResult `json:"steps,omitempty"`
}

// StepResult is the result of one step. The first step is the set-up.
type StepResult struct {
	Say     string  `json:"say"`
	Passed  bool    `json:"passed"`
	Seconds float64 `json:"seconds"`
}

// Seconds returns a duration in seconds, rounded to a tenth.
func Seconds(d time.Duration) float64 { return d.Round(100 * time.Millisecond).Seconds() }

// Add adds the result of a step: err is nil if it passed.
func (r *Result) Add(say string, took time.Duration, err error) {
	r.Steps = append(r.Steps, StepResult{Say: say, Passed: err == nil, Seconds: Seconds(took)})
}

// Fail adds a failure. The first one decides Cause and Why. say is the step.
func (r *Result) Fail(cause Cause, say string, err error) { r.end(Failed, cause, say, err) }

// Interrupt records that the scenario was stopped in the step say. A later failure of the
// clean-up does not change the verdict.
func (r *Result) Interrupt(say string, err error) { r.end(Interrupted, "", say, err) }

func (r *Result) end(verdict Verdict, cause Cause, say string, err error) {
	text := say + ": " + err.Error()
	if r.Failure != "" {
		r.Failure += "\n" + text
		return
	}
	r.Verdict, r.Cause, r.Failure = verdict, cause, text
	// The first line, and the second one with what was seen.
	lines := strings.SplitN(text, "\n", 3)
	r.Why = lines[0]
	if len(lines) > 1 {
		r.Why += "; " + strings.TrimSpace(lines[1])
	}
}

// FailedError says that scenarios failed.
type FailedError struct {
	// Names are the names of the scenarios that failed at least once.
	Names []string
	// Again is what the user typed for the first of them: its name or a path.
	Again string
}

func (e *FailedError) Error() string {
	if len(e.Names) == 1 {
		return fmt.Sprintf("1 scenario failed: %s", e.Names[0])
	}
	return fmt.Sprintf("%d scenarios failed: %s", len(e.Names), strings.Join(e.Names, ", "))
}

// Err returns a *FailedError if scenarios failed, another error if none ran, and
// nil otherwise. A known failure and an interruption do not count as failed.
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
		if !slices.Contains(failed.Names, s.Name) {
			failed.Names = append(failed.Names, s.Name)
		}
	}
	switch {
	case len(failed.Names) > 0:
		return failed
	case !ran:
		return fmt.Errorf("no scenario ran: all %d were skipped", len(r.Scenarios))
	}
	return nil
}

// count says how many scenarios, or runs of them, have each verdict.
func (r *Results) count() string {
	var parts []string
	for _, v := range []Verdict{Passed, Failed, KnownFailure, UnexpectedPass, Interrupted, Skipped} {
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
	counted := strings.Join(parts, ", ")
	if r.repeated() {
		return fmt.Sprintf("of %d runs, %s", len(r.Scenarios), counted)
	}
	return counted
}

// autoscaler returns the name of the autoscaler with its release.
func (r *Results) autoscaler() string {
	if r.Release == "" || strings.Contains(r.Autoscaler, r.Release) {
		return r.Autoscaler
	}
	return r.Autoscaler + " " + r.Release
}

// why returns the reason for the verdict in one line.
func (r Result) why() string {
	var parts []string
	if r.Why != "" {
		parts = append(parts, r.Why)
	}
	if r.Beside != "" && r.Verdict.Passes() {
		parts = append(parts, "it failed at the same time as others, and passed alone")
	}
	if r.Known != "" {
		parts = append(parts, "known: "+r.Known)
	}
	return strings.Join(parts, "; ")
}

// Table writes a line for each scenario, or what its runs say together, and the number of
// each verdict.
func (r *Results) Table(out io.Writer) error {
	write := r.verdictTable
	if r.repeated() {
		write = r.repeatTable
	}
	if err := write(out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s, with %s, in %s\n", r.count(), r.autoscaler(), time.Duration(r.Seconds*float64(time.Second)).Round(time.Second))
	return err
}

// verdictTable writes a line for each scenario.
func (r *Results) verdictTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SCENARIO\tMACHINES\tVERDICT\tSECONDS\tWHY")
	for _, s := range r.Scenarios {
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%s\n", s.Name, s.machines(), s.Verdict.Mark(), s.Verdict, duration(s), clip(s.why(), 120))
	}
	return w.Flush()
}

// machines names the kinds of machines.
func (r Result) machines() string { return cmp.Or(strings.Join(r.Machines, ","), "-") }

// duration returns the seconds of a scenario that ran.
func duration(r Result) string {
	if r.Verdict == Skipped {
		return "-"
	}
	return fmt.Sprintf("%.0f", r.Seconds)
}

// clip returns text as one line of at most n characters.
func clip(text string, n int) string { return ui.Clip(strings.Join(strings.Fields(text), " "), n) }

// JSON writes the results.
func (r *Results) JSON(out io.Writer) error {
	if r.repeated() {
		return WriteJSON(out, withRepeats{r, r.Repeats()})
	}
	return WriteJSON(out, r)
}

// WriteJSON writes a value as the JSON files of results have it.
func WriteJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
