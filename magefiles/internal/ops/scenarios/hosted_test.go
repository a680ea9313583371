package scenarios

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/scenario/engine"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
)

// program is a fake autoscaler. It runs until it is stopped or made to fail.
type program struct {
	mu sync.Mutex
	// started has the command lines, and running is the number of processes.
	started []string
	env     []string
	running int
	killed  bool
	// second, if not 0, is when the autoscaler begins a second round.
	second time.Duration
	// If silent is set, the autoscaler begins no round. fail ends the running
	// process.
	silent bool
	fail   chan error
}

func (p *program) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	if c.Args[0] == "--help" {
		return run.Result{Stdout: []byte("  --cloud-provider string\n  --namespace string\n  --node-group-auto-discovery value\n  --expendable-pods-priority-cutoff int\n" +
			"  --max-nodes-total int\n  --balance-similar-node-groups\n  --scale-down-enabled\n  --scale-down-delay-after-add duration\n  --scale-down-delay-after-delete duration\n" +
			"  --scale-down-delay-after-failure duration\n  --scale-down-unneeded-time duration\n  --unremovable-node-recheck-timeout duration\n  --max-node-provision-time duration\n  -v, --v Level\n  --debugging-snapshot-enabled\n  --kube-client-qps float\n  --kube-client-burst int\n  --leader-elect\n" +
			"  --address string\n  --kubeconfig string\n  --cloud-config string\n")}, nil
	}
	p.mu.Lock()
	p.started, p.env, p.running = append(p.started, c.String()), c.Env, p.running+1
	silent := p.silent
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.running--
		p.mu.Unlock()
	}()
	line := "I1124 22:20:03.123456   26098 static_autoscaler.go:308] Starting main loop\n"
	if silent {
		line = "E1124 22:20:03.123456   26098 leaderelection.go:330] error retrieving resource lock\n"
	}
	if _, err := io.WriteString(c.Stdout, line); err != nil {
		return run.Result{}, err
	}
	if p.second > 0 {
		time.Sleep(p.second)
		if _, err := io.WriteString(c.Stdout, line); err != nil {
			return run.Result{}, err
		}
	}
	select {
	case <-c.Abort:
		_, err := io.WriteString(c.Stdout, "SIGABRT: abort\ngoroutine 1 [sync.Mutex.Lock]:\n")
		return run.Result{}, errors.Join(err, &run.Error{Cmd: c, Err: errors.New("signal: aborted")})
	case <-c.Kill:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.killed = true
		return run.Result{}, &run.Error{Cmd: c, Err: errors.New("signal: killed")}
	case err := <-p.fail:
		return run.Result{}, &run.Error{Cmd: c, Err: err}
	case <-ctx.Done():
		time.Sleep(20 * time.Millisecond) // it deletes its status
		return run.Result{}, &run.Error{Cmd: c, Err: context.Cause(ctx)}
	}
}

func (p *program) state() (started []string, running int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.started, p.running
}

// noRecorder records nothing. ended, if set, gets how processes ended.
type noRecorder struct {
	autoscalers.Recorder
	ended func(error)
}

func (noRecorder) AddStart(*target.Cluster, []autoscaler.Flag, string) {}

func (r noRecorder) AddEnd(_ *target.Cluster, err error) {
	if r.ended != nil {
		r.ended(err)
	}
}

func newHostAutoscaler(t *testing.T) (*hostAutoscaler, *program) {
	t.Helper()
	l, p := labtest.New(t, nil), &program{fail: make(chan error)}
	l.Runner = p
	c, _ := targettest.New(t)
	c.Own = false // a relay to the environment does not work in a bubble of synctest
	sc := &Scenarios{Lab: l.Lab, Autoscalers: &autoscalers.Autoscalers{Lab: l.Lab, Recorder: noRecorder{}}}
	return &hostAutoscaler{resultsDir: t.TempDir(), compiledAutoscaler: compiledAutoscaler{
		Scenarios: sc, cluster: c, compiled: autoscalers.Compiled{Binary: "/cluster-autoscaler"}, overrides: []string{"--v=4"}, ended: make(chan error, 1),
	}}, p
}

