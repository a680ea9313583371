package recorder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/logfacts"
)

// hostLogFile is the log file of an autoscaler on this machine.
type hostLogFile struct {
	t    *testing.T
	path string
}

// startProcess begins a new log, as each process of the autoscaler does.
func (l hostLogFile) startProcess() {
	l.t.Helper()
	if err := os.Rename(l.path, l.path+".previous"); err != nil && !errors.Is(err, os.ErrNotExist) {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(l.path, nil, 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.writeLine("main.go:250] Cluster Autoscaler 1.36.1\n")
}

// writeLine appends a message with klog's prefix and the current time.
func (l hostLogFile) writeLine(text string) {
	l.t.Helper()
	l.write(time.Now().Format("I0102 15:04:05.000000") + "    1 " + text)
}

func (l hostLogFile) write(text string) {
	l.t.Helper()
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := file.WriteString(text); err != nil {
		l.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		l.t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
}

// autoscalerTexts returns the texts of the autoscaler's facts without times.
func autoscalerTexts(lines []string) []string {
	var all []string
	for _, l := range lines {
		_, text, _ := strings.Cut(l, " autoscaler ")
		all = append(all, strings.TrimSuffix(text, " late"))
	}
	return all
}

func TestHostLogIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, "")
		l := hostLogFile{t, filepath.Join(t.TempDir(), "log")}
		b.LogFile = l.path
		full := func(n int) string {
			return fmt.Sprintf("o.go:1] Skipping node group MachineDeployment/default/g%d - max size reached\n", n)
		}
		b.expect(autoscalerTexts(b.record(nil))) // there is no log yet

		l.startProcess()
		l.writeLine(full(1))
		b.expect(autoscalerTexts(b.record(func() {
			l.writeLine("s.go:1] Starting main loop\n")
			l.writeLine(full(1)) // as in every round
			l.writeLine(strings.TrimSuffix(full(2), "\n"))
			time.Sleep(time.Second)
			l.write("\n") // the end of the line came later
			l.startProcess()
			l.writeLine(full(3))
			time.Sleep(time.Second)
			l.startProcess()
			l.writeLine(full(4))
		})), "started (1.36.1)", "refused in g1 (max size reached)", "refused in g2 (max size reached)",
			"started (1.36.1)", "refused in g3 (max size reached)", "started (1.36.1)", "refused in g4 (max size reached)")
		b.expect(b.record(nil))

		// While nobody recorded, two processes wrote.
		l.writeLine(full(5))
		l.startProcess()
		l.writeLine(full(6))
		b.expect(autoscalerTexts(b.record(nil)), "refused in g5 (max size reached)", "started (1.36.1)", "refused in g6 (max size reached)")
		b.expect(b.record(nil))

		// While nobody recorded, three processes wrote. Only the last two logs are kept.
		for n := 7; n <= 9; n++ {
			l.startProcess()
			l.writeLine(full(n))
		}
		b.expect(autoscalerTexts(b.record(nil)), "started (1.36.1)", "refused in g8 (max size reached)", "started (1.36.1)", "refused in g9 (max size reached)")

		// The next recorder knows that the statement is a repetition.
		l.writeLine("s.go:1] Starting main loop\n")
		l.writeLine(full(9))
		b.expect(b.record(nil))

		// Without a bookmark, because the recorder was killed, nothing is recorded twice.
		if err := os.Remove(b.File + ".bookmark"); err != nil {
			t.Fatal(err)
		}
		b.expect(b.record(nil))

		// A line that is written just before the recorder ends is recorded.
		b.expect(autoscalerTexts(b.record(func() {
			go func() {
				time.Sleep(3*time.Second - 50*time.Millisecond)
				l.writeLine("a.go:1] Scale-down: removing empty node \"n\"\n")
			}()
		})), `scaleDown on n (Scale-down: removing empty node "n")`)
	})
}

