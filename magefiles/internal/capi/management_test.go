package capi

import (
	"slices"
	"strings"
	"testing"

	kindconfig "sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

// TestManagementCluster: its node has the engine's socket and the lab's mark.
// Its kubelet accepts cgroup v1 only if the engine has it.
func TestManagementCluster(t *testing.T) {
	t.Parallel()
	m := Management{NodeImage: "node:v1", OwnerFile: "/lab/.caslab/owner/x"}
	for _, m.CgroupV1 = range []bool{false, true} {
		file, err := m.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config := new(kindconfig.Cluster)
		if err := yaml.UnmarshalStrict(file, config); err != nil {
			t.Fatal(err)
		}
		if config.APIVersion != "kind.x-k8s.io/v1alpha4" || config.Kind != "Cluster" {
			t.Errorf("the file is a %s of %s", config.Kind, config.APIVersion)
		}
		if len(config.Nodes) != 1 || config.Nodes[0].Image != m.NodeImage {
			t.Fatalf("nodes %+v", config.Nodes)
		}
		for _, want := range []kindconfig.Mount{
			{HostPath: "/var/run/docker.sock", ContainerPath: "/var/run/docker.sock"},
			{HostPath: m.OwnerFile, ContainerPath: OwnerMount, Readonly: true},
		} {
			if !slices.Contains(config.Nodes[0].ExtraMounts, want) {
				t.Errorf("mounts %+v, without %+v", config.Nodes[0].ExtraMounts, want)
			}
		}
		if patched := strings.Contains(strings.Join(config.KubeadmConfigPatches, ""), "failCgroupV1: false"); patched != m.CgroupV1 {
			t.Errorf("cgroup v1 %t: patches %q", m.CgroupV1, config.KubeadmConfigPatches)
		}
	}
}
