package explain

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/timelinetest"
)

// cluster builds a record with shapes: a group web of two nodes, of which one is asked about.
type cluster struct {
	*timelinetest.Builder
	node, other string
}

// shaped adds the shape of an object.
func (c *cluster) shaped(at float64, kind timeline.Kind, name, group, node string, what any) {
	c.Add(at, timeline.Fact{Kind: kind, What: timeline.Shaped, Name: name, UID: string(kind[:1]) + "-" + name, Group: group, Node: node, Shape: shape.Encode(what), Source: timeline.Watch})
}

func newCluster(least int) *cluster {
	c := &cluster{Builder: timelinetest.New()}
	nodes := c.Group("web", least, 4, 2)
	c.node, c.other = nodes[0], nodes[1]
	c.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
	c.Log(1, "Cluster Autoscaler 1.36.1")
	c.Add(1.5, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Source: timeline.Log, Shape: shape.Encode(shape.Autoscaler{
		Flags: map[string]string{"scale-down-unneeded-time": "2m0s", "scale-down-delay-after-add": "10m0s", "v": "4"},
	})})
	c.shaped(2, timeline.Group, "web", "web", "", shape.Group{Namespace: "default", Annotations: map[string]string{
		"cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size": string(rune('0' + least)), "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "4",
	}})
	for _, node := range nodes {
		c.shaped(2, timeline.Node, node, "web", "", shape.Node{Labels: map[string]string{corev1.LabelHostname: node}, Allocatable: requests("4", "8Gi")})
		c.shaped(2, timeline.Machine, node, "web", node, shape.Machine{})
		c.pod(2, "kube-system/agent-"+node[len(node)-5:], node, shape.Pod{Owner: &shape.Owner{Kind: "DaemonSet", Name: "agent"}, Requests: requests("200m", "256Mi")})
	}
	c.Add(2, timeline.Fact{Kind: timeline.Budget, What: timeline.Shaped, Source: timeline.Watch})
	return c
}

// pod adds a pod that runs on a node.
func (c *cluster) pod(at float64, name, node string, p shape.Pod) {
	c.shaped(at, timeline.Pod, name, "", node, p)
}

// on adds a fact about the node.
func (c *cluster) on(at float64, kind timeline.Kind, what, text string) {
	c.Add(at, timeline.Fact{Kind: kind, What: what, Name: c.node, UID: string(kind[:1]) + "-" + c.node, Group: "web", Text: text, Source: timeline.Watch})
}

