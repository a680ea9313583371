package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/hostlog"
	"caslab/magefiles/internal/timeline/logfacts"
	"caslab/magefiles/internal/timeline/objectfacts"
)

const (
	// maxWait is the longest time that the recording of nodes waits for all machines to
	// be recorded, and the recording of pods for all nodes: their groups come from these.
	maxWait = 10 * time.Second
	// saveEvery is how often the bookmark is written.
	saveEvery = 2 * time.Second
)

// run follows everything until ctx is done or the record is started again.
func (r *recorder) run(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	waitAll(ctx, append(r.followGroups(ctx),
		r.follow(ctx, r.Management, kube.Follower{Kind: kube.Machines, Namespace: r.Namespace, OnChange: func(change kube.Change) {
			r.followExternals(ctx, change.After)
			r.machine(change)
		}, OnSynced: func() { r.recordDeleted(timeline.Machine) }}),
		r.follow(ctx, r.Management, kube.Follower{Kind: kube.Clusters, Namespace: r.Namespace, OnChange: r.cluster}),
	)...)
	waitAll(ctx, r.referredSeen()...)
	waitAll(ctx,
		r.follow(ctx, r.Workload, kube.Follower{Kind: kube.Nodes, OnChange: r.node, OnSynced: func() { r.recordDeleted(timeline.Node) }}),
		r.followOptional(ctx, r.Workload, kube.Follower{Kind: kube.Budgets, OnChange: r.budget, OnSynced: func() { r.allSeen(timeline.Budget) }}),
	)
	last := append(r.followScheduling(ctx),
		r.pods(ctx),
		r.followOptional(ctx, r.Workload, kube.Follower{Kind: kube.ConfigMaps, Namespace: r.ConfigNamespace, OnChange: r.status}),
		r.followOptional(ctx, r.Workload, kube.Follower{Kind: kube.Events, OnChange: r.event, OnSynced: r.pruneEvents}),
	)
	if r.OnSynced != nil {
		r.all.Go(func() {
			for _, c := range last {
				select {
				case <-c:
				case <-ctx.Done():
					return
				}
			}
			r.OnSynced()
		})
	}
	if r.LogFile != "" {
		r.all.Go(func() { r.hostLog().Follow(ctx, r.report) })
	}
	if r.Metrics != nil {
		r.all.Go(func() { r.followMetrics(ctx) })
	}
	r.all.Go(func() {
		if err := timeline.TailNew(ctx, r.File, r.labFact); err != nil {
			r.report(err)
		}
	})
	r.all.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(saveEvery):
			}
			if r.lock.Lost() {
				end()
				return
			}
			r.save()
		}
	})
	r.all.Wait()
}

// followGroups follows the kinds of node groups. It leaves out MachinePools and MachineSets if the
// management cluster does not serve them. When all groups were seen, it records which groups were
// deleted before.
func (r *recorder) followGroups(ctx context.Context) []<-chan struct{} {
	kinds := []schema.GroupKind{kube.MachineDeployments}
	for _, kind := range []schema.GroupKind{kube.MachinePools, kube.MachineSets} {
		served, err := r.Management.Serves(ctx, kind)
		if err != nil && ctx.Err() == nil { // the end of the recording is no failure
			r.report(err)
		}
		if served || err != nil { // if they were left out, those in the record would count as deleted
			kinds = append(kinds, kind)
		}
	}
	var left atomic.Int32
	left.Store(int32(len(kinds)))
	var all []<-chan struct{}
	for _, kind := range kinds {
		all = append(all, r.follow(ctx, r.Management, kube.Follower{
			Kind: kind, Namespace: r.Namespace,
			OnChange: func(change kube.Change) {
				r.followTemplates(ctx, change.After)
				r.group(change)
			},
			OnSynced: func() {
				if left.Add(-1) == 0 {
					r.recordDeleted(timeline.Group)
				}
			},
		}))
	}
	return all
}

