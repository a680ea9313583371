package environment

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/build"
	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/bringup"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/repository"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/source"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/steps"
	"caslab/magefiles/internal/ui"
)

// fakeWorld does in a test what compilers, registries, kind, clusterctl and the
// controllers of Cluster API do for an environment.
type fakeWorld struct {
	*fixture
	t                    *testing.T
	management, workload *kubetest.Server

	mu sync.Mutex
	// calls has the calls of the tools, in order.
	calls []string
	// fail has the errors that calls return, and at is called when a call begins.
	fail           map[string]error
	at             func(call string)
	objectsCreated sync.WaitGroup
	// moved is called at the end of a successful move.
	moved func()
}

// worldKinds returns the kinds of a cluster with this version of Cluster API's API.
func worldKinds(api string) []schema.GroupVersionKind {
	in := func(group, version string, kinds ...string) (all []schema.GroupVersionKind) {
		for _, k := range kinds {
			all = append(all, schema.GroupVersionKind{Group: group, Version: version, Kind: k})
		}
		return all
	}
	return slices.Concat(
		in("", "v1", "Namespace", "Node", "Pod", "ConfigMap", "Secret", "ServiceAccount"), in("apps", "v1", "Deployment", "DaemonSet"),
		in("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
		in("rbac.authorization.k8s.io", "v1", "ClusterRole", "ClusterRoleBinding"),
		in("cluster.x-k8s.io", api, "Cluster", "Machine", "MachineDeployment"),
		in("infrastructure.cluster.x-k8s.io", api, "DevCluster", "DevMachineTemplate", "DockerCluster", "DockerMachineTemplate"),
		in("controlplane.cluster.x-k8s.io", api, "KubeadmControlPlane"), in("bootstrap.cluster.x-k8s.io", api, "KubeadmConfigTemplate"),
		in("clusterctl.cluster.x-k8s.io", "v1alpha3", "Provider"))
}

func newFakeWorld(t *testing.T) *fakeWorld { t.Helper(); return newFakeWorldOf(t, "v1.14.2") }

// newFakeWorldOf returns a fakeWorld for this release of Cluster API.
func newFakeWorldOf(t *testing.T, tag string) *fakeWorld {
	t.Helper()
	s := newFixture(t, map[string]string{"CERT_MANAGER": "true", "CAPI_VERSION": tag})
	kinds := worldKinds(release.Of(s.Config.ClusterAPI.Version).API)
	w := &fakeWorld{fixture: s, t: t, fail: map[string]error{}, at: func(string) {}, moved: func() {},
		management: kubetest.New(t, kinds, ""), workload: kubetest.New(t, kinds, "")}
	t.Cleanup(w.objectsCreated.Wait)
	s.docker.Answers = []runtest.Answer{
		{Prefix: "docker info", Stdout: `{"ID": "one", "OSType": "linux", "Architecture": "x86_64", "CgroupVersion": "2"}`},
		{Prefix: "docker image ls", Stdout: "sha256:0123456789abcdef\n"}, {Prefix: "docker run", Stdout: "probe\n"},
	}
	w.management.Intercept(w.controllers)
	w.useFakes(s.Environment)
	return w
}

// newEnvironment returns the same environment as another process sees it.
func (w *fakeWorld) newEnvironment() *Environment {
	e := New(w.Lab, func(*lab.Lab) Recorder { return w.recorder })
	e.bounds = w.bounds
	w.useFakes(e)
	return e
}

func (w *fakeWorld) useFakes(e *Environment) {
	e.host = w.host
	e.checkSource = func(context.Context, source.Spec) error { return w.call("check") }
	e.tools = bringup.Tools{
		Fetch: func(_ context.Context, s source.Spec, _ func(string)) (*source.Tree, error) {
			return &source.Tree{Dir: w.State.Path("src", "tree"), Origin: "git"}, w.call("fetch " + s.Name + " " + s.Version)
		},
		Compile: func(_ context.Context, requests []build.Request, _ build.Options) (int, error) {
			for i, r := range requests {
				if err := w.call("compile " + r.Output[strings.LastIndexByte(r.Output, '/')+1:]); err != nil {
					return i, err
				}
			}
			return len(requests), nil
		},
		Render: func(_ context.Context, o repository.Options) (*repository.Repository, error) {
			return &repository.Repository{ConfigPath: o.Dir + "/clusterctl.yaml", Version: "v" + o.Version.String(), Providers: []repository.Provider{
				{Name: "cluster-api", Program: build.Core, Image: "example.com/core:v1", Namespace: "capi-system"},
				{Name: "docker", Type: "InfrastructureProvider", Program: build.Docker, Image: "example.com/docker:v1", Namespace: "capd-system"},
			}}, w.call("render")
		},
		Assemble: func(_, binary, user string, _ map[string]string) (v1.Image, error) {
			return empty.Image, w.call("assemble " + binary[strings.LastIndexByte(binary, '/')+1:] + " as " + user)
		},
		Base: func(_ context.Context, o node.Options) (node.Images, error) {
			return node.Images{Node: "base:1", Origin: "source", OwnNetwork: true}, w.call("base " + o.Kubernetes)
		},
		Bake: func(_ context.Context, base string, managers map[string]v1.Image, _ node.Options) (string, error) {
			return "baked:1", w.call(fmt.Sprintf("bake %d managers into %s", len(managers), base))
		},
		Bound: func(_ context.Context, b release.LoadBalancer, _ node.Options) (release.LoadBalancer, error) {
			return release.LoadBalancer{Repository: "caslab.local/bounded", Tag: "1"}, w.call("bound " + b.Image())
		},
		Kind: func(m capi.Management) bringup.KindCluster { return &fakeKind{w, m} },
		Clusterctl: func(_ context.Context, o capi.ClusterctlOptions) (capi.Clusterctl, error) {
			return &fakeClusterctl{w, o.Config}, nil
		},
		Open: kube.Open,
	}
}

// call records a call and returns the error that fail has for it.
func (w *fakeWorld) call(call string) error {
	w.mu.Lock()
	w.calls = append(w.calls, call)
	at, err := w.at, w.fail[call]
	w.mu.Unlock()
	at(call)
	return err
}

func (w *fakeWorld) called(call string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.calls {
		if c == call {
			n++
		}
	}
	return n
}

type fakeKind struct {
	w *fakeWorld
	m capi.Management
}

func (k *fakeKind) Create(ctx context.Context) error {
	err := k.w.call("kind create " + k.m.Name + " of " + k.m.NodeImage)
	k.w.docker.add(fakeContainer{id: "mgmt", name: k.m.Name + "-control-plane", cluster: k.m.Name, role: "control-plane", owner: k.m.OwnerFile, image: k.m.NodeImage, created: "0"})
	if err := k.ExportKubeconfig(); err != nil {
		return err
	}
	return errors.Join(err, ctx.Err())
}

// ExportKubeconfig fails while the lock file exists, as that of kind does.
func (k *fakeKind) ExportKubeconfig() error {
	if there, err := state.Exists(k.m.Kubeconfig + ".lock"); there || err != nil {
		return errors.Join(err, errors.New("failed to lock config file"))
	}
	return state.WriteFile(k.m.Kubeconfig, k.w.management.Kubeconfig(""), 0o600)
}

func (k *fakeKind) Delete(ctx context.Context) error {
	if err := errors.Join(k.w.call("kind delete "+k.m.Name), ctx.Err()); err != nil {
		return err
	}
	return k.w.engine.Remove(ctx, "mgmt")
}

type fakeClusterctl struct {
	w      *fakeWorld
	config string
}

// server returns the API server of a kubeconfig and its name.
func (c *fakeClusterctl) server(kubeconfig string) (*kubetest.Server, string) {
	if kubeconfig == c.w.home().ManagementKubeconfig() {
		return c.w.management, "management"
	}
	return c.w.workload, "workload"
}

func (c *fakeClusterctl) Init(ctx context.Context, kubeconfig, version string) error {
	server, name := c.server(kubeconfig)
	if err := errors.Join(c.w.call("init "+name+" "+version), ctx.Err()); err != nil {
		return err
	}
	for _, namespace := range []string{"capi-system", "capd-system"} {
		d := fakeDeployment(true)
		d["metadata"].(map[string]any)["namespace"] = namespace
		server.Put(&unstructured.Unstructured{Object: d})
	}
	server.Put(&unstructured.Unstructured{Object: fakeProvider(version)})
	return nil
}

func (c *fakeClusterctl) Move(ctx context.Context, from, to, namespace string) error {
	source, a := c.server(from)
	target, b := c.server(to)
	if err := errors.Join(c.w.call("move "+namespace+" from "+a+" to "+b), ctx.Err()); err != nil {
		return err
	}
	for _, kind := range []schema.GroupKind{kube.Clusters, kube.Machines} {
		for _, o := range source.List(kind) {
			source.Remove(kind, o.GetNamespace(), o.GetName())
			o.SetUID("")
			o.SetResourceVersion("")
			target.Put(o)
		}
	}
	c.w.moved()
	return nil
}

func (c *fakeClusterctl) Describe(context.Context, string, string, string) ([]capi.Described, error) {
	return nil, errors.New("not in this test")
}

// controllers creates the objects of the workload cluster when its Cluster is applied.
func (w *fakeWorld) controllers(r kubetest.Request) error {
	if r.Verb != "apply" || r.Resource != "clusters" {
		return nil
	}
	if err := w.call("apply the Cluster " + r.Name); err != nil {
		return err
	}
	w.objectsCreated.Go(func() {
		for w.management.Get(kube.Clusters, "default", "work-cluster") == nil {
			if w.t.Context().Err() != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		marks, err := w.State.Marks("work-cluster")
		if err != nil || len(marks) == 0 {
			w.t.Errorf("no mark: %v", err)
			return
		}
		w.docker.add(
			fakeContainer{id: "lb", name: "work-cluster-lb", cluster: "work-cluster", role: "external-load-balancer", port: w.workload.Port(), created: "1"},
			fakeContainer{id: "cp", name: "work-cluster-cp", cluster: "work-cluster", role: "control-plane", owner: marks[0], image: "baked:1", created: "2"},
			fakeContainer{id: "md", name: "work-cluster-md", cluster: "work-cluster", role: "worker", owner: marks[0], image: "baked:1", created: "3"},
		)
		w.management.PutYAML(fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: work-cluster-kubeconfig, namespace: default}, data: {value: %s}}",
			base64.StdEncoding.EncodeToString(w.workload.Kubeconfig("172.18.0.3:6443"))))
		for _, name := range []string{"cp", "md"} {
			w.workload.Put(&unstructured.Unstructured{Object: fakeNode(name, true, name == "cp")})
			m := fakeMachine(name, "Running", name == "cp")
			m["status"].(map[string]any)["nodeRef"] = map[string]any{"name": name}
			m["apiVersion"] = w.management.Get(kube.Clusters, "default", "work-cluster").GetAPIVersion()
			m["spec"].(map[string]any)["version"] = config.Tag(w.Config.Kubernetes)
			w.management.Put(&unstructured.Unstructured{Object: m})
		}
		w.management.Edit(kube.Clusters, "default", "work-cluster", func(c *unstructured.Unstructured) {
			c.Object["status"] = map[string]any{
				// These are the fields of the status that the contracts read.
				"initialization":      map[string]any{"infrastructureProvisioned": true, "controlPlaneInitialized": true},
				"infrastructureReady": true, "controlPlaneReady": true,
				"conditions": []any{map[string]any{"type": "ControlPlaneInitialized", "status": "True"}},
			}
		})
	})
	return nil
}

