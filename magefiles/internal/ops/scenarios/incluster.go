package scenarios

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/metrics"
	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/interrupt"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/ops/autoscalers"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/engine"
)

// inClusterAutoscaler is an autoscaler that runs in the cluster, as a Deployment.
type inClusterAutoscaler struct {
	compiledAutoscaler
	image string
	// port is the port of the metrics, a string. Metrics may read it while Start runs.
	port atomic.Value
	// deployed is true as soon as there may be a Deployment, with the rights rbac.
	deployed bool
	rbac     string
	// stopWatching ends the watch of its pods. reported has the ends of containers that were
	// reported.
	stopWatching func()
	reported     map[string]bool
}

// Deployed implements engine.Autoscaler.
func (d *inClusterAutoscaler) Deployed() bool { return true }

// Start implements engine.Autoscaler.
func (d *inClusterAutoscaler) Start(ctx context.Context, i engine.Invocation) (err error) {
	if d.running != nil && d.running.Equal(i) {
		select {
		case err := <-d.ended:
			d.Log.Printf("! %v", err)
		default:
		}
		// It may have ended meanwhile, and wait for the kubelet to start it again.
		return d.awaitRound(ctx)
	}
	if d.mustGo(i) {
		if err := d.Stop(ctx); err != nil {
			return err
		}
	}
	if d.image == "" {
		if d.image, err = d.Autoscalers.Load(ctx, d.compiled); err != nil {
			return err
		}
	}
	flags, err := d.Autoscalers.CheckedFlags(ctx, d.compiled.Binary, d.Autoscalers.InClusterSettings(d.cluster), d.withFlags(i))
	if err != nil {
		return err
	}
	if err := checkVerbosity(flags); err != nil {
		return err
	}
	d.deployed, d.rbac, d.running = true, i.RBAC, nil
	_, port, err := net.SplitHostPort(cmp.Or(autoscalers.ValueOf(flags, "address"), ":8085"))
	if err != nil {
		return fmt.Errorf("--address: %w", err)
	}
	d.port.Store(port)
	apply := autoscalers.ApplyOptions{Image: d.image, Flags: flags, Env: i.Env}
	if i.RBAC == scenario.UpstreamRBAC {
		if apply.Rules, err = autoscaler.ExampleRules(d.compiled.Tree.Dir); err != nil {
			return err
		}
	}
	if err := d.Autoscalers.Apply(ctx, d.cluster, apply); err != nil {
		return err
	}
	d.watchPods(ctx)
	if err := d.awaitRound(ctx); err != nil {
		return err
	}
	d.running = &i
	return nil
}

// mustGo reports whether the Deployment must be deleted before the autoscaler is started. If only
// its rights change, its pod is not restarted, and the autoscaler keeps its old watches.
func (d *inClusterAutoscaler) mustGo(i engine.Invocation) bool { return d.deployed && d.rbac != i.RBAC }

// Stop implements engine.Autoscaler.
func (d *inClusterAutoscaler) Stop(ctx context.Context) error {
	deployed, gone := d.deployed, interrupt.Gone(ctx) != nil
	d.forget()
	if !deployed || gone {
		return nil //nolint:nilerr // nothing is left to remove
	}
	d.running = nil // even if it is only partly deleted
	if err := d.Autoscalers.Undeploy(ctx); err != nil && interrupt.Gone(ctx) == nil {
		return fmt.Errorf("the autoscaler may be left in the cluster; to remove it, type: %s: %w", d.Config.Command("autoscaler:undeploy"), errors.Join(context.Cause(ctx), err))
	}
	d.deployed = false
	return nil
}

// Metrics implements engine.Autoscaler.
func (d *inClusterAutoscaler) Metrics(ctx context.Context) (metrics.Sample, error) {
	port, started := d.port.Load().(string)
	if !started {
		return nil, errors.New("the autoscaler was not started yet")
	}
	pods, err := d.cluster.Workload.List(ctx, kube.Pods, d.cluster.Namespace)
	if err != nil {
		return nil, fmt.Errorf("look for the autoscaler's pod: %w", err)
	}
	for i := range pods {
		if p := &pods[i]; autoscalers.IsPod(p) && p.GetDeletionTimestamp() == nil && kube.Field(p, "status", "phase") == string(corev1.PodRunning) {
			text, err := d.cluster.Workload.FromPod(ctx, p.GetNamespace(), p.GetName(), port, "/metrics")
			if err != nil {
				return nil, err
			}
			return metrics.Parse(bytes.NewReader(text))
		}
	}
	return nil, errors.New("no pod of the autoscaler runs")
}

// Kill implements engine.Autoscaler. The Deployment makes another pod.
func (d *inClusterAutoscaler) Kill(ctx context.Context) error {
	pods, err := d.cluster.Workload.List(ctx, kube.Pods, d.cluster.Namespace)
	if err != nil {
		return fmt.Errorf("look for the autoscaler's pod: %w", err)
	}
	for i := range pods {
		if !autoscalers.IsPod(&pods[i]) {
			continue
		}
		if err := d.cluster.Workload.Kill(ctx, kube.Pods, d.cluster.Namespace, pods[i].GetName()); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("kill the autoscaler's pod %s: %w", pods[i].GetName(), err)
		}
	}
	return nil
}

