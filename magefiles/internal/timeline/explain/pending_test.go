package explain

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/timelinetest"
	"caslab/magefiles/internal/timeline/world"
)

// recorded returns the facts of testdata/cases.jsonl up to a time of day. The lab recorded
// it on 1.36.1: pods that wait for different reasons, beside groups that differ.
func recorded(t testing.TB, until string) []timeline.Fact {
	t.Helper()
	return recordedIn(t, "cases.jsonl", until)
}

func recordedIn(t testing.TB, file, until string) []timeline.Fact {
	t.Helper()
	facts, err := timeline.Read(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	for i := range facts {
		facts[i].Time = localClock(facts[i].Time)
	}
	return slices.DeleteFunc(facts, func(f timeline.Fact) bool { return f.Time.Format(time.TimeOnly) > until })
}

// localClock returns the time at which the lab's time zone has the time of day of UTC.
func localClock(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.Local)
}

// TestExplainRecordedCases compares the answers about pods that wait with testdata, where a
// person can read them.
func TestExplainRecordedCases(t *testing.T) {
	t.Parallel()
	for pod, tc := range map[string]struct{ until, others string }{
		"lost":   {"01:08:39", "golden big Scale-up expansion"},
		"golden": {"01:08:39", "lost big"},
		"seven":  {"01:12:12", "lost golden big six"},
	} {
		got, err := Text(t.Context(), recorded(t, tc.until), "pod/"+pod, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		golden.Check(t, "pod-"+pod+".txt", got)
		_, said, _ := strings.Cut(got, "What the autoscaler said meanwhile\n")
		for other := range strings.FieldsSeq(tc.others) {
			if strings.Contains(said, "default/"+other) || strings.Contains(said, other+" ") {
				t.Errorf("the answer about %s speaks of %s:\n%s", pod, other, said)
			}
		}
	}
}

// TestExplainLeavesOutTheProblemsOfOthers: a problem of the whole cluster, or of the pod, is in the
// answer. One that names another pod, a node or a group is not.
func TestExplainLeavesOutTheProblemsOfOthers(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	pods := c.Pods(10, "shop", 2)
	for _, pod := range pods {
		c.pod(10, pod, "", shape.Pod{})
	}
	name := timeline.LastPart
	c.Log(20, "E Failed to evict pod "+name(pods[0])+", error: a budget forbids it")
	c.Log(21, "E Failed to evict pod "+name(pods[1])+", error: a budget forbids it")
	c.Log(22, "E Failed to count what "+c.other+" uses.")
	c.Log(23, `E machinedeployments.cluster.x-k8s.io "web" not found`)
	c.Log(24, "E Failed to list webhooks")
	for _, pod := range pods {
		c.Add(25, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Problem, Name: pod, Text: "failed to delete pod for ScaleDown", Source: timeline.Event})
	}
	got, err := Text(t.Context(), c.Record(), "pod/"+pods[0], Options{})
	_, said, _ := strings.Cut(got, "What the autoscaler said meanwhile\n")
	var problems []string
	for line := range strings.Lines(said) {
		if _, text, found := strings.Cut(line, "ailed to "); found {
			problems = append(problems, strings.TrimSpace(text))
		}
	}
	if want := []string{"evict pod " + name(pods[0]) + ", error: a budget forbids it", "list webhooks", "delete pod for ScaleDown"}; err != nil || !slices.Equal(problems, want) {
		t.Errorf("%v: problems %q, want %q:\n%s", err, problems, want, got)
	}
}

// TestExplainKeepsProblemsWithWordsThatAreNames: objects with everyday names hide no problem of the
// whole cluster.
func TestExplainKeepsProblemsWithWordsThatAreNames(t *testing.T) {
	t.Parallel()
	const problem = `pods is forbidden: User "system:serviceaccount:kube-system:default" cannot list resource "pods" in the namespace "default"`
	c := newCluster(0)
	for _, group := range []string{"pods", "default", "resource"} {
		c.Group(group, 0, 1, 0)
	}
	c.Add(1, timeline.Fact{Kind: timeline.Node, What: timeline.Joined, Name: "list", UID: "list"})
	pod := c.Pods(10, "shop", 1)[0]
	c.pod(10, pod, "", shape.Pod{})
	c.Log(20, "E "+problem)
	if got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{}); err != nil || !strings.Contains(got, problem) {
		t.Errorf("%v: want %s:\n%s", err, problem, got)
	}
}

