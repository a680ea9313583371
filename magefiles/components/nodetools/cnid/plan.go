package main

import (
	"encoding/json"
	"maps"
	"net"

	corev1 "k8s.io/api/core/v1"
)

// network is what a node's network should look like.
type network struct {
	// own is this node's pod range; empty until the cluster assigns one.
	own string
	// routes leads from the pod ranges of the other nodes to their addresses.
	routes map[string]net.IP
}

// equal reports whether two networks are the same.
func (n network) equal(other network) bool {
	return n.own == other.own && maps.EqualFunc(n.routes, other.routes, net.IP.Equal)
}

// keeper keeps the node's network as it should look.
type keeper struct {
	apply func(network) error
	// last is what was applied last; nil if that failed, or if nothing was.
	last *network
}

// keep applies want. It skips that if want was applied last and repair is not set: most changes of
// nodes are heartbeats, and with hundreds of nodes they come all the time.
func (k *keeper) keep(want network, repair bool) error {
	if !repair && k.last != nil && k.last.equal(want) {
		return nil
	}
	k.last = nil
	if err := k.apply(want); err != nil {
		return err
	}
	k.last = &want
	return nil
}

// plan derives the network of the node named self from all nodes.
func plan(nodes []*corev1.Node, self string) network {
	want := network{routes: map[string]net.IP{}}
	for _, n := range nodes {
		if n.Spec.PodCIDR == "" {
			continue
		}
		if n.Name == self {
			want.own = n.Spec.PodCIDR
			continue
		}
		for _, a := range n.Status.Addresses {
			if ip := net.ParseIP(a.Address).To4(); a.Type == corev1.NodeInternalIP && ip != nil {
				want.routes[n.Spec.PodCIDR] = ip
				break
			}
		}
	}
	return want
}

// cniConfig is the CNI configuration list for a node's pod range: a veth pair
// per pod, addresses from the range, host ports.
func cniConfig(podCIDR string) ([]byte, error) {
	return json.MarshalIndent(map[string]any{
		"cniVersion": "0.3.1",
		"name":       "caslab",
		"plugins": []any{
			map[string]any{
				"type": "ptp",
				"mtu":  1500,
				// cnid masquerades: the plugin would do so between nodes too.
				"ipMasq": false,
				"ipam": map[string]any{
					"type":    "host-local",
					"dataDir": "/run/cni-ipam-state",
					"routes":  []any{map[string]any{"dst": "0.0.0.0/0"}},
					"ranges":  []any{[]any{map[string]any{"subnet": podCIDR}}},
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}, "", "  ")
}
