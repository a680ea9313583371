package env

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
	"caslab/magefiles/internal/engine"
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
	*Lab
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
	return &scene{printed: out, docker: d, Lab: &Lab{
		cfg: cfg, log: quiet(t), out: out, chatter: out, runner: d, engine: engine.New(d), now: time.Now, record: new(state.Log),
		bounds: bounds{answer: 700 * time.Millisecond, restart: time.Second, well: 2 * time.Second},
	}}
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
	s.write(t, s.kubeconfig(), s.workload.kubeconfig("172.18.0.3:6443"))
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

func TestTakeStock(t *testing.T) {
	t.Parallel()
	type world = map[string][]map[string]any
	before := func() world { // a management cluster before the move
		w := selfManaged()
		w[clusterObjects] = []map[string]any{}
		return w
	}
	with := func(path string, items ...map[string]any) world {
		w := selfManaged()
		w[path] = items
		return w
	}
	for name, tc := range map[string]struct {
		scene func(t *testing.T, s *scene)
		// One of these holds: nothing to go on with and nothing to remake,
		// something to go on with, ready, to be remade, or refused.
		text, remake string
		ready        bool
		refused      string
		removed      []string
		marked       bool
		check        func(t *testing.T, s *scene)
	}{
		"nothing is there": {
			scene: func(t *testing.T, s *scene) {
				s.touch(t, s.readyFile())
				s.touch(t, s.movingFile())
				s.touch(t, s.managementKubeconfig())
			},
			check: func(t *testing.T, s *scene) {
				for _, path := range []string{s.movingFile(), s.managementKubeconfig()} {
					if there, _ := state.Exists(path); there {
						t.Errorf("%s is left", path)
					}
				}
			},
		},
		"interrupted before the move": {
			scene: func(t *testing.T, s *scene) { s.managed(t, before()); s.up(t, world{}) },
			text:  "going on with the management cluster",
		},
		"interrupted before the move, other version": {
			scene:   func(t *testing.T, s *scene) { s.managed(t, with(providerObjects, fakeProvider("v1.13.5"))) },
			refused: "has Cluster API v1.13.5 and the settings want v1.14.2",
		},
		"interrupted before the move, does not answer": {
			scene:  func(t *testing.T, s *scene) { s.managed(t, before()); s.management.Close() },
			remake: "the API server to be ready",
		},
		"interrupted before the move, lists fail": {
			scene:   func(t *testing.T, s *scene) { s.managed(t, before()); s.management.fail = -1 },
			refused: "go tool mage env:down",
		},
		"a list that fails twice": {
			scene: func(t *testing.T, s *scene) { s.managed(t, before()); s.management.fail = 2 },
			text:  "going on",
		},
		"cut off in the move, paused": {
			scene: func(t *testing.T, s *scene) {
				s.managed(t, before())
				s.up(t, with(clusterObjects, fakeCluster(true)))
				s.touch(t, s.movingFile())
			},
			remake: "paused",
		},
		"cut off in the move, nothing there yet": {
			scene: func(t *testing.T, s *scene) {
				s.managed(t, before())
				s.up(t, before())
				s.touch(t, s.movingFile())
			},
			remake: "the cluster's own objects",
		},
		"cut off after the move": {
			scene: func(t *testing.T, s *scene) {
				s.managed(t, before())
				s.up(t, selfManaged())
				s.touch(t, s.movingFile())
			},
			text: "it manages itself", ready: true, marked: true, removed: []string{"mgmt"},
		},
		"cut off after the move, not well": {
			scene: func(t *testing.T, s *scene) {
				s.managed(t, before())
				s.up(t, with(deployedObjects, fakeDeployment(false)))
				s.touch(t, s.movingFile())
			},
			refused: "capi-controller-manager",
		},
		"marked, and cut off before the management cluster was gone": {
			scene: func(t *testing.T, s *scene) {
				s.managed(t, before())
				s.up(t, selfManaged())
				s.touch(t, s.readyFile())
			},
			text: "it manages itself", ready: true, marked: true, removed: []string{"mgmt"},
		},
		"ready": {
			scene: func(t *testing.T, s *scene) { s.up(t, selfManaged()); s.touch(t, s.readyFile()) },
			text:  "it manages itself", ready: true, marked: true,
		},
		"ready, and not known to be": {
			scene: func(t *testing.T, s *scene) { s.up(t, selfManaged()) },
			text:  "it manages itself", ready: true, marked: true,
		},
		"ready, other version": {
			scene: func(t *testing.T, s *scene) {
				s.up(t, with(providerObjects, fakeProvider("v1.13.5")))
				s.touch(t, s.readyFile())
			},
			refused: "type `CLUSTER_NAME=work-cluster go tool mage env:down` first", marked: true,
		},
		"ready, paused, and its machines not looked after": {
			scene: func(t *testing.T, s *scene) {
				w := with(machineObjects, fakeMachine("cp", "Provisioned", true))
				w[clusterObjects] = []map[string]any{fakeCluster(true)}
				s.up(t, w)
			},
			text: "is paused", ready: true, marked: true,
		},
		"ready, a worker on its way": {
			scene: func(t *testing.T, s *scene) {
				w := with(machineObjects, fakeMachine("cp", "Running", true), fakeMachine("md", "Provisioning", false))
				w[nodeObjects] = []map[string]any{fakeNode("cp", true, true), fakeNode("md", false, false)}
				s.up(t, w)
			},
			text: "it manages itself", ready: true, marked: true,
		},
		"a manager is not available": {
			scene:   func(t *testing.T, s *scene) { s.up(t, with(deployedObjects, fakeDeployment(false))) },
			refused: "capi-controller-manager",
		},
		"the control plane's node is not Ready": {
			scene:   func(t *testing.T, s *scene) { s.up(t, with(nodeObjects, fakeNode("cp", false, true))) },
			refused: "the control plane's node cp to be Ready",
		},
		"the control plane's machine is not Running": {
			scene:   func(t *testing.T, s *scene) { s.up(t, with(machineObjects, fakeMachine("cp", "Failed", true))) },
			refused: "the control plane's machine cp to be Running",
		},
		"was ready and does not answer": {
			scene: func(t *testing.T, s *scene) {
				s.up(t, selfManaged())
				s.touch(t, s.readyFile())
				s.workload.Close()
			},
			refused: "go tool mage env:down", marked: true,
		},
		"was ready and its load balancer is gone": {
			scene: func(t *testing.T, s *scene) {
				s.up(t, selfManaged())
				s.touch(t, s.readyFile())
				s.docker.containers = s.docker.containers[1:]
			},
			refused: "nothing of it was removed", marked: true,
		},
		"was ready and lost its objects": {
			scene: func(t *testing.T, s *scene) {
				s.up(t, before())
				s.touch(t, s.readyFile())
			},
			refused: "nothing of it was removed", marked: true,
		},
		"was never ready and does not answer": {
			scene:  func(t *testing.T, s *scene) { s.up(t, selfManaged()); s.workload.Close() },
			remake: "the API server to be ready",
		},
		"the kubeconfig is lost": {
			scene: func(t *testing.T, s *scene) {
				s.up(t, selfManaged())
				s.docker.Answers = append(s.docker.Answers, runtest.Answer{
					Prefix: "docker exec cp cat /etc/kubernetes/admin.conf", Stdout: s.workload.kubeconfig("work-cluster-cp:6443"),
				})
				if err := os.Remove(s.kubeconfig()); err != nil {
					t.Fatal(err)
				}
			},
			text: "it manages itself", ready: true, marked: true,
			check: func(t *testing.T, s *scene) {
				if data, err := os.ReadFile(s.kubeconfig()); err != nil || !strings.Contains(string(data), "https://127.0.0.1:"+s.workload.port()) {
					t.Errorf("the kubeconfig is %s, %v", data, err)
				}
			},
		},
		"stopped containers": {
			scene: func(t *testing.T, s *scene) {
				s.up(t, selfManaged())
				s.touch(t, s.readyFile())
				for i := range s.docker.containers {
					s.docker.containers[i].stopped = true
				}
				slices.Reverse(s.docker.containers)
			},
			text: "it manages itself", ready: true, marked: true,
			check: func(t *testing.T, s *scene) {
				if want := []string{"docker start lb", "docker start cp", "docker start md"}; !slices.Equal(s.docker.ran("docker start"), want) {
					t.Errorf("started %q, want %q", s.docker.ran("docker start"), want)
				}
			},
		},
		"stopped containers that do not start": {
			scene: func(t *testing.T, s *scene) {
				s.managed(t, before())
				s.docker.containers[0].stopped, s.docker.startErr = true, errors.New("no such mount")
			},
			remake: "no such mount",
		},
		"stopped containers that do not start, of what was ready": {
			scene: func(t *testing.T, s *scene) {
				s.up(t, selfManaged())
				s.touch(t, s.readyFile())
				s.docker.containers[0].stopped, s.docker.startErr = true, errors.New("no such mount")
			},
			refused: "go tool mage env:down", marked: true,
		},
		"foreign": {
			scene: func(t *testing.T, s *scene) {
				s.up(t, selfManaged())
				s.docker.containers[1].owner = ""
			},
			refused: "was not made by this lab",
		},
		"another checkout's": {
			scene: func(t *testing.T, s *scene) {
				s.up(t, selfManaged())
				mark := filepath.Join(t.TempDir(), "other/.caslab/owner/work-cluster-0123456789abcdef")
				s.write(t, mark, "")
				s.docker.containers[1].owner = mark
			},
			refused: "/other; type there: CLUSTER_NAME=work-cluster go tool mage env:down;",
		},
		"a checkout's that lost .caslab": {
			scene: func(t *testing.T, s *scene) {
				s.up(t, selfManaged())
				s.docker.containers[1].owner = "/other/.caslab/owner/work-cluster-0123456789abcdef"
			},
			refused: "by the lab in /other, whose .caslab this command does not see; if that checkout is elsewhere, type there: CLUSTER_NAME=work-cluster go tool mage env:down; if it is gone: docker rm -f -v $(",
		},
		"a foreign load balancer": {
			scene: func(t *testing.T, s *scene) {
				s.docker.containers = []fakeContainer{{id: "lb", name: "work-cluster-lb", cluster: "work-cluster", role: "external-load-balancer"}}
			},
			refused: "was not made by this lab",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, nil)
			tc.scene(t, s)
			found, err := s.takeStock(t.Context())
			if (err != nil) != (tc.refused != "") || err != nil && !strings.Contains(err.Error(), tc.refused) {
				t.Fatalf("takeStock() = %v; want %q in it", err, tc.refused)
			}
			if (found.remake != nil) != (tc.remake != "") || found.remake != nil && !strings.Contains(found.remake.Error(), tc.remake) {
				t.Errorf("remake %v; want %q in it", found.remake, tc.remake)
			}
			if found.ready != tc.ready || !strings.Contains(found.text, tc.text) || (found.text == "") != (tc.text == "") {
				t.Errorf("found %+v; want ready %v and %q", found, tc.ready, tc.text)
			}
			var removed []string
			for _, line := range s.docker.ran("docker rm") {
				removed = append(removed, strings.Fields(line)[4:]...)
			}
			if !slices.Equal(removed, tc.removed) {
				t.Errorf("removed %v, want %v", removed, tc.removed)
			}
			if marked, _ := state.Exists(s.readyFile()); marked != tc.marked {
				t.Errorf("marked as ready: %v, want %v", marked, tc.marked)
			}
			if moving, _ := state.Exists(s.movingFile()); moving && tc.ready {
				t.Error("it is ready and its move is still recorded as going on")
			}
			if tc.check != nil {
				tc.check(t, s)
			}
		})
	}
}

