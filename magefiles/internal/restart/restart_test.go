package restart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/run"
)

// fakeEngine gives each container that starts the lowest free address of its network, as
// Docker does. It starts no container whose network is gone.
type fakeEngine struct {
	containers []*fakeContainer
	// id is the ID of the network kind; empty if there is none.
	id, subnet string
	// noIPv6 refuses networks with IPv6.
	noIPv6 bool
	calls  []string
}

type fakeContainer struct {
	name, address, network string
	// elsewhere is an address in another network.
	elsewhere string
	running   bool
	labels    map[string]string
}

func (e *fakeEngine) start(c *fakeContainer) error {
	if c.network != e.id {
		return fmt.Errorf("network %s not found", c.network)
	}
	if c.running {
		return nil
	}
	c.running = true
	for at := netip.MustParsePrefix(e.subnet).Addr().Next().Next(); ; at = at.Next() {
		c.address = at.String()
		if !slices.ContainsFunc(e.containers, func(b *fakeContainer) bool { return b != c && b.running && b.address == c.address }) {
			return nil
		}
	}
}

func (e *fakeEngine) named(args []string) (all []*fakeContainer) {
	for _, name := range args {
		for _, c := range e.containers {
			if c.name == name {
				all = append(all, c)
			}
		}
	}
	return all
}

func (e *fakeEngine) Run(_ context.Context, c run.Cmd) (run.Result, error) {
	e.calls = append(e.calls, strings.Join(c.Args, " "))
	out, err := e.answer(c.Args)
	if err != nil {
		err = &run.Error{Cmd: c, Err: errors.New("exit status 1"), Output: []byte("Error response from daemon: " + err.Error() + "\n")}
	}
	return run.Result{Stdout: []byte(out)}, err
}

func (e *fakeEngine) answer(args []string) (string, error) {
	switch args[0] {
	case "ps":
		kind, what, _ := strings.Cut(args[len(args)-1], "=")
		var names []string
		for _, c := range e.containers {
			key, value, _ := strings.Cut(what, "=")
			if kind == "network" && c.network == e.id || kind == "label" && c.labels[key] == value {
				names = append(names, c.name)
			}
		}
		return strings.Join(names, "\n"), nil
	case "container":
		var all []map[string]any
		for _, c := range e.named(args) {
			address := ""
			if c.running {
				address = c.address
			}
			networks := map[string]any{"kind": map[string]any{"IPAddress": address, "NetworkID": c.network}}
			if c.elsewhere != "" {
				networks["another"] = map[string]any{"IPAddress": c.elsewhere, "NetworkID": "another"}
			}
			all = append(all, map[string]any{"Id": c.name, "Name": "/" + c.name, "State": map[string]any{"Running": c.running},
				"NetworkSettings": map[string]any{"Networks": networks}})
		}
		data, err := json.Marshal(all)
		return string(data), err
	case "run":
		key, value, _ := strings.Cut(args[slices.Index(args, "--label")+1], "=")
		c := &fakeContainer{name: args[slices.Index(args, "--name")+1], labels: map[string]string{key: value}, network: e.id}
		e.containers = append(e.containers, c)
		return c.name, e.start(c)
	case "start":
		for _, c := range e.named(args) {
			if err := e.start(c); err != nil {
				return "", err
			}
		}
	case "stop":
		for _, c := range e.named(args) {
			c.running = false
		}
	case "rm":
		e.containers = slices.DeleteFunc(e.containers, func(c *fakeContainer) bool { return slices.Contains(args, c.name) })
	case "network":
		return e.answerNetwork(args[1], args)
	}
	return "", nil
}

func (e *fakeEngine) answerNetwork(verb string, args []string) (string, error) {
	switch verb {
	case "inspect":
		if args[2] == defaultNetwork {
			return `[{"Id": "bridge", "IPAM": {"Config": [{}]}, "Options": {"com.docker.network.driver.mtu": "1400"}}]`, nil
		}
		if e.id == "" {
			return "", errors.New("network kind not found")
		}
		return fmt.Sprintf(`[{"Id": %q, "IPAM": {"Config": [{"Subnet": %q}]}}]`, e.id, e.subnet), nil
	case "create":
		if e.noIPv6 && slices.Contains(args, "--ipv6") {
			return "", errors.New("IPv6 is off")
		}
		e.id = "created"
	case "connect":
		for _, c := range e.named(args) {
			c.network = e.id
		}
	}
	return "", nil
}

