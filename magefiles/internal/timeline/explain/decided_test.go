package explain

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// enlarged is a cluster in which a pod waits, and web was enlarged to 3 for it at second 31.
func enlarged() (c *cluster, pod string) {
	c = newCluster(0)
	for _, node := range []string{c.node, c.other} {
		c.pod(2, "default/full-"+node, node, shape.Pod{Requests: requests("3", "1Gi")})
	}
	pod = c.Pods(10, "shop", 1)[0]
	c.pod(10, pod, "", shape.Pod{Requests: requests("3", "1Gi")})
	c.decide(31, pod)
	return c, pod
}

// decide adds the event that web was enlarged to 3 for a pod.
func (c *cluster) decide(at float64, pod string) {
	n := 3
	c.Add(at, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Name: pod, Group: "web", N: &n, Text: "pod triggered scale-up", Source: timeline.Event})
}

// count adds a fact about the number of nodes of web.
func (c *cluster) count(at float64, what string, n int) {
	c.Add(at, timeline.Fact{Kind: timeline.Group, What: what, Name: "web", UID: "g-web", N: &n, Source: timeline.Watch})
}

// hasty is the group web whose nodes must come in five minutes.
var hasty = shape.Group{Namespace: "default", Annotations: map[string]string{
	"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "4", "cluster.x-k8s.io/autoscaling-options-maxnodeprovisiontime": "5m0s",
}}

// TestExplainADecisionWithoutNodes: an enlargement explains why a pod waits only while its
// nodes may still come. After that the facts decide, as for any pod.
func TestExplainADecisionWithoutNodes(t *testing.T) {
	t.Parallel()
	backOff := func(c *cluster, at float64) {
		c.Log(at, "W Disabling scale-up for node group MachineDeployment/default/web until "+c.At(4600).Format("2006-01-02 15:04:05.999999999 -0700 MST")+" m=+360.1; errorClass=Other; errorCode=timeout")
	}
	const agreed = "They agree: there was no room, and at 22:00:31 the autoscaler enlarged web to 3 for it."
	machine := timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: "web-new", UID: "m-web-new", Group: "web", Source: timeline.Watch}
	for name, tc := range map[string]struct {
		then  func(c *cluster, pod string)
		asked float64
		want  string // at the end of the first sentence
		also  string
	}{
		"it may come":             {func(*cluster, string) {}, 900, "; the autoscaler enlarged web to 3 for it.", agreed},
		"a machine is on its way": {func(c *cluster, _ string) { c.Add(33, machine) }, 3600, "; the autoscaler enlarged web to 3 for it.", agreed},
		"backed off": {
			func(c *cluster, _ string) { backOff(c, 1000) }, 3600,
			"; at 22:00:31 the autoscaler enlarged web to 3 for it, and its nodes did not come: the scale-up of web had failed at 22:16:40; web would not take it: backed off until 23:16:40, 16m40s more.",
			"What would have to change\n  web: nothing but time, or a restart of the autoscaler\n",
		},
		"backed off before": {
			func(c *cluster, pod string) { backOff(c, 29) }, 60,
			"; the autoscaler enlarged web to 3 for it.", agreed,
		},
		"decided again": {
			func(c *cluster, pod string) { backOff(c, 1000); c.count(1001, timeline.Sized, 2); c.decide(3500, pod) }, 3600,
			"; the autoscaler enlarged web to 3 for it.", "at 22:58:20 the autoscaler enlarged web to 3 for it.",
		},
		"made smaller": {
			func(c *cluster, _ string) { c.count(32, timeline.Sized, 3); c.count(100, timeline.Sized, 2) }, 200,
			"and its nodes did not come: web was made smaller, to 2, at 22:01:40; web would take it.", "They disagree: according to the facts web would take it, and the autoscaler has not enlarged it again.",
		},
		"overdue": {
			func(*cluster, string) {}, 1000,
			"and no node came within 15m00s (the default of --max-node-provision-time); web would take it.", "At 22:00:31 the autoscaler enlarged web to 3 for it, and no node",
		},
		"overdue by the group's annotation": {
			func(c *cluster, _ string) { c.shaped(3, timeline.Group, "web", "web", "", hasty) }, 400,
			"and no node came within 5m00s (the group's annotation maxnodeprovisiontime); web would take it.", "At 22:00:31 the autoscaler enlarged web to 3 for it, and no node",
		},
		"they came": {
			func(c *cluster, _ string) { c.count(32, timeline.Sized, 3); c.count(90, timeline.ReadyCount, 3) }, 200,
			"whose nodes were Ready at 22:01:30; web would take it.", "They disagree: according to the facts web would take it, and the autoscaler has not enlarged it again.",
		},
	} {
		c, pod := enlarged()
		tc.then(c, pod)
		c.on(tc.asked, timeline.Node, timeline.Ready, "")
		got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{})
		first, _, _ := strings.Cut(got, "\n")
		if err != nil || !strings.HasSuffix(first, tc.want) || !strings.Contains(got, tc.also) {
			t.Errorf("%s: %v: want %q and %q:\n%s", name, err, tc.want, tc.also, got)
		}
		if still := strings.Contains(got, "They agree: there was no room, and at"); still != strings.HasSuffix(tc.also, "for it.") {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

// TestExplainTheDecisionOfTheNewNode: of several enlargements for a pod, the last one before its
// new node counts.
func TestExplainTheDecisionOfTheNewNode(t *testing.T) {
	t.Parallel()
	c, pod := enlarged()
	c.decide(500, pod)
	add := func(at float64, kind timeline.Kind, what string) {
		c.Add(at, timeline.Fact{Kind: kind, What: what, Name: "web-new", UID: string(kind) + "-new", Group: "web", Source: timeline.Watch})
	}
	add(505, timeline.Machine, timeline.Created)
	add(540, timeline.Node, timeline.Joined)
	add(550, timeline.Node, timeline.Ready)
	c.Add(560, timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: pod, UID: "p-" + pod, Node: "web-new", Source: timeline.Watch})
	c.decide(545, pod)
	got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{})
	if want := "  22:08:20    +8m10s  ▲ the autoscaler enlarges web to 3\n"; err != nil || !strings.Contains(got, want) {
		t.Errorf("%v: want %q:\n%s", err, want, got)
	}
}
