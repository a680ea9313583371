// Package restart stops the containers of a cluster, and starts them again so that the
// cluster works: on a network that exists, at addresses that the cluster can live with,
// and with a certificate of the API server.
//
// The engine gives a container that starts the lowest free address. A cluster whose
// parts know each other by name works at any address. In other clusters, the address of
// the load balancer is in every kubeconfig and certificate, and that of the control
// plane in the load balancer's configuration: these two must get theirs back.
package restart

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/interrupt"
)

// placeholderLabel marks the containers that hold an address for a moment.
const placeholderLabel = "caslab.placeholder"

// maxPlaceholders bounds how many addresses are held.
const maxPlaceholders = 32

// Cluster is a cluster whose containers are stopped and started.
type Cluster struct {
	Engine *engine.Engine
	// Name is unique among the clusters of an engine.
	Name string
	// Addresses has the addresses that containers must have, by their names. It is empty
	// for a cluster that works at any address.
	Addresses map[string]netip.Addr
	// Image has the program sleep; placeholders run it.
	Image string
}

// HeldError is returned if a container outside the cluster has an address that a container
// of the cluster must have.
type HeldError struct {
	Address netip.Addr
	// Container must have the address, and Holder has it.
	Container, Holder string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("the container %s must have the address %s, because the cluster's certificates and kubeconfigs name it, and the container %s, which is not part of the cluster, has it now; stop that one until the cluster runs: docker stop %[3]s", e.Container, e.Address, e.Holder)
}

// SubnetError is returned if no subnet of a container's network has the address that the
// container must have, because the network was created again.
type SubnetError struct {
	Address            netip.Addr
	Container, Network string
	Subnets            []netip.Prefix
}

func (e *SubnetError) Error() string {
	return fmt.Sprintf("the container %s must have the address %s, because the cluster's certificates and kubeconfigs name it, and the network %s has the subnets %v now; if nothing else uses that network, create it again with a subnet that has that address: docker network rm %[3]s && docker network create --subnet=SUBNET %[3]s", e.Container, e.Address, e.Network, e.Subnets)
}

// address returns a container's network and its address in it. The address is not
// valid while the container is stopped.
func address(c engine.Container) (network string, at netip.Addr) {
	for name, text := range c.IPs {
		if parsed, err := netip.ParseAddr(text); err == nil {
			return name, parsed
		}
		network = name
	}
	return network, netip.Addr{}
}

// Fixed returns the addresses, by name, of the running containers for which must returns
// true.
func Fixed(containers []engine.Container, must func(engine.Container) bool) map[string]netip.Addr {
	fixed := map[string]netip.Addr{}
	for _, c := range containers {
		if _, at := address(c); at.IsValid() && must(c) {
			fixed[c.Name] = at
		}
	}
	return fixed
}

// Members returns the addresses of the running nodes of the control plane if there are
// several, because the members of etcd know each other by address (kubeadm v1.36.1,
// cmd/kubeadm/app/phases/etcd/local.go: initial-advertise-peer-urls). A single node works at
// any address.
func Members(containers []engine.Container, controlPlane func(engine.Container) bool) map[string]netip.Addr {
	addresses := Fixed(containers, controlPlane)
	if len(addresses) < 2 {
		return map[string]netip.Addr{}
	}
	return addresses
}

// plan is what to do so that every container runs at its address.
type plan struct {
	// stop has the running containers that are at a wrong address, or at one that another
	// container must have.
	stop []engine.Container
	// fixed are started first, in the order of their addresses, and others after them.
	fixed, others []engine.Container
}

// plan returns what to do with the cluster's containers.
func (c Cluster) plan(all []engine.Container) plan {
	wanted := map[netip.Addr]bool{}
	for _, k := range all {
		if want, must := c.Addresses[k.Name]; must {
			if _, at := address(k); !k.Running || at != want {
				wanted[want] = true
			}
		}
	}
	var p plan
	for _, k := range all {
		want, must := c.Addresses[k.Name]
		_, at := address(k)
		if k.Running && wanted[at] || k.Running && must && at != want {
			p.stop = append(p.stop, k)
		} else if k.Running {
			continue
		}
		if must {
			p.fixed = append(p.fixed, k)
		} else {
			p.others = append(p.others, k)
		}
	}
	slices.SortStableFunc(p.fixed, func(a, b engine.Container) int { return c.Addresses[a.Name].Compare(c.Addresses[b.Name]) })
	slices.SortStableFunc(p.others, func(a, b engine.Container) int { return cmp.Compare(a.Created, b.Created) })
	return p
}

