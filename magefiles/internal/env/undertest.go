package env

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/scenario"
)

// underTest is the autoscaler that scenarios are run against. No other may
// scale the cluster until release is called, which also ends it.
func (l *Lab) underTest(ctx context.Context, s *subject, o ScenarioOptions, overrides []string) (_ scenario.Autoscaler, release func() error, err error) {
	if o.Autoscaler == AsItIs {
		runs, err := l.whichRuns(ctx, s)
		return asItIs{name: "autoscaler " + runs}, func() error { return nil }, err
	}
	unlock, err := l.onlyAutoscaler(ctx, s, "scenario:run")
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unlock())
		}
	}()
	c, err := l.compileAutoscaler(ctx, false)
	if err != nil {
		return nil, nil, err
	}
	made := madeHere{lab: l, subject: s, compiled: c, overrides: overrides, ended: make(chan error, 1)}
	var under interface {
		scenario.Autoscaler
		end(context.Context) error
	} = &hosted{madeHere: made}
	if o.Autoscaler == InTheCluster {
		if s.managementPath != "" || !s.own {
			return nil, nil, errors.New("-autoscaler=deploy is for an environment of the lab; use -autoscaler=run, or as-is for one that you deployed")
		}
		under = &inCluster{madeHere: made}
	}
	return under, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return errors.Join(under.end(ctx), unlock())
	}, nil
}

// asItIs is an autoscaler that the lab does not control.
type asItIs struct{ name string }

func (a asItIs) Describe() (string, *version.Version) { return a.name, nil }
func (asItIs) Controlled() bool                       { return false }
func (asItIs) Start(context.Context, []string) error  { return nil }
func (asItIs) Stop(context.Context) error             { return nil }
func (asItIs) Ended() <-chan error                    { return nil }

// madeHere is an autoscaler that the lab compiled.
type madeHere struct {
	lab       *Lab
	subject   *subject
	compiled  compiled
	overrides []string
	// running are the flags that it runs with, beside the usual ones; nil if it
	// does not run.
	running []string
	ended   chan error
}

func (m *madeHere) Describe() (string, *version.Version) {
	return "cluster-autoscaler " + m.lab.autoscalerState(m.compiled.tree), m.lab.autoscalerRelease()
}

func (m *madeHere) Controlled() bool { return true }

func (m *madeHere) Ended() <-chan error { return m.ended }

// flags are all of the command line: a scenario's have the last word.
func (m *madeHere) flags(ctx context.Context, s autoscaler.Settings, extra []string) ([]autoscaler.Flag, error) {
	return m.lab.checkedFlags(ctx, m.compiled.binary, s, append(slices.Clone(m.overrides), shellescape.QuoteCommand(extra)))
}

// hosted runs on this machine.
type hosted struct {
	madeHere
	stop func()
}

// readsWithin is how long an autoscaler may take to begin its first round.
const readsWithin = 2 * time.Minute

// Start implements scenario.Autoscaler.
func (h *hosted) Start(ctx context.Context, extra []string) error {
	if h.running != nil && slices.Equal(h.running, extra) {
		return nil
	}
	if err := h.Stop(ctx); err != nil {
		return err
	}
	address, err := autoscaler.FreeAddress(ctx)
	if err != nil {
		return err
	}
	flags, err := h.flags(ctx, h.lab.autoscalerSettings(h.subject, address), extra)
	if err != nil {
		return err
	}
	process := autoscaler.Process{
		Binary: h.compiled.binary, Flags: flags, Env: h.lab.autoscalerEnvironment(h.subject),
		LogFile: h.lab.autoscalerLog(h.subject.name), Shown: io.Discard,
	}
	select {
	case <-h.ended: // how one before it ended is known
	default:
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx)) // until Stop
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := process.Run(life, h.lab.runner); err != nil {
			h.ended <- fmt.Errorf("%w\n%s", err, lastLines(process.LogFile, 20))
		}
	}()
	h.stop = func() {
		cancel()
		<-done
	}
	h.running = append([]string{}, extra...)
	return h.awaitRound(ctx, process.LogFile, done)
}

// awaitRound waits until the log tells of a round.
func (h *hosted) awaitRound(ctx context.Context, log string, done <-chan struct{}) error {
	ctx, cancel := within(ctx, readsWithin)
	defer cancel()
	for {
		if begun(log) {
			return nil
		}
		select {
		case <-done:
			return <-h.ended
		case <-ctx.Done():
			return fmt.Errorf("waited for the autoscaler's first round: %w; its log is %s", context.Cause(ctx), log)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// begun reports whether a log tells of the start of a round.
func begun(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false // it is just being made
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if autoscaler.Parse(lines.Text()).Class == autoscaler.Loop {
			return true
		}
	}
	return false
}

// lastLines of a file, for an error.
func lastLines(path string, n int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Stop implements scenario.Autoscaler.
func (h *hosted) Stop(context.Context) error {
	if h.running != nil {
		h.stop()
		h.running = nil
	}
	return nil
}

func (h *hosted) end(ctx context.Context) error { return h.Stop(ctx) }

// inCluster runs in the cluster, as a Deployment.
type inCluster struct {
	madeHere
	image string
}

// Start implements scenario.Autoscaler.
func (d *inCluster) Start(ctx context.Context, extra []string) (err error) {
	if d.running != nil && slices.Equal(d.running, extra) {
		return nil
	}
	if d.image == "" {
		if d.image, err = d.lab.loadAutoscaler(ctx, d.compiled.binary); err != nil {
			return err
		}
	}
	settings := d.lab.autoscalerSettings(d.subject, "")
	settings.InCluster, settings.Kubeconfig = true, ""
	flags, err := d.flags(ctx, settings, extra)
	if err != nil {
		return err
	}
	if err := d.lab.applyAutoscaler(ctx, d.subject, d.image, flags); err != nil {
		return err
	}
	d.running = append([]string{}, extra...)
	return nil
}

// Stop implements scenario.Autoscaler.
func (d *inCluster) Stop(ctx context.Context) error {
	if d.running == nil {
		return nil
	}
	d.running = nil
	return d.lab.AutoscalerUndeploy(ctx)
}

func (d *inCluster) end(ctx context.Context) error { return d.Stop(ctx) }
