package environment

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"caslab/magefiles/internal/restart"
	"caslab/magefiles/internal/run/runtest"
	"caslab/magefiles/internal/state"
)

// withAddresses gives the containers addresses, and the Cluster object an endpoint.
func (s *fixture) withAddresses(endpoint string) {
	for i, at := range []string{"172.18.0.3", "172.18.0.4", "172.18.0.5"} {
		s.docker.containers[i].address = at
	}
	cluster := fakeCluster(false)
	cluster["spec"].(map[string]any)["controlPlaneEndpoint"] = map[string]any{"host": endpoint}
	s.workload.Put(&unstructured.Unstructured{Object: cluster})
}

// TestReadyRecordsAddresses: a cluster whose objects name its load balancer works at any
// address. In another one, load balancer and control plane must keep theirs.
func TestReadyRecordsAddresses(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]map[string]netip.Addr{
		"work-cluster-lb": {},
		"172.18.0.3":      {"work-cluster-lb": netip.MustParseAddr("172.18.0.3"), "work-cluster-cp": netip.MustParseAddr("172.18.0.4")},
	} {
		s := newFixture(t, nil)
		s.up(t, selfManaged())
		s.withAddresses(endpoint)
		if err := s.home().MarkReady(t.Context(), s.workload.Client()); err != nil {
			t.Fatal(err)
		}
		var got map[string]netip.Addr
		if _, err := state.ReadJSON(s.home().ReadyFile(), &got); err != nil || !maps.Equal(got, want) {
			t.Errorf("with the endpoint %s, the addresses %v are recorded, %v; want %v", endpoint, got, err, want)
		}
	}
}

