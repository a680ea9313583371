package capi

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	version "github.com/hashicorp/go-version"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	controlplanev1 "sigs.k8s.io/cluster-api/api/controlplane/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/yaml"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/kube"
)

func releaseOf(tag string) release.Release { return release.Of(version.Must(version.NewSemver(tag))) }

func example() Cluster {
	return Cluster{
		Release: releaseOf("1.14.2"),
		Name:    "work-cluster", Namespace: "default", Kubernetes: "v1.36.1", Workers: 2,
		NodeImage: "caslab.local/node:v1.36.1-abc", LoadBalancer: release.LoadBalancer{Repository: "caslab.local", Tag: "0123456789"},
		PodCIDR: "10.244.0.0/14", ServiceCIDR: "10.96.0.0/16", OwnerFile: "/lab/.caslab/owner/work-cluster",
	}
}

// objectsOf returns the objects of the cluster's manifest.
func objectsOf(t *testing.T, c Cluster) []*unstructured.Unstructured {
	t.Helper()
	manifest, err := c.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := kube.Decode(manifest)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestManifest(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Cluster){
		"v1beta2-cgroup-v2": func(*Cluster) {},
		"v1beta2-cgroup-v1": func(c *Cluster) { c.CgroupV1 = true },
		"v1beta1-v1.10":     func(c *Cluster) { c.Release = releaseOf("1.10.10") },
		"v1beta1-v1.8":      func(c *Cluster) { c.Release, c.CgroupV1 = releaseOf("1.8.12"), true },
		"v1beta1-v1.5":      func(c *Cluster) { c.Release = releaseOf("1.5.8") },
		"v1beta1-v1.1":      func(c *Cluster) { c.Release, c.Kubernetes, c.Cgroupfs = releaseOf("1.1.6"), "v1.23.17", true },
		"v1alpha4-v0.4.8":   func(c *Cluster) { c.Release, c.Kubernetes, c.Cgroupfs = releaseOf("0.4.8"), "v1.21.14", true },
		"v1alpha4-v0.4.0":   func(c *Cluster) { c.Release, c.Kubernetes, c.Cgroupfs = releaseOf("0.4.0"), "v1.21.14", true },
		"v1alpha3":          func(c *Cluster) { c.Release, c.Kubernetes, c.Cgroupfs = releaseOf("0.3.5"), "v1.17.2", true },
	} {
		c := example()
		change(&c)
		got, err := c.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name+".yaml", string(got))
	}
}

// TestProxyLeavesConntrack: the cluster's template configures kube-proxy exactly if the
// release's Docker provider does not.
func TestProxyLeavesConntrack(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]bool{"0.3.5": true, "0.3.17": true, "0.3.18": false, "0.3.25": false, "0.4.8": false, "1.14.2": false} {
		c := example()
		c.Release = releaseOf(tag)
		manifest, err := c.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(manifest), "conntrack: {maxPerCore: 0}"); got != want {
			t.Errorf("v%s configures kube-proxy: %t", tag, got)
		}
	}
}

// TestKubeletsOfNodes: where the Docker provider does not prepare the kubelet's arguments,
// the template does, for the first node, further control planes and workers.
func TestKubeletsOfNodes(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"0.3.5", "0.3.25", "0.4.0", "0.4.8", "1.0.5", "1.4.4", "1.8.10"} {
		c := example()
		c.Release = releaseOf(tag)
		registrations := 0
		for _, o := range objectsOf(t, c) {
			for _, path := range [][]string{
				{"spec", "kubeadmConfigSpec", "initConfiguration"}, {"spec", "kubeadmConfigSpec", "joinConfiguration"},
				{"spec", "template", "spec", "joinConfiguration"},
			} {
				registration, found, _ := unstructured.NestedMap(o.Object, append(path, "nodeRegistration")...)
				if !found {
					continue
				}
				registrations++
				if socket := registration["criSocket"]; !strings.HasSuffix(fmt.Sprint(socket), "/run/containerd/containerd.sock") {
					t.Errorf("v%s: %s: kubeadm uses the runtime %v", tag, o.GetName(), socket)
				}
				args, _, _ := unstructured.NestedStringMap(registration, "kubeletExtraArgs")
				if args["fail-swap-on"] != "false" || args["image-gc-high-threshold"] != "100" {
					t.Errorf("v%s: %s: the kubelet's arguments are %v", tag, o.GetName(), args)
				}
			}
		}
		if registrations != 3 {
			t.Errorf("v%s: %d of 3 kinds of nodes have a nodeRegistration", tag, registrations)
		}
	}
}

// TestValuesReachTheObjects: no value is cut off or read as another YAML type, in any
// contract.
func TestValuesReachTheObjects(t *testing.T) {
	t.Parallel()
	for tag, machine := range map[string][]string{
		"0.3.5": {"spec", "template", "spec"}, "0.4.8": {"spec", "template", "spec"}, "1.5.8": {"spec", "template", "spec"},
		"1.10.10": {"spec", "template", "spec"}, "1.14.2": {"spec", "template", "spec", "backend", "docker"},
	} {
		c := example()
		c.Release, c.CgroupV1, c.Cgroupfs = releaseOf(tag), true, true
		c.Name, c.Namespace = "true", "null"
		c.OwnerFile = `/home/mike #1/a: b/"lab"/.caslab/owner/true`
		objects := objectsOf(t, c)
		mounted := 0
		for _, o := range objects {
			if !strings.HasPrefix(o.GetName(), "true") || o.GetNamespace() != "null" {
				t.Errorf("%s: %s is called %q, in the namespace %q", tag, o.GetKind(), o.GetName(), o.GetNamespace())
			}
			mounts, _, _ := unstructured.NestedSlice(o.Object, append(slices.Clone(machine), "extraMounts")...)
			for _, m := range mounts {
				if mount := m.(map[string]any); mount["containerPath"] == OwnerMount {
					mounted++
					if mount["hostPath"] != c.OwnerFile {
						t.Errorf("%s: %s mounts %q, want %q", tag, o.GetName(), mount["hostPath"], c.OwnerFile)
					}
				}
			}
		}
		if mounted != 2 {
			t.Errorf("%s: %d machine templates mount the owner's file, want 2", tag, mounted)
		}
	}
}

