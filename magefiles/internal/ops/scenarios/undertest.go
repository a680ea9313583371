package scenarios

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"al.essio.dev/pkg/shellescape"
	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/component"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/scenario/engine"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
)

// lockCluster reserves the cluster for a command that runs scenarios, until release is
// called. Meanwhile no lab runs other scenarios on it, and, unless which is AsItIs, no
// other autoscaler.
func (sc *Scenarios) lockCluster(ctx context.Context, c *target.Cluster, which, command string) (release func() error, err error) {
	releaseCluster, err := c.Claim(ctx, sc.Lab, "scenarios", command)
	held, reserved := new(state.HeldError), new(target.ReservedError)
	switch {
	case errors.As(err, &held):
		return nil, fmt.Errorf("scenarios are already running on the cluster %q: %s; wait for them, or stop them", c.Name, held.Holder)
	case errors.As(err, &reserved):
		return nil, fmt.Errorf("scenarios already run on the cluster %q, elsewhere: %w; wait for them, or stop them", c.Name, err)
	case err != nil:
		return nil, err
	}
	if which == AsItIs {
		return releaseCluster, nil
	}
	unlockAutoscaler, err := sc.Autoscalers.Lock(ctx, c, command)
	if err != nil {
		return nil, errors.Join(err, releaseCluster())
	}
	return func() error { return errors.Join(unlockAutoscaler(), releaseCluster()) }, nil
}

// newAutoscaler returns the autoscaler that scenarios are run against. It compiles it if the
// lab runs it, and refuses an autoscaler with which no scenario can be run.
func (sc *Scenarios) newAutoscaler(ctx context.Context, c *target.Cluster, t trial) (engine.Autoscaler, error) {
	if t.Autoscaler == AsItIs {
		return sc.foreignAutoscaler(ctx, c)
	}
	built, err := sc.Autoscalers.Compile(ctx, false)
	if err != nil {
		return nil, err
	}
	own := compiledAutoscaler{Scenarios: sc, cluster: c, compiled: built, overrides: t.overrides, ended: make(chan error, 1)}
	if t.Parallel > 1 {
		known, err := autoscaler.KnownFlags(ctx, sc.Runner, built.Binary)
		if err != nil {
			return nil, err
		}
		own.together = flagsTogether(known)
	}
	if own.usual, err = sc.Autoscalers.CheckedFlags(ctx, built.Binary, sc.Autoscalers.Settings(c, ""), slices.Concat(own.together, t.overrides)); err == nil {
		err = checkVerbosity(own.usual)
	}
	if err != nil {
		return nil, err
	}
	if t.Autoscaler == InTheCluster {
		return &inClusterAutoscaler{compiledAutoscaler: own}, nil
	}
	return &hostAutoscaler{compiledAutoscaler: own, resultsDir: t.Out}, nil
}

// foreignAutoscaler is an autoscaler that the lab did not start and does not stop.
type foreignAutoscaler struct {
	name    string
	release *version.Version
}

// foreignAutoscaler finds out which autoscaler scales a cluster, and its release if that is known,
// because the settings may name another one.
func (sc *Scenarios) foreignAutoscaler(ctx context.Context, c *target.Cluster) (foreignAutoscaler, error) {
	runs, err := sc.Autoscalers.Running(ctx, c)
	switch {
	case err != nil:
		return foreignAutoscaler{}, err
	case runs.Text == "" && c.Own:
		return foreignAutoscaler{}, fmt.Errorf("no autoscaler scales this environment; type: %s, in another terminal, or leave out -autoscaler=as-is", sc.Config.Command("autoscaler:run"))
	case runs.Text == "":
		return foreignAutoscaler{name: "the cluster's own autoscaler"}, nil
	}
	return foreignAutoscaler{name: "autoscaler " + runs.Text, release: runs.Release}, nil
}

func (a foreignAutoscaler) Describe() (string, *version.Version) { return a.name, a.release }

func (foreignAutoscaler) Controlled() bool { return false }

func (foreignAutoscaler) Deployed() bool { return false }

func (foreignAutoscaler) Flags() []autoscaler.Flag { return nil }

func (foreignAutoscaler) Start(context.Context, engine.Invocation) error { return nil }

func (foreignAutoscaler) Stop(context.Context) error { return nil }

func (foreignAutoscaler) Metrics(context.Context) (metrics.Sample, error) {
	return nil, errors.New("the lab does not know where the autoscaler serves its metrics")
}

func (foreignAutoscaler) Kill(context.Context) error { return nil }

func (foreignAutoscaler) Ended() <-chan error { return nil }

// compiledAutoscaler is the common part of autoscalers that the lab compiled.
type compiledAutoscaler struct {
	*Scenarios
	cluster  *target.Cluster
	compiled autoscalers.Compiled
	// overrides are the user's flags; together are added before them while scenarios run at the
	// same time.
	overrides, together []string
	// usual are the flags without those of scenarios, with together.
	usual []autoscaler.Flag
	// running is how the running autoscaler was started; nil if it does not run.
	running *engine.Invocation
	ended   chan error
}

