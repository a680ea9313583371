package actions_test

import (
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"caslab/magefiles/internal/kube"
	"caslab/magefiles/internal/kube/kubetest"
	"caslab/magefiles/internal/scenario"
	"caslab/magefiles/internal/scenario/actions"
)

var kinds = []schema.GroupVersionKind{
	kube.Pods.WithVersion("v1"), kube.Nodes.WithVersion("v1"), kube.Deployments.WithVersion("v1"), kube.Budgets.WithVersion("v1"),
	kube.Clusters.WithVersion("v1beta2"), kube.MachineDeployments.WithVersion("v1beta2"), kube.Machines.WithVersion("v1beta2"),
}

// leftByAnother is what a scenario left: a budget, a Deployment of its objects, and its pod in
// another namespace, which takes long to end.
const leftByAnother = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: work, namespace: default}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: guard, namespace: default, labels: {caslab.local/scenario: x}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: slow, namespace: default, labels: {caslab.local/scenario: x}}
---
apiVersion: v1
kind: Pod
metadata: {name: slow-1, namespace: other, labels: {caslab.local/scenario: x}}
spec: {terminationGracePeriodSeconds: 600}
---
apiVersion: v1
kind: Pod
metadata: {name: theirs, namespace: other}
`

// TestCleanUpKillsPods: the objects of scenarios go first, and pods are not given the time
// that they have to end.
func TestCleanUpKillsPods(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := kubetest.New(t, kinds, leftByAnother)
		var mu sync.Mutex
		var deleted []string
		server.Intercept(func(q kubetest.Request) error {
			if q.Verb != "delete" {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			deleted = append(deleted, q.Resource+"/"+q.Name)
			var o metav1.DeleteOptions
			if err := json.Unmarshal(q.Body, &o); err != nil {
				return err
			}
			if now := o.GracePeriodSeconds != nil && *o.GracePeriodSeconds == 0; now != (q.Resource == "pods") {
				t.Errorf("%s is deleted at once: %t", q.Name, now)
			}
			return nil
		})
		client := server.Client()
		c := actions.New(actions.Options{
			Workload: client, Management: client, Namespace: "default", Cluster: "work", PodNamespace: "default", Prefix: "sc-", Now: time.Now,
		}, &scenario.Scenario{Name: "s"}, nil)
		if err := c.CleanUp(t.Context(), func(string) {}); err != nil {
			t.Fatal(err)
		}
		if want := []string{"poddisruptionbudgets/guard", "deployments/slow", "pods/slow-1"}; !slices.Equal(deleted, want) {
			t.Errorf("deleted %v, want %v", deleted, want)
		}
		if server.Get(kube.Pods, "other", "theirs") == nil {
			t.Error("a pod of nobody's scenario was deleted")
		}
	})
}
