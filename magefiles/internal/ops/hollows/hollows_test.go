package hollows

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/target"
	"caslab/magefiles/internal/target/targettest"
)

// fakeRunner answers for the go command, which compiles a program with that content, and runs
// the controller until it is stopped.
type fakeRunner struct {
	mu      sync.Mutex
	program string
	started []run.Cmd
	// running gets each start of the controller.
	running chan struct{}
}

func (r *fakeRunner) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	r.mu.Lock()
	r.started = append(r.started, c)
	program := r.program
	r.mu.Unlock()
	switch {
	case c.Name == "go" && slices.Contains(c.Args, "build"):
		return run.Result{}, state.WriteFile(c.Args[slices.Index(c.Args, "-o")+1], []byte(program), 0o755)
	case c.Name == "go" && c.Args[0] == "env":
		return run.Result{Stdout: []byte("{}")}, nil
	case c.Name == "go":
		return run.Result{Stdout: []byte("go version go1.26.0\n")}, nil
	}
	r.running <- struct{}{}
	<-ctx.Done()
	return run.Result{}, &run.Error{Cmd: c, Err: context.Cause(ctx)}
}

// deployments are some whose pods must not come to hollow nodes, and others.
const deployments = `
{apiVersion: apps/v1, kind: Deployment, metadata: {name: coredns, namespace: kube-system, generation: 1}, spec: {replicas: 2, template: {spec: {}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: capi-controller-manager, namespace: capi-system, generation: 1, labels: {cluster.x-k8s.io/provider: cluster-api}}
spec:
  replicas: 1
  template:
    spec:
      affinity:
        podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}
        nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: In, values: [ssd]}]}]}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: stopped, namespace: kube-system, generation: 1}, spec: {replicas: 0, template: {spec: {}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: caslab-autoscaler, namespace: default, generation: 1}, spec: {template: {spec: {nodeSelector: {node-role.kubernetes.io/control-plane: ""}}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: cert-manager-webhook, namespace: cert-manager, generation: 1, labels: {clusterctl.cluster.x-k8s.io/core: cert-manager}}, spec: {replicas: 1, template: {spec: {}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: default, generation: 1}, spec: {template: {spec: {}}}}
`

type fixture struct {
	*Hollows
	lab     *labtest.Lab
	runner  *fakeRunner
	cluster *target.Cluster
	server  *kubetest.Server
	loaded  []string
}

func (s *fixture) LoadIntoControlPlane(_ context.Context, ref string, _ v1.Image) error {
	s.loaded = append(s.loaded, ref)
	return nil
}

// newFixture returns the environment's cluster, whose controllers answer at once.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	l := labtest.New(t, nil)
	c, server := targettest.New(t)
	server.Define(kube.Definitions.WithVersion("v1"), hollow.Machines.WithVersion("v1beta2"))
	server.PutYAML(deployments)
	server.Intercept(func(r kubetest.Request) error {
		switch {
		case r.Verb != "watch":
		case r.Resource == "deployments":
			go available(server)
		case r.Resource == "customresourcedefinitions":
			go establish(server)
		}
		return nil
	})
	s := &fixture{lab: l, runner: &fakeRunner{program: "one", running: make(chan struct{}, 1)}, cluster: c, server: server}
	l.Runner = s.runner
	s.Hollows = &Hollows{Lab: l.Lab, Open: targettest.Open(c), Nodes: s}
	return s
}

// available gives every Deployment the pods that it wants.
func available(server *kubetest.Server) {
	for _, d := range server.List(kube.Deployments) {
		replicas, found, _ := unstructured.NestedFieldCopy(d.Object, "spec", "replicas")
		if !found {
			replicas = int64(1)
		}
		generation, _, _ := unstructured.NestedFieldCopy(d.Object, "metadata", "generation")
		server.Merge("controller", kube.Deployments, d.GetNamespace(), d.GetName(), map[string]any{"status": map[string]any{
			"observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas,
			"conditions": []any{map[string]any{"type": "Available", "status": "True"}},
		}})
	}
}