// TestRepeatedStatementIsRecordedAgain: a repeated statement is recorded again after its
// expiry, after a decision and in another scenario, but not because another recorder
// starts.
func TestRepeatedStatementIsRecordedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, "")
		l := hostLogFile{t, filepath.Join(t.TempDir(), "log")}
		b.LogFile = l.path
		b.record(nil)
		l.startProcess()
		rounds := func(n int) {
			for range n {
				l.writeLine("s.go:1] Starting main loop\n")
				l.writeLine("o.go:1] No expansion options\n")
				time.Sleep(10 * time.Second)
			}
		}
		const refused = "refused (No expansion options)"
		step := func(what, name string) {
			if err := timeline.Append(b.File, timeline.Fact{Time: time.Now(), Kind: timeline.Lab, What: what, Name: name, Source: timeline.Own}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		facts := func(lines []string) []string {
			return slices.DeleteFunc(autoscalerTexts(lines), func(text string) bool { return text == "" })
		}
		b.expect(facts(b.record(func() { rounds(30) })), "started (1.36.1)", refused)
		b.expect(facts(b.record(func() { rounds(3) })))
		b.expect(facts(b.record(func() {
			rounds(1)
			time.Sleep(2 * time.Minute) // the statement's expiry
			rounds(2)
		})), refused)
		b.expect(facts(b.record(func() {
			l.writeLine("e.go:1] Scale-up: setting group g size to 2\n")
			rounds(3)
		})), "scaleUp in g 2 (Scale-up: setting group g size to 2)", refused)
		b.expect(facts(b.record(func() {
			step(timeline.Step, "one")
			rounds(2)
			step(timeline.Passed, "one")
			step(timeline.Step, "two")
			rounds(2)
		})), refused, refused)
	})
}

// TestUnrecordedFactsOfTheLogAreKept: what several lines say together is recorded, once, though
// the record could not be written for a while.
func TestUnrecordedFactsOfTheLogAreKept(t *testing.T) {
	t.Parallel()
	r := newRecorder(Options{}, nil)
	full := true
	var written []string
	r.write = func(facts ...timeline.Fact) error {
		if full {
			return errors.New("no space left on device")
		}
		for _, f := range facts {
			written = append(written, strings.TrimSpace(f.What+" "+f.Text+string(f.Shape)))
		}
		return nil
	}
	var lines logfacts.Reader
	read := func(second int, text string) bool {
		_, ok := r.logLine(fmt.Sprintf("I1124 22:20:%02d.000000   1 a.go:1] %s", second, text), noon, &lines)
		return ok
	}
	read(1, `FLAG: --v="4"`)
	if read(2, "Cluster Autoscaler 1.36.1") {
		t.Error("a line that could not be recorded is not read again")
	}
	read(3, `Using version "v1beta2" for API group "cluster.x-k8s.io"`)
	full = false
	read(2, "Cluster Autoscaler 1.36.1")
	read(4, "Starting main loop")
	full = true
	read(14, "Starting main loop")
	r.logRest(&lines)
	full = false
	r.recordFacts(nil)
	want := []string{
		`shape {"flags":{"v":"4"}}`, `shape {"api":"v1beta2"}`, "started 1.36.1", `shape {"loops":{"from":"2026-11-24T22:20:04Z","last":"2026-11-24T22:20:04Z"}}`,
		`shape {"loops":{"n":1,"from":"2026-11-24T22:20:04Z","last":"2026-11-24T22:20:14Z"}}`,
	}
	if !slices.Equal(written, want) {
		t.Errorf("recorded\n%s\nwant\n%s", strings.Join(written, "\n"), strings.Join(want, "\n"))
	}
}

const autoscalerPod = `
apiVersion: v1
kind: Pod
metadata: {name: caslab-autoscaler-1, namespace: kube-system, uid: a1}
spec: {containers: [{name: autoscaler, image: "example.com/cluster-autoscaler:1"}]}
status: {phase: Running, containerStatuses: [{name: autoscaler, image: "example.com/cluster-autoscaler:1", state: {running: {startedAt: "2000-01-01T00:00:00Z"}}}]}
`

func TestAutoscalerPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, autoscalerPod)
		var reported []string
		b.OnError = func(err error) { reported = append(reported, err.Error()) }
		b.server.Intercept(func(q kubetest.Request) error {
			if q.Verb == "log" {
				return errors.New("no connection to the kubelet")
			}
			return nil
		})
		b.expect(b.record(nil), "00:00:00 autoscaler started kube-system/caslab-autoscaler-1 (example.com/cluster-autoscaler:1)")
		if len(reported) != 1 || !strings.Contains(reported[0], "caslab-autoscaler-1") {
			t.Errorf("reported %q; want that the log cannot be read", reported)
		}
		crash := func() {
			o, err := b.Workload.Get(t.Context(), kube.Pods, "kube-system", "caslab-autoscaler-1")
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Workload.Delete(t.Context(), kube.Pods, "kube-system", o.GetName()); err != nil {
				t.Fatal(err)
			}
		}
		b.expect(b.record(crash), "00:00:05 autoscaler stopped kube-system/caslab-autoscaler-1")
		b.expect(b.record(nil))

		b.create(strings.ReplaceAll(autoscalerPod, "a1", "a2"))
		b.record(nil)
		crash()
		time.Sleep(time.Minute)
		b.expect(b.record(nil), "00:00:16 autoscaler stopped kube-system/caslab-autoscaler-1 (between 2000-01-01T00:00:16Z and 2000-01-01T00:01:16Z, while nobody recorded) late")
	})
}

// recorder returns a recorder that has read the record but follows nothing yet.
func (b *fixture) recorder() *recorder {
	b.t.Helper()
	held, err := lock(b.File)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := held.Release(); err != nil {
			b.t.Error(err)
		}
	})
	r := newRecorder(b.Options, held)
	if err := r.readRecord(); err != nil {
		b.t.Fatal(err)
	}
	return r
}

// readFailingPodLog lets the recorder read the log of a pod that has finished, which fails for an hour and then does
// not. It returns how often the recorder requested the log within the hour, and what it reported.
func readFailingPodLog(t *testing.T, failure error) (requests int, reported []string) {
	b := newFixture(t, autoscalerPod)
	b.server.EndLog("kube-system", "caslab-autoscaler-1", "autoscaler")
	var works atomic.Bool
	b.server.Intercept(func(q kubetest.Request) error {
		if q.Verb == "log" && !works.Load() {
			return failure
		}
		return nil
	})
	b.OnError = func(err error) { reported = append(reported, err.Error()) }
	r := b.recorder()
	finished := kubetest.Object(t, autoscalerPod)
	finished.Object["status"] = kubetest.Object(t, "{phase: Failed, containerStatuses: [{name: autoscaler, containerID: c1, state: {terminated: {}}}]}").Object
	r.autoscalerPod(t.Context(), b.Workload, kube.Change{After: finished})
	time.Sleep(time.Hour)
	requests = b.server.Count("log", "pods")
	works.Store(true)
	r.all.Wait()
	return requests, reported
}

// TestPodLogThatMayNotBeReadIsRequestedSeldom: which right is missing is said once. With the right, the log is read.
func TestPodLogThatMayNotBeReadIsRequestedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, reported := readFailingPodLog(t, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "caslab-autoscaler-1", errors.New(`User "u" cannot get resource "pods/log" in API group "" in the namespace "kube-system"`)))
		if n < 10 || n > 15 {
			t.Errorf("the log was requested %d times within an hour, want once in 5 minutes", n)
		}
		if want := `no right to get pods/log in the API group ""; the recorder tries again every 5m0s: `; len(reported) != 1 || !strings.HasPrefix(reported[0], want) {
			t.Errorf("reported %q, want once %q", reported, want)
		}
	})
}