// watchPods reports the ends of containers until forget is called. The kubelet starts a
// container again, but its unfinished work is lost, as with a process.
func (d *inClusterAutoscaler) watchPods(ctx context.Context) {
	d.forget()
	if d.reported == nil {
		d.reported = map[string]bool{}
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx)) // until forget
	done := make(chan struct{})
	d.stopWatching = func() {
		cancel()
		<-done
		select {
		case <-d.ended: // that is over
		default:
		}
	}
	go func() {
		defer close(done)
		d.cluster.Workload.Follow(life, kube.Follower{Kind: kube.Pods, Namespace: d.cluster.Namespace, OnChange: func(change kube.Change) {
			end, err := crashed(change.After)
			if err == nil || d.reported[end] {
				return
			}
			d.reported[end] = true
			select {
			case d.ended <- err:
			default: // one is enough
			}
		}})
	}()
}

// forget ends the watch of watchPods.
func (d *inClusterAutoscaler) forget() {
	if d.stopWatching != nil {
		d.stopWatching()
		d.stopWatching = nil
	}
}

// crashed returns an error, with the end of the log, if the container of the
// Deployment's pod ended by itself. end identifies this end.
func crashed(o *unstructured.Unstructured) (end string, err error) {
	if o == nil || !autoscalers.IsPod(o) || o.GetDeletionTimestamp() != nil {
		return "", nil
	}
	pod, err := kube.Pod(o)
	if err != nil {
		return "", err
	}
	ended := lastTermination(pod)
	if ended == nil {
		return "", nil
	}
	return fmt.Sprint(pod.UID, ended.FinishedAt.Unix()),
		fmt.Errorf("the container of the pod %s ended with exit code %d (%s)\n%s", pod.Name, ended.ExitCode, ended.Reason, ended.Message)
}

// lastTermination returns how the container of an autoscaler's pod ended last; nil if it
// never did.
func lastTermination(pod *corev1.Pod) *corev1.ContainerStateTerminated {
	for _, c := range pod.Status.ContainerStatuses {
		for _, state := range []corev1.ContainerState{c.State, c.LastTerminationState} {
			if state.Terminated != nil {
				return state.Terminated
			}
		}
	}
	return nil
}

// awaitRound waits until the deployed autoscaler begins its first round. It may have to
// wait for the lease of the previous autoscaler.
func (d *inClusterAutoscaler) awaitRound(ctx context.Context) (err error) {
	step := d.Log.Start("await its first round", 20*time.Second)
	defer func() { step.Done("", err) }()
	waiting, stop := interrupt.WithTimeout(ctx, firstRoundTimeout)
	defer stop()
	var pod string
	var since time.Time
	err = d.cluster.Workload.Wait(waiting, kube.Pods, d.cluster.Namespace, func(all []*unstructured.Unstructured) (bool, string) {
		for _, p := range all {
			if !autoscalers.IsPod(p) || p.GetDeletionTimestamp() != nil {
				continue
			}
			var err error
			if since, err = runsSince(p); err != nil {
				return false, err.Error()
			}
			if !since.IsZero() {
				pod = p.GetName()
				return true, ""
			}
		}
		return false, "the autoscaler's container to run"
	}, step.Progress)
	if err != nil {
		return err
	}
	// A log request may be cut off.
	return kube.Retry(waiting, "the autoscaler's first round", time.Second, func(ctx context.Context) error {
		select {
		case err := <-d.ended:
			return kube.Permanent(err)
		default:
			return d.seesRound(ctx, pod, since)
		}
	})
}

// runsSince returns when the container of an autoscaler's pod was started; zero if it
// does not run. Between an end and the kubelet's next start, the pod's phase is still
// Running, and its log is that of the container before.
func runsSince(o *unstructured.Unstructured) (time.Time, error) {
	pod, err := kube.Pod(o)
	if err != nil {
		return time.Time{}, err
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil {
			return c.State.Running.StartedAt.Time, nil
		}
	}
	return time.Time{}, nil
}

// seesRound reads the log of the container until a round since then begins in it.
func (d *inClusterAutoscaler) seesRound(ctx context.Context, pod string, since time.Time) (err error) {
	log, err := d.cluster.Workload.Logs(ctx, d.cluster.Namespace, pod, autoscaler.Name, since)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := readToRound(log); err != nil {
		return fmt.Errorf("read the log of the pod %s: %w", pod, err)
	}
	return nil
}

// readToRound reads a log, each line with its time before it, until a round
// begins in it.
func readToRound(log io.Reader) error {
	reader := bufio.NewReader(log)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return err
		}
		_, message, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if speech.Parse(message).Class == speech.Loop {
			return nil
		}
	}
}
