package fit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/timelinetest"
	"caslab/magefiles/internal/timeline/world"
)

// record makes facts, one second after the other.
type record = timelinetest.Shapes

var start, quantities, sizes = timelinetest.Start, timelinetest.Resources, timelinetest.Sizes

const (
	cpu4     = timelinetest.CPU4
	mem8     = timelinetest.Mem8
	labelled = timelinetest.Labels
	tainted  = timelinetest.Taints
)

// judged returns the judge of a record at a time.
func judged(r record, at time.Time) *Judge { return New(world.At(r, at)) }

// answer returns the verdict on default/p and the only group, as yes or its obstacles with
// their changes.
func answer(t *testing.T, r record) string {
	t.Helper()
	j := judged(r, start.Add(time.Hour))
	return verdict(t, j, j.PodOf("", "default/p"))
}

// verdict is answer for a world.
func verdict(t *testing.T, j *Judge, p *world.Pod) string {
	t.Helper()
	v := j.Verdicts(p)
	if len(v) != 1 {
		t.Fatalf("%d verdicts", len(v))
	}
	if v[0].Takes() {
		return "yes, " + v[0].Basis
	}
	if v[0].Open() {
		return "? " + v[0].Unknown
	}
	var texts []string
	for _, o := range v[0].Obstacles {
		texts = append(texts, o.Text+" → "+o.Change)
	}
	return strings.Join(texts, "\n")
}