func requests(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

// TestExplainRecordedNodes compares the answers about nodes of a real cluster with testdata.
// One is in no node group; another one became needed while the autoscaler deleted it, and
// what the autoscaler says of its utilisation is what the facts say.
func TestExplainRecordedNodes(t *testing.T) {
	t.Parallel()
	for file, node := range map[string]string{"node-recorded.txt": "facts-full-bz52k-xmx6n", "node-outside.txt": "facts-md-0-d4psx-68m8q"} {
		got, err := Text(t.Context(), recorded(t, "01:12:12"), "node/"+node, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		golden.Check(t, file, got)
		if file == "node-recorded.txt" && (!strings.Contains(got, "Why it stays: 91% of cpu is requested, ") || !strings.Contains(got, "cpu requested (91% of allocatable)")) {
			t.Errorf("facts and lines differ:\n%s", got)
		}
	}
}

// TestExplainByTheLastShapes: what was recorded after the last event counts too.
func TestExplainByTheLastShapes(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	c.pod(200, "default/bare", c.node, shape.Pod{})
	got, err := Text(t.Context(), c.Record(), "node/"+c.node, Options{})
	if want := "Why it stays: default/bare blocks its removal: "; err != nil || !strings.Contains(got, want) {
		t.Errorf("%v: want %s:\n%s", err, want, got)
	}
}

// TestExplainAMachineByItsParts: the answer about a machine without a node tells what its infrastructure
// machine and its bootstrap config report, until they no longer do.
func TestExplainAMachineByItsParts(t *testing.T) {
	t.Parallel()
	for recovered, want := range map[bool]string{
		false: "\nWhy there is no node: it has had no node for 9m40s: its DockerMachine reports ContainerProvisioned: no image; its KubeadmConfig reports DataSecretAvailable: waits.\n  (as of 22:10:00, from its Machine, DockerMachine, KubeadmConfig)\n",
		true:  "\nWhy there is no node: it has had no node for 9m40s: its DockerMachine reports ContainerProvisioned: no image.\n  (as of 22:10:00, from its Machine, DockerMachine)\n",
	} {
		c := newCluster(0)
		const name = "work-cluster-web-jbskx-00001"
		c.Add(20, timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: name, UID: "m-" + name, Group: "web", Source: timeline.Watch})
		c.shaped(21, timeline.Machine, name, "web", "", shape.Machine{Problems: []string{"InfrastructureReady: 0 of 2 completed"}})
		c.shaped(22, timeline.InfrastructureMachine, "DockerMachine/"+name, "", "", shape.External{Machine: name, Problems: []string{"ContainerProvisioned: no image"}})
		c.shaped(23, timeline.BootstrapConfig, "KubeadmConfig/"+name, "", "", shape.External{Machine: name, Problems: []string{"DataSecretAvailable: waits"}})
		if recovered {
			c.Add(30, timeline.Fact{Kind: timeline.BootstrapConfig, What: timeline.Shaped, Name: "KubeadmConfig/" + name, UID: "b-KubeadmConfig/" + name, Source: timeline.Watch})
		}
		c.on(600, timeline.Node, timeline.Ready, "")
		if got, err := Text(t.Context(), c.Record(), "node/"+name, Options{}); err != nil || !strings.Contains(got, want) {
			t.Errorf("%v: want %s:\n%s", err, want, got)
		}
	}
}

// TestExplainTellsNamesApart: the name of one node begins with that of another. What is said
// of both belongs to each.
func TestExplainTellsNamesApart(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	nodes := []string{"worker-1", "worker-12"}
	for _, node := range nodes {
		b.Add(1, timeline.Fact{Kind: timeline.Node, What: timeline.Joined, Name: node, UID: node, Group: "web", Source: timeline.Watch})
	}
	said := func(text string) {
		b.Add(5, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Kept, Group: "web", Text: text, Source: timeline.Log})
	}
	said("because worker-1 goes")
	said("because worker-12 goes")
	said("because worker-1 and worker-12 go")
	for node, other := range map[string]string{"worker-1": "worker-12", "worker-12": "worker-1"} {
		got, err := Text(t.Context(), b.Record(), "node/"+node, Options{})
		if err != nil || !strings.Contains(got, "because "+node+" goes") || strings.Contains(got, "because "+other+" goes") || !strings.Contains(got, "because worker-1 and worker-12 go") {
			t.Errorf("%s: %v:\n%s", node, err, got)
		}
	}
}

