package removal

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/logfacts"
	"caslab/magefiles/internal/timeline/predicates"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/timelinetest"
	"caslab/magefiles/internal/timeline/world"
)

// record makes facts, one second after the other.
type record = timelinetest.Shapes

var start, resources, sizes = timelinetest.Start, timelinetest.Resources, timelinetest.Sizes

var (
	replicaSet = &shape.Owner{Kind: "ReplicaSet", Name: "web"}
	daemonSet  = &shape.Owner{Kind: "DaemonSet", Name: "agent"}
	mirror     = &shape.Owner{Kind: "Node", Name: "n"}
)

// stayRecord has the node n of the group g, and another node without a group.
func stayRecord(version string, flags map[string]string, size int, options map[string]string, node shape.Node) *record {
	r := &record{}
	r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: version})
	r.Shaped(timeline.Autoscaler, "", "", shape.Autoscaler{Flags: flags})
	annotations := sizes("3")
	annotations["cluster.x-k8s.io/cluster-api-autoscaler-node-group-min-size"] = "1"
	for option, value := range options {
		annotations["cluster.x-k8s.io/autoscaling-options-"+option] = value
	}
	r.Group(size, shape.Group{Annotations: annotations})
	r.Node("n", "g", node)
	r.Node("other", "", shape.Node{})
	return r
}

// stay returns the world of a record and what keeps the node n in it.
func stay(r *record) (*world.World, Stay) {
	w := world.At(*r, start.Add(time.Hour))
	return w, Of(fit.New(w), w.NodeOf("n"), w.GroupOf("g"))
}

