package scenarios

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/engine"
	"caslab/magefiles/internal/target"
)

// autoscalerPod returns a pod of the autoscaler's Deployment whose container has
// the given state.
func autoscalerPod(t *testing.T, state string) *unstructured.Unstructured {
	t.Helper()
	pod := new(unstructured.Unstructured)
	text := fmt.Sprintf(`{apiVersion: v1, kind: Pod, metadata: {name: ca-1, namespace: default, labels: {app: caslab-autoscaler}},
		status: {phase: Running, containerStatuses: [{name: caslab-autoscaler, %s}]}}`, state)
	if err := yaml.Unmarshal([]byte(text), &pod.Object); err != nil {
		t.Fatal(err)
	}
	return pod
}

const (
	runs        = `restartCount: 0, state: {running: {startedAt: "2026-11-25T10:00:00Z"}}`
	ended       = `restartCount: 0, state: {terminated: {exitCode: 2, reason: Error, finishedAt: "2026-11-25T10:01:00Z", message: "panic: nil map"}}`
	runsAgain   = `restartCount: 1, state: {running: {startedAt: "2026-11-25T10:01:01Z"}}, lastState: {terminated: {exitCode: 2, reason: Error, finishedAt: "2026-11-25T10:01:00Z", message: "panic: nil map"}}`
	endedAgain  = `restartCount: 1, state: {terminated: {exitCode: 2, reason: Error, finishedAt: "2026-11-25T10:02:00Z", message: "panic: nil map"}}, lastState: {terminated: {exitCode: 2, reason: Error, finishedAt: "2026-11-25T10:01:00Z", message: "panic: nil map"}}`
	deletedPods = `restartCount: 0, state: {terminated: {exitCode: 0, reason: Completed, finishedAt: "2026-11-25T10:01:00Z"}}`
)

// TestCrashed: a crash is reported also while the container runs again. Each
// crash has its own identity, and the end of a deleted pod is not a crash.
func TestCrashed(t *testing.T) {
	t.Parallel()
	deleted := autoscalerPod(t, deletedPods)
	deleted.SetDeletionTimestamp(&metav1.Time{Time: time.Now()})
	other := autoscalerPod(t, ended)
	other.SetLabels(map[string]string{"app": "web"})
	ends := map[string]string{}
	for name, c := range map[string]struct {
		pod  *unstructured.Unstructured
		want bool
	}{
		"begins":         {autoscalerPod(t, runs), false},
		"ended":          {autoscalerPod(t, ended), true},
		"begins again":   {autoscalerPod(t, runsAgain), true},
		"ended again":    {autoscalerPod(t, endedAgain), true},
		"is deleted":     {deleted, false},
		"is gone":        {nil, false},
		"is another pod": {other, false},
	} {
		end, err := crashed(c.pod)
		if (err != nil) != c.want {
			t.Errorf("%s: %v, want an error: %t", name, err, c.want)
		}
		if err != nil && (!strings.Contains(err.Error(), "exit code 2 (Error)") || !strings.HasSuffix(err.Error(), "panic: nil map")) {
			t.Errorf("%s: the error does not tell how it ended: %v", name, err)
		}
		ends[name] = end
	}
	if ends["ended"] != ends["begins again"] || ends["ended"] == ends["ended again"] {
		t.Errorf("the ends are %q, want one for each life", ends)
	}
}

// TestInClusterCrashIsReported: the end of a container is reported once as the end of the
// autoscaler, and not after forget.
func TestInClusterCrashIsReported(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t, []schema.GroupVersionKind{{Version: "v1", Kind: "Pod"}}, "")
	server.Put(autoscalerPod(t, runs))
	client := server.Client()
	d := &inClusterAutoscaler{compiledAutoscaler: compiledAutoscaler{cluster: &target.Cluster{Workload: client, Namespace: "default"}, ended: make(chan error, 1)}}
	d.watchPods(t.Context())
	for _, state := range []string{ended, runsAgain} {
		server.Put(autoscalerPod(t, state))
	}
	select {
	case err := <-d.Ended():
		if !strings.Contains(err.Error(), "panic: nil map") {
			t.Errorf("it ended with %v, want the end of its log", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the crash was not reported")
	}
	d.watchPods(t.Context()) // the pod still has the end of its first life
	d.forget()
	select {
	case err := <-d.Ended():
		t.Errorf("%v was reported again", err)
	default:
	}
}

// TestOtherRightsDeployTheAutoscalerAnew: it keeps what it was allowed to watch when it began.
func TestOtherRightsDeployTheAutoscalerAnew(t *testing.T) {
	t.Parallel()
	d := &inClusterAutoscaler{image: "autoscaler:dev", deployed: true}
	d.running = &engine.Invocation{}
	for name, i := range map[string]engine.Invocation{"other rights": {RBAC: scenario.UpstreamRBAC}, "the same rights": {Flags: []string{"--v=5"}}} {
		if got, want := d.mustGo(i), i.RBAC != ""; got != want {
			t.Errorf("%s: the Deployment has to go: %t, want %t", name, got, want)
		}
	}
}

// TestInClusterKill: the autoscaler's pods are killed, and no others.
func TestInClusterKill(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t, []schema.GroupVersionKind{{Version: "v1", Kind: "Pod"}}, "")
	other := autoscalerPod(t, runs)
	other.SetName("theirs")
	other.SetLabels(nil)
	server.Put(autoscalerPod(t, runs), other)
	d := &inClusterAutoscaler{compiledAutoscaler: compiledAutoscaler{cluster: &target.Cluster{Workload: server.Client(), Namespace: "default"}}}
	if err := d.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := server.List(kube.Pods); len(left) != 1 || left[0].GetName() != "theirs" {
		t.Errorf("%d pods are left: %v", len(left), left)
	}
	d.port.Store("8085")
	if _, err := d.Metrics(t.Context()); err == nil || !strings.Contains(err.Error(), "no pod of the autoscaler runs") {
		t.Errorf("Metrics() = %v", err)
	}
}

// TestRunsSince: a pod whose container waits for the kubelet's next start does
// not run, whatever its phase.
func TestRunsSince(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]string{runs: "10:00:00", runsAgain: "10:01:01", ended: "00:00:00", endedAgain: "00:00:00"} {
		if got, err := runsSince(autoscalerPod(t, state)); err != nil || got.UTC().Format(time.TimeOnly) != want {
			t.Errorf("%s: since %s, %v; want %s", state, got, err, want)
		}
	}
}

func TestReadToRound(t *testing.T) {
	t.Parallel()
	const (
		before = "2026-11-25T08:40:44.891098000Z I1125 08:40:44.891098       1 leaderelection.go:272] \"Successfully acquired lease\"\n"
		round  = "2026-11-25T08:40:55.920568752Z I1125 08:40:55.920484       1 static_autoscaler.go:308] Starting main loop\n"
	)
	log := strings.NewReader(before + round + before)
	if err := readToRound(log); err != nil {
		t.Error(err)
	}
	if err := readToRound(strings.NewReader(before)); !errors.Is(err, io.EOF) {
		t.Errorf("of a log without a round: %v, want io.EOF", err)
	}
}
