package results

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Findings about a scenario that ran several times.
const (
	// Passes is for a scenario that passed every time.
	Passes = "passes"
	// Flaky is for one that passed at least once and failed at least once.
	Flaky = "flaky"
	// Broken is for one that failed so often that its pass rate is below 50 %.
	Broken = "broken"
	// Unclear is for one that failed every time, in too few runs to tell flaky from broken.
	Unclear = "unclear"
)

// Repeat is what several runs of one scenario say together.
type Repeat struct {
	Name string `json:"name"`
	// Finding is one of the findings above.
	Finding string `json:"finding"`
	// Runs is the number of runs that came to a verdict, and Passed how many of them
	// passed. A known failure did not pass.
	Runs   int `json:"runs"`
	Passed int `json:"passed"`
	// Low and High bound the pass rate, in percent, with a confidence of at least 95 %: Low is
	// rounded down, and High up.
	Low  int `json:"low"`
	High int `json:"high"`
	// Failures are the failed checks, the most frequent one first.
	Failures []Failures `json:"failures,omitempty"`
	Seconds  Spread     `json:"seconds"`
}

// Failures are the runs in which the same check failed.
type Failures struct {
	// Check is the step and the check, or another error, in one line.
	Check string `json:"check"`
	Times int    `json:"times"`
	// Runs are the numbers of the runs, from 1.
	Runs []int `json:"runs"`
	// Known is why upstream is known to fail like this.
	Known string `json:"known,omitempty"`
	// example is the whole text of the first failure.
	example string
}

// Spread is the range and the median of measured values, here seconds.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// repeated reports whether every scenario ran several times.
func (r *Results) repeated() bool { return r.Repeat > 1 }

// Repeats returns what the runs of each scenario say together, in the order of the
// scenarios. A scenario without a verdict is left out.
func (r *Results) Repeats() []Repeat {
	var names []string
	runs := map[string][]Result{}
	for _, s := range r.Scenarios {
		if !ran(&s) {
			continue
		}
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
		runs[s.Name] = append(runs[s.Name], s)
	}
	var all []Repeat
	for _, name := range names {
		all = append(all, repeatOf(name, runs[name]))
	}
	return all
}

// repeatOf sums up the runs of one scenario, of which there is at least one.
func repeatOf(name string, runs []Result) Repeat {
	p := Repeat{Name: name, Runs: len(runs)}
	var seconds []float64
	for _, r := range runs {
		seconds = append(seconds, r.Seconds)
		if r.Verdict.Passes() {
			p.Passed++
			continue
		}
		check, _, _ := strings.Cut(r.Failure, "\n")
		i := slices.IndexFunc(p.Failures, func(f Failures) bool { return f.Check == check && f.Known == r.Known })
		if i < 0 {
			i = len(p.Failures)
			p.Failures = append(p.Failures, Failures{Check: check, Known: r.Known, example: r.Failure})
		}
		p.Failures[i].Times++
		p.Failures[i].Runs = append(p.Failures[i].Runs, r.Run)
	}
	slices.SortStableFunc(p.Failures, func(a, b Failures) int { return b.Times - a.Times })
	p.Seconds = Spread{Min: slices.Min(seconds), Median: Median(seconds), Max: slices.Max(seconds)}
	low, high := passRate(p.Passed, p.Runs)
	p.Low, p.High = int(math.Floor(100*low)), int(math.Ceil(100*high))
	switch {
	case p.Passed == p.Runs:
		p.Finding = Passes
	case p.Passed > 0:
		p.Finding = Flaky
	case high < 0.5:
		p.Finding = Broken
	default:
		p.Finding = Unclear
	}
	return p
}

// Median returns the median of values, of which there is at least one.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// passRate returns bounds of the probability that a run passes, if passed of n runs have passed:
// the interval of Clopper and Pearson (Biometrika 26, 1934) with a confidence of 95 %. It is exact
// for few runs too, where approximations are too narrow.
func passRate(passed, n int) (low, high float64) {
	const tail = 0.025 // on each side
	// The first probability grows with p, and the second one falls.
	if passed > 0 {
		low = bisect(func(p float64) bool { return atMost(n-passed, n, 1-p) < tail })
	}
	high = 1
	if passed < n {
		high = bisect(func(p float64) bool { return atMost(passed, n, p) > tail })
	}
	return low, high
}