// TestUsage: the decisive resource, with and without DaemonSets and static pods, beside the
// threshold, as the autoscaler's release computes it. The node has 4 CPUs and 8 GiB.
func TestUsage(t *testing.T) {
	t.Parallel()
	const byDefault = "(the default of --scale-down-utilization-threshold)"
	daemon := shape.Pod{Owner: daemonSet, Requests: resources("cpu=1600m")}
	for name, tc := range map[string]struct {
		release string
		pods    map[string]shape.Pod
		flags   map[string]string
		options map[string]string
		node    shape.Node
		want    string
		idle    bool
	}{
		"empty":             {want: "0% of memory is requested, below the threshold of 50% " + byDefault + "; cpu 0% 0%; memory 0% 0%", idle: true},
		"the larger counts": {pods: map[string]shape.Pod{"d/a": {Requests: resources("cpu=1", "memory=6Gi")}}, want: "75% of memory is requested, above the threshold of 50% " + byDefault + "; cpu 25% 25%; memory 75% 75%"},
		"DaemonSets count": {
			pods: map[string]shape.Pod{"d/a": daemon, "d/w": {Requests: resources("cpu=800m")}},
			want: "60% of cpu is requested, above the threshold of 50% " + byDefault + "; cpu 60% 33.3%; memory 0% 0%",
		},
		"DaemonSets leave the whole": {
			pods: map[string]shape.Pod{"d/a": daemon, "d/w": {Requests: resources("cpu=1200m")}}, flags: map[string]string{"ignore-daemonsets-utilization": "true"},
			want: "50% of cpu is requested, at the threshold of 50% " + byDefault + "; cpu 70% 50%; memory 0% 0%", idle: true,
		},
		"they did not at first": {
			pods: map[string]shape.Pod{"d/a": daemon, "d/w": {Requests: resources("cpu=1200m")}}, flags: map[string]string{"ignore-daemonsets-utilization": "true"}, release: "1.19.3",
			want: "30% of cpu is requested, below the threshold of 50% " + byDefault + "; cpu 70% 30%; memory 0% 0%", idle: true,
		},
		"static pods": {
			pods: map[string]shape.Pod{"d/a": {Owner: mirror, Requests: resources("cpu=2")}, "d/w": {Requests: resources("cpu=500m")}}, flags: map[string]string{"ignore-mirror-pods-utilization": "true"},
			want: "25% of cpu is requested, below the threshold of 50% " + byDefault + "; cpu 62.5% 25%; memory 0% 0%", idle: true,
		},
		"at the threshold": {pods: map[string]shape.Pod{"d/w": {Requests: resources("cpu=2")}}, want: "50% of cpu is requested, at the threshold of 50% " + byDefault + "; cpu 50% 50%; memory 0% 0%", idle: true},
		"at the threshold of old releases": {
			pods: map[string]shape.Pod{"d/w": {Requests: resources("cpu=2")}}, release: "1.34.2", want: "50% of cpu is requested, at the threshold of 50% " + byDefault + "; cpu 50% 50%; memory 0% 0%",
		},
		"by a flag": {
			pods: map[string]shape.Pod{"d/w": {Requests: resources("cpu=1")}}, flags: map[string]string{"scale-down-utilization-threshold": "0.2"},
			want: "25% of cpu is requested, above the threshold of 20% (--scale-down-utilization-threshold); cpu 25% 25%; memory 0% 0%",
		},
		"by an annotation": {
			pods: map[string]shape.Pod{"d/w": {Requests: resources("cpu=1")}}, options: map[string]string{"scaledownutilizationthreshold": "0.1"},
			want: "25% of cpu is requested, above the threshold of 10% (the group's annotation scaledownutilizationthreshold); cpu 25% 25%; memory 0% 0%",
		},
		"by an annotation that the release does not read": {
			pods: map[string]shape.Pod{"d/w": {Requests: resources("cpu=1")}}, options: map[string]string{"scaledownutilizationthreshold": "0.1"}, release: "1.30.7",
			want: "25% of cpu is requested, below the threshold of 50% " + byDefault + "; cpu 25% 25%; memory 0% 0%", idle: true,
		},
		"only GPUs": {
			pods: map[string]shape.Pod{"d/w": {Requests: resources("cpu=4")}}, node: shape.Node{Labels: map[string]string{fit.GPULabel: "k80"}},
			want: "0% of nvidia.com/gpu is requested, below the threshold of 50% (the default of --scale-down-gpu-utilization-threshold); nvidia.com/gpu 0% 0%", idle: true,
		},
		"a pod that should have ended": {
			pods: map[string]shape.Pod{"d/w": {Requests: resources("cpu=4"), Deleted: start.Add(time.Hour - 70*time.Second), Grace: 30}},
			want: "0% of memory is requested, below the threshold of 50% " + byDefault + "; cpu 0% 0%; memory 0% 0%", idle: true,
		},
		"expendable pods": {
			pods: map[string]shape.Pod{"d/cheap": {Priority: -11, Requests: resources("cpu=4")}, "d/w": {Priority: -10, Requests: resources("cpu=1")}},
			want: "25% of cpu is requested, below the threshold of 50% " + byDefault + "; cpu 25% 25%; memory 0% 0%", idle: true,
		},
		"a pod that ends": {
			pods: map[string]shape.Pod{"d/w": {Requests: resources("cpu=4"), Deleted: start.Add(time.Hour - 50*time.Second), Grace: 30}},
			want: "100% of cpu is requested, above the threshold of 50% " + byDefault + "; cpu 100% 100%; memory 0% 0%",
		},
	} {
		if tc.release == "" {
			tc.release = "1.36.1"
		}
		r := stayRecord(tc.release, tc.flags, 2, tc.options, tc.node)
		r.Bound("n", tc.pods)
		_, s := stay(r)
		got := s.Usage.String()
		for _, share := range s.Usage.Shares {
			got += fmt.Sprintf("; %s %s %s", share.Name, shape.Percent(share.All), shape.Percent(share.Without))
		}
		if got != tc.want || s.Usage.Idle != tc.idle || tc.idle != (len(s.Obstacles) == 0) {
			t.Errorf("%s: idle %t: %s\nwant %t: %s", name, s.Usage.Idle, got, tc.idle, tc.want)
		}
	}
}

