package grouptable

import (
	"errors"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi/capitest"
	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

// TestRecordedGroups: the table has the groups of each release, with their sizes.
func TestRecordedGroups(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"v0.3.5-up":       "row-md-0 docker - - 1 1 - - - -; work-md-1 docker 1 4 1 1 - - - -",
		"v0.4.8-up":       "row-md-0 docker - - 1 1 - - - -",
		"v1.0.5-up":       "row-md-0 docker - - 1 1 - - - -",
		"v1.8.12-up":      "row-md-0 docker - - 1 1 - - - -",
		"v0.3.5-scaling":  "row-md-0 docker - - 1 1 - - - -; sc-web docker 1 3 2 2 cpu=2,memory=24684084Ki caslab.local/pool=sc-web - -; work-md-1 docker 1 4 2 2 - - - -",
		"v0.4.8-scaling":  "row-md-0 docker - - 1 1 - - - -; sc-web docker 1 3 1 1 cpu=2,memory=24684084Ki caslab.local/pool=sc-web - -",
		"v1.0.5-scaling":  "row-md-0 docker - - 1 1 - - - -; sc-web docker 1 3 1 1 cpu=2,memory=24684084Ki caslab.local/pool=sc-web - -",
		"v1.8.12-scaling": "row-md-0 docker - - 1 1 - - - -; sc-web docker 0 2 2 2 cpu=2,memory=24684084Ki caslab.local/pool=sc-web - -",
	}
	for _, r := range slices.Concat(capitest.At(t, capitest.Up), capitest.At(t, capitest.Scaling)) {
		var printed strings.Builder
		if err := Write(t.Context(), &printed, r.Server(t).Client(), "default", capitest.Cluster); err != nil {
			t.Fatal(err)
		}
		var rows []string
		for line := range strings.Lines(printed.String()) {
			rows = append(rows, strings.Join(strings.Fields(line), " "))
		}
		if got := strings.Join(rows[1:], "; "); got != want[r.Name()] {
			t.Errorf("%s: %s, want %s", r.Name(), got, want[r.Name()])
		}
	}
}

// TestMachinePools: those of the cluster are in the table.
func TestMachinePools(t *testing.T) {
	t.Parallel()
	const pool = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachinePool
metadata:
  name: POOL
  namespace: default
  annotations: {cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size: "1", cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size: "3"}
spec:
  clusterName: CLUSTER
  replicas: 2
  template: {spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DockerMachinePool, name: pool}}}
`
	objects := strings.NewReplacer("POOL", "pool", "CLUSTER", "work").Replace(pool) + "---" + strings.NewReplacer("POOL", "other", "CLUSTER", "another").Replace(pool)
	server := kubetest.New(t, []schema.GroupVersionKind{kube.MachineDeployments.WithVersion("v1beta2"), kube.MachinePools.WithVersion("v1beta2")}, objects)
	var printed strings.Builder
	if err := Write(t.Context(), &printed, server.Client(), "default", "work"); err != nil {
		t.Fatal(err)
	}
	_, rows, _ := strings.Cut(printed.String(), "\n")
	if got, want := strings.Join(strings.Fields(rows), " "), "pool docker pool 1 3 2 0 - - - -"; got != want {
		t.Errorf("the table has %q, want %q", got, want)
	}
}

// TestNoRightToListMachinePools: the other groups are in the table. A kind may also be gone that
// the API server still announces.
func TestNoRightToListMachinePools(t *testing.T) {
	t.Parallel()
	pools := schema.GroupResource{Group: kube.MachinePools.Group, Resource: "machinepools"}
	for said, refusal := range map[string]error{
		"Machine pools are not in the table": apierrors.NewForbidden(pools, "", errors.New("no")),
		"":                                   apierrors.NewNotFound(pools, ""),
	} {
		server := kubetest.New(t, []schema.GroupVersionKind{kube.MachineDeployments.WithVersion("v1beta2"), kube.MachinePools.WithVersion("v1beta2"), hollow.Templates.WithVersion("v1beta2")}, hollowGroup)
		server.Intercept(func(r kubetest.Request) error {
			if r.Resource == "machinepools" {
				return refusal
			}
			return nil
		})
		var printed strings.Builder
		err := Write(t.Context(), &printed, server.Client(), "default", "work")
		if err != nil || !strings.Contains(printed.String(), "\ngpu") || !strings.Contains(printed.String(), said) || said == "" && strings.Contains(printed.String(), "not in the table") {
			t.Errorf("Write() = %v, with\n%s", err, printed.String())
		}
	}
}

const hollowGroup = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata:
  name: gpu
  namespace: default
  annotations: {capacity.cluster-autoscaler.kubernetes.io/cpu: "8", capacity.cluster-autoscaler.kubernetes.io/labels: caslab.local/machines=hollow}
spec:
  clusterName: work
  replicas: 2
  template: {spec: {infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: HollowMachineTemplate, name: gpu}}}
---
apiVersion: infrastructure.cluster.x-k8s.io/v1beta2
kind: HollowMachineTemplate
metadata: {name: gpu, namespace: default}
spec:
  template:
    spec:
      node: {capacity: {cpu: "8", memory: 32Gi}, late: {nvidia.com/gpu: "4"}}
      lifecycle: {start: 30s, startJitter: 10s, lateAfter: 1m0s, fail: 10%}
`

// TestHollowGroup: the template tells what the nodes have and do, and no annotation does. While
// the group is deleted, its template may be gone.
func TestHollowGroup(t *testing.T) {
	t.Parallel()
	server := kubetest.New(t, []schema.GroupVersionKind{kube.MachineDeployments.WithVersion("v1beta2"), hollow.Templates.WithVersion("v1beta2")}, hollowGroup)
	for _, want := range []string{
		"gpu hollow - - 2 0 cpu=8,memory=32Gi,nvidia.com/gpu=4 caslab.local/machines=hollow - start=30s±10s fail=10% late=1m,nvidia.com/gpu",
		"gpu hollow - - 2 0 cpu=8 caslab.local/machines=hollow - -",
	} {
		var printed strings.Builder
		if err := Write(t.Context(), &printed, server.Client(), "default", "work"); err != nil {
			t.Fatal(err)
		}
		_, row, _ := strings.Cut(printed.String(), "\n")
		if got := strings.Join(strings.Fields(row), " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		server.Remove(hollow.Templates, "default", "gpu")
	}
}
