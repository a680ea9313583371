package results

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Comparison is a comparison of two runs. Its JSON is as stable as that of Results.
type Comparison struct {
	// A and B are the names of the autoscalers.
	A string `json:"a"`
	B string `json:"b"`
	// Scenarios are the scenarios of both runs: first those with different verdicts,
	// then those with a step that took much longer in one run, then the others.
	Scenarios []Pair `json:"scenarios"`
}

// Pair is one scenario in both runs.
type Pair struct {
	Name string `json:"name"`
	// Difference is "verdict", "seconds", or empty.
	Difference string `json:"difference,omitempty"`
	// A and B are the results; null if the run did not have the scenario.
	A *Result `json:"a"`
	B *Result `json:"b"`
	// Steps are the steps that took much longer in one run.
	Steps []StepPair `json:"steps,omitempty"`
}

// StepPair is a step in both runs, with its seconds.
type StepPair struct {
	Say string  `json:"say"`
	A   float64 `json:"a"`
	B   float64 `json:"b"`
}

// The values of Pair.Difference.
const (
	differsInVerdict = "verdict"
	differsInSeconds = "seconds"
)

// A step took much longer if it took muchLonger times as long and muchSeconds more,
// which is more than a round of the autoscaler.
const (
	muchLonger  = 1.5
	muchSeconds = 11
)

// Compare compares two runs.
func Compare(a, b *Results) *Comparison {
	c := &Comparison{A: a.autoscaler(), B: b.autoscaler()}
	var names []string
	find := func(r *Results, name string) *Result {
		for i := range r.Scenarios {
			if r.Scenarios[i].Name == name {
				return &r.Scenarios[i]
			}
		}
		return nil
	}
	for _, s := range slices.Concat(a.Scenarios, b.Scenarios) {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		p := Pair{Name: name, A: find(a, name), B: find(b, name)}
		switch {
		case p.A == nil || p.B == nil || p.A.Verdict != p.B.Verdict:
			p.Difference = differsInVerdict
		default:
			if p.Steps = slower(p.A.Steps, p.B.Steps); len(p.Steps) > 0 {
				p.Difference = differsInSeconds
			}
		}
		c.Scenarios = append(c.Scenarios, p)
	}
	rank := map[string]int{differsInVerdict: 0, differsInSeconds: 1, "": 2}
	slices.SortStableFunc(c.Scenarios, func(x, y Pair) int { return rank[x.Difference] - rank[y.Difference] })
	return c
}

// slower returns the steps that took much longer in one of the runs. The set-up does
// not count, because the autoscaler does nothing in it.
func slower(a, b []StepResult) []StepPair {
	var pairs []StepPair
	for i := 1; i < min(len(a), len(b)); i++ {
		if a[i].Say != b[i].Say || !a[i].Passed || !b[i].Passed {
			continue
		}
		less, more := min(a[i].Seconds, b[i].Seconds), max(a[i].Seconds, b[i].Seconds)
		if more > muchLonger*less && more-less > muchSeconds {
			pairs = append(pairs, StepPair{a[i].Say, a[i].Seconds, b[i].Seconds})
		}
	}
	return pairs
}

// Differences returns the number of scenarios with different verdicts.
func (c *Comparison) Differences() int {
	n := 0
	for _, p := range c.Scenarios {
		if p.Difference == differsInVerdict {
			n++
		}
	}
	return n
}

// ran reports whether a scenario ran to its end.
func ran(r *Result) bool { return r != nil && r.Verdict != Skipped && r.Verdict != Interrupted }

// Compared returns the number of scenarios that ran with both autoscalers.
func (c *Comparison) Compared() int {
	n := 0
	for _, p := range c.Scenarios {
		if ran(p.A) && ran(p.B) {
			n++
		}
	}
	return n
}

// Worse returns the scenarios that ran with both autoscalers and failed with B only.
// A known failure does not count as failed.
func (c *Comparison) Worse() []string {
	var names []string
	for _, p := range c.Scenarios {
		if ran(p.A) && p.A.Verdict != Failed && ran(p.B) && p.B.Verdict == Failed {
			names = append(names, p.Name)
		}
	}
	return names
}

// verdict returns the verdict and the seconds of a scenario in one run.
func verdict(r *Result) string {
	if r == nil {
		return "not run"
	}
	if r.Verdict == Skipped {
		return string(Skipped)
	}
	return fmt.Sprintf("%s %s %ss", r.Verdict.Mark(), r.Verdict, duration(*r))
}

// what says in one line how the runs differ.
func (p Pair) what() string {
	switch p.Difference {
	case differsInVerdict:
		var parts []string
		for i, r := range []*Result{p.A, p.B} {
			if r != nil && r.why() != "" {
				parts = append(parts, string(rune('A'+i))+": "+clip(r.why(), 160))
			}
		}
		return strings.Join(parts, "; ")
	case differsInSeconds:
		var parts []string
		for _, s := range p.Steps {
			parts = append(parts, fmt.Sprintf("%s: %.0f s and %.0f s", s.Say, s.A, s.B))
		}
		return strings.Join(parts, "; ")
	default:
		return ""
	}
}

func (c *Comparison) headline() string {
	switch n := c.Differences(); n {
	case 0:
		return "the verdicts are the same"
	case 1:
		return "1 scenario has different verdicts"
	default:
		return fmt.Sprintf("%d scenarios have different verdicts", n)
	}
}

// Table writes a line for each scenario, those with differences first.
func (c *Comparison) Table(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "A is %s, B is %s: %s\n\n", c.A, c.B, c.headline()); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SCENARIO\tDIFFERS IN\tA\tB\tHOW")
	for _, p := range c.Scenarios {
		differs := p.Difference
		if differs == "" {
			differs = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Name, differs, verdict(p.A), verdict(p.B), p.what())
	}
	return w.Flush()
}

// JSON writes the comparison.
func (c *Comparison) JSON(out io.Writer) error { return WriteJSON(out, c) }

// Summary writes the comparison as Markdown, for a comment on a pull request.
func (c *Comparison) Summary(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### Autoscaler scenarios: %s\n\n", c.headline())
	fmt.Fprintf(&b, "A is %s, B is %s.\n\n", Cell(c.A), Cell(c.B))
	fmt.Fprintf(&b, "| Scenario | A | B | Difference |\n|---|---|---|---|\n")
	for _, p := range c.Scenarios {
		name := Cell(p.Name)
		if p.Difference != "" {
			name = "**" + name + "**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, Cell(verdict(p.A)), Cell(verdict(p.B)), Cell(p.what()))
	}
	for _, p := range c.Scenarios {
		if p.Difference != differsInVerdict {
			continue
		}
		for i, r := range []*Result{p.A, p.B} {
			if r != nil {
				Details(&b, fmt.Sprintf("%s with %s", p.Name, string(rune('A'+i))), r.Failure)
			}
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
