package machine

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run/runtest"
)

// TestEngineChecks: each check judges what can be wrong with an engine and its machine, and
// says what to do about it.
func TestEngineChecks(t *testing.T) {
	t.Parallel()
	linux := engine.Info{OSType: "linux", ServerVersion: "28.2.2", MemTotal: 16 << 30, DockerRootDir: "/engine"}
	with := func(change func(*engine.Info)) engine.Info { i := linux; change(&i); return i }
	answer := func(prefix, stdout string) []runtest.Answer {
		return []runtest.Answer{{Prefix: prefix, Stdout: stdout}}
	}
	for name, tc := range map[string]struct {
		check   string
		info    engine.Info
		answers []runtest.Answer
		change  func(*Machine)
		verdict Verdict
		found   string
		toDo    string
	}{
		"Docker":               {check: "engine", info: linux, answers: answer("docker version", `{"Components":[{"Name":"Engine","Version":"28.2.2"}]}`), verdict: OK, found: "Docker 28.2.2"},
		"an engine in silence": {check: "engine", info: linux, verdict: OK, found: "Docker 28.2.2"},
		"Podman's command":     {check: "engine", info: engine.Info{Host: &struct{ OS string }{"linux"}}, verdict: Failure, found: "is Podman's", toDo: "install Docker"},
		"Podman's service":     {check: "engine", info: linux, answers: answer("docker version", `{"Components":[{"Name":"Podman Engine","Version":"4.9.3"}]}`), verdict: Failure, found: "is Podman 4.9.3", toDo: "docker context use default"},
		"Windows":              {check: "engine", info: engine.Info{OSType: "windows"}, verdict: Failure, found: "runs windows containers", toDo: "linux containers"},
		"rootless":             {check: "engine", info: engine.Info{OSType: "linux", SecurityOptions: []string{"name=rootless"}}, verdict: Failure, found: "rootless", toDo: "unset DOCKER_HOST"},

		"a socket":               {check: "engine's place", answers: answer("docker context inspect", "unix:///var/run/docker.sock"), verdict: OK, found: "this machine"},
		"no contexts":            {check: "engine's place", verdict: OK, found: "this machine"},
		"a port of this machine": {check: "engine's place", answers: answer("docker context inspect", "tcp://127.0.0.1:2375"), verdict: OK, found: "this machine"},
		"tcp":                    {check: "engine's place", answers: answer("docker context inspect", "tcp://10.0.0.7:2376"), verdict: Failure, found: "tcp://10.0.0.7:2376, on another machine", toDo: "run the lab on that machine"},
		"ssh":                    {check: "engine's place", answers: answer("docker context inspect", "ssh://me:secret@far"), verdict: Failure, found: "ssh://me:xxxxx@far, on another machine", toDo: "unset DOCKER_HOST"},

		"cgroup v1":          {check: "cgroup", info: with(func(i *engine.Info) { i.CgroupVersion = "1" }), verdict: Note, found: "failCgroupV1"},
		"cgroup v2":          {check: "cgroup", info: with(func(i *engine.Info) { i.CgroupVersion = "2" }), verdict: OK, found: "v2"},
		"containerd's store": {check: "image store", info: with(func(i *engine.Info) { i.DriverStatus = [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}} }), verdict: OK, found: "containerd's"},
		"own store":          {check: "image store", info: linux, verdict: OK, found: "the engine's own"},

		"enough memory":    {check: "memory", info: linux, verdict: OK, found: "16.0 GiB for the engine, and 2.9 GiB needed: 3 nodes"},
		"little memory":    {check: "memory", info: with(func(i *engine.Info) { i.MemTotal = 2 << 30 }), verdict: Warning, found: "2.0 GiB for the engine", toDo: "120 MiB"},
		"memory in use":    {check: "memory", info: linux, change: func(m *Machine) { m.FreeMemory = func() (int64, error) { return 1 << 30, nil } }, verdict: Warning, found: "1.0 GiB free"},
		"memory elsewhere": {check: "memory", info: with(func(i *engine.Info) { i.OperatingSystem = "Docker Desktop" }), change: func(m *Machine) { m.FreeMemory = func() (int64, error) { return 1 << 30, nil } }, verdict: OK, found: "16.0 GiB for the engine"},
		"many workers":     {check: "memory", info: with(func(i *engine.Info) { i.MemTotal = 4 << 30 }), change: func(m *Machine) { m.Workers = 20 }, verdict: Warning, found: "5.2 GiB needed: 22 nodes"},

		"a usual laptop":      {check: "inotify max_user_instances", info: linux, change: limited(128), verdict: Warning, found: "is 128, about enough for the 3 nodes of env:up; more nodes want 512", toDo: "sysctl fs.inotify.max_user_instances=8192"},
		"six workers on it":   {check: "inotify max_user_instances", info: linux, change: func(m *Machine) { limited(128)(m); m.Workers = 6 }, verdict: Failure, found: "is 128, and 8 nodes need about 170", toDo: "sysctl fs.inotify.max_user_instances=8192"},
		"instances":           {check: "inotify max_user_instances", info: linux, change: limited(512), verdict: OK, found: "512"},
		"few watches":         {check: "inotify max_user_watches", info: linux, change: limited(1000), verdict: Failure, found: "need about 1910", toDo: "max_user_watches=1048576"},
		"some watches":        {check: "inotify max_user_watches", info: linux, change: limited(8192), verdict: Warning, found: "want 524288", toDo: "max_user_watches=1048576"},
		"watches":             {check: "inotify max_user_watches", info: linux, change: limited(math.MaxUint64), verdict: OK, found: "unlimited"},
		"few files":           {check: "open files", info: linux, change: limited(1024), verdict: Warning, found: "is 1024", toDo: "LimitNOFILE"},
		"no such limits":      {check: "open files", info: linux, change: func(m *Machine) { m.ReadLimit = func(Limit) (uint64, error) { return 0, errors.ErrUnsupported } }, verdict: OK, found: "virtual machine"},
		"limits of a desktop": {check: "open files", info: with(func(i *engine.Info) { i.OperatingSystem = "Docker Desktop" }), change: limited(1), verdict: OK, found: "virtual machine"},
		"unreadable limits":   {check: "open files", info: linux, change: func(m *Machine) { m.ReadLimit = func(Limit) (uint64, error) { return 0, os.ErrPermission } }, verdict: Warning, found: "permission denied"},

		"no networks yet": {check: "network", answers: []runtest.Answer{{Prefix: "docker network", Stderr: "Error: No such network: kind", Err: errors.New("exit status 1")}}, verdict: OK, found: "kind"},
		"an own network":  {check: "network", answers: answer("docker network inspect kind", `[{"IPAM":{"Config":[{"Subnet":"172.20.0.0/16"}]},"Containers":{"a":{"Name":"work-cluster-lb"}}}]`), verdict: OK, found: "kind"},
		"neighbours":      {check: "network", answers: answer("docker network inspect kind", `[{"IPAM":{"Config":[{"Subnet":"172.20.0.0/16"}]},"Containers":{"a":{"Name":"kind-control-plane"}}}]`), verdict: Note, found: "1 container of others: kind-control-plane"},
		"IPv6 only":       {check: "network", answers: answer("docker network inspect kind", `[{"IPAM":{"Config":[{"Subnet":"fc00::/64"}]}}]`), verdict: Failure, found: "has no IPv4 addresses", toDo: "docker network rm kind"},
		"pods' addresses": {check: "network", answers: answer("docker network inspect kind", `[{"IPAM":{"Config":[{"Subnet":"10.244.128.0/20"}]}}]`), verdict: Failure, found: "environment's pods, 10.244.0.0/14", toDo: "default-address-pools"},
		"services' addresses": {check: "network", answers: answer("docker network inspect kind", `[{"IPAM":{"Config":[{"Subnet":"10.0.0.0/8"}]}}]`),
			change: func(m *Machine) { m.PodRange = m.ServiceRange }, verdict: Failure, found: "10.0.0.0/8 of the engine's network kind", toDo: "docker network rm kind"},
		"a network that cannot be asked": {check: "network", verdict: Warning, found: "inspect the network kind", toDo: "docker network inspect kind"},

		"no proxy":               {check: "proxy", info: linux, verdict: OK, found: "none"},
		"a proxy":                {check: "proxy", info: linux, change: variable("HTTPS_PROXY", "http://me:secret@proxy:3128"), verdict: Note, found: "HTTPS_PROXY=http://xxxxx@proxy:3128: the lab downloads through it; nodes that Cluster API creates have no proxy"},
		"a proxy, in small":      {check: "proxy", info: linux, change: variable("http_proxy", "me:secret@proxy:3128"), verdict: Note, found: "HTTP_PROXY=http://xxxxx@proxy:3128"},
		"an own proxy":           {check: "proxy", info: linux, change: variable("HTTPS_PROXY", "http://localhost:3128"), verdict: Note, found: "no node reaches it"},
		"no URL":                 {check: "proxy", info: linux, change: variable("HTTPS_PROXY", "http://"), verdict: Warning, found: "is no URL", toDo: "http://proxy.example:3128"},
		"images of cert-manager": {check: "proxy", info: linux, change: func(m *Machine) { variable("HTTPS_PROXY", "http://proxy:3128")(m); m.PullsImages = true }, verdict: Warning, found: "cannot pull cert-manager", toDo: "unset CERT_MANAGER"},
		"the engine's proxy":     {check: "proxy", info: with(func(i *engine.Info) { i.HTTPSProxy = "http://proxy:3128" }), verdict: Note, found: "only the engine has one"},
	} {
		m := fake(t, tc.answers...)
		if tc.change != nil {
			tc.change(&m)
		}
		f := find(t, m, tc.info, tc.check)
		if f.Verdict != tc.verdict || !strings.Contains(f.Found, tc.found) || !strings.Contains(f.ToDo, tc.toDo) {
			t.Errorf("%s: %+v\nwant %s: %s (%s)", name, f, tc.verdict, tc.found, tc.toDo)
		}
		if bad := f.Verdict == Warning || f.Verdict == Failure; bad && f.ToDo == "" {
			t.Errorf("%s: nothing to do about %+v", name, f)
		}
		if f.Verdict == Failure && (!strings.Contains(f.Error().Error(), tc.found) || !strings.Contains(f.Error().Error(), tc.toDo) || strings.Contains(f.Error().Error(), "\n")) {
			t.Errorf("%s: the error is %q", name, f.Error())
		}
		if strings.Contains(f.Found+f.Error().Error(), "secret") {
			t.Errorf("%s: a password in %+v", name, f)
		}
	}
}