// TestExplainRecordedDiscovery: 1.36.1 discovered groups by a label that only the
// MachineDeployments have. A node of the group one is Ready and belongs to no group, and a pod
// that selects kubernetes.io/os fits on no node of the empty group linux.
func TestExplainRecordedDiscovery(t *testing.T) {
	t.Parallel()
	for file, what := range map[string]string{"node-discovery.txt": "node/answers-one-v5lnc-5c5dn", "pod-system-label.txt": "pod/s23-os"} {
		got, err := Text(t.Context(), recordedIn(t, "discovery.jsonl", "12:22:00"), what, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		golden.Check(t, file, got)
	}
}

// TestExplainWhichGroupAPodIsFor: of many groups that do not take a pod, the verdict names the one
// on which it would fit, and what keeps that from growing.
func TestExplainWhichGroupAPodIsFor(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		most, request, want string
		spread              []corev1.TopologySpreadConstraint
	}{
		"at its maximum":           {most: "2", request: "3", want: "; none of 2 groups would take it; it would fit on nodes of group web (max reached: it wants 2 of at most 2).\n"},
		"too large":                {most: "2", request: "5", want: "; none of 2 groups would take it.\n"},
		"too large, with a spread": {most: "2", request: "5", want: "; none of 2 groups would take it.\n", spread: []corev1.TopologySpreadConstraint{{}}},
	} {
		c := newCluster(0)
		c.shaped(3, timeline.Group, "web", "web", "", shape.Group{Annotations: map[string]string{"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": tc.most}})
		c.shaped(3, timeline.Group, "other", "other", "", shape.Group{Annotations: map[string]string{"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "2"}, Template: shape.Reference{Kind: "DevMachineTemplate", Name: "other"}})
		c.shaped(3, timeline.Template, "DevMachineTemplate/other", "", "", shape.Template{})
		for _, node := range []string{c.node, c.other} {
			c.pod(4, "default/full-"+node, node, shape.Pod{Requests: requests("3", "1Gi")})
		}
		pod := c.Pods(10, "shop", 1)[0]
		c.pod(10, pod, "", shape.Pod{Requests: requests(tc.request, "1Gi"), Spread: tc.spread})
		if got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{}); err != nil || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %v: want %q:\n%s", name, err, tc.want, got)
		}
	}
}

// TestExplainWithoutShapes: an older lab's record has the answer that it had, and says what
// is missing.
func TestExplainWithoutShapes(t *testing.T) {
	t.Parallel()
	facts := slices.DeleteFunc(recorded(t, "01:08:39"), func(f timeline.Fact) bool { return f.What == timeline.Shaped })
	got, err := Text(t.Context(), facts, "pod/golden", Options{})
	if err != nil || !strings.Contains(got, "an older lab made it") || !strings.Contains(got, "still waits; the autoscaler: ") || strings.Contains(got, "What would have to change") {
		t.Errorf("%v\n%s", err, got)
	}
}

// TestExplainInTheFirstLoops: that the autoscaler has not enlarged a group yet is no
// disagreement before it had two loops for that.
func TestExplainInTheFirstLoops(t *testing.T) {
	t.Parallel()
	for end, want := range map[float64]string{
		16: "It is too early to tell: the pod has waited 6s, and the autoscaler looks every 10s", 60: "They disagree: according to the facts web would take it, and the autoscaler has not enlarged it.",
	} {
		c := newCluster(1)
		for _, node := range []string{c.node, c.other} {
			c.pod(2, "default/full-"+node, node, shape.Pod{Requests: requests("3", "1Gi")})
		}
		name := c.Pods(10, "shop", 1)[0]
		c.pod(10, name, "", shape.Pod{Requests: requests("3", "1Gi")})
		c.Log(11, "Pod "+name+" is unschedulable")
		c.on(end, timeline.Node, timeline.Ready, "")
		got, err := Text(t.Context(), c.Record(), "pod/"+name, Options{})
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%v: want %q in\n%s", err, want, got)
		}
	}
}