// TestHostAutoscaler: one process runs with the scenario's flags. A new process
// starts if the flags differ or if the old one ended, and none runs after Stop.
func TestHostAutoscaler(t *testing.T) {
	t.Parallel()
	h, p := newHostAutoscaler(t)
	starts := func(want int, flags ...string) {
		t.Helper()
		if err := h.Start(t.Context(), engine.Invocation{Flags: flags}); err != nil {
			t.Fatal(err)
		}
		started, running := p.state()
		if len(started) != want || running != 1 || !strings.Contains(started[want-1], strings.Join(flags, " ")) {
			t.Fatalf("%d run of those started:\n%s\nwant %d with %q", running, strings.Join(started, "\n"), want, flags)
		}
	}
	starts(1)
	starts(1)
	starts(2, "--scale-down-enabled=false")
	if err := h.Start(t.Context(), engine.Invocation{Flags: []string{"--v=1"}}); err == nil || !strings.Contains(err.Error(), "--v=1") {
		t.Errorf("Start() with too little in the log = %v", err)
	}
	starts(3, "--scale-down-enabled=false")
	p.fail <- errors.New("panic")
	select {
	case err := <-h.Ended():
		if !strings.Contains(err.Error(), "panic") || !strings.Contains(err.Error(), "Starting main loop") {
			t.Errorf("Ended() says %v; want why, and the end of the log", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("Ended() does not tell that the process ended")
	}
	starts(4, "--scale-down-enabled=false")
	for range 2 {
		if err := h.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, running := p.state(); running != 0 {
		t.Errorf("%d processes run after Stop()", running)
	}
	logs, err := filepath.Glob(filepath.Join(h.resultsDir, "autoscaler", "autoscaler-*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("no log was kept: %v", err)
	}
	if data, err := os.ReadFile(logs[0]); err != nil || !strings.Contains(string(data), "Starting main loop") {
		t.Errorf("the log that was kept has %q, %v", data, err)
	}
}

// TestHostAutoscalerKilled: a process that a scenario killed is no failure, and another one
// starts with the scenario's variables.
func TestHostAutoscalerKilled(t *testing.T) {
	t.Parallel()
	h, p := newHostAutoscaler(t)
	i := engine.Invocation{Env: []string{"CAPI_GROUP=example.com"}}
	var ended error // written before Kill returns
	h.Autoscalers.Recorder = noRecorder{ended: func(err error) { ended = err }}
	for range 2 {
		if err := errors.Join(h.Start(t.Context(), i), h.Kill(t.Context())); err != nil {
			t.Fatal(err)
		}
		if _, running := p.state(); running != 0 || !p.killed {
			t.Errorf("%d processes run after Kill(), killed: %t", running, p.killed)
		}
		if !errors.Is(ended, errKilled) {
			t.Errorf("the timeline has the end %v", ended)
		}
		select {
		case err := <-h.Ended():
			t.Errorf("the end counts as a crash: %v", err)
		default:
		}
	}
	if err := errors.Join(h.Start(t.Context(), i), h.Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	if started, _ := p.state(); len(started) != 3 || !slices.Contains(p.env, "CAPI_GROUP=example.com") {
		t.Errorf("%d were started, the last with %v", len(started), p.env)
	}
}

// TestHostAutoscalerInterrupted: Ctrl-C before the first round ends the process,
// and the error does not say that a process is left.
func TestHostAutoscalerInterrupted(t *testing.T) {
	t.Parallel()
	h, p := newHostAutoscaler(t)
	p.silent = true
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Start(ctx, engine.Invocation{}) }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, running := p.state(); running == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no process was started")
		}
	}
	stop()
	err := <-ended
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "first round") || strings.Contains(err.Error(), "stop the autoscaler") {
		t.Errorf("Start() = %v", err)
	}
	if _, running := p.state(); running != 0 {
		t.Errorf("%d processes run", running)
	}
}

// TestHostAutoscalerStuck: a process that begins no round any more is made to print the stacks of its
// goroutines, and the next scenario gets another process.
func TestHostAutoscalerStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, p := newHostAutoscaler(t)
		p.second = 2 * time.Minute
		var recorded error
		h.Autoscalers.Recorder = noRecorder{ended: func(err error) { recorded = err }}
		if err := h.Start(t.Context(), engine.Invocation{}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := <-h.Ended()
		if stuck := new(stuckError); !errors.As(err, &stuck) || !errors.As(recorded, &stuck) || !strings.Contains(err.Error(), "no loop for 5m0s") {
			t.Errorf("the end is %v, and in the timeline %v", err, recorded)
		}
		if after := time.Since(began); after != p.second+stuckAfter {
			t.Errorf("it ended %s after its first round, want %s after its second", after, stuckAfter)
		}
		p.second = 0
		if err := h.Start(t.Context(), engine.Invocation{}); err != nil {
			t.Fatal(err)
		}
		if started, running := p.state(); len(started) != 2 || running != 1 {
			t.Errorf("%d were started, and %d run", len(started), running)
		}
		logs, err := filepath.Glob(filepath.Join(h.resultsDir, "autoscaler", "*.log"))
		if err != nil || len(logs) != 1 {
			t.Fatalf("the logs are %v, %v", logs, err)
		}
		if data, err := os.ReadFile(logs[0]); err != nil || !strings.Contains(string(data), "goroutine 1") {
			t.Errorf("the log of the results has %q, %v", data, err)
		}
		if err := h.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestHostAutoscalerStoppedInAHurry: at the second interruption, Stop waits for the process,
// which is killed.
func TestHostAutoscalerStoppedInAHurry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, p := newHostAutoscaler(t)
		if err := h.Start(t.Context(), engine.Invocation{}); err != nil {
			t.Fatal(err)
		}
		ctx, _, now := interrupt.With(t.Context())
		clean, cancel := interrupt.Cleanup(ctx, time.Minute)
		defer cancel()
		now()
		synctest.Wait()
		if err := h.Stop(clean); err != nil {
			t.Errorf("Stop() = %v", err)
		}
		if _, running := p.state(); running != 0 {
			t.Errorf("%d processes run", running)
		}
	})
}
