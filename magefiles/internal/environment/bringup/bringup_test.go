package bringup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/config"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/environment/home"
	"caslab/magefiles/internal/environment/owner"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/repository"
	"caslab/magefiles/internal/run"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/state"
	"caslab/magefiles/internal/steps"

	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// options returns the options of a bring-up with the default settings, whose engine is reached
// through a runner.
func options(t *testing.T, r run.Runner) Options {
	t.Helper()
	c, err := config.Load(t.TempDir(), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return Options{Config: c, Runner: r, Home: home.New(c.ClusterName, c.ManagementName(), state.Dir(c.StateDir()), engine.New(r))}
}

// container is an engine with one container, which is the management cluster's.
type container struct {
	mu              sync.Mutex
	exists, running bool
}

func (c *container) set(exists, running bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exists, c.running = exists, running
}

func (c *container) stop()   { c.set(true, false) }
func (c *container) start()  { c.set(true, true) }
func (c *container) remove() { c.set(false, false) }

func (c *container) Run(_ context.Context, cmd run.Cmd) (run.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch line := cmd.String(); {
	case strings.HasPrefix(line, "docker ps ") && strings.HasSuffix(line, "label="+owner.ClusterLabel+"=work-cluster-management"):
		if c.exists {
			return run.Result{Stdout: []byte("mgmt\n")}, nil
		}
		return run.Result{}, nil
	case strings.HasPrefix(line, "docker container inspect "):
		return run.Result{Stdout: fmt.Appendf(nil, `[{"Id": "mgmt", "Name": "/mgmt", "State": {"Running": %t}}]`, c.running)}, nil
	default:
		return run.Result{}, errors.New("not expected: " + line)
	}
}

// TestOrder: steps come after those that they need, and the management cluster is
// deleted only after the move.
func TestOrder(t *testing.T) {
	t.Parallel()
	all := New(Options{}).Steps(0)
	seen := map[string]bool{}
	for _, s := range all {
		for _, n := range s.Needs {
			if !seen[n] {
				t.Errorf("%q comes before %q, which it needs", s.Name, n)
			}
		}
		seen[s.Name] = true
	}
	needs := func(target string) []string {
		var names []string
		needed, err := steps.UpTo(all, target)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range needed {
			names = append(names, s.Name)
		}
		return names
	}
	if !slices.Contains(needs(Delete), Move) || !slices.Contains(needs(Verify), Move) {
		t.Error("the management cluster is deleted, or the workload cluster is looked at, before the move")
	}
	if got := strings.Join(needs(Management), ", "); got != strings.Join([]string{Fetch, NodeImage, Compile, Render, Images, Management}, ", ") {
		t.Errorf("the management cluster waits for %s", got)
	}
	if got := needs(InitManagement); !slices.Contains(got, Images) || slices.Contains(got, ControlPlane) {
		t.Errorf("the providers wait for %v", got)
	}
}

// TestAllowCgroupV1 has the versions of Kubernetes on both sides of the boundary.
func TestAllowCgroupV1(t *testing.T) {
	t.Parallel()
	for kubernetes, want := range map[string]bool{"1.20.15": false, "1.34.9": false, "1.35.0": true, "1.37.2": true} {
		for _, cgroup := range []string{"1", "2"} {
			o := options(t, new(runtest.Fake))
			o.Config.Kubernetes, o.Info.CgroupVersion = version.Must(version.NewSemver(kubernetes)), cgroup
			if got := New(o).allowCgroupV1(); got != (want && cgroup == "1") {
				t.Errorf("Kubernetes %s on cgroup v%s: its kubelets are allowed to run there: %t", kubernetes, cgroup, got)
			}
		}
	}
}

// TestStepEndsWithTheManagementCluster: a step that needs the management cluster goes on
// while its container runs, or starts again, and ends when the container is gone.
func TestStepEndsWithTheManagementCluster(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		disturb func(*container)
		want    error
	}{
		"nothing happens": {func(*container) {}, nil},
		"restarted": {func(s *container) {
			s.stop()
			time.Sleep(2 * lookEvery)
			s.start()
		}, nil},
		"ended":   {(*container).stop, errManagementGone},
		"removed": {(*container).remove, errManagementGone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &container{exists: true, running: true}
				_, err := New(options(t, s)).whileManaged(func(ctx context.Context, _ func(string)) (string, error) {
					time.Sleep(time.Minute + lookEvery/2) // between two looks
					tc.disturb(s)
					select {
					case <-ctx.Done():
						return "", context.Cause(ctx)
					case <-time.After(time.Minute):
						return "", nil
					}
				})(t.Context(), nil)
				if !errors.Is(err, tc.want) {
					t.Errorf("the step returned %v, want %v", err, tc.want)
				}
			})
		})
	}
}

