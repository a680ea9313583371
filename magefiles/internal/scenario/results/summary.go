package results

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Summary writes the results as Markdown, for a comment on a pull request.
func Summary(out io.Writer, r *Results) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### Autoscaler scenarios: %s\n\n", r.count())
	fmt.Fprintf(&b, "With %s, in %.0f s", Cell(r.autoscaler()), r.Seconds)
	for _, name := range sortedKeys(r.Versions) {
		fmt.Fprintf(&b, "; %s %s", Cell(name), Cell(r.Versions[name]))
	}
	fmt.Fprintf(&b, ".\n\n")
	if r.repeated() {
		r.repeatSummary(&b)
	} else {
		r.verdictSummary(&b)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// verdictSummary writes a line for each scenario, and the failures.
func (r *Results) verdictSummary(b *strings.Builder) {
	fmt.Fprintf(b, "| Scenario | Machines | Verdict | Seconds | Why |\n|---|---|---|---|---|\n")
	for _, s := range r.Scenarios {
		fmt.Fprintf(b, "| %s | %s | %s %s | %s | %s |\n", Cell(s.Name), s.machines(), s.Verdict.Mark(), s.Verdict, duration(s), Cell(clip(s.why(), 200)))
	}
	for _, s := range r.Scenarios {
		Details(b, s.Name, s.Failure)
		Details(b, s.Name+", at the same time as others", s.Beside)
	}
}

// Details writes a failure as a block that a reader unfolds.
func Details(b *strings.Builder, title, failure string) {
	if failure == "" {
		return
	}
	// The fence is longer than any fence in the text, which therefore cannot end
	// the block.
	fence := "```"
	for strings.Contains(failure, fence) {
		fence += "`"
	}
	fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n%s\n%s\n%s\n\n</details>\n", Cell(title), fence, printable(failure), fence)
}

// Cell escapes text for a cell of a Markdown table.
func Cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", ">", "&gt;").Replace(printable(text))
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