// ready fails the test if the environment is not in the state that env:up must leave.
func (w *fakeWorld) ready(t *testing.T) {
	t.Helper()
	workload, management, err := w.containers(t.Context())
	if err != nil || len(workload) != 3 || len(management) != 0 {
		t.Errorf("containers: %d of the workload and %d of the management cluster, %v", len(workload), len(management), err)
	}
	for path, want := range map[string]bool{w.home().ReadyFile(): true, w.home().MovingFile(): false, w.home().ManagementKubeconfig(): false, w.EnvironmentKubeconfig(): true, w.home().EngineFile: true} {
		if there, err := state.Exists(path); err != nil || there != want {
			t.Errorf("%s is there: %t, %v; want %t", path, there, err, want)
		}
	}
	if w.workload.Get(kube.Clusters, "default", "work-cluster") == nil {
		t.Error("the cluster does not manage itself")
	}
}

const moveCall = "move default from management to workload"

// TestBringUp compares the calls of the steps and the facts on the timeline.
func TestBringUp(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	if err := w.Up(t.Context(), Ready); err != nil {
		t.Fatal(err)
	}
	w.ready(t)
	inOrder := []string{
		"check", "fetch cluster-api v1.14.2", "compile capd-manager", "bake 2 managers into base:1", "kind create work-cluster-management of baked:1",
		"init management v1.14.2", "apply the Cluster work-cluster", "init workload v1.14.2", moveCall, "kind delete work-cluster-management",
	}
	last := -1
	for _, call := range inOrder {
		at := slices.IndexFunc(w.calls, func(c string) bool { return strings.HasPrefix(c, call) })
		if at <= last {
			t.Errorf("%q is call %d, after one that comes later, or not there:\n%s", call, at, strings.Join(w.calls, "\n"))
		}
		last = max(at, last)
	}
	for _, call := range []string{"base v1.36.1", "render", "apply the Cluster work-cluster", moveCall} {
		if n := w.called(call); n != 1 {
			t.Errorf("%q was called %d times:\n%s", call, n, strings.Join(w.calls, "\n"))
		}
	}
	compiled := slices.DeleteFunc(slices.Clone(w.calls), func(c string) bool { return !strings.HasPrefix(c, "compile ") })
	if len(compiled) != 4 || slices.ContainsFunc(compiled, func(c string) bool { return strings.Contains(c, "clusterctl") }) {
		t.Errorf("compiled %q, want the four managers", compiled)
	}
	// Only CAPD runs as root, because it opens the engine's socket.
	assembled := slices.DeleteFunc(slices.Clone(w.calls), func(c string) bool { return !strings.HasPrefix(c, "assemble ") })
	if len(assembled) != 2 || !strings.HasSuffix(assembled[0], " as 65532") || !strings.HasSuffix(assembled[1], " as ") {
		t.Errorf("assembled %q", assembled)
	}
	recorded := w.recorder.facts
	moving, recording := slices.Index(recorded, "step "+bringup.Move), slices.Index(recorded, "record")
	if recorded[0] != "begin" || moving < 0 || recording < moving || !slices.Equal(recorded[len(recorded)-2:], []string{"passed", "stop"}) || slices.Contains(recorded[:moving], "record") {
		t.Errorf("the recorder was called for\n%s", strings.Join(recorded, "\n"))
	}
	for _, want := range []string{"self-managed", "critical path", "Cluster API from git", "export KUBECONFIG="} {
		if !strings.Contains(w.printed.String(), want) {
			t.Errorf("printed\n%s\nwant %q", w.printed, want)
		}
	}
	// The load balancer knows the size of its network.
	balancer := w.management.Get(schema.GroupKind{Kind: "ConfigMap"}, "default", "work-cluster-haproxy")
	if rules := kube.Field(balancer, "data", "value"); strings.Contains(rules, "ipmask(20,64)") != (engine.Info{}).ShowsSources() {
		t.Errorf("the load balancer's rules are\n%s", rules)
	}
	// A ready environment is not set up again.
	before := len(w.calls)
	if err := w.newEnvironment().Up(t.Context(), Ready); err != nil {
		t.Fatal(err)
	}
	if len(w.calls) != before {
		t.Errorf("a ready environment was set up again: %q", w.calls[before:])
	}
}

