package speech

import (
	"slices"
	"testing"
	"time"
)

// TestNames: words that are marked as names, or have the form of generated ones, are names. Ordinary
// words are not, even if an object may have such a name.
func TestNames(t *testing.T) {
	t.Parallel()
	for message, want := range map[string][]string{
		"Failed to list pods: the node group default is no group of workers":                          nil,
		`pods is forbidden: User "system:serviceaccount" cannot list resource "pods" in API group ""`: nil,
		`cannot patch resource "nodes/status" in API group "" at the cluster scope`:                   nil,
		`cannot create resource "pods/eviction" in API group "" in the namespace "default"`:           nil,
		`Get "https://api/api/v1/namespaces/default/pods?limit=500": EOF`:                             nil,
		"Failed to scale-up the group; cluster-autoscaler in kube-system goes on - later.":            nil,
		`Get "https://api:6443/api/v1/namespaces/default/pods/web?limit=500": EOF`:                    {"web"},
		`Put "https://api:6443/api/v1/nodes/worker/status": EOF`:                                      {"worker"},
		`pods "web" not found`:                                                                         {"web"},
		`machinedeployments.cluster.x-k8s.io "web" not found`:                                          {"web", "machinedeployments.cluster.x-k8s.io"},
		`Machine "web" has no providerID`:                                                              {"web"},
		`Machine Pool "web" has no providerIDList`:                                                     {"web"},
		`"Failed to look" pod="default/web" node="worker"`:                                             {"web", "worker", "web"},
		"Failed to check pod default/web: no":                                                          {"web"},
		"Failed to count what work-cluster-md-0-jbskx-07919 uses.":                                     {"work-cluster-md-0-jbskx-07919"},
		"counter for MachineDeployment/default/web isn't greater than 0":                               {"web"},
		"ip-10-0-0-1.ec2.internal, kind-worker, worker2: unreachable (17 times), 10.5 of 100 GiB used": {"ip-10-0-0-1.ec2.internal", "kind-worker", "worker2"},
	} {
		if got := Names(message); !slices.Equal(got, want) {
			t.Errorf("%s: names %q, want %q", message, got, want)
		}
	}
}

// TestProblemsOfNodes: some problems name a node without the word node before the name.
func TestProblemsOfNodes(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"Failed to get node group for worker: no":                        "worker",
		"Failed to find node group for worker: no":                       "worker",
		"Failed to get nodegroup for worker: no":                         "worker",
		"Error while checking node group for node worker: no":            "worker",
		"Failed to get node group for node worker, Skipping DRA":         "worker",
		"Failed to get a nodegroup for node \"worker\": no":              "worker",
		"Failed to check hollow:///default/worker: no":                   "worker",
		"Failed to check docker:////worker: no":                          "worker",
		"Failed to check limits for worker: no":                          "worker",
		"Failed to check utilization thresholds for worker: no":          "worker",
		"Error determining node group for worker: no":                    "worker",
		"Soft taint on worker adding error no":                           "worker",
		"failed to get node info for worker: no":                         "worker",
		"Failed to get template node info for a node group: no":          "",
		"Failed to get node group size: no":                              "",
		"Failed to find nodeInfo for group MachineDeployment/default/md": "",
	} {
		s, ok := Parse("E1124 20:26:26.1  1 a.go:1] " + message).Statement(time.Now())
		if !ok || s.Node != want {
			t.Errorf("%s: %+v, %t, want node %q", message, s, ok, want)
		}
	}
}