// TestVerdicts has one obstacle after the other, each with the smallest change.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	flags := map[string]string{"node-group-auto-discovery": "[clusterapi:namespace=default,clusterName=work]"}
	gold := map[string]string{"node.cluster.x-k8s.io/tier": "gold"}
	affinity := &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "tier", Operator: corev1.NodeSelectorOpIn, Values: []string{"gold", "silver"}}}}},
	}}}
	for name, tc := range map[string]struct {
		size     int
		group    shape.Group
		release  string
		flags    map[string]string
		template *shape.Template
		node     *shape.Node
		pod      shape.Pod
		want     string
	}{
		"it fits": {group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, want: "yes, by its annotations and its template"},
		"it fits as a node that exists": {
			size: 1, group: shape.Group{Annotations: sizes("2")}, node: &shape.Node{}, want: "yes, like its node n",
		},
		"no annotations": {
			group: shape.Group{}, size: 1,
			want: "it has no annotations with a minimum and a maximum → the annotations cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size and cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size",
		},
		"only a maximum is enough": {
			group: shape.Group{Annotations: map[string]string{"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "2", release.CapacityPrefix + "cpu": "4", release.CapacityPrefix + "memory": "8Gi"}},
			want:  "yes, by its annotations and its template",
		},
		"annotations of old releases": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, release: "1.18.0", size: 1,
			want: "it has no annotations with a minimum and a maximum → the annotations cluster.k8s.io/cluster-api-autoscaler-node-group-min-size and cluster.k8s.io/cluster-api-autoscaler-node-group-max-size",
		},
		"maximum 0":                           {group: shape.Group{Annotations: sizes("0", cpu4, mem8)}, want: "its maximum is 0: the autoscaler leaves it out → max to 1"},
		"no number":                           {group: shape.Group{Annotations: sizes("two")}, want: "its annotation cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size=two is no number, with which the autoscaler reads no group at all → a whole number in cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size"},
		"maximum":                             {size: 2, group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, want: "max reached: it wants 2 of at most 2 → max to 3"},
		"discovered by namespace and cluster": {group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, flags: flags, want: "yes, by its annotations and its template"},
		"not discovered": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8), Labels: map[string]string{"pool": "b"}}, flags: map[string]string{"node-group-auto-discovery": "[clusterapi:clusterName=work,pool=a]"},
			want: `--node-group-auto-discovery=[clusterapi:clusterName=work,pool=a] does not match it: it wants pool=a, and the group has "b" → a group, or --node-group-auto-discovery, with which the two match`,
		},
		"discovered by the second": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8), Labels: map[string]string{"pool": "b"}}, flags: map[string]string{"node-group-auto-discovery": "[clusterapi:pool=a,clusterapi:pool=b]"},
			want: "yes, by its annotations and its template",
		},
		"paused": {group: shape.Group{Annotations: sizes("2", cpu4, mem8, "cluster.x-k8s.io/paused=")}, want: "it is paused → no annotation cluster.x-k8s.io/paused"},
		"paused, before the autoscaler knew": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8, "cluster.x-k8s.io/paused=")}, release: "1.35.2", want: "yes, by its annotations and its template",
		},
		"empty, and nobody tells the capacity": {
			group: shape.Group{Annotations: sizes("2")}, template: &shape.Template{},
			want: "it is empty, its annotations tell no cpu and memory, and its template DevMachineTemplate/g tells none → the annotations " + release.CapacityPrefix + "cpu and " + release.CapacityPrefix + "memory",
		},
		"empty, and its template is not on record": {
			group: shape.Group{Annotations: sizes("2")}, want: "? its machine template DevMachineTemplate/g is not on record",
		},
		"empty and full, and its template is not on record": {
			group: shape.Group{Annotations: sizes("0")}, want: "its maximum is 0: the autoscaler leaves it out → max to 1",
		},
		"empty, its template is not on record, and the release cannot read it": {
			group: shape.Group{Annotations: sizes("2")}, release: "1.33.0",
			want: "it is empty, its annotations tell no cpu and memory, and the autoscaler 1.33.0 cannot read its template's status.capacity, because the reference names no version of the API → the annotations " + release.CapacityPrefix + "cpu and " + release.CapacityPrefix + "memory",
		},
		"the template tells it": {group: shape.Group{Annotations: sizes("2")}, template: &shape.Template{Capacity: quantities("cpu=4", "memory=8Gi")}, want: "yes, by its annotations and its template"},
		"the template tells it, and the release cannot read it": {
			group: shape.Group{Annotations: sizes("2")}, template: &shape.Template{Capacity: quantities("cpu=4", "memory=8Gi")}, release: "1.33.0",
			want: "it is empty, its annotations tell no cpu and memory, and the autoscaler 1.33.0 cannot read its template's status.capacity, because the reference names no version of the API → the annotations " + release.CapacityPrefix + "cpu and " + release.CapacityPrefix + "memory",
		},
		"before scale-up from zero": {group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, release: "1.24.3", want: "it is empty, and the autoscaler 1.24.3 enlarges no empty group → the annotations " + release.CapacityPrefix + "cpu and " + release.CapacityPrefix + "memory"},
		"resources": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, pod: shape.Pod{Requests: quantities("cpu=4500m", "memory=8704Mi", "nvidia.com/gpu=1")},
			want: "cpu: 600m missing (it requests 4500m; 3900m of 4 are free) → request 600m less cpu\n" + // kube-proxy requests 100m
				"memory: 512Mi missing (it requests 8704Mi; 8192Mi of 8192Mi are free) → request 512Mi less memory\n" +
				"nvidia.com/gpu: it requests 1, and there is none → request 1 less nvidia.com/gpu",
		},
		"selector": {group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, pod: shape.Pod{NodeSelector: map[string]string{"tier": "gold"}}, want: "selector tier=gold: no such label on the template → label tier=gold on the template"},
		"selector, another value": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8, labelled+"tier=silver")}, pod: shape.Pod{NodeSelector: map[string]string{"tier": "gold"}},
			want: `selector tier=gold: the label is "silver" on the template → label tier=gold on the template`,
		},
		"selector of an annotation": {group: shape.Group{Annotations: sizes("2", cpu4, mem8, labelled+"tier=gold")}, pod: shape.Pod{NodeSelector: map[string]string{"tier": "gold"}}, want: "yes, by its annotations and its template"},
		"selector of an annotation that the release does not read": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8, labelled+"tier=gold")}, release: "1.26.8", pod: shape.Pod{NodeSelector: map[string]string{"tier": "gold"}},
			want: "selector: the group's annotations tell tier=gold, but the autoscaler 1.26.8 reads no labels of an empty group → a minimum of 1, or an autoscaler from 1.27.1 on",
		},
		"taint of an annotation that the release does not read": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8, tainted+"gpu=true:NoSchedule")}, release: "1.26.8", want: "yes, by its annotations and its template",
		},
		"selector of a managed label": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8), NodeLabels: gold}, release: "1.36.1", pod: shape.Pod{NodeSelector: gold},
			want: "selector node.cluster.x-k8s.io/tier=gold: Cluster API would give its nodes that label, but the template that the autoscaler 1.36.1 makes of an empty group lacks it (a bug upstream) → the annotation " + release.CapacityPrefix + "labels: node.cluster.x-k8s.io/tier=gold on the group",
		},
		"selector of a label of all nodes": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, template: &shape.Template{}, release: "1.36.1", pod: shape.Pod{NodeSelector: map[string]string{corev1.LabelOSStable: "linux"}},
			want: "selector kubernetes.io/os=linux: its nodes would have that label, but in the template that the autoscaler 1.36.1 makes of an empty group it has no value, because the infrastructure template has no status.nodeInfo (a bug upstream) → the annotation " +
				release.CapacityPrefix + "labels: kubernetes.io/os=linux on the group, beside its other labels",
		},
		"selectors of such labels, and one that no node has": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8), NodeLabels: gold}, template: &shape.Template{}, release: "1.36.1",
			pod: shape.Pod{NodeSelector: map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: "arm64", "node.cluster.x-k8s.io/tier": "gold", "pool": "b"}},
			want: "selector kubernetes.io/os=linux: its nodes would have that label, but in the template that the autoscaler 1.36.1 makes of an empty group it has no value, because the infrastructure template has no status.nodeInfo (a bug upstream) → the annotation " +
				release.CapacityPrefix + "labels: kubernetes.io/os=linux on the group, beside its other labels\n" +
				"selector node.cluster.x-k8s.io/tier=gold: Cluster API would give its nodes that label, but the template that the autoscaler 1.36.1 makes of an empty group lacks it (a bug upstream) → the annotation " + release.CapacityPrefix + "labels: node.cluster.x-k8s.io/tier=gold on the group\n" +
				`selector kubernetes.io/arch=arm64: the label is "" on the template → label kubernetes.io/arch=arm64 on the template` + "\n" +
				"selector pool=b: no such label on the template → label pool=b on the template",
		},
		"selectors of two labels that the autoscaler does not know": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8), NodeLabels: gold}, template: &shape.Template{}, release: "1.36.1",
			pod: shape.Pod{NodeSelector: map[string]string{corev1.LabelOSStable: "linux", "node.cluster.x-k8s.io/tier": "gold"}},
			want: "selector kubernetes.io/os=linux: its nodes would have that label, but in the template that the autoscaler 1.36.1 makes of an empty group it has no value, because the infrastructure template has no status.nodeInfo (a bug upstream) → the annotation " +
				release.CapacityPrefix + "labels: kubernetes.io/os=linux on the group, beside its other labels\n" +
				"selector node.cluster.x-k8s.io/tier=gold: Cluster API would give its nodes that label, but the template that the autoscaler 1.36.1 makes of an empty group lacks it (a bug upstream) → the annotation " + release.CapacityPrefix + "labels: node.cluster.x-k8s.io/tier=gold on the group",
		},
		"selector of a label that the template tells": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, template: &shape.Template{System: "linux"}, release: "1.36.1", pod: shape.Pod{NodeSelector: map[string]string{corev1.LabelOSStable: "linux"}},
			want: "yes, by its annotations and its template",
		},
		"selector of a label that the annotation tells": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8, labelled+"kubernetes.io/os=linux")}, template: &shape.Template{}, release: "1.36.1", pod: shape.Pod{NodeSelector: map[string]string{corev1.LabelOSStable: "linux"}},
			want: "yes, by its annotations and its template",
		},
		"selector of a label of all nodes, before": {
			group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, template: &shape.Template{Architecture: "arm64"}, release: "1.33.6", pod: shape.Pod{NodeSelector: map[string]string{corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64"}},
			want: "yes, by its annotations and its template",
		},
		"affinity":              {group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, pod: shape.Pod{Affinity: affinity}, want: "node affinity: tier In [gold silver] does not match the labels of the template → labels that match tier In [gold silver] on the template"},
		"affinity that matches": {group: shape.Group{Annotations: sizes("2", cpu4, mem8, labelled+"tier=silver")}, pod: shape.Pod{Affinity: affinity}, want: "yes, by its annotations and its template"},
		"taint":                 {group: shape.Group{Annotations: sizes("2", cpu4, mem8, tainted+"gpu=true:NoSchedule")}, want: "taint gpu=true:NoSchedule is not tolerated → a toleration for gpu"},
		"toleration":            {group: shape.Group{Annotations: sizes("2", cpu4, mem8, tainted+"gpu=true:NoSchedule")}, pod: shape.Pod{Tolerations: []corev1.Toleration{{Key: "gpu", Operator: corev1.TolerationOpExists}}}, want: "yes, by its annotations and its template"},
		"taint of a state that passes": {
			size: 1, group: shape.Group{Annotations: sizes("2")}, node: &shape.Node{Taints: []corev1.Taint{{Key: corev1.TaintNodeMemoryPressure, Effect: corev1.TaintEffectNoSchedule}}}, want: "yes, like its node n",
		},
		"all nodes that there may be": {group: shape.Group{Annotations: sizes("2", cpu4, mem8)}, flags: map[string]string{"max-nodes-total": "1"}, want: "--max-nodes-total=1 is reached with 1 node → --max-nodes-total=2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r record
			r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: tc.release})
			r.Shaped(timeline.Autoscaler, "", "", shape.Autoscaler{Flags: tc.flags})
			r.Group(tc.size, tc.group)
			if tc.template != nil {
				r.Shaped(timeline.Template, "DevMachineTemplate/g", "", *tc.template)
			}
			if tc.node != nil {
				r.Node("n", "g", *tc.node)
			}
			r.Node("another", "", shape.Node{})
			r.Waits(tc.pod)
			if got := answer(t, r); got != tc.want {
				t.Errorf("the verdict is\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

// TestLost: discovery by a label must match the MachineSets too, which have the labels of the
// machine template.
func TestLost(t *testing.T) {
	t.Parallel()
	const byLabel = "[clusterapi:clusterName=work,pool=a]"
	for name, tc := range map[string]struct {
		flag  string
		group shape.Group
		want  string
	}{
		"no flag":              {},
		"by namespace":         {flag: "[clusterapi:namespace=default,clusterName=work]"},
		"by a label":           {flag: byLabel, want: "the autoscaler does not recognise the nodes of g: their MachineSets lack the label pool=a, which --node-group-auto-discovery wants (MachineSets get labels from the machine template)"},
		"by a label of both":   {flag: byLabel, group: shape.Group{NodeLabels: map[string]string{"pool": "a"}}},
		"by the cluster label": {flag: "[clusterapi:cluster.x-k8s.io/cluster-name=work]"},
		"a MachinePool":        {flag: byLabel, group: shape.Group{Kind: "MachinePool"}},
	} {
		var r record
		r.Shaped(timeline.Autoscaler, "", "", shape.Autoscaler{Flags: map[string]string{"node-group-auto-discovery": tc.flag}})
		tc.group.Annotations, tc.group.Labels = sizes("2", cpu4, mem8), map[string]string{"pool": "a", clusterv1.ClusterNameLabel: "work"}
		r.Group(0, tc.group)
		r.Waits(shape.Pod{})
		j := judged(r, start.Add(time.Hour))
		got := ""
		if lost := j.Lost(j.GroupOf("g")); lost != nil {
			got = lost.Text
		}
		notes := j.Verdicts(j.PodOf("", "default/p"))[0].Notes
		if got != tc.want || (len(notes) == 1) != (tc.want != "") {
			t.Errorf("%s: %s\nwant %s, noted in %q", name, got, tc.want, notes)
		}
	}
}

// TestANodeThatIsLostIsNoExample: the autoscaler does not know that it is the group's.
func TestANodeThatIsLostIsNoExample(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]string{"clusterapi:pool=a": "yes, by its annotations and its template", "": "yes, like its node n"} {
		var r record
		r.Shaped(timeline.Autoscaler, "", "", shape.Autoscaler{Flags: map[string]string{"node-group-auto-discovery": flag}})
		r.Group(1, shape.Group{Annotations: sizes("2", cpu4, mem8), Labels: map[string]string{"pool": "a"}})
		r.Node("n", "g", shape.Node{})
		r.Waits(shape.Pod{})
		if got := answer(t, r); got != want {
			t.Errorf("with %q the verdict is %s, want %s", flag, got, want)
		}
	}
}

// TestWhatDaemonSetsUse: the next node of a group has its DaemonSets' pods, whether they are
// known from a node of the group or from another.
func TestWhatDaemonSetsUse(t *testing.T) {
	t.Parallel()
	daemon := func(selector map[string]string) shape.Pod {
		return shape.Pod{Owner: &shape.Owner{Kind: "DaemonSet", Name: "agent"}, Requests: quantities("cpu=500m"), NodeSelector: selector, Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"n"}}}}}},
		}}}
	}
	for name, tc := range map[string]struct {
		size     int
		selector map[string]string
		want     string
	}{
		"of a node of the group": {size: 1, want: "cpu: 500m missing (it requests 4; 3500m of 4 are free) → request 500m less cpu"},
		"of an empty group":      {want: "cpu: 600m missing (it requests 4; 3400m of 4 are free) → request 600m less cpu"},
		"of other nodes only":    {selector: map[string]string{"disk": "ssd"}, want: "cpu: 100m missing (it requests 4; 3900m of 4 are free) → request 100m less cpu"},
	} {
		var r record
		r.Group(tc.size, shape.Group{Annotations: sizes("2", cpu4, mem8)})
		r.Node("n", map[int]string{0: "other", 1: "g"}[tc.size], shape.Node{})
		r.Shaped(timeline.Pod, "kube-system/agent-1", "", daemon(tc.selector))
		r.Add(timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: "kube-system/agent-1", UID: "kube-system/agent-1", Node: "n"})
		r.Waits(shape.Pod{Requests: quantities("cpu=4")})
		if got := answer(t, r); got != tc.want {
			t.Errorf("%s: the verdict is\n%s\nwant\n%s", name, got, tc.want)
		}
	}
}

