package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run"
)

// network is an engine that gives a container the lowest free address when it
// starts, as Docker does.
type network struct{ containers []*attached }

type attached struct {
	name, address string
	labels        map[string]string
	running       bool
	owner         string
	image         string
}

func (n *network) start(a *attached) {
	a.running = true
	for host := 2; ; host++ {
		a.address = fmt.Sprintf("172.18.0.%d", host)
		if !slices.ContainsFunc(n.containers, func(b *attached) bool { return b != a && b.running && b.address == a.address }) {
			return
		}
	}
}

func (n *network) Run(_ context.Context, c run.Cmd) (run.Result, error) {
	switch c.Args[0] {
	case "ps":
		key, value, _ := strings.Cut(strings.TrimPrefix(c.Args[len(c.Args)-1], "label="), "=")
		var names []string
		for _, a := range n.containers {
			if a.labels[key] == value {
				names = append(names, a.name)
			}
		}
		return run.Result{Stdout: []byte(strings.Join(names, "\n"))}, nil
	case "container":
		var all []map[string]any
		for _, a := range n.containers {
			if slices.Contains(c.Args, a.name) {
				address := ""
				if a.running {
					address = a.address
				}
				all = append(all, map[string]any{
					"Id": a.name, "Name": "/" + a.name, "State": map[string]any{"Running": a.running}, "Config": map[string]any{"Labels": a.labels, "Image": a.image},
					"Mounts":          []any{map[string]any{"Source": a.owner, "Destination": capi.OwnerMount}},
					"NetworkSettings": map[string]any{"Networks": map[string]any{"kind": map[string]any{"IPAddress": address}}},
				})
			}
		}
		data, err := json.Marshal(all)
		return run.Result{Stdout: data}, err
	case "run":
		if slices.Contains(c.Args, "balancer") {
			return run.Result{}, errors.New("exec: \"sleep\": executable file not found in $PATH")
		}
		key, value, _ := strings.Cut(c.Args[slices.Index(c.Args, "--label")+1], "=")
		a := &attached{name: c.Args[slices.Index(c.Args, "--name")+1], labels: map[string]string{key: value}}
		n.containers = append(n.containers, a)
		n.start(a)
		return run.Result{Stdout: []byte(a.name)}, nil
	case "start":
		for _, a := range n.containers {
			if a.name == c.Args[1] {
				n.start(a)
			}
		}
	case "rm":
		n.containers = slices.DeleteFunc(n.containers, func(a *attached) bool { return slices.Contains(c.Args, a.name) })
	}
	return run.Result{}, nil
}

func TestStoppedContainersGetTheirAddressesBack(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	owner, err := s.mark()
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, owner, "")
	at := func(name, address string) *attached {
		return &attached{name: name, address: address, labels: map[string]string{clusterLabel: s.Config.ClusterName}, running: true, owner: owner, image: "node"}
	}
	// The management cluster had the address .2, and somebody else's container has .5.
	lb, control, worker := at("lb", "172.18.0.3"), at("cp", "172.18.0.4"), at("md", "172.18.0.6")
	lb.labels[roleLabel], lb.image = "external-load-balancer", "balancer"
	n := &network{containers: []*attached{worker, control, lb, {name: "other", address: "172.18.0.5", running: true}}}
	s.engine = engine.New(n)
	if err := s.markReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	// This node was added later, so its address is not recorded. It must not get the
	// address of another node.
	late := at("late", "172.18.0.2")
	n.containers = append(n.containers, late)

	for range 2 { // and once more, from what the first time left
		for _, c := range []*attached{lb, control, worker, late} {
			c.running = false
		}
		workload, _, err := s.containers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if started, err := s.startStopped(t.Context(), workload, func(string) {}); err != nil || !started {
			t.Fatalf("startStopped() = %t, %v", started, err)
		}
		for c, want := range map[*attached]string{lb: "172.18.0.3", control: "172.18.0.4", worker: "172.18.0.6", late: "172.18.0.2"} {
			if !c.running || c.address != want {
				t.Errorf("%s is at %s, running: %t; want %s", c.name, c.address, c.running, want)
			}
		}
		if len(n.containers) != 5 {
			t.Errorf("%d containers are there, want 5: placeholders are left", len(n.containers))
		}
	}
	workload, _, err := s.containers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if started, err := s.startStopped(t.Context(), workload, nil); err != nil || started {
		t.Errorf("startStopped() of what runs = %t, %v", started, err)
	}
}
