package fit

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// TestExampleOfANewNode: a node that has just become Ready, or that lacks the GPUs that it should
// have, is no example for the autoscaler.
func TestExampleOfANewNode(t *testing.T) {
	t.Parallel()
	gpu := map[string]string{GPULabel: "a100"}
	for name, tc := range map[string]struct {
		labels  map[string]string
		group   map[string]string
		release string
		after   time.Duration
		want    string
	}{
		"at once":                {group: sizes("5", cpu4, mem8), after: 30 * time.Second, want: "yes, by its annotations and its template"},
		"after a minute":         {group: sizes("5", cpu4, mem8), after: 2 * time.Minute, want: "yes, like its node n"},
		"at once in old times":   {group: sizes("5", cpu4, mem8), release: "1.23.0", after: 30 * time.Second, want: "yes, like its node n"},
		"the GPUs are late":      {group: sizes("5", cpu4, mem8), labels: gpu, after: time.Hour, want: "yes, by its annotations and its template"},
		"nothing else is known":  {group: sizes("5"), after: 30 * time.Second, want: "yes, like its node n"},
		"late GPUs, and no more": {group: sizes("5"), labels: gpu, after: time.Hour, want: "yes, like its node n"},
	} {
		var r record
		r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: "Cluster Autoscaler " + world.Autoscaler{}.Release().String()})
		if tc.release != "" {
			r[0].Text = "Cluster Autoscaler " + tc.release
		}
		r.Waits(shape.Pod{})
		r.Group(1, shape.Group{Annotations: tc.group})
		r.Node("n", "g", shape.Node{Labels: tc.labels})
		j := judged(r, r[len(r)-1].Time.Add(tc.after))
		if got := verdict(t, j, j.PodOf("", "default/p")); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// TestHostNameOfANewNode: a new node does not get the host name of the node that is its example.