// TestPodsTakenForDaemonSetsAreNotOnNewNodes: only a DaemonSet gets a pod on every node, not the owner of
// a pod that the autoscaler takes for one of a DaemonSet.
func TestPodsTakenForDaemonSetsAreNotOnNewNodes(t *testing.T) {
	t.Parallel()
	var r record
	r.Group(0, shape.Group{Annotations: sizes("2", cpu4, mem8)})
	r.Node("n", "other", shape.Node{})
	r.Bound("n", map[string]shape.Pod{"default/web-1": {Annotations: map[string]string{shape.AsDaemonSet: "true"}, Owner: &shape.Owner{Kind: "ReplicaSet", Name: "web"}, Requests: quantities("cpu=1")}})
	r.Waits(shape.Pod{Requests: quantities("cpu=3")})
	if got, want := answer(t, r), "yes, by its annotations and its template"; got != want {
		t.Errorf("the verdict is\n%s\nwant\n%s", got, want)
	}
}

// TestDevicesThatAreNotThereYet: a node that lacks the devices of which the group tells is no node
// without devices, and a new node of the group is expected to have them.
func TestDevicesThatAreNotThereYet(t *testing.T) {
	t.Parallel()
	var r record
	r.Group(1, shape.Group{Annotations: sizes("2", cpu4, mem8, release.CapacityPrefix+"gpu-type=nvidia.com/gpu", release.CapacityPrefix+"gpu-count=2")})
	r.Node("n", "g", shape.Node{})
	r.Waits(shape.Pod{Requests: quantities("nvidia.com/gpu=1")})
	j := judged(r, start.Add(time.Hour))
	p := j.PodOf("", "default/p")
	if got := j.Refusals(p); len(got) != 1 || got[0].Text != "nvidia.com/gpu: it requests 1, and there is none yet: the group tells the autoscaler of 2 on each of its nodes" {
		t.Errorf("refused by %+v", got)
	}
	r.Waits(shape.Pod{Requests: quantities("nvidia.com/gpu=3")})
	j = judged(r, start.Add(time.Hour))
	if got := j.Refusals(j.PodOf("", "default/p")); len(got) != 1 || got[0].Text != "nvidia.com/gpu: it requests 3, and there is none" {
		t.Errorf("more than it will have is refused by %+v", got)
	}
}