// TestBalancerWithoutAName: where the objects cannot name the load balancer's image, the
// lab's image has upstream's name when the objects are created.
func TestBalancerWithoutAName(t *testing.T) {
	t.Parallel()
	for tag, lends := range map[string]bool{"v0.4.0": true, "v0.4.1": false} {
		docker := &runtest.Fake{Answers: []runtest.Answer{
			{Prefix: "docker image ls", Stdout: "sha256:0123456789abcdef\n"}, {Prefix: "docker image tag"}, {Prefix: "docker image rm"},
		}}
		named := func() []string {
			return slices.DeleteFunc(docker.Calls(), func(c string) bool { return !strings.HasPrefix(c, "docker image tag") })
		}
		o := options(t, docker)
		o.Config.ClusterAPI.Version = version.Must(version.NewSemver(strings.TrimPrefix(tag, "v")))
		b := New(o)
		b.base.LoadBalancer = release.LoadBalancer{Repository: "caslab.local/bounded", Tag: "x"}
		before := -1
		err := b.withBalancer(t.Context(), func(string) {}, func() error { before = len(named()); return nil })
		if err != nil || before < 0 {
			t.Errorf("%s: %v, after %d commands", tag, err, before)
		}
		const lent = "docker image tag caslab.local/bounded/haproxy:x kindest/haproxy:2.1.1-alpine"
		if slices.Contains(named(), lent) != lends || before > 0 != lends {
			t.Errorf("%s: the name is lent: %q", tag, named())
		}
	}
}