// cluster returns an engine with a cluster of that many nodes and a load balancer. The
// load balancer has the address .3 and the control plane .4.
func cluster(nodes int) *fakeEngine {
	e := &fakeEngine{id: "first", subnet: "172.18.0.0/16"}
	names := []string{"lb", "cp"}
	for i := range nodes - 1 {
		names = append(names, fmt.Sprintf("worker-%d", i))
	}
	for i, name := range names {
		e.containers = append(e.containers, &fakeContainer{name: name, address: fmt.Sprintf("172.18.0.%d", 3+i), network: e.id, running: true})
	}
	return e
}

// fixed are the addresses of a cluster that needs them.
var fixed = map[string]netip.Addr{"lb": netip.MustParseAddr("172.18.0.3"), "cp": netip.MustParseAddr("172.18.0.4")}

// own returns the containers of the cluster, as the engine lists them.
func (e *fakeEngine) own(t *testing.T) []engine.Container {
	t.Helper()
	all, err := engine.New(e).OnNetwork(t.Context(), "kind")
	if err != nil {
		t.Fatal(err)
	}
	if e.id != "first" { // then the containers are not on the network of that name
		everything := &fakeEngine{id: "first", containers: e.containers}
		if all, err = engine.New(everything).OnNetwork(t.Context(), "kind"); err != nil {
			t.Fatal(err)
		}
	}
	return slices.DeleteFunc(all, func(c engine.Container) bool { return strings.HasPrefix(c.Name, "other") })
}

