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
	kube.Pods.WithVersion("v1"), kube.Nodes.WithVersion("v1"), kube.Events.WithVersion("v1"), kube.ConfigMaps.WithVersion("v1"), kube.Budgets.WithVersion("v1"),
	kube.Machines.WithVersion("v1beta2"), kube.MachineDeployments.WithVersion("v1beta2"), kube.MachinePools.WithVersion("v1beta2"), kube.MachineSets.WithVersion("v1beta2"), kube.Clusters.WithVersion("v1beta2"),
	kube.DaemonSets.WithVersion("v1"), kube.Namespaces.WithVersion("v1"), kube.Claims.WithVersion("v1"), kube.Volumes.WithVersion("v1"),
	kube.StorageClasses.WithVersion("v1"), kube.CSINodes.WithVersion("v1"), kube.CSIDrivers.WithVersion("v1"), kube.StorageCapacities.WithVersion("v1"), kube.VolumeAttachments.WithVersion("v1"),
	kube.ResourceClaims.WithVersion("v1"), kube.ClaimTemplates.WithVersion("v1"), kube.ResourceSlices.WithVersion("v1"), kube.DeviceClasses.WithVersion("v1"),
}

// cluster has a node group with one machine, and a pod that does not fit on its node. A
// test's clock begins at midnight of 2000-01-01, UTC.
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

// fixture has the options of a recorder, its API server and its record.
type fixture struct {
	t *testing.T
	Options
	server *kubetest.Server
	// seen is the number of facts that newFacts has returned.
	seen int
}

func newFixture(t *testing.T, objects string) *fixture {
	t.Helper()
	server := kubetest.New(t, kinds, objects)
	return &fixture{t: t, server: server, Options: Options{
		Workload: server.Client(), Namespace: "default", Cluster: "work", ConfigNamespace: "default",
		File:    filepath.Join(t.TempDir(), "record"),
		OnError: func(err error) { t.Errorf("reported: %v", err) },
	}}
}

// record runs a recorder while during runs and a little longer. It returns the facts that
// were added to the record, one line each.
func (b *fixture) record(during func()) []string {
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
	return b.newFacts()
}

// newFacts returns the facts that were added to the record since its last call, without
// shapes.
func (b *fixture) newFacts() []string {
	b.t.Helper()
	facts, err := timeline.ReadUnsorted(b.File)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, f := range facts[b.seen:] {
		if f.Kind == timeline.Lab && f.What == timeline.Recording || f.What == timeline.Shaped {
			continue
		}
		all = append(all, describe(f))
	}
	b.seen = len(facts)
	return all
}

// describe returns a fact as one line, for a test to compare.
func describe(f timeline.Fact) string {
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

func (b *fixture) expect(got []string, want ...string) {
	b.t.Helper()
	if !slices.Equal(got, want) {
		b.t.Errorf("recorded:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestObjectsOfTheWrongShapeAreReported: objects with fields of the wrong type are
// reported, and the other objects are recorded.
func TestObjectsOfTheWrongShapeAreReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, `
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
		var reported []string
		b.OnError = func(err error) { reported = append(reported, err.Error()) }
		b.expect(b.record(nil), "23:00:00 pod created default/p late")
		slices.Sort(reported)
		want := []string{"read the Event default/odd: ", "read the Node odd: ", "read the Pod default/odd: "}
		if !slices.EqualFunc(reported, want, strings.HasPrefix) {
			t.Errorf("reported %q, want %q", reported, want)
		}
	})
}

// appendFact appends a fact to the record as another command of the lab does.
func (b *fixture) appendFact(f timeline.Fact) {
	b.t.Helper()
	if err := timeline.Append(b.File, f); err != nil {
		b.t.Fatal(err)
	}
}

func (b *fixture) create(text string) {
	b.t.Helper()
	b.server.PutYAML(text)
}

// change sets fields of an object, each given as path=value in YAML.
func (b *fixture) change(kind schema.GroupKind, name string, fields ...string) {
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

func (b *fixture) delete(kind schema.GroupKind, name string) {
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

var initialFacts = []string{
	"20:00:00 group created md in md late",
	"21:00:00 group size md in md 1 (scaler) late",
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

func TestExistingObjectsAreRecordedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		b.expect(sorted(b.record(nil)), sorted(initialFacts)...)
		for range 2 {
			b.expect(b.record(nil)) // nothing changed
		}
		facts, err := timeline.Read(b.File)
		shapes := 0
		for _, f := range facts {
			if f.What == timeline.Shaped {
				shapes++
			}
		}
		if err != nil || len(facts) != len(initialFacts)+shapes+3 || shapes != 7+1+len(schedulingKinds) {
			t.Errorf("%d facts with %d shapes, %v; want a shape of each of 7 objects, one fact for each kind that is complete, and one for each of three recordings", len(facts), shapes, err)
		}
	})
}

func TestChangesAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		b.record(nil)

		b.expect(b.record(func() {
			b.change(kube.Pods, "p", `status|conditions=[{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/2 nodes are available: 2 Insufficient memory."}]`)
			b.change(kube.Pods, "p", `status|conditions=[{type: PodScheduled, status: "False", reason: Unschedulable, message: "0/2 nodes are available: 2 node(s) had untolerated taint."}]`)
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
			b.change(kube.Machines, "md-1", `metadata|annotations={}`)
			b.change(kube.Machines, "md-1", `metadata|annotations={cluster.x-k8s.io/delete-machine: "2000-01-01 00:00:14.5 +0000 UTC m=+9.1"}`)
			b.change(kube.Machines, "md-1", `metadata|deletionTimestamp="2000-01-01T00:00:13Z"`, "status|phase=Deleting")
			b.delete(kube.Machines, "md-1")
			b.delete(kube.MachineDeployments, "md")
		}),
			"00:00:13 group size md in md 3 (scaler)",
			"00:00:13 group ready md in md 0",
			"00:00:13 group limits md in md",
			"00:00:13 group paused md in md",
			"00:00:13 group limits md in md (0 2)",
			"00:00:13 group resumed md in md",
			"00:00:13 group paused work",
			"00:00:13 group resumed work",
			"00:00:12 machine marked md-1 in md on node-1",
			"00:00:13 machine unmarked md-1 in md on node-1",
			"00:00:14 machine marked md-1 in md on node-1",
			"00:00:13 machine phase md-1 in md on node-1 (Deleting)",
			"00:00:13 machine gone md-1 in md on node-1",
			"00:00:13 group gone md in md",
		)
		b.expect(b.record(nil))
	})
}

