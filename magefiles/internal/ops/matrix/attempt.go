package matrix

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"caslab/magefiles/internal/capi/release/proof"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/redact"
	"caslab/magefiles/internal/scenario/results"
	"caslab/magefiles/internal/ui"
)

// verdict is the outcome of a row's trial.
type verdict string

// Only rows that ran or failed are recorded. A row that this machine refuses, or whose
// sources it cannot fetch, was not tried: that says nothing about the releases.
const (
	notBegun    verdict = "not begun"
	notTried    verdict = "not tried"
	interrupted verdict = "interrupted"
	failed      verdict = "failed"
	ran         verdict = "ran"
)

func (v verdict) mark() string {
	switch v {
	case ran:
		return results.Passed.Mark()
	case failed, notTried:
		return results.Failed.Mark()
	default:
		return results.Skipped.Mark()
	}
}

// attempt is one trial of a row.
type attempt struct {
	row
	lab   *lab.Lab
	trial Trial
	// out is the folder of the scenario's results, or empty.
	out string

	verdict verdict
	// seconds has the durations of the parts that passed. built and up report whether the
	// build and the bring-up passed.
	seconds   proof.Seconds
	built, up bool
	// why is the reason for a verdict other than ran, in one line. err has the whole text.
	why string
	err error
}

// How long a row usually takes on 2 cores: its build if nothing of it is there, and the
// rest.
const (
	buildUsually = 10 * time.Minute
	restUsually  = 6 * time.Minute
)

// usually returns how long the row took before, or usually takes.
func (a *attempt) usually() time.Duration {
	return cmp.Or(time.Duration(a.before.Seconds.Build)*time.Second, buildUsually) + restUsually
}

// downTimeout bounds the removal of the row's environment.
const downTimeout = 10 * time.Minute

// run tries the row, and removes its environment at the end, also if ctx ended.
func (a *attempt) run(ctx context.Context) {
	begun, part, err := a.parts(ctx)
	clean, cancel := interrupt.Cleanup(ctx, downTimeout)
	defer cancel()
	down := a.trial.Down(clean)
	a.err = errors.Join(err, down)
	if err == nil {
		part, err = "env:down", down
	}
	switch {
	case ctx.Err() != nil:
		a.verdict, a.why, a.err = interrupted, context.Cause(ctx).Error(), down
	case err == nil:
		a.verdict = ran
	case !begun:
		a.verdict, a.why = notTried, a.oneLine(part, err)
	default:
		a.verdict, a.why = failed, a.oneLine(part, err)
	}
}

// parts does the parts of the row until one fails. It returns the name of that part. begun
// is false if a part failed before the build.
func (a *attempt) parts(ctx context.Context) (begun bool, part string, err error) {
	for _, p := range []struct {
		name string
		do   func(context.Context) error
		// took, if set, gets the seconds of the part, and passed becomes true.
		took   *int
		passed *bool
		// first is set for the parts before the row begins.
		first bool
	}{
		{name: "check of the machine", do: a.trial.Check, first: true},
		{name: "removal of what an earlier run left", do: a.trial.Down, first: true},
		{name: "source:fetch", do: a.trial.Fetch, first: true},
		{name: "image:node", do: a.trial.Build, took: &a.seconds.Build, passed: &a.built},
		{name: "autoscaler:build", do: a.trial.BuildAutoscaler},
		{name: "env:up", do: a.trial.Up, took: &a.seconds.Up, passed: &a.up},
		{name: "env:status", do: a.trial.Status},
		{name: "scenario:run", do: a.scale},
	} {
		begun = begun || !p.first
		if ctx.Err() != nil {
			return begun, p.name, context.Cause(ctx)
		}
		start := a.lab.Now()
		if err := p.do(ctx); err != nil {
			return begun, p.name, err
		}
		if p.took != nil {
			*p.took, *p.passed = seconds(a.lab.Now().Sub(start).Seconds()), true
		}
	}
	return true, "", nil
}

func seconds(s float64) int { return int(math.Round(s)) }

// scale scales a group up and down.
func (a *attempt) scale(ctx context.Context) error {
	s := a.scaling()
	came, err := a.trial.Scale(ctx, s.scenario, a.out)
	if err != nil {
		return err
	}
	a.seconds.ScaleUp, a.seconds.ScaleDown, err = s.seconds(came)
	return err
}

// scaling is a scenario that scales a group up and down, and the steps that do it.
type scaling struct{ scenario, up, down string }

// An autoscaler that cannot scale up an empty group gets a group of one node.
var (
	fromZero = scaling{"from-zero-and-back", "a pod finds no room, and the group is empty", "the pod goes"}
	fromOne  = scaling{"up-and-down-from-one", "one of two pods finds no room", "the pods go"}
)

// seconds returns how long the two steps took. It returns an error unless the scenario
// passed.
func (s scaling) seconds(came *results.Results) (up, down int, err error) {
	for _, r := range came.Scenarios {
		if r.Verdict != results.Passed {
			return 0, 0, fmt.Errorf("%s: %s: %s", r.Name, r.Verdict, cmp.Or(r.Why, r.Known))
		}
		for _, step := range r.Steps {
			switch step.Say {
			case s.up:
				up = seconds(step.Seconds)
			case s.down:
				down = seconds(step.Seconds)
			}
		}
	}
	return up, down, nil
}

// maxReason is the longest reason that is recorded, in characters.
const maxReason = 240

// oneLine returns the first line of an error after the part that failed. It contains no
// credentials, no control characters and no path of the checkout.
func (a *attempt) oneLine(part string, err error) string {
	text, _, _ := strings.Cut(redact.Err(err).Error(), "\n")
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1 // a message of a git server may end with a zero byte
	}, text))
	return ui.Clip(part+": "+strings.ReplaceAll(text, a.lab.Config.Root+"/", ""), maxReason)
}

// record returns what is recorded of the row. A later build finds most of it built, so
// the longest one counts.
func (a *attempt) record(day string) proof.Record {
	r := a.before
	r.Seconds = a.seconds
	r.Seconds.Build = max(r.Seconds.Build, a.before.Seconds.Build)
	if a.built {
		r.Built = day
	}
	if a.up { // its API server accepted what the lab wrote
		r.Generated = day
	}
	r.Ran, r.Failed = "", a.why
	if a.verdict == ran {
		r.Ran = day
	}
	return r
}

// title names the releases of the row.
func (a *attempt) title() string {
	return fmt.Sprintf("Cluster API v%s on Kubernetes v%s with the autoscaler %s", a.clusterAPI, a.kubernetes, a.autoscaler)
}

// history says what is recorded of the row.
func (a *attempt) history() string {
	switch b := a.before; {
	case b.Ran != "":
		return "ran on " + b.Ran
	case b.Failed != "":
		return "failed: " + b.Failed
	}
	return "never ran"
}

// result says how the row's trial ended.
func (a *attempt) result() string {
	text := string(a.verdict)
	if a.why != "" {
		text += ": " + a.why
	}
	if measured := a.seconds.String(); measured != "" {
		text += "; seconds: " + measured
	}
	return text
}

// cells returns the row of the table of results.
func (a *attempt) cells() []string {
	cells := append(strings.Split(a.String(), "+"), string(a.verdict))
	for _, s := range []int{a.seconds.Build, a.seconds.Up, a.seconds.ScaleUp, a.seconds.ScaleDown} {
		cell := "-"
		if s > 0 {
			cell = strconv.Itoa(s)
		}
		cells = append(cells, cell)
	}
	return append(cells, cmp.Or(a.why, "-"))
}