// TestExplainANodeThatDiscoveryMisses: found on 1.36.1. The autoscaler scales the group, and does
// not take the group's nodes for it.
func TestExplainANodeThatDiscoveryMisses(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	c.Add(1.6, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Source: timeline.Log, Shape: shape.Encode(shape.Autoscaler{Flags: map[string]string{"node-group-auto-discovery": "clusterapi:pool=a"}})})
	c.shaped(3, timeline.Group, "web", "web", "", shape.Group{Labels: map[string]string{"pool": "a"}, Annotations: map[string]string{"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "4"}})
	for what, want := range map[string]string{
		"node/" + c.node: "\nWhy it stays: it is in no node group: the autoscaler does not recognise the nodes of web: their MachineSets lack the label pool=a, which --node-group-auto-discovery wants (MachineSets get labels from the machine template).\n",
		autoscalerWord:   "  web  wants 2; min 0, max 4; the autoscaler does not recognise the nodes of web: ",
	} {
		if got, err := Text(t.Context(), c.Record(), what, Options{}); err != nil || !strings.Contains(got, want) || strings.Contains(got, "What the facts say") {
			t.Errorf("%s: %v: want %q:\n%s", what, err, want, got)
		}
	}
}

// TestExplainACoolDownThatIsOver: a later line says that the autoscaler is in no cool-down.
func TestExplainACoolDownThatIsOver(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	c.Log(65, "Scale down status: lastScaleUpTime=x scaleDownForbidden=true scaleDownInCooldown=true")
	for at, over := range map[float64]bool{50: true, 65: false, 78: true, 200: true} {
		c.Add(at, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Source: timeline.Log, Shape: shape.Encode(shape.Autoscaler{CoolDown: &shape.CoolDown{Add: c.At(-3600), Over: over}})})
	}
	c.on(600, timeline.Node, timeline.Ready, "")
	if got, err := Text(t.Context(), c.Record(), "node/"+c.node, Options{}); err != nil || !strings.Contains(got, "  22:01:05 – 22:01:18       · scaleDownInCooldown=true\n") {
		t.Errorf("%v:\n%s", err, got)
	}
}

// TestExplainANodeThatNoFactKeeps: what the autoscaler says of a node stands for facts that are not on
// record, while its process runs and says nothing else.
func TestExplainANodeThatNoFactKeeps(t *testing.T) {
	t.Parallel()
	const says, nothing = "\nWhy it stays: the autoscaler says: rather odd (no fact on record shows it).\n", "\nWhy it stays: by the facts nothing keeps it, and the autoscaler may remove it in its next loop.\n"
	unneeded := func(c *cluster) {
		c.Log(20, c.node+" is unneeded since "+c.At(20).Format("2006-01-02 15:04:05.999999999 -0700 MST")+" m=+20.1 duration 0s")
	}
	for name, tc := range map[string]struct {
		said func(c *cluster)
		want string
	}{
		"nothing is said": {func(*cluster) {}, nothing},
		"it is said":      {func(c *cluster) { c.Log(100, "Node "+c.node+" cannot be removed: rather odd") }, says},
		"it is said of another node": {
			func(c *cluster) { c.Log(100, "Node "+c.other+" cannot be removed: rather odd") }, nothing,
		},
		"only how long it is unneeded is said": {func(c *cluster) { c.Log(100, c.node+" was unneeded for 1m20s") }, nothing},
		"it was not said again after a decision": {
			func(c *cluster) {
				c.Log(100, "Node "+c.node+" cannot be removed: rather odd")
				c.Log(110, "Scale-up: setting group MachineDeployment/default/other size to 3")
			}, nothing,
		},
		"another process said it": {
			func(c *cluster) {
				c.Log(100, "Node "+c.node+" cannot be removed: rather odd")
				c.Log(110, "Cluster Autoscaler 1.36.1")
			}, nothing,
		},
	} {
		c := newCluster(0)
		for i := range c.Facts {
			if c.Facts[i].Kind == timeline.Autoscaler && c.Facts[i].What == timeline.Shaped {
				c.Facts[i].Shape = shape.Encode(shape.Autoscaler{Flags: map[string]string{"scale-down-unneeded-time": "0s", "scale-down-delay-after-add": "0s"}})
			}
		}
		tc.said(c)
		unneeded(c)
		c.on(21, timeline.Node, timeline.Tainted, "DeletionCandidateOfClusterAutoscaler")
		c.on(200, timeline.Node, timeline.Ready, "")
		got, err := Text(t.Context(), c.Record(), "node/"+c.node, Options{})
		if err != nil || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %v: want %q:\n%s", name, err, tc.want, got)
		}
	}
}

// TestExplainWhenANodeIsLookedAtAgain: only of a node that a pod blocked, and in the format of
// all durations.
func TestExplainWhenANodeIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	const again = "at 22:01:00 a pod blocked it; the autoscaler looks at such a node again after 5m00s (the default of --unremovable-node-recheck-timeout)\n"
	for name, tc := range map[string]struct {
		said    []string
		blocked bool
	}{
		"nothing":      {},
		"a pod":        {[]string{"Node NODE cannot be removed: default/web is not replicated"}, true},
		"no place":     {[]string{"Node NODE is not suitable for removal: can reschedule only 0 out of 1 pods"}, true},
		"in use":       {[]string{"Node NODE unremovable: cpu requested (60% of allocatable) is above the scale-down utilization threshold"}, false},
		"in use since": {[]string{"Node NODE cannot be removed: default/web is not replicated", "Node NODE unremovable: cpu requested (60% of allocatable) is above the scale-down utilization threshold"}, false},
	} {
		c := newCluster(0)
		for i, text := range tc.said {
			c.Log(60+float64(i), strings.Replace(text, "NODE", c.node, 1))
		}
		c.on(120, timeline.Node, timeline.Ready, "")
		got, err := Text(t.Context(), c.Record(), "node/"+c.node, Options{})
		if err != nil || strings.Contains(got, again) != tc.blocked || strings.Contains(got, "looks at such") != tc.blocked {
			t.Errorf("%s: %v:\n%s", name, err, got)
		}
		waits, err := Text(t.Context(), c.Record(), autoscalerWord, Options{})
		if err != nil || strings.Contains(waits, "  recheck  "+c.node+" of web: "+again) != tc.blocked {
			t.Errorf("%s: %v:\n%s", name, err, waits)
		}
	}
}