// TestExplainAPodWhoseNodeComes: from the decision on, scheduler and autoscaler agree, and
// nothing has to change. The same holds for a new node that comes for another reason.
func TestExplainAPodWhoseNodeComes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		said          []string
		verdict, want string
	}{
		"decided": {
			[]string{"Pod POD is unschedulable", "Final scale-up plan: [{MachineDeployment/default/web 2->3 (max: 4)}]", "Scale-up: setting group MachineDeployment/default/web size to 3"},
			"; at 22:00:31 the autoscaler enlarged web to 3 (no event says for which pods).\n", "They agree: there was no room, and at 22:00:31 the autoscaler enlarged web to 3 (no event says for which pods).\n",
		},
		"decided for others": {
			[]string{"Pod POD is unschedulable", "EVENT default/other"},
			"; web would take it.\n", "They disagree: according to the facts web would take it, and the autoscaler has not enlarged it.\n",
		},
		"decided for a group that would not take it": {
			[]string{"Pod POD is unschedulable", "Scale-up: setting group MachineDeployment/default/md-0 size to 3"},
			"; web would take it.\n", "They disagree: according to the facts web would take it, and the autoscaler has not enlarged it.\n",
		},
		"decided for it": {
			[]string{"Pod POD is unschedulable", "EVENT POD"},
			"; the autoscaler enlarged web to 3 for it.\n", "They agree: there was no room, and at 22:00:31 the autoscaler enlarged web to 3 for it.\n",
		},
		"its new node": {
			[]string{"Pod POD is unschedulable", "Pod POD can be moved to template-node-for-MachineDeployment/default/web-4399673463910287378-upcoming-0"},
			"; the autoscaler expects that it fits on a new node of web, which is not Ready yet.\n", "They agree: there is no room yet, and the autoscaler expects that it fits on a new node of web.\n",
		},
		"no longer": {
			[]string{"Pod POD can be moved to template-node-for-MachineDeployment/default/web-4399673463910287378-upcoming-0", "Pod POD is unschedulable"},
			"; web would take it.\n", "They disagree: according to the facts web would take it, and the autoscaler has not enlarged it.\n",
		},
	} {
		c := newCluster(0)
		for _, node := range []string{c.node, c.other} {
			c.pod(2, "default/full-"+node, node, shape.Pod{Requests: requests("3", "1Gi")})
		}
		c.shaped(3, timeline.Group, "md-0", "md-0", "", shape.Group{Namespace: "default"})
		pod := c.Pods(10, "shop", 1)[0]
		c.pod(10, pod, "", shape.Pod{Requests: requests("3", "1Gi")})
		for i, text := range tc.said {
			text = strings.ReplaceAll(text, "POD", pod)
			if other, ok := strings.CutPrefix(text, "EVENT "); ok {
				c.decide(30+float64(i), other)
			} else {
				c.Log(30+float64(i), text)
			}
		}
		c.on(60, timeline.Node, timeline.Ready, "")
		got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{})
		if err != nil || !strings.Contains(got, tc.verdict) || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %v:\n%s\nwant %s and %s", name, err, got, tc.verdict, tc.want)
		}
		if comes := strings.HasPrefix(tc.want, "They agree"); comes && (strings.Contains(got, "isagree") || strings.Contains(got, "\nWhat would have to change\n")) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

// TestExplainAPodWithoutASchedulersVerdict: nobody has judged it, so nobody disagrees.
func TestExplainAPodWithoutASchedulersVerdict(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	c.Add(10, timeline.Fact{Kind: timeline.Pod, What: timeline.Created, Name: "default/lost", UID: "p-default/lost", Source: timeline.Watch})
	c.pod(10, "default/lost", "", shape.Pod{Scheduler: "nobody"})
	c.on(60, timeline.Node, timeline.Ready, "")
	got, err := Text(t.Context(), c.Record(), "pod/lost", Options{})
	if err != nil || strings.Contains(got, "isagree") || strings.Count(got, `a scheduler "nobody" that runs`) != 1 || !strings.Contains(got, "  The autoscaler judges no pod that it does not look at.\n") {
		t.Errorf("%v:\n%s", err, got)
	}
}