func TestTakeStockCancelled(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.up(t, selfManaged())
	s.workload.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if found, err := s.takeStock(ctx); !errors.Is(err, context.DeadlineExceeded) || found.remake != nil {
		t.Errorf("takeStock() when told to end = %+v, %v", found, err)
	}
}

// TestRefusedBeforeAnythingIsRemoved: what cannot be taken up stays until the
// machine is known to be able to make it anew.
func TestRefusedBeforeAnythingIsRemoved(t *testing.T) {
	t.Parallel()
	s := newScene(t, map[string]string{"CAPI_GIT": "https://127.0.0.1:1/nowhere.git"})
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux", "Architecture": "x86_64"}`}}
	s.managed(t, selfManaged())
	s.management.Close()
	// Its builds are there: less disk is asked for.
	s.touch(t, s.path("bin", "cluster-api", "x"))
	if err := s.Up(t.Context(), Ready); err == nil || !strings.Contains(err.Error(), "CAPI_GIT=https://127.0.0.1:1") {
		t.Errorf("Up() = %v; want the setting that is wrong", err)
	}
	if lines := s.docker.ran("docker rm"); len(lines) > 0 {
		t.Errorf("removed: %q", lines)
	}
}

func TestReadyAsksNoSource(t *testing.T) {
	t.Parallel()
	s := newScene(t, map[string]string{"CAPI_GIT": "https://127.0.0.1:1/nowhere.git"})
	s.docker.Answers = []runtest.Answer{
		{Prefix: "docker info", Stdout: `{"OSType": "linux", "Architecture": "x86_64"}`},
		{Prefix: "docker image ls", Stdout: "sha256:0123456789abcdef\n"},
	}
	s.up(t, selfManaged())
	start := time.Now()
	if err := s.Up(t.Context(), Ready); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if !strings.Contains(s.printed.String(), "self-managed") {
		t.Errorf("printed %s", s.printed)
	}
}