func TestHostNameOfANewNode(t *testing.T) {
	t.Parallel()
	var r record
	r.Waits(shape.Pod{NodeSelector: map[string]string{corev1.LabelHostname: "n"}})
	r.Group(1, shape.Group{Annotations: sizes("5")})
	r.Node("n", "g", shape.Node{Labels: map[string]string{corev1.LabelHostname: "n"}})
	if got, want := answer(t, r), `selector kubernetes.io/hostname=n: the label is "template-node-for-g" on its nodes → label kubernetes.io/hostname=n on its nodes`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestDaemonSetsWithoutPods: a DaemonSet that has no pod yet also requests a part of a new node, if
// it runs there. A DaemonSet that is gone does not, even if one of its pods is left.
func TestDaemonSetsWithoutPods(t *testing.T) {
	t.Parallel()
	var r record
	owner := func(name string) *shape.Owner { return &shape.Owner{Kind: "DaemonSet", Name: name} }
	r.Group(0, shape.Group{Annotations: sizes("5", cpu4, mem8)})
	r.Shaped(timeline.DaemonSet, "default/agent", "", shape.Pod{Owner: owner("agent"), Requests: quantities("cpu=1")})
	r.Shaped(timeline.DaemonSet, "default/gpus", "", shape.Pod{Owner: owner("gpus"), Requests: quantities("cpu=1"), NodeSelector: map[string]string{"gpu": "true"}})
	r.Shaped(timeline.Pod, "default/gone-1", "", shape.Pod{Owner: owner("gone"), Requests: quantities("cpu=1")})
	r.Waits(shape.Pod{Requests: quantities("cpu=3")})
	if got, want := answer(t, r), "cpu: 1100m missing (it requests 3; 1900m of 4 are free) → request 1100m less cpu"; got != want {
		t.Errorf("while DaemonSets may be missing on record: %s, want %s", got, want)
	}
	r.Add(timeline.Fact{Kind: timeline.DaemonSet, What: timeline.Shaped})
	if got, want := answer(t, r), "cpu: 100m missing (it requests 3; 2900m of 4 are free) → request 100m less cpu"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestFailedMachines: a machine that has failed is reported at once, and a machine without a node
// after some time.
func TestFailedMachines(t *testing.T) {
	t.Parallel()
	var r record
	r.Group(1, shape.Group{Annotations: sizes("5", cpu4, mem8)})
	r.Waits(shape.Pod{})
	machine := func(name string, m shape.Machine) {
		r.Add(timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: name, UID: name, Group: "g"})
		r.Shaped(timeline.Machine, name, "g", m)
	}
	machine("bad", shape.Machine{Failure: "CreateError: no quota", Problems: []string{"no quota"}})
	machine("worse", shape.Machine{Failure: "no disk", Problems: []string{"BootstrapReady: late"}})
	machine("slow", shape.Machine{Problems: []string{"InfrastructureReady: soon"}})
	notes := func(after time.Duration) string {
		j := judged(r, r[len(r)-1].Time.Add(after))
		return strings.Join(j.Verdicts(j.PodOf("", "default/p"))[0].Notes, "\n")
	}
	if got, want := notes(time.Second), "machines of it that have failed, or have no node after 5m00s: 2; no quota; no disk; BootstrapReady: late"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := notes(time.Hour), "machines of it that have failed, or have no node after 5m00s: 3; no quota; InfrastructureReady: soon; no disk; BootstrapReady: late"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	j := judged(r, r[len(r)-1].Time.Add(time.Hour))
	if got, want := j.Trouble(j.MachineOf("bad", "")), "it has failed: CreateError: no quota"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestTheAutoscalerRemembersItsExamples: a process of the autoscaler expects new nodes to be like the last
// example of their group, as long as the group is one of its node groups.
func TestTheAutoscalerRemembersItsExamples(t *testing.T) {
	t.Parallel()
	const (
		gone      = "yes, like its node n, which is gone (the autoscaler remembers it)"
		late      = "the autoscaler has forgotten its node n, 1h30m after that was the last example for new ones (--node-info-cache-expire-time)"
		forgotten = "selector tier=gold: no such label on the template → label tier=gold on the template"
	)
	node := func(what, text string) timeline.Fact {
		return timeline.Fact{Kind: timeline.Node, What: what, Name: "n", UID: "n", Group: "g", Text: text}
	}
	process := func(what string) timeline.Fact {
		return timeline.Fact{Kind: timeline.Autoscaler, What: what, Text: "1.36.1", Source: timeline.Log}
	}
	group := func(annotations map[string]string) timeline.Fact {
		g := shape.Group{Namespace: "default", Cluster: "work", Annotations: annotations}
		return timeline.Fact{Kind: timeline.Group, What: timeline.Shaped, Name: "g", UID: "g", Group: "g", Shape: shape.Encode(g)}
	}
	forgetful := process(timeline.Shaped)
	forgetful.Shape = shape.Encode(shape.Autoscaler{Flags: map[string]string{"node-info-cache-expire-time": "90m"}})
	early := forgetful
	early.Shape = shape.Encode(shape.Autoscaler{Flags: map[string]string{"node-info-cache-expire-time": "2h30m"}})
	cordoned := node(timeline.Shaped, "")
	cordoned.Shape = shape.Encode(shape.Node{Taints: []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}}, Allocatable: quantities("cpu=4")})
	for name, tc := range map[string]struct {
		after time.Duration // of the node
		facts []timeline.Fact
		want  string
		note  string
	}{
		"there":                       {time.Hour, nil, "yes, like its node n", ""},
		"gone":                        {time.Hour, []timeline.Fact{node(timeline.Gone, "")}, gone, ""},
		"gone too soon":               {30 * time.Second, []timeline.Fact{node(timeline.Gone, "")}, forgotten, ""},
		"gone, and remembered longer": {time.Hour, []timeline.Fact{early, node(timeline.Gone, "")}, "yes, like its node n, which is gone (the autoscaler remembers it until 04:30:07 by --node-info-cache-expire-time)", ""},
		"gone, and forgotten since":   {time.Hour, []timeline.Fact{forgetful, node(timeline.Gone, "")}, forgotten, late},
		"gone, and no capacity":       {time.Hour, []timeline.Fact{forgetful, node(timeline.Gone, ""), group(sizes("5"))}, "? its machine template is not on record", late},
		"not Ready, and forgotten":    {time.Hour, []timeline.Fact{forgetful, node(timeline.NotReady, "")}, forgotten, late},
		"deleted, then gone":          {time.Hour, []timeline.Fact{node(timeline.Tainted, "ToBeDeletedByClusterAutoscaler"), node(timeline.Gone, "")}, gone, ""},
		"not Ready":                   {time.Hour, []timeline.Fact{node(timeline.NotReady, "")}, "yes, like its node n until 02:00:06 (the autoscaler remembers it)", ""},
		"cordoned":                    {time.Hour, []timeline.Fact{cordoned}, "yes, like its node n until 02:00:06 (the autoscaler remembers it)", ""},
		"another process":             {time.Hour, []timeline.Fact{node(timeline.Gone, ""), process(timeline.Stopped), process(timeline.Started)}, forgotten, ""},
		"a process that came late":    {time.Hour, []timeline.Fact{process(timeline.Stopped), node(timeline.Gone, ""), process(timeline.Started)}, forgotten, ""},
		"a process that began unseen": {time.Hour, []timeline.Fact{process(timeline.Stopped), node(timeline.Gone, ""), process(timeline.Refused)}, forgotten, ""},
		"the group changed":           {time.Hour, []timeline.Fact{node(timeline.Gone, ""), group(sizes("7", cpu4, mem8))}, gone, ""},
		"the group was none of its":   {time.Hour, []timeline.Fact{node(timeline.Gone, ""), group(nil), group(sizes("5", cpu4, mem8))}, forgotten, ""},
		"another group has its name":  {time.Hour, []timeline.Fact{node(timeline.Gone, ""), {Kind: timeline.Group, What: timeline.Gone, Name: "g", UID: "g"}, group(sizes("5", cpu4, mem8))}, forgotten, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r record
			r.Add(process(timeline.Started))
			r.Waits(shape.Pod{NodeSelector: map[string]string{"tier": "gold"}})
			r.Group(1, shape.Group{Annotations: sizes("5", cpu4, mem8)})
			r.Node("n", "g", shape.Node{Labels: map[string]string{"tier": "gold"}})
			for _, f := range tc.facts {
				r.Add(f)
				r[len(r)-1].Time = r[len(r)-1].Time.Add(tc.after - time.Second)
			}
			j := judged(r, start.Add(3*time.Hour))
			if got := verdict(t, j, j.PodOf("", "default/p")); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if got := strings.Join(j.Verdicts(j.PodOf("", "default/p"))[0].Notes, "; "); got != tc.note {
				t.Errorf("the note %q, want %q", got, tc.note)
			}
		})
	}
}

