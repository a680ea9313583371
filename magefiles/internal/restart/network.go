package restart

import (
	"context"
	"errors"

	"caslab/magefiles/internal/engine"
)

// defaultNetwork always exists. The engine creates it again when it starts, and finds it by
// its name.
const defaultNetwork = "bridge"

// connect connects stopped containers to the existing networks with the names of theirs. It
// creates a network that is missing, because `docker network prune` removes a network whose
// containers are all stopped.
func (c Cluster) connect(ctx context.Context, stopped []engine.Container) error {
	networks := map[string]engine.Network{}
	for _, k := range stopped {
		for name, id := range k.NetworkIDs {
			if name == defaultNetwork {
				continue
			}
			n, known := networks[name]
			if !known {
				var err error
				if n, err = c.network(ctx, name); err != nil {
					return err
				}
				networks[name] = n
			}
			if want, must := c.Addresses[k.Name]; must && !n.Contains(want) {
				return &SubnetError{Address: want, Container: k.Name, Network: name, Subnets: n.Subnets}
			}
			if id != "" && id != n.ID {
				if err := c.Engine.Reconnect(ctx, name, k.ID); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// network returns the network of that name. It creates the network if there is none, with
// IPv6 if the engine supports it, as kind does.
func (c Cluster) network(ctx context.Context, name string) (engine.Network, error) {
	n, ok, err := c.Engine.Network(ctx, name)
	if err != nil || ok {
		return n, err
	}
	// kind takes this subnet for its network (pkg/cluster/internal/providers/docker/network.go).
	if v6 := c.Engine.CreateNetwork(ctx, name, "--ipv6", "--subnet=fc00:f853:ccd:e793::/64"); v6 != nil {
		if err := c.Engine.CreateNetwork(ctx, name); err != nil {
			return n, errors.Join(err, v6)
		}
	}
	n, _, err = c.Engine.Network(ctx, name)
	return n, err
}
