// Package machine checks whether this machine and its Docker engine can run an
// environment. env:up checks before it creates anything, and env:doctor prints all
// findings.
package machine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// Host has the functions with which the checks look at this machine.
type Host struct {
	// FreeDisk returns the bytes that a user may still write to a folder's file system.
	// FreeMemory returns the bytes of memory that new processes can use.
	FreeDisk   func(dir string) (int64, error)
	FreeMemory func() (int64, error)
	// ReadLimit returns a limit. Its error wraps errors.ErrUnsupported on systems other
	// than Linux.
	ReadLimit func(Limit) (uint64, error)
	// Getenv returns an environment variable of this process.
	Getenv func(string) string
}

// RealHost is this machine.
func RealHost() Host {
	return Host{FreeDisk: freeDisk, FreeMemory: freeMemory, ReadLimit: readLimit, Getenv: os.Getenv}
}

// Machine is this machine and its engine, as one environment needs them.
type Machine struct {
	// Environment is the environment's name.
	Environment string
	// Root is the repository's root.
	Root   string
	State  state.Dir
	Engine *engine.Engine
	Runner run.Runner
	Host
	// ClusterAPI and Kubernetes are the releases that the environment has.
	ClusterAPI release.Release
	Kubernetes release.Kubernetes
	// Workers is the number of the environment's workers.
	Workers int
	// Present is how many of the environment's nodes are there already, with their disk.
	Present int
	// BuildsImage reports whether the node image has to be built or pulled first.
	BuildsImage bool
	// PullsImages reports whether nodes pull images while the environment comes up.
	PullsImages bool
	// PodRange and ServiceRange are the environment's own ranges of addresses.
	PodRange, ServiceRange netip.Prefix
}

// nodes returns how many nodes exist at the same time while the environment comes up: the
// management cluster's, the control plane's and the workers.
func (m Machine) nodes() int { return 2 + m.Workers }

// missing returns how many nodes with managers and how many workers have to be created.
// Workers are created last.
func (m Machine) missing() (managers, workers int) {
	return max(0, 2-m.Present), min(m.Workers, max(0, m.nodes()-m.Present))
}

// Verdict says how much a finding matters to an environment.
type Verdict string

// Verdicts. A Note is for information: nothing has to be done. With a Failure, no
// environment can come up.
const (
	OK      Verdict = "ok"
	Note    Verdict = "note"
	Warning Verdict = "warning"
	Failure Verdict = "failure"
)

// Finding is one thing that was checked.
type Finding struct {
	Check   string
	Verdict Verdict
	// Found is what the check found. ToDo is what the user can do about a Warning or a
	// Failure.
	Found, ToDo string
	// Err, if not nil, is the cause of a Warning or a Failure.
	Err error
}

// Error returns the error of a command that cannot go on because of the finding.
func (f Finding) Error() error {
	if f.Err != nil {
		return f.Err
	}
	return fmt.Errorf("%s: %s; %s", f.Check, f.Found, f.ToDo)
}

// problem is what is wrong with the machine, and what the user can do about it.
type problem struct{ found, cure string }

func (p *problem) Error() string { return p.found + "; " + p.cure }

// Judge returns a finding that is OK if err is nil, and otherwise has the given
// severity. toDo is for an error that names no cure itself.
func Judge(check, found string, err error, severity Verdict, toDo string) Finding {
	if err == nil {
		return Finding{Check: check, Verdict: OK, Found: found}
	}
	if p := new(problem); errors.As(err, &p) {
		return Finding{Check: check, Verdict: severity, Found: p.found, ToDo: p.cure, Err: err}
	}
	return Finding{Check: check, Verdict: severity, Found: oneLine(err), ToDo: toDo, Err: err}
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
		return unreachable.Err.Error() // ToDo names the command
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// Print prints the findings as a table, how many of each verdict there are, and next, which
// says what to type, if there is no Failure. If one of them is a Failure, it returns an error,
// which says to type again after a cure.
func Print(out io.Writer, findings []Finding, next, again string) error {
	w := ui.NewTable(out, "CHECK", "VERDICT", "FOUND", "TO DO")
	count := map[Verdict]int{}
	for _, f := range findings {
		if f.Verdict == OK || f.Verdict == Note {
			f.ToDo = ""
		}
		count[f.Verdict]++
		w.Row(f.Check, string(f.Verdict), f.Found, f.ToDo)
	}
	if err := w.End(); err != nil {
		return err
	}
	parts := []string{fmt.Sprintf("%d ok", count[OK])}
	for _, v := range []Verdict{Note, Warning, Failure} {
		parts = append(parts, number(count[v], string(v)))
	}
	if _, err := fmt.Fprintf(out, "\n%s: %s\n", number(len(findings), "check"), strings.Join(parts, ", ")); err != nil {
		return err
	}
	if failed := count[Failure]; failed > 0 {
		return fmt.Errorf("%d of %d checks failed, so env:up would fail; do what the column TO DO says, then type: %s", failed, len(findings), again)
	}
	_, err := fmt.Fprintln(out, next)
	return err
}

// number returns a count with a noun, in the plural unless the count is 1.
func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
