//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"caslab/magefiles/internal/capi/hollow"
	"caslab/magefiles/internal/engine"
	"caslab/magefiles/internal/kube"
)

// hollowGroup is the name of the group with hollow machines.
const hollowGroup = "hollow"

// hollowNodes returns the names of the hollow nodes that are Ready, sorted.
func hollowNodes(t *testing.T, l lab) []string {
	t.Helper()
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				Conditions []struct{ Type, Status string }
			}
		}
	}
	kubectl(t, l, &list, "get", "nodes", "--selector=caslab.local/machines=hollow")
	var ready []string
	for _, n := range list.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == "Ready" && c.Status == "True" {
				ready = append(ready, n.Metadata.Name)
			}
		}
	}
	slices.Sort(ready)
	return ready
}

// movedGroup is the name of the group whose hollow machine clusterctl moves.
const movedGroup = "moved"

// addsHollowToMove adds a group with one hollow machine to a workload cluster that another cluster
// manages, and returns the UID of its node. The controller runs only until the node is there.
func addsHollowToMove(t *testing.T, pair lab, workload string) string {
	controller := pair.start(t, "hollow:run")
	controller.await(t, "running: Ctrl-C stops it", 5*time.Minute)
	pair.must(t, "nodegroup:add", movedGroup, "1", "2", "-machines=hollow")
	controller.interrupt(t)
	return kubectlWith(t, workload, hollowUIDs...)
}

// hollowUIDs are arguments of kubectl that print the UIDs of the hollow nodes.
var hollowUIDs = []string{"get", "nodes", "--selector=caslab.local/machines=hollow", "--output=jsonpath={.items[*].metadata.uid}"}

// removesMovedHollow finds the node with that UID Ready after the move, and removes its group and
// the controller.
func removesMovedHollow(t *testing.T, l lab, uid string) {
	eventually(t, 2*time.Minute, func() string {
		if got := hollowNodes(t, l); len(got) != 1 {
			return fmt.Sprintf("the hollow node of the group %s Ready: %v", movedGroup, got)
		}
		return ""
	})
	if got := kubectlText(t, l, hollowUIDs...); got != uid {
		t.Errorf("after the move, the hollow nodes have the UIDs %q; want %q", got, uid)
	}
	l.must(t, "nodegroup:delete", movedGroup)
	l.must(t, "hollow:remove")
}

// addsHollow adds a group of two hollow machines, which take a pod that is too large for this
// machine. The pods of the system stay where they really run.
func addsHollow(t *testing.T, l lab, eng *engine.Engine) {
	before := containers(t, eng, name)
	if _, err := l.mage(t, "nodegroup:add", hollowGroup, "0", "2", "-machines=hollow", "-fail=101%"); err == nil || !strings.Contains(err.Error(), "want a share of 0% to 100%") {
		t.Errorf("a share above 100%%: %v", err)
	}
	l.must(t, "nodegroup:add", hollowGroup, "2", "3", "-machines=hollow", "-capacity=cpu=500,memory=8Ti", "-zone=a", "-start=1s±500ms")
	if got := hollowNodes(t, l); len(got) != 2 {
		t.Errorf("the hollow nodes %v are Ready, want 2", got)
	}
	if after := containers(t, eng, name); !slices.Equal(before, after) {
		t.Errorf("hollow machines have containers: before %v, after %v", before, after)
	}
	if out := l.must(t, "nodegroup:list"); !strings.Contains(out, "start=1s±500ms") {
		t.Errorf("nodegroup:list does not say what hollow machines do:\n%s", out)
	}
	l.must(t, "workload:add", "-name="+hollowGroup, "-memory=4Ti", "-selector=topology.kubernetes.io/zone=a")
	eventually(t, time.Minute, func() string {
		if pods := workloadPods(t, l); pods["Running"] != 1 {
			return fmt.Sprintf("a pod Running on a hollow node: %v", pods)
		}
		return ""
	})
	for _, of := range [][]string{{"--all-namespaces", "--selector=cluster.x-k8s.io/provider"}, {"--namespace=kube-system", "--selector=k8s-app=kube-dns"}} {
		var system appsv1.DeploymentList
		kubectl(t, l, &system, append([]string{"get", "deployments"}, of...)...)
		if len(system.Items) == 0 {
			t.Errorf("there is no Deployment with %v", of)
		}
		for i := range system.Items {
			if d := &system.Items[i]; !hollow.StaysAway(&d.Spec.Template.Spec) {
				t.Errorf("pods of %s/%s may come to hollow nodes: %+v", d.Namespace, d.Name, d.Spec.Template.Spec.Affinity)
			}
		}
	}
}

// healthCheck is a MachineHealthCheck of a machine deployment, whose name and cluster it lacks.
const healthCheck = `
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineHealthCheck
metadata: {name: %[1]s, namespace: default}
spec:
  clusterName: %[2]s
  selector: {matchLabels: {cluster.x-k8s.io/deployment-name: %[1]s}}
  checks: {unhealthyNodeConditions: [{type: Ready, status: Unknown, timeoutSeconds: 5}, {type: Ready, status: "False", timeoutSeconds: 5}]}
`