// TestStay: what holds for the node and its group, and each pod that blocks its removal.
func TestStay(t *testing.T) {
	t.Parallel()
	pods := map[string]shape.Pod{
		"default/a-bare": {}, "default/b-unsafe": {Owner: replicaSet, Annotations: map[string]string{safeToEvict: "false"}}, "default/c-safe": {Annotations: map[string]string{safeToEvict: "true"}},
		"default/d-local": {Owner: replicaSet, EmptyDirs: []string{"scratch", "fine"}, HostPaths: []string{"socket"}, MemoryDirs: []string{"memory"}, Annotations: map[string]string{safeVolumes: "fine"}},
		"default/e-web":   {Owner: replicaSet, Labels: map[string]string{"app": "web"}}, "default/f-big": {Owner: replicaSet, NodeSelector: map[string]string{"tier": "gold"}},
		"default/g-custom": {Owner: &shape.Owner{Kind: "Rollout", Name: "x"}}, "default/h-daemon": {Owner: daemonSet, LocalVolumes: []string{"x"}}, "kube-system/static": {Owner: mirror},
		"default/i-last": {Owner: replicaSet, Annotations: map[string]string{safeToEvict: "on-completion"}},
		"kube-system/a":  {Owner: replicaSet}, "kube-system/b": {Owner: replicaSet, Labels: map[string]string{"app": "dns"}},
	}
	const (
		bare     = "default/a-bare: no controller would create it again"
		unsafe   = "default/b-unsafe: its annotation " + safeToEvict + " is false"
		local    = "default/d-local: it has local storage: the emptyDir scratch, the hostPath socket"
		budget   = "default/e-web: its PodDisruptionBudget web allows no eviction: minAvailable is 1 (healthy: 1 of 1 pod, needed: 1)"
		custom   = "default/g-custom: its controller is a Rollout, and --skip-nodes-with-custom-controller-pods keeps nodes with pods of such a controller"
		complete = "default/i-last: its annotation " + safeToEvict + " is on-completion: the node waits for its end"
		nowhere  = "default/f-big: it fits on no other node: selector tier=gold: no such label on the node (1 node)"
		system   = "kube-system/a: it is in kube-system, and no PodDisruptionBudget selects it"
		minimum  = "min reached: g wants 1 of at least 1"
	)
	for name, tc := range map[string]struct {
		release string
		flags   map[string]string
		health  string
		size    int
		node    shape.Node
		pods    map[string]shape.Pod
		want    []string
	}{
		"an unhealthy cluster": {size: 2, health: "Unhealthy", want: []string{"the autoscaler finds the cluster unhealthy, and removes no node: Unhealthy"}},
		"nothing":              {size: 2},
		"an expendable pod":    {size: 2, pods: map[string]shape.Pod{"default/cheap": {Priority: -11}}},
		"at its minimum":       {size: 1, want: []string{minimum}},
		"disabled":             {size: 2, node: shape.Node{Annotations: map[string]string{scaleDownDisabled: "true"}}, want: []string{"its annotation " + scaleDownDisabled + " is true"}},
		"by a flag":            {size: 2, flags: map[string]string{"scale-down-enabled": "false"}, want: []string{"--scale-down-enabled is false"}},
		"pods":                 {size: 2, pods: pods, flags: map[string]string{"blocking-system-pod-distruption-timeout": "30m0s"}, want: []string{bare, unsafe, local, budget, custom, complete, nowhere}},
		"pods that flags release": {
			size: 2, pods: pods, flags: map[string]string{"skip-nodes-with-local-storage": "false", "skip-nodes-with-custom-controller-pods": "false", "skip-nodes-with-system-pods": "false"},
			want: []string{bare, unsafe, budget, complete, nowhere},
		},
		// Until 1.32, a pod of kube-system blocked however old it was; before 1.36, nothing
		// waited for the end of a pod.
		"pods, in an old release": {size: 2, release: "1.32.7", pods: pods, want: []string{bare, unsafe, local, budget, custom, system, nowhere}},
		"pods that do not fit together": {
			size: 2, pods: map[string]shape.Pod{"d/a": {Owner: replicaSet, Requests: resources("cpu=900m")}, "d/b": {Owner: replicaSet, Requests: resources("cpu=900m")}},
			want: []string{"d/b: it fits on no other node: cpu: 300m missing (it requests 900m; 600m of 4 are free) (1 node)"},
		},
	} {
		if tc.release == "" {
			tc.release = "1.36.1"
		}
		r := stayRecord(tc.release, tc.flags, tc.size, nil, tc.node)
		if tc.health != "" {
			r.Add(timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Health, Text: tc.health, Source: timeline.Status})
		}
		r.Bound("n", tc.pods)
		r.Bound("other", map[string]shape.Pod{"d/full": {Requests: resources("cpu=2500m")}})
		one := shape.Budget{MinAvailable: "1", Healthy: 1, Desired: 1, Expected: 1}
		for name, app := range map[string]string{"default/web": "web", "kube-system/dns": "dns", "elsewhere/web": "web"} {
			b := one
			if app == "dns" {
				b.Allowed = 1
			}
			b.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
			r.Shaped(timeline.Budget, name, "", b)
		}
		r.Add(timeline.Fact{Kind: timeline.Budget, What: timeline.Shaped})
		w, s := stay(r)
		if again := Of(fit.New(w), w.NodeOf("n"), w.GroupOf("g")); len(again.Blockers) != len(s.Blockers) {
			t.Errorf("%s: asked again, %+v", name, again.Blockers)
		}
		var got []string
		for _, o := range s.Obstacles {
			got = append(got, o.Text)
		}
		for _, b := range s.Blockers {
			got = append(got, b.Pod+": "+b.Text)
		}
		if s.AtMinimum != nil {
			got = append(got, s.AtMinimum.Text)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
		}
	}
}

