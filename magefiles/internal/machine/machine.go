// Package machine checks whether this machine and its Docker engine can run an
// environment. env:up checks before it creates anything, and env:doctor prints all
// findings.
package machine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// Machine is this machine and its engine, as one environment needs them.
type Machine struct {
	// Environment is the environment's name.
	Environment string
	// Root is the repository's root.
	Root   string
	State  state.Dir
	Engine *engine.Engine
	Runner run.Runner
	// FreeDisk returns the bytes that a user may still write to a folder's file
	// system; the package's FreeDisk outside tests.
	FreeDisk func(dir string) (int64, error)
}

// Verdict says how much a finding matters to an environment.
type Verdict string

// Verdicts. With a Bad finding, no environment can come up.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning"
	Bad     Verdict = "bad"
)

// Finding is one thing that was checked.
type Finding struct {
	Check   string
	Verdict Verdict
	// Found is what the check found, and Cure what to do if that is not OK.
	Found, Cure string
}

// Judge returns a finding that is OK if err is nil, and otherwise has the given
// severity.
func Judge(check, found string, err error, severity Verdict, cure string) Finding {
	if err != nil {
		return Finding{check, severity, oneLine(err), cure}
	}
	return Finding{check, OK, found, cure}
}

// oneLine returns the cause in one line. For a process that failed that is the last
// line that it printed.
func oneLine(err error) string {
	if failed := new(run.Error); errors.As(err, &failed) {
		if said := strings.TrimSpace(string(failed.Output)); said != "" {
			return said[strings.LastIndexByte(said, '\n')+1:]
		}
	}
	if unreachable := new(net.OpError); errors.As(err, &unreachable) {
		return unreachable.Err.Error() // the cure names the command
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// Print prints the findings as a table. It returns an error if one of them is Bad.
func Print(out io.Writer, findings []Finding) error {
	w := ui.NewTable(out, "CHECK", "VERDICT", "FOUND", "CURE")
	ailing := 0
	for _, f := range findings {
		if f.Verdict == OK {
			f.Cure = ""
		}
		if f.Verdict == Bad {
			ailing++
		}
		w.Row(f.Check, string(f.Verdict), f.Found, f.Cure)
	}
	if err := w.End(); err != nil {
		return err
	}
	if ailing > 0 {
		return fmt.Errorf("%d of %d checks are bad; env:up will fail until they are cured", ailing, len(findings))
	}
	return nil
}
