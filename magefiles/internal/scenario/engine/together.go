package engine

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/results"
)

// runTogether runs up to Parallel scenarios at the same time. A scenario that fails beside others,
// through a check or the end of the autoscaler, or that passes although it is known to fail, runs
// again alone, because others may have caused that, and the second verdict counts. With Repeat, none
// runs again.
func (r *runs) runTogether(ctx context.Context) error {
	preparing, prepare := make(lock, 1), r.PrepareHollow
	r.PrepareHollow = func(ctx context.Context) error {
		if err := preparing.take(ctx); err != nil {
			return err
		}
		defer preparing.release()
		return prepare(ctx)
	}
	everything := place{Autoscaler: r.Autoscaler, prefix: r.Prefix}
	if err := r.removeLeftovers(ctx, everything); err != nil {
		return err
	}
	var chosen, again []int
	for i, s := range r.all {
		if s.WhySkipped(r.means()) != "" {
			r.run(ctx, i, everything) // it only says so
			continue
		}
		// The autoscaler may not have the flags of those that are skipped.
		chosen = append(chosen, i)
	}
	for _, batch := range scenario.Batches(r.all, chosen, r.Autoscaler.Flags()) {
		if len(batch.Scenarios) == 1 {
			r.run(ctx, batch.Scenarios[0], everything)
			continue
		}
		r.runBatch(ctx, batch)
		for _, i := range batch.Scenarios {
			if r.Repeat <= 1 && maybeBecauseOfOthers(r.done[i][len(r.done[i])-1]) {
				again = append(again, i)
			}
		}
	}
	for _, i := range again {
		r.runAgain(ctx, i, everything)
	}
	return nil
}

// maybeBecauseOfOthers reports whether other scenarios may be the reason for a result: a failure, or
// a pass of a scenario that is known to fail.
func maybeBecauseOfOthers(last results.Result) bool {
	return last.Verdict == results.UnexpectedPass || last.Verdict == results.Failed && last.Cause.OfAutoscaler()
}

// removeLeftovers removes what an earlier run left. That run may have used other prefixes.
func (r *runs) removeLeftovers(ctx context.Context, where place) (err error) {
	const text = "remove what an earlier run left"
	step := r.Log.Start(text, 2*time.Second)
	defer func() { step.Done("", err) }()
	ctx, cancel := context.WithTimeoutCause(ctx, setupTime, fmt.Errorf("it took longer than %s", setupTime))
	defer cancel()
	cluster := r.cluster(&scenario.Scenario{}, where)
	if err := cluster.RefusePaused(ctx); err != nil {
		return err
	}
	if err := cluster.CleanUp(ctx, step.Progress); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

// runBatch runs scenarios that share an autoscaler. Each of Parallel lanes runs one of them at
// a time.
func (r *runs) runBatch(ctx context.Context, batch scenario.Batch) {
	flags := batch.Flags()
	r.Log.Printf("%d scenarios share one autoscaler; added flags: %s", len(batch.Scenarios), cmp.Or(strings.Join(flags, " "), "none"))
	one := &oneAutoscaler{Autoscaler: r.Autoscaler, lock: make(lock, 1), flags: flags}
	defer one.stopForwarding()
	queue := make(chan int, len(batch.Scenarios))
	for _, i := range batch.Scenarios {
		queue <- i
	}
	close(queue)
	var lanes errgroup.Group
	for range min(r.Parallel, len(batch.Scenarios)) {
		lane := one.lane()
		lanes.Go(func() error {
			for i := range queue {
				r.run(ctx, i, place{Autoscaler: lane, shared: true})
			}
			return nil
		})
	}
	_ = lanes.Wait() // no lane returns an error
}

// runAgain runs a scenario alone that ran beside others, and replaces its result.
func (r *runs) runAgain(ctx context.Context, i int, where place) {
	if ctx.Err() != nil {
		return // the first verdict is all that is known
	}
	before := r.done[i][0]
	r.Log.Printf("%s: %s beside other scenarios: it runs again, alone", r.all[i].Name, before.Verdict)
	result := r.runOnce(ctx, r.all[i], where)
	if result.Verdict == results.Interrupted || result.Verdict == results.Skipped {
		return
	}
	result.Beside = before.Failure
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[i] = []results.Result{result}
	r.save()
}

// lock is a mutex whose take ends when the context is done. It must have the capacity 1.
type lock chan struct{}

func (l lock) take(ctx context.Context) error {
	select {
	case l <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another scenario: %w", context.Cause(ctx))
	}
}

func (l lock) release() { <-l }

// oneAutoscaler lets scenarios that run at the same time use one autoscaler.
type oneAutoscaler struct {
	Autoscaler
	// flags are those of all scenarios.
	flags []string
	// lock is held while the autoscaler is started.
	lock  lock
	lanes []*laneAutoscaler
	// stop ends the goroutine that forwards the autoscaler's end, and stopped is closed when it
	// has ended; nil if there is none.
	stop, stopped chan struct{}
}

// laneAutoscaler is the autoscaler as one lane sees it.
type laneAutoscaler struct {
	*oneAutoscaler
	ended chan error
}

// lane adds a lane. All lanes are added before the first of them starts the autoscaler.
func (o *oneAutoscaler) lane() *laneAutoscaler {
	l := &laneAutoscaler{o, make(chan error, 1)}
	o.lanes = append(o.lanes, l)
	return l
}

// Start implements Autoscaler. The first lane that starts the autoscaler really does; after the
// autoscaler ended by itself, it is started again for the next scenario.
func (l *laneAutoscaler) Start(ctx context.Context, i Invocation) error {
	if err := l.lock.take(ctx); err != nil {
		return err
	}
	defer l.lock.release()
	select {
	case <-l.ended: // that was in the scenario before
	default:
	}
	l.stopForwarding() // Start, too, waits for the end
	select {
	case err := <-l.Autoscaler.Ended():
		l.tell(err, l)
	default:
	}
	defer l.forward()
	i.Flags, i.Together = l.flags, true
	err := l.Autoscaler.Start(ctx, i)
	if err != nil {
		l.tell(err, l)
	}
	return err
}

// Ended implements Autoscaler.
func (l *laneAutoscaler) Ended() <-chan error { return l.ended }

// forward tells every lane when the autoscaler ends by itself.
func (o *oneAutoscaler) forward() {
	stop, stopped := make(chan struct{}), make(chan struct{})
	o.stop, o.stopped = stop, stopped
	go func() {
		defer close(stopped)
		for {
			select {
			case err := <-o.Ended():
				o.tell(err, nil)
			case <-stop:
				return
			}
		}
	}()
}

// tell tells every lane but one that the autoscaler ended.
func (o *oneAutoscaler) tell(err error, but *laneAutoscaler) {
	for _, l := range o.lanes {
		if l == but {
			continue
		}
		select {
		case l.ended <- err:
		default: // an earlier end is still to be noticed
		}
	}
}

// stopForwarding stops what forward started.
func (o *oneAutoscaler) stopForwarding() {
	if o.stop == nil {
		return
	}
	close(o.stop)
	<-o.stopped
	o.stop = nil
}
