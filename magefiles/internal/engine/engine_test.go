package engine

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
)

func captured(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestInfo(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker info", Stdout: captured(t, "info-20.10.json")}}}
	info, err := New(fake).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.ServerVersion != "20.10.24+dfsg1" || info.CgroupVersion != "1" || info.Arch() != "amd64" || info.OSType != "linux" || info.Rootless() || info.MemTotal == 0 {
		t.Errorf("Info() = %+v", info)
	}
	if want := []string{"docker info --format {{json .}}"}; !slices.Equal(fake.Calls(), want) {
		t.Errorf("ran %q, want %q", fake.Calls(), want)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]runtest.Answer{
		"docker fails":              {Prefix: "docker info", Err: errors.New("exit status 1"), Stderr: "Cannot connect to the Docker daemon"},
		"docker answers for nobody": {Prefix: "docker info", Stdout: `{"ServerErrors":["Cannot connect to the Docker daemon"]}`},
		"there is no docker at all": {Prefix: "docker info", Err: errors.New(`exec: "docker": executable file not found in $PATH`)},
	} {
		_, err := New(&runtest.Fake{Answers: []runtest.Answer{answer}}).Info(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "no Docker engine answers: ") || !strings.Contains(err.Error(), "scripts/docker-engine.sh") {
			t.Errorf("%s: %v; want an error that says what to type", name, err)
		}
	}
}

func TestArchAndRootless(t *testing.T) {
	t.Parallel()
	if got := (Info{Architecture: "aarch64"}).Arch(); got != "arm64" {
		t.Errorf("aarch64 is %s", got)
	}
	if !(Info{SecurityOptions: []string{"name=seccomp,profile=default", "name=rootless"}}).Rootless() {
		t.Error("a rootless engine was not seen")
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{
		{Prefix: "docker ps", Stdout: "aaa\nbbb\n"},
		{Prefix: "docker container inspect aaa bbb", Stdout: captured(t, "inspect-20.10.json")},
	}}
	list, err := New(fake).List(t.Context(), "io.x-k8s.kind.cluster=work-cluster")
	if err != nil {
		t.Fatal(err)
	}
	if want := "docker ps --all --quiet --no-trunc --filter label=io.x-k8s.kind.cluster=work-cluster"; fake.Calls()[0] != want {
		t.Errorf("ran %q, want %q", fake.Calls()[0], want)
	}
	if len(list) != 2 {
		t.Fatalf("%d containers, want 2", len(list))
	}
	lb, node := list[0], list[1]
	if lb.Name != "work-cluster-lb" || !lb.Running || lb.Ports["6443/tcp"] != "49154" || lb.Labels["io.x-k8s.kind.role"] != "external-load-balancer" {
		t.Errorf("load balancer %+v", lb)
	}
	if node.Mounts["/caslab/owner"] != "/lab/.caslab/owner/work-cluster" || node.Running {
		t.Errorf("node %+v", node)
	}
}

func TestRunLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	gone := runtest.Answer{Prefix: "docker rm", Stderr: "Error: No such container: probe\n", Err: errors.New("exit status 1")}
	fake := &runtest.Fake{Answers: []runtest.Answer{gone, {Prefix: "docker run", Stdout: "aaa\n"}}}
	if id, err := New(fake).Run(t.Context(), "probe", "--privileged", "image"); err != nil || id != "aaa" {
		t.Errorf("Run() = %q, %v", id, err)
	}
	want := []string{"docker rm --force --volumes probe", "docker run --detach --name probe --privileged image"}
	if !slices.Equal(fake.Calls(), want) {
		t.Errorf("ran %q, want %q", fake.Calls(), want)
	}
	// docker creates a container before it finds out that the container cannot start.
	fake = &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker rm"}, {Prefix: "docker run", Stderr: "unable to apply caps", Err: errors.New("exit status 126")}}}
	if _, err := New(fake).Run(t.Context(), "probe", "image"); err == nil || !strings.Contains(err.Error(), "unable to apply caps") {
		t.Errorf("Run() = %v", err)
	}
	if calls := fake.Calls(); calls[len(calls)-1] != "docker rm --force --volumes probe" {
		t.Errorf("the container that did not start was left: %q", calls)
	}
}

// hangingRunner is an engine that accepts requests and never answers.
type hangingRunner struct{}