// TestUpToATarget: steps after the target do not run.
func TestUpToATarget(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	if err := w.Up(t.Context(), ManagementTarget); err != nil {
		t.Fatal(err)
	}
	if w.called("init management v1.14.2") != 1 || w.called("apply the Cluster work-cluster") != 0 {
		t.Errorf("cluster:management did %q", w.calls)
	}
	if err := w.newEnvironment().Up(t.Context(), WorkloadTarget); err != nil {
		t.Fatal(err)
	}
	if w.called("kind create work-cluster-management of baked:1") != 1 || w.called("apply the Cluster work-cluster") != 1 || w.called(moveCall) != 0 {
		t.Errorf("cluster:workload did %q", w.calls)
	}
	if _, err := w.SelfManaged(t.Context()); err == nil || !strings.Contains(err.Error(), "does not manage itself yet; type: CAPI_VERSION=v1.14.2 go tool mage env:up") {
		t.Errorf("SelfManaged() before the move = %v", err)
	}
	if err := w.newEnvironment().Up(t.Context(), Ready); err != nil {
		t.Fatal(err)
	}
	w.ready(t)
	if path, err := w.SelfManaged(t.Context()); err != nil || path != w.EnvironmentKubeconfig() {
		t.Errorf("SelfManaged() = %s, %v", path, err)
	}
}

