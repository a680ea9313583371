package scenarios

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"caslab/magefiles/internal/bisect"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/ui"
)

// bisectReport is the result of a search. Its JSON is as stable as that of results.Results.
type bisectReport struct {
	Scenario string `json:"scenario"`
	// Good and Bad are the ends as the user called them.
	Good string `json:"good"`
	Bad  string `json:"bad"`
	// First is the first bad commit, and Failure is how the scenario fails there.
	First   *bisect.Commit `json:"first,omitempty"`
	Failure string         `json:"failure,omitempty"`
	// FailureAtBad is how the scenario fails at the bad end.
	FailureAtBad string `json:"failureAtBad"`
	// Possible are the commits of which one is the first bad one, if First is not known.
	Possible []bisect.Commit `json:"possible,omitempty"`
	// Tested are the tested commits, in the order of the search.
	Tested []outcome `json:"tested"`
}

// headline says in one sentence what was found.
func (r bisectReport) headline() string {
	if r.First == nil {
		return fmt.Sprintf("%s fails from one of %d commits on", r.Scenario, len(r.Possible))
	}
	return fmt.Sprintf("%s fails from %s on", r.Scenario, r.First.Short())
}

// commits returns the first bad commit, or the commits of which one is the first bad one.
func (r bisectReport) commits() []string {
	all := r.Possible
	if r.First != nil {
		all = []bisect.Commit{*r.First}
	}
	var lines []string
	for _, c := range all {
		lines = append(lines, fmt.Sprintf("%s  %s (%s, %s)", c.ID, ui.Clip(c.Title, 200), c.Author, c.Date))
	}
	return lines
}

// failures returns titles and texts of the failures. Two failures of the same check are reported as
// one.
func (r bisectReport) failures() [][2]string {
	check := func(failure string) string { line, _, _ := strings.Cut(failure, "\n"); return line }
	switch {
	case r.First == nil:
		return [][2]string{{"With " + r.Bad, r.FailureAtBad}}
	case check(r.Failure) == check(r.FailureAtBad):
		return [][2]string{{"With this commit, and in the same way with " + r.Bad, r.Failure}}
	}
	return [][2]string{{"With this commit", r.Failure}, {"In another way, with " + r.Bad, r.FailureAtBad}}
}

// print writes the report for a person.
func (r bisectReport) print(out io.Writer) error {
	fmt.Fprintf(out, "%s\n\n  %s\n", r.headline(), strings.Join(r.commits(), "\n  "))
	for _, f := range r.failures() {
		fmt.Fprintf(out, "\n%s:\n  %s\n", f[0], strings.ReplaceAll(f[1], "\n", "\n  "))
	}
	fmt.Fprintln(out)
	w := ui.NewTable(out, "COMMIT", "VERDICT", "SECONDS", "TITLE", "WHY")
	for _, o := range r.Tested {
		w.Row(o.Commit.Short(), string(o.Verdict), fmt.Sprintf("%.0f", o.Seconds), ui.Clip(o.Commit.Title, 80), cmp.Or(ui.Clip(o.Why, 120), "-"))
	}
	return w.End()
}

func (r bisectReport) json(out io.Writer) error { return results.WriteJSON(out, r) }

// summary writes the report as Markdown, for a comment on a pull request.
func (r bisectReport) summary(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", results.Cell(r.headline()))
	fmt.Fprintf(&b, "Between %s, which is good, and %s, which is bad:\n\n", results.Cell(r.Good), results.Cell(r.Bad))
	for _, line := range r.commits() {
		fmt.Fprintf(&b, "- %s\n", results.Cell(line))
	}
	fmt.Fprintf(&b, "\n| Commit | Verdict | Seconds | Title | Why |\n|---|---|---|---|---|\n")
	for _, o := range r.Tested {
		fmt.Fprintf(&b, "| %s | %s | %.0f | %s | %s |\n", o.Commit.Short(), o.Verdict, o.Seconds, results.Cell(ui.Clip(o.Commit.Title, 80)), results.Cell(ui.Clip(o.Why, 200)))
	}
	for _, f := range r.failures() {
		results.Details(&b, f[0], f[1])
	}
	_, err := io.WriteString(out, b.String())
	return err
}