// bisect returns the number between 0 and 1 up to which below returns true. At 0, below must be
// true.
func bisect(below func(float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 60 {
		if middle := (low + high) / 2; below(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// atMost returns the probability of at most k successes in n trials, each of which
// succeeds with the probability p, 0 < p < 1.
func atMost(k, n int, p float64) float64 {
	factorial := func(m int) float64 { log, _ := math.Lgamma(float64(m + 1)); return log }
	sum := 0.0
	for i := range k + 1 {
		sum += math.Exp(factorial(n) - factorial(i) - factorial(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}

// Text says in one sentence how often the scenario passed, and the finding.
func (p Repeat) Text() string {
	passed := fmt.Sprintf("passed %d of %d; the pass rate is between %d %% and %d %% (95 %% confidence)", p.Passed, p.Runs, p.Low, p.High)
	switch p.Finding {
	case Passes:
		return passed
	case Unclear:
		return passed + "; more runs are needed to tell flaky from broken"
	default:
		return p.Finding + ": " + passed
	}
}

// seconds says how long the runs took.
func (s Spread) seconds() string {
	return fmt.Sprintf("%.0f to %.0f, median %.0f", s.Min, s.Max, s.Median)
}

// mark returns the sign in front of a finding.
func (p Repeat) mark() string {
	switch p.Finding {
	case Passes:
		return Passed.Mark()
	case Flaky:
		return "!"
	default:
		return Failed.Mark()
	}
}

// text says how often a check failed.
func (f Failures) text() string {
	times := fmt.Sprintf("%d times", f.Times)
	if f.Times == 1 {
		times = "once"
	}
	text := times + ": " + f.Check
	if f.Known != "" {
		text += "; known: " + f.Known
	}
	return text
}

// repeatTable writes what the runs of each scenario say together.
func (r *Results) repeatTable(out io.Writer) error {
	var b strings.Builder
	for _, p := range r.Repeats() {
		fmt.Fprintf(&b, "%s %s: %s\n    seconds: %s\n", p.mark(), p.Name, p.Text(), p.Seconds.seconds())
		for _, f := range p.Failures {
			fmt.Fprintf(&b, "    %s\n", clip(f.text(), 200))
		}
	}
	for _, s := range r.Scenarios {
		if !ran(&s) {
			fmt.Fprintf(&b, "%s %s: %s: %s\n", s.Verdict.Mark(), s.label(), s.Verdict, clip(s.why(), 200))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// repeatSummary writes the same as Markdown, with the first failure of each kind.
func (r *Results) repeatSummary(b *strings.Builder) {
	fmt.Fprintf(b, "| Scenario | Passed | Seconds | Failures |\n|---|---|---|---|\n")
	repeats := r.Repeats()
	for _, p := range repeats {
		var failures []string
		for _, f := range p.Failures {
			failures = append(failures, Cell(clip(f.text(), 200)))
		}
		fmt.Fprintf(b, "| %s | %s %s | %s | %s |\n", Cell(p.Name), p.mark(), Cell(p.Text()), p.Seconds.seconds(), strings.Join(failures, "<br>"))
	}
	for _, s := range r.Scenarios {
		if !ran(&s) {
			fmt.Fprintf(b, "| %s | %s %s | - | %s |\n", Cell(s.label()), s.Verdict.Mark(), s.Verdict, Cell(clip(s.why(), 200)))
		}
	}
	for _, p := range repeats {
		for _, f := range p.Failures {
			Details(b, fmt.Sprintf("%s, run %d", p.Name, f.Runs[0]), f.example)
		}
	}
}

// label returns the name of the scenario, with the number of the run if there are several.
func (r Result) label() string {
	if r.Run == 0 {
		return r.Name
	}
	return fmt.Sprintf("%s, run %d", r.Name, r.Run)
}

// withRepeats adds to the JSON what the runs of each scenario say together.
type withRepeats struct {
	*Results
	Repeats []Repeat `json:"repeats"`
}