// TestReadyTellsWhatChanged: an environment is not made again for a setting,
// but its user is told.
func TestReadyTellsWhatChanged(t *testing.T) {
	t.Parallel()
	before := newScene(t, nil)
	if err := before.recordMade(); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(before.madeFile())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		env  map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{"WORKERS": "3"}, `WORKERS=1, and the settings want "3"; to make it anew, type: CLUSTER_NAME=work-cluster go tool mage env:down`},
		{map[string]string{"CAPI_GIT": "https://127.0.0.1:1/mine.git"}, `the settings want "https://127.0.0.1:1/mine.git"`},
	} {
		s := newScene(t, tc.env)
		logged := new(strings.Builder)
		s.log = ui.New(logged, ui.Options{})
		s.docker.Answers = []runtest.Answer{
			{Prefix: "docker info", Stdout: `{"OSType": "linux", "Architecture": "x86_64"}`},
			{Prefix: "docker image ls", Stdout: "sha256:0123456789abcdef\n"},
		}
		s.up(t, selfManaged())
		s.write(t, s.madeFile(), string(made))
		if err := s.Up(t.Context(), Ready); err != nil {
			t.Fatal(err)
		}
		s.log.Close()
		got := logged.String()
		if !strings.Contains(got, tc.want) || tc.want == "" && strings.Contains(got, "it was made with") {
			t.Errorf("%v: logged\n%s\nwant %q", tc.env, got, tc.want)
		}
	}
	s := newScene(t, map[string]string{"CAPI_DIR": "/nowhere"})
	s.up(t, selfManaged())
	if err := s.Up(t.Context(), Ready); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("Up() with a checkout that is not there: %v", err)
	}
}