// TestInterruptedAnywhere: if env:up is interrupted at any point, the next one continues
// or replaces what is left, and ends with a ready environment.
func TestInterruptedAnywhere(t *testing.T) {
	t.Parallel()
	const create = "kind create work-cluster-management of baked:1"
	for at, clusters := range map[string]int{ // how many management clusters are created in all
		"fetch cluster-api v1.14.2": 1, "base v1.36.1": 1, "render": 1, "bake 2 managers into base:1": 1,
		create:                                1,
		"init management v1.14.2":             1,
		"apply the Cluster work-cluster":      1,
		"init workload v1.14.2":               1,
		moveCall:                              2, // halves may be on both sides
		"kind delete work-cluster-management": 1,
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			w := newFakeWorld(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w.at = func(call string) {
				if call == at {
					cancel()
				}
			}
			w.fail[at] = context.Canceled
			if err := w.Up(ctx, Ready); !errors.Is(err, context.Canceled) {
				t.Fatalf("Up() = %v, when interrupted", err)
			}
			w.objectsCreated.Wait()
			if slices.Contains(w.recorder.facts, "record") && at != "kind delete work-cluster-management" {
				t.Errorf("the record has %q, and nothing moved", w.recorder.facts)
			}
			w.mu.Lock()
			w.fail, w.at = map[string]error{}, func(string) {}
			w.mu.Unlock()
			if err := w.newEnvironment().Up(t.Context(), Ready); err != nil {
				t.Fatalf("the next Up() = %v", err)
			}
			w.ready(t)
			if n := w.called(create); n != clusters {
				t.Errorf("%d management clusters were created, want %d:\n%s", n, clusters, strings.Join(w.calls, "\n"))
			}
		})
	}
}

