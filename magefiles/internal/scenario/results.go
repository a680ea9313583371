package scenario

import (
	"encoding/json"
	"encoding/xml"
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

func (v Verdict) mark() string {
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
	Name    string    `json:"name"`
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

	// broke is a failure that is not of a step: of the set-up or the clean-up,
	// or a stop.
	broke bool
}

// StepResult is what came of one step; the first is the set-up.
type StepResult struct {
	Say     string  `json:"say"`
	Passed  bool    `json:"passed"`
	Seconds float64 `json:"seconds"`
}

func seconds(d time.Duration) float64 { return d.Round(100 * time.Millisecond).Seconds() }

func (r *Result) add(say string, took time.Duration, err error) {
	r.Steps = append(r.Steps, StepResult{Say: say, Passed: err == nil, Seconds: seconds(took)})
}

// fail notes a failure beside those that there are.
func (r *Result) fail(say string, err error) {
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

// FailedError names the scenarios that failed.
type FailedError struct{ Names []string }

func (e *FailedError) Error() string {
	if len(e.Names) == 1 {
		return fmt.Sprintf("1 scenario failed: %s; run it again, with the options of this run: go tool mage scenario:run %[1]s", e.Names[0])
	}
	return fmt.Sprintf("%d scenarios failed: %s; run one again, with the options of this run: go tool mage scenario:run %s", len(e.Names), strings.Join(e.Names, ", "), e.Names[0])
}

// Err is nil if no scenario failed; a *FailedError otherwise.
func (r *Results) Err() error {
	var names []string
	for _, s := range r.Scenarios {
		if s.Verdict == Failed {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &FailedError{Names: names}
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
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\n", s.Name, s.Verdict.mark(), s.Verdict, took(s), clip(s.why(), 120))
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

// The elements of JUnit's report, as CI systems read it.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure,omitempty"`
		Skipped *junitMessage `xml:"skipped,omitempty"`
		Out     *junitText    `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	junitText struct {
		Text string `xml:",chardata"`
	}
)

// JUnit writes the results as a report of one suite. A known failure is a
// skipped case there, with the evidence as its output: a report knows no other
// way to say that nobody needs to act.
func (r *Results) JUnit(out io.Writer) error {
	suite := junitSuite{
		Name: "cluster-autoscaler scenarios", Tests: len(r.Scenarios), Time: fmt.Sprintf("%.1f", r.Seconds),
		Timestamp:  r.Started.UTC().Format("2006-01-02T15:04:05"),
		Properties: []junitProperty{{"autoscaler", printable(r.Autoscaler)}, {"autoscaler.release", printable(r.Release)}},
	}
	for _, name := range sortedKeys(r.Versions) {
		suite.Properties = append(suite.Properties, junitProperty{printable(name), printable(r.Versions[name])})
	}
	for _, s := range r.Scenarios {
		c := junitCase{Name: s.Name, Class: "scenario", Time: fmt.Sprintf("%.1f", s.Seconds)}
		switch s.Verdict {
		case Failed:
			suite.Failures++
			c.Failure = &junitMessage{printable(s.Why), printable(s.Failure)}
		case Skipped:
			suite.Skipped++
			c.Skipped = &junitMessage{Message: printable(s.Why)}
		case KnownFailure:
			suite.Skipped++
			c.Skipped = &junitMessage{Message: printable("known failure: " + s.Known)}
			c.Out = &junitText{printable(s.Failure)}
		case UnexpectedPass:
			c.Out = &junitText{printable("passed, though it is known to fail: " + s.Known)}
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(out)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suites: []junitSuite{suite}}); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	_, err := fmt.Fprintln(out)
	return err
}

// printable drops what XML cannot hold, such as the colours of a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == '\uFFFE' || r == '\uFFFF' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
