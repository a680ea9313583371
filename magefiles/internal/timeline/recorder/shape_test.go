package recorder

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// shapes returns the shapes in the record as lines of name, node and JSON, without the facts that
// all objects of a kind but budgets are on record.
func (b *fixture) shapes() []string {
	b.t.Helper()
	facts, err := timeline.ReadUnsorted(b.File)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, f := range facts {
		if f.What == timeline.Shaped && (f.Name != "" || f.Kind == timeline.Budget) {
			all = append(all, strings.Join(strings.Fields(strings.Join([]string{string(f.Kind), f.Name, f.Node, string(f.Shape)}, " ")), " "))
		}
	}
	return all
}

// TestShapesAreRecordedWhenTheyChange: a shape is recorded once, again when it changes, and
// a pod that only has a shape gets one without content when it is gone.
func TestShapesAreRecordedWhenTheyChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		b.record(nil)
		before := len(b.shapes())
		b.record(func() {
			b.server.Edit(kube.Nodes, "", "node-1", func(o *unstructured.Unstructured) {
				_ = unstructured.SetNestedField(o.Object, map[string]any{"cpu": "4"}, "status", "allocatable")
			})
			b.server.Edit(kube.Pods, "kube-system", "coredns", func(o *unstructured.Unstructured) {
				_ = unstructured.SetNestedField(o.Object, "node-1", "spec", "nodeName")
			})
			time.Sleep(time.Second)
			b.server.Remove(kube.Pods, "kube-system", "coredns")
		})
		want := []string{`node node-1 {"allocatable":{"cpu":"4"},"providerID":"docker:////node-1"}`, `pod kube-system/coredns node-1 {}`, `pod kube-system/coredns node-1`}
		got := b.shapes()[before:]
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		b.server.Remove(kube.Pods, "default", "agent")
		b.record(nil)
		if got := b.shapes(); got[len(got)-1] != "pod default/agent" {
			t.Errorf("a pod that was deleted while nobody recorded leaves %s", got[len(got)-1])
		}
	})
}

// TestBudgetsAreRecorded: budgets are recorded with their changes and their end. One more fact says
// that all of them are on record.
func TestBudgetsAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster+`---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: default, uid: b}
spec: {maxUnavailable: 1}
`)
		b.record(func() {
			b.server.Edit(kube.Budgets, "default", "web", func(o *unstructured.Unstructured) {
				_ = unstructured.SetNestedField(o.Object, int64(1), "status", "disruptionsAllowed")
			})
		})
		b.server.Remove(kube.Budgets, "default", "web")
		b.record(nil)
		got := slices.DeleteFunc(b.shapes(), func(s string) bool { return !strings.HasPrefix(s, "budget") })
		want := []string{`budget default/web {"maxUnavailable":"1"}`, "budget", `budget default/web {"maxUnavailable":"1","allowed":1}`, "budget default/web"}
		if !slices.Equal(got, want) {
			t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestShapesInOldRecords: a record without shapes, and with fields of later versions, is
// read as before.
func TestShapesInOldRecords(t *testing.T) {
	t.Parallel()
	var f timeline.Fact
	if err := json.Unmarshal([]byte(`{"time":"2026-11-26T22:00:00Z","kind":"pod","what":"created","name":"default/a","uid":"u","later":{"x":1}}`), &f); err != nil || f.Shape != nil {
		t.Errorf("%+v, %v", f, err)
	}
	f.Shape = shape.Encode(shape.Pod{Scheduler: "nobody"})
	data, err := json.Marshal(f)
	var again timeline.Fact
	if err := json.Unmarshal(data, &again); err != nil || string(again.Shape) != string(f.Shape) {
		t.Errorf("a shape of %s is read as %s: %v", f.Shape, again.Shape, err)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestSchedulingObjectsAreRecorded: objects are recorded with the fields that the scheduler reads,
// and with their end. For each kind, a fact says that all of its objects are on record.
func TestSchedulingObjectsAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, `
apiVersion: v1
kind: Namespace
metadata: {name: shop, uid: n, labels: {team: a}, annotations: {x: z}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop, uid: c, annotations: {volume.kubernetes.io/selected-node: a, x: z}, managedFields: []}
spec: {storageClassName: late}
status: {phase: Pending}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: v, uid: v, labels: {zone: a}}
spec: {csi: {driver: d, volumeHandle: h, volumeAttributes: {secret: x}}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: late, uid: s}
provisioner: d
parameters: {secret: x}
volumeBindingMode: WaitForFirstConsumer
---
apiVersion: storage.k8s.io/v1
kind: CSINode
metadata: {name: node-1, uid: i}
spec: {drivers: []}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: shop, uid: d}
spec: {template: {metadata: {labels: {app: agent}}, spec: {nodeSelector: {gpu: "true"}, containers: [{name: a, resources: {requests: {cpu: 200m}}}]}}}
`)
		b.record(nil)
		b.server.Remove(kube.Claims, "shop", "data")
		b.record(nil)
		got := b.shapes()
		slices.Sort(got)
		want := []string{
			"budget", "claim shop/data",
			`claim shop/data {"metadata":{"annotations":{"volume.kubernetes.io/selected-node":"a"},"name":"data","namespace":"shop","uid":"c"},"spec":{"storageClassName":"late"},"status":{"phase":"Pending"}}`,
			`csiNode node-1 {"metadata":{"name":"node-1","uid":"i"},"spec":{"drivers":[]}}`,
			`daemonSet shop/agent {"labels":{"app":"agent"},"owner":{"kind":"DaemonSet","name":"agent"},"requests":{"cpu":"200m"},"nodeSelector":{"gpu":"true"}}`,
			`namespace shop {"metadata":{"labels":{"team":"a"},"name":"shop"}}`,
			`storageClass late {"metadata":{"name":"late","uid":"s"},"provisioner":"d","volumeBindingMode":"WaitForFirstConsumer"}`,
			`volume v {"metadata":{"labels":{"zone":"a"},"name":"v","uid":"v"},"spec":{"csi":{"driver":"d","volumeHandle":"h"}}}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		facts, err := timeline.ReadUnsorted(b.File)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range schedulingKinds {
			if !slices.ContainsFunc(facts, func(f timeline.Fact) bool { return f.Kind == kind && f.Name == "" && f.What == timeline.Shaped }) {
				t.Errorf("nothing says that all objects of the kind %s are on record", kind)
			}
		}
	})
}
