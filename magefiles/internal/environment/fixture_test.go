package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/lab/labtest"
	"caslab/magefiles/internal/machine"
	"caslab/magefiles/internal/node"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// docker is a fake engine that lists, starts and removes its containers. The Fake
// answers every other command.
type docker struct {
	runtest.Fake
	mu         sync.Mutex
	containers []fakeContainer
	startErr   error
	// renewErr, if set, returns the error of a look at a certificate.
	renewErr func() error
	// down, if set, is the error of every command.
	down  error
	verbs []string
}

type fakeContainer struct {
	id, name, cluster, role, owner, image, host, port, created string
	// address is that on the network kind.
	address string
	stopped bool
}

func (d *docker) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.verbs = append(d.verbs, c.String())
	line := strings.TrimPrefix(c.String(), "docker ")
	switch {
	case ctx.Err() != nil:
		return run.Result{}, &run.Error{Cmd: c, Err: context.Cause(ctx)}
	case d.down != nil:
		return run.Result{}, &run.Error{Cmd: c, Err: d.down}
	case strings.HasPrefix(line, "ps "):
		var ids []string
		for _, k := range d.containers {
			onNetwork := strings.HasSuffix(line, "network=kind") && k.address != ""
			if onNetwork || strings.HasSuffix(line, "label="+owner.ClusterLabel+"="+k.cluster) {
				ids = append(ids, k.id)
			}
		}
		return run.Result{Stdout: []byte(strings.Join(ids, "\n"))}, nil
	case strings.HasPrefix(line, "container inspect "):
		var all []map[string]any
		for _, k := range d.containers {
			if !slices.Contains(c.Args, k.id) {
				continue
			}
			mounts, ports := []any{}, map[string]any{}
			if k.owner != "" {
				mounts = append(mounts, map[string]any{"Type": "bind", "Source": k.owner, "Destination": capi.OwnerMount})
			}
			if k.port != "" {
				ports["6443/tcp"] = []any{map[string]any{"HostIp": k.host, "HostPort": k.port}}
			}
			all = append(all, map[string]any{
				"Id": k.id, "Name": "/" + k.name, "Created": k.created, "State": map[string]any{"Running": !k.stopped},
				"Config": map[string]any{"Image": k.image, "Labels": map[string]string{owner.ClusterLabel: k.cluster, "io.x-k8s.kind.role": k.role}},
				"Mounts": mounts, "NetworkSettings": map[string]any{"Ports": ports, "Networks": map[string]any{"kind": map[string]any{"IPAddress": k.address}}},
			})
		}
		data, err := json.Marshal(all)
		return run.Result{Stdout: data}, err
	case strings.HasPrefix(line, "network inspect kind"):
		return run.Result{Stdout: []byte(`[{"IPAM": {"Config": [{"Subnet": "172.18.0.0/20"}]}}]`)}, nil
	case strings.HasPrefix(line, "stop "):
		for i := range d.containers {
			if slices.Contains(c.Args, d.containers[i].id) {
				d.containers[i].stopped = true
			}
		}
		return run.Result{}, nil
	case strings.HasPrefix(line, "rm "):
		d.containers = slices.DeleteFunc(d.containers, func(k fakeContainer) bool { return slices.Contains(c.Args, k.id) })
		return run.Result{}, nil
	case strings.HasPrefix(line, "exec ") && slices.Contains(c.Args, "renew"):
		if d.renewErr != nil {
			return run.Result{}, &run.Error{Cmd: c, Err: d.renewErr()}
		}
		return run.Result{}, nil // the API server has a certificate
	case strings.HasPrefix(line, "start "):
		if d.startErr != nil {
			return run.Result{}, &run.Error{Cmd: c, Err: d.startErr}
		}
		for i := range d.containers {
			if slices.Contains(c.Args, d.containers[i].id) {
				d.containers[i].stopped = false
			}
		}
		return run.Result{}, nil
	}
	return d.Fake.Run(ctx, c)
}

// ran returns the commands that begin with verb.
func (d *docker) ran(verb string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lines []string
	for _, v := range d.verbs {
		if strings.HasPrefix(v, verb) {
			lines = append(lines, v)
		}
	}
	return lines
}

// apiServer has the objects of a cluster that manages itself. Only clients of fixture.open
// reach it, without a network, so that it works in a bubble of testing/synctest.
type apiServer struct {
	*kubetest.Server
	// port is the port that kubeconfigs name. Nothing listens there.
	port string
	// fail is the number of requests for objects that are refused next. If it is
	// negative, all are.
	fail atomic.Int32
	// slow is the number of questions whether it is ready that are refused next.
	slow atomic.Int32
	// closed cuts every connection.
	closed atomic.Bool
}

// Port returns the port at 127.0.0.1 that kubeconfigs name.
func (s *apiServer) Port() string { return s.port }

// Close makes the server answer no more requests.
func (s *apiServer) Close() { s.closed.Store(true) }