// TestPodLog: after an interruption the log of a container is read on from the last line,
// though the API server repeats the lines of the last second.
func TestPodLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, autoscalerPod)
		pod := kubetest.Typed(t, kube.Pod, autoscalerPod)
		writeLine := func(second, fraction int, text string) {
			at := time.Date(1999, 12, 31, 22, 20, second, fraction, time.UTC)
			b.server.Log(pod.Namespace, pod.Name, "autoscaler", at, at.Format("I0102 15:04:05.000000")+"    1 o.go:1] "+text)
		}
		var asked []string
		b.server.Intercept(func(q kubetest.Request) error {
			if q.Verb != "log" {
				return nil
			}
			asked = append(asked, q.Query.Get("sinceTime"))
			switch len(asked) {
			case 1: // it has not started yet
			case 2:
				writeLine(1, 1000, "Skipping node group MachineDeployment/default/a - max size reached")
				writeLine(2, 5000, "No expansion options")
				b.server.EndLog(pod.Namespace, pod.Name, "autoscaler")
			case 3:
				writeLine(2, 6000, "Scale-down: removing empty node \"n\"\nno time")
			default:
				b.server.Remove(kube.Pods, pod.Namespace, pod.Name)
			}
			return nil
		})
		// Lines from before the beginning of the record would not be recorded.
		b.appendFact(timeline.Fact{Time: time.Date(1999, 12, 31, 22, 20, 0, 0, time.UTC), Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b.recorder().podLog(ctx, b.Workload, pod, "autoscaler", func() {})
		if ctx.Err() != nil {
			t.Error("the log is still asked for when the pod is gone")
		}
		if want := []string{"", "", "1999-12-31T22:20:02Z", "1999-12-31T22:20:02Z"}; !slices.Equal(asked, want) {
			t.Errorf("asked for lines since %q, want %q", asked, want)
		}
		b.expect(b.newFacts(),
			"22:20:01 autoscaler refused in a (max size reached) late",
			"22:20:02 autoscaler refused (No expansion options) late",
			`22:20:02 autoscaler scaleDown on n (Scale-down: removing empty node "n") late`)
	})
}

// TestPodLogIsRequestedUntilThePodEnds: the log of a container that ended is requested
// again only when the container runs again, and never when the pod has ended.
func TestPodLogIsRequestedUntilThePodEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, autoscalerPod)
		b.server.EndLog("kube-system", "caslab-autoscaler-1", "autoscaler")
		r := b.recorder()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var before *unstructured.Unstructured
		change := func(phase, id, state string) {
			after := kubetest.Object(t, autoscalerPod)
			status := kubetest.Object(t, fmt.Sprintf("{phase: %s, containerStatuses: [{name: autoscaler, containerID: %s, state: {%s: {}}}]}", phase, id, state))
			after.Object["status"] = status.Object
			r.autoscalerPod(ctx, b.Workload, kube.Change{Before: before, After: after})
			before = after
		}
		expect := func(when string, want int) {
			t.Helper()
			time.Sleep(time.Minute)
			if n := b.server.Count("log", "pods"); n != want {
				t.Fatalf("%s: asked %d times, want %d", when, n, want)
			}
		}
		ends := func(when string) {
			t.Helper()
			ended := make(chan struct{})
			go func() { r.all.Wait(); close(ended) }()
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Fatal("the log is still asked for when " + when)
			}
		}
		change("Running", "c1", "terminated")
		expect("it ended", 1)
		change("Running", "c2", "terminated")
		expect("another began and ended", 2)
		change("Failed", "c2", "terminated")
		ends("the pod is over")
		before = nil
		change("Running", "c3", "terminated")
		expect("another pod's ended", 3)
		r.autoscalerPod(ctx, b.Workload, kube.Change{Before: before})
		ends("the pod is gone")
		// The log of a running container is requested again if the request ends.
		before = nil
		change("Running", "c4", "running")
		time.Sleep(5 * logRetry)
		if n := b.server.Count("log", "pods"); n < 6 {
			t.Errorf("the log of what runs was asked for %d times in all", n)
		}
		cancel()
		ends("nobody records")
	})
}

