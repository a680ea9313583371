package explain

import (
	"slices"
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/golden"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// idleCluster is a cluster with a pod that waits and an autoscaler that stopped at second 30.
// Whether the pod has room on a node depends on free.
func idleCluster(free bool) (c *cluster, pod string) {
	c = newCluster(0)
	if !free {
		for _, node := range []string{c.node, c.other} {
			c.pod(2, "default/full-"+node, node, shape.Pod{Requests: requests("3", "1Gi"), Owner: &shape.Owner{Kind: "ReplicaSet", Name: "full"}})
		}
	}
	pod = c.Pods(10, "shop", 1)[0]
	c.pod(10, pod, "", shape.Pod{Requests: requests("3", "1Gi")})
	c.Log(12, "Pod "+pod+" is unschedulable")
	c.Log(13, "W Disabling scale-up for node group MachineDeployment/default/web until "+c.At(900).Format("2006-01-02 15:04:05.999999999 -0700 MST")+" m=+360.1; errorClass=Other; errorCode=timeout")
	c.Add(14, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Health, Group: "web", Text: "Unhealthy, scale-up Backoff", Source: timeline.Status})
	c.Log(15, "Skipping node group MachineDeployment/default/web - max size reached")
	c.Log(16, c.node+" is unneeded since "+c.At(16).Format("2006-01-02 15:04:05.999999999 -0700 MST")+" m=+1.2 duration 0s")
	c.on(16, timeline.Node, timeline.Tainted, "DeletionCandidateOfClusterAutoscaler")
	c.Log(30, "Cleaned up, exiting...")
	c.on(600, timeline.Node, timeline.Ready, "")
	return c, pod
}

// TestExplainAnEnd: why a process ended, which only the lab or its pod knows, is in every answer.
func TestExplainAnEnd(t *testing.T) {
	t.Parallel()
	c, pod := idleCluster(false)
	c.Facts = slices.DeleteFunc(c.Facts, func(f timeline.Fact) bool { return f.What == timeline.Stopped })
	c.Add(31, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Stopped, Text: "signal: killed", Source: timeline.Own})
	for what, want := range map[string]string{
		"pod/" + pod:     "no autoscaler has run since 22:00:31 (signal: killed)",
		"node/" + c.node: "no autoscaler has run since 22:00:31 (signal: killed)",
		autoscalerWord:   "to 22:00:31 and has stopped: signal: killed.",
	} {
		if got, err := Text(t.Context(), c.Record(), what, Options{}); err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v: want %q:\n%s", what, err, want, got)
		}
	}
	// The end of an earlier process says nothing of this one.
	c.Log(40, "Cluster Autoscaler 1.36.1")
	c.Add(60, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Stopped, Source: timeline.Own})
	if got, err := Text(t.Context(), c.Record(), autoscalerWord, Options{}); err != nil || !strings.Contains(got, "to 22:01:00 and has stopped.") {
		t.Errorf("%v:\n%s", err, got)
	}
}