// pods follows the pods of the workload cluster, and those of autoscalers in the
// management cluster. The channel that it returns is closed when all pods were seen
// and the logs of autoscalers read.
func (r *recorder) pods(ctx context.Context) <-chan struct{} {
	workload := r.follow(ctx, r.Workload, kube.Follower{
		Kind: kube.Pods, OnChange: func(change kube.Change) { r.pod(ctx, change) }, OnSynced: func() { r.recordDeleted(timeline.Pod) },
	})
	management := workload
	if r.Management != r.Workload {
		management = r.follow(ctx, r.Management, kube.Follower{
			Kind: kube.Pods, OnChange: func(change kube.Change) { r.autoscalerPod(ctx, r.Management, change) },
		})
	}
	done := make(chan struct{})
	r.all.Go(func() {
		for _, synced := range []<-chan struct{}{workload, management} {
			select {
			case <-synced:
			case <-ctx.Done():
				return
			}
		}
		r.recordDeleted(timeline.Autoscaler)
		r.mu.Lock()
		reading := r.logReads
		r.mu.Unlock()
		for _, read := range reading {
			select {
			case <-read:
			case <-ctx.Done():
				return
			}
		}
		close(done)
	})
	return done
}

// follow follows a kind of objects. The channel that it returns is closed when all
// objects were seen.
func (r *recorder) follow(ctx context.Context, c *kube.Client, f kube.Follower) <-chan struct{} {
	done, onSynced := make(chan struct{}), f.OnSynced
	f.OnChange, f.OnError = slim(f.OnChange), r.report
	f.OnSynced = func() {
		if onSynced != nil {
			onSynced()
		}
		close(done)
	}
	r.all.Go(func() { c.Follow(ctx, f) })
	return done
}

// slim removes the managedFields of an object after onChange has read them. A follower keeps each object until its
// next change, and managedFields are a large part of it.
func slim(onChange func(kube.Change)) func(kube.Change) {
	return func(change kube.Change) {
		onChange(change)
		if change.After != nil {
			change.After.SetManagedFields(nil)
		}
	}
}

// askAgainAfter is the pause between two attempts to read a kind or a log that the user may not
// read. Somebody may give the right while the recorder runs.
const askAgainAfter = 5 * time.Minute

// followOptional is follow for a kind without which a record is of use. The channel is closed too
// when the user may not read the kind, or the API server does not serve it. The kind then does not
// count as seen. A missing right is reported once, and the kind is asked for again every askAgainAfter.
func (r *recorder) followOptional(ctx context.Context, c *kube.Client, f kube.Follower) <-chan struct{} {
	done, onSynced := make(chan struct{}), f.OnSynced
	end := sync.OnceFunc(func() { close(done) })
	f.OnChange = slim(f.OnChange)
	var synced, reported bool
	stop := func() {}
	f.OnSynced = func() {
		if onSynced != nil {
			onSynced()
		}
		synced, reported = true, false
		end()
	}
	f.OnError = func(err error) {
		if !apierrors.IsForbidden(err) {
			r.report(err)
			if meta.IsNoMatchError(err) {
				end()
			}
			return
		}
		if !reported {
			r.report(missingRight(f.Kind, err))
			reported = true
		}
		end()
		if !synced { // a new follower would not notice which objects were deleted
			stop()
		}
	}
	r.all.Go(func() {
		for ctx.Err() == nil {
			var asking context.Context
			asking, stop = context.WithCancel(ctx)
			c.Follow(asking, f)
			stop()
			select {
			case <-ctx.Done():
			case <-time.After(askAgainAfter):
			}
		}
	})
	return done
}

// deniedRequest finds the verb and the resource in what an API server says of a request that no role allows.
var deniedRequest = regexp.MustCompile(`cannot (\S+) resource "([^"]+)"`)

// missingRight returns an error that says which right the user lacks, by the error of a request for a kind: the
// verb, the resource and its API group. If the message has another form, the verb is taken to be list.
func missingRight(kind schema.GroupKind, err error) error {
	verb, resource := "list", kind.Kind
	if status := apierrors.APIStatus(nil); errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind != "" {
		resource = status.Status().Details.Kind // a Status has the name of the resource there
	}
	if m := deniedRequest.FindStringSubmatch(err.Error()); m != nil {
		verb, resource = m[1], m[2]
	}
	return fmt.Errorf("no right to %s %s in the API group %q; the recorder tries again every %s: %w", verb, resource, kind.Group, askAgainAfter, err)
}