// TestANodeFullOfDaemons: if only DaemonSets or static pods fill a node, the answer names the flag
// that would ignore them, unless that flag is set.
func TestANodeFullOfDaemons(t *testing.T) {
	t.Parallel()
	const (
		change           = "fewer requests for cpu on the node, or a higher threshold"
		daemons, mirrors = "ignore-daemonsets-utilization", "ignore-mirror-pods-utilization"
	)
	with := func(owner *shape.Owner) shape.Pod { return shape.Pod{Owner: owner, Requests: resources("cpu=3")} }
	app, daemon, static := with(replicaSet), with(daemonSet), with(mirror)
	for name, tc := range map[string]struct {
		pods []shape.Pod
		flag string
		want string
	}{
		"an app":                              {pods: []shape.Pod{app}, want: change},
		"a DaemonSet":                         {pods: []shape.Pod{daemon}, want: change + ", or --" + daemons},
		"a DaemonSet, with the other flag":    {pods: []shape.Pod{daemon}, flag: mirrors, want: change + ", or --" + daemons},
		"a DaemonSet and an app":              {pods: []shape.Pod{daemon, app}, want: change},
		"a DaemonSet and an app, with a flag": {pods: []shape.Pod{daemon, app}, flag: daemons, want: change},
		"static pods":                         {pods: []shape.Pod{static}, want: change + ", or --" + mirrors},
		"static pods, with the other flag":    {pods: []shape.Pod{static}, flag: daemons, want: change + ", or --" + mirrors},
		"both":                                {pods: []shape.Pod{static, daemon}, want: change + ", or --" + daemons + " with --" + mirrors},
	} {
		r := stayRecord("1.36.1", map[string]string{tc.flag: "true"}, 2, nil, shape.Node{})
		pods := map[string]shape.Pod{}
		for i, pod := range tc.pods {
			pods[fmt.Sprintf("d/p%d", i)] = pod
		}
		r.Bound("n", pods)
		if _, s := stay(r); len(s.Obstacles) != 1 || s.Obstacles[0].Change != tc.want {
			t.Errorf("%s: the obstacles are %+v, want the change %s", name, s.Obstacles, tc.want)
		}
	}
}

// TestLocalStorage: what is local storage, and what releases it, depends on the release. An
// old record does not tell an emptyDir from a hostPath.
func TestLocalStorage(t *testing.T) {
	t.Parallel()
	pod := shape.Pod{Owner: replicaSet, EmptyDirs: []string{"a"}, MemoryDirs: []string{"m"}, HostPaths: []string{"h"}, Annotations: map[string]string{safeVolumes: "a,m"}}
	released := pod
	released.Annotations = map[string]string{safeVolumes: "a,h"}
	const evictable = "the annotation " + safeToEvict + `: "true" on the pod, or `
	for name, tc := range map[string]struct {
		release      string
		pod          shape.Pod
		want, change string
	}{
		"the newest":                 {"1.36.1", pod, "it has local storage: the hostPath h", evictable + safeVolumes + ": a,h, or --skip-nodes-with-local-storage=false"},
		"all released":               {"1.36.1", released, "", ""},
		"memory was local":           {"1.26.8", released, "it has local storage: the emptyDir in memory m", evictable + safeVolumes + ": a,m,h, or --skip-nodes-with-local-storage=false"},
		"no annotation released one": {"1.24.1", pod, "it has local storage: the emptyDir a, the emptyDir in memory m, the hostPath h", evictable + "--skip-nodes-with-local-storage=false"},
		"an old record":              {"1.36.1", shape.Pod{Owner: replicaSet, LocalVolumes: []string{"x"}}, "it has local storage: the emptyDir or hostPath x", evictable + safeVolumes + ": x, or --skip-nodes-with-local-storage=false"},
		"memory alone":               {"1.36.1", shape.Pod{Owner: replicaSet, MemoryDirs: []string{"m"}}, "", ""},
	} {
		r := stayRecord(tc.release, nil, 2, nil, shape.Node{})
		r.Bound("n", map[string]shape.Pod{"d/web-1": tc.pod})
		_, s := stay(r)
		got, change := "", ""
		for _, b := range s.Blockers {
			got, change = got+b.Text, change+b.Change
		}
		if got != tc.want || change != tc.change {
			t.Errorf("%s: %s (%s)\nwant %s (%s)", name, got, change, tc.want, tc.change)
		}
	}
}

