package autoscaler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/run"
)

// helpLine matches a flag in the autoscaler's help.
var helpLine = regexp.MustCompile(`(?m)^\s+(?:-[A-Za-z], )?--([A-Za-z][A-Za-z0-9_.-]*)`)

// KnownFlags returns the names of the program's flags, from its help.
func KnownFlags(ctx context.Context, runner run.Runner, binary string) (map[string]bool, error) {
	res, err := runner.Run(ctx, run.Cmd{Name: binary, Args: []string{"--help"}})
	// The autoscaler prints its help and exits with a failure. At an interruption it
	// prints nothing.
	if exit := interface{ ExitCode() int }(nil); err != nil && (ctx.Err() != nil || !errors.As(err, &exit)) {
		return nil, fmt.Errorf("ask the autoscaler for its flags: %w", err)
	}
	known := parseHelp(string(res.Stdout) + string(res.Stderr))
	if !known["cloud-provider"] {
		return nil, errors.Join(fmt.Errorf("%s --help names no --cloud-provider: this is not a cluster autoscaler", binary), err)
	}
	return known, nil
}

func parseHelp(text string) map[string]bool {
	known := map[string]bool{}
	for _, match := range helpLine.FindAllStringSubmatch(text, -1) {
		known[strings.ReplaceAll(match[1], "_", "-")] = true
	}
	return known
}

// UnknownFlagError is returned for a flag that the autoscaler does not have.
type UnknownFlagError struct {
	Flag    string
	Release release.Autoscaler
	// First and Last are the releases that have the flag. Both are empty if no
	// known release has it, and Last is empty if the newest known one has it.
	First, Last string
	// Near are flags with similar names that the autoscaler has.
	Near []string
}

func (e *UnknownFlagError) Error() string {
	msg := fmt.Sprintf("--%s: this autoscaler (%s) has no such flag", e.Flag, e.Release)
	switch {
	case e.First != "" && e.Last != "":
		msg += fmt.Sprintf("; autoscalers from %s to %s have it", e.First, e.Last)
	case e.First != "":
		msg += fmt.Sprintf("; autoscalers from %s on have it", e.First)
	case e.Last != "":
		msg += fmt.Sprintf("; autoscalers up to %s have it", e.Last)
	}
	if len(e.Near) > 0 {
		msg += "; did you mean --" + strings.Join(e.Near, " or --") + "?"
	}
	return msg
}

// CheckFlags returns an *UnknownFlagError for each flag that is not known.
func CheckFlags(flags []Flag, known map[string]bool, a release.Autoscaler) error {
	var errs []error
	for _, f := range flags {
		if known[f.Name] {
			continue
		}
		since := history[f.Name]
		errs = append(errs, &UnknownFlagError{
			Flag: f.Name, Release: a, First: since.first, Last: since.last, Near: near(f.Name, known),
		})
	}
	return errors.Join(errs...)
}

// near returns at most two known names that differ from name in few letters.
func near(name string, known map[string]bool) []string {
	type candidate struct {
		name     string
		distance int
	}
	var all []candidate
	for k := range known {
		if d := levenshtein.ComputeDistance(name, k); d <= max(1, len(name)/6) {
			all = append(all, candidate{k, d})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	var names []string
	for _, c := range all[:min(2, len(all))] {
		names = append(names, c.name)
	}
	return names
}
