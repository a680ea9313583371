package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/ui"
)

const (
	// leaseNamespace has the leases. Every cluster has it, whatever the settings say.
	leaseNamespace = "kube-system"
	leasePrefix    = "caslab-"
	// leaseDuration is how long after its last renewal a lease ends, and renewEvery the
	// time between two renewals.
	leaseDuration = 30 * time.Second
	// longestDuration bounds the wait for a sign of life of another lab, whose leases may
	// last longer.
	longestDuration = 5 * time.Minute
	renewEvery      = 5 * time.Second
	// releaseTimeout bounds the deletion of a lease. A lease that is not deleted expires.
	releaseTimeout = 5 * time.Second
	// processAnnotation has a process as processID returns it.
	processAnnotation = "caslab.local/process"
)

// Reservation says what a command reserves in a cluster, against every other checkout,
// machine and user.
type Reservation struct {
	// Name of what is reserved, such as autoscaler. Command is the mage target that
	// reserves it, and Checkout the folder in which it runs.
	Name, Command, Checkout string
	// Log gets a warning if the user has no right to reserve something.
	Log *ui.Log
}

// ReservedError is returned if somebody else has the reservation.
type ReservedError struct {
	// Holder names the user, the machine, the checkout, the command and the process.
	Holder string
	// Since is when it was reserved, and Renewed its last sign of life, by its holder's
	// clock.
	Since, Renewed time.Time
}

func (e *ReservedError) Error() string {
	return fmt.Sprintf("%s, since %s; if it no longer runs, its reservation ends %s after its last sign of life, which was at %s",
		e.Holder, e.Since.Local().Format(time.DateTime), leaseDuration, e.Renewed.Local().Format(time.TimeOnly))
}

// Reserve reserves something in the cluster, as a Lease in the workload cluster, until
// release is called. It returns a *ReservedError if somebody else has it, and takes it over
// from a process that has ended. If somebody takes it over from this process, which did not
// renew it in time, the command of ctx ends. Without a right to Leases, Reserve only warns.
//
// client-go's leader election does not fit: it waits for its turn, and ends when the API
// server does not answer for a while, as during a restart of the engine.
func (c *Cluster) Reserve(ctx context.Context, r Reservation) (release func(), err error) {
	l := &lease{Reservation: r, client: c.Workload, holder: holderOf(r)}
	err = l.acquire(ctx)
	if mayNot(err) {
		r.Log.Printf("! the cluster cannot be reserved, so others who scale it at the same time are not noticed: %v", err)
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.keep(renewing, func(err error) { interrupt.Stop(ctx, err) })
	}()
	return func() {
		stop()
		<-done
		l.release(ctx)
	}, nil
}

// Reserved returns who has the reservation of that name. It returns nil if nobody has it,
// or if the user may not read Leases.
func (c *Cluster) Reserved(ctx context.Context, name string) (*ReservedError, error) {
	found, err := (&lease{Reservation: Reservation{Name: name}, client: c.Workload}).get(ctx)
	if err != nil || found == nil || found.over() || !found.fresh() {
		if apierrors.IsNotFound(err) || mayNot(err) {
			err = nil
		}
		return nil, err
	}
	return found.reserved(), nil
}

// mayNot reports whether err says that the user has no right to Leases, or the cluster no
// Leases.
func mayNot(err error) bool { return apierrors.IsForbidden(err) || meta.IsNoMatchError(err) }

// holderOf names this process.
func holderOf(r Reservation) string {
	name := fmt.Sprintf("user %d", os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "an unknown machine"
	}
	return fmt.Sprintf("%s@%s in %s: %s (process %d)", name, host, r.Checkout, r.Command, os.Getpid())
}

// processID returns an identity of this process that tells another process of the same
// machine whether this one runs. Containers have process IDs of their own, and may have
// the same hostname. A later process may get the same ID, but not the same start.
func processID() string {
	start, _ := startOf(os.Getpid())
	return fmt.Sprintf("%s %d %s", processScope(), os.Getpid(), start)
}

// hasEnded reports whether a process, given as processID returns it, is known to have
// ended. For a process on another machine, it returns false.
func hasEnded(id string) bool {
	var scope, start string
	var pid int
	// The start is missing if it is not known.
	if n, _ := fmt.Sscan(id, &scope, &pid, &start); n < 2 || scope != processScope() {
		return false
	}
	now, runs := startOf(pid)
	return !runs || now != start
}

// lease is a Lease that this process holds or wants to hold.
type lease struct {
	Reservation
	client   *kube.Client
	holder   string
	acquired metav1.MicroTime
}

func (l *lease) name() string { return leasePrefix + l.Name }

// foundLease is a Lease in the cluster.
type foundLease struct{ *coordinationv1.Lease }

// get returns the Lease; the error satisfies apierrors.IsNotFound if there is none.
func (l *lease) get(ctx context.Context) (*foundLease, error) {
	ctx, cancel := interrupt.WithTimeout(ctx, answerTimeout)
	defer cancel()
	o, err := l.client.Get(ctx, kube.Leases, leaseNamespace, l.name())
	if err != nil {
		return nil, fmt.Errorf("read the lease %s/%s: %w", leaseNamespace, l.name(), lab.Waited(ctx, "answer", err))
	}
	found, err := kube.Lease(o)
	if err != nil {
		return nil, err
	}
	return &foundLease{found}, nil
}

// over reports whether nobody holds the Lease, or its holder has ended.
func (f *foundLease) over() bool {
	return f.Spec.HolderIdentity == nil || *f.Spec.HolderIdentity == "" || hasEnded(f.Annotations[processAnnotation])
}

