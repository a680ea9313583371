package environment

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
	"caslab/magefiles/internal/state"
)

// The load balancer's address is in every kubeconfig and certificate of the
// cluster, and the control plane's in the load balancer's configuration: a
// cluster whose containers were stopped works again only at the addresses that
// it had. Docker gives a container that starts the lowest free one, so lower
// ones are held by placeholders meanwhile.

// holderLabel marks the placeholders of an environment.
const holderLabel = "caslab.placeholder"

// maxHolders bounds how many addresses are held.
const maxHolders = 32

// markReady records that the environment manages itself, and at which
// addresses its containers are.
func (e *Environment) markReady(ctx context.Context) error {
	workload, _, err := e.containers(ctx)
	if err != nil {
		return err
	}
	addresses := map[string]netip.Addr{}
	for _, c := range workload {
		if _, at := address(c); at.IsValid() {
			addresses[c.Name] = at
		}
	}
	if err := state.WriteJSON(e.readyFile(), addresses); err != nil {
		return fmt.Errorf("record that the environment manages itself: %w", err)
	}
	return nil
}

// addresses returns the addresses that markReady recorded, by container name.
func (e *Environment) addresses() (map[string]netip.Addr, error) {
	var addresses map[string]netip.Addr
	if _, err := state.ReadJSON(e.readyFile(), &addresses); err != nil {
		return nil, fmt.Errorf("read the environment's addresses: %w", err)
	}
	return addresses, nil
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

// startStopped starts the containers that a hard stop of the engine left behind.
// Each gets its old address if that is known and free.
func (e *Environment) startStopped(ctx context.Context, containers []engine.Container, progress func(string)) (started bool, err error) {
	stopped := slices.DeleteFunc(slices.Clone(containers), func(c engine.Container) bool { return c.Running })
	if len(stopped) == 0 {
		return false, nil
	}
	progress(fmt.Sprintf("starting %d stopped containers", len(stopped)))
	addresses, err := e.addresses()
	if err != nil {
		return false, err
	}
	slices.SortStableFunc(stopped, func(a, b engine.Container) int {
		return cmp.Or(compareKnown(addresses[a.Name], addresses[b.Name]), cmp.Compare(a.Created, b.Created))
	})
	err = e.State.Exclusively(ctx, workStart, progress, func() error {
		return e.startInOrder(ctx, stopped, addresses, placeholderImage(containers))
	})
	return err == nil, err
}

// startInOrder starts containers that are ordered by their old addresses.
// Placeholders run the image.
func (e *Environment) startInOrder(ctx context.Context, stopped []engine.Container, addresses map[string]netip.Addr, image string) (err error) {
	defer func() {
		ctx, cancel := interrupt.Cleanup(ctx, 5*time.Minute)
		defer cancel()
		err = errors.Join(err, e.removeHolders(ctx))
	}()
	for _, c := range stopped {
		if want := addresses[c.Name]; want.IsValid() {
			if err := e.occupyBelow(ctx, c, image, want); err != nil {
				return err
			}
		} else if err := e.removeHolders(ctx); err != nil {
			return err
		}
		if err := e.engine.Start(ctx, c.ID); err != nil {
			return err
		}
	}
	return nil
}

// compareKnown orders addresses, unknown ones last.
func compareKnown(a, b netip.Addr) int {
	if a.IsValid() != b.IsValid() {
		if a.IsValid() {
			return -1
		}
		return 1
	}
	return a.Compare(b)
}

// placeholderImage returns the image of a node, which has a sleep program. The load
// balancer's has none.
func placeholderImage(containers []engine.Container) string {
	i := slices.IndexFunc(containers, func(c engine.Container) bool { return !isLoadBalancer(c) })
	return containers[max(i, 0)].Image
}

// occupyBelow starts placeholders until every address below want is taken, so that c,
// which is started next, gets want if that is free.
func (e *Environment) occupyBelow(ctx context.Context, c engine.Container, image string, want netip.Addr) error {
	network, _ := address(c)
	for range maxHolders {
		holders, err := e.engine.List(ctx, holderLabel+"="+e.Config.ClusterName)
		if err != nil {
			return err
		}
		id, err := e.engine.Run(ctx, fmt.Sprintf("caslab-%s-placeholder-%d", e.Config.ClusterName, len(holders)),
			"--label", holderLabel+"="+e.Config.ClusterName, "--network", network, "--entrypoint=sleep", image, "infinity")
		if err != nil {
			return err
		}
		holders, err = e.engine.List(ctx, holderLabel+"="+e.Config.ClusterName)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(holders, func(h engine.Container) bool { return h.ID == id })
		if i >= 0 {
			if _, got := address(holders[i]); got.IsValid() && got.Less(want) {
				continue
			}
		}
		return e.engine.Remove(ctx, id)
	}
	return nil
}

func (e *Environment) removeHolders(ctx context.Context) error {
	holders, err := e.engine.List(ctx, holderLabel+"="+e.Config.ClusterName)
	if err != nil {
		return err
	}
	return e.engine.Remove(ctx, ids(holders)...)
}
