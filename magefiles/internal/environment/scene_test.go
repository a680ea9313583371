package environment

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/lab"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/ui"
)

// docker is an engine with containers: it lists, starts and removes them, and
// leaves every other command to the Fake.
type docker struct {
	runtest.Fake
	mu         sync.Mutex
	containers []fakeContainer
	startErr   error
	verbs      []string
}

type fakeContainer struct {
	id, name, cluster, role, owner, image, port, created string
	stopped                                              bool
}

func (d *docker) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.verbs = append(d.verbs, c.String())
	line := strings.TrimPrefix(c.String(), "docker ")
	switch {
	case ctx.Err() != nil:
		return run.Result{}, &run.Error{Cmd: c, Err: context.Cause(ctx)}
	case strings.HasPrefix(line, "ps "):
		var ids []string
		for _, k := range d.containers {
			if strings.HasSuffix(line, "label="+clusterLabel+"="+k.cluster) {
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
				ports["6443/tcp"] = []any{map[string]any{"HostPort": k.port}}
			}
			all = append(all, map[string]any{
				"Id": k.id, "Name": "/" + k.name, "Created": k.created, "State": map[string]any{"Running": !k.stopped},
				"Config": map[string]any{"Image": k.image, "Labels": map[string]string{clusterLabel: k.cluster, "io.x-k8s.kind.role": k.role}},
				"Mounts": mounts, "NetworkSettings": map[string]any{"Ports": ports},
			})
		}
		data, err := json.Marshal(all)
		return run.Result{Stdout: data}, err
	case strings.HasPrefix(line, "rm "):
		d.containers = slices.DeleteFunc(d.containers, func(k fakeContainer) bool { return slices.Contains(c.Args, k.id) })
		return run.Result{}, nil
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

// ran returns the commands that began with verb.
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

// apiServer has the objects of a cluster that manages itself.
type apiServer struct {
	*httptest.Server
	mu sync.Mutex
	// lists leads from paths to what they list; a path that is not there is
	// a kind that the server does not know.
	lists map[string][]map[string]any
	// fail is how many lists to refuse, for ever if negative.
	fail int
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

// selfManaged are the objects of an environment that is ready and well.
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

func serve(t *testing.T, lists map[string][]map[string]any) *apiServer {
	t.Helper()
	s := &apiServer{lists: lists}
	s.Server = httptest.NewUnstartedServer(s)
	// Clients that are told to end hang up in the middle of a handshake.
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := func(v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	path := r.URL.Path
	if path == "/readyz" {
		fmt.Fprint(w, "ok")
		return
	}
	if path == "/api" {
		answer(map[string]any{"kind": "APIVersions", "versions": []string{"v1"}})
		return
	}
	group := func(name, version string) map[string]any {
		v := map[string]any{"groupVersion": name + "/" + version, "version": version}
		return map[string]any{"name": name, "versions": []any{v}, "preferredVersion": v}
	}
	if path == "/apis" {
		groups := []any{group("apps", "v1")}
		if s.lists[clusterObjects] != nil {
			groups = append(groups, group("cluster.x-k8s.io", "v1beta2"), group("clusterctl.cluster.x-k8s.io", "v1alpha3"))
		}
		answer(map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
		return
	}
	kinds := map[string][][3]string{
		"/api/v1":                        {{"nodes", "Node"}, {"pods", "Pod", "namespaced"}},
		"/apis/apps/v1":                  {{"deployments", "Deployment", "namespaced"}},
		"/apis/cluster.x-k8s.io/v1beta2": {{"clusters", "Cluster", "namespaced"}, {"machines", "Machine", "namespaced"}, {"machinedeployments", "MachineDeployment", "namespaced"}},
		"/apis/clusterctl.cluster.x-k8s.io/v1alpha3": {{"providers", "Provider", "namespaced"}},
	}
	if resources, ok := kinds[path]; ok {
		var all []any
		for _, k := range resources {
			all = append(all, map[string]any{"name": k[0], "kind": k[1], "namespaced": k[2] != "", "verbs": []string{"list", "get", "watch"}})
		}
		answer(map[string]any{"kind": "APIResourceList", "groupVersion": strings.TrimPrefix(strings.TrimPrefix(path, "/apis/"), "/api/"), "resources": all})
		return
	}
	if s.fail != 0 {
		s.fail--
		http.Error(w, "etcdserver: leader changed", http.StatusInternalServerError)
		return
	}
	if items, ok := s.lists[path]; ok {
		if r.URL.Query().Get("watch") != "" {
			s.mu.Unlock()
			<-r.Context().Done()
			s.mu.Lock()
			return
		}
		answer(map[string]any{"kind": "List", "apiVersion": "v1", "metadata": map[string]any{"resourceVersion": "1"}, "items": items})
		return
	}
	for _, o := range s.lists[filepath.Dir(path)] {
		if o["metadata"].(map[string]any)["name"] == filepath.Base(path) {
			answer(o)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
}

func (s *apiServer) port() string {
	u, err := url.Parse(s.URL)
	if err != nil {
		panic(err)
	}
	return u.Port()
}

// kubeconfig reaches the server at host, which its certificate may be for.
func (s *apiServer) kubeconfig(host string) string {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	data, err := json.Marshal(ca) // base64, as the field wants it
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "c",
"clusters": [{"name": "c", "cluster": {"server": "https://%s", "certificate-authority-data": %s}}],
"contexts": [{"name": "c", "context": {"cluster": "c"}}]}`, host, data)
}

// scene is an environment on a fake engine before real API servers.
type scene struct {
	*Environment
	recorder             *recorder
	docker               *docker
	workload, management *apiServer
	printed              *strings.Builder
}

func newScene(t *testing.T, env map[string]string) *scene {
	t.Helper()
	root := t.TempDir()
	cfg, err := config.Load(root, func(key string) string { return env[key] })
	if err != nil {
		t.Fatal(err)
	}
	d := new(docker)
	out := new(strings.Builder)
	l := &lab.Lab{
		Config: cfg, Log: quiet(t), Out: out, Chatter: out, Runner: d, Now: time.Now, State: state.Dir(cfg.StateDir()), FullLog: new(state.Log),
	}
	recorded := new(recorder)
	e := New(l, func(*lab.Lab) Recorder { return recorded })
	e.bounds = bounds{answer: 700 * time.Millisecond, restart: time.Second, well: 2 * time.Second}
	return &scene{printed: out, docker: d, Environment: e, recorder: recorded}
}

// recorder remembers what it is told.
type recorder struct {
	mu sync.Mutex
	// told are the calls, in order.
	told []string
}

func (r *recorder) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, text)
}

func (r *recorder) Begin() error           { r.add("begin"); return nil }
func (r *recorder) Tell(what, text string) { r.add(strings.TrimSpace(what + " " + text)) }
func (r *recorder) Record(context.Context, *kube.Client) (stop func()) {
	r.add("record")
	return func() { r.add("stop") }
}

func (s *scene) write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// up puts the workload cluster into the scene: containers, kubeconfig, server.
func (s *scene) up(t *testing.T, lists map[string][]map[string]any) {
	t.Helper()
	s.workload = serve(t, lists)
	owner, err := s.mark()
	if err != nil {
		t.Fatal(err)
	}
	s.docker.containers = append(s.docker.containers,
		fakeContainer{id: "lb", name: "work-cluster-lb", cluster: "work-cluster", role: "external-load-balancer", port: s.workload.port(), created: "1"},
		fakeContainer{id: "cp", name: "work-cluster-cp", cluster: "work-cluster", role: "control-plane", owner: owner, created: "2"},
		fakeContainer{id: "md", name: "work-cluster-md", cluster: "work-cluster", role: "worker", owner: owner, created: "3"},
	)
	s.write(t, s.EnvironmentKubeconfig(), s.workload.kubeconfig("172.18.0.3:6443"))
}

// managed puts the management cluster into the scene.
func (s *scene) managed(t *testing.T, lists map[string][]map[string]any) {
	t.Helper()
	s.management = serve(t, lists)
	owner, err := s.mark()
	if err != nil {
		t.Fatal(err)
	}
	s.docker.containers = append(s.docker.containers,
		fakeContainer{id: "mgmt", name: "work-cluster-management-control-plane", cluster: "work-cluster-management", role: "control-plane", owner: owner, created: "0"})
	s.write(t, s.managementKubeconfig(), s.management.kubeconfig("127.0.0.1:"+s.management.port()))
}

func (s *scene) touch(t *testing.T, path string) { t.Helper(); s.write(t, path, "") }

func quiet(t *testing.T) *ui.Log {
	t.Helper()
	log := ui.New(io.Discard, ui.Options{})
	t.Cleanup(log.Close)
	return log
}