// Start starts the containers that are stopped. Before that, it stops containers that run
// at another address than they must have, and containers of the cluster that hold such an
// address. It reports whether it started any container.
func (c Cluster) Start(ctx context.Context, all []engine.Container, progress func(string)) (started bool, err error) {
	p := c.plan(all)
	if len(p.fixed)+len(p.others) == 0 {
		return false, nil
	}
	if err := c.removePlaceholders(ctx); err != nil {
		return false, err
	}
	if err := c.checkHolders(ctx, all, p.fixed); err != nil {
		return false, err
	}
	starting := slices.Concat(p.fixed, p.others)
	networks, err := c.networks(ctx, starting)
	if err != nil {
		return false, err
	}
	if len(p.stop) > 0 {
		progress(fmt.Sprintf("stopping %d containers that are at the addresses of others", len(p.stop)))
		if err := c.Engine.Stop(ctx, ids(p.stop)...); err != nil {
			return false, err
		}
	}
	progress(fmt.Sprintf("starting %d stopped containers", len(starting)))
	if err := c.connect(ctx, starting, networks); err != nil {
		return false, err
	}
	if err := c.startFixed(ctx, p.fixed); err != nil {
		return false, err
	}
	return true, c.start(ctx, p.others)
}

// start starts containers in their order.
func (c Cluster) start(ctx context.Context, containers []engine.Container) error {
	for _, k := range containers {
		if err := c.Engine.Start(ctx, k.ID); err != nil {
			return err
		}
	}
	return nil
}

// checkHolders returns a HeldError if a container outside the cluster has an address that
// one of the fixed containers must have.
func (c Cluster) checkHolders(ctx context.Context, all, fixed []engine.Container) error {
	for _, k := range fixed {
		network, _ := address(k)
		there, err := c.Engine.OnNetwork(ctx, network)
		if err != nil {
			return err
		}
		for _, other := range there {
			at, _ := netip.ParseAddr(other.IPs[network]) // it may have one in other networks too
			own := slices.ContainsFunc(all, func(k engine.Container) bool { return k.ID == other.ID })
			if !own && at == c.Addresses[k.Name] {
				return &HeldError{Address: at, Container: k.Name, Holder: other.Name}
			}
		}
	}
	return nil
}

// startFixed starts containers, sorted by the addresses that they must have, at these
// addresses. Meanwhile, placeholders hold the lower addresses.
func (c Cluster) startFixed(ctx context.Context, fixed []engine.Container) (err error) {
	defer func() {
		ctx, cancel := interrupt.Cleanup(ctx, 5*time.Minute)
		defer cancel()
		err = errors.Join(err, c.removePlaceholders(ctx))
	}()
	for _, k := range fixed {
		network, _ := address(k)
		if err := c.occupyBelow(ctx, network, c.Addresses[k.Name]); err != nil {
			return err
		}
		if err := c.Engine.Start(ctx, k.ID); err != nil {
			return err
		}
	}
	return nil
}

// occupyBelow starts placeholders until every address below want is taken, so that the
// container that is started next gets want. It returns an error if that takes more than
// maxPlaceholders.
func (c Cluster) occupyBelow(ctx context.Context, network string, want netip.Addr) error {
	for range maxPlaceholders {
		placeholders, err := c.placeholders(ctx)
		if err != nil {
			return err
		}
		id, err := c.Engine.Run(ctx, fmt.Sprintf("caslab-%s-placeholder-%d", c.Name, len(placeholders)),
			"--label", placeholderLabel+"="+c.Name, "--network", network, "--entrypoint=sleep", c.Image, "infinity")
		if err != nil {
			return err
		}
		if placeholders, err = c.placeholders(ctx); err != nil {
			return err
		}
		i := slices.IndexFunc(placeholders, func(p engine.Container) bool { return p.ID == id })
		if i >= 0 {
			if _, got := address(placeholders[i]); got.IsValid() && got.Less(want) {
				continue
			}
		}
		return c.Engine.Remove(ctx, id)
	}
	return fmt.Errorf("a container must have the address %s of the network %s, and the engine has %d lower ones to give first", want, network, maxPlaceholders)
}

func (c Cluster) placeholders(ctx context.Context) ([]engine.Container, error) {
	return c.Engine.List(ctx, placeholderLabel+"="+c.Name)
}

func (c Cluster) removePlaceholders(ctx context.Context) error {
	return RemovePlaceholders(ctx, c.Engine, c.Name)
}

// RemovePlaceholders removes the placeholders that a killed Start of the cluster left.
func RemovePlaceholders(ctx context.Context, e *engine.Engine, cluster string) error {
	left, err := e.List(ctx, placeholderLabel+"="+cluster)
	if err != nil {
		return err
	}
	return e.Remove(ctx, ids(left)...)
}

// Stop stops the containers, and makes the engine start none of them by itself. Workers are
// stopped first, because controllers may run there, and no controller must see the other
// machines stop. The API server is stopped before the load balancer.
func (c Cluster) Stop(ctx context.Context, workers, controlPlane, loadBalancers []engine.Container) error {
	if err := c.Engine.KeepStopped(ctx, ids(slices.Concat(workers, controlPlane, loadBalancers))...); err != nil {
		return err
	}
	for _, group := range [][]engine.Container{workers, controlPlane, loadBalancers} {
		if err := c.Engine.Stop(ctx, ids(group)...); err != nil {
			return err
		}
	}
	return nil
}

func ids(containers []engine.Container) []string {
	all := make([]string, len(containers))
	for i, c := range containers {
		all[i] = c.ID
	}
	return all
}
