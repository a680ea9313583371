package recorder

import (
	"cmp"
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
)

const (
	// patience is the longest time that the recording of nodes waits for that of
	// machines, and the recording of pods for that of nodes, to learn the groups.
	patience = 10 * time.Second
	// saveEvery is how often the bookmark is written.
	saveEvery = 2 * time.Second
)

// run follows everything until ctx is done or the record is started again.
func (r *recorder) run(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	await(ctx,
		r.follow(ctx, r.Management, kube.Follower{Kind: kube.MachineDeployments, Namespace: r.Namespace, On: r.deployment, Synced: func() { r.sweep(timeline.Group) }}),
		r.follow(ctx, r.Management, kube.Follower{Kind: kube.Machines, Namespace: r.Namespace, On: r.machine, Synced: func() { r.sweep(timeline.Machine) }}),
		r.follow(ctx, r.Management, kube.Follower{Kind: kube.Clusters, Namespace: r.Namespace, On: r.cluster}),
	)
	await(ctx, r.follow(ctx, r.Workload, kube.Follower{Kind: kube.Nodes, On: r.node, Synced: func() { r.sweep(timeline.Node) }}))
	last := []<-chan struct{}{
		r.pods(ctx),
		r.follow(ctx, r.Workload, kube.Follower{Kind: kube.ConfigMaps, Namespace: r.ConfigNamespace, On: r.status}),
		r.follow(ctx, r.Workload, kube.Follower{Kind: kube.Events, On: r.event, Synced: r.forget}),
	}
	if r.Synced != nil {
		r.all.Go(func() {
			for _, c := range last {
				select {
				case <-c:
				case <-ctx.Done():
					return
				}
			}
			r.Synced()
		})
	}
	if r.LogFile != "" {
		r.all.Go(func() { r.hostLog().follow(ctx, r.failed) })
	}
	r.all.Go(func() {
		if err := timeline.TailNew(ctx, r.File, r.lab); err != nil {
			r.failed(err)
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

// pods follows the pods of the workload cluster, and those of autoscalers in the
// management cluster. The channel that it returns is closed when all pods were seen
// and the logs of autoscalers read.
func (r *recorder) pods(ctx context.Context) <-chan struct{} {
	workload := r.follow(ctx, r.Workload, kube.Follower{
		Kind: kube.Pods, On: func(change kube.Change) { r.pod(ctx, change) }, Synced: func() { r.sweep(timeline.Pod) },
	})
	management := workload
	if r.Management != r.Workload {
		management = r.follow(ctx, r.Management, kube.Follower{
			Kind: kube.Pods, On: func(change kube.Change) { r.autoscalerPod(ctx, r.Management, change) },
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
		r.sweep(timeline.Autoscaler)
		r.mu.Lock()
		reading := r.reading
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
	done, synced := make(chan struct{}), f.Synced
	f.Trouble = r.failed
	f.Synced = func() {
		if synced != nil {
			synced()
		}
		close(done)
	}
	r.all.Go(func() { c.Follow(ctx, f) })
	return done
}

// await waits until all channels are closed, for patience at most.
func await(ctx context.Context, all ...<-chan struct{}) {
	enough := time.After(patience)
	for _, c := range all {
		select {
		case <-c:
		case <-enough:
			return
		case <-ctx.Done():
			return
		}
	}
}

// ours reports whether an object belongs to the cluster that is recorded.
func (r *recorder) ours(o *unstructured.Unstructured) bool {
	return r.Cluster == "" || kube.Field(o, "spec", "clusterName") == r.Cluster
}

func (r *recorder) deployment(change kube.Change) {
	switch o := change.After; {
	case o == nil:
		r.gone(timeline.Group, string(change.Before.GetUID()))
	case r.ours(o):
		r.observe(timeline.Group, string(o.GetUID()), func() []timeline.Fact { return deploymentFacts(o, time.Now()) })
	}
}

func (r *recorder) machine(change kube.Change) {
	switch o := change.After; {
	case o == nil:
		r.gone(timeline.Machine, string(change.Before.GetUID()))
	case r.ours(o):
		r.observe(timeline.Machine, string(o.GetUID()), func() []timeline.Fact { return machineFacts(o, r.groups.ofMachine(o), time.Now()) })
	}
}

func (r *recorder) cluster(change kube.Change) {
	o := change.After
	if o == nil || r.Cluster != "" && o.GetName() != r.Cluster {
		return
	}
	r.observe(timeline.Group, string(o.GetUID()), func() []timeline.Fact { return clusterFacts(o, time.Now()) })
}

func (r *recorder) node(change kube.Change) {
	o := change.After
	if o == nil {
		r.gone(timeline.Node, string(change.Before.GetUID()))
		return
	}
	node, err := kube.Node(o)
	if err != nil {
		r.failed(err)
		return
	}
	r.observe(timeline.Node, string(node.UID), func() []timeline.Fact { return nodeFacts(node, r.groups.ofNode(node), time.Now()) })
}

func (r *recorder) status(change kube.Change) {
	o := change.After
	if o == nil || o.GetName() != autoscaler.StatusConfigMap {
		return
	}
	r.observe(timeline.Autoscaler, "status", func() []timeline.Fact { return healthFacts(o, time.Now()) })
}

// pod follows the pods of the workload cluster.
func (r *recorder) pod(ctx context.Context, change kube.Change) {
	if change.After == nil {
		r.gone(timeline.Pod, string(change.Before.GetUID()))
	}
	if pod := r.autoscalerPod(ctx, r.Workload, change); pod != nil && isWorkload(pod) {
		r.observe(timeline.Pod, string(pod.UID), func() []timeline.Fact {
			return podFacts(pod, r.groups.nodes[pod.Spec.NodeName], time.Now())
		})
	}
}

// autoscalerPod records a pod of an autoscaler and begins to read its log. It
// returns any other pod, and nil for one that is gone.
func (r *recorder) autoscalerPod(ctx context.Context, c *kube.Client, change kube.Change) *corev1.Pod {
	pod, err := kube.Pod(cmp.Or(change.After, change.Before))
	if err != nil {
		r.failed(err)
		return nil
	}
	if change.After == nil {
		r.gone(timeline.Autoscaler, string(pod.UID))
		r.runs(pod, func(string) instance { return instance{over: true} })
		return nil
	}
	containers := autoscalerContainers(pod)
	if len(containers) == 0 {
		return pod
	}
	r.observe(timeline.Autoscaler, string(pod.UID), func() []timeline.Fact { return processFacts(pod, containers, time.Now()) })
	r.runs(pod, func(container string) instance { return instanceOf(pod, container) })
	if change.Before == nil {
		for _, container := range containers {
			read := make(chan struct{})
			r.mu.Lock()
			r.reading = append(r.reading, read)
			r.mu.Unlock()
			r.all.Go(func() { r.podLog(ctx, c, pod, container, sync.OnceFunc(func() { close(read) })) })
		}
	}
	return nil
}

// runs notes which instance runs in each container of an autoscaler's pod.
func (r *recorder) runs(pod *corev1.Pod, now func(container string) instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, container := range autoscalerContainers(pod) {
		r.instances[logOf(pod, container)] = now(container)
	}
}

// lab learns a fact that this or another command of the lab added to the record: in a
// new scenario every statement of the autoscaler is new.
func (r *recorder) lab(f timeline.Fact) {
	if f.Kind != timeline.Lab {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.repeats.hear(f)
}

// hostLog returns a reader of LogFile that starts where the previous recorder stopped.
func (r *recorder) hostLog() *hostLog {
	var last time.Time
	return &hostLog{
		path: r.LogFile, at: r.bookmark.Log,
		line: func(text string) bool {
			at, ok := r.logLine(text, cmp.Or(last, time.Now()))
			last = cmp.Or(at, last)
			return ok
		},
		reached: func(p place) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.bookmark.Log = p
		},
	}
}

// logLine records the fact of a line of the autoscaler's log, if it is one, and
// returns the fact's time. day is as for ParseLog. ok is false if the fact could not
// be appended.
func (r *recorder) logLine(text string, day time.Time) (at time.Time, ok bool) {
	e := speech.Parse(text)
	if e.Class == speech.Loop {
		r.mu.Lock()
		r.repeats.next()
		r.mu.Unlock()
		return time.Time{}, true
	}
	f, tells := logFact(e, day)
	if !tells {
		return time.Time{}, true
	}
	return f.Time, r.said(f)
}

// save writes the bookmark, and facts that could not be appended before.
func (r *recorder) save() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.tell(nil)
	r.bookmark.Said = r.repeats.times()
	if err := r.bookmark.save(r.File, now); err != nil {
		r.trouble(err)
	}
}