// Kubeconfig returns a kubeconfig with host as the server's address.
func (s *apiServer) Kubeconfig(host string) []byte {
	return fmt.Appendf(nil, `{"apiVersion": "v1", "kind": "Config", "current-context": "c",
"clusters": [{"name": "c", "cluster": {"server": "https://%s"}}], "contexts": [{"name": "c", "context": {"cluster": "c"}}]}`, host)
}

const (
	clusterObjects  = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default/clusters"
	machineObjects  = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default/machines"
	groupObjects    = "/apis/cluster.x-k8s.io/v1beta2/namespaces/default/machinedeployments"
	nodeObjects     = "/api/v1/nodes"
	podObjects      = "/api/v1/pods"
	deployedObjects = "/apis/apps/v1/deployments"
	providerObjects = "/apis/clusterctl.cluster.x-k8s.io/v1alpha3/providers"
)

func condition(kind string, is bool) map[string]any {
	status := "False"
	if is {
		status = "True"
	}
	return map[string]any{"conditions": []any{map[string]any{"type": kind, "status": status}}}
}

func object(apiVersion, kind, namespace, name string, labels map[string]any, fields map[string]any) map[string]any {
	o := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name, "namespace": namespace, "labels": labels}}
	for k, v := range fields {
		o[k] = v
	}
	return o
}

func fakeCluster(paused bool) map[string]any {
	return object("cluster.x-k8s.io/v1beta2", "Cluster", "default", "work-cluster", nil, map[string]any{"spec": map[string]any{"paused": paused}})
}

func fakeMachine(name, phase string, controlPlane bool) map[string]any {
	labels := map[string]any{"cluster.x-k8s.io/cluster-name": "work-cluster"}
	if controlPlane {
		labels["cluster.x-k8s.io/control-plane"] = ""
	}
	return object("cluster.x-k8s.io/v1beta2", "Machine", "default", name, labels,
		map[string]any{"spec": map[string]any{"version": "v1.36.1"}, "status": map[string]any{"phase": phase}})
}

func fakeNode(name string, ready, controlPlane bool) map[string]any {
	labels := map[string]any{}
	if controlPlane {
		labels["node-role.kubernetes.io/control-plane"] = ""
	}
	return object("v1", "Node", "", name, labels, map[string]any{"status": condition("Ready", ready)})
}

func fakeDeployment(available bool) map[string]any {
	return object("apps/v1", "Deployment", "capi-system", "capi-controller-manager", nil, map[string]any{"status": condition("Available", available)})
}

func fakeProvider(version string) map[string]any {
	return object("clusterctl.cluster.x-k8s.io/v1alpha3", "Provider", "capi-system", "cluster-api", nil,
		map[string]any{"type": "CoreProvider", "version": version})
}

// selfManaged returns the objects of a ready environment.
func selfManaged() map[string][]map[string]any {
	return map[string][]map[string]any{
		clusterObjects:  {fakeCluster(false)},
		machineObjects:  {fakeMachine("cp", "Running", true), fakeMachine("md", "Running", false)},
		nodeObjects:     {fakeNode("cp", true, true), fakeNode("md", true, false)},
		podObjects:      {},
		groupObjects:    {},
		deployedObjects: {fakeDeployment(true)},
		providerObjects: {fakeProvider("v1.14.2")},
	}
}

// serve starts an API server with the objects of all lists. It knows the kinds
// of Cluster API if it has the list of its clusters.
func serve(t *testing.T, port string, lists map[string][]map[string]any) *apiServer {
	t.Helper()
	kinds := []schema.GroupVersionKind{kube.Nodes.WithVersion("v1"), kube.Pods.WithVersion("v1"), kube.Deployments.WithVersion("v1")}
	if lists[clusterObjects] != nil {
		kinds = append(kinds, kube.Clusters.WithVersion("v1beta2"), kube.Machines.WithVersion("v1beta2"),
			kube.MachineDeployments.WithVersion("v1beta2"), kube.Providers.WithVersion("v1alpha3"))
	}
	s := &apiServer{Server: kubetest.New(t, kinds, ""), port: port}
	for _, objects := range lists {
		for _, o := range objects {
			s.Put(&unstructured.Unstructured{Object: o})
		}
	}
	s.Intercept(func(q kubetest.Request) error {
		if s.closed.Load() {
			return kubetest.ErrHangUp
		}
		if q.Verb == "readyz" && s.slow.Add(-1) >= 0 {
			return errors.New("starting")
		}
		if left := s.fail.Load(); left == 0 || q.Verb == "discover" || q.Verb == "readyz" {
			return nil
		} else if left > 0 {
			s.fail.Add(-1)
		}
		return errors.New("etcdserver: leader changed")
	})
	return s
}

// fixture is an environment with a fake engine and API servers for tests.
type fixture struct {
	*Environment
	recorder             *recorder
	docker               *docker
	workload, management *apiServer
	printed              *strings.Builder
}