// TestMoreThanANodeHas: where DaemonSets alone request more than a node has, no amount is
// negative, and the pod need not request more than all of its requests less.
func TestMoreThanANodeHas(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]string{
		0: "cpu: DaemonSets and static pods alone request 5100m, and a node of the group has 4 → nodes with at least 5200m of cpu, or DaemonSets that request less",
		1: "cpu: DaemonSets and static pods alone request 5, and a node of the group has 4 → nodes with at least 5100m of cpu, or DaemonSets that request less",
	} {
		var r record
		r.Group(size, shape.Group{Annotations: sizes("2", cpu4, mem8)})
		r.Node("n", map[int]string{0: "other", 1: "g"}[size], shape.Node{})
		r.Shaped(timeline.Pod, "kube-system/agent-1", "", shape.Pod{Owner: &shape.Owner{Kind: "DaemonSet", Name: "agent"}, Requests: quantities("cpu=5")})
		r.Add(timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: "kube-system/agent-1", UID: "kube-system/agent-1", Node: "n"})
		r.Waits(shape.Pod{Requests: quantities("cpu=100m", "memory=1Gi")})
		if got := answer(t, r); got != want {
			t.Errorf("%d: the verdict is\n%s\nwant\n%s", size, got, want)
		}
		j := judged(r, start.Add(time.Hour))
		if got := j.Refusals(j.PodOf("", "default/p")); len(got) != 1 || got[0].Text != "cpu: its pods request 5 already, and it has 4" {
			t.Errorf("%d: refused by %+v", size, got)
		}
		offer, known := j.Offer(j.GroupOf("g"))
		if !known || offer.Whole != "cpu 4, memory 8192Mi" || len(offer.Overfull) != 1 || !strings.HasPrefix(offer.Overfull[0], "cpu: DaemonSets and static pods alone request 5") {
			t.Errorf("%d: the offer is %+v, %t", size, offer, known)
		}
		// A pod that requests no CPU may run there.
		r.Waits(shape.Pod{Requests: quantities("memory=1Gi")})
		if got := answer(t, r); !strings.HasPrefix(got, "yes") {
			t.Errorf("%d: without a request, the verdict is\n%s", size, got)
		}
	}
}

