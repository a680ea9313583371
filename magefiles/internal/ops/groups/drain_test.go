package groups

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
)

// waiting has a machine that is being deleted and waits for a pod on its node, and things that it
// does not wait for.
const waiting = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: web-1, namespace: default, labels: {cluster.x-k8s.io/deployment-name: work-cluster-md-0}, deletionTimestamp: "2026-11-27T15:00:00Z", finalizers: [machine]}
spec: {clusterName: work-cluster}
status:
  nodeRef: {name: worker}
  conditions: [{type: Deleting, status: "True", reason: DrainingNode, message: "Drain not completed yet (started at 2026-11-27T15:00:00Z):\n* Pod default/web: cannot evict"}]
---
{apiVersion: cluster.x-k8s.io/v1beta2, kind: Machine, metadata: {name: other, namespace: default, deletionTimestamp: "2026-11-27T15:00:00Z", finalizers: [machine]}, spec: {clusterName: work-cluster}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default, labels: {app: web}}, spec: {nodeName: worker, containers: [{name: c}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: elsewhere, namespace: default, labels: {app: web}}, spec: {nodeName: cp, containers: [{name: c}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: agent, namespace: default, ownerReferences: [{kind: DaemonSet, name: agent, controller: true}]}, spec: {nodeName: worker, containers: [{name: c}]}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: keep, namespace: default}, spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}, status: {currentHealthy: 1, desiredHealthy: 1, expectedPods: 1}}
`

// TestDeletionThatWaits: after some seconds, the user is told once which pod and which budget hold
// the deletion of a machine.
func TestDeletionThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, nil)
		s.server.Edit(kube.MachineDeployments, "default", "work-cluster-md-0", func(o *unstructured.Unstructured) {
			o.SetLabels(map[string]string{capi.GroupLabel: "work-cluster-md-0"})
		})
		s.server.PutYAML(waiting)
		time.AfterFunc(patience-time.Second, func() {
			if logged := s.lab.Logged.String(); strings.Contains(logged, "!") {
				t.Errorf("it was told too soon:\n%s", logged)
			}
		})
		time.AfterFunc(3*patience+time.Second, func() { s.server.Remove(kube.Machines, "default", "web-1") })
		if err := s.Delete(testContext(t), "work-cluster-md-0"); err != nil {
			t.Fatal(err)
		}
		logged := s.lab.Logged.String()
		for _, want := range []string{
			"! the deletion of its Machine web-1 began at ", "waits for Cluster API's drain of the node: Drain not completed yet",
			"\n    default/web: its PodDisruptionBudget keep allows no eviction: minAvailable is 1 (healthy: 1 of 1 pod, needed: 1); it needs one more healthy pod",
		} {
			if strings.Count(logged, want) != 1 {
				t.Errorf("want once %q:\n%s", want, logged)
			}
		}
		for _, bad := range []string{"elsewhere", "agent", "other"} {
			if strings.Contains(logged, bad) {
				t.Errorf("it says %s:\n%s", bad, logged)
			}
		}
	})
}

// TestDeletionThatWaitsUnseen: the machine says what its deletion waits for also to users who may
// not read all pods, or all budgets.
func TestDeletionThatWaitsUnseen(t *testing.T) {
	t.Parallel()
	for denied, want := range map[string]string{
		"pods":                 "\n    Pod default/web: cannot evict",
		"poddisruptionbudgets": "\n    default/web: it has not been evicted yet",
	} {
		s := newFixture(t, nil)
		s.server.PutYAML(waiting)
		s.server.Intercept(func(q kubetest.Request) error {
			if q.Resource == denied {
				return apierrors.NewForbidden(schema.GroupResource{Resource: denied}, "", errors.New("no right"))
			}
			return nil
		})
		text, err := s.waits(t.Context(), s.cluster, "work-cluster-md-0")
		if err != nil || !strings.Contains(text, "waits for Cluster API's drain of the node: Drain not completed yet") || !strings.Contains(text, want) {
			t.Errorf("without %s: %s, %v; want %s", denied, text, err, want)
		}
	}
}
