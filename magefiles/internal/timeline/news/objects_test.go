package news

import (
	"testing"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// TestSameState: a state that is repeated with other numbers or fewer reasons is recorded once.
func TestSameState(t *testing.T) {
	t.Parallel()
	const network = "container runtime network not ready: NetworkReady=false"
	for name, c := range map[string]struct {
		what, before, after string
		want                bool
	}{
		"fewer complaints":     {timeline.NotReady, "KubeletNotReady: [PLEG is not healthy, " + network + ", CSINode is not yet initialized]", "KubeletNotReady: " + network, true},
		"the same":             {timeline.NotReady, "KubeletNotReady: " + network, "KubeletNotReady: " + network, true},
		"another complaint":    {timeline.NotReady, "KubeletNotReady: " + network, "KubeletNotReady: [" + network + ", PLEG is not healthy]", false},
		"another reason":       {timeline.NotReady, "KubeletNotReady: " + network, "NodeStatusUnknown: Kubelet stopped posting node status.", false},
		"other numbers":        {timeline.Unschedulable, "0/3 nodes are available: 2 Insufficient memory.", "0/4 nodes are available: 3 Insufficient memory.", true},
		"another circumstance": {timeline.Unschedulable, "0/3 nodes are available: 2 Insufficient memory.", "0/3 nodes are available: 2 Insufficient cpu.", false},
		"another phase":        {timeline.Phase, "Provisioned", "Running", false},
	} {
		if got := sameState(timeline.Fact{What: c.what, Text: c.before}, timeline.Fact{What: c.what, Text: c.after}); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// TestShapeOfAPodThatWaits: the numbers in what a scheduler says of a pod without a history change with every
// attempt. A shape that differs only in them is not recorded again; any other change is.
func TestShapeOfAPodThatWaits(t *testing.T) {
	t.Parallel()
	const few, more = "0/37 nodes are available: 37 Insufficient cpu.", "0/38 nodes are available: 38 Insufficient cpu."
	waits := func(message string, since time.Time) shape.Pod {
		return shape.Pod{Labels: map[string]string{"app": "agent"}, Waits: &shape.Wait{Since: since, Message: message}}
	}
	relabelled := waits(more, noon)
	relabelled.Labels = nil
	for name, c := range map[string]struct {
		after shape.Pod
		want  int
	}{
		"other numbers":  {waits(more, noon), 0},
		"another reason": {waits("0/37 nodes are available: 37 Insufficient memory.", noon), 1},
		"another time":   {waits(few, noon.Add(time.Minute)), 1},
		"other labels":   {relabelled, 1},
		"waits no more":  {shape.Pod{Labels: map[string]string{"app": "agent"}}, 1},
	} {
		shaped := func(p shape.Pod) timeline.Fact {
			return timeline.Fact{Time: noon, Kind: timeline.Pod, What: timeline.Shaped, Name: "kube-system/agent-1", UID: "p", Shape: shape.Encode(p), Source: timeline.Watch}
		}
		m := Objects{}
		m.Learn(shaped(waits(few, noon)))
		if got := m.Changes(noon, []timeline.Fact{shaped(c.after)}); len(got) != c.want {
			t.Errorf("%s: %d facts, want %d", name, len(got), c.want)
		}
	}
}

// TestHealthIsRecordedForEachProcess: also if another process reports what the one before it
// did.
func TestHealthIsRecordedForEachProcess(t *testing.T) {
	t.Parallel()
	m := Objects{}
	healthy := timeline.Fact{Time: noon, Kind: timeline.Autoscaler, What: timeline.Health, Group: "web", Text: "Healthy", Source: timeline.Status}
	for i, want := range []int{1, 0} {
		if got := m.Changes(noon, []timeline.Fact{healthy}); len(got) != want {
			t.Errorf("report %d: %d facts, want %d", i, len(got), want)
		}
		m.Learn(healthy)
	}
	m.Learn(timeline.Fact{Time: noon, Kind: timeline.Autoscaler, What: timeline.Started, Source: timeline.Log})
	if got := m.Changes(noon, []timeline.Fact{healthy}); len(got) != 1 {
		t.Errorf("after a restart: %d facts", len(got))
	}
}