// TestExplainNodesOfGroups compares the answers about nodes that stay or go with testdata.
// A line about the other node never appears.
func TestExplainNodesOfGroups(t *testing.T) {
	t.Parallel()
	replicas := &shape.Owner{Kind: "ReplicaSet", Name: "web"}
	budget := shape.Budget{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, MinAvailable: "1", Healthy: 1, Desired: 1, Expected: 1}
	cases := map[string]func(c *cluster){
		"blocked": func(c *cluster) {
			c.pod(10, "default/bare", c.node, shape.Pod{Requests: requests("100m", "64Mi")})
			c.pod(10, "default/local", c.node, shape.Pod{Owner: replicas, EmptyDirs: []string{"scratch"}})
			c.pod(10, "default/web", c.node, shape.Pod{Owner: replicas, Labels: map[string]string{"app": "web"}})
			c.shaped(10, timeline.Budget, "default/web", "", "", budget)
			c.Log(60, "Node "+c.node+" cannot be removed: default/bare is not replicated")
			c.Log(60, "Node "+c.other+" cannot be removed: default/else is not replicated")
			c.Log(61, "Skipping scale down on node group MachineDeployment/default/web because "+c.other+" goes")
		},
		"in-use": func(c *cluster) {
			c.pod(10, "default/web", c.node, shape.Pod{Owner: replicas, Requests: requests("1", "6Gi")})
		},
		"counting": func(c *cluster) {
			up := 2
			c.Add(30, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Group: "web", N: &up, Text: "Scale-up: setting group MachineDeployment/default/web size to 2", Source: timeline.Log})
			c.Log(60, c.node+" is unneeded since "+c.At(60).Format("2006-01-02 15:04:05.999999999 -0700 MST")+" m=+61.2 duration 0s")
			c.on(61, timeline.Node, timeline.Tainted, "DeletionCandidateOfClusterAutoscaler")
			c.Log(90, c.node+" was unneeded for 30s")
		},
		"drained": func(c *cluster) {
			c.pod(10, "default/web", c.node, shape.Pod{Owner: replicas, Labels: map[string]string{"app": "web"}})
			c.shaped(10, timeline.Budget, "default/web", "", "", budget)
			c.Log(60, `Scale-down: removing node "`+c.node+`", utilization: {CpuUtil:0.1}, pods to reschedule: web`)
			c.on(60.5, timeline.Node, timeline.Tainted, "ToBeDeletedByClusterAutoscaler")
		},
		"hook": func(c *cluster) {
			c.Log(60, `Scale-down: removing empty node "`+c.node+`"`)
			c.on(60.5, timeline.Node, timeline.Tainted, "ToBeDeletedByClusterAutoscaler")
			c.on(61, timeline.Machine, timeline.Marked, "")
			c.on(62, timeline.Machine, timeline.Phase, "Deleting")
			c.shaped(62, timeline.Machine, c.node, "web", c.node, shape.Machine{Deletion: &shape.Deletion{
				Since: c.At(62), Step: "WaitingForPreDrainHook", Message: "Waiting for pre-drain hooks to succeed (hooks: backup)", Hooks: []string{"pre-drain.delete.hook.machine.cluster.x-k8s.io/backup"},
			}})
		},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		least := 0
		if name == "counting" {
			least = 2
		}
		c := newCluster(least)
		cases[name](c)
		c.Add(120, timeline.Fact{Kind: timeline.Lab, What: timeline.Step, Name: "x", Text: "now", Source: timeline.Own})
		got, err := Text(t.Context(), c.Record(), "node/"+c.node, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		golden.Check(t, "node-"+name+".txt", got)
		if strings.Contains(got, c.other) {
			t.Errorf("the answer about %s speaks of %s:\n%s", c.node, c.other, got)
		}
	}
}