// waitAll waits until all channels are closed, for maxWait at most.
func waitAll(ctx context.Context, all ...<-chan struct{}) {
	timeout := time.After(maxWait)
	for _, c := range all {
		select {
		case <-c:
		case <-timeout:
			return
		case <-ctx.Done():
			return
		}
	}
}

// isOurs reports whether an object belongs to the cluster that is recorded.
func (r *recorder) isOurs(o *unstructured.Unstructured) bool {
	return r.Cluster == "" || kube.Field(o, "spec", "clusterName") == r.Cluster
}

func (r *recorder) group(change kube.Change) {
	switch o := change.After; {
	case o == nil:
		r.recordGone(timeline.Group, string(change.Before.GetUID()))
	case r.isOurs(o) && !isOwned(o):
		r.observe(timeline.Group, string(o.GetUID()), func() []timeline.Fact { return objectfacts.Group(o, r.now()) })
	}
}

// isOwned reports whether an object is the MachineSet of a MachineDeployment. The autoscaler scales
// the MachineDeployment then.
func isOwned(o *unstructured.Unstructured) bool {
	return o.GroupVersionKind().GroupKind() == kube.MachineSets && slices.ContainsFunc(o.GetOwnerReferences(), func(owner metav1.OwnerReference) bool {
		return owner.Kind == kube.MachineDeployments.Kind
	})
}

func (r *recorder) template(change kube.Change) {
	o := change.After
	if o == nil {
		r.recordGone(timeline.Template, string(change.Before.GetUID()))
		return
	}
	r.observe(timeline.Template, string(o.GetUID()), func() []timeline.Fact { return objectfacts.Template(o, r.now()) })
}

func (r *recorder) budget(change kube.Change) {
	o := change.After
	if o == nil {
		r.recordGone(timeline.Budget, string(change.Before.GetUID()))
		return
	}
	r.observe(timeline.Budget, string(o.GetUID()), func() []timeline.Fact { return objectfacts.Budget(o, r.now()) })
}

func (r *recorder) machine(change kube.Change) {
	switch o := change.After; {
	case o == nil:
		r.recordGone(timeline.Machine, string(change.Before.GetUID()))
	case r.isOurs(o):
		r.observe(timeline.Machine, string(o.GetUID()), func() []timeline.Fact { return objectfacts.Machine(o, r.groups.OfMachine(o), r.now()) })
	}
}

func (r *recorder) cluster(change kube.Change) {
	o := change.After
	if o == nil || r.Cluster != "" && o.GetName() != r.Cluster {
		return
	}
	r.observe(timeline.Group, string(o.GetUID()), func() []timeline.Fact { return objectfacts.Cluster(o, r.now()) })
}

func (r *recorder) node(change kube.Change) {
	o := change.After
	if o == nil {
		r.recordGone(timeline.Node, string(change.Before.GetUID()))
		return
	}
	node, err := kube.Node(o)
	if err != nil {
		r.report(err)
		return
	}
	r.observe(timeline.Node, string(node.UID), func() []timeline.Fact { return objectfacts.Node(node, r.groups.OfNode(node), r.now()) })
}

func (r *recorder) status(change kube.Change) {
	o := change.After
	if o == nil || o.GetName() != autoscaler.StatusConfigMap {
		return
	}
	r.observe(timeline.Autoscaler, "status", func() []timeline.Fact { return objectfacts.Health(o, r.now()) })
}

// pod follows the pods of the workload cluster.
func (r *recorder) pod(ctx context.Context, change kube.Change) {
	if change.After == nil {
		r.recordGone(timeline.Pod, string(change.Before.GetUID()))
	}
	if pod := r.autoscalerPod(ctx, r.Workload, change); pod != nil {
		r.observePod(pod)
	}
}

func (r *recorder) observePod(pod *corev1.Pod) {
	r.observe(timeline.Pod, string(pod.UID), func() []timeline.Fact {
		return objectfacts.Pod(pod, r.groups.OfNodeName(pod.Spec.NodeName), r.now())
	})
}