func (hangingRunner) Run(ctx context.Context, c run.Cmd) (run.Result, error) {
	<-ctx.Done()
	return run.Result{}, &run.Error{Cmd: c, Err: context.Cause(ctx)}
}

func TestHangingEngine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := New(hangingRunner{}).Info(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), "no Docker engine answers: ") || !strings.Contains(err.Error(), "no answer within 20s") || time.Since(start) > time.Minute {
			t.Errorf("Info() = %v after %s; want an error that says the bound", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := New(hangingRunner{}).Info(ctx); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "no Docker engine") {
			t.Errorf("Info() when cancelled = %v; want that it was", err)
		}
	})
}

func TestListOfNothingInspectsNothing(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker ps"}}}
	if list, err := New(fake).List(t.Context(), "x"); err != nil || list != nil || len(fake.Calls()) != 1 {
		t.Errorf("List() = %v, %v after %q", list, err, fake.Calls())
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		stderr string
		fails  bool
	}{
		"gone already":         {"Error: No such container: aaa\n", false},
		"another removes it":   {"Error response from daemon: removal of container aaa is already in progress\n", false},
		"one gone, one stuck":  {"Error: No such container: aaa\nError response from daemon: driver failed\n", true},
		"the engine is broken": {"Error response from daemon: driver failed\n", true},
	} {
		fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker rm --force --volumes aaa", Stderr: tc.stderr, Err: errors.New("exit status 1")}}}
		if err := New(fake).Remove(t.Context(), "aaa"); (err != nil) != tc.fails {
			t.Errorf("%s: Remove() = %v", name, err)
		}
	}
	fake := &runtest.Fake{}
	if err := New(fake).Remove(t.Context()); err != nil || len(fake.Calls()) != 0 {
		t.Errorf("Remove() of nothing = %v after %q", err, fake.Calls())
	}
}

func TestConnect(t *testing.T) {
	t.Parallel()
	for stderr, want := range map[string]string{
		"": "",
		"Error response from daemon: endpoint with name node already exists in network bridge": "",
		"Error response from daemon: network bridge not found":                                 "connect node to the network bridge",
	} {
		answer := runtest.Answer{Prefix: "docker network connect bridge node", Stderr: stderr}
		if stderr != "" {
			answer.Err = errors.New("exit status 1")
		}
		err := New(&runtest.Fake{Answers: []runtest.Answer{answer}}).Connect(t.Context(), "bridge", "node")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("docker says %q: Connect() = %v, want %q", stderr, err, want)
		}
	}
}

func TestCommitAndLoad(t *testing.T) {
	t.Parallel()
	fake := &runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker commit"}, {Prefix: "docker load"}}}
	e := New(fake)
	if err := e.Commit(t.Context(), "aaa", "caslab.local/node:x", `ENTRYPOINT ["/a"]`); err != nil {
		t.Fatal(err)
	}
	if err := e.LoadImages(t.Context(), map[string]v1.Image{"caslab.local/x:y": empty.Image}); err != nil {
		t.Fatal(err)
	}
	want := []string{`docker commit --change ENTRYPOINT ["/a"] aaa caslab.local/node:x`, "docker load --quiet"}
	if !slices.Equal(fake.Calls(), want) {
		t.Errorf("ran %q, want %q", fake.Calls(), want)
	}
}

// TestRealEngine asks the engine of this machine, if there is one.
func TestRealEngine(t *testing.T) {
	t.Parallel()
	e := New(run.Exec{})
	info, err := e.Info(t.Context())
	if err != nil {
		t.Skipf("no engine: %v", err)
	}
	if info.ServerVersion == "" || info.NCPU == 0 || info.CgroupVersion == "" {
		t.Errorf("Info() = %+v", info)
	}
	if _, ok, err := e.ImageID(t.Context(), "caslab.local/no-such-image:x"); ok || err != nil {
		t.Errorf("ImageID() of nothing = %v, %v", ok, err)
	}
	if list, err := e.List(t.Context(), "caslab.no-such-label"); len(list) != 0 || err != nil {
		t.Errorf("List() of nothing = %v, %v", list, err)
	}
	if list, err := e.Named(t.Context(), "caslab-no-such-name-"); len(list) != 0 || err != nil {
		t.Errorf("Named() of nothing = %v, %v", list, err)
	}
}

