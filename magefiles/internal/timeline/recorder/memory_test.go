package recorder

import (
	"testing"

	"caslab/magefiles/internal/timeline"
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