func (m *compiledAutoscaler) Describe() (string, *version.Version) {
	return "cluster-autoscaler " + m.compiled.State, component.AutoscalerRelease(m.Config)
}

func (m *compiledAutoscaler) Controlled() bool { return true }

func (m *compiledAutoscaler) Deployed() bool { return false }

func (m *compiledAutoscaler) Flags() []autoscaler.Flag { return m.usual }

func (m *compiledAutoscaler) Ended() <-chan error { return m.ended }

// minVerbosity is the lowest verbosity at which the autoscaler logs its rounds and
// reasons.
const minVerbosity = 4

// withFlags returns the flags for an invocation that replace the usual ones; of two values the
// last one counts.
func (m *compiledAutoscaler) withFlags(i engine.Invocation) []string {
	var all []string
	if i.Together {
		all = m.together
	}
	return slices.Concat(all, m.overrides, []string{shellescape.QuoteCommand(i.Flags)})
}

// flagsTogether returns the flags for scenarios that run at the same time. With them, none uses up
// the limit of nodes of another one, or delays its scale-down. It leaves out flags that the program
// does not have.
func flagsTogether(known map[string]bool) []string {
	flags := []string{"--max-nodes-total=0"} // no limit
	if known["scale-down-delay-type-local"] {
		flags = append(flags, "--scale-down-delay-type-local=true")
	}
	return flags
}

// checkVerbosity refuses flags with which the autoscaler logs too little.
func checkVerbosity(flags []autoscaler.Flag) error {
	if v, err := strconv.Atoi(autoscalers.ValueOf(flags, "v")); err != nil || v < minVerbosity {
		return fmt.Errorf("--v=%s: scenarios need --v=%d or more, with which the autoscaler logs its rounds and reasons", autoscalers.ValueOf(flags, "v"), minVerbosity)
	}
	return nil
}

// hostAutoscaler is an autoscaler that runs on this machine.
type hostAutoscaler struct {
	compiledAutoscaler
	// gone is closed when the process ended, and done when that was also reported;
	// cancel ends the process, and kill kills it.
	gone, done   chan struct{}
	cancel, kill func()
	// resultsDir, if set, is the folder of results, which gets the log of every process.
	// The state folder has only the last two logs.
	resultsDir string
	logFile    string
	started    time.Time
	// address is the host:port of the metrics, a string. Metrics may read it while Start runs.
	address atomic.Value
}

// errKilled is recorded as the end of an autoscaler that a scenario killed.
var errKilled = errors.New("killed by the scenario")

// stuckAfter is the longest time between the beginnings of two loops, unless --scan-interval is long.
// The longest loops that were seen, with hundreds of nodes on two cores, took 40 seconds.
const stuckAfter = 5 * time.Minute

// loopLimit returns how long an autoscaler with these flags may begin no loop.
func loopLimit(flags []autoscaler.Flag) time.Duration {
	interval, err := time.ParseDuration(autoscalers.ValueOf(flags, "scan-interval"))
	if err != nil {
		return stuckAfter // the default interval is 10 seconds
	}
	return max(stuckAfter, 3*interval)
}

// stuckError is the end of an autoscaler that began no loop any more.
type stuckError struct {
	limit time.Duration
	log   string
}

func (e *stuckError) Error() string {
	return fmt.Sprintf("the autoscaler began no loop for %s, so the lab ended it with SIGABRT; the stacks of its goroutines are at the end of its log %s", e.limit, e.log)
}

// killTime is how long a killed process may take to end.
const killTime = 2 * time.Second

// firstRoundTimeout bounds the time until an autoscaler begins its first round.
const firstRoundTimeout = 2 * time.Minute