// TestExplainWithoutAnAutoscaler: when the autoscaler has stopped, every answer says so, and
// what to type. None claims what only an autoscaler that runs does or knows.
func TestExplainWithoutAnAutoscaler(t *testing.T) {
	t.Parallel()
	const stopped = "no autoscaler has run since 22:00:30"
	never := []string{"isagree", "agree?", "the autoscaler adds", "the autoscaler does", "the autoscaler looks", "backed off", "unhealthy", "may remove it", "more, until", "Backoff", "back-off"}
	for _, free := range []bool{false, true} {
		c, pod := idleCluster(free)
		for _, what := range []string{"pod/" + pod, "node/" + c.node, "group/web", "autoscaler"} {
			got, err := Text(t.Context(), c.Record(), what, Options{Start: "TYPE THIS"})
			want := stopped
			if what == autoscalerWord {
				want = "ran from 22:00:01 to 22:00:30 and has stopped"
			}
			if err != nil || !strings.Contains(strings.ToLower(got), want) {
				t.Errorf("%s: %v: want %q:\n%s", what, err, want, got)
			}
			// A pod that has room needs no autoscaler.
			if roomy := free && strings.HasPrefix(what, "pod/"); strings.Contains(got, "o start one, type: TYPE THIS\n") == roomy {
				t.Errorf("%s: what to type:\n%s", what, got)
			}
			before, _, _ := strings.Cut(got, "What the autoscaler said meanwhile") // that is the past
			for _, claim := range never {
				if what != autoscalerWord && what != "group/web" && strings.Contains(before, claim) {
					t.Errorf("%s: %q, though none runs:\n%s", what, claim, got)
				}
			}
		}
	}
	c, pod := idleCluster(false)
	for file, what := range map[string]string{"idle-pod.txt": "pod/" + pod, "idle-node.txt": "node/" + c.node, "idle-autoscaler.txt": autoscalerWord} {
		got, err := Text(t.Context(), c.Record(), what, Options{Start: "TYPE THIS"})
		if err != nil {
			t.Error(err)
			continue
		}
		golden.Check(t, file, got)
	}
	// Without a command, no answer has one.
	if got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{}); err != nil || strings.Contains(got, "type") || !strings.Contains(got, "\n  an autoscaler that runs\n") {
		t.Errorf("%v:\n%s", err, got)
	}
}

// TestExplainNeverAnAutoscaler: a record without an autoscaler is told from one in which it
// stopped.
func TestExplainNeverAnAutoscaler(t *testing.T) {
	t.Parallel()
	c, pod := idleCluster(false)
	facts := slices.DeleteFunc(c.Record(), func(f timeline.Fact) bool { return f.Kind == timeline.Autoscaler })
	for _, what := range []string{"pod/" + pod, "node/" + c.node, "group/web"} {
		if got, err := Text(t.Context(), facts, what, Options{}); err != nil || !strings.Contains(strings.ToLower(got), "no autoscaler is on record") || strings.Contains(got, "isagree") {
			t.Errorf("%s: %v:\n%s", what, err, got)
		}
	}
}

// TestExplainASilentAutoscaler: one that logged its loops and then nothing for minutes is not
// said to disagree; one whose loops are not on record may have nothing to log, and one whose
// loops are long or rare is not silent yet.
func TestExplainASilentAutoscaler(t *testing.T) {
	t.Parallel()
	const killed, disagrees = "the autoscaler has logged nothing since 22:00:30, and may have been killed, or it is in a debugger", "They disagree: according to the facts web would take it"
	for name, tc := range map[string]struct {
		loops *shape.Loops
		scan  string
		want  string
	}{
		"no loops":   {want: disagrees},
		"silent":     {loops: &shape.Loops{N: 1}, want: killed},
		"rare loops": {loops: &shape.Loops{N: 1}, scan: "4m50s", want: disagrees},
		"long loops": {loops: &shape.Loops{N: 1, Longest: 5 * time.Minute}, want: disagrees},
	} {
		c, pod := idleCluster(false)
		c.Facts = slices.DeleteFunc(c.Record(), func(f timeline.Fact) bool {
			return f.What == timeline.Stopped || f.What == timeline.Refused && f.Group == "web" || f.What == timeline.Health
		})
		process := shape.Autoscaler{Loops: tc.loops}
		if tc.scan != "" {
			process.Flags = map[string]string{"scan-interval": tc.scan}
		}
		if tc.loops != nil {
			tc.loops.From, tc.loops.Last = c.At(20), c.At(30)
			c.Add(30, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Shaped, Source: timeline.Log, Shape: shape.Encode(process)})
		}
		if got, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{}); err != nil || !strings.Contains(got, tc.want) || strings.Contains(got, "isagree") != (tc.want == disagrees) {
			t.Errorf("%s: %v: want %q:\n%s", name, err, tc.want, got)
		}
	}
}