// TestRoom: what pods that are there request is not free, and what ended requests nothing.
func TestRoom(t *testing.T) {
	t.Parallel()
	var r record
	r.Node("a", "", shape.Node{})
	r.Node("b", "", shape.Node{Taints: []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}}})
	r.Node("c", "", shape.Node{})
	for i, node := range []string{"a", "c"} {
		name := fmt.Sprintf("default/used-%d", i)
		r.Shaped(timeline.Pod, name, "", shape.Pod{Requests: quantities("cpu=3"), HostPorts: []string{"tcp/80"}})
		r.Add(timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: name, UID: name, Node: node})
	}
	r.Waits(shape.Pod{Requests: quantities("cpu=2"), HostPorts: []string{"tcp/80"}})
	room := func() (names []string) {
		j := judged(r, start.Add(time.Hour))
		for _, n := range j.Room(j.PodOf("default/p", "")) {
			names = append(names, n.Name)
		}
		return names
	}
	if got := room(); got != nil {
		t.Errorf("it fits on %q; want no node", got)
	}
	j := judged(r, start.Add(time.Hour))
	if got := j.Refusals(j.PodOf("", "default/p")); len(got) != 2 || !slices.Equal(got[0].Nodes, []string{"a", "c"}) ||
		got[0].Text != "cpu: 1 missing (it requests 2; 1 of 4 are free); host port tcp/80 is in use" || got[1].Text != "taint node.kubernetes.io/unschedulable:NoSchedule is not tolerated" {
		t.Errorf("refused by %+v", got)
	}
	r.Add(timeline.Fact{Kind: timeline.Pod, What: timeline.Ended, Name: "default/used-1", UID: "default/used-1", Node: "c"})
	if got := room(); !slices.Equal(got, []string{"c"}) {
		t.Errorf("it fits on %q, want c alone", got)
	}
}