// FuzzParseContainers: whatever docker inspect prints is read or refused.
func FuzzParseContainers(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "inspect-20.10.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(data), "[]", "null", "{", `[null]`, `[{"Mounts":[{}],"NetworkSettings":{"Ports":{"6443/tcp":null,"1/tcp":[]}}}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		containers, err := parseContainers(data)
		if err != nil && containers != nil {
			t.Errorf("containers %v and the error %v", containers, err)
		}
		for _, c := range containers {
			if c.Mounts == nil || c.Ports == nil {
				t.Errorf("container %+v has a map that is nil", c)
			}
		}
	})
}

// FuzzIsMissing: only the message for a missing object counts as one.
func FuzzIsMissing(f *testing.F) {
	f.Add("Error: No such container: a\n")
	f.Add("Error response from daemon: removal of container a is already in progress\n")
	f.Add("Error: No such container: a\nError response from daemon: driver failed\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, output string) {
		if !isMissing(&run.Error{Output: []byte(output)}) {
			return
		}
		if !strings.Contains(strings.ToLower(output), "no such") && !strings.Contains(output, "already in progress") {
			t.Errorf("isMissing(%q)", output)
		}
		if isMissing(&run.Error{Output: []byte("Error response from daemon: driver failed\n" + output)}) {
			t.Errorf("isMissing hides a failure before %q", output)
		}
	})
}

