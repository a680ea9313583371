package recorder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
)

var kinds = []schema.GroupVersionKind{
	kube.Pods.WithVersion("v1"), kube.Nodes.WithVersion("v1"), kube.Events.WithVersion("v1"), kube.ConfigMaps.WithVersion("v1"),
	kube.Machines.WithVersion("v1beta2"), kube.MachineDeployments.WithVersion("v1beta2"), kube.Clusters.WithVersion("v1beta2"),
}

// cluster is one with a node group of a machine, and a pod that does not fit.
// A test's clock begins at midnight of 2000-01-01, UTC.
const cluster = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: work, namespace: default, uid: c}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata:
  name: md
  namespace: default
  uid: g
  creationTimestamp: "1999-12-31T20:00:00Z"
  annotations:
    cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size: "1"
    cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size: "4"
  managedFields:
  - {manager: kubectl, operation: Update, time: "1999-12-31T20:00:00Z", fieldsV1: {"f:metadata": {}}}
  - {manager: scaler, operation: Update, subresource: scale, time: "1999-12-31T21:00:00Z", fieldsV1: {"f:spec": {"f:replicas": {}}}}
spec: {clusterName: work, replicas: 1}
status: {readyReplicas: 1}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: another, namespace: default, uid: x}
spec: {clusterName: another, replicas: 1}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata:
  name: md-1
  namespace: default
  uid: m
  creationTimestamp: "1999-12-31T20:00:01Z"
  labels: {cluster.x-k8s.io/deployment-name: md}
