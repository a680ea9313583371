package recorder

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
)

// midnight is when a test's clock begins.
var midnight = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// objectsOf returns the objects of a YAML stream for which Records returns true.
func objectsOf(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := kube.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return !Records(o) })
}

// snapshotLines returns the facts of a snapshot, one line each, in their order. It fails
// the test if an object is reported.
func snapshotLines(t *testing.T, s Snapshot) []string {
	t.Helper()
	var lines []string
	for _, f := range SnapshotFacts(s, func(err error) { t.Errorf("reported: %v", err) }) {
		if f.What != timeline.Shaped {
			lines = append(lines, describe(f))
		}
	}
	return lines
}

// logLines parses lines of a log that were written in the year before midnight.
func logLines(lines ...string) []Line {
	var all []Line
	for _, text := range lines {
		e := speech.Parse(text)
		all = append(all, Line{e, e.At(midnight)})
	}
	return all
}

// TestSnapshotHasTheFactsOfTheRecorder: the objects of a snapshot become the same facts as
// those of a cluster at that time, in whatever order they are.
func TestSnapshotHasTheFactsOfTheRecorder(t *testing.T) {
	t.Parallel()
	var ours []*unstructured.Unstructured
	for _, o := range objectsOf(t, cluster) {
		if o.GetName() != "another" {
			ours = append(ours, o)
		}
	}
	want := sorted(append([]string{"00:00:00 lab recording"}, initialFacts...))
	for range 2 {
		if got := sorted(snapshotLines(t, Snapshot{Taken: midnight, Objects: ours})); !slices.Equal(got, want) {
			t.Errorf("the snapshot has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		slices.Reverse(ours)
	}
}

// TestSnapshotHasBudgets: a PodDisruptionBudget that somebody saved is recorded.
func TestSnapshotHasBudgets(t *testing.T) {
	t.Parallel()
	objects := objectsOf(t, `{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: web, namespace: shop, uid: b}, spec: {maxUnavailable: 0}}`)
	if !Records(objects[0]) {
		t.Fatal("it is not recorded")
	}
	facts := SnapshotFacts(Snapshot{Taken: midnight, Objects: objects}, func(err error) { t.Error(err) })
	if f := facts[0]; f.Kind != timeline.Budget || f.Name != "shop/web" || string(f.Shape) != `{"maxUnavailable":"0"}` {
		t.Errorf("%+v", facts)
	}
}

// TestSnapshotHasMessagesInOrder: events and lines of several logs are recorded by time,
// after the objects that give them their groups, each statement once.
func TestSnapshotHasMessagesInOrder(t *testing.T) {
	t.Parallel()
	objects := objectsOf(t, cluster+`
---
apiVersion: v1
kind: Event
metadata: {name: e, namespace: default, uid: e}
source: {component: cluster-autoscaler}
reason: TriggeredScaleUp
type: Normal
message: "pod triggered scale-up: [{MachineDeployment/default/md 1->2 (max: 4)}]"
lastTimestamp: "1999-12-31T23:00:20Z"
involvedObject: {kind: Pod, name: p, namespace: default}
---
apiVersion: v1
kind: Event
metadata: {name: other, namespace: default, uid: e2}
source: {component: kubelet}
type: Warning
message: other
lastTimestamp: "1999-12-31T23:00:21Z"
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kube-root-ca.crt, namespace: default, uid: other}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: cluster-autoscaler-status, namespace: kube-system, uid: s}
data: {status: "time: 1999-12-31 23:59:50 +0000 UTC\nautoscalerStatus: Running\nclusterWide: {health: {status: Healthy}}\n"}
`)
	lines := logLines(
		"I1231 23:00:30.5  1 nodes.go:1] node-1 was unneeded for 10s",
		"I1231 23:00:40.5  1 nodes.go:1] node-1 was unneeded for 20s",
		"I1231 23:00:10.5  1 main.go:1] Cluster Autoscaler 1.36.1",
		"I1231 23:00:11.5  1 static_autoscaler.go:1] Starting main loop",
	)
	got := slices.DeleteFunc(snapshotLines(t, Snapshot{Taken: midnight, Objects: objects, Lines: lines}), func(line string) bool {
		return !strings.Contains(line, "autoscaler") && !strings.Contains(line, "recording")
	})
	want := []string{
		"23:59:50 autoscaler health (Healthy) late",
		"23:00:10 lab recording",
		"23:00:10 autoscaler started (1.36.1) late",
		"23:00:20 autoscaler scaleUp default/p in md 2 (pod triggered scale-up: [{MachineDeployment/default/md 1->2 (max: 4)}]) late",
		"23:00:30 autoscaler kept in md on node-1 (was unneeded for 10s) late",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the snapshot has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestSnapshotReportsObjectsOfTheWrongShape: the others become facts.
func TestSnapshotReportsObjectsOfTheWrongShape(t *testing.T) {
	t.Parallel()
	objects := objectsOf(t, `
apiVersion: v1
kind: Pod
metadata: {name: odd, namespace: default, uid: odd}
spec: {nodeName: [a, b]}
---
apiVersion: v1
kind: Event
metadata: {name: odd, namespace: default, uid: e}
source: {component: cluster-autoscaler}
lastTimestamp: soon
---
apiVersion: v1
kind: Node
metadata: {name: node-1, uid: n1}
`)
	var reported []string
	facts := SnapshotFacts(Snapshot{Taken: midnight, Objects: objects}, func(err error) { reported = append(reported, err.Error()) })
	if len(reported) != 2 {
		t.Errorf("reported %q, want the pod and the event", reported)
	}
	if !slices.ContainsFunc(facts, func(f timeline.Fact) bool { return f.Kind == timeline.Node && f.Name == "node-1" }) {
		t.Errorf("the snapshot has %v; want the node", facts)
	}
}