// TestExplainQuotesARefusal: where the autoscaler that runs contradicts the facts, the verdict has its
// words.
func TestExplainQuotesARefusal(t *testing.T) {
	t.Parallel()
	const taken = "; web would take it"
	for name, tc := range map[string]struct {
		said []string
		want string
	}{
		"none":               {nil, taken + ".\n"},
		"of the pod":         {[]string{"Pod POD can't be scheduled on MachineDeployment/default/web, predicate checking error: rather odd"}, taken + "; the autoscaler: rather odd.\n"},
		"of the group":       {[]string{"Skipping node group MachineDeployment/default/web - rather odd"}, taken + "; the autoscaler: rather odd.\n"},
		"of another group":   {[]string{"Skipping node group MachineDeployment/default/other - rather odd"}, taken + ".\n"},
		"of another pod":     {[]string{"Pod default/other can't be scheduled on MachineDeployment/default/web, predicate checking error: rather odd"}, taken + ".\n"},
		"the last one":       {[]string{"Skipping node group MachineDeployment/default/web - odd", "Skipping node group MachineDeployment/default/web - even odder"}, taken + "; the autoscaler: even odder.\n"},
		"of another process": {[]string{"Skipping node group MachineDeployment/default/web - rather odd", "Cluster Autoscaler 1.36.1", "Pod POD is unschedulable"}, taken + ".\n"},
	} {
		c := newCluster(0)
		for _, node := range []string{c.node, c.other} {
			c.pod(2, "default/full-"+node, node, shape.Pod{Requests: requests("3", "1Gi")})
		}
		pod := c.Pods(10, "shop", 1)[0]
		c.pod(10, pod, "", shape.Pod{Requests: requests("3", "1Gi")})
		for i, text := range tc.said {
			c.Log(30+10*float64(i), strings.ReplaceAll(text, "POD", pod))
		}
		c.on(100, timeline.Node, timeline.Ready, "")
		got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{})
		if err != nil || !strings.Contains(got, tc.want) || !strings.Contains(got, "They disagree: according to the facts web would take it") {
			t.Errorf("%s: %v: want %q:\n%s", name, err, tc.want, got)
		}
	}
}

// TestExplainRoomOfExpendablePods: the autoscaler adds no node where the scheduler may evict pods of
// a low priority. The scheduler does not have to contradict that.
func TestExplainRoomOfExpendablePods(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	c.pod(2, "default/full", c.other, shape.Pod{Requests: requests("3", "1Gi")})
	c.pod(2, "default/cheap", c.node, shape.Pod{Requests: requests("3", "1Gi"), Priority: -11})
	c.pod(2, "default/tiny", c.node, shape.Pod{Requests: requests("100m", "1Mi"), Priority: -11}) // it can stay
	pod := c.Pods(10, "shop", 1)[0]
	c.pod(10, pod, "", shape.Pod{Requests: requests("3", "1Gi")})
	c.on(60, timeline.Node, timeline.Ready, "")
	got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{})
	verdict := "; it fits on " + c.node + " if pods with a priority below -10 (the default of --expendable-pods-priority-cutoff) are evicted there, such as default/cheap: the autoscaler ignores such pods, and adds no node.\n"
	if err != nil || !strings.Contains(got, verdict) || strings.Contains(got, "isagree") || !strings.Contains(got, "\nWhat would have to change\n  the scheduler evicts expendable pods of "+c.node+", or ") {
		t.Errorf("%v: want %q:\n%s", err, verdict, got)
	}
}

// TestExplainAfterARestart: an autoscaler that started just now has not judged the pod yet.
func TestExplainAfterARestart(t *testing.T) {
	t.Parallel()
	for end, want := range map[float64]string{
		610: "It is too early to tell: the autoscaler has been running for 10s, and looks every 10s (the default of --scan-interval).\n",
		660: "The autoscaler has said nothing of the pod.\n",
	} {
		c, pod := idleCluster(false)
		c.Facts = slices.DeleteFunc(c.Facts, func(f timeline.Fact) bool { return strings.Contains(f.Text, "Pod "+pod) })
		c.Log(600, "Cluster Autoscaler 1.36.1")
		c.on(end, timeline.Node, timeline.Ready, "")
		if got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{}); err != nil || !strings.Contains(got, want) {
			t.Errorf("%v: want %q in\n%s", err, want, got)
		}
	}
}

