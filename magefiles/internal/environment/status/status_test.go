package status

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

func TestDoubts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		have capi.Versions
		want string
	}{
		{capi.Versions{ClusterAPI: "v1.14.2", Kubernetes: "v1.36.1"}, ""},
		{capi.Versions{ClusterAPI: "v1.14.2"}, ""},
		{capi.Versions{Kubernetes: "v1.38.0"}, ""},
		{capi.Versions{ClusterAPI: "v1.14.2", Kubernetes: "v1.38.0"}, "Kubernetes v1.38.0 is newer"},
		{capi.Versions{ClusterAPI: "v1.14.2", Kubernetes: "v1.32.11"}, "upstream supports Cluster API v1.14.2 on Kubernetes v1.33 to v1.37, but not on v1.32.11"},
	} {
		if got := strings.Join(doubts(tc.have), "\n"); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%+v: %q, want %q", tc.have, got, tc.want)
		}
	}
}

const withHollow = `
{apiVersion: v1, kind: Node, metadata: {name: worker}, status: {conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: a, labels: {caslab.local/machines: hollow}}, status: {conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: b, labels: {caslab.local/machines: hollow}}, status: {conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: c, labels: {caslab.local/machines: hollow}}}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: worker, namespace: default}, spec: {providerID: "docker:////worker", infrastructureRef: {kind: DevMachine}}, status: {phase: Running}}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: a, namespace: default}, spec: {infrastructureRef: {kind: HollowMachine}}, status: {phase: Running}}
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: d, namespace: default}, spec: {infrastructureRef: {kind: HollowMachine}}}
`

// TestHollowOnesAreCounted: hundreds of rows would hide the real nodes and machines.
func TestHollowOnesAreCounted(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t, []schema.GroupVersionKind{
		kube.Nodes.WithVersion("v1"), kube.Machines.WithVersion("v1beta2"), kube.Deployments.WithVersion("v1"), kube.Pods.WithVersion("v1"),
	}, withHollow)
	var printed strings.Builder
	if err := (Cluster{Client: server.Client(), Namespace: "default", Name: "work", Now: time.Now()}).Print(t.Context(), &printed, "self-managed"); err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(printed.String()) {
		if cells := strings.Join(strings.Fields(line), " "); cells != "" {
			rows = append(rows, cells)
		}
	}
	got := strings.Join(rows, "; ")
	for _, want := range []string{
		"worker Ready <none>", "2 hollow nodes Ready; MACHINE", "; 1 hollow nodes NotReady; ", "worker docker:////worker Running", "; 1 hollow machines - -; 1 hollow machines - Running; NODE GROUP",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("printed %s\nwithout %q", got, want)
		}
	}
}