// TestMachinePoolsAreRecorded: they are groups as MachineDeployments are, and another recorder
// knows which of both are gone.
func TestMachinePoolsAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pool = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachinePool
metadata: {name: pool, namespace: default, uid: pool, creationTimestamp: "1999-12-31T22:00:00Z", annotations: {cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size: "0", cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size: "2"}}
spec: {clusterName: work, replicas: 1}
status: {readyReplicas: 1}
---
apiVersion: v1
kind: Node
metadata: {name: pool-1, uid: pool-1, creationTimestamp: "1999-12-31T22:01:00Z", annotations: {cluster.x-k8s.io/owner-kind: MachinePool, cluster.x-k8s.io/owner-name: pool}}
`
		b := newFixture(t, cluster)
		b.record(nil)
		for object := range strings.SplitSeq(pool, "---") {
			b.create(object)
		}
		got := b.record(nil)
		for _, want := range []string{"22:00:00 group created pool in pool late", "00:00:04 group size pool in pool 1", "00:00:04 group limits pool in pool (0 2)", "22:01:00 node joined pool-1 in pool late"} {
			if !slices.Contains(got, want) {
				t.Errorf("not recorded: %s in\n%s", want, strings.Join(got, "\n"))
			}
		}
		b.delete(kube.MachinePools, "pool")
		b.expect(b.record(nil), "00:00:08 group gone pool in pool (between 2000-01-01T00:00:08Z and 2000-01-01T00:00:08Z, while nobody recorded)")
		b.delete(kube.MachineDeployments, "md")
		b.expect(b.record(nil), "00:00:12 group gone md in md (between 2000-01-01T00:00:12Z and 2000-01-01T00:00:12Z, while nobody recorded)")
	})
}

// TestMachineSetsWithoutAMachineDeploymentAreGroups: the autoscaler scales such a MachineSet itself, and
// the MachineDeployment that owns another one.
func TestMachineSetsWithoutAMachineDeploymentAreGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster+`
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineSet
metadata: {name: alone, namespace: default, uid: ms, creationTimestamp: "1999-12-31T22:00:00Z", annotations: {cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size: "0", cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size: "2"}}
spec: {clusterName: work, replicas: 1, template: {spec: {infrastructureRef: {kind: DockerMachineTemplate, name: t, apiGroup: infrastructure.cluster.x-k8s.io}}}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineSet
metadata: {name: md-abc, namespace: default, uid: owned, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineDeployment, name: md, uid: g}]}
spec: {clusterName: work, replicas: 1}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: alone-1, namespace: default, uid: am, creationTimestamp: "1999-12-31T22:00:01Z", ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: MachineSet, name: alone, uid: ms}]}
spec: {clusterName: work}
`)
		b.server.Define(schema.GroupVersionKind{Group: infrastructureGroup, Version: "v1beta2", Kind: "DockerMachineTemplate"})
		got := b.record(nil)
		for _, want := range []string{"22:00:00 group created alone in alone late", "00:00:00 group limits alone in alone (0 2)", "22:00:01 machine created alone-1 in alone late"} {
			if !slices.Contains(got, want) {
				t.Errorf("not recorded: %s in\n%s", want, strings.Join(got, "\n"))
			}
		}
		if i := slices.IndexFunc(got, func(line string) bool { return strings.Contains(line, "md-abc") }); i >= 0 {
			t.Errorf("recorded: %s", got[i])
		}
		if i := slices.IndexFunc(b.shapes(), func(line string) bool {
			return strings.HasPrefix(line, "group alone") && strings.Contains(line, `"kind":"MachineSet"`)
		}); i < 0 {
			t.Errorf("the shape of the MachineSet is not among\n%s", strings.Join(b.shapes(), "\n"))
		}
		b.delete(kube.MachineSets, "alone")
		if got := b.record(nil); !slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, "group gone alone in alone") }) {
			t.Errorf("its end is not recorded:\n%s", strings.Join(got, "\n"))
		}
	})
}

// TestADiscoveryThatFailsEndsNoMachinePool: a recorder that does not know at its start whether
// MachinePools are served records none as gone.
func TestADiscoveryThatFailsEndsNoMachinePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster+`
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachinePool
metadata: {name: pool, namespace: default, uid: pool, creationTimestamp: "1999-12-31T22:00:00Z"}
spec: {clusterName: work, replicas: 1}
`)
		b.record(nil)
		var reported []string
		b.OnError = func(err error) { reported = append(reported, err.Error()) }
		var refuse atomic.Bool
		refuse.Store(true)
		b.server.Intercept(func(q kubetest.Request) error {
			if q.Verb == "discover" && refuse.Load() {
				return errors.New("not now")
			}
			return nil
		})
		b.Workload = b.server.Client() // it has discovered nothing
		b.expect(b.record(func() {
			refuse.Store(false)
			time.Sleep(30 * time.Second)
		}))
		if len(reported) == 0 || !strings.Contains(reported[0], "find the kind MachinePool.cluster.x-k8s.io") {
			t.Errorf("reported %q", reported)
		}
	})
}

func TestChangesBetweenTwoRecordersAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
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
		b := newFixture(t, cluster)
		b.record(nil)
		const (
			thePod  = "{kind: Pod, namespace: default, name: p, uid: p}"
			theNode = "{kind: Node, name: node-1}"
			theMap  = "{kind: ConfigMap, namespace: default, name: cluster-autoscaler-status}"
		)
		createEvent := func(name, kind, reason, message, about string) {
			b.create(fmt.Sprintf(event, name, kind, reason, message, about))
		}
		during := func() {
			createEvent("e01", "Normal", "NotTriggerScaleUp", "pod didn't trigger scale-up: 2 Insufficient memory, 1 max node group size reached", thePod)
			createEvent("e02", "Normal", "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached, 2 Insufficient memory", thePod) // the same
			createEvent("e03", "Normal", "TriggeredScaleUp", "pod triggered scale-up: [{MachineDeployment/default/md 1->2 (max: 4)}]", thePod)
			createEvent("e04", "Normal", "TriggeredScaleUp", "pod triggered scale-up: [{MachineDeployment/default/md 1->2 (max: 4)} {MachineDeployment/default/b 0->1 (max: 4)}]", thePod)
			createEvent("e05", "Normal", "ScaledUpGroup", "Scale-up: setting group MachineDeployment/default/md size to 2 instead of 1 (max: 4)", theMap)
			createEvent("e06", "Normal", "ScaledUpGroup", "Scale-up: group MachineDeployment/default/md size set to 2 instead of 1 (max: 4)", theMap)
			createEvent("e07", "Warning", "MaxNodesTotalReached", "Max total nodes in cluster reached: 4", theMap)
			createEvent("e08", "Normal", "ScaleDown", "marked the node as toBeDeleted/unschedulable", theNode)
			createEvent("e09", "Normal", "ScaleDownEmpty", "Scale-down: removing empty node \"node-1\"", theMap)
			createEvent("e10", "Normal", "ScaleDown", "deleting pod for node scale down", thePod)
			createEvent("e11", "Warning", "ScaleDownFailed", "failed to delete empty node: no", theNode)
			createEvent("e12", "Warning", "ScaleUpTimedOut", "Nodes added to group MachineDeployment/default/md failed to register within 1m0s", theMap)
			createEvent("e13", "Normal", "DeleteUnregistered", "Removed unregistered node docker-1", theMap)
			createEvent("e14", "Warning", "Novelty", "who knows", theMap)
			createEvent("e15", "Normal", "ClusterAutoscalerCleanup", "a taint was removed", theNode)
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
		b.expect(b.record(func() { // the same event again is new after the decisions, and then a repetition
			b.change(kube.Events, "e01", "count=2", `lastTimestamp="2000-01-01T00:00:20Z"`)
			b.change(kube.Events, "e01", "count=3", `lastTimestamp="2000-01-01T00:00:21Z"`)
		}), "00:00:20 autoscaler refused default/p (2 Insufficient memory, 1 max node group size reached)")

		// Without a bookmark, because the recorder was killed, the record has what is known.
		if err := os.Remove(b.File + ".bookmark"); err != nil {
			t.Fatal(err)
		}
		for _, line := range b.record(nil) {
			if !strings.Contains(line, "refused") { // a repeated statement may be recorded once more
				t.Errorf("recorded twice: %s", line)
			}
		}
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
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

// TestSeparateManagementCluster: the Cluster API objects, and the pods of the autoscaler,
// may be in a cluster of their own.
func TestSeparateManagementCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		management := newFixture(t, autoscalerPod+"---"+strings.Replace(cluster, "replicas: 1", "replicas: 2", 1))
		b.Management = management.Workload
		b.OnError = nil // the log of the autoscaler's pod
		got := b.record(nil)
		for _, want := range []string{"21:00:00 group size md in md 2 (scaler) late", "00:00:00 autoscaler started kube-system/caslab-autoscaler-1 (example.com/cluster-autoscaler:1)"} {
			if !slices.Contains(got, want) {
				t.Errorf("%q is not recorded:\n%s", want, strings.Join(got, "\n"))
			}
		}
		if len(got) != len(initialFacts)+1 {
			t.Errorf("recorded:\n%s", strings.Join(got, "\n"))
		}
		b.expect(b.record(nil))
	})
}

// TestOldRecordWithMovedObjects: earlier recorders recorded that an object got another
// UID in a move. Such an object is known by its new UID.
func TestOldRecordWithMovedObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		b.record(nil)
		facts, err := timeline.ReadUnsorted(b.File)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts {
			if f.What == timeline.Created && f.Kind == timeline.Machine {
				b.appendFact(timeline.Fact{Time: time.Now(), Kind: f.Kind, What: timeline.Moved, Name: f.Name, UID: "m2", Group: f.Group, Text: f.UID, Source: timeline.Watch})
			}
		}
		moved := newFixture(t, strings.NewReplacer("uid: m\n", "uid: m2\n").Replace(cluster))
		b.Management = moved.Workload
		b.seen++
		b.expect(b.record(nil))

		if facts, err = timeline.Read(b.File); err != nil {
			t.Fatal(err)
		}
		if m := history.New(facts); len(m.Nodes) != 1 || m.Nodes[0].Machine != "md-1" || !m.Nodes[0].Gone.IsZero() || len(m.Groups) != 1 {
			t.Errorf("stories of the machine: %+v", m.Nodes)
		}
	})
}

func TestRecorderStopsWhenTheRecordIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		dir := filepath.Join(t.TempDir(), "work")
		b.File = filepath.Join(dir, "record")
		done := make(chan error, 1)
		go func() { done <- Record(t.Context(), b.Options) }()
		time.Sleep(time.Second)
		if err := os.Rename(dir, dir+".previous"); err != nil {
			t.Fatal(err)
		}
		next := &fixture{t: t, server: b.server, Options: b.Options}
		b.delete(kube.Pods, "p")
		restarted := new(RestartedError)
		if err := <-done; !errors.As(err, &restarted) || restarted.File != b.File {
			t.Errorf("Record() = %v", err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it wrote into the folder of the next record: %v", err)
		}
		if got := next.record(nil); len(got) != 8 {
			t.Errorf("the next recorder recorded:\n%s\nwant all but the pod", strings.Join(got, "\n"))
		}
	})
}

// TestFactsThatCannotBeWrittenAreWrittenLater: facts that cannot be written are written
// later, though their objects do not change again.
func TestFactsThatCannotBeWrittenAreWrittenLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		b.record(nil)
		reported := 0
		b.OnError = func(error) { reported++ }
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
			"00:00:05 group size md in md 2 (scaler)",
			"00:00:05 group size md in md 3 (scaler)",
			"00:00:05 pod gone default/p",
			"00:00:05 node cordoned node-1 in md",
		)
		if reported == 0 {
			t.Error("the failure was not reported")
		}
	})
}

func TestRecordingFactHasTheEndOfThePreviousRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		b.record(nil)
		time.Sleep(time.Minute)
		// Facts that a command of the lab appends do not count.
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

func TestRecorderGoesOnAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		var reported []string
		b.OnError = func(err error) { reported = append(reported, err.Error()) }
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
		if len(reported) != 1 || !strings.Contains(reported[0], "not now") {
			t.Errorf("reported %q; want the repeated error once", reported)
		}
		if len(got) != len(initialFacts) {
			t.Errorf("recorded:\n%s", strings.Join(got, "\n"))
		}
	})
}
