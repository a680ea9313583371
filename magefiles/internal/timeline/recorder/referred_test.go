package recorder

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/timeline"
)

var (
	dockerMachines = schema.GroupKind{Group: infrastructureGroup, Kind: "DockerMachine"}
	hollowMachines = schema.GroupKind{Group: infrastructureGroup, Kind: "HollowMachine"}
	configs        = schema.GroupKind{Group: bootstrapGroup, Kind: "KubeadmConfig"}
)

// externals are two Machines with infrastructure of two kinds. One waits for its image, and its bootstrap config
// for another machine.
const externals = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: new, namespace: default, uid: new}
spec:
  clusterName: work
  bootstrap: {configRef: {apiGroup: bootstrap.cluster.x-k8s.io, kind: KubeadmConfig, name: new}}
  infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DockerMachine, name: new}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: hollow, namespace: default, uid: hollow}
spec: {clusterName: work, infrastructureRef: {apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: HollowMachine, name: hollow}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: DockerMachine
metadata: {name: new, namespace: default, uid: d1, labels: {cluster.x-k8s.io/cluster-name: work}}
status: {conditions: [{type: ContainerProvisioned, status: "False", message: no image after 1 try}]}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: DockerMachine
metadata: {name: well, namespace: default, uid: d2, labels: {cluster.x-k8s.io/cluster-name: work}}
status: {conditions: [{type: ContainerProvisioned, status: "True"}]}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: DockerMachine
metadata: {name: another, namespace: default, uid: d3, labels: {cluster.x-k8s.io/cluster-name: another}}
status: {failureReason: CreateError}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: HollowMachine
metadata: {name: hollow, namespace: default, uid: h}
status: {failureReason: CreateError, failureMessage: it is told to fail}
---
apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
kind: KubeadmConfig
metadata: {name: new, namespace: default, uid: k, ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: new, uid: new}]}
status: {conditions: [{type: DataSecretAvailable, status: "False", message: waits for the control plane}]}
`

const (
	noImage = `infrastructureMachine DockerMachine/new {"machine":"new","problems":["ContainerProvisioned: no image after 1 try"]}`
	waits   = `bootstrapConfig KubeadmConfig/new {"machine":"new","problems":["DataSecretAvailable: waits for the control plane"]}`
	fails   = `infrastructureMachine HollowMachine/hollow {"machine":"hollow","failure":"CreateError: it is told to fail"}`
)

// newExternalsFixture is newFixture with externals, whose kinds the server serves.
func newExternalsFixture(t *testing.T) *fixture {
	t.Helper()
	b := newFixture(t, cluster)
	b.server.Define(dockerMachines.WithVersion("v1beta2"), hollowMachines.WithVersion("v1beta2"), configs.WithVersion("v1beta2"))
	b.server.PutYAML(externals)
	return b
}

// externalShapes returns the shapes of infrastructure machines and bootstrap configs in the record, sorted.
func (b *fixture) externalShapes() []string {
	b.t.Helper()
	return sorted(slices.DeleteFunc(b.shapes(), func(s string) bool {
		return !strings.HasPrefix(s, string(timeline.InfrastructureMachine)) && !strings.HasPrefix(s, string(timeline.BootstrapConfig))
	}))
}

// TestExternalObjectsAreRecorded: infrastructure machines of every kind and bootstrap configs are recorded
// while they report a problem, again when they report another one, and not by another recorder.
func TestExternalObjectsAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalsFixture(t)
		report := func(kind schema.GroupKind, status, message string) {
			b.server.Edit(kind, "default", "new", func(o *unstructured.Unstructured) {
				_ = unstructured.SetNestedSlice(o.Object, []any{map[string]any{"type": "ContainerProvisioned", "status": status, "message": message}}, "status", "conditions")
			})
			time.Sleep(time.Second)
		}
		want := []string{noImage, waits, fails}
		for range 2 {
			b.record(func() { report(dockerMachines, "False", "no image after 2 try") })
			if got := b.externalShapes(); !slices.Equal(got, sorted(want)) {
				t.Fatalf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		b.record(func() {
			report(dockerMachines, "False", "no network")
			report(dockerMachines, "True", "")
			b.server.Remove(configs, "default", "new")
		})
		b.server.Remove(hollowMachines, "default", "hollow")
		b.record(nil)
		want = append(want, `infrastructureMachine DockerMachine/new {"machine":"new","problems":["ContainerProvisioned: no network"]}`,
			"infrastructureMachine DockerMachine/new", "bootstrapConfig KubeadmConfig/new", "infrastructureMachine HollowMachine/hollow")
		if got := b.externalShapes(); !slices.Equal(got, sorted(want)) {
			t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestExternalObjectsThatMayNotBeRead: which right is missing is said once, and everything else is recorded. The kind is
// asked for seldom, and recorded when the right is there.
func TestExternalObjectsThatMayNotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newExternalsFixture(t)
		var allowed atomic.Bool
		b.server.Intercept(func(q kubetest.Request) error {
			if q.Resource == "dockermachines" && !allowed.Load() {
				return apierrors.NewForbidden(schema.GroupResource{Group: infrastructureGroup, Resource: q.Resource}, "", errors.New("no right"))
			}
			return nil
		})
		var reported []string
		b.OnError = func(err error) { reported = append(reported, err.Error()) }
		b.record(func() {
			time.Sleep(time.Hour)
			if n := b.server.Count("list", "dockermachines"); n < 10 || n > 15 {
				t.Errorf("the kind was listed %d times in an hour, want once in 5 minutes", n)
			}
			if got, want := b.externalShapes(), sorted([]string{waits, fails}); !slices.Equal(got, want) {
				t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			allowed.Store(true)
			time.Sleep(6 * time.Minute)
		})
		if want := `no right to list dockermachines in the API group "infrastructure.cluster.x-k8s.io"; the recorder tries again every 5m0s: `; len(reported) != 1 || !strings.HasPrefix(reported[0], want) {
			t.Errorf("reported %q, want once %q", reported, want)
		}
		if got, want := b.externalShapes(), sorted([]string{noImage, waits, fails}); !slices.Equal(got, want) {
			t.Errorf("with the right, recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestFactsHaveNoManagedFields: they may be half of an object, and of them a record has only who wrote the replicas.
func TestFactsHaveNoManagedFields(t *testing.T) {
	t.Parallel()
	objects := objectsOf(t, cluster+"\n---\n"+externals)
	for _, o := range objects {
		o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "somebody", FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:spec":{"f:replicas":{}}}`)}}})
	}
	writers := 0
	for _, f := range SnapshotFacts(Snapshot{Taken: midnight, Objects: objects}, func(err error) { t.Error(err) }) {
		text, err := json.Marshal(f)
		if err != nil || strings.Contains(string(text), "managedFields") || strings.Contains(string(text), "f:spec") {
			t.Errorf("%v: %s", err, text)
		}
		if f.What == timeline.Sized && f.Text == "somebody" {
			writers++
		}
	}
	if writers == 0 {
		t.Error("no fact has who wrote the replicas")
	}
}

