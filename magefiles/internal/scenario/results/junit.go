package results

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

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