// TestPodLogThatCannotBeReadIsRequestedLessOften: also for a pod that has finished, whose
// node is gone. When the log can be read again, it is.
func TestPodLogThatCannotBeReadIsRequestedLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, reported := readFailingPodLog(t, apierrors.NewInternalError(errors.New("no route to host")))
		if n < 55 || n > 75 {
			t.Errorf("the log was requested %d times within an hour, want about once a minute", n)
		}
		if len(reported) == 0 || reported[0] != "read the log of the pod caslab-autoscaler-1: Internal error occurred: no route to host" {
			t.Errorf("reported %q", reported)
		}
	})
}

// TestExistingPodLogIsRecordedBeforeItCountsAsRead: the log of a running container counts
// as read when all lines that exist are recorded.
func TestExistingPodLogIsRecordedBeforeItCountsAsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, autoscalerPod)
		pod := kubetest.Typed(t, kube.Pod, autoscalerPod)
		b.appendFact(timeline.Fact{Time: time.Now().Add(-2 * time.Hour), Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
		r := b.recorder()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		writeLine := func(n int) {
			at := time.Now().Add(-time.Hour)
			b.server.Log(pod.Namespace, pod.Name, "autoscaler", at, at.UTC().Format("I0102 15:04:05.000000")+
				fmt.Sprintf("    1 o.go:1] Skipping node group MachineDeployment/default/g%d - max size reached", n))
		}
		writeLine(0)
		go func() {
			for n := 1; n < 5; n++ { // it takes its time
				time.Sleep(logIdle * 3 / 4)
				writeLine(n)
			}
		}()
		recorded := 0
		r.podLog(ctx, b.Workload, pod, "autoscaler", sync.OnceFunc(func() {
			recorded = len(b.newFacts())
			cancel()
		}))
		if recorded != 5 {
			t.Errorf("%d of 5 lines were recorded when the log counted as read", recorded)
		}
	})
}

// TestSyncedWaitsForPodLogs: OnSynced is called when the logs of pods are read.
func TestSyncedWaitsForPodLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		var synced atomic.Bool
		b.OnSynced = func() { synced.Store(true) }
		b.Management = b.Workload
		r := b.recorder()
		log := make(chan struct{})
		r.logReads = append(r.logReads, log)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.run(ctx) }()
		time.Sleep(time.Second)
		if synced.Load() {
			t.Error("OnSynced was called while a log was being read")
		}
		close(log)
		time.Sleep(time.Second)
		if !synced.Load() {
			t.Error("the log is read, and OnSynced was not called")
		}
		cancel()
		<-done
	})
}

// TestSyncedWithoutRights: kinds that the user may not read, or that are not served, do not keep the
// recorder from being synced, and do not count as seen. Without pods it is not synced.
func TestSyncedWithoutRights(t *testing.T) {
	for resource, want := range map[string]bool{
		"persistentvolumes": true, "storageclasses": true, "csinodes": true, "namespaces": true, "configmaps": true, "events": true, "poddisruptionbudgets": true, "resourceclaims": true,
		"pods": false,
	} {
		t.Run(resource, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFixture(t, cluster)
				b.server.Undefine(kube.CSINodes)
				b.server.Intercept(func(q kubetest.Request) error {
					if q.Resource == resource {
						return apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New("no right"))
					}
					return nil
				})
				var synced atomic.Bool
				b.OnSynced, b.OnError = func() { synced.Store(true) }, nil
				b.record(nil)
				if synced.Load() != want {
					t.Errorf("synced: %t, want %t", synced.Load(), want)
				}
				facts, err := timeline.ReadUnsorted(b.File)
				if err != nil {
					t.Fatal(err)
				}
				for _, kind := range []timeline.Kind{timeline.Volume, timeline.ResourceClaim, timeline.CSINode, timeline.DaemonSet} {
					seen := slices.ContainsFunc(facts, func(f timeline.Fact) bool { return f.Kind == kind && f.What == timeline.Shaped && f.Name == "" })
					if allowed := kind == timeline.DaemonSet || kind == timeline.Volume && resource != "persistentvolumes" || kind == timeline.ResourceClaim && resource != "resourceclaims"; seen != allowed {
						t.Errorf("all objects of the kind %s count as seen: %t", kind, seen)
					}
				}
			})
		})
	}
}