// TestStart restarts clusters of several sizes after everything that may have happened
// to them. Afterwards, everything runs, what must have an address has it, and no two
// containers have the same one.
func TestStart(t *testing.T) {
	t.Parallel()
	stop := func(e *fakeEngine) {
		for _, c := range e.containers {
			c.running = false
		}
	}
	// engineStart is what the engine does when it starts: it starts the nodes, and not the
	// load balancer, in an order of its own.
	engineStart := func(e *fakeEngine) {
		stop(e)
		for _, c := range slices.Backward(e.containers) {
			if c.name != "lb" {
				_ = e.start(c)
			}
		}
	}
	for name, tc := range map[string]struct {
		arrange func(*fakeEngine)
		// named is true for a cluster that works at any address.
		named bool
		// untouched is true if nothing is to be done.
		untouched bool
	}{
		"all run":                                   {arrange: func(*fakeEngine) {}, untouched: true},
		"all stopped":                               {arrange: stop},
		"all stopped, a cluster by names":           {arrange: stop, named: true},
		"the engine was killed":                     {arrange: engineStart},
		"the engine was killed, a cluster by names": {arrange: engineStart, named: true},
		"control plane and load balancer are at each other's addresses": {arrange: func(e *fakeEngine) {
			e.containers[0].address, e.containers[1].address = e.containers[1].address, e.containers[0].address
		}},
		"the load balancer alone is elsewhere": {arrange: func(e *fakeEngine) { e.containers[0].address = "172.18.0.200" }},
		"the control plane was killed":         {arrange: func(e *fakeEngine) { e.containers[1].running = false }},
		"a worker was killed":                  {arrange: func(e *fakeEngine) { e.containers[len(e.containers)-1].running = false }},
		"a stranger has a low address": {arrange: func(e *fakeEngine) {
			stop(e)
			e.containers = append(e.containers, &fakeContainer{name: "other", address: "172.18.0.2", network: e.id, running: true})
		}},
		"a stranger has the load balancer's address, a cluster by names": {named: true, arrange: func(e *fakeEngine) {
			stop(e)
			e.containers = append(e.containers, &fakeContainer{name: "other", address: "172.18.0.3", network: e.id, running: true})
		}},
		"a killed start left a placeholder": {arrange: func(e *fakeEngine) {
			stop(e)
			e.containers = append(e.containers, &fakeContainer{name: "other-placeholder", address: "172.18.0.3", network: e.id, running: true, labels: map[string]string{placeholderLabel: "work"}})
		}},
		"the network was pruned":                  {arrange: func(e *fakeEngine) { stop(e); e.id = "" }},
		"the network was pruned, and IPv6 is off": {arrange: func(e *fakeEngine) { stop(e); e.id, e.noIPv6 = "", true }},
		"the network was created again":           {arrange: func(e *fakeEngine) { stop(e); e.id = "second" }},
		"the network was created again elsewhere": {named: true, arrange: func(e *fakeEngine) { stop(e); e.id, e.subnet = "second", "172.30.0.0/16" }},
	} {
		for _, nodes := range []int{2, 5, 10} {
			t.Run(fmt.Sprintf("%s, %d nodes", name, nodes), func(t *testing.T) {
				t.Parallel()
				e := cluster(nodes)
				tc.arrange(e)
				c := Cluster{Engine: engine.New(e), Name: "work", Image: "node"}
				if !tc.named {
					c.Addresses = fixed
				}
				own := e.own(t)
				e.calls = nil
				started, err := c.Start(t.Context(), own, func(string) {})
				if err != nil {
					t.Fatalf("Start() = %v after %q", err, e.calls)
				}
				if started == tc.untouched || tc.untouched && len(e.calls) > 0 {
					t.Errorf("Start() = %t after %q", started, e.calls)
				}
				held := map[string]string{}
				for _, k := range e.containers {
					if other, taken := held[k.address]; !k.running || taken || k.network != e.id {
						t.Errorf("%s runs: %t, at %s, which is also that of %q, on the network %s", k.name, k.running, k.address, other, k.network)
					}
					held[k.address] = k.name
					if want := c.Addresses[k.name]; want.IsValid() && k.address != want.String() {
						t.Errorf("%s is at %s, want %s", k.name, k.address, want)
					}
					if k.labels[placeholderLabel] != "" {
						t.Errorf("%s is left", k.name)
					}
				}
			})
		}
	}
}

// TestStartOfSeveralControlPlanes: after the engine was killed, each control plane gets its
// address back, also from the load balancer and from each other.
func TestStartOfSeveralControlPlanes(t *testing.T) {
	t.Parallel()
	e := cluster(6)
	members := map[string]netip.Addr{}
	for _, c := range e.containers[1:4] { // the control plane and two that used to be workers
		members[c.name] = netip.MustParseAddr(c.address)
		c.running = false
	}
	for i, c := range slices.Backward(e.containers) {
		c.address = fmt.Sprintf("172.18.0.%d", 2+len(e.containers)-i)
		c.running = i != 2
	}
	c := Cluster{Engine: engine.New(e), Name: "work", Image: "node", Addresses: members}
	if _, err := c.Start(t.Context(), e.own(t), func(string) {}); err != nil {
		t.Fatalf("Start() = %v after %q", err, e.calls)
	}
	held := map[string]string{}
	for _, k := range e.containers {
		if want := members[k.name]; !k.running || held[k.address] != "" || want.IsValid() && k.address != want.String() {
			t.Errorf("%s runs: %t, at %s, want %s; %q is there too", k.name, k.running, k.address, want, held[k.address])
		}
		held[k.address] = k.name
	}
}