// TestExplainWhatAnotherProcessSaid: where an autoscaler expected the pod to fit is forgotten
// when it stops, and when another one starts.
func TestExplainWhatAnotherProcessSaid(t *testing.T) {
	t.Parallel()
	const comes, moves = "can be moved to template-node-for-MachineDeployment/default/web-4399673463910287378-upcoming-0", "can be moved to NODE"
	const expects, says = "the autoscaler expects that it fits on a new node of web", "The autoscaler says so too"
	for name, tc := range map[string]struct {
		said             string
		stopped, started bool
		then             string
		want             bool
	}{
		"it runs":                  {said: comes, want: true},
		"it stopped":               {said: comes, stopped: true},
		"stopped and started":      {said: comes, stopped: true, started: true},
		"started, the end unknown": {said: comes, started: true},
		"said again":               {said: comes, stopped: true, started: true, then: comes, want: true},
		"a node, it runs":          {said: moves, want: true},
		"a node, restarted":        {said: moves, started: true},
	} {
		c := newCluster(0)
		if tc.said == comes {
			for _, node := range []string{c.node, c.other} {
				c.pod(2, "default/full-"+node, node, shape.Pod{Requests: requests("3", "1Gi")})
			}
		}
		pod := c.Pods(10, "shop", 1)[0]
		c.pod(10, pod, "", shape.Pod{Requests: requests("3", "1Gi")})
		say := func(at float64, text string) { c.Log(at, "Pod "+pod+" "+strings.ReplaceAll(text, "NODE", c.node)) }
		say(30, tc.said)
		if tc.stopped {
			c.Log(40, "Cleaned up, exiting...")
		}
		if tc.started {
			c.Log(600, "Cluster Autoscaler 1.36.1")
		}
		if tc.then != "" {
			say(605, tc.then)
		}
		c.on(610, timeline.Node, timeline.Ready, "")
		got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{})
		want := expects
		if tc.said == moves {
			want = says
		}
		if err != nil || strings.Contains(got, want) != tc.want {
			t.Errorf("%s: %v: %q: want %t:\n%s", name, err, want, tc.want, got)
		}
	}
}

// TestExplainWhatIsNotJudged: what the lab does not judge of a pod may be why it has no room
// where it would fit otherwise, and why its node stays. Nothing is claimed against that.
func TestExplainWhatIsNotJudged(t *testing.T) {
	t.Parallel()
	spread := []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "zone", WhenUnsatisfiable: corev1.DoNotSchedule}}
	for name, tc := range map[string]struct {
		full, moved, stopped bool
		verdict, nodes       string
	}{
		"room":    {verdict: "; it has room on N, N, apart from its topology spread, which the lab does not judge.\n", nodes: "it fits on N, N, apart from its topology spread, which the lab does not judge\n"},
		"no room": {full: true, verdict: "; web would take it, apart from its topology spread, which the lab does not judge.\n", nodes: "cpu: 2200m missing"},
		"moved, by one that stopped": {
			moved: true, stopped: true,
			verdict: "; no autoscaler has run since 22:00:30; it has room on N, N, apart from its topology spread, which the lab does not judge, and the scheduler does not bind it.\n",
			nodes:   "it fits on N, N, apart from its topology spread, which the lab does not judge\n",
		},
		"moved, too": {moved: true, verdict: "; scheduler and autoscaler disagree: it has room on N, N, so", nodes: "it fits on N, N\n"},
	} {
		c := newCluster(1)
		for _, node := range []string{c.node, c.other} {
			if tc.full {
				c.pod(2, "default/full-"+node, node, shape.Pod{Requests: requests("3", "1Gi")})
			}
		}
		pod := c.Pods(10, "shop", 1)[0]
		c.pod(10, pod, "", shape.Pod{Requests: requests("3", "1Gi"), Spread: spread})
		if tc.moved {
			c.Log(20, "Pod "+pod+" can be moved to "+c.node)
		} else {
			c.Log(20, "Pod "+pod+" is unschedulable")
		}
		if tc.stopped {
			c.Log(30, "Cleaned up, exiting...")
		}
		c.on(60, timeline.Node, timeline.Ready, "")
		got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{})
		got = strings.NewReplacer(c.node, "N", c.other, "N").Replace(got)
		if err != nil || !strings.Contains(got, tc.verdict) || !strings.Contains(got, tc.nodes) || strings.Contains(got, "isagree") != (tc.moved && !tc.stopped) || !strings.Contains(got, "Not judged by the lab: topology spread.") {
			t.Errorf("%s: %v:\n%s\nwant %s", name, err, got, tc.verdict)
		}
	}

	for name, tc := range map[string]struct {
		pods    map[string]shape.Pod
		budgets bool
		want    string
	}{
		"a pod":                    {map[string]shape.Pod{"default/db": {Owner: &shape.Owner{Kind: "StatefulSet", Name: "db"}, Claims: []string{"data"}}}, true, "Why it stays: nothing that the lab judges keeps it; not judged: default/db: volumes (data).\n"},
		"budgets":                  {map[string]shape.Pod{"default/web": {Owner: &shape.Owner{Kind: "ReplicaSet", Name: "web"}}}, false, "Why it stays: nothing that the lab judges keeps it; not judged: PodDisruptionBudgets, which are not all on record.\n"},
		"budgets of an empty node": {nil, false, "Why it stays: by the facts nothing keeps it, and the autoscaler may remove it in its next loop.\n"},
		"everything":               {map[string]shape.Pod{"default/web": {Owner: &shape.Owner{Kind: "ReplicaSet", Name: "web"}}}, true, "Why it stays: by the facts nothing keeps it, and the autoscaler may remove it in its next loop.\n"},
	} {
		c := newCluster(0)
		c.on(5, timeline.Node, timeline.Tainted, "DeletionCandidateOfClusterAutoscaler")
		for pod, p := range tc.pods {
			c.pod(10, pod, c.node, p)
		}
		c.on(160, timeline.Node, timeline.Ready, "")
		facts := c.Record()
		if !tc.budgets {
			facts = slices.DeleteFunc(facts, func(f timeline.Fact) bool { return f.Kind == timeline.Budget })
		}
		if got, err := Text(t.Context(), facts, "node/"+c.node, Options{}); err != nil || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %v: want %s\n%s", name, err, tc.want, got)
		}
	}
}