// observeProcess records the pod of an autoscaler that runs in the containers.
func (r *recorder) observeProcess(pod *corev1.Pod, containers []string) {
	r.observe(timeline.Autoscaler, string(pod.UID), func() []timeline.Fact { return objectfacts.Process(pod, containers, r.now()) })
}

// autoscalerPod records a pod of an autoscaler and begins to read its log. It returns the
// pod, whatever it runs, and nil for one that is gone.
func (r *recorder) autoscalerPod(ctx context.Context, c *kube.Client, change kube.Change) *corev1.Pod {
	pod, err := kube.Pod(cmp.Or(change.After, change.Before))
	if err != nil {
		r.report(err)
		return nil
	}
	if change.After == nil {
		r.recordGone(timeline.Autoscaler, string(pod.UID))
		r.setInstances(pod, func(string) instance { return instance{finished: true} })
		return nil
	}
	containers := objectfacts.AutoscalerContainers(pod)
	if len(containers) == 0 {
		return pod
	}
	r.observeProcess(pod, containers)
	r.setInstances(pod, func(container string) instance { return instanceOf(pod, container) })
	if change.Before == nil {
		for _, container := range containers {
			read := make(chan struct{})
			r.mu.Lock()
			r.logReads = append(r.logReads, read)
			r.mu.Unlock()
			r.all.Go(func() { r.podLog(ctx, c, pod, container, sync.OnceFunc(func() { close(read) })) })
		}
	}
	return pod
}

// setInstances stores which instance runs in each container of an autoscaler's pod.
func (r *recorder) setInstances(pod *corev1.Pod, now func(container string) instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, container := range objectfacts.AutoscalerContainers(pod) {
		r.instances[logKey(pod, container)] = now(container)
	}
}

// labFact applies a fact that this or another command of the lab added to the record: in
// a new scenario every statement of the autoscaler is new.
func (r *recorder) labFact(f timeline.Fact) {
	if f.Kind != timeline.Lab {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statements.Learn(f)
}

// hostLog returns a reader of LogFile that starts where the previous recorder stopped.
func (r *recorder) hostLog() *hostlog.Reader {
	var last time.Time
	var lines logfacts.Reader
	return &hostlog.Reader{
		Path: r.LogFile, At: r.bookmark.Log,
		OnLine: func(text string) bool {
			at, ok := r.logLine(text, cmp.Or(last, r.now()), &lines)
			last = cmp.Or(at, last)
			return ok
		},
		OnPosition: func(p hostlog.Position) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.bookmark.Log = p
		},
		OnEnd: func() { r.logRest(&lines) },
	}
}

// logRest records what is left when no line follows.
func (r *recorder) logRest(lines *logfacts.Reader) {
	for _, f := range lines.Rest() {
		r.recordOnce(f)
	}
}

// logLine records the fact of a line of the autoscaler's log, if it is one, and
// returns the fact's time. day is as for logfacts.Statement, lines has read the lines before.
// ok is false if the fact could not be appended.
func (r *recorder) logLine(text string, day time.Time, lines *logfacts.Reader) (at time.Time, ok bool) {
	return r.logEntry(speech.Parse(text), day, lines)
}

// logEntry is logLine for a parsed line.
func (r *recorder) logEntry(e speech.Entry, day time.Time, lines *logfacts.Reader) (at time.Time, ok bool) {
	for _, f := range lines.Read(e, day) {
		r.recordOnce(f)
	}
	if e.Class == speech.Loop {
		r.mu.Lock()
		r.statements.NextRound()
		r.mu.Unlock()
		return time.Time{}, true
	}
	f, isFact := logfacts.Statement(e, day)
	if !isFact {
		return time.Time{}, true
	}
	return f.Time, r.recordMessage(f)
}

// save writes the bookmark, and facts that could not be appended before.
func (r *recorder) save() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.recordFacts(nil)
	r.bookmark.Statements = r.statements.LastTimes()
	if err := r.bookmark.save(r.File, now); err != nil {
		r.reportLocked(err)
	}
}