func limited(value uint64) func(*Machine) {
	return func(m *Machine) { m.ReadLimit = func(Limit) (uint64, error) { return value, nil } }
}

func variable(key, value string) func(*Machine) {
	return func(m *Machine) {
		m.Getenv = func(k string) string {
			if k == key {
				return value
			}
			return ""
		}
	}
}

// TestDisk: the place with the least free disk decides, and how much is needed depends on
// what this run has to make.
func TestDisk(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lab, engine, containerd float64 // GiB; negative if it cannot be read
		change                  func(*Machine)
		store                   bool
		verdict                 Verdict
		want                    string
	}{
		"first":                    {lab: 11, engine: 12.5, verdict: OK, want: "11.0 GiB free at ROOT, and 9.9 GiB needed: 3 nodes, managers to compile, a node image to build or pull", change: builds},
		"less where the engine is": {lab: 20, engine: 12.5, verdict: OK, want: "12.5 GiB free at /engine", change: builds},
		"an engine elsewhere":      {lab: 30, engine: -1, verdict: OK, want: "30.0 GiB free at ROOT"},
		"nothing can be read":      {lab: -1, engine: -1, verdict: Note, want: "on another machine"},
		"too little":               {lab: 11, engine: 2, verdict: Failure, want: "2.0 GiB free at /engine, and 5.9 GiB needed: 3 nodes, managers to compile"},
		"containerd's store":       {lab: 30, engine: 30, containerd: 1, store: true, verdict: Failure, want: "1.0 GiB free at /var/lib/containerd"},
		"another store":            {lab: 30, engine: 30, containerd: 1, verdict: OK, want: "30.0 GiB free"},
		"all is built":             {lab: 3.5, engine: 3.5, verdict: OK, want: "3.4 GiB needed: 3 nodes", change: built(t)},
		"interrupted":              {lab: 1, engine: 1, verdict: OK, want: "0.7 GiB needed: 1 node", change: func(m *Machine) { built(t)(m); m.Present = 2 }},
		"all nodes are there":      {lab: 1, engine: 1, verdict: OK, want: "0.0 GiB needed: 0 nodes", change: func(m *Machine) { built(t)(m); m.Present = 5 }},
		"many workers":             {lab: 10, engine: 10, verdict: Failure, want: "16.4 GiB needed: 22 nodes", change: func(m *Machine) { built(t)(m); m.Workers = 20 }},
	} {
		m := fake(t)
		m.FreeDisk = func(path string) (int64, error) {
			free := map[string]float64{m.Root: tc.lab, "/engine": tc.engine, "/var/lib/containerd": tc.containerd}[path]
			if free < 0 {
				return 0, os.ErrNotExist
			}
			return int64(free * (1 << 30)), nil
		}
		if tc.change != nil {
			tc.change(&m)
		}
		info := engine.Info{DockerRootDir: "/engine"}
		if tc.store {
			info.DriverStatus = [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
		}
		want := strings.Replace(tc.want, "ROOT", m.Root, 1)
		if f := find(t, m, info, "disk"); f.Verdict != tc.verdict || !strings.Contains(f.Found, want) || f.Verdict == Failure && !strings.Contains(f.ToDo, "docker image rm") {
			t.Errorf("%s: %+v\nwant %s: %s", name, f, tc.verdict, want)
		}
	}
	m, refused := fake(t), errors.New("input/output error")
	m.FreeDisk = func(string) (int64, error) { return 0, refused }
	if f := find(t, m, engine.Info{}, "disk"); f.Verdict != Failure || !errors.Is(f.Error(), refused) {
		t.Errorf("a disk that cannot be asked: %+v", f)
	}
}