spec: {clusterName: work, providerID: "docker:////node-1"}
status: {phase: Running, lastUpdated: "1999-12-31T20:01:00Z", nodeRef: {name: node-1}}
---
apiVersion: v1
kind: Node
metadata: {name: node-1, uid: n1, creationTimestamp: "1999-12-31T20:00:30Z"}
spec: {providerID: "docker:////node-1"}
status: {conditions: [{type: Ready, status: "True", lastTransitionTime: "1999-12-31T20:00:50Z"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, uid: p, creationTimestamp: "1999-12-31T23:00:00Z"}
status:
  phase: Pending
  conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/1 nodes are available: 1 Insufficient memory.", lastTransitionTime: "1999-12-31T23:00:01Z"}]
---
apiVersion: v1
kind: Pod
metadata: {name: coredns, namespace: kube-system, uid: p2}
---
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: default, uid: p3, ownerReferences: [{kind: DaemonSet, name: agent, apiVersion: apps/v1, uid: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: manager, namespace: default, uid: p4, labels: {cluster.x-k8s.io/provider: infrastructure-docker}}
`

// bench is a recorder and what it records.
type bench struct {
	t *testing.T
	Options
	server *kubetest.Server
	// read is how much of the record was looked at.
	read int
}

func newBench(t *testing.T, objects string) *bench {
	t.Helper()
	server := kubetest.New(t, kinds, objects)
	return &bench{t: t, server: server, Options: Options{
		Workload: server.Client(), Namespace: "default", Cluster: "work", ConfigNamespace: "default",
		File:    filepath.Join(t.TempDir(), "record"),
		Trouble: func(err error) { t.Errorf("trouble: %v", err) },
	}}
}

// record records while during runs and a little longer, and returns what was
// added to the record meanwhile, one line a fact.
func (b *bench) record(during func()) []string {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- Record(ctx, b.Options) }()
	time.Sleep(time.Second)
	if during != nil {
		during()
	}
	time.Sleep(3 * time.Second)
	cancel()
	if err := <-done; err != nil {
		b.t.Fatal(err)
	}
	return b.added()
}

// added is what was added to the record since it was last looked at.
func (b *bench) added() []string {
	b.t.Helper()
	facts, err := timeline.ReadUnsorted(b.File)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, f := range facts[b.read:] {
		if f.Kind == timeline.Lab && f.What == timeline.Recording {
			continue
		}
		all = append(all, told(f))
	}
	b.read = len(facts)
	return all
}

// told writes a fact for a test to compare.
func told(f timeline.Fact) string {
	parts := []string{f.Time.UTC().Format("15:04:05"), string(f.Kind), f.What}
	for _, s := range []struct{ name, value string }{{"", f.Name}, {"in ", f.Group}, {"on ", f.Node}} {
		if s.value != "" {
			parts = append(parts, s.name+s.value)
		}
	}
	if f.N != nil {
		parts = append(parts, fmt.Sprint(*f.N))
	}
	if f.Text != "" {
		parts = append(parts, "("+f.Text+")")
	}
	if !f.Seen.IsZero() {
		parts = append(parts, "late")
	}
	return strings.Join(parts, " ")
}

func (b *bench) expect(got []string, want ...string) {
	b.t.Helper()
	if !slices.Equal(got, want) {
		b.t.Errorf("recorded:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestWhatIsNoPodIsReported: the others are recorded.
func TestWhatIsNoPodIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, `
apiVersion: v1
kind: Pod
metadata: {name: odd, namespace: default, uid: odd}
spec: {nodeName: [a, b]}
---
apiVersion: v1
kind: Node
metadata: {name: odd, uid: o}
spec: {unschedulable: {}}
---
apiVersion: v1
kind: Event
metadata: {name: odd, namespace: default, uid: e}
source: {component: cluster-autoscaler}
lastTimestamp: soon
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: default, uid: p, creationTimestamp: "1999-12-31T23:00:00Z"}
`)
		var troubles []string
		b.Trouble = func(err error) { troubles = append(troubles, err.Error()) }
		b.expect(b.record(nil), "23:00:00 pod created default/p late")
		slices.Sort(troubles)
		want := []string{"read the Event default/odd: ", "read the Node odd: ", "read the Pod default/odd: "}
		if !slices.EqualFunc(troubles, want, strings.HasPrefix) {
			t.Errorf("troubles: %q, want %q", troubles, want)
		}
	})
}

// converted is what decoded is as its type, by kube.Pod, kube.Node or kube.Event.
func converted[T any](t *testing.T, to func(*unstructured.Unstructured) (T, error), text string) T {
	t.Helper()
	o, err := to(decoded(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func decoded(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := new(unstructured.Unstructured)
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

// add appends a fact to the record as another command of the lab does.
func (b *bench) add(f timeline.Fact) {
	b.t.Helper()
	if err := timeline.Append(b.File, f); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) create(text string) {
	b.t.Helper()
	b.server.PutYAML(text)
}

// change sets fields of an object, each given as path=value in YAML.
func (b *bench) change(kind schema.GroupKind, name string, fields ...string) {
	b.t.Helper()
	namespace := "default"
	if kind == kube.Nodes {
		namespace = ""
	}
	b.server.Edit(kind, namespace, name, func(o *unstructured.Unstructured) {
		for _, field := range fields {
			path, text, _ := strings.Cut(field, "=")
			var value any
			if err := yaml.Unmarshal([]byte(text), &value); err != nil {
				b.t.Fatal(err)
			}
			if err := unstructured.SetNestedField(o.Object, value, strings.Split(path, "|")...); err != nil {
				b.t.Fatal(err)
			}
		}
	})
	time.Sleep(10 * time.Millisecond)
}

func (b *bench) delete(kind schema.GroupKind, name string) {
	b.t.Helper()
	namespace := "default"
	if kind == kube.Nodes {
		namespace = ""
	}
	if err := b.Workload.Delete(b.t.Context(), kind, namespace, name); err != nil {
		b.t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
}

var begin = []string{
	"20:00:00 group created md in md late",
	"21:00:00 group size md in md 1 late",
	"00:00:00 group ready md in md 1",
	"00:00:00 group limits md in md (1 4)",
	"20:00:01 machine created md-1 in md late",
	"20:01:00 machine phase md-1 in md on node-1 (Running) late",
	"20:00:30 node joined node-1 in md late",
	"20:00:50 node nodeReady node-1 in md late",
	"23:00:00 pod created default/p late",
	"23:00:01 pod unschedulable default/p (0/1 nodes are available: 1 Insufficient memory.) late",
}

func sorted(texts []string) []string {
	texts = slices.Clone(texts)
	slices.Sort(texts)
	return texts
}

func TestWhatThereIsIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		b.expect(sorted(b.record(nil)), sorted(begin)...)
		for range 2 {
			b.expect(b.record(nil)) // nothing changed
		}
		facts, err := timeline.Read(b.File)
		if err != nil || len(facts) != len(begin)+3 {
			t.Errorf("%d facts, %v; want one more for each of three recordings", len(facts), err)
		}
	})
}

func TestWhatChangesIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		b.record(nil)

		b.expect(b.record(func() {
			b.change(kube.Pods, "p", `status|conditions=[{type: PodScheduled, status: "False", message: "0/2 nodes are available: 2 Insufficient memory."}]`)
			b.change(kube.Pods, "p", `status|conditions=[{type: PodScheduled, status: "False", message: "0/2 nodes are available: 2 node(s) had untolerated taint."}]`)
			b.change(kube.Pods, "p", "spec={nodeName: node-1}", `status={phase: Pending, conditions: [{type: PodScheduled, status: "True", lastTransitionTime: "2000-01-01T00:00:04Z"}]}`)
			b.change(kube.Pods, "p", `status={phase: Running, containerStatuses: [{state: {running: {startedAt: "2000-01-01T00:00:06Z"}}}, {state: {running: {startedAt: "2000-01-01T00:00:05Z"}}}]}`)
			b.change(kube.Pods, "p", `status|conditions=[{type: DisruptionTarget, status: "True", reason: EvictionByEvictionAPI, message: evicted, lastTransitionTime: "2000-01-01T00:00:05Z"}]`)
			b.change(kube.Pods, "p", `status={phase: Failed, reason: OutOfmemory, containerStatuses: [{state: {terminated: {finishedAt: "2000-01-01T00:00:07Z"}}}]}`)
			b.delete(kube.Pods, "p")
		}),
			"00:00:05 pod unschedulable default/p (0/2 nodes are available: 2 node(s) had untolerated taint.)",
			"00:00:05 pod scheduled default/p in md on node-1",
			"00:00:06 pod running default/p in md on node-1",
			"00:00:05 pod evicted default/p in md on node-1 (EvictionByEvictionAPI: evicted)",
			"00:00:07 pod ended default/p in md on node-1 (Failed: OutOfmemory)",
			"00:00:05 pod gone default/p in md on node-1",
		)

		b.expect(b.record(func() {
			b.change(kube.Nodes, "node-1", `spec|taints=[{key: DeletionCandidateOfClusterAutoscaler, value: "946684807"}]`)
			b.change(kube.Nodes, "node-1", `spec|taints=[{key: ToBeDeletedByClusterAutoscaler, value: "946684808"}]`)
			b.change(kube.Nodes, "node-1", "spec|unschedulable=true", `spec|taints=[{key: node.kubernetes.io/unschedulable, timeAdded: "2000-01-01T00:00:08Z"}, {key: ToBeDeletedByClusterAutoscaler}]`)
			b.change(kube.Nodes, "node-1", "spec|unschedulable=false", "spec|taints=[]")
			b.change(kube.Nodes, "node-1", `status|conditions=[{type: Ready, status: Unknown, reason: NodeStatusUnknown, message: Kubelet stopped posting node status., lastTransitionTime: "2000-01-01T00:00:09Z"}]`)
			b.delete(kube.Nodes, "node-1")
		}),
			"00:00:07 node tainted node-1 in md (DeletionCandidateOfClusterAutoscaler) late",
			"00:00:09 node untainted node-1 in md (DeletionCandidateOfClusterAutoscaler)",
			"00:00:08 node tainted node-1 in md (ToBeDeletedByClusterAutoscaler)",
			"00:00:08 node cordoned node-1 in md",
			"00:00:09 node uncordoned node-1 in md",
			"00:00:09 node untainted node-1 in md (ToBeDeletedByClusterAutoscaler)",
			"00:00:09 node notReady node-1 in md (NodeStatusUnknown: Kubelet stopped posting node status.)",
			"00:00:09 node gone node-1 in md",
		)

		b.expect(b.record(func() {
			b.change(kube.MachineDeployments, "md", "spec|replicas=3")
			b.change(kube.MachineDeployments, "md", "status={}")
			b.change(kube.MachineDeployments, "md", "metadata|annotations={cluster.x-k8s.io/paused: \"\"}")
			b.change(kube.MachineDeployments, "md", `metadata|annotations={cluster.k8s.io/cluster-api-autoscaler-node-group-min-size: "0", cluster.k8s.io/cluster-api-autoscaler-node-group-max-size: "2"}`)
			b.change(kube.Clusters, "work", "spec={paused: true}")
			b.change(kube.Clusters, "work", "spec={paused: false}")
			b.change(kube.Machines, "md-1", `metadata|annotations={cluster.x-k8s.io/delete-machine: "2000-01-01 00:00:12.5 +0000 UTC m=+7.1"}`)
			b.change(kube.Machines, "md-1", `metadata|deletionTimestamp="2000-01-01T00:00:13Z"`, "status|phase=Deleting")
			b.delete(kube.Machines, "md-1")
			b.delete(kube.MachineDeployments, "md")
		}),
			"00:00:13 group size md in md 3",
			"00:00:13 group ready md in md 0",
			"00:00:13 group limits md in md",
			"00:00:13 group paused md in md",
			"00:00:13 group limits md in md (0 2)",
			"00:00:13 group resumed md in md",
			"00:00:13 group paused work",
			"00:00:13 group resumed work",
			"00:00:12 machine marked md-1 in md on node-1",
			"00:00:13 machine phase md-1 in md on node-1 (Deleting)",
			"00:00:13 machine gone md-1 in md on node-1",
			"00:00:13 group gone md in md",
		)
		b.expect(b.record(nil))
	})
}

func TestWhatHappensWhileNobodyRecordsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		b.record(nil)
		time.Sleep(time.Hour)
		b.delete(kube.Nodes, "node-1")
		b.create("{apiVersion: v1, kind: Node, metadata: {name: node-1, uid: n2, creationTimestamp: \"2000-01-01T00:30:00Z\"}, spec: {providerID: \"docker:////node-1\"}}")
		b.change(kube.Pods, "p", "spec={nodeName: node-1}", `status={phase: Pending, conditions: [{type: PodScheduled, status: "True", lastTransitionTime: "2000-01-01T00:31:00Z"}]}`)
		b.delete(kube.Machines, "md-1")
		b.expect(b.record(nil),
			"00:00:04 machine gone md-1 in md on node-1 (between 2000-01-01T00:00:04Z and 2000-01-01T01:00:04Z, while nobody recorded) late",
			"00:30:00 node joined node-1 in md late",
			"00:00:04 node gone node-1 in md (between 2000-01-01T00:00:04Z and 2000-01-01T01:00:04Z, while nobody recorded) late",
			"00:31:00 pod scheduled default/p in md on node-1 late",
		)
		b.expect(b.record(nil))
	})
}

const event = `
apiVersion: v1
kind: Event
metadata: {name: %[1]s, namespace: default, uid: %[1]s}
source: {component: cluster-autoscaler}
type: %[2]s
reason: %[3]s
message: %[4]q
count: 1
lastTimestamp: "2000-01-01T00:00:01Z"
involvedObject: %[5]s
`

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		b.record(nil)
		const (
			thePod  = "{kind: Pod, namespace: default, name: p, uid: p}"
			theNode = "{kind: Node, name: node-1}"
			theMap  = "{kind: ConfigMap, namespace: default, name: cluster-autoscaler-status}"
		)
		say := func(name, kind, reason, message, about string) {
			b.create(fmt.Sprintf(event, name, kind, reason, message, about))
		}
		during := func() {
			say("e01", "Normal", "NotTriggerScaleUp", "pod didn't trigger scale-up: 2 Insufficient memory, 1 max node group size reached", thePod)
			say("e02", "Normal", "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached, 2 Insufficient memory", thePod) // the same
			say("e03", "Normal", "TriggeredScaleUp", "pod triggered scale-up: [{MachineDeployment/default/md 1->2 (max: 4)}]", thePod)
			say("e04", "Normal", "TriggeredScaleUp", "pod triggered scale-up: [{MachineDeployment/default/md 1->2 (max: 4)} {MachineDeployment/default/b 0->1 (max: 4)}]", thePod)
			say("e05", "Normal", "ScaledUpGroup", "Scale-up: setting group MachineDeployment/default/md size to 2 instead of 1 (max: 4)", theMap)
			say("e06", "Normal", "ScaledUpGroup", "Scale-up: group MachineDeployment/default/md size set to 2 instead of 1 (max: 4)", theMap)
			say("e07", "Warning", "MaxNodesTotalReached", "Max total nodes in cluster reached: 4", theMap)
			say("e08", "Normal", "ScaleDown", "marked the node as toBeDeleted/unschedulable", theNode)
			say("e09", "Normal", "ScaleDownEmpty", "Scale-down: removing empty node \"node-1\"", theMap)
			say("e10", "Normal", "ScaleDown", "deleting pod for node scale down", thePod)
			say("e11", "Warning", "ScaleDownFailed", "failed to delete empty node: no", theNode)
			say("e12", "Warning", "ScaleUpTimedOut", "Nodes added to group MachineDeployment/default/md failed to register within 1m0s", theMap)
			say("e13", "Normal", "DeleteUnregistered", "Removed unregistered node docker-1", theMap)
			say("e14", "Warning", "Novelty", "who knows", theMap)
			say("e15", "Normal", "ClusterAutoscalerCleanup", "a taint was removed", theNode)
			b.create(strings.Replace(fmt.Sprintf(event, "e16", "Normal", "ScaleDown", "someone else's", theNode), "cluster-autoscaler}", "kubelet}", 1))
		}
		want := []string{
			"00:00:01 autoscaler refused default/p (2 Insufficient memory, 1 max node group size reached) late",
			"00:00:01 autoscaler scaleUp default/p in md 2 (pod triggered scale-up: [{MachineDeployment/default/md 1->2 (max: 4)}]) late",
			"00:00:01 autoscaler scaleUp default/p (pod triggered scale-up: [{MachineDeployment/default/md 1->2 (max: 4)} {MachineDeployment/default/b 0->1 (max: 4)}]) late",
			"00:00:01 autoscaler scaleUp in md 2 (Scale-up: setting group MachineDeployment/default/md size to 2 instead of 1 (max: 4)) late",
			"00:00:01 autoscaler scaleUp in md 2 (Scale-up: group MachineDeployment/default/md size set to 2 instead of 1 (max: 4)) late",
			"00:00:01 autoscaler refused (Max total nodes in cluster reached: 4) late",
			"00:00:01 autoscaler scaleDown in md on node-1 (marked the node as toBeDeleted/unschedulable) late",
			"00:00:01 autoscaler scaleDown in md on node-1 (Scale-down: removing empty node \"node-1\") late",
			"00:00:01 pod evicted default/p (deleting pod for node scale down) late",
			"00:00:01 autoscaler problem in md on node-1 (failed to delete empty node: no) late",
			"00:00:01 autoscaler problem in md (Nodes added to group MachineDeployment/default/md failed to register within 1m0s) late",
			"00:00:01 autoscaler scaleDown on docker-1 (Removed unregistered node docker-1) late",
			"00:00:01 autoscaler problem (Novelty: who knows) late",
		}
		b.expect(b.record(during), want...)
		b.expect(b.record(nil))
		b.expect(b.record(func() { // again: news after the decisions, and then none
			b.change(kube.Events, "e01", "count=2", `lastTimestamp="2000-01-01T00:00:20Z"`)
			b.change(kube.Events, "e01", "count=3", `lastTimestamp="2000-01-01T00:00:21Z"`)
		}), "00:00:20 autoscaler refused default/p (2 Insufficient memory, 1 max node group size reached)")

		// Killed before it wrote how far it came: the record itself tells.
		if err := os.Remove(b.File + ".bookmark"); err != nil {
			t.Fatal(err)
		}
		for _, line := range b.record(nil) {
			if !strings.Contains(line, "refused") { // what repeats itself may be told once more
				t.Errorf("told twice: %s", line)
			}
		}
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		status := func(text string) string {
			return fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: cluster-autoscaler-status, namespace: default}, data: {status: %q}}", text)
		}
		b.record(nil)
		const now = `time: "2000-01-01 00:00:04.5 +0000 UTC"
autoscalerStatus: Running
clusterWide: {health: {status: Healthy}, scaleUp: {status: InProgress}, scaleDown: {status: NoCandidates}}
nodeGroups:
- {name: MachineDeployment/default/md, health: {status: Healthy}, scaleUp: {status: Backoff, backoffInfo: {errorCode: timeout, errorMessage: no node}}, scaleDown: {status: NoCandidates}}
`
		b.expect(b.record(func() { b.create(status(now)) }),
			"00:00:04 autoscaler health (Healthy, scale-up InProgress, scale-down NoCandidates)",
			"00:00:04 autoscaler health in md (Healthy, scale-up Backoff: timeout no node, scale-down NoCandidates)",
		)
		b.expect(b.record(func() {
			b.change(kube.ConfigMaps, "cluster-autoscaler-status", "data="+fmt.Sprintf("{status: %q}", strings.ReplaceAll(now, "00:00:04", "00:00:09")))
		}))
		b.expect(b.record(func() {
			b.change(kube.ConfigMaps, "cluster-autoscaler-status", "data="+fmt.Sprintf("{status: %q}", `Cluster-autoscaler status at 2000-01-01 00:00:13 +0000 UTC:
Cluster-wide:
  Health:      Healthy (ready=3 unready=0)
               LastProbeTime:      2000-01-01
  ScaleUp:     InProgress (ready=3 registered=3)
  ScaleDown:   NoCandidates (candidates=0)

NodeGroups:
  Name:        MachineDeployment/default/md
  Health:      Unhealthy (ready=1)
  ScaleUp:     NoActivity (ready=1)
  ScaleDown:   NoCandidates (candidates=0)
`))
		}), "00:00:13 autoscaler health in md (Unhealthy, scale-up NoActivity, scale-down NoCandidates)")
	})
}

// TestTheManagementClusterMayBeAnother: the Cluster API objects are its, and
// the autoscaler may run there.
func TestTheManagementClusterMayBeAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		management := newBench(t, autoscalerPod+"---"+strings.Replace(cluster, "replicas: 1", "replicas: 2", 1))
		b.Management = management.Workload
		b.Trouble = nil // the log of the autoscaler's pod
		got := b.record(nil)
		for _, want := range []string{"21:00:00 group size md in md 2 late", "00:00:00 autoscaler started kube-system/caslab-autoscaler-1 (example.com/cluster-autoscaler:1)"} {
			if !slices.Contains(got, want) {
				t.Errorf("it does not tell %q:\n%s", want, strings.Join(got, "\n"))
			}
		}
		if len(got) != len(begin)+1 {
			t.Errorf("recorded:\n%s", strings.Join(got, "\n"))
		}
		b.expect(b.record(nil))
	})
}

// TestARecordOfAMoveIsReadOn: earlier recorders were at work during a move, and
// told that an object has another UID since.
func TestARecordOfAMoveIsReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		b.record(nil)
		facts, err := timeline.ReadUnsorted(b.File)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts {
			if f.What == timeline.Created && f.Kind == timeline.Machine {
				b.add(timeline.Fact{Time: time.Now(), Kind: f.Kind, What: timeline.Moved, Name: f.Name, UID: "m2", Group: f.Group, Text: f.UID, Source: timeline.Watch})
			}
		}
		there := newBench(t, strings.NewReplacer("uid: m\n", "uid: m2\n").Replace(cluster))
		b.Management = there.Workload
		b.read++
		b.expect(b.record(nil))

		if facts, err = timeline.Read(b.File); err != nil {
			t.Fatal(err)
		}
		if m := history.New(facts); len(m.Nodes) != 1 || m.Nodes[0].Machine != "md-1" || !m.Nodes[0].Gone.IsZero() || len(m.Groups) != 1 {
			t.Errorf("stories of the machine: %+v", m.Nodes)
		}
	})
}

func TestARecordThatIsBegunAnewIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		dir := filepath.Join(t.TempDir(), "work")
		b.File = filepath.Join(dir, "record")
		done := make(chan error, 1)
		go func() { done <- Record(t.Context(), b.Options) }()
		time.Sleep(time.Second)
		if err := os.Rename(dir, dir+".previous"); err != nil {
			t.Fatal(err)
		}
		next := &bench{t: t, server: b.server, Options: b.Options}
		b.delete(kube.Pods, "p")
		anew := new(AnewError)
		if err := <-done; !errors.As(err, &anew) || anew.File != b.File {
			t.Errorf("Record() = %v", err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it wrote into the folder of the next record: %v", err)
		}
		if got := next.record(nil); len(got) != 8 {
			t.Errorf("the next recorder told of:\n%s\nwant all but the pod", strings.Join(got, "\n"))
		}
	})
}

// TestWhatCannotBeWrittenIsWrittenLater, though the object tells it once.
func TestWhatCannotBeWrittenIsWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		b.record(nil)
		troubles := 0
		b.Trouble = func(error) { troubles++ }
		b.expect(b.record(func() {
			full := b.File + ".full"
			if err := os.Rename(b.File, full); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(b.File, 0o700); err != nil {
				t.Fatal(err)
			}
			b.change(kube.MachineDeployments, "md", "spec|replicas=2")
			b.change(kube.MachineDeployments, "md", "spec|replicas=3")
			b.delete(kube.Pods, "p")
			if err := os.Remove(b.File); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(full, b.File); err != nil {
				t.Fatal(err)
			}
			b.change(kube.Nodes, "node-1", "spec|unschedulable=true")
		}),
			"00:00:05 group size md in md 2",
			"00:00:05 group size md in md 3",
			"00:00:05 pod gone default/p",
			"00:00:05 node cordoned node-1 in md",
		)
		if troubles == 0 {
			t.Error("nobody was told")
		}
	})
}

func TestARecordingSaysSinceWhenNobodyRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		b.record(nil)
		time.Sleep(time.Minute)
		// The lab wrote of itself meanwhile.
		if err := timeline.Append(b.File, timeline.Fact{Time: time.Now(), Kind: timeline.Lab, What: timeline.Step, Name: "env:up", Source: timeline.Own}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		b.record(nil)
		facts, err := timeline.ReadUnsorted(b.File)
		if err != nil {
			t.Fatal(err)
		}
		var since []string
		for _, f := range facts {
			if f.What == timeline.Recording {
				since = append(since, f.Since.UTC().Format("15:04:05"))
			}
		}
		if want := []string{"00:00:00", "00:00:04"}; !slices.Equal(since, want) || !facts[0].Since.IsZero() {
			t.Errorf("nobody recorded since %q, want %q", since, want)
		}
	})
}

func TestTroubleIsToldAndOvercome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, cluster)
		var troubles []string
		b.Trouble = func(err error) { troubles = append(troubles, err.Error()) }
		var refuse atomic.Bool
		refuse.Store(true)
		b.server.Intercept(func(q kubetest.Request) error {
			if q.Verb == "list" && q.Resource == "nodes" && refuse.Load() {
				return errors.New("not now")
			}
			return nil
		})
		got := b.record(func() {
			time.Sleep(30 * time.Second)
			refuse.Store(false)
		})
		if len(troubles) != 1 || !strings.Contains(troubles[0], "not now") {
			t.Errorf("troubles: %q; want one that stays the same, once", troubles)
		}
		if len(got) != len(begin) {
			t.Errorf("recorded:\n%s", strings.Join(got, "\n"))
		}
	})
}