// manyShapes returns a record of a day with at least that many pods and groups, of which
// some pods wait.
func manyShapes(pods, groups int) (facts []timeline.Fact, waits string) {
	b := timelinetest.New()
	shaped := func(f timeline.Fact, what any) {
		f.What, f.Shape, f.Source = timeline.Shaped, shape.Encode(what), timeline.Watch
		b.Add(0, f)
	}
	for i := range groups {
		name := fmt.Sprintf("pool-%02d", i)
		for _, node := range b.Group(name, 0, 4, 4) {
			shaped(timeline.Fact{Kind: timeline.Node, Name: node, UID: "n-" + node, Group: name}, shape.Node{Labels: map[string]string{"pool": name}})
		}
		shaped(timeline.Fact{Kind: timeline.Group, Name: name, UID: "g-" + name, Group: name}, shape.Group{Annotations: map[string]string{
			"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "4",
		}})
	}
	for minute := range 24 * 60 {
		b.Log(float64(minute)*60, fmt.Sprintf("E Failed to list what pool-%02d of %d groups has: attempt-%d", minute%groups, groups, minute))
	}
	for hour := range 24 {
		for _, pod := range b.Pods(float64(hour)*3600, "load", pods/24+1) {
			shaped(timeline.Fact{Kind: timeline.Pod, Name: pod, UID: "p-" + pod}, shape.Pod{NodeSelector: map[string]string{"tier": "gold"}})
			waits = pod
		}
	}
	return b.Record(), waits
}

// manyAnswers are questions about the record of manyShapes, each with a part of the answer.
func manyAnswers(pod string) map[string]string {
	return map[string]string{
		"pod/" + pod: "none of 50 groups would take it", "node/work-cluster-pool-07-jbskx-07919": "pool-07 wants 4 nodes",
		"group/pool-07": "group pool-07 wants 4 and has 4 ready", autoscalerWord: "pool-49  wants 4",
	}
}

// TestExplainALargeRecord: the answers that BenchmarkExplain measures are right.
func TestExplainALargeRecord(t *testing.T) {
	t.Parallel()
	facts, pod := manyShapes(1000, 50)
	for what, want := range manyAnswers(pod) {
		if text, err := Text(t.Context(), facts, what, Options{}); err != nil || !strings.Contains(text, want) {
			t.Errorf("%s: %v: want %q:\n%s", what, err, want, timeline.Shorten(text, timeline.LongestText))
		}
	}
}