// TestRoomOfExpendablePods: the autoscaler finds room where expendable pods are, and the scheduler
// finds it only after it has evicted them.
func TestRoomOfExpendablePods(t *testing.T) {
	t.Parallel()
	for priority, want := range map[int32][2]int{-10: {0, 0}, -11: {1, 0}} {
		var r record
		r.Node("a", "", shape.Node{})
		r.Bound("a", map[string]shape.Pod{"default/cheap": {Priority: priority, Requests: quantities("cpu=3"), HostPorts: []string{"tcp/80"}}})
		r.Waits(shape.Pod{Requests: quantities("cpu=2"), HostPorts: []string{"tcp/80"}})
		j := judged(r, start.Add(time.Hour))
		p := j.PodOf("", "default/p")
		if got := [2]int{len(j.Room(p)), len(j.RoomNow(p))}; got != want {
			t.Errorf("beside a pod of priority %d: room on %d nodes, want %d (for the autoscaler, and for the scheduler)", priority, got, want)
		}
	}
}

// TestIgnored: the autoscaler does not look at some pods at all.
func TestIgnored(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		pod      shape.Pod
		unmarked bool
		release  string
		flags    map[string]string
		want     string
	}{
		"none of these":         {},
		"another scheduler":     {pod: shape.Pod{Scheduler: "nobody"}},
		"not marked":            {pod: shape.Pod{Scheduler: "nobody"}, unmarked: true, want: "its scheduler \"nobody\" has not marked it Unschedulable"},
		"not marked, bypassed":  {pod: shape.Pod{Scheduler: "nobody"}, unmarked: true, flags: map[string]string{"bypassed-scheduler-names": "[nobody]"}},
		"not allowed scheduler": {flags: map[string]string{"allowed-scheduler-names": "[mine]"}, want: "its scheduler \"default-scheduler\" is not in --allowed-scheduler-names=[mine]"},
		"priority":              {pod: shape.Pod{Priority: -11}, want: "its priority -11 is below --expendable-pods-priority-cutoff=-10"},
		"priority of the flag":  {pod: shape.Pod{Priority: -11}, flags: map[string]string{"expendable-pods-priority-cutoff": "-20"}},
		"gates":                 {pod: shape.Pod{Gated: true}, unmarked: true, want: "it has scheduling gates"},
		"taken for a DaemonSet's": {
			pod:  shape.Pod{Annotations: map[string]string{shape.AsDaemonSet: "true"}},
			want: "with its annotation cluster-autoscaler.kubernetes.io/daemonset-pod the autoscaler takes it for a pod of a DaemonSet, for which it adds no node",
		},
		"taken for a DaemonSet's, with another owner": {
			pod:  shape.Pod{Annotations: map[string]string{shape.AsDaemonSet: "true"}, Owner: &shape.Owner{Kind: "ReplicaSet", Name: "web"}},
			want: "with its annotation cluster-autoscaler.kubernetes.io/daemonset-pod the autoscaler takes it for a pod of a DaemonSet, for which it adds no node",
		},
		"for a ProvisioningRequest": {
			pod:   shape.Pod{Annotations: map[string]string{consumesRequest[0]: "new", consumesRequest[1]: "old"}},
			flags: map[string]string{"enable-provisioning-requests": "true"}, want: "it consumes the ProvisioningRequest default/new",
		},
		"for a ProvisioningRequest, by the old annotation": {
			pod:   shape.Pod{Annotations: map[string]string{consumesRequest[1]: "old"}},
			flags: map[string]string{"enable-provisioning-requests": "true"}, want: "it consumes the ProvisioningRequest default/old",
		},
		"for a ProvisioningRequest, which the autoscaler does not read": {pod: shape.Pod{Annotations: map[string]string{consumesRequest[0]: "new"}}},
		"nominated for a node": {
			pod:  shape.Pod{Nominated: "n"},
			want: "the scheduler makes room for it on n (status.nominatedNodeName), where the autoscaler counts it already",
		},
		"nominated for a node that is gone": {
			pod:  shape.Pod{Nominated: "gone"},
			want: "the scheduler makes room for it on gone (status.nominatedNodeName), where the autoscaler counts it already",
		},
		"nominated for a node that is gone, in an old release": {pod: shape.Pod{Nominated: "gone"}, release: "1.35.0"},
		"an error of the scheduler":                            {pod: shape.Pod{Untried: "SchedulerError"}, want: `its scheduler "default-scheduler" does not report it Unschedulable, but SchedulerError`},
		"being deleted":                                        {pod: shape.Pod{Deleted: start}, want: "it is being deleted"},
		"too new":                                              {flags: map[string]string{"new-pod-scale-up-delay": "2h0m0s"}, want: "it is 59m56s old, and must be older than 2h00m (--new-pod-scale-up-delay)"},
		"old enough":                                           {flags: map[string]string{"new-pod-scale-up-delay": "10m0s"}},
		"too new by its annotation": {
			pod: shape.Pod{Annotations: map[string]string{scaleUpDelay: "1h"}}, flags: map[string]string{"new-pod-scale-up-delay": "10m0s"},
			want: "it is 59m56s old, and must be older than 1h00m (its annotation " + scaleUpDelay + ")",
		},
		"an annotation below the flag":                 {pod: shape.Pod{Annotations: map[string]string{scaleUpDelay: "1s"}}, flags: map[string]string{"new-pod-scale-up-delay": "2h0m0s"}, want: "it is 59m56s old, and must be older than 2h00m (--new-pod-scale-up-delay)"},
		"an annotation that the release does not read": {pod: shape.Pod{Annotations: map[string]string{scaleUpDelay: "1h"}}, release: "1.25.0"},
		"a DaemonSet": {pod: shape.Pod{Owner: &shape.Owner{Kind: "DaemonSet", Name: "agent"}}, want: "it belongs to the DaemonSet agent, for which the autoscaler adds no node"},
	} {
		var r record
		r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: cmp.Or(tc.release, "1.36.1")})
		r.Shaped(timeline.Autoscaler, "", "", shape.Autoscaler{Flags: tc.flags})
		r.Node("n", "", shape.Node{})
		if r.Waits(tc.pod); tc.unmarked {
			r = r[:len(r)-1]
		}
		j := judged(r, start.Add(time.Hour))
		var texts []string
		for _, o := range j.Ignored(j.PodOf("", "default/p")) {
			texts = append(texts, o.Text)
		}
		if got := strings.Join(texts, "; "); got != tc.want {
			t.Errorf("%s: ignored because %q, want %q", name, got, tc.want)
		}
	}
}