// TestFollowersKeepNoManagedFields: only the caller of a change sees them.
func TestFollowersKeepNoManagedFields(t *testing.T) {
	t.Parallel()
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "somebody"}})
	seen := 0
	slim(func(change kube.Change) {
		if change.After != nil {
			seen += len(change.After.GetManagedFields())
		}
	})(kube.Change{After: o})
	if seen != 1 || len(o.GetManagedFields()) != 0 {
		t.Errorf("a change has %d entries, and %d are kept", seen, len(o.GetManagedFields()))
	}
	slim(func(kube.Change) {})(kube.Change{Before: o})
}

// TestSnapshotHasExternalObjectsWithProblems: what somebody saved becomes the same facts. Objects that report no
// problem become none.
func TestSnapshotHasExternalObjectsWithProblems(t *testing.T) {
	t.Parallel()
	objects := objectsOf(t, externals)
	if slices.ContainsFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetName() == "well" }) {
		t.Error("an object without a problem is kept")
	}
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetName() == "another" })
	var got []string
	for _, f := range SnapshotFacts(Snapshot{Taken: midnight, Objects: objects}, func(err error) { t.Error(err) }) {
		if f.Kind == timeline.InfrastructureMachine || f.Kind == timeline.BootstrapConfig {
			got = append(got, strings.Join([]string{string(f.Kind), f.Name, string(f.Shape)}, " "))
		}
	}
	if want := sorted([]string{noImage, waits, fails}); !slices.Equal(sorted(got), want) {
		t.Errorf("the snapshot has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTemplatesOfTwoKindsStay: a recorder that starts again ends no template of a kind that it lists later.
func TestTemplatesOfTwoKindsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFixture(t, cluster)
		for _, kind := range []string{"DockerMachineTemplate", "HollowMachineTemplate"} {
			b.server.Define(schema.GroupVersionKind{Group: infrastructureGroup, Version: "v1beta2", Kind: kind})
			b.server.PutYAML(strings.ReplaceAll(`
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: KIND
metadata: {name: a, namespace: default, uid: KIND}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: of-KIND, namespace: default, uid: of-KIND}
spec: {clusterName: work, replicas: 1, template: {spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: KIND, name: a}}}}
`, "KIND", kind))
		}
		b.record(nil)
		b.record(nil)
		got := sorted(slices.DeleteFunc(b.shapes(), func(s string) bool { return !strings.HasPrefix(s, string(timeline.Template)) }))
		if want := []string{"template DockerMachineTemplate/a {}", "template HollowMachineTemplate/a {}"}; !slices.Equal(got, want) {
			t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