func TestDown(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}}
	s.up(t, selfManaged())
	s.managed(t, selfManaged())
	s.docker.containers = append(s.docker.containers, fakeContainer{id: "other", name: "other-lb", cluster: "other"})
	for _, path := range []string{s.readyFile(), s.movingFile(), filepath.Join(s.repositoryDir(), "clusterctl.yaml"), s.path("bin", "x"), s.path("owner", "other-0123456789abcdef")} {
		s.touch(t, path)
	}
	for range 2 {
		if err := s.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.docker.containers) != 1 || s.docker.containers[0].id != "other" {
		t.Errorf("containers left: %+v", s.docker.containers)
	}
	for _, path := range []string{s.readyFile(), s.movingFile(), s.repositoryDir(), s.kubeconfig(), s.managementKubeconfig()} {
		if there, _ := state.Exists(path); there {
			t.Errorf("%s is left", path)
		}
	}
	if marks, err := s.marks(); err != nil || len(marks) > 0 {
		t.Errorf("marks left: %v, %v", marks, err)
	}
	for _, path := range []string{s.path("bin", "x"), s.path("owner", "other-0123456789abcdef")} {
		if there, _ := state.Exists(path); !there {
			t.Errorf("%s, of no business of this environment, is gone", path)
		}
	}
	if len(s.docker.ran("docker rm --force --volumes caslab-probe-")) == 0 || len(s.docker.ran("docker ps --all --quiet --no-trunc --filter name=^/?caslab-build-")) == 0 {
		t.Error("nobody looked for what killed runs left")
	}
}