// TestKilledWhileKindWroteTheKubeconfig: kind leaves its lock file, and the next env:up
// continues.
func TestKilledWhileKindWroteTheKubeconfig(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	if err := w.Up(t.Context(), ManagementTarget); err != nil {
		t.Fatal(err)
	}
	w.write(t, w.home().ManagementKubeconfigLock(), "")
	if err := w.newEnvironment().Up(t.Context(), Ready); err != nil {
		t.Fatal(err)
	}
	w.ready(t)
}

// TestContainerOfAKilledRunComesLate: the engine may create the container of a killed run
// after this run looked for containers. Nothing runs in it, and env:up replaces it.
func TestContainerOfAKilledRunComesLate(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	mark, err := w.State.Mark("work-cluster")
	if err != nil {
		t.Fatal(err)
	}
	w.at = func(call string) {
		if call == "render" {
			w.docker.add(fakeContainer{id: "mgmt", name: "work-cluster-management-control-plane", cluster: "work-cluster-management", role: "control-plane", owner: mark, image: "baked:1"})
		}
	}
	if err := w.Up(t.Context(), ManagementTarget); err != nil {
		t.Fatal(err)
	}
	if n := w.called("kind create work-cluster-management of baked:1"); n != 1 {
		t.Errorf("the management cluster was created %d times", n)
	}
}