// TestRememberedPods: the pods of DaemonSets on a node that the autoscaler remembers request a part of the
// new node.
func TestRememberedPods(t *testing.T) {
	t.Parallel()
	var r record
	r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: "1.36.1", Source: timeline.Log})
	r.Group(0, shape.Group{Annotations: sizes("5", cpu4, mem8)})
	r.Node("n", "g", shape.Node{})
	r.Bound("n", map[string]shape.Pod{"d/agent": {Owner: &shape.Owner{Kind: "DaemonSet", Name: "agent"}, Requests: quantities("cpu=3")}, "d/web": {Requests: quantities("cpu=1")}})
	for i, f := range []timeline.Fact{{Kind: timeline.Node, Name: "n", UID: "n"}, {Kind: timeline.Pod, Name: "d/agent", UID: "d/agent"}, {Kind: timeline.Pod, Name: "d/web", UID: "d/web"}} {
		f.What = timeline.Gone
		r.Add(f)
		r[len(r)-1].Time = start.Add(time.Hour + time.Duration(i)*time.Second)
	}
	r.Waits(shape.Pod{Requests: quantities("cpu=2")})
	for i := range 2 {
		r[len(r)-1-i].Time = start.Add(2 * time.Hour)
	}
	j := judged(r, start.Add(3*time.Hour))
	if got, want := verdict(t, j, j.PodOf("", "default/p")), "cpu: 1 missing (it requests 2; 1 of 4 are free) → request 1 less cpu"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestCriticalPodsOfDaemonSets: releases differ in whether they expect a critical pod that the example
// lacks.
func TestCriticalPodsOfDaemonSets(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]string{
		"1.32.7": "yes, like its node n", "1.33.0": "cpu: 1 missing (it requests 4; 3 of 4 are free) → request 1 less cpu",
	} {
		var r record
		r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: release})
		r.Group(1, shape.Group{Annotations: sizes("5", cpu4, mem8)})
		r.Node("n", "g", shape.Node{})
		r.Shaped(timeline.DaemonSet, "d/critical", "", shape.Pod{Owner: &shape.Owner{Kind: "DaemonSet", Name: "critical"}, Requests: quantities("cpu=1"), Critical: true})
		r.Shaped(timeline.DaemonSet, "d/other", "", shape.Pod{Owner: &shape.Owner{Kind: "DaemonSet", Name: "other"}, Requests: quantities("cpu=1")})
		r.Waits(shape.Pod{Requests: quantities("cpu=4")})
		if got := answer(t, r); got != want {
			t.Errorf("%s: %s, want %s", release, got, want)
		}
	}
}