// BenchmarkExplain: an answer about one of 1,000 pods beside 50 groups, about a node, a group
// and the autoscaler. Each must stay below a second.
func BenchmarkExplain(b *testing.B) {
	facts, pod := manyShapes(1000, 50)
	for what := range manyAnswers(pod) {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				if _, err := Text(b.Context(), facts, what, Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(facts)), "facts")
		})
	}
}

// BenchmarkPodWhys: why each of 1,000 pods waits, on a day with a problem in each minute, is known in less than
// a second.
func BenchmarkPodWhys(b *testing.B) {
	facts, _ := manyShapes(1000, 50)
	m := history.New(facts)
	for b.Loop() {
		if n := len(m.PodWhys()); n < 1000 {
			b.Fatal(n)
		}
	}
}

// TestSays: of the scheduler's message, only what the lab does not judge.
func TestSays(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"0/4 nodes are available: 1 node(s) didn't match pod anti-affinity rules, 1 node(s) had untolerated taint(s), 2 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling.": "1 node(s) didn't match pod anti-affinity rules",
		"0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), 3 Insufficient cpu. preemption: 0/4 nodes are available":                                                                                                               "1 node(s) didn't match pod topology spread constraints (missing required label)",
		"0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 node(s) didn't match PersistentVolume's node affinity. no new claims to deallocate":                                                                                                                               "3 node(s) didn't match PersistentVolume's node affinity",
		"0/4 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found":                                                                                                                                                                                            "pod has unbound immediate PersistentVolumeClaims",
		"0/2 nodes are available: 2 Insufficient memory. no new claims to deallocate":                                                                                                                                                                                                     "",
	} {
		j := &waiting{pod: &world.Pod{Message: message}}
		if want != "" {
			want = "; the scheduler says: " + want
		}
		if got := j.says(); got != want {
			t.Errorf("of %q: %q, want %q", message, got, want)
		}
	}
}

// TestExplainWithoutGroups: a record of a log and a snapshot has only the names of the groups, and
// another may have no group at all.
func TestExplainWithoutGroups(t *testing.T) {
	t.Parallel()
	for want, message := range map[string]string{
		"the record has only the names of the node groups: web": "No pod can fit to MachineDeployment/default/web",
		"there is no node group":                                "No expansion options",
	} {
		c := &cluster{Builder: timelinetest.New()}
		pod := c.Pods(10, "shop", 1)[0]
		c.pod(10, pod, "", shape.Pod{})
		c.Log(20, message)
		got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{})
		if err != nil || !strings.Contains(got, "; "+want+".\n") || !strings.Contains(got, "\n  "+want+"\n") {
			t.Errorf("%v: want %q:\n%s", err, want, got)
		}
	}
}

// TestExplainAGroupWhoseTemplateIsNotOnRecord: the record does not decide whether such a group would take
// the pod, so that nothing is said to keep the group from it.
func TestExplainAGroupWhoseTemplateIsNotOnRecord(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	for _, name := range []string{"other", "third", "fourth"} {
		c.shaped(3, timeline.Group, name, name, "", shape.Group{Annotations: map[string]string{"cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size": "2"}, Template: shape.Reference{Kind: "DevMachineTemplate", Name: "t"}})
	}
	pod := c.Pods(10, "shop", 1)[0]
	c.pod(10, pod, "", shape.Pod{Requests: requests("5", "1Gi")})
	got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{})
	for _, want := range []string{
		"; it is not known whether a group would take it: fourth: its machine template DevMachineTemplate/t is not on record; other: its machine template DevMachineTemplate/t is not on record; and 1 group more.\n",
		"\n  other   ?    its machine template DevMachineTemplate/t is not on record\n", "Whether a group would make room is not known.\n",
	} {
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%v: want %q:\n%s", err, want, got)
		}
	}
	for _, wrong := range []string{"no group would make any", "the annotations capacity", "\n  other: "} {
		if strings.Contains(got, wrong) {
			t.Errorf("the answer says %q:\n%s", wrong, got)
		}
	}
}