func newFixture(t *testing.T, env map[string]string) *fixture {
	t.Helper()
	root := t.TempDir()
	cfg, err := config.Load(root, func(key string) (string, bool) { v, ok := env[key]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	d := new(docker)
	out := new(strings.Builder)
	l := &lab.Lab{
		Config: cfg, Log: discardLog(t), Out: out, ProcessOutput: out, Runner: d, Now: time.Now, State: state.Dir(cfg.StateDir()), FullLog: new(state.Log),
	}
	recorded := new(recorder)
	e := New(l, func(*lab.Lab) Recorder { return recorded })
	e.host = machine.Host{
		FreeDisk: func(string) (int64, error) { return 1 << 40, nil }, FreeMemory: func() (int64, error) { return 1 << 40, nil },
		ReadLimit: func(machine.Limit) (uint64, error) { return math.MaxUint64, nil }, Getenv: func(string) string { return "" },
	}
	s := &fixture{printed: out, docker: d, Environment: e, recorder: recorded}
	e.tools.Open = s.open
	// For old releases, the real functions would ask the module proxy and a registry.
	e.checkToolchain = func(machine.Machine, context.Context, func(string)) error { return nil }
	checkNodeImage := e.checkNodeImage
	e.checkNodeImage = func(m machine.Machine, ctx context.Context, o node.Options) error {
		if o.Origin == node.Auto {
			return nil
		}
		return checkNodeImage(m, ctx, o)
	}
	return s
}

// open returns a client of the API server whose port a kubeconfig has.
func (s *fixture) open(kubeconfig string) (*kube.Client, error) {
	data, err := os.ReadFile(kubeconfig)
	if err != nil {
		return nil, err
	}
	for _, server := range []*apiServer{s.workload, s.management} {
		if server != nil && strings.Contains(string(data), "https://127.0.0.1:"+server.port) {
			return server.Client(), nil
		}
	}
	return nil, fmt.Errorf("no API server of this test listens where %s says", kubeconfig)
}

// recorder stores the calls of its methods.
type recorder struct {
	mu sync.Mutex
	// facts has the recorder's calls, in order.
	facts []string
}

func (r *recorder) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts = append(r.facts, text)
}

func (r *recorder) Begin() error              { r.add("begin"); return nil }
func (r *recorder) AddFact(what, text string) { r.add(strings.TrimSpace(what + " " + text)) }
func (r *recorder) AddChange(what string)     { r.add(what) }
func (r *recorder) Record(context.Context, *kube.Client) (stop func()) {
	r.add("record")
	return func() { r.add("stop") }
}

func (s *fixture) write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// up adds the workload cluster to the fixture: containers, kubeconfig and API server.
func (s *fixture) up(t *testing.T, lists map[string][]map[string]any) {
	t.Helper()
	s.workload = serve(t, "32001", lists)
	owner, err := s.State.Mark(s.Config.ClusterName)
	if err != nil {
		t.Fatal(err)
	}
	s.docker.containers = append(s.docker.containers,
		fakeContainer{id: "lb", name: "work-cluster-lb", cluster: "work-cluster", role: "external-load-balancer", port: s.workload.Port(), created: "1"},
		fakeContainer{id: "cp", name: "work-cluster-cp", cluster: "work-cluster", role: "control-plane", owner: owner, created: "2"},
		fakeContainer{id: "md", name: "work-cluster-md", cluster: "work-cluster", role: "worker", owner: owner, created: "3"},
	)
	s.write(t, s.EnvironmentKubeconfig(), string(s.workload.Kubeconfig("172.18.0.3:6443")))
}

// managed adds the management cluster to the fixture.
func (s *fixture) managed(t *testing.T, lists map[string][]map[string]any) {
	t.Helper()
	s.management = serve(t, "32002", lists)
	owner, err := s.State.Mark(s.Config.ClusterName)
	if err != nil {
		t.Fatal(err)
	}
	s.docker.containers = append(s.docker.containers,
		fakeContainer{id: "mgmt", name: "work-cluster-management-control-plane", cluster: "work-cluster-management", role: "control-plane", owner: owner, created: "0"})
	s.write(t, s.home().ManagementKubeconfig(), string(s.management.Kubeconfig("127.0.0.1:"+s.management.Port())))
}

func (s *fixture) touch(t *testing.T, path string) { t.Helper(); s.write(t, path, "") }

// logs returns what the environment says from now on.
func (s *fixture) logs(t *testing.T) *labtest.Text {
	t.Helper()
	shown := new(labtest.Text)
	s.Log = ui.New(shown, ui.Options{})
	t.Cleanup(s.Log.Close)
	return shown
}

func discardLog(t *testing.T) *ui.Log {
	t.Helper()
	log := ui.New(io.Discard, ui.Options{})
	t.Cleanup(log.Close)
	return log
}
