package fit

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/predicates"
	"caslab/magefiles/internal/timeline/shape"
)

// crowd is a record with 50 groups, 200 nodes, 1,000 pods, and 1,000 claims with their volumes. The pod
// default/p waits, with claims and a topology spread.
func crowd() record {
	var r record
	for i := range 50 {
		name := fmt.Sprintf("g%d", i)
		r.Shaped(timeline.Group, name, name, shape.Group{Namespace: "default", Annotations: sizes("9", cpu4, mem8)})
	}
	r.Shaped(timeline.DaemonSet, "kube-system/agent", "", shape.Pod{Owner: &shape.Owner{Kind: "DaemonSet", Name: "agent"}, Requests: quantities("cpu=100m")})
	for i := range 200 {
		name := fmt.Sprintf("n%d", i)
		r.Node(name, fmt.Sprintf("g%d", i%25), shape.Node{Labels: map[string]string{zone: fmt.Sprint(i % 3), corev1.LabelHostname: name}})
		pods := map[string]shape.Pod{}
		for k := range 5 {
			pods[fmt.Sprintf("default/web-%d-%d", i, k)] = shape.Pod{Labels: web.MatchLabels, Requests: quantities("cpu=100m"), Claims: []string{fmt.Sprintf("data-%d-%d", i, k)}}
		}
		r.Bound(name, pods)
		for k := range 5 {
			claim := fmt.Sprintf("data-%d-%d", i, k)
			r.Shaped(timeline.Claim, "default/"+claim, "", json.RawMessage(`{"metadata":{"namespace":"default","name":"`+claim+`"},"spec":{"volumeName":"`+claim+`"}}`))
			r.Shaped(timeline.Volume, claim, "", json.RawMessage(`{"metadata":{"name":"`+claim+`"},"spec":{"claimRef":{"namespace":"default","name":"`+claim+`"},"nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["x"]}]}]}}}}`))
		}
	}
	for _, kind := range []timeline.Kind{timeline.DaemonSet, timeline.Namespace, timeline.Claim, timeline.Volume, timeline.StorageClass, timeline.CSINode} {
		r.Add(timeline.Fact{Kind: kind, What: timeline.Shaped})
	}
	r.Waits(shape.Pod{Labels: web.MatchLabels, Requests: quantities("cpu=1"), Claims: []string{"data-0-0"}, Spread: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: zone, LabelSelector: web}}})
	return r
}

// ask answers what an answer about default/p asks of a judge.
func ask(tb testing.TB, j *Judge, refused Scheduler) {
	tb.Helper()
	p := j.PodOf("", "default/p")
	if err := j.Consult(tb.Context(), refused, p); err != nil {
		tb.Fatal(err)
	}
	if n := len(j.Verdicts(p)); n != 50 {
		tb.Fatalf("%d verdicts", n)
	}
	if room, refusals := j.Room(p), j.Refusals(p); len(room) != 0 || len(refusals) == 0 {
		tb.Fatalf("room on %d nodes", len(room))
	}
}

// TestACrowdIsReadOnce: an answer about a large cluster decodes no object, and parses no selector, for
// each node anew. Then it would allocate millions of times; it allocates 256,000 times, and 301,000 times
// under the race detector, which empties pools of memory at random.
func TestACrowdIsReadOnce(t *testing.T) {
	r := crowd()
	for _, refused := range []Scheduler{refuse("VolumeBinding", predicates.VolumeIsElsewhere), refuse("PodTopologySpread", predicates.SpreadRefuses)} {
		j := judged(r, start.Add(24*time.Hour))
		const most = 600_000
		if n := testing.AllocsPerRun(1, func() { ask(t, j, refused) }); n > most {
			t.Errorf("%.0f allocations, want at most %d", n, most)
		}
	}
}

// BenchmarkCrowd measures an answer about a large cluster: at most a second is fine.
func BenchmarkCrowd(b *testing.B) {
	r := crowd()
	for b.Loop() {
		ask(b, judged(r, start.Add(24*time.Hour)), refuse("VolumeBinding", predicates.VolumeIsElsewhere))
	}
}
