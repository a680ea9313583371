// Package capi works with Cluster API: it has the manifest of a workload cluster, the
// kind cluster that creates it, clusterctl, and node groups.
package capi

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"caslab/magefiles/internal/capi/release"
	"caslab/manifests"
)

// OwnerMount is the path at which every node of the lab has its owner file
// mounted. The mount marks a container as the lab's: the engine shows it even
// if no API server answers.
const OwnerMount = "/caslab/owner"

// ServerNames are the names in the API server's certificate at which the user's machine
// reaches it, through a published port of the load balancer.
var ServerNames = []string{"localhost", "127.0.0.1", "0.0.0.0", "host.docker.internal"}

// Cluster is the workload cluster to create.
type Cluster struct {
	// Release is the release of Cluster API that creates the cluster. The
	// objects have the version of its API.
	Release         release.Release
	Name, Namespace string
	// Kubernetes is the version with a leading v.
	Kubernetes string
	// Workers is the size of the first MachineDeployment.
	Workers int
	// NodeImage is what nodes run.
	NodeImage            string
	LoadBalancer         release.LoadBalancer
	PodCIDR, ServiceCIDR string
	// CgroupV1 makes the kubelet accept an engine with cgroup v1.
	CgroupV1 bool
	// Cgroupfs makes the kubelet use the cgroup driver cgroupfs. The containerd
	// of the node image must use it too.
	Cgroupfs bool
	// OwnerFile is mounted at OwnerMount in every node.
	OwnerFile string
	// Open lets the load balancer accept connections from anywhere. Otherwise it refuses
	// those that come from outside its network. It must be set for an engine that hides the
	// source addresses of connections. Releases without HAProxyTemplate always accept all.
	Open bool
	// Subnets are those of the load balancer's network. If there are none, they have the
	// sizes that Docker gives them first.
	Subnets []netip.Prefix
}

// Manifest returns the YAML of the workload cluster's objects.
func (c Cluster) Manifest() ([]byte, error) {
	contract, err := contractOf(c.Release.API)
	if err != nil {
		return nil, err
	}
	haproxy, err := c.haproxyTemplate()
	if err != nil {
		return nil, err
	}
	t, err := template.New("").Option("missingkey=error").Funcs(template.FuncMap{
		"quote": strconv.Quote,
		"indent": func(n int, text string) string {
			pad := strings.Repeat(" ", n)
			return pad + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+pad)
		},
	}).ParseFS(manifests.FS, "cluster/"+contract.template)
	if err != nil {
		return nil, fmt.Errorf("read the workload cluster's template: %w", err)
	}
	var out bytes.Buffer
	err = t.ExecuteTemplate(&out, contract.template, struct {
		Cluster
		HAProxy, ServerNames string
	}{c, haproxy, strings.Join(ServerNames, ", ")})
	if err != nil {
		return nil, fmt.Errorf("fill in the workload cluster's template: %w", err)
	}
	return out.Bytes(), nil
}

// haproxyTemplate returns the template of HAProxy's configuration, as the release's Docker
// provider fills it in.
func (c Cluster) haproxyTemplate() (string, error) {
	data, err := manifests.FS.ReadFile("cluster/haproxy.cfg.tmpl")
	if err != nil {
		return "", fmt.Errorf("read the load balancer's template: %w", err)
	}
	text := string(data)
	if c.Open {
		lines := slices.Collect(strings.Lines(text))
		text = strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, "tcp-request ") }), "")
	}
	text = strings.ReplaceAll(text, networkSize, fmt.Sprintf("ipmask(%d,%d)", c.bits(false, 16), c.bits(true, 64)))
	if !c.Release.HAProxyWeights {
		text = strings.ReplaceAll(text, " weight {{ $backend.Weight }}", "")
	}
	return text, nil
}

// BalancerConfig is the path of HAProxy's configuration in the load balancer's container
// (Cluster API v1.14.2, test/infrastructure/docker/internal/loadbalancer/const.go: ConfigPath).
const BalancerConfig = "/usr/local/etc/haproxy/haproxy.cfg"

// refusal is the beginning of the line of the template that refuses connections.
const refusal = "tcp-request content reject unless { src,"

// Refuses reports whether a load balancer with that configuration of HAProxy refuses
// connections from outside its network.
func Refuses(config []byte) bool { return bytes.Contains(config, []byte(refusal)) }

// networkSize stands in the template for the sizes of the load balancer's network, IPv4 and
// IPv6. The network itself is not named, because it may have other addresses when it is
// created again.
const networkSize = "ipmask(16,64)"

// bits returns how many bits the addresses of the load balancer's network share: those of
// its largest subnet of the family, or usual if it has none.
func (c Cluster) bits(v6 bool, usual int) int {
	bits := -1
	for _, subnet := range c.Subnets {
		if subnet.Addr().Is6() == v6 && (bits < 0 || subnet.Bits() < bits) {
			bits = subnet.Bits()
		}
	}
	if bits < 0 {
		return usual
	}
	return bits
}