// TestAnotherEngine: what is on one engine is not gone because another has
// nothing of it.
func TestAnotherEngine(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"ID": "two", "OSType": "linux", "Architecture": "x86_64"}`}}
	// It is seen on its own engine, which is recorded.
	s.up(t, selfManaged())
	if err := s.onEngine(t.Context(), engine.Info{ID: "one"}); err != nil {
		t.Fatal(err)
	}
	mark, err := s.mark()
	if err != nil {
		t.Fatal(err)
	}
	s.touch(t, s.readyFile())
	s.docker.containers = nil
	for target, do := range map[string]func() error{
		"env:up":   func() error { return s.Up(t.Context(), Ready) },
		"env:down": func() error { return s.Down(t.Context()) },
	} {
		if err := do(); !errors.As(err, new(*OtherEngineError)) || !strings.Contains(err.Error(), "rm "+s.engineFile()) {
			t.Errorf("%s on another engine: %v; want that it is, and what to type", target, err)
		}
		for _, path := range []string{s.readyFile(), mark} {
			if there, _ := state.Exists(path); !there {
				t.Errorf("%s on another engine removed %s", target, path)
			}
		}
	}
	s.write(t, s.engineFile(), `"two"`)
	if err := s.Down(t.Context()); err != nil {
		t.Errorf("env:down on its own engine: %v", err)
	}
	if there, _ := state.Exists(s.engineFile()); there {
		t.Errorf("%s is left", s.engineFile())
	}
}

func TestDownRefusesForeign(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}}
	s.up(t, selfManaged())
	s.docker.containers[2].owner = ""
	if err := s.Down(t.Context()); err == nil || !strings.Contains(err.Error(), "was not made by this lab") || len(s.docker.ran("docker rm")) > 0 {
		t.Errorf("Down() = %v after %q", err, s.docker.ran("docker rm"))
	}
}

func TestDownLeavesABuildAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux"}`}}
	lock, err := s.state().Lock(workNode, "another environment's env:up")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Down(t.Context()); err != nil {
		t.Error(err)
	}
	if lines := s.docker.ran("docker ps --all --quiet --no-trunc --filter name=^/?caslab-build-"); len(lines) > 0 {
		t.Errorf("the build containers of somebody who builds were looked for: %q", lines)
	}
	if err := lock.Release(); err != nil {
		t.Error(err)
	}
}

