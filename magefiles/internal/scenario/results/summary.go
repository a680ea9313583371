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
	fmt.Fprintf(&b, "With %s, in %.0f s", cell(r.autoscaler()), r.Seconds)
	for _, name := range sortedKeys(r.Versions) {
		fmt.Fprintf(&b, "; %s %s", cell(name), cell(r.Versions[name]))
	}
	fmt.Fprintf(&b, ".\n\n| Scenario | Verdict | Seconds | Why |\n|---|---|---|---|\n")
	for _, s := range r.Scenarios {
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s |\n", cell(s.Name), s.Verdict.Mark(), s.Verdict, duration(s), cell(clip(s.why(), 200)))
	}
	for _, s := range r.Scenarios {
		details(&b, s.Name, s.Failure)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// details writes a failure as a block that a reader unfolds.
func details(b *strings.Builder, title, failure string) {
	if failure == "" {
		return
	}
	// The fence is longer than any fence in the text, which therefore cannot end
	// the block.
	fence := "```"
	for strings.Contains(failure, fence) {
		fence += "`"
	}
	fmt.Fprintf(b, "\n<details><summary>%s</summary>\n\n%s\n%s\n%s\n\n</details>\n", cell(title), fence, printable(failure), fence)
}

// cell escapes text for a cell of a Markdown table.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", ">", "&gt;").Replace(printable(text))
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