// Start implements engine.Autoscaler.
func (h *hostAutoscaler) Start(ctx context.Context, i engine.Invocation) error {
	if h.runs() && h.running.Equal(i) {
		return nil
	}
	if err := h.Stop(ctx); err != nil {
		return err
	}
	process, err := h.Autoscalers.Process(ctx, h.cluster, h.compiled, h.withFlags(i))
	if err != nil {
		return err
	}
	if err := checkVerbosity(process.Flags); err != nil {
		return err
	}
	kill, abort := make(chan struct{}), make(chan struct{})
	var first sync.Once
	var cause error // why the lab ended the process; nil if it did not
	end := func(why error, signal chan struct{}) { first.Do(func() { cause = why; close(signal) }) }
	limit := loopLimit(process.Flags)
	round := newRounds(limit, func() { end(&stuckError{limit, process.LogFile}, abort) })
	process.Output, process.Kill, process.Abort = round, kill, abort
	onEnd := process.OnEnd
	process.OnEnd = func(err error) {
		round.stuck.Stop()
		first.Do(func() {}) // from here on, nothing ends it
		onEnd(cmp.Or(cause, err))
	}
	process.Env = append(process.Env, i.Env...)                       // of two values the last one counts
	running, cancel := context.WithCancel(context.WithoutCancel(ctx)) // until Stop
	gone, done := make(chan struct{}), make(chan struct{})
	h.gone, h.done, h.cancel, h.kill, h.running = gone, done, cancel, func() { end(errKilled, kill) }, &i
	h.logFile, h.started = process.LogFile, h.Now()
	h.address.Store(autoscalers.ValueOf(process.Flags, "address"))
	go func() {
		defer close(done)
		err := process.Run(running, h.Runner)
		close(gone) // before the end is reported: the receiver may start the next process at once
		stuck := new(stuckError)
		switch {
		case errors.As(cause, &stuck):
			h.ended <- stuck
		case err != nil:
			h.ended <- fmt.Errorf("%w\n%s", err, lastLines(process.LogFile, 20))
		}
	}()
	waiting, stop := interrupt.WithTimeout(ctx, firstRoundTimeout)
	defer stop()
	select {
	case <-round.began:
		return nil
	case err := <-h.ended:
		return err
	case <-waiting.Done():
		err := fmt.Errorf("waited for the autoscaler's first round: %w; its log is %s", context.Cause(waiting), process.LogFile)
		// Ctrl-C may be what ended the wait.
		clean, done := interrupt.Cleanup(ctx, time.Minute)
		defer done()
		return errors.Join(err, h.Stop(clean))
	}
}

// runs reports whether the process exists. It may have ended by itself.
func (h *hostAutoscaler) runs() bool {
	if h.running == nil {
		return false
	}
	select {
	case <-h.gone:
		return false
	default:
		return true
	}
}

// Stop implements engine.Autoscaler.
func (h *hostAutoscaler) Stop(ctx context.Context) error {
	if h.running == nil {
		return nil
	}
	h.cancel()
	select {
	case <-h.done:
	case <-ctx.Done():
		// At the second interruption it is killed.
		select {
		case <-h.done:
		case <-time.After(killTime):
			return fmt.Errorf("stop the autoscaler, which ends at the latest when this command ends: %w", context.Cause(ctx))
		}
	}
	h.running = nil
	select {
	case <-h.ended: // that is over
	default:
	}
	return h.keepLog()
}

// Kill implements engine.Autoscaler.
func (h *hostAutoscaler) Kill(ctx context.Context) error {
	if h.running == nil {
		return nil
	}
	h.kill()
	select {
	case <-h.done:
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of the autoscaler, which was killed: %w", context.Cause(ctx))
	}
	return h.Stop(ctx) // it only forgets the process
}

// Metrics implements engine.Autoscaler.
func (h *hostAutoscaler) Metrics(ctx context.Context) (metrics.Sample, error) {
	address, started := h.address.Load().(string)
	if !started {
		return nil, errors.New("the autoscaler was not started yet")
	}
	return metrics.Read(ctx, address)
}

// keepLog copies the log of the process that ended into the folder of results. The
// file is named after the time at which the process was started, with a number if
// there is a file of that name.
func (h *hostAutoscaler) keepLog() error {
	if h.resultsDir == "" {
		return nil
	}
	folder, name := filepath.Join(h.resultsDir, "autoscaler"), "autoscaler-"+h.started.UTC().Format("150405")
	name, err := unused(folder, name, ".log")
	if err != nil {
		return fmt.Errorf("keep the autoscaler's log: %w", err)
	}
	return writeResults(folder, map[string]func(io.Writer) error{name: func(w io.Writer) error {
		log, err := os.Open(h.logFile)
		if err != nil {
			return fmt.Errorf("keep the autoscaler's log: %w", err)
		}
		_, err = io.Copy(w, log)
		return errors.Join(err, log.Close())
	}})
}

// unused returns a name that no file in the folder has: name+extension, or with a
// number between the two.
func unused(folder, name, extension string) (string, error) {
	free := name + extension
	for n := 2; ; n++ {
		_, err := os.Lstat(filepath.Join(folder, free))
		if errors.Is(err, fs.ErrNotExist) {
			return free, nil
		}
		if err != nil {
			return "", err
		}
		free = fmt.Sprintf("%s-%d%s", name, n, extension)
	}
}

// rounds closes began when the autoscaler's log says that it began its first loop, and calls the
// function of the timer stuck if no other loop begins within the limit.
type rounds struct {
	run.Lines
	began chan struct{}
	stuck *time.Timer
}

func newRounds(limit time.Duration, stuck func()) *rounds {
	r := &rounds{began: make(chan struct{}), stuck: time.AfterFunc(limit, stuck)}
	first := sync.OnceFunc(func() { close(r.began) })
	r.Each = func(line string) {
		if speech.Parse(line).Class == speech.Loop {
			first()
			r.stuck.Reset(limit)
		}
	}
	return r
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
