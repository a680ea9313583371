package results

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// JUnit writes the results as a JUnit report with one suite. A known failure is
// a skipped case there, with the evidence as its output: the format has no other
// way to say that nobody needs to act.
func (r *Results) JUnit(out io.Writer) error {
	suite := junit.Testsuite{
		Name: "cluster-autoscaler scenarios", Time: fmt.Sprintf("%.1f", r.Seconds),
		Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"), // the schema has no time zone
	}
	suite.AddProperty("autoscaler", printable(r.Autoscaler))
	suite.AddProperty("autoscaler.release", printable(r.Release))
	for _, name := range sortedKeys(r.Versions) {
		suite.AddProperty(printable(name), printable(r.Versions[name]))
	}
	for _, s := range r.Scenarios {
		c := junit.Testcase{Name: s.label(), Classname: "scenario", Time: fmt.Sprintf("%.1f", s.Seconds)}
		switch s.Verdict {
		case Failed:
			c.Failure = &junit.Result{Message: printable(s.Why), Data: printable(s.Failure)}
		case Skipped:
			c.Skipped = &junit.Result{Message: printable(s.Why)}
		case Interrupted:
			c.Skipped = &junit.Result{Message: printable("interrupted: " + s.Why)}
			c.SystemOut = &junit.Output{Data: printable(s.Failure)}
		case KnownFailure:
			c.Skipped = &junit.Result{Message: printable("known failure: " + s.Known)}
			c.SystemOut = &junit.Output{Data: printable(s.Failure)}
		case UnexpectedPass:
			c.SystemOut = &junit.Output{Data: printable("passed, though it is known to fail: " + s.Known)}
		}
		suite.AddTestcase(c)
	}
	var all junit.Testsuites
	all.AddSuite(suite)
	if _, err := io.WriteString(out, xml.Header); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	e := xml.NewEncoder(out)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	_, err := fmt.Fprintln(out)
	return err
}

// printable removes characters that XML does not allow, such as those of a
// terminal's colours.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == '\uFFFE' || r == '\uFFFF' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