// TestFailedMoveIsNotRecorded: after a failed move, the workload cluster is not
// recorded, because it may have no objects.
func TestFailedMoveIsNotRecorded(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	boom := errors.New("objects are paused")
	w.fail[moveCall] = boom
	failed := new(steps.Error)
	if err := w.Up(t.Context(), Ready); !errors.As(err, &failed) || failed.Step != bringup.Move || !errors.Is(err, boom) {
		t.Fatalf("Up() = %v", err)
	}
	recorded := w.recorder.facts
	if slices.Contains(recorded, "record") || !strings.HasPrefix(recorded[len(recorded)-1], "failed ") {
		t.Errorf("the recorder was called for\n%s", strings.Join(recorded, "\n"))
	}
	if there, err := state.Exists(w.home().MovingFile()); err != nil || !there {
		t.Errorf("it is not recorded that a move began: %v", err)
	}
	if _, management, err := w.containers(t.Context()); err != nil || len(management) != 1 {
		t.Errorf("the management cluster is gone, %v", err)
	}
}

// TestMoveThatLeftSomething: the management cluster stays after a move that clusterctl calls
// complete, and that left something.
func TestMoveThatLeftSomething(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lose func(workload *kubetest.Server)
		want string
	}{
		"no Cluster":        {func(s *kubetest.Server) { s.Remove(kube.Clusters, "default", "work-cluster") }, "look for the moved objects"},
		"still paused":      {func(s *kubetest.Server) { s.Edit(kube.Clusters, "default", "work-cluster", pause) }, "left the Cluster work-cluster paused"},
		"a machine too few": {func(s *kubetest.Server) { s.Remove(kube.Machines, "default", "md") }, "brought 1 of 2 machines"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFakeWorld(t)
			w.moved = func() { tc.lose(w.workload) }
			failed := new(steps.Error)
			if err := w.Up(t.Context(), Ready); !errors.As(err, &failed) || failed.Step != bringup.Move || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Up() = %v; want %q in it", err, tc.want)
			}
			if n := w.called("kind delete work-cluster-management"); n != 0 || slices.Contains(w.recorder.facts, "record") {
				t.Errorf("the management cluster was deleted %d times, and the recorder was called for %q", n, w.recorder.facts)
			}
			if ready, err := state.Exists(w.home().ReadyFile()); err != nil || ready {
				t.Errorf("it is recorded that the environment manages itself: %t, %v", ready, err)
			}
		})
	}
}

func pause(c *unstructured.Unstructured) {
	if err := unstructured.SetNestedField(c.Object, true, "spec", "paused"); err != nil {
		panic(err)
	}
}

// TestDeletedWhileMachinesAreCounted: the management cluster is deleted while the node
// groups have not counted their machines yet. An env:up that is killed then continues.
func TestDeletedWhileMachinesAreCounted(t *testing.T) {
	t.Parallel()
	counted := func(w *fakeWorld) {
		w.workload.Edit(kube.MachineDeployments, "default", "md", func(g *unstructured.Unstructured) {
			g.Object["status"] = map[string]any{"readyReplicas": int64(1)}
		})
	}
	for _, killed := range []bool{false, true} {
		w := newFakeWorld(t)
		w.workload.Put(&unstructured.Unstructured{Object: object("cluster.x-k8s.io/v1beta2", "MachineDeployment", "default", "md", nil,
			map[string]any{"spec": map[string]any{"replicas": int64(1)}})})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Second, errors.New("the deletion waits for the count"))
		defer cancel()
		w.at = func(call string) {
			switch {
			case call != "kind delete work-cluster-management":
			case killed:
				cancel()
			default:
				counted(w)
			}
		}
		err := w.Up(ctx, Ready)
		if killed {
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("Up() = %v, when interrupted", err)
			}
			err = w.newEnvironment().Up(t.Context(), Ready)
		}
		if err != nil {
			t.Fatalf("killed: %t, Up() = %v", killed, err)
		}
		w.ready(t)
		if n := w.called("kind create work-cluster-management of baked:1"); n != 1 {
			t.Errorf("killed: %t: %d management clusters were created", killed, n)
		}
	}
}

