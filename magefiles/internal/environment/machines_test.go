package environment

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/run/runtest"
)

// TestMachines: a scenario reaches the containers of this environment alone.
func TestMachines(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	s.docker.Answers = []runtest.Answer{{Prefix: "docker exec"}, {Prefix: "docker kill"}}
	s.up(t, selfManaged())
	s.docker.containers = append(s.docker.containers, fakeContainer{id: "other", name: "other-md-0", cluster: "other"})
	node := s.docker.containers[1]
	for _, tt := range []struct {
		err  error
		want string
	}{
		{s.Machines().StopKubelet(t.Context(), node.name), "docker exec " + node.id + " systemctl stop kubelet"},
		{s.Machines().StartKubelet(t.Context(), node.name), "docker exec " + node.id + " systemctl start kubelet"},
		{s.Machines().KillNode(t.Context(), node.name), "docker kill " + node.id},
	} {
		if tt.err != nil || len(s.docker.ran(tt.want)) != 1 {
			t.Errorf("%v, and docker ran %q, want %q", tt.err, s.docker.ran("docker"), tt.want)
		}
	}
	if err := s.Machines().KillNode(t.Context(), "other-md-0"); err == nil || !strings.Contains(err.Error(), "has no container other-md-0") {
		t.Errorf("KillNode() of another environment = %v", err)
	}
}