func builds(m *Machine) { m.BuildsImage = true }

// built makes a machine on which Cluster API was compiled.
func built(t *testing.T) func(*Machine) {
	return func(m *Machine) {
		if err := os.MkdirAll(m.State.Path("bin", "cluster-api"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNoSocket: nodes need the engine's socket, and an engine that has none where nodes
// look for it is refused with the reason.
func TestNoSocket(t *testing.T) {
	t.Parallel()
	m := fake(t, runtest.Answer{Prefix: "docker rm"}, runtest.Answer{Prefix: "docker image ls", Stdout: "sha256:0\n"},
		runtest.Answer{Prefix: "docker run", Err: errors.New("exit status 125"), Stderr: `docker: Error response from daemon: invalid mount config for type "bind": bind source path does not exist: /var/run/docker.sock.`})
	f := find(t, m, engine.Info{OSType: "linux"}, "privileged containers")
	if f.Verdict != Failure || !strings.Contains(f.Found, "has no socket /var/run/docker.sock") || !strings.Contains(f.ToDo, "unix:///var/run/docker.sock") {
		t.Errorf("%+v", f)
	}
}

// FuzzProxy: no password of a proxy is printed, whatever else is wrong with its URL.
func FuzzProxy(f *testing.F) {
	for _, seed := range []string{"http://", "", "socks5://", "HTTP://", "://"} {
		f.Add(seed, "proxy:3128")
	}
	f.Add("http://", "proxy:3128/%zz")
	f.Fuzz(func(t *testing.T, scheme, rest string) {
		const secret = "pa55w0rd"
		if strings.Contains(scheme, secret) || strings.Contains(rest, secret) || strings.ContainsAny(scheme, "@/?# \t\r\n") && !strings.HasSuffix(scheme, "://") {
			return
		}
		m := fake(t)
		variable("HTTPS_PROXY", scheme+"me:"+secret+"@"+rest)(&m)
		if f := find(t, m, engine.Info{}, "proxy"); strings.Contains(f.Found+f.ToDo, secret) {
			t.Errorf("%q: %+v", scheme+"me:"+secret+"@"+rest, f)
		}
	})
}
