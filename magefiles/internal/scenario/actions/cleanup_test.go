package actions_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
		c, server := newCleanUp(t, "")
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

// newCleanUp returns a cluster with what another scenario left.
func newCleanUp(t *testing.T, more string) (*actions.Cluster, *kubetest.Server) {
	t.Helper()
	server := kubetest.New(t, kinds, leftByAnother+more)
	client := server.Client()
	return actions.New(actions.Options{
		Workload: client, Management: client, Namespace: "default", Cluster: "work", PodNamespace: "default", Prefix: "sc-", Now: time.Now,
	}, &scenario.Scenario{Name: "s"}, nil), server
}

// TestCleanUpBesideOthers: it removes what this scenario created, and what an earlier one left under
// its prefix, but nothing of a scenario that runs at the same time.
func TestCleanUpBesideOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, server := newCleanUp(t, `
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: own, namespace: default, labels: {caslab.local/scenario: s}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: sc-1-left, namespace: default, labels: {caslab.local/scenario: earlier}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: theirs, namespace: default, labels: {cluster.x-k8s.io/deployment-name: sc-2-web}, annotations: {pre-terminate.delete.hook.machine.cluster.x-k8s.io/caslab-scenario: ""}}
`)
		client := server.Client()
		c := actions.New(actions.Options{
			Workload: client, Management: client, Namespace: "default", Cluster: "work", PodNamespace: "default", Prefix: "sc-1-", Shared: true, Now: time.Now,
		}, &scenario.Scenario{Name: "s"}, nil)
		if err := c.CleanUp(t.Context(), func(string) {}); err != nil {
			t.Fatal(err)
		}
		for name, left := range map[string]bool{"own": false, "sc-1-left": false, "guard": true} {
			if got := server.Get(kube.Budgets, "default", name) != nil; got != left {
				t.Errorf("the budget %s is left: %t, want %t", name, got, left)
			}
		}
		if server.Get(kube.Pods, "other", "slow-1") == nil {
			t.Error("a pod of another scenario was killed")
		}
		if len(server.Get(kube.Machines, "default", "theirs").GetAnnotations()) != 1 {
			t.Error("a machine that another scenario holds was released")
		}
	})
}

// TestCleanUpWithoutManagers: a clean-up that may not list the managers still removes the rest.
func TestCleanUpWithoutManagers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, server := newCleanUp(t, "")
		server.Intercept(func(q kubetest.Request) error {
			if q.Verb == "list" && q.Resource == "deployments" {
				return apierrors.NewForbidden(schema.GroupResource{Resource: "deployments"}, "", nil)
			}
			return nil
		})
		if err := c.CleanUp(t.Context(), func(string) {}); !apierrors.IsForbidden(err) {
			t.Errorf("%v, want why nobody looked for managers", err)
		}
		if server.Get(kube.Budgets, "default", "guard") != nil || server.Get(kube.Pods, "other", "slow-1") != nil {
			t.Error("a budget or a pod is left")
		}
	})
}

// TestLeftoversThatHoldUpOthers: managers are started first, and objects that cannot be deleted are
// released before they are deleted.
func TestLeftoversThatHoldUpOthers(t *testing.T) {
	t.Parallel()
	c, _ := newCleanUp(t, `
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: capi, namespace: capi-system, labels: {cluster.x-k8s.io/provider: cluster-api}, annotations: {caslab.local/stopped-by-scenario: "1"}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: sc-web, namespace: default, labels: {caslab.local/scenario: x}, annotations: {cluster.x-k8s.io/paused: "true"}}
spec: {clusterName: work}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: sc-web-a, namespace: default, annotations: {pre-terminate.delete.hook.machine.cluster.x-k8s.io/caslab-scenario: x}}
`)
	found := c.Leftovers(t.Context(), errors.New("stopped"))
	before := slices.IndexFunc(found.Commands, func(command string) bool { return strings.HasPrefix(command, "kubectl delete") })
	want := []string{
		"kubectl -n capi-system scale deployment capi --replicas=1",
		"kubectl -n default annotate MachineDeployment.cluster.x-k8s.io sc-web cluster.x-k8s.io/paused-",
		"kubectl -n default annotate Machine.cluster.x-k8s.io sc-web-a pre-terminate.delete.hook.machine.cluster.x-k8s.io/caslab-scenario-",
	}
	if before < 0 || !slices.Equal(found.Commands[:before], want) || found.Unseen != nil {
		t.Errorf("%v\n%s\nwant first\n%s", found.Unseen, strings.Join(found.Commands, "\n"), strings.Join(want, "\n"))
	}
}