func establish(server *kubetest.Server) {
	for _, d := range server.List(kube.Definitions) {
		server.Merge("controller", kube.Definitions, "", d.GetName(), map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Established", "status": "True"}}}})
	}
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// terms returns the terms that the nodes of a Deployment's pods must fulfil, as JSON.
func (s *fixture) terms(t *testing.T, namespace, name string) string {
	t.Helper()
	d, err := kube.Deployment(s.server.Get(kube.Deployments, namespace, name))
	if err != nil {
		t.Fatal(err)
	}
	a := d.Spec.Template.Spec.Affinity
	if a == nil || a.NodeAffinity == nil {
		return ""
	}
	data, err := json.Marshal(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestPrepareOnce: a failure is tried again, and a success is not.
func TestPrepareOnce(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	prepare := s.PrepareOnce()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if err := prepare(stopped, s.cluster); err == nil {
		t.Error("a cluster was made ready after the command was stopped")
	}
	for range 2 {
		if err := prepare(testContext(t), s.cluster); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.loaded) != 1 || s.server.Count("patch", "deployments") == 0 {
		t.Errorf("the images %q were loaded", s.loaded)
	}
	looked := s.server.Count("get", "deployments")
	if err := prepare(testContext(t), s.cluster); err != nil || s.server.Count("get", "deployments") != looked {
		t.Errorf("a cluster that is ready was looked at again: %v", err)
	}
}

// TestPrepareOnceLooksForTheController: the controller of a cluster that the lab did not create may
// end at any time. The pods of the system are named once.
func TestPrepareOnceLooksForTheController(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.cluster.Own = false
	prepare := s.PrepareOnce()
	for range 2 {
		if err := prepare(testContext(t), s.cluster); err != nil {
			t.Fatal(err)
		}
	}
	logged := s.lab.Logged.String()
	if runs, pods := strings.Count(logged, "no running hollow:run was found"), strings.Count(logged, "pods of the system may come"); runs != 2 || pods != 1 {
		t.Errorf("the controller is missed %d times, and the pods are named %d times:\n%s", runs, pods, logged)
	}
}

// TestPrepare: the first time everything is installed. The second time nothing is loaded or
// replaced, until the program changes.
func TestPrepare(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	for _, want := range []struct {
		program        string
		loaded, patche int
	}{{"one", 1, 4}, {"one", 1, 4}, {"two", 2, 4}} {
		s.runner.program = want.program
		if err := s.Prepare(testContext(t), s.cluster); err != nil {
			t.Fatal(err)
		}
		d := s.server.Get(kube.Deployments, hollow.Name, hollow.Name)
		if image := kube.FirstImage(d); len(s.loaded) != want.loaded || image != s.loaded[len(s.loaded)-1] {
			t.Errorf("it runs %s, and the nodes have %q", image, s.loaded)
		}
		if got := s.server.Count("patch", "deployments"); got != want.patche {
			t.Errorf("%d changes of Deployments, want %d", got, want.patche)
		}
	}
	s.server.Merge("controller", kube.Deployments, hollow.Name, hollow.Name, map[string]any{"status": map[string]any{"conditions": nil}})
	if err := s.Prepare(testContext(t), s.cluster); err != nil || len(s.loaded) != 3 {
		t.Errorf("Prepare() beside a controller that is not available = %v; loaded %q", err, s.loaded)
	}
	if s.loaded[0] == s.loaded[1] {
		t.Errorf("another program has the same image %s", s.loaded[0])
	}
	for name, want := range map[string]string{
		"kube-system/coredns":                 `[{"matchExpressions":[{"key":"caslab.local/machines","operator":"NotIn","values":["hollow"]}]}]`,
		"kube-system/stopped":                 `[{"matchExpressions":[{"key":"caslab.local/machines","operator":"NotIn","values":["hollow"]}]}]`,
		"capi-system/capi-controller-manager": `[{"matchExpressions":[{"key":"disk","operator":"In","values":["ssd"]},{"key":"caslab.local/machines","operator":"NotIn","values":["hollow"]}]}]`,
		"cert-manager/cert-manager-webhook":   `[{"matchExpressions":[{"key":"caslab.local/machines","operator":"NotIn","values":["hollow"]}]}]`,
		"default/caslab-autoscaler":           "",
		"default/web":                         "",
	} {
		namespace, name, _ := strings.Cut(name, "/")
		if got := s.terms(t, namespace, name); got != want {
			t.Errorf("pods of %s need a node with %s, want %s", name, got, want)
		}
	}
	if logged := s.lab.Logged.String(); strings.Count(logged, "kube-system/coredns") != 1 || !strings.Contains(logged, "capi-system/capi-controller-manager") {
		t.Errorf("said\n%s", logged)
	}
	if kube.Field(s.server.Get(kube.Deployments, "capi-system", "capi-controller-manager"), "spec", "template", "spec", "affinity", "podAntiAffinity") == "" {
		t.Error("another part of the affinity is gone")
	}
}

// TestNoRightToCreateKinds: then nothing is changed.
func TestNoRightToCreateKinds(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.server.Intercept(func(r kubetest.Request) error {
		if r.Resource == "customresourcedefinitions" {
			return apierrors.NewForbidden(schema.GroupResource{Group: kube.Definitions.Group, Resource: r.Resource}, "", errors.New("no"))
		}
		switch r.Verb {
		case "create", "apply", "patch", "delete":
			t.Errorf("%s %s %s", r.Verb, r.Resource, r.Body)
		}
		return nil
	})
	if err := s.Prepare(testContext(t), s.cluster); err == nil || !strings.Contains(err.Error(), "the right to create CustomResourceDefinitions") {
		t.Errorf("Prepare() = %v", err)
	}
}

// TestPrepareForeign: in a cluster that the lab did not create, nothing is installed or changed.
func TestPrepareForeign(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.cluster.Own = false
	s.server.Intercept(func(r kubetest.Request) error {
		switch r.Verb {
		case "create", "apply", "patch", "delete":
			t.Errorf("%s %s %s", r.Verb, r.Resource, r.Body)
		}
		return nil
	})
	if err := s.Prepare(testContext(t), s.cluster); err != nil {
		t.Fatal(err)
	}
	const patch = `kubectl -n kube-system patch deployment coredns --type=merge -p '{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"caslab.local/machines","operator":"NotIn","values":["hollow"]}]}]}}}}}}}'`
	logged := s.lab.Logged.String()
	for _, want := range []string{patch, "capi-controller-manager", "no running hollow:run was found"} {
		if !strings.Contains(logged, want) {
			t.Errorf("said\n%s\nwant %q", logged, want)
		}
	}
	for _, not := range []string{"deployment web", "deployment caslab-autoscaler"} {
		if strings.Contains(logged, not) {
			t.Errorf("said\n%s\nnot %q", logged, not)
		}
	}
	s.server.Undefine(hollow.Templates)
	// A client that knows the kinds asks again only if one is missing.
	other := s.server.Client()
	if err := s.Prepare(testContext(t), &target.Cluster{Workload: other, Management: other, Name: "work-cluster", Namespace: "default"}); err == nil || !strings.Contains(err.Error(), "go tool mage hollow:run") {
		t.Errorf("Prepare() without the kinds = %v", err)
	}
}

func TestOldClusterAPI(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.server.Undefine(kube.MachineDeployments)
	s.server.Define(kube.MachineDeployments.WithVersion("v1alpha4"))
	if err := s.Prepare(testContext(t), s.cluster); err == nil || !strings.Contains(err.Error(), "use a release from v1.0 on") {
		t.Errorf("Prepare() = %v", err)
	}
}

const hollowGroup = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: gpu, namespace: default}
spec: {clusterName: work-cluster, template: {spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: HollowMachineTemplate, name: gpu}}}}
`

func TestRemove(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	if err := s.Prepare(testContext(t), s.cluster); err != nil {
		t.Fatal(err)
	}
	s.server.PutYAML(hollowGroup)
	if err := s.Remove(testContext(t)); err == nil || !strings.Contains(err.Error(), "the hollow node groups default/gpu; delete them first:\n  go tool mage nodegroup:delete gpu") {
		t.Errorf("Remove() with a group = %v", err)
	}
	s.server.Remove(kube.MachineDeployments, "default", "gpu")
	s.server.PutYAML(`{apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: HollowMachine, metadata: {name: m, namespace: other}}`)
	if err := s.Remove(testContext(t)); err == nil || !strings.Contains(err.Error(), "1 hollow machines, such as other/m") {
		t.Errorf("Remove() with a machine = %v", err)
	}
	s.server.Remove(hollow.Machines, "other", "m")
	if s.server.Get(kube.Deployments, hollow.Name, hollow.Name) == nil || len(s.server.List(kube.Definitions)) != 2 {
		t.Error("a refused Remove() removed something")
	}
	for range 2 { // again is fine
		if err := s.Remove(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if left := s.server.List(kube.Definitions); s.server.Get(kube.Deployments, hollow.Name, hollow.Name) != nil || len(left) > 0 || s.server.Get(kube.Namespaces, "", hollow.Name) != nil {
			t.Errorf("it is there, with %d kinds", len(left))
		}
	}
}

// TestRemoveWithoutTheRightToListClasses: classes of devices do no harm, and keep nothing else.
func TestRemoveWithoutTheRightToListClasses(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.server.Define(kube.DeviceClasses.WithVersion(kube.DevicesVersion))
	if err := s.Prepare(testContext(t), s.cluster); err != nil {
		t.Fatal(err)
	}
	s.server.Intercept(func(r kubetest.Request) error {
		if r.Resource == "deviceclasses" {
			return apierrors.NewForbidden(schema.GroupResource{Resource: r.Resource}, "", errors.New("no right"))
		}
		return nil
	})
	if err := s.Remove(testContext(t)); err != nil || len(s.server.List(kube.Definitions)) > 0 || !strings.Contains(s.lab.Logged.String(), "! classes of devices that the lab created may be left: ") {
		t.Errorf("Remove() = %v; said\n%s", err, s.lab.Logged)
	}
}

// TestPrepareAfterAnInterruptedRemove: a definition that is being deleted stays Established until
// it is gone.
func TestPrepareAfterAnInterruptedRemove(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	if err := s.Prepare(testContext(t), s.cluster); err != nil {
		t.Fatal(err)
	}
	going := map[string]any{"metadata": map[string]any{"finalizers": []any{"test"}}}
	definition := s.server.List(kube.Definitions)[0].GetName()
	s.server.Merge("controller", kube.Definitions, "", definition, going)
	s.server.Merge("controller", kube.Namespaces, "", hollow.Name, going)
	if err := errors.Join(
		s.cluster.Management.Delete(t.Context(), kube.Definitions, "", definition),
		s.cluster.Workload.Delete(t.Context(), kube.Namespaces, "", hollow.Name),
	); err != nil {
		t.Fatal(err)
	}
	s.server.Intercept(func(r kubetest.Request) error {
		if r.Verb != "watch" {
			return nil
		}
		go func() {
			if d := s.server.Get(kube.Definitions, "", definition); r.Resource == "customresourcedefinitions" && d != nil && d.GetDeletionTimestamp() != nil {
				s.server.Remove(kube.Definitions, "", definition)
			}
			if n := s.server.Get(kube.Namespaces, "", hollow.Name); r.Resource == "namespaces" && n != nil && n.GetDeletionTimestamp() != nil {
				s.server.Remove(kube.Namespaces, "", hollow.Name)
			}
			available(s.server)
			establish(s.server)
		}()
		return nil
	})
	if err := s.Prepare(testContext(t), s.cluster); err != nil {
		t.Fatal(err)
	}
	for _, o := range []*unstructured.Unstructured{s.server.Get(kube.Definitions, "", definition), s.server.Get(kube.Namespaces, "", hollow.Name)} {
		if o == nil || o.GetDeletionTimestamp() != nil {
			t.Errorf("%v is gone, or is being deleted", o)
		}
	}
}

// TestRemoveWaitsForTheNamespace: an API server empties a namespace before it removes it.
func TestRemoveWaitsForTheNamespace(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	if err := s.Prepare(testContext(t), s.cluster); err != nil {
		t.Fatal(err)
	}
	s.server.Merge("controller", kube.Namespaces, "", hollow.Name, map[string]any{"metadata": map[string]any{"finalizers": []any{"kubernetes"}}})
	s.server.Intercept(func(r kubetest.Request) error {
		if r.Verb == "watch" && r.Resource == "namespaces" {
			go s.server.Remove(kube.Namespaces, "", hollow.Name)
		}
		return nil
	})
	if err := s.Remove(testContext(t)); err != nil || s.server.Count("watch", "namespaces") == 0 {
		t.Errorf("Remove() = %v, after %d watches of namespaces", err, s.server.Count("watch", "namespaces"))
	}
	if s.server.Get(kube.Namespaces, "", hollow.Name) != nil {
		t.Error("the namespace is there")
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	if err := s.Run(testContext(t)); err == nil || !strings.Contains(err.Error(), "nodegroup:add NAME MIN MAX -machines=hollow") {
		t.Errorf("Run() for the environment = %v", err)
	}
	s.cluster.Own, s.cluster.WorkloadPath, s.cluster.ManagementPath = false, "/w", "/m"
	ctx, stop := context.WithCancel(testContext(t))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case err := <-ended:
		t.Fatal(err)
	case <-s.runner.running:
	}
	if err := s.Run(testContext(t)); err == nil || !strings.Contains(err.Error(), "is already running") {
		t.Errorf("Run() beside it = %v", err)
	}
	if err := s.Remove(testContext(t)); err == nil || !strings.Contains(err.Error(), ": hollow:run (process ") || !strings.Contains(err.Error(), "stop it first") || len(s.server.List(kube.Definitions)) != 2 {
		t.Errorf("Remove() beside it = %v, with %d kinds", err, len(s.server.List(kube.Definitions)))
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	c := s.runner.started[len(s.runner.started)-1]
	if got := strings.Join(c.Args, " "); filepath.Base(c.Name) != "hollow" || got != "--kubeconfig=/m --workload-kubeconfig=/w --namespace=default --cluster=work-cluster --health-addr=" {
		t.Errorf("ran %s %s", c.Name, got)
	}
	if len(s.server.List(kube.Definitions)) != 2 || s.server.Get(kube.Deployments, hollow.Name, hollow.Name) != nil {
		t.Error("the kinds are missing, or the controller is deployed")
	}
	if err := s.Remove(testContext(t)); err != nil || len(s.server.List(kube.Definitions)) != 0 {
		t.Errorf("Remove() after it = %v, with %d kinds", err, len(s.server.List(kube.Definitions)))
	}
}

// TestRunBeforeAMove: the controller can run for a management cluster to which clusterctl will move
// the objects. The kinds must be there before the move.
func TestRunBeforeAMove(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	destination := kubetest.New(t, targettest.Kinds(), "")
	destination.Define(kube.Definitions.WithVersion("v1"))
	destination.Intercept(func(r kubetest.Request) error {
		if r.Verb == "watch" && r.Resource == "customresourcedefinitions" {
			go establish(destination)
		}
		return nil
	})
	s.Open = func(ctx context.Context) (*target.Cluster, error) {
		return target.Open(ctx, target.Options{
			Workload: s.server.KubeconfigFile(), Management: destination.KubeconfigFile(), Name: "work-cluster", Namespace: "default",
		})
	}
	ctx, stop := context.WithCancel(testContext(t))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case err := <-ended:
		t.Fatal(err)
	case <-s.runner.running:
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := len(destination.List(kube.Definitions)); n != 2 {
		t.Errorf("the destination has %d kinds of hollow machines, want 2", n)
	}
	if got := s.lab.Logged.String(); !strings.Contains(got, "the Cluster default/work-cluster is not in the management cluster, which has none; the controller waits for clusterctl move") {
		t.Errorf("hollow:run logged\n%s", got)
	}
}

func TestStaysAway(t *testing.T) {
	t.Parallel()
	requirement := func(key string, operator corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: operator, Values: values}}}
	}
	required := func(terms ...corev1.NodeSelectorTerm) corev1.PodSpec {
		return corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}}
	}
	notHollow := requirement(kube.MachinesLabel, corev1.NodeSelectorOpNotIn, "hollow")
	for name, tc := range map[string]struct {
		pod  corev1.PodSpec
		want bool
	}{
		"anywhere":              {corev1.PodSpec{}, false},
		"the control plane":     {corev1.PodSpec{NodeSelector: map[string]string{"node-role.kubernetes.io/control-plane": ""}}, true},
		"another role":          {corev1.PodSpec{NodeSelector: map[string]string{"node-role.kubernetes.io/infra": ""}}, false},
		"another label":         {corev1.PodSpec{NodeSelector: map[string]string{"disk": "ssd"}}, false},
		"not hollow":            {required(notHollow), true},
		"does not exist":        {required(requirement(kube.MachinesLabel, corev1.NodeSelectorOpDoesNotExist)), true},
		"docker alone":          {required(requirement(kube.MachinesLabel, corev1.NodeSelectorOpIn, "docker")), true},
		"hollow alone":          {required(requirement(kube.MachinesLabel, corev1.NodeSelectorOpIn, "hollow")), false},
		"hollow in one of two":  {required(notHollow, requirement("disk", corev1.NodeSelectorOpExists)), false},
		"preferred, not needed": {corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}}, false},
	} {
		if got := hollow.StaysAway(&tc.pod); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestArguments: the controller, a program of its own module, has the flags that it is given.
func TestArguments(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../../components/hollow/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("the sources of the controller are %v: %v", files, err)
	}
	known := map[string]bool{"kubeconfig": true} // a flag of controller-runtime
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\bflag\.\w*Var\([^,"]+, "([^"]+)"`).FindAllSubmatch(source, -1) {
			known[string(m[1])] = true
		}
	}
	for _, argument := range arguments(&target.Cluster{WorkloadPath: "w", ManagementPath: "m", Name: "c", Namespace: "n"}) {
		name, _, _ := strings.Cut(strings.TrimLeft(argument, "-"), "=")
		if !known[name] {
			t.Errorf("%s: the controller has no such flag, but %v", argument, slices.Sorted(maps.Keys(known)))
		}
	}
}