// TestBackoff: the end is what the autoscaler announced last, as long as it lies ahead.
func TestBackoff(t *testing.T) {
	t.Parallel()
	var r record
	r.Group(0, shape.Group{Annotations: sizes("2", cpu4, mem8)})
	r.Waits(shape.Pod{})
	until := start.Add(time.Minute)
	r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Group: "g", Text: "Disabling scale-up for node group MachineDeployment/default/g until " + until.String() + " m=+7.1; errorClass=2; errorCode=x"})
	for at, want := range map[time.Duration]string{59 * time.Second: "backed off until " + timeline.Clock(until) + ", 1s more", 61 * time.Second: ""} {
		j := judged(r, start.Add(at))
		got := ""
		for _, o := range j.Verdicts(j.PodOf("", "default/p"))[0].Obstacles {
			got += o.Text
		}
		if got != want {
			t.Errorf("after %s: %q, want %q", at, got, want)
		}
	}
}

// TestLimitsOfTheCluster: limits of all nodes together, and an autoscaler that finds the cluster
// unhealthy, keep every group from growing. Nodes that are not Ready count, and those that come.
func TestLimitsOfTheCluster(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flags  map[string]string
		health string
		coming bool
		want   string
	}{
		"no limits":        {want: "yes, by its annotations and its template"},
		"not reached":      {flags: map[string]string{"max-nodes-total": "3", "cores-total": "0:12", "memory-total": "0:24"}, want: "yes, by its annotations and its template"},
		"nodes":            {flags: map[string]string{"max-nodes-total": "2"}, want: "--max-nodes-total=2 is reached with 2 nodes → --max-nodes-total=3"},
		"nodes, one comes": {flags: map[string]string{"max-nodes-total": "3"}, coming: true, want: "--max-nodes-total=3 is reached with 2 nodes and 1 upcoming → --max-nodes-total=4"},
		"cores":            {flags: map[string]string{"cores-total": "2:11"}, want: "--cores-total=2:11: the nodes have 8 of cpu, and another node of the group has 4 → --cores-total=2:12"},
		"cores, one comes": {flags: map[string]string{"cores-total": "0:15"}, coming: true, want: "--cores-total=0:15: the nodes have 12 of cpu, and another node of the group has 4 → --cores-total=0:16"},
		"memory":           {flags: map[string]string{"memory-total": "0:23"}, want: "--memory-total=0:23: the nodes have 16Gi of memory, and another node of the group has 8192Mi → --memory-total=0:24"},
		"healthy":          {health: "Healthy, scale-up NoActivity", want: "yes, by its annotations and its template"},
		"unhealthy":        {health: "Unhealthy, scale-up NoActivity", want: "the autoscaler finds the cluster unhealthy, and enlarges no group: Unhealthy, scale-up NoActivity → nodes that are Ready"},
	} {
		var r record
		r.Shaped(timeline.Autoscaler, "", "", shape.Autoscaler{Flags: tc.flags})
		r.Group(0, shape.Group{Annotations: sizes("5", cpu4, mem8)})
		r.Node("a", "", shape.Node{})
		r.Node("b", "", shape.Node{})
		r.Add(timeline.Fact{Kind: timeline.Node, What: timeline.NotReady, Name: "b", UID: "b"})
		if tc.coming {
			r.Shaped(timeline.Machine, "m", "g", shape.Machine{})
		}
		if tc.health != "" {
			r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Health, Text: tc.health, Source: timeline.Status})
		}
		r.Waits(shape.Pod{})
		if got := answer(t, r); got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, tc.want)
		}
	}
}