// TestStartRefuses: nothing is started or stopped if a container cannot get its address.
func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		arrange func(*fakeEngine)
		want    string
	}{
		"a stranger has the address": {
			func(e *fakeEngine) {
				e.containers = append(e.containers, &fakeContainer{name: "other", address: "172.18.0.3", network: e.id, running: true})
			},
			"the container lb must have the address 172.18.0.3, because the cluster's certificates and kubeconfigs name it, and the container other,",
		},
		"a stranger on two networks has the address": {
			func(e *fakeEngine) {
				e.containers = append(e.containers, &fakeContainer{name: "other", address: "172.18.0.3", elsewhere: "172.30.0.9", network: e.id, running: true})
			},
			"the container lb must have the address 172.18.0.3, because the cluster's certificates and kubeconfigs name it, and the container other,",
		},
		"another subnet, and a container at a wrong address": {
			func(e *fakeEngine) {
				e.id, e.subnet, e.containers[1].address = "second", "172.30.0.0/16", "172.18.0.9"
			},
			"the container lb must have the address 172.18.0.3, because the cluster's certificates and kubeconfigs name it, and the network kind has the subnets [172.30.0.0/16] now",
		},
		"another subnet": {
			func(e *fakeEngine) { e.id, e.subnet = "second", "172.30.0.0/16" },
			"the container lb must have the address 172.18.0.3, because the cluster's certificates and kubeconfigs name it, and the network kind has the subnets [172.30.0.0/16] now",
		},
	} {
		e := cluster(3)
		e.containers[0].running = false
		tc.arrange(e)
		own := e.own(t)
		_, err := Cluster{Engine: engine.New(e), Name: "work", Image: "node", Addresses: fixed}.Start(t.Context(), own, func(string) {})
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if e.containers[0].running || !e.containers[1].running {
			t.Errorf("%s: it was refused after %q", name, e.calls)
		}
	}
}

// TestPrunedNetwork: a network is created again with the MTU of the default network, with
// IPv6 and without.
func TestPrunedNetwork(t *testing.T) {
	t.Parallel()
	for noIPv6, want := range map[bool][]string{
		false: {"--opt=com.docker.network.driver.mtu=1400 --ipv6 --subnet=fc00:f853:ccd:e793::/64 kind"},
		true:  {"--opt=com.docker.network.driver.mtu=1400 --ipv6 --subnet=fc00:f853:ccd:e793::/64 kind", "--opt=com.docker.network.driver.mtu=1400 kind"},
	} {
		e := &fakeEngine{noIPv6: noIPv6}
		if _, err := (Cluster{Engine: engine.New(e)}).network(t.Context(), "kind"); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, call := range e.calls {
			if options, created := strings.CutPrefix(call, "network create --driver=bridge --opt=com.docker.network.bridge.enable_ip_masquerade=true "); created {
				got = append(got, options)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("created with %q, want %q", got, want)
		}
	}
}

// TestStartFarAway: a container that would get another address than it must have is not
// started.
func TestStartFarAway(t *testing.T) {
	t.Parallel()
	e := cluster(2)
	e.containers[1].running = false
	far := maps.Clone(fixed)
	far["cp"] = netip.MustParseAddr("172.18.0.200")
	_, err := Cluster{Engine: engine.New(e), Name: "work", Image: "node", Addresses: far}.Start(t.Context(), e.own(t), func(string) {})
	if err == nil || !strings.Contains(err.Error(), "must have the address 172.18.0.200 of the network kind") {
		t.Error(err)
	}
	if e.containers[1].running || len(e.containers) != 3 {
		t.Errorf("the control plane runs: %t, and there are %d containers, want 3", e.containers[1].running, len(e.containers))
	}
}

func TestFixed(t *testing.T) {
	t.Parallel()
	e := cluster(3)
	e.containers[1].running = false
	got := Fixed(e.own(t), func(c engine.Container) bool { return c.Name == "lb" || c.Name == "cp" })
	if want := map[string]netip.Addr{"lb": fixed["lb"]}; !maps.Equal(got, want) {
		t.Errorf("Fixed() = %v, want %v", got, want)
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	e := cluster(3)
	own := e.own(t)
	e.calls = nil
	c := Cluster{Engine: engine.New(e), Name: "work"}
	if err := c.Stop(t.Context(), own[2:], own[1:2], own[:1]); err != nil {
		t.Fatal(err)
	}
	if want := []string{"update --restart=no worker-0 worker-1 cp lb", "stop worker-0 worker-1", "stop cp", "stop lb"}; !slices.Equal(e.calls, want) {
		t.Errorf("ran %q, want %q", e.calls, want)
	}
}