// TestServer: an engine that does not report its oldest API is no error. An engine that
// does not answer is.
func TestServer(t *testing.T) {
	t.Parallel()
	for stdout, want := range map[string]string{`{"ApiVersion":"1.51","MinAPIVersion":"1.44"}`: "1.44", `{"ApiVersion":"1.41"}`: "", "null": ""} {
		e := New(&runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker version --format {{json .Server}}", Stdout: stdout}}})
		if got, err := e.Server(t.Context()); err != nil || got.MinAPIVersion != want {
			t.Errorf("%s: Server() = %+v, %v; want %q", stdout, got, err, want)
		}
	}
	for name, answer := range map[string]runtest.Answer{
		"no engine":  {Prefix: "docker version", Stderr: "no daemon", Err: errors.New("exit status 1")},
		"no version": {Prefix: "docker version", Stdout: "what?"},
	} {
		if got, err := New(&runtest.Fake{Answers: []runtest.Answer{answer}}).Server(t.Context()); err == nil {
			t.Errorf("%s: Server() = %+v", name, got)
		}
	}
}

// TestKindsOfEngines: Podman, Docker Desktop and the image store of containerd are told
// from Docker's own engine.
func TestKindsOfEngines(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		info                        string
		command, desktop, inStorage bool
	}{
		"Docker":           {captured(t, "info-20.10.json"), false, false, false},
		"containerd store": {`{"OSType":"linux","Driver":"overlayfs","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]}`, false, false, true},
		"Docker Desktop":   {`{"OSType":"linux","OperatingSystem":"Docker Desktop","DriverStatus":null}`, false, true, false},
		"Podman's docker":  {`{"host":{"arch":"amd64","os":"linux","security":{"rootless":true}},"version":{"Version":"4.9.3"}}`, true, false, false},
	} {
		info, err := New(&runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker info", Stdout: tc.info}}}).Info(t.Context())
		if err != nil || info.PodmanCommand() != tc.command || info.Desktop() != tc.desktop || info.ContainerdStore() != tc.inStorage {
			t.Errorf("%s: %v, %+v", name, err, info)
		}
	}
	for components, want := range map[string]string{
		`[{"Name":"Podman Engine","Version":"4.9.3"},{"Name":"Conmon"}]`: "4.9.3",
		`[{"Name":"Engine","Version":"28.2.2"}]`:                         "",
		"null":                                                           "",
	} {
		e := New(&runtest.Fake{Answers: []runtest.Answer{{Prefix: "docker version", Stdout: `{"Components":` + components + `}`}}})
		server, err := e.Server(t.Context())
		if version, is := server.Podman(); err != nil || version != want || is != (want != "") {
			t.Errorf("%s: Podman() = %q, %t, %v", components, version, is, err)
		}
	}
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	const inspect = "docker context inspect --format {{.Endpoints.docker.Host}}"
	if got := New(&runtest.Fake{Answers: []runtest.Answer{{Prefix: inspect, Stdout: "ssh://me@far\n"}}}).Endpoint(t.Context()); got != "ssh://me@far" {
		t.Errorf("Endpoint() = %q", got)
	}
	if got := New(&runtest.Fake{}).Endpoint(t.Context()); got != "" {
		t.Errorf("Endpoint() of a command without contexts = %q", got)
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	failed := errors.New("exit status 1")
	for name, tc := range map[string]struct {
		answer      runtest.Answer
		there, ipv4 bool
		containers  string
		err         string
	}{
		"there": {runtest.Answer{Stdout: `[{"IPAM":{"Config":[{"Subnet":"172.20.0.0/16"},{"Subnet":"fc00:f853:ccd:e793::/64"}]},"Containers":{"b":{"Name":"two"},"a":{"Name":"one"}}}]`},
			true, true, "one two", ""},
		"IPv6 only":             {runtest.Answer{Stdout: `[{"IPAM":{"Config":[{"Subnet":"fc00::/64"}]}}]`}, true, false, "", ""},
		"none":                  {runtest.Answer{Stdout: "[]", Stderr: "Error: No such network: kind\n", Err: failed}, false, false, "", ""},
		"none, since 23":        {runtest.Answer{Stdout: "[]", Stderr: "Error response from daemon: network kind not found\n", Err: failed}, false, false, "", ""},
		"an engine that is ill": {runtest.Answer{Stderr: "Error response from daemon: out of memory\n", Err: failed}, false, false, "", "inspect the network kind"},
		"no addresses":          {runtest.Answer{Stdout: `[{"IPAM":{"Config":[{"Subnet":"x"}]}}]`}, false, false, "", "read docker network inspect"},
		"nothing":               {runtest.Answer{Stdout: "[]"}, false, false, "", "names no network"},
	} {
		tc.answer.Prefix = "docker network inspect kind"
		n, there, err := New(&runtest.Fake{Answers: []runtest.Answer{tc.answer}}).Network(t.Context(), "kind")
		if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: %v, want %q", name, err, tc.err)
		}
		if there != tc.there || n.HasIPv4() != tc.ipv4 || strings.Join(n.Containers, " ") != tc.containers {
			t.Errorf("%s: Network() = %+v, %t", name, n, there)
		}
	}
}

// TestOpenPorts: a port at 127.0.0.1 is not reachable from other machines.
func TestOpenPorts(t *testing.T) {
	t.Parallel()
	containers, err := parseContainers([]byte(`[{"NetworkSettings":{"Ports":{
		"6443/tcp":[{"HostIp":"127.0.0.1","HostPort":"1"}], "8404/tcp":[{"HostIp":"0.0.0.0","HostPort":"2"},{"HostIp":"::","HostPort":"2"}],
		"80/tcp":[{"HostIp":"::1","HostPort":"3"}], "81/tcp":[{"HostIp":"","HostPort":"4"}], "82/tcp":[]}}}]`))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"8404/tcp": "0.0.0.0:2", "81/tcp": ":4"}; !maps.Equal(containers[0].Open, want) {
		t.Errorf("open are %v, want %v", containers[0].Open, want)
	}
}

// TestNetworkWithoutSubnets: some drivers have no addresses of their own, and say so with an
// empty subnet.
func TestNetworkWithoutSubnets(t *testing.T) {
	t.Parallel()
	n, err := parseNetwork([]byte(`[{"Id": "n", "IPAM": {"Config": [{"Subnet": ""}, {"Subnet": "172.20.0.0/16"}, {}]}}]`))
	if err != nil || len(n.Subnets) != 1 || n.Subnets[0].String() != "172.20.0.0/16" {
		t.Errorf("parseNetwork() = %+v, %v", n, err)
	}
}

// FuzzParseNetwork: whatever docker network inspect prints is read or refused.
func FuzzParseNetwork(f *testing.F) {
	for _, seed := range []string{`[{"IPAM":{"Config":[{"Subnet":"172.20.0.0/16"}]},"Containers":{"a":{"Name":"one"}}}]`, "[]", "null", "[null]", `[{"IPAM":null}]`, "{"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := parseNetwork(data)
		for _, subnet := range n.Subnets {
			if err == nil && !subnet.IsValid() {
				t.Errorf("%q has the subnet %s", data, subnet)
			}
		}
	})
}
