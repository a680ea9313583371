package restart

import (
	"context"
	"errors"

	"caslab/magefiles/internal/engine"
)

// defaultNetwork always exists. The engine creates it again when it starts, and finds it by
// its name.
const defaultNetwork = "bridge"

// networks returns the existing networks with the names of those of the containers. It
// creates a network that is missing, because `docker network prune` removes a network whose
// containers are all stopped. It returns a SubnetError if a network cannot give a container
// the address that it must have.
func (c Cluster) networks(ctx context.Context, containers []engine.Container) (map[string]engine.Network, error) {
	networks := map[string]engine.Network{}
	for _, k := range containers {
		for name := range k.NetworkIDs {
			if name == defaultNetwork {
				continue
			}
			n, known := networks[name]
			if !known {
				var err error
				if n, err = c.network(ctx, name); err != nil {
					return nil, err
				}
				networks[name] = n
			}
			if want, must := c.Addresses[k.Name]; must && !n.Contains(want) {
				return nil, &SubnetError{Address: want, Container: k.Name, Network: name, Subnets: n.Subnets}
			}
		}
	}
	return networks, nil
}

// connect connects stopped containers to the networks, if they are connected to earlier
// networks of the same names.
func (c Cluster) connect(ctx context.Context, stopped []engine.Container, networks map[string]engine.Network) error {
	for _, k := range stopped {
		for name, id := range k.NetworkIDs {
			if n, there := networks[name]; there && id != "" && id != n.ID {
				if err := c.Engine.Reconnect(ctx, name, k.ID); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// network returns the network of that name. It creates the network if there is none, with
// IPv6 if the engine supports it and with the MTU of the default network, as kind does
// (v0.33.0, pkg/cluster/internal/providers/docker/network.go: ensureNetwork).
func (c Cluster) network(ctx context.Context, name string) (engine.Network, error) {
	n, ok, err := c.Engine.Network(ctx, name)
	if err != nil || ok {
		return n, err
	}
	var options []string
	if standard, _, err := c.Engine.Network(ctx, defaultNetwork); err == nil && standard.MTU != "" {
		options = append(options, "--opt="+engine.MTUOption+"="+standard.MTU)
	}
	// kind's subnet of the network kind.
	if v6 := c.Engine.CreateNetwork(ctx, name, append(options, "--ipv6", "--subnet=fc00:f853:ccd:e793::/64")...); v6 != nil {
		if err := c.Engine.CreateNetwork(ctx, name, options...); err != nil {
			return n, errors.Join(err, v6)
		}
	}
	n, _, err = c.Engine.Network(ctx, name)
	return n, err
}
