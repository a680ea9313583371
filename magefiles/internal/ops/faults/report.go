package faults

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// Result is what came of a fault.
type Result struct {
	Fault   string  `json:"fault"`
	Did     string  `json:"did"`
	Verdict verdict `json:"verdict"`
	// Came is what the fault did at once, and why it ended badly.
	Came string `json:"came"`
	// Kept says what is still there.
	Kept string `json:"kept,omitempty"`
	// Seconds are those of the repair, or of the removal.
	Seconds float64 `json:"seconds"`
}

func (r Result) String() string {
	return fmt.Sprintf("%s: %s in %.0f s: %s", r.Fault, r.Verdict, r.Seconds, strings.Join(slices.DeleteFunc([]string{r.Came, r.Kept}, func(s string) bool { return s == "" }), "; "))
}

func (r Result) cells() []string {
	return []string{r.Fault, string(r.Verdict), fmt.Sprintf("%.0f", r.Seconds), cmp.Or(r.Came, "-"), cmp.Or(r.Kept, "-")}
}

// report has all results.
type report struct {
	Seed    int      `json:"seed"`
	Down    bool     `json:"down"`
	Results []Result `json:"results"`
}

var header = []string{"FAULT", "ENDED", "SECONDS", "WHAT CAME OF IT", "AFTERWARDS"}

// count returns the numbers of results with each verdict.
func (r report) count() map[verdict]int {
	counts := map[verdict]int{}
	for _, result := range r.Results {
		counts[result.Verdict]++
	}
	return counts
}

// summary says how many faults were tried, and how they ended.
func (r report) summary() string {
	n := r.count()
	text := fmt.Sprintf("%d faults tried, %d ended well at first", n[atFirst]+n[later]+n[bad], n[atFirst])
	for _, v := range []verdict{later, bad, skipped, interrupted} {
		if n[v] > 0 {
			text += fmt.Sprintf(", %d %s", n[v], v)
		}
	}
	return text
}

// err returns an error if a fault ended badly.
func (r report) err() error {
	var names []string
	for _, result := range r.Results {
		if result.Verdict == bad {
			names = append(names, result.Fault)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("ended badly: %s", strings.Join(names, ", "))
}

// report prints the results, and writes them into the folder out.
func (f *Faults) report(r report, out string) error {
	for i := range r.Results {
		r.Results[i].Came = redact.Text(r.Results[i].Came)
	}
	w := ui.NewTable(f.Out, header...)
	for _, result := range r.Results {
		w.Row(result.cells()...)
	}
	err := w.End()
	fmt.Fprintf(f.Out, "\n%s\n", r.summary())
	if out != "" {
		f.Log.Printf("summary.md, results.json and output.txt are in %s", out)
		err = errors.Join(err, state.WriteJSON(filepath.Join(out, "results.json"), r),
			state.WriteFile(filepath.Join(out, "summary.md"), []byte(r.markdown()), 0o644))
	}
	return errors.Join(err, r.err())
}

func (r report) markdown() string {
	var text strings.Builder
	line := func(cells []string) { fmt.Fprintf(&text, "| %s |\n", strings.Join(cells, " | ")) }
	fmt.Fprintf(&text, "### Faults\n\n%s. The seed is %d.\n\n", r.summary(), r.Seed)
	line(header)
	text.WriteString(strings.Repeat("|---", len(header)) + "|\n")
	for _, result := range r.Results {
		cells := result.cells()
		for i, cell := range cells {
			cells[i] = strings.ReplaceAll(cell, "|", `\|`)
		}
		line(cells)
	}
	return text.String()
}