// TestFewReplicas: --min-replica-count counts the pods of a ReplicaSet or a
// ReplicationController in their namespace, on all nodes, and comes before the annotation
// safe-to-evict.
func TestFewReplicas(t *testing.T) {
	t.Parallel()
	const custom = "skip-nodes-with-custom-controller-pods"
	safe := map[string]string{safeToEvict: "true"}
	for name, tc := range map[string]struct {
		flags map[string]string
		pod   shape.Pod
		want  string
	}{
		"the default":             {nil, shape.Pod{Owner: replicaSet}, ""},
		"as many":                 {map[string]string{"min-replica-count": "2"}, shape.Pod{Owner: replicaSet}, ""},
		"too few":                 {map[string]string{"min-replica-count": "3"}, shape.Pod{Owner: replicaSet}, "its ReplicaSet web has 2 pods, fewer than --min-replica-count=3"},
		"too few, safe to evict":  {map[string]string{"min-replica-count": "3"}, shape.Pod{Owner: replicaSet, Annotations: safe}, "its ReplicaSet web has 2 pods, fewer than --min-replica-count=3"},
		"an old controller":       {map[string]string{"min-replica-count": "2"}, shape.Pod{Owner: &shape.Owner{Kind: "ReplicationController", Name: "web"}}, "its ReplicationController web has 1 pod, fewer than --min-replica-count=2"},
		"a Job":                   {map[string]string{"min-replica-count": "3"}, shape.Pod{Owner: &shape.Owner{Kind: "Job", Name: "web"}}, ""},
		"controllers are trusted": {map[string]string{"min-replica-count": "3", custom: "false"}, shape.Pod{Owner: replicaSet}, ""},
		"no controller":           {map[string]string{"min-replica-count": "3"}, shape.Pod{Annotations: safe}, ""},
	} {
		r := stayRecord("1.36.1", tc.flags, 2, nil, shape.Node{})
		r.Bound("n", map[string]shape.Pod{"d/web-1": tc.pod})
		r.Bound("other", map[string]shape.Pod{"d/web-2": {Owner: replicaSet}, "elsewhere/web-3": {Owner: replicaSet}, "d/bare": {}})
		_, s := stay(r)
		got := ""
		for _, b := range s.Blockers {
			got += b.Text
		}
		if got != tc.want {
			t.Errorf("%s: %s\nwant %s", name, got, tc.want)
		}
	}
}

// TestCompletionIsAFactOfTheRelease: to releases that do not know the annotation's value
// on-completion, the pod is one that must move.
func TestCompletionIsAFactOfTheRelease(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]string{
		"1.35.2": "it fits on no other node: selector tier=gold: no such label on the node (1 node)",
		"1.36.1": "its annotation " + safeToEvict + " is on-completion: the node waits for its end",
	} {
		r := stayRecord(release, nil, 2, nil, shape.Node{})
		r.Bound("n", map[string]shape.Pod{"d/last": {Owner: replicaSet, Annotations: map[string]string{safeToEvict: "on-completion"}, NodeSelector: map[string]string{"tier": "gold"}}})
		if _, s := stay(r); len(s.Blockers) != 1 || s.Blockers[0].Text != want {
			t.Errorf("%s: %+v\nwant %s", release, s.Blockers, want)
		}
	}
}

// TestBudgetsOfSafePods: until 1.28, a PodDisruptionBudget blocked a pod that is safe to
// evict too.
func TestBudgetsOfSafePods(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]int{"1.28.7": 1, "1.29.0": 0} {
		r := stayRecord(release, nil, 2, nil, shape.Node{})
		r.Bound("n", map[string]shape.Pod{"d/safe": {Labels: map[string]string{"app": "web"}, Annotations: map[string]string{safeToEvict: "true"}}})
		r.Shaped(timeline.Budget, "d/web", "", shape.Budget{MaxUnavailable: "0", Selector: &metav1.LabelSelector{}})
		if _, s := stay(r); len(s.Blockers) != want {
			t.Errorf("%s: %+v", release, s.Blockers)
		}
	}
}

// TestSystemPodsAreEvictedLater: from 1.33 on, a pod of kube-system blocks for an hour. The
// record says whether budgets are known.
func TestSystemPodsAreEvictedLater(t *testing.T) {
	t.Parallel()
	r := stayRecord("1.36.1", map[string]string{"blocking-system-pod-distruption-timeout": "2h0m0s"}, 2, nil, shape.Node{})
	r.Bound("n", map[string]shape.Pod{"kube-system/a": {Owner: replicaSet}})
	w, s := stay(r)
	want := "it is in kube-system, and no PodDisruptionBudget is on record that selects it; it is evicted from 03:00:08 on, when it is 2h00m old"
	if w.BudgetsKnown || len(s.Blockers) != 1 || s.Blockers[0].Text != want {
		t.Errorf("%t, %+v\nwant %s", w.BudgetsKnown, s.Blockers, want)
	}
	// A budget that somebody saved need not be the only one.
	r.Shaped(timeline.Budget, "kube-system/other", "", shape.Budget{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}}})
	if w, s := stay(r); w.BudgetsKnown || len(w.Budgets) != 1 || s.Blockers[0].Text != want {
		t.Errorf("%t, %+v\nwant %s", w.BudgetsKnown, s.Blockers, want)
	}
	r.Add(timeline.Fact{Kind: timeline.Budget, What: timeline.Shaped, Name: "kube-system/other", UID: "kube-system/other"})
	r.Add(timeline.Fact{Kind: timeline.Budget, What: timeline.Shaped})
	if w, s := stay(r); !w.BudgetsKnown || len(w.Budgets) != 0 || !strings.HasPrefix(s.Blockers[0].Text, "it is in kube-system, and no PodDisruptionBudget selects it; ") {
		t.Errorf("%t, %+v", w.BudgetsKnown, s.Blockers)
	}
}

