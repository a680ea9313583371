package machine

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/redact"
)

// kindNetwork is the network on which kind creates nodes. kind creates the network if there
// is none.
const kindNetwork = "kind"

// network judges the networks on which nodes are created.
func (m Machine) network(ctx context.Context) Finding {
	const check = "network"
	names := slices.Compact([]string{kindNetwork, m.ClusterAPI.Network})
	var neighbours []string
	for _, name := range names {
		n, ok, err := m.Engine.Network(ctx, name)
		if err != nil {
			return Judge(check, "", err, Warning, "docker network inspect "+name)
		}
		if !ok {
			continue // it is created with the engine's default addresses
		}
		if err := m.usable(name, n); err != nil {
			return Judge(check, "", err, Failure, "")
		}
		for _, c := range n.Containers {
			if !strings.HasPrefix(c, m.Environment+"-") {
				neighbours = append(neighbours, c)
			}
		}
	}
	found := strings.Join(names, " and ")
	if len(neighbours) > 0 {
		return Finding{Check: check, Verdict: Note, Found: fmt.Sprintf("%s, with %s of others: %s; they do not disturb the environment, but they take memory and inotify instances too", found, number(len(neighbours), "container"), strings.Join(neighbours, ", "))}
	}
	return Finding{Check: check, Verdict: OK, Found: found}
}

// usable refuses a network without IPv4, which the lab's clusters use, and a network whose
// addresses overlap with those of pods or services.
func (m Machine) usable(name string, n engine.Network) error {
	again := "docker network rm " + name + ", after the containers on it, so that it is made again"
	if name != kindNetwork {
		again = "give the engine's default network, in daemon.json, other addresses"
	}
	if !n.HasIPv4() {
		return &problem{fmt.Sprintf("the engine's network %s has no IPv4 addresses, and the lab's clusters have no others", name), again}
	}
	for _, subnet := range n.Subnets {
		for what, r := range map[string]netip.Prefix{"pods": m.PodRange, "services": m.ServiceRange} {
			if r.IsValid() && subnet.Overlaps(r) {
				return &problem{fmt.Sprintf("the addresses %s of the engine's network %s are also those of the environment's %s, %s", subnet, name, what, r), again + ", with other addresses in default-address-pools of the engine's daemon.json"}
			}
		}
	}
	return nil
}

// proxyVariables are read by the lab, by kind and by the go command, also in lower case.
var proxyVariables = []string{"HTTPS_PROXY", "HTTP_PROXY"}

// proxy judges the proxies of this process. The lab downloads through them, and kind gives
// them to its node, with the ranges of the network, of pods and of services in NO_PROXY
// (kind v0.33.0, pkg/cluster/internal/providers/docker/provision.go: getProxyEnv). Managers
// in pods do not have them, so the Docker provider gives its nodes none (Cluster API
// v1.14.2, test/infrastructure/container/docker.go: getProxyDetails). The engine pulls
// nothing for the lab, so the engine's own proxies do not matter. The lab reaches clusters
// at 127.0.0.1, for which Go programs use no proxy.
func (m Machine) proxy(info engine.Info) Finding {
	const check = "proxy"
	for _, name := range proxyVariables {
		value := m.Getenv(name)
		if value == "" {
			value = m.Getenv(strings.ToLower(name))
		}
		if value == "" {
			continue
		}
		if !strings.Contains(value, "://") {
			value = "http://" + value // as net/http reads it
		}
		shown := name + "=" + redact.URL(value)
		u, err := url.Parse(value)
		if err != nil || u.Host == "" {
			return Finding{Check: check, Verdict: Warning, Found: shown + " is no URL", ToDo: "set one such as http://proxy.example:3128"}
		}
		const none = "nodes that Cluster API creates have no proxy"
		switch {
		case m.PullsImages:
			return Finding{Check: check, Verdict: Warning, Found: fmt.Sprintf("%s, and %s: they cannot pull cert-manager through it", shown, none), ToDo: "unset CERT_MANAGER, or let nodes reach its registry without a proxy"}
		case isLoopback(u.Hostname()):
			return Finding{Check: check, Verdict: Note, Found: fmt.Sprintf("%s: this machine's own; the lab downloads through it, and no node reaches it", shown)}
		}
		return Finding{Check: check, Verdict: Note, Found: fmt.Sprintf("%s: the lab downloads through it; %s, so they pull images of your own pods without it", shown, none)}
	}
	if info.HTTPProxy != "" || info.HTTPSProxy != "" {
		return Finding{Check: check, Verdict: Note, Found: "only the engine has one, through which the lab pulls nothing: set HTTPS_PROXY if the lab's downloads need it"}
	}
	return Finding{Check: check, Verdict: OK, Found: "none"}
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// PublishedPorts judges whether other machines reach containers of an environment. refused
// is true if the load balancer refuses connections from other machines, and err is why the
// containers are not known. The Docker provider publishes the load balancer's ports at
// 0.0.0.0, which a default binding address of the network does not change (Cluster API
// v1.14.2, test/infrastructure/docker/internal/docker/loadbalancer.go: Create).
func PublishedPorts(containers []engine.Container, refused bool, err error) Finding {
	const check = "published ports"
	if err != nil {
		return Judge(check, "", err, Warning, "docker ps")
	}
	var open []string
	for _, c := range containers {
		for _, port := range slices.Sorted(maps.Keys(c.Open)) {
			open = append(open, fmt.Sprintf("%s of %s at %s", port, c.Name, c.Open[port]))
		}
	}
	if len(open) == 0 {
		return Finding{Check: check, Verdict: OK, Found: "none that other machines reach"}
	}
	found := strings.Join(open, ", ")
	if refused {
		return Finding{Check: check, Verdict: Note, Found: found + ": the load balancer refuses connections from other machines"}
	}
	return Finding{Check: check, Verdict: Warning, Found: found + ": other machines reach them", ToDo: "if you do not trust your network, close these ports in the firewall of the engine's machine: Docker's manual, \"Packet filtering and firewalls\""}
}