// replacesHollow has the controllers of Cluster API do to hollow machines what they do to others: they
// copy the failure domain, delete the machine that is marked, wait for its deletion hook, and replace
// a machine that a MachineHealthCheck finds unhealthy, and machines whose template changed. The nodes
// have the drivers that the group asks for, and lose their startup taint.
func replacesHollow(t *testing.T, l lab) {
	const (
		group    = "replaced"
		selector = "--selector=cluster.x-k8s.io/deployment-name=" + group
		hook     = "pre-terminate.delete.hook.machine.cluster.x-k8s.io/test"
	)
	l.must(t, "nodegroup:add", group, "2", "3", "-machines=hollow", "-zone=a", "-csi=csi.example.com=5", "-dra=gpu.example.com=1", "-untaint=1s,example.com/agent:NoSchedule")
	machines := machinesOf(t, l, selector)
	if len(machines) != 2 || machines[0].Status.FailureDomain != "a" {
		t.Fatalf("the group has the machines %+v, want two in the failure domain a", machines)
	}
	marked, other := machines[0].Metadata.Name, machines[1].Metadata.Name
	var volumes struct {
		Spec struct {
			Drivers []struct {
				Name        string
				Allocatable struct{ Count int }
			}
		}
	}
	kubectl(t, l, &volumes, "get", "csinode", marked)
	if d := volumes.Spec.Drivers; len(d) != 1 || d[0].Name != "csi.example.com" || d[0].Allocatable.Count != 5 {
		t.Errorf("the node has the CSI drivers %+v", d)
	}
	if slices := kubectlText(t, l, "get", "resourceslices", "--field-selector=spec.nodeName="+marked, "--output=jsonpath={.items[*].spec.driver}"); slices != "gpu.example.com" {
		t.Errorf("the node has the devices of the drivers %q", slices)
	}
	eventually(t, time.Minute, func() string {
		if taints := kubectlText(t, l, "get", "node", marked, "--output=jsonpath={.spec.taints[*].key}"); strings.Contains(taints, "example.com/agent") {
			return "the node loses its startup taint: " + taints
		}
		return ""
	})

	kubectlText(t, l, "annotate", "machines.cluster.x-k8s.io", marked, "cluster.x-k8s.io/delete-machine=yes", hook+"=test")
	kubectlText(t, l, "scale", "machinedeployments.cluster.x-k8s.io", group, "--replicas=1")
	eventually(t, time.Minute, func() string {
		for _, m := range machinesOf(t, l, selector) {
			if m.Metadata.DeletionTimestamp != "" && m.Metadata.Name != marked {
				t.Fatalf("%s is deleted, and %s has the mark", m.Metadata.Name, marked)
			}
			for _, c := range m.Status.Conditions {
				if m.Metadata.Name == marked && c.Type == "Deleting" && c.Reason == "WaitingForPreTerminateHook" {
					return ""
				}
			}
		}
		return "the deletion of " + marked + " waits for the hook"
	})
	if got := hollowNodes(t, l); !slices.Contains(got, marked) {
		t.Errorf("while the deletion of %s waits for the hook, Ready are %v", marked, got)
	}
	kubectlText(t, l, "annotate", "machines.cluster.x-k8s.io", marked, hook+"-")
	eventually(t, time.Minute, func() string {
		if got := hollowNodes(t, l); slices.Contains(got, marked) || !slices.Contains(got, other) {
			return fmt.Sprintf("the node %s is gone: Ready are %v", marked, got)
		}
		return ""
	})

	replaced := func(zone string) func() string {
		return func() string {
			machines := machinesOf(t, l, selector)
			if len(machines) != 1 || machines[0].Metadata.Name == other || machines[0].Status.FailureDomain != zone || !slices.Contains(hollowNodes(t, l), machines[0].Metadata.Name) {
				return fmt.Sprintf("a new machine instead of %s in the zone %s: %+v", other, zone, machines)
			}
			other = machines[0].Metadata.Name
			return ""
		}
	}
	cluster, err := kube.Open(strings.TrimSpace(l.must(t, "env:kubeconfig")))
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Apply(t.Context(), fmt.Appendf(nil, healthCheck, group, name)); err != nil {
		t.Fatal(err)
	}
	kubectlText(t, l, "annotate", "hollowmachines", other, "caslab.local/hollow-state=failed")
	eventually(t, 5*time.Minute, replaced("a"))
	kubectlText(t, l, "delete", "machinehealthchecks.cluster.x-k8s.io", group)

	l.must(t, "nodegroup:set", group, "1", "3", "-zone=b")
	eventually(t, 2*time.Minute, replaced("b"))
	l.must(t, "nodegroup:delete", group)
}

// removesHollow finds the nodes of addsHollow Ready, although every container was stopped
// meanwhile, and removes all that is hollow.
func removesHollow(t *testing.T, l lab) {
	eventually(t, 2*time.Minute, func() string {
		if got := hollowNodes(t, l); len(got) != 2 {
			return fmt.Sprintf("2 hollow nodes Ready: %v", got)
		}
		return ""
	})
	if _, err := l.mage(t, "hollow:remove"); err == nil || !strings.Contains(err.Error(), "nodegroup:delete "+hollowGroup) {
		t.Errorf("hollow:remove beside a group: %v", err)
	}
	l.must(t, "workload:delete", "-name="+hollowGroup)
	l.must(t, "nodegroup:delete", hollowGroup)
	if got := hollowNodes(t, l); len(got) > 0 {
		t.Errorf("the hollow nodes %v are left", got)
	}
	l.must(t, "hollow:remove")
}