// timers returns the timers as texts of seconds after the start of the record.
func timers(all []Timer) string {
	var texts []string
	for _, t := range all {
		if !t.From.IsZero() {
			from := fmt.Sprint(t.From.Sub(start).Seconds())
			if t.OfLoop {
				from += " (of a loop)"
			}
			texts = append(texts, fmt.Sprintf("%s %s+%v (%s)", t.Name, from, t.Until.Sub(t.From).Seconds(), t.By))
		}
	}
	return strings.Join(texts, ", ")
}

// TestTimers: since when a node is unneeded, and the cool-downs, by what the autoscaler says
// of them or else by its decisions.
func TestTimers(t *testing.T) {
	t.Parallel()
	taint := timeline.Fact{Kind: timeline.Node, Name: "n", UID: "n", What: timeline.Tainted, Text: autoscaler.CandidateTaint}
	said := func(f timeline.Fact) timeline.Fact { f.Kind = timeline.Autoscaler; return f }
	since := func(seconds int) timeline.Fact {
		return said(timeline.Fact{What: timeline.Considered, Node: "n", Text: "is unneeded since " + start.Add(time.Duration(seconds)*time.Second).Format(autoscaler.TimeLayout)})
	}
	kept := func(text string) timeline.Fact {
		return said(timeline.Fact{What: timeline.Kept, Node: "n", Text: text})
	}
	logged := func(message string) timeline.Fact {
		f, ok := logfacts.Statement(speech.Parse("I1124 22:00:00.000000       1 a.go:1] "+message), start)
		if !ok || f.What != timeline.Kept || f.Node != "n" {
			t.Fatalf("%q: %+v", message, f)
		}
		f.Time = time.Time{}
		return f
	}
	up, down := said(timeline.Fact{What: timeline.ScaleUp, Group: "g"}), said(timeline.Fact{What: timeline.ScaleDown, Group: "other", Text: "Scale-down: removing empty node \"x\""})
	ends, fails := said(timeline.Fact{What: timeline.ScaleDown, Text: "All pods removed from x"}), said(timeline.Fact{What: timeline.Problem, Text: "Failed to scale down: x"})
	const (
		ten   = "600 (the default of --scale-down-"
		local = "scale-down-delay-type-local"
	)
	for name, tc := range map[string]struct {
		facts   []timeline.Fact
		flags   map[string]string
		options map[string]string
		want    string
	}{
		"nothing":         {},
		"by its taint":    {facts: []timeline.Fact{taint}, want: "unneeded 8+" + ten + "unneeded-time)"},
		"by its line":     {facts: []timeline.Fact{since(4), taint}, want: "unneeded 4+" + ten + "unneeded-time)"},
		"without a taint": {facts: []timeline.Fact{since(4)}, want: "unneeded 4+" + ten + "unneeded-time)"},
		"still unneeded, by its lines": {
			facts: []timeline.Fact{since(4), logged("n was unneeded for 9s"), logged("Skipping n - node group min size reached"), logged("Skipping n - minimal limit exceeded for [cpu]"), logged("Skipping scale down of n in this batch - would violate minimum limits")},
			want:  "unneeded 4+" + ten + "unneeded-time)",
		},
		"not judged, by its lines":     {facts: []timeline.Fact{since(4), logged("Skipping n - node group min size reached (current: 1, min: 1)")}},
		"needed again, by its lines":   {facts: []timeline.Fact{since(4), kept("cpu requested (60% of allocatable) is above the scale-down utilization threshold")}},
		"unneeded again, by its lines": {facts: []timeline.Fact{since(4), kept("default/a is not replicated"), since(7)}, want: "unneeded 7+" + ten + "unneeded-time)"},
		"an older line":                {facts: []timeline.Fact{since(9), taint}, want: "unneeded 9+" + ten + "unneeded-time)"},
		"needed again":                 {facts: []timeline.Fact{since(4), taint, {Kind: timeline.Node, Name: "n", UID: "n", What: timeline.Untainted, Text: autoscaler.CandidateTaint}}},
		"by a flag":                    {facts: []timeline.Fact{taint}, flags: map[string]string{"scale-down-unneeded-time": "30s"}, want: "unneeded 8+30 (--scale-down-unneeded-time)"},
		"by an annotation": {
			facts: []timeline.Fact{taint}, options: map[string]string{"scaledownunneededtime": "1m"}, want: "unneeded 8+60 (the group's annotation scaledownunneededtime)",
		},
		"not Ready": {
			facts: []timeline.Fact{taint, {Kind: timeline.Node, Name: "n", UID: "n", What: timeline.NotReady}}, want: "unneeded 8+1200 (the default of --scale-down-unready-time)",
		},
		"by decisions": {
			facts: []timeline.Fact{up, down, ends, fails},
			want:  "after adding nodes 8+" + ten + "delay-after-add), after deleting nodes 9+0 (the default of --scale-down-delay-after-delete), after a failure 11+180 (the default of --scale-down-delay-after-failure)",
		},
		"by its own words": {
			facts: []timeline.Fact{up, said(timeline.Fact{What: timeline.Shaped, Shape: shape.Encode(shape.Autoscaler{CoolDown: &shape.CoolDown{Add: start.Add(5 * time.Second), Delete: start.Add(-time.Hour)}})})},
			want:  "after adding nodes 5 (of a loop)+" + ten + "delay-after-add)",
		},
		"by its own words, at once": {
			facts: []timeline.Fact{up, said(timeline.Fact{What: timeline.Shaped, Shape: shape.Encode(shape.Autoscaler{CoolDown: &shape.CoolDown{Add: start.Add(8 * time.Second)}})})},
			want:  "after adding nodes 8+" + ten + "delay-after-add)",
		},
		"of its group": {facts: []timeline.Fact{up, down}, flags: map[string]string{local: "true"}, want: "after adding nodes 8+" + ten + "delay-after-add)"},
		"forgotten":    {facts: []timeline.Fact{up, {Kind: timeline.Lab, What: timeline.Step, Time: start.Add(time.Minute)}, said(timeline.Fact{What: timeline.Started, Time: start.Add(time.Minute)})}},
	} {
		r := stayRecord("1.36.1", tc.flags, 2, tc.options, shape.Node{})
		for _, f := range tc.facts {
			at := f.Time
			r.Add(f)
			if !at.IsZero() {
				(*r)[len(*r)-1].Time = at
			}
		}
		if _, s := stay(r); timers(s.Timers) != tc.want {
			t.Errorf("%s: %s\nwant %s", name, timers(s.Timers), tc.want)
		}
	}
}