// TestSeveralControlPlanes: members of etcd know each other by address, so several control
// planes keep theirs, also those that were added since the environment became ready.
func TestSeveralControlPlanes(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker update"}}
	s.up(t, selfManaged())
	s.withAddresses("work-cluster-lb")
	if err := s.home().MarkReady(t.Context(), s.workload.Client()); err != nil {
		t.Fatal(err)
	}
	second := s.docker.containers[1]
	second.id, second.name, second.address = "cp-2", "work-cluster-cp-2", "172.18.0.6"
	s.docker.containers = append(s.docker.containers, second)
	want := map[string]netip.Addr{"work-cluster-cp": netip.MustParseAddr("172.18.0.4"), "work-cluster-cp-2": netip.MustParseAddr("172.18.0.6")}
	recorded := func() map[string]netip.Addr {
		var got map[string]netip.Addr
		if _, err := state.ReadJSON(s.home().ReadyFile(), &got); err != nil {
			t.Error(err)
		}
		return got
	}
	if got := recorded(); len(got) > 0 {
		t.Errorf("for one control plane, the addresses %v are recorded", got)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := recorded(); !maps.Equal(got, want) {
		t.Errorf("after Stop(), the addresses %v are recorded, want %v", got, want)
	}
	for i := range s.docker.containers {
		s.docker.containers[i].stopped = false
	}
	if err := s.home().MarkReady(t.Context(), s.workload.Client()); err != nil {
		t.Fatal(err)
	}
	if got := recorded(); !maps.Equal(got, want) {
		t.Errorf("when it is ready, the addresses %v are recorded, want %v", got, want)
	}
}

// TestEarlierRecord: earlier labs recorded the addresses of workers, which may have any.
func TestEarlierRecord(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.up(t, selfManaged())
	s.write(t, s.home().ReadyFile(), `{"work-cluster-lb": "172.18.0.3", "work-cluster-cp": "172.18.0.4", "work-cluster-md": "172.18.0.5", "gone": "172.18.0.6"}`)
	s.docker.containers[1].image, s.docker.containers[2].image, s.docker.containers[0].image = "node", "node", "balancer"
	workload, _, err := s.containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.home().Restarting(workload)
	want := map[string]netip.Addr{"work-cluster-lb": netip.MustParseAddr("172.18.0.3"), "work-cluster-cp": netip.MustParseAddr("172.18.0.4")}
	if err != nil || !maps.Equal(c.Addresses, want) || c.Image != "node" {
		t.Errorf("restarting() = %+v, %v; want %v, and placeholders of the image of nodes", c, err, want)
	}
}

// TestStrangerHasTheAddress: the error names the container that has the address, and
// nothing of the environment is removed.
func TestStrangerHasTheAddress(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.up(t, selfManaged())
	s.withAddresses("172.18.0.3")
	if err := s.home().MarkReady(t.Context(), s.workload.Client()); err != nil {
		t.Fatal(err)
	}
	s.docker.containers[0].stopped, s.docker.containers[0].address = true, ""
	s.docker.containers = append(s.docker.containers, fakeContainer{id: "other", name: "other", address: "172.18.0.3"})
	_, err := s.takeSurvey(t.Context())
	if held := new(restart.HeldError); !errors.As(err, &held) || held.Holder != "other" || held.Container != "work-cluster-lb" {
		t.Errorf("takeSurvey() = %v", err)
	}
	if len(s.docker.ran("docker rm")) > 0 || len(s.docker.ran("docker start")) > 0 {
		t.Errorf("it did %q", s.docker.verbs)
	}
}

// TestCertificateIsLookedAt: the certificate is looked at if the API server does not
// answer, and a node that ended because it has none is started again.
func TestCertificateIsLookedAt(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		arrange func(*fixture)
		want    int
	}{
		"it answers":         {func(*fixture) {}, 0},
		"it does not answer": {func(s *fixture) { s.workload.slow.Store(2) }, 1},
		"the node ends first": {func(s *fixture) {
			s.workload.slow.Store(2)
			s.docker.renewErr = func() error {
				s.docker.renewErr, s.docker.containers[1].stopped = nil, true
				return errors.New("container is not running")
			}
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newFixture(t, nil)
				s.up(t, selfManaged())
				s.touch(t, s.home().ReadyFile())
				tc.arrange(s)
				if found, err := s.takeSurvey(t.Context()); err != nil || !found.ready {
					t.Fatalf("takeSurvey() = %+v, %v", found, err)
				}
				if got := s.docker.ran("docker exec cp sh -c"); len(got) != tc.want {
					t.Errorf("it looked %d times, want %d", len(got), tc.want)
				}
				if s.docker.containers[1].stopped {
					t.Error("the node is left stopped")
				}
			})
		})
	}
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.docker.Answers = []runtest.Answer{
		{Prefix: "docker info", Stdout: `{"OSType": "linux", "Architecture": "x86_64"}`},
		{Prefix: "docker image ls", Stdout: "sha256:0123456789abcdef\n"}, {Prefix: "docker update"},
	}
	for name, command := range map[string]func() error{
		"Stop": func() error { return s.Stop(t.Context()) }, "Start": func() error { return s.Start(t.Context()) },
	} {
		if err := command(); err == nil || !strings.Contains(err.Error(), `there is no environment "work-cluster"; type: go tool mage env:up`) {
			t.Errorf("%s() of nothing = %v", name, err)
		}
	}
	s.up(t, selfManaged())
	s.touch(t, s.home().ReadyFile())
	guest, err := s.State.Enter("work-cluster", "autoscaler:run")
	if err != nil {
		t.Fatal(err)
	}
	said := s.logs(t)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if guests := said.String(); !strings.Contains(guests, "until then, these commands wait: autoscaler:run (process ") {
		t.Errorf("it says %s", guests)
	}
	if err := guest.Release(); err != nil {
		t.Error(err)
	}
	if want := []string{"docker stop md", "docker stop cp", "docker stop lb"}; !slices.Equal(s.docker.ran("docker stop"), want) {
		t.Errorf("stopped %q, want %q", s.docker.ran("docker stop"), want)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(s.docker.containers, func(c fakeContainer) bool { return c.stopped }) {
		t.Errorf("after Start(), there is %+v", s.docker.containers)
	}
	if want := []string{"stopped", "started"}; !slices.Equal(s.recorder.facts, want) {
		t.Errorf("the record has %q, want %q", s.recorder.facts, want)
	}
}