// TestOnlyWhatStaysIsSaidToStay: a temporary environment is removed by the caller.
func TestOnlyWhatStaysIsSaidToStay(t *testing.T) {
	t.Parallel()
	for _, temporary := range []bool{false, true} {
		w := newFakeWorld(t)
		w.fail[moveCall] = errors.New("objects are paused")
		var said strings.Builder
		w.Log, w.Temporary = ui.New(&said, ui.Options{}), temporary
		err := w.Up(t.Context(), Ready)
		w.Log.Close()
		const moving = "Everything that was created stays. Type the command again: it continues if the move was complete"
		if stays := strings.Contains(said.String(), moving); err == nil || stays == temporary {
			t.Errorf("temporary: %t, Up() = %v, and it said\n%s", temporary, err, &said)
		}
	}
	for failing, want := range map[string]string{
		"fetch cluster-api v1.14.2": "No cluster was created. What was fetched and built stays. Type the command again to continue.",
		"init management v1.14.2":   "Everything that was created stays. Type the command again to continue. Type `CLUSTER_NAME=work-cluster go tool mage env:status` to look",
	} {
		w := newFakeWorld(t)
		w.fail[failing] = errors.New("no network")
		var said strings.Builder
		w.Log = ui.New(&said, ui.Options{})
		err := w.Up(t.Context(), Ready)
		w.Log.Close()
		if log := w.home().LogFile() + ".failed"; err == nil || !strings.Contains(said.String(), want) || !strings.Contains(said.String(), log) {
			t.Errorf("%s fails: Up() = %v, and it said\n%s\nwant %q and %s", failing, err, &said, want, log)
		} else if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "Error: ") {
			t.Errorf("%s has %q, %v", log, text, err)
		}
	}
	w := newFakeWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.checkSource = func(ctx context.Context, _ source.Spec) error {
		cancel()
		return ctx.Err()
	}
	var said strings.Builder
	w.Log = ui.New(&said, ui.Options{})
	err := w.Up(ctx, Ready)
	w.Log.Close()
	if err == nil || !strings.Contains(said.String(), "No cluster was created.") || strings.Contains(said.String(), "Everything that was created stays") {
		t.Errorf("interrupted before anything was created: Up() = %v, and it said\n%s", err, &said)
	}
}

// TestCheck: what Up would refuse is refused, and nothing is created.
func TestCheck(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	if err := w.Check(t.Context()); err != nil || !slices.Equal(w.calls, []string{"check"}) {
		t.Errorf("Check() = %v, and the calls were %q", err, w.calls)
	}
	missing := errors.New("there is no such tag")
	w.checkSource = func(context.Context, source.Spec) error { return missing }
	if err := w.Check(t.Context()); !errors.Is(err, missing) {
		t.Errorf("Check() without a source = %v", err)
	}
	w.Config.Kubernetes = version.Must(version.NewSemver("1.20.0"))
	if err := w.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "FORCE=true") {
		t.Errorf("Check() of versions that do not fit = %v", err)
	}
}

// TestOtherImagesReplaceTheCluster: nodes of an interrupted run that have another image
// than this run's are replaced.
func TestOtherImagesReplaceTheCluster(t *testing.T) {
	t.Parallel()
	for name, stale := range map[string]func(*fakeWorld){
		"of the management cluster": func(w *fakeWorld) { w.docker.set("mgmt", "baked:0") },
		"of the workload cluster":   func(w *fakeWorld) { w.docker.set("md", "baked:0") },
	} {
		w := newFakeWorld(t)
		if err := w.Up(t.Context(), WorkloadTarget); err != nil {
			t.Fatal(err)
		}
		stale(w)
		if err := w.newEnvironment().Up(t.Context(), Ready); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		w.ready(t)
		if n := w.called("kind create work-cluster-management of baked:1"); n != 2 {
			t.Errorf("%s: %d management clusters were created, want 2", name, n)
		}
	}
}

func (d *docker) add(containers ...fakeContainer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range containers {
		if !slices.ContainsFunc(d.containers, func(k fakeContainer) bool { return k.id == c.id }) {
			d.containers = append(d.containers, c)
		}
	}
}

func (d *docker) set(id, image string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.containers {
		if d.containers[i].id == id {
			d.containers[i].image = image
		}
	}
}