// fresh reports whether the Lease was renewed lately by this machine's clock. The clock
// of its holder may differ.
func (f *foundLease) fresh() bool {
	return f.Spec.RenewTime != nil && time.Since(f.Spec.RenewTime.Time).Abs() < f.duration()
}

func (f *foundLease) duration() time.Duration {
	if f.Spec.LeaseDurationSeconds == nil {
		return leaseDuration
	}
	return min(time.Duration(*f.Spec.LeaseDurationSeconds)*time.Second, longestDuration)
}

func (f *foundLease) reserved() *ReservedError {
	e := &ReservedError{}
	if f.Spec.HolderIdentity != nil {
		e.Holder = *f.Spec.HolderIdentity
	}
	if f.Spec.AcquireTime != nil {
		e.Since = f.Spec.AcquireTime.Time
	}
	if f.Spec.RenewTime != nil {
		e.Renewed = f.Spec.RenewTime.Time
	}
	return e
}

// acquire makes this process the holder, or returns a *ReservedError.
func (l *lease) acquire(ctx context.Context) error {
	var seen *foundLease // stale when it was seen first, at the time since
	var since time.Time
	for {
		found, err := l.get(ctx)
		switch {
		case apierrors.IsNotFound(err):
			if err = l.create(ctx); apierrors.IsAlreadyExists(err) {
				continue
			}
			return err
		case err != nil:
			return err
		case found.over() || seen != nil && found.ResourceVersion == seen.ResourceVersion && time.Since(since) >= found.duration():
			if err = l.take(ctx, found); apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
				continue
			}
			return err
		case found.fresh() || seen != nil && found.ResourceVersion != seen.ResourceVersion:
			return found.reserved()
		case seen == nil:
			// Its holder has ended, or renews it by a clock that differs.
			seen, since = found, time.Now()
			l.Log.Printf("waiting up to %s for a sign of life of %s", found.duration(), found.reserved().Holder)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(renewEvery / 5):
		}
	}
}

// fields returns the Lease's fields with this process as its holder, from now on.
func (l *lease) fields(transitions int32) map[string]any {
	l.acquired = metav1.NewMicroTime(time.Now().Truncate(time.Microsecond))
	seconds := int32(leaseDuration / time.Second)
	spec, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&coordinationv1.LeaseSpec{
		HolderIdentity: &l.holder, AcquireTime: &l.acquired, RenewTime: &l.acquired, LeaseDurationSeconds: &seconds, LeaseTransitions: &transitions,
	})
	if err != nil {
		panic(err) // there is no other input
	}
	return map[string]any{"metadata": map[string]any{"annotations": map[string]any{processAnnotation: processID()}}, "spec": spec}
}

func (l *lease) create(ctx context.Context) error {
	o := &unstructured.Unstructured{Object: l.fields(0)}
	o.SetGroupVersionKind(kube.Leases.WithVersion("v1"))
	o.SetNamespace(leaseNamespace)
	o.SetName(l.name())
	ctx, cancel := interrupt.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := l.client.Create(ctx, o); err != nil {
		return fmt.Errorf("create the lease %s/%s: %w", leaseNamespace, l.name(), lab.Waited(ctx, "answer", err))
	}
	return nil
}

// take replaces the holder. The error satisfies apierrors.IsConflict if the Lease has
// changed.
func (l *lease) take(ctx context.Context, found *foundLease) error {
	transitions := int32(1)
	if found.Spec.LeaseTransitions != nil {
		transitions += *found.Spec.LeaseTransitions
	}
	return l.patch(ctx, found, l.fields(transitions))
}

func (l *lease) patch(ctx context.Context, found *foundLease, fields map[string]any) error {
	metadata, _ := fields["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	metadata["resourceVersion"] = found.ResourceVersion
	fields["metadata"] = metadata
	ctx, cancel := interrupt.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return lab.Waited(ctx, "answer", l.client.Patch(ctx, kube.Leases, leaseNamespace, l.name(), fields))
}

// isOwn reports whether this process holds the Lease.
func (l *lease) isOwn(found *foundLease) bool {
	return found.Spec.HolderIdentity != nil && *found.Spec.HolderIdentity == l.holder &&
		found.Spec.AcquireTime != nil && found.Spec.AcquireTime.Equal(&l.acquired)
}

// keep renews the lease until ctx is done, or calls lost when somebody else has it. It goes
// on while the API server does not answer: meanwhile, nobody else can take it.
func (l *lease) keep(ctx context.Context, lost func(error)) {
	renewed := time.Now()
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := l.renew(ctx)
		if reserved := new(ReservedError); errors.As(err, &reserved) {
			lost(fmt.Errorf("stopped, because this command did not renew its reservation of the cluster for %s, and another command has it now: %w", ui.Round(time.Since(renewed)), reserved))
			return
		}
		if err == nil {
			renewed = time.Now()
		}
	}
}

// renew returns a *ReservedError if somebody else has the Lease.
func (l *lease) renew(ctx context.Context) error {
	found, err := l.get(ctx)
	if apierrors.IsNotFound(err) {
		return l.create(ctx)
	}
	if err != nil {
		return err
	}
	if !l.isOwn(found) {
		return found.reserved()
	}
	now := metav1.NewMicroTime(time.Now())
	return l.patch(ctx, found, map[string]any{"spec": map[string]any{"renewTime": now.UTC().Format(metav1.RFC3339Micro)}})
}

// release deletes the Lease, even if ctx is done. A Lease that is not deleted expires.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := interrupt.Cleanup(ctx, releaseTimeout)
	defer cancel()
	found, err := l.get(ctx)
	if err == nil && l.isOwn(found) {
		_ = l.client.Delete(ctx, kube.Leases, leaseNamespace, l.name())
	}
}