// TestRoomBesideANominatedPod: a pod takes its place on the node that is nominated for it.
func TestRoomBesideANominatedPod(t *testing.T) {
	t.Parallel()
	var r record
	r.Node("a", "", shape.Node{})
	r.Shaped(timeline.Pod, "default/first", "", shape.Pod{Nominated: "a", Requests: quantities("cpu=3")})
	r.Waits(shape.Pod{Requests: quantities("cpu=2")})
	j := judged(r, start.Add(time.Hour))
	for name, want := range map[string]int{"default/p": 0, "default/first": 1} {
		if got := j.Room(j.PodOf("", name)); len(got) != want {
			t.Errorf("%s has room on %d nodes, want %d", name, len(got), want)
		}
	}
}

// TestUnjudged: what the package does not judge, it names.
func TestUnjudged(t *testing.T) {
	t.Parallel()
	p := &world.Pod{Pod: shape.Pod{
		Spread: []corev1.TopologySpreadConstraint{{}}, Claims: []string{"data"}, Devices: []string{"gpu"},
		Affinity: &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}, PodAntiAffinity: &corev1.PodAntiAffinity{}},
	}}
	if got, want := strings.Join(New(&world.World{}).Unjudged(p), "; "), "topology spread; pod affinity; pod anti-affinity; volumes (data); device claims (gpu)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