// TestBringUpOfOlderReleases: older releases have the same steps, with their own
// clusterctl. If the load balancer has no template, an image of it that bounds
// connections is built.
func TestBringUpOfOlderReleases(t *testing.T) {
	t.Parallel()
	for tag, bounded := range map[string]bool{"v1.10.10": false, "v1.8.12": false, "v1.5.8": true, "v1.1.6": true} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			w := newFakeWorldOf(t, tag)
			if err := w.Up(t.Context(), Ready); err != nil {
				t.Fatal(err)
			}
			w.ready(t)
			for _, call := range []string{"compile clusterctl", "init management " + tag, "init workload " + tag, moveCall} {
				if w.called(call) != 1 {
					t.Errorf("%q was called %d times:\n%s", call, w.called(call), strings.Join(w.calls, "\n"))
				}
			}
			if made := slices.ContainsFunc(w.calls, func(c string) bool { return strings.HasPrefix(c, "bound ") }); made != bounded {
				t.Errorf("a bounded load balancer was made: %t:\n%s", made, strings.Join(w.calls, "\n"))
			}
		})
	}
}

// TestTreeOfAnotherRelease: the objects of the workload cluster are compared with what the
// tree serves, and a tree without it is refused before a cluster is created.
func TestTreeOfAnotherRelease(t *testing.T) {
	t.Parallel()
	w := newFakeWorld(t)
	var kinds []string
	render := w.tools.Render
	w.tools.Render = func(ctx context.Context, o repository.Options) (*repository.Repository, error) {
		for _, object := range o.Objects {
			kinds = append(kinds, object.GetKind())
		}
		if _, err := render(ctx, o); err != nil {
			return nil, err
		}
		return nil, &repository.MisfitError{Tree: o.Tree, Missing: []string{"DevCluster of infrastructure.cluster.x-k8s.io/v1beta2"}}
	}
	err := w.Up(t.Context(), Ready)
	for _, want := range []string{"do not have DevCluster of infrastructure", "release v1.14.2", "set CAPI_VERSION"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Up() = %v, want %q", err, want)
		}
	}
	for _, want := range []string{"Cluster", "DevCluster", "DevMachineTemplate", "KubeadmControlPlane", "MachineDeployment"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("the tree was asked for %q, without %s", kinds, want)
		}
	}
	if slices.ContainsFunc(w.calls, func(c string) bool { return strings.HasPrefix(c, "kind create") }) {
		t.Errorf("a cluster was created: %q", w.calls)
	}
}

// TestCommitOfAnotherRelease: a fetched commit whose programs are elsewhere is refused
// before they are compiled, and one of another series is named.
func TestCommitOfAnotherRelease(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		core, series, want string
		fails              bool
	}{
		"the same series": {"core", "{major: 1, minor: 14}", "v1.14.2 from git", false},
		"a newer series":  {"core", "{major: 1, minor: 15}", "v1.14.2 from git, a tree of v1.15", false},
		"another layout":  {".", "{major: 1, minor: 10}", "is not a tree of release v1.14.2; set CAPI_VERSION to its release, such as v1.10.10", true},
	} {
		w := newFakeWorld(t)
		w.Config.ClusterAPI.Commit = strings.Repeat("a", 40)
		tree := w.State.Path("src", "tree")
		for _, main := range []string{tc.core, "bootstrap/kubeadm", "controlplane/kubeadm", "test/infrastructure/docker"} {
			w.write(t, tree+"/"+main+"/main.go", "package main\n")
		}
		w.write(t, tree+"/test/go.mod", "module example.com/test\n")
		w.write(t, tree+"/metadata.yaml", "releaseSeries: ["+tc.series+"]\n")
		all := w.bringUp(engine.Info{}, w.recorder).Steps(0)
		fetch := all[slices.IndexFunc(all, func(s steps.Step) bool { return s.Name == bringup.Fetch })]
		text, err := fetch.Run(t.Context(), func(string) {})
		if err != nil {
			text = err.Error()
		}
		if (err != nil) != tc.fails || !strings.Contains(text, tc.want) || !tc.fails && text != tc.want {
			t.Errorf("%s: %q, want %q", name, text, tc.want)
		}
	}
}