// TestContracts: every release that the lab supports has a contract, and an API
// without one is refused.
func TestContracts(t *testing.T) {
	t.Parallel()
	for _, tag := range []string{"0.3.5", "0.4.8", "1.0.5", "1.10.10", "1.11.0", "1.14.2", "1.99.0"} {
		c := example()
		c.Release = releaseOf(tag)
		if _, err := c.Manifest(); err != nil {
			t.Errorf("%s: the manifest is refused: %v", tag, err)
		}
	}
	c := example()
	c.Release.API = "v1alpha2"
	if _, err := c.Manifest(); err == nil || !strings.Contains(err.Error(), "v1alpha2") {
		t.Errorf("the manifest of an API without a contract: %v", err)
	}
}

// TestManifestIsOfItsAPI decodes the objects into Cluster API's own types, and
// fails on a field that they do not have.
func TestManifestIsOfItsAPI(t *testing.T) {
	t.Parallel()
	c := example()
	c.CgroupV1 = true
	objects := objectsOf(t, c)
	into := map[string]func() any{
		"Cluster":               func() any { return new(clusterv1.Cluster) },
		"MachineDeployment":     func() any { return new(clusterv1.MachineDeployment) },
		"KubeadmControlPlane":   func() any { return new(controlplanev1.KubeadmControlPlane) },
		"KubeadmConfigTemplate": func() any { return new(bootstrapv1.KubeadmConfigTemplate) },
	}
	found := 0
	for _, o := range objects {
		make, ok := into[o.GetKind()]
		if !ok {
			continue
		}
		found++
		data, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		object := make()
		if err := yaml.UnmarshalStrict(data, object); err != nil {
			t.Errorf("%s: %v", o.GetKind(), err)
		}
		if kcp, ok := object.(*controlplanev1.KubeadmControlPlane); ok {
			patches := kcp.Spec.KubeadmConfigSpec.InitConfiguration.Patches.Directory
			if file := kcp.Spec.KubeadmConfigSpec.Files[0].Path; filepath.Dir(file) != patches {
				t.Errorf("the patch lies in %s, and kubeadm looks in %s", file, patches)
			}
		}
	}
	if found != len(into) {
		t.Errorf("%d of %d kinds are in the manifest", found, len(into))
	}
}

// TestHAProxyTemplate executes the load balancer's template as the Docker
// provider does.
func TestHAProxyTemplate(t *testing.T) {
	t.Parallel()
	type server struct {
		Address string
		Weight  int
	}
	weighed := map[string]server{"cp-a": {"172.18.0.3", 100}, "cp-b": {"172.18.0.4", 0}}
	for name, tc := range map[string]struct {
		tag     string
		open    bool
		servers any
		golden  string // none if open
	}{
		"default": {"1.14.2", false, weighed, "haproxy.cfg"},
		"v1.8":    {"1.8.12", false, map[string]string{"cp-a": "172.18.0.3", "cp-b": "172.18.0.4"}, "haproxy-v1.8.cfg"},
		"open":    {"1.14.2", true, weighed, ""},
	} {
		text, err := Cluster{Release: releaseOf(tc.tag), Open: tc.open}.haproxyTemplate()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, "reject") == tc.open {
			t.Errorf("%s: connections are refused: %t", name, !tc.open)
		}
		if strings.Contains(text, "bind *:8404") {
			t.Errorf("%s: statistics are published", name)
		}
		tmpl, err := template.New("").Funcs(template.FuncMap{"JoinHostPort": net.JoinHostPort}).Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err = tmpl.Execute(&out, map[string]any{
			"FrontendControlPlanePort": "6443", "BackendControlPlanePort": "6443", "IPv6": false, "BackendServers": tc.servers,
		})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if Refuses(out.Bytes()) == tc.open {
			t.Errorf("%s: Refuses() = %t", name, tc.open)
		}
		if !tc.open {
			golden.Check(t, tc.golden, out.String())
		}
	}
}

// TestHAProxyNetwork: an address counts as one of the load balancer's network if it has the
// bits that all addresses of the network share. With fewer, machines beside a small network
// would be let in, and with more, the gateway of a large one, from which the user's
// connections come, would be refused.
func TestHAProxyNetwork(t *testing.T) {
	t.Parallel()
	for subnets, want := range map[string]string{
		"":                                   "ipmask(16,64)",
		"172.18.0.0/16 fc00:f853:ccd::/64":   "ipmask(16,64)",
		"192.168.16.0/20":                    "ipmask(20,64)",
		"10.0.0.0/8 fd00::/48":               "ipmask(8,48)",
		"10.1.0.0/24 10.2.0.0/22 fd00::/112": "ipmask(22,112)",
	} {
		c := Cluster{Release: releaseOf("1.14.2")}
		for _, subnet := range strings.Fields(subnets) {
			c.Subnets = append(c.Subnets, netip.MustParsePrefix(subnet))
		}
		text, err := c.haproxyTemplate()
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(text, want); n != 2 || strings.Count(text, "ipmask(") != 2 {
			t.Errorf("%s: the rules do not have %s twice:\n%s", subnets, want, text)
		}
	}
}