// TestGoing: what the removal of a node waits for, step by step.
func TestGoing(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 27, 1, 0, 0, 0, time.Local)
	deleting := func(step, message string, hooks ...string) *shape.Machine {
		return &shape.Machine{Deletion: &shape.Deletion{Since: since, Step: step, Message: message, Hooks: hooks}}
	}
	const (
		hook  = "pre-drain.delete.hook.machine.cluster.x-k8s.io/backup"
		later = "pre-terminate.delete.hook.machine.cluster.x-k8s.io/etcd"
		head  = "the deletion of its Machine m began at 01:00:00, and waits for "
	)
	for name, tc := range map[string]struct {
		machine *shape.Machine
		facts   []timeline.Fact
		pods    map[string]shape.Pod
		want    string
	}{
		"nothing": {},
		"drained by the autoscaler": {
			facts: []timeline.Fact{{Kind: timeline.Node, What: timeline.Tainted, Name: "n", UID: "n", Text: autoscaler.DeletedTaint}},
			pods:  map[string]shape.Pod{"d/a": {Owner: replicaSet}, "d/b": {Labels: map[string]string{"app": "web"}}, "d/c": {Deleted: since}, "d/d": {Owner: daemonSet}, "d/e": {Priority: -11}},
			want: "the autoscaler drains it, and gives its pods 10m00s to end (the default of --max-graceful-termination-sec)\n  d/a: it has not been evicted yet\n" +
				"  d/b: its PodDisruptionBudget web allows no eviction: maxUnavailable is 0 (healthy: 0 of 0 pods, needed: 0)\n  d/c: it is being deleted, and has until 01:00:00 to end",
		},
		"drained": {
			facts: []timeline.Fact{{Kind: timeline.Node, What: timeline.Tainted, Name: "n", UID: "n", Text: autoscaler.DeletedTaint}},
			want:  "the autoscaler deletes it; no pod that it must evict is on record, and its Machine is not marked yet",
		},
		"marked":             {facts: []timeline.Fact{{Kind: timeline.Machine, What: timeline.Marked, Name: "m", UID: "m"}}, want: "its Machine m is marked for deletion, and Cluster API has not begun to delete it"},
		"no longer marked":   {facts: []timeline.Fact{{Kind: timeline.Machine, What: timeline.Marked, Name: "m", UID: "m"}, {Kind: timeline.Machine, What: timeline.Unmarked, Name: "m", UID: "m"}}},
		"an older record":    {facts: []timeline.Fact{{Kind: timeline.Machine, What: timeline.Phase, Name: "m", UID: "m", Text: "Deleting"}}, want: "its Machine m is being deleted; the record does not say what the deletion waits for"},
		"no condition":       {machine: deleting("", ""), want: "the deletion of its Machine m began at 01:00:00; no condition says what it waits for"},
		"an unknown step":    {machine: deleting("Praying", "for rain"), want: "the deletion of its Machine m began at 01:00:00: Praying: for rain"},
		"a hook":             {machine: deleting("WaitingForPreDrainHook", "", hook, later), want: head + "a hook before the drain\n  the hook backup → its owner removes the annotation " + hook + " from the Machine m"},
		"the other hook":     {machine: deleting("WaitingForPreTerminateHook", "", later), want: head + "a hook before its infrastructure is deleted\n  the hook etcd → its owner removes the annotation " + later + " from the Machine m"},
		"its infrastructure": {machine: deleting("WaitingForInfrastructureDeletion", "Waiting for DevMachine to be deleted"), want: head + "its infrastructure to be deleted: Waiting for DevMachine to be deleted"},
		"a drain": {
			machine: deleting("DrainingNode", "Drain not completed yet:\n* Pod d/b: cannot evict pod\n"), pods: map[string]shape.Pod{"d/b": {Labels: map[string]string{"app": "web"}}, "d/c": {Priority: -11}},
			want: head + "Cluster API's drain of the node: Drain not completed yet:\n  Pod d/b: cannot evict pod\n  d/b: its PodDisruptionBudget web allows no eviction: maxUnavailable is 0 (healthy: 0 of 0 pods, needed: 0)\n  d/c: it has not been evicted yet",
		},
	} {
		r := stayRecord("1.36.1", nil, 2, nil, shape.Node{})
		r.Shaped(timeline.Budget, "d/web", "", shape.Budget{MaxUnavailable: "0", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}})
		if tc.machine == nil {
			tc.machine = &shape.Machine{}
		}
		r.Shaped(timeline.Machine, "m", "g", tc.machine)
		r.Bound("n", tc.pods)
		for _, f := range tc.facts {
			r.Add(f)
		}
		w := world.At(*r, start.Add(time.Hour))
		got := ""
		if g := GoingOf(w, w.NodeOf("n"), w.MachineOf("m", "")); g != nil {
			got = g.Text
			for _, o := range g.Details {
				got += "\n  " + o.Text
				if strings.Contains(o.Change, "annotation") {
					got += " → " + o.Change
				}
			}
		}
		if got != tc.want {
			t.Errorf("%s: %s\nwant %s", name, got, tc.want)
		}
	}
}

