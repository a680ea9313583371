package recorder

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

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

// unnamedShapes returns the shapes of facts of a kind that name no object, as shapes does.
func (b *fixture) unnamedShapes(kind timeline.Kind) []string {
	b.t.Helper()
	facts, err := timeline.ReadUnsorted(b.File)
	if err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, f := range facts {
		if f.What == timeline.Shaped && f.Name == "" && f.Kind == kind {
			all = append(all, string(kind)+" "+string(f.Shape))
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
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: disk.example.com, uid: r}
spec: {storageCapacity: true}
---
apiVersion: storage.k8s.io/v1
kind: CSIStorageCapacity
metadata: {name: zone-a, namespace: kube-system, uid: sc}
storageClassName: late
nodeTopology: {matchLabels: {zone: a}}
capacity: 1Gi
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {name: csi-1, uid: va}
spec: {attacher: d, nodeName: node-1, source: {persistentVolumeName: v}}
status: {attached: true, attachmentMetadata: {devicePath: secret}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: gpu, namespace: shop, uid: rc}
spec: {devices: {config: [{opaque: {parameters: {secret: x}}}], requests: [{name: r, exactly: {deviceClassName: gpu}}]}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: gpu, namespace: shop, uid: rt}
spec: {spec: {devices: {requests: [{name: r, exactly: {deviceClassName: gpu}}]}}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: node-1, uid: rs}
spec: {driver: gpu.example.com, nodeName: node-1, pool: {name: node-1, generation: 1, resourceSliceCount: 1}, devices: [{name: gpu-0}]}
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu, uid: dc}
spec: {selectors: [{cel: {expression: device.driver == "gpu.example.com"}}]}
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
			`csiDriver disk.example.com {"metadata":{"name":"disk.example.com","uid":"r"},"spec":{"storageCapacity":true}}`,
			`csiNode node-1 {"metadata":{"name":"node-1","uid":"i"},"spec":{"drivers":[]}}`,
			`csiStorageCapacity kube-system/zone-a {"capacity":"1Gi","metadata":{"name":"zone-a","namespace":"kube-system","uid":"sc"},"nodeTopology":{"matchLabels":{"zone":"a"}},"storageClassName":"late"}`,
			`daemonSet shop/agent {"labels":{"app":"agent"},"owner":{"kind":"DaemonSet","name":"agent"},"requests":{"cpu":"200m"},"nodeSelector":{"gpu":"true"}}`,
			`deviceClass gpu {"metadata":{"name":"gpu","uid":"dc"},"spec":{"selectors":[{"cel":{"expression":"device.driver == \"gpu.example.com\""}}]}}`,
			`namespace shop {"metadata":{"labels":{"team":"a"},"name":"shop"}}`,
			`resourceClaim shop/gpu {"metadata":{"name":"gpu","namespace":"shop","uid":"rc"},"spec":{"devices":{"requests":[{"exactly":{"deviceClassName":"gpu"},"name":"r"}]}}}`,
			`resourceClaimTemplate shop/gpu {"metadata":{"name":"gpu","namespace":"shop","uid":"rt"}}`,
			`resourceSlice node-1 {"metadata":{"name":"node-1","uid":"rs"},"spec":{"devices":[{"name":"gpu-0"}],"driver":"gpu.example.com","nodeName":"node-1","pool":{"generation":1,"name":"node-1","resourceSliceCount":1}}}`,
			`storageClass late {"metadata":{"name":"late","uid":"s"},"provisioner":"d","volumeBindingMode":"WaitForFirstConsumer"}`,
			`volume v {"metadata":{"labels":{"zone":"a"},"name":"v","uid":"v"},"spec":{"csi":{"driver":"d","volumeHandle":"h"}}}`,
			`volumeAttachment csi-1 {"metadata":{"name":"csi-1","uid":"va"},"spec":{"attacher":"d","nodeName":"node-1","source":{"persistentVolumeName":"v"}}}`,
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

// TestDevicesOfOldClusters: a cluster without the API of devices, or with a version that has other objects, is
// recorded without a word about it, and its devices do not count as seen.
func TestDevicesOfOldClusters(t *testing.T) {
	for name, versions := range map[string][]string{"none": nil, "only an alpha version": {"v1alpha3"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newFixture(t, cluster)
				for _, kind := range []schema.GroupKind{kube.ResourceClaims, kube.ClaimTemplates, kube.ResourceSlices, kube.DeviceClasses, kube.CSIDrivers, kube.StorageCapacities} {
					b.server.Undefine(kind)
					for _, version := range versions {
						b.server.Define(kind.WithVersion(version))
					}
				}
				b.record(nil) // it reports errors
				facts, err := timeline.ReadUnsorted(b.File)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range facts {
					if f.Kind == timeline.ResourceClaim || f.Kind == timeline.ResourceSlice || f.Kind == timeline.DeviceClass {
						t.Errorf("recorded %+v", f)
					}
				}
			})
		})
	}
}