// TestMoveFromProviderThatIgnoresPause: a Docker provider that does not honor the pause of a
// move would remove the containers, so it must not run then.
func TestMoveFromProviderThatIgnoresPause(t *testing.T) {
	t.Parallel()
	for tag, runs := range map[string]bool{"v0.3.25": false, "v1.8.12": false, "v1.9.11": true} {
		kinds := []schema.GroupVersionKind{
			kube.Deployments.WithVersion("v1"), kube.Pods.WithVersion("v1"), kube.Clusters.WithVersion("v1beta2"), kube.Machines.WithVersion("v1beta2"),
			{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"},
			{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"},
		}
		management, workload := kubetest.New(t, kinds, managers), kubetest.New(t, kinds, moved)
		running, moves := map[string]bool{}, 0
		o := options(t, new(runtest.Fake))
		o.Config.ClusterAPI.Version = version.Must(version.NewSemver(strings.TrimPrefix(tag, "v")))
		o.Record = func(context.Context, *kube.Client) func() { return func() {} }
		o.Tools.Clusterctl = func(context.Context, capi.ClusterctlOptions) (capi.Clusterctl, error) {
			return mover{move: func() {
				moves++
				for _, d := range management.List(kube.Deployments) {
					running[d.GetNamespace()] = kube.Field(d, "spec", "replicas") != "0"
				}
			}}, nil
		}
		b := New(o)
		b.mgmt, b.workload = management.Client(), workload.Client()
		b.repo = &repository.Repository{Providers: []repository.Provider{{Name: "docker", Type: "InfrastructureProvider", Namespace: "capd-system"}}}
		if _, err := b.move(t.Context(), func(string) {}); err != nil {
			t.Fatal(err)
		}
		if want := map[string]bool{"capi-system": true, "capd-system": runs}; moves != 1 || !maps.Equal(running, want) {
			t.Errorf("%s: these managers ran during %d moves: %v, want %v", tag, moves, running, want)
		}
	}
}

// TestHollowMachinesAreMoved: the workload cluster is made ready for hollow machines before a move,
// if the management cluster has their kinds.
func TestHollowMachinesAreMoved(t *testing.T) {
	t.Parallel()
	kinds := []schema.GroupVersionKind{kube.Clusters.WithVersion("v1beta2"), kube.Machines.WithVersion("v1beta2")}
	boom := errors.New("no right to create kinds")
	for name, tc := range map[string]struct {
		hollow bool
		err    error
		want   []string
	}{
		"no hollow machines": {want: []string{"move"}},
		"hollow machines":    {hollow: true, want: []string{"prepare", "move"}},
		"not prepared":       {hollow: true, err: boom, want: []string{"prepare"}},
	} {
		management, workload := kubetest.New(t, kinds, ""), kubetest.New(t, kinds, moved)
		if tc.hollow {
			management.Define(hollow.Templates.WithVersion("v1beta2"))
		}
		var done []string
		o := options(t, new(runtest.Fake))
		o.Record = func(context.Context, *kube.Client) func() { return func() {} }
		o.Tools.Clusterctl = func(context.Context, capi.ClusterctlOptions) (capi.Clusterctl, error) {
			return mover{move: func() { done = append(done, "move") }}, nil
		}
		b := New(o)
		b.mgmt, b.workload = management.Client(), workload.Client()
		b.PrepareHollow = func(_ context.Context, c *kube.Client) error {
			if c != b.workload {
				t.Errorf("%s: another cluster than the workload cluster is prepared", name)
			}
			done = append(done, "prepare")
			return tc.err
		}
		b.repo = &repository.Repository{}
		if _, err := b.move(t.Context(), func(string) {}); !errors.Is(err, tc.err) || !slices.Equal(done, tc.want) {
			t.Errorf("%s: move() = %v after %q, want %v after %q", name, err, done, tc.err, tc.want)
		}
		if begun, err := state.Exists(o.Home.MovingFile()); err != nil || begun != slices.Contains(tc.want, "move") {
			t.Errorf("%s: it is recorded that a move began: %t, %v", name, begun, err)
		}
	}
}

// mover is a clusterctl that only moves.
type mover struct {
	capi.Clusterctl
	move func()
}

func (m mover) Move(context.Context, string, string, string) error {
	m.move()
	return nil
}

// managers are the Deployments of the providers, and moved is what a move leaves.
const (
	managers = `
{apiVersion: apps/v1, kind: Deployment, metadata: {name: m, namespace: capi-system, uid: a}, spec: {replicas: 1}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: m, namespace: capd-system, uid: b}, spec: {replicas: 1}}
`
	moved = `
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Cluster, metadata: {name: work-cluster, namespace: default, uid: c}}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: cp, namespace: default, uid: d}}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: md, namespace: default, uid: e}}
`
)

// TestReplaceFailed: a worker on which kubeadm failed is replaced while env:up waits.
func TestReplaceFailed(t *testing.T) {
	t.Parallel()
	kinds := []schema.GroupVersionKind{kube.Machines.WithVersion("v1beta2"), {Group: "infrastructure.cluster.x-k8s.io", Version: "v1beta2", Kind: "DevMachine"}}
	management := kubetest.New(t, kinds, `
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: slow, namespace: default}}
---
{apiVersion: infrastructure.cluster.x-k8s.io/v1beta2, kind: DevMachine, metadata: {name: slow, namespace: default, labels: {cluster.x-k8s.io/cluster-name: work-cluster},
  ownerReferences: [{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, name: slow, uid: x}]}, status: {conditions: [{type: BootstrapCompleted, status: "False", reason: Failed}]}}
`)
	o := options(t, new(runtest.Fake))
	o.Warn, o.Detail = func(string, ...any) {}, t.Errorf
	b := New(o)
	b.mgmt = management.Client()
	stop := b.replaceFailed(t.Context())
	for management.Get(kube.Machines, "default", "slow") != nil {
		time.Sleep(time.Millisecond)
	}
	stop()
}