func TestMarks(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	mark, err := s.mark()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.mark(); err != nil || again != mark {
		t.Errorf("mark() = %s, then %s, %v", mark, again, err)
	}
	base := filepath.Base(mark)
	s.touch(t, s.path("owner", "work-cluster-two-0123456789abcdef"))
	for source, want := range map[string]bool{
		mark:                                true,
		"/host_mnt" + mark:                  true, // Docker Desktop
		"/moved/.caslab/owner/" + base:      true,
		"/other/.caslab/owner/" + base[:13]: false,
		"/other/.caslab/owner/work-cluster-0123456789abcdef": false,
		s.path("owner", "work-cluster-two-0123456789abcdef"): false,
		"/x" + base: false,
		"":          false,
	} {
		marks, err := s.marks()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.isMark(source, marks); got != want {
			t.Errorf("a mount of %s is the environment's: %v, want %v", source, got, want)
		}
	}
}

// TestACopyOwnsNothing: a copy of the checkout has a mark of that name too.
func TestACopyOwnsNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	mark, err := s.mark()
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(t.TempDir(), ".caslab", "owner", filepath.Base(mark))
	s.touch(t, original)
	if s.isMark(original, []string{mark}) {
		t.Errorf("a mount of %s is taken for one of %s", original, mark)
	}
	// As Docker makes of a mount whose checkout moved away.
	moved := filepath.Join(t.TempDir(), ".caslab", "owner", filepath.Base(mark))
	if err := os.MkdirAll(moved, 0o755); err != nil {
		t.Fatal(err)
	}
	if !s.isMark(moved, []string{mark}) {
		t.Errorf("a mount of the folder %s is not the environment's", moved)
	}
}

func TestCommandsNameTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		&NotWellError{Name: "two", Err: errors.New("x")}, &OtherVersionError{Environment: "two"},
		&ForeignError{Environment: "two", Cluster: "two-management", Mark: "/x/.caslab/owner/m"},
		&ForeignError{Environment: "two", Cluster: "two-management", Mark: "/x/.caslab/owner/m", Lost: true},
	} {
		if want := "CLUSTER_NAME=two go tool mage env:down"; !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s in it", err, want)
		}
	}
}

func TestKubeconfigFollowsThePort(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	if err := s.Kubeconfig(t.Context()); !errors.As(err, new(*NotUpError)) {
		t.Errorf("without an environment: %v", err)
	}
	s.up(t, selfManaged())
	if err := s.Kubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.printed.String(); got != s.kubeconfig()+"\n" {
		t.Errorf("printed %q", got)
	}
	data, err := os.ReadFile(s.kubeconfig())
	if err != nil || !strings.Contains(string(data), "https://127.0.0.1:"+s.workload.port()) {
		t.Errorf("the kubeconfig is %s, %v", data, err)
	}
}

func TestRootlessIsRefused(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker info", Stdout: `{"OSType": "linux", "SecurityOptions": ["name=rootless"]}`}}
	if err := s.Up(t.Context(), Ready); err == nil || !strings.Contains(err.Error(), "the engine is rootless") {
		t.Errorf("Up() = %v", err)
	}
}

func TestImageIDOfAPod(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	w := selfManaged()
	w[deployedObjects][0]["spec"] = map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": "example.com/manager:v1"}}}}}
	w[podObjects] = []map[string]any{object("v1", "Pod", "capi-system", "p", nil, map[string]any{"status": map[string]any{"containerStatuses": []any{
		map[string]any{"image": "example.com/manager:v1", "imageID": "sha256:0123456789abcdef0123"},
	}}})}
	s.up(t, w)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker image ls"}}
	if err := s.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.printed.String(), "example.com/manager:v1   0123456789ab") {
		t.Errorf("printed\n%s", s.printed)
	}
}

func quiet(t *testing.T) *ui.Log {
	t.Helper()
	log := ui.New(io.Discard, ui.Options{})
	t.Cleanup(log.Close)
	return log
}
