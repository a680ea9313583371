package main

import (
	"encoding/json"
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