// TestConsult: the filters are asked for the pods that must leave the node, and not for others.
func TestConsult(t *testing.T) {
	t.Parallel()
	r := stayRecord("1.36.1", nil, 2, nil, shape.Node{})
	spread := []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone}}
	r.Bound("n", map[string]shape.Pod{"d/bare": {Spread: spread}, "d/web": {Owner: replicaSet, Spread: spread}})
	w := world.At(*r, start.Add(time.Hour))
	j, n := fit.New(w), w.NodeOf("n")
	var q predicates.Request
	err := Consult(t.Context(), j, func(_ context.Context, r predicates.Request) (predicates.Answer, error) {
		q = r
		return predicates.Answer{Version: "v1.36.1", Pods: []predicates.Verdicts{{"other": {{Plugin: "PodTopologySpread", Reasons: []string{predicates.SpreadWantsLabel}}}}}}, nil
	}, n)
	if err != nil || len(q.Ask) != 1 || q.Ask[0].Name != "web" || len(q.Pods) != 1 || q.Pods[0].Name != "bare" || Filters(j, n) != "v1.36.1" {
		t.Errorf("asked %+v, %v, by the filters %q", q, err, Filters(j, n))
	}
	s := Of(j, n, w.GroupOf("g"))
	const want = "it fits on no other node: topology spread over topology.kubernetes.io/zone: no such label on the node (1 node)"
	if len(s.Blockers) != 2 || s.Blockers[1].Pod != "d/web" || s.Blockers[1].Text != want || slices.ContainsFunc(s.Unjudged, func(u string) bool { return strings.Contains(u, "spread") }) {
		t.Errorf("%+v, not judged %q", s.Blockers, s.Unjudged)
	}
}
