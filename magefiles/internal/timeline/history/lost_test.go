package history

import (
	"strings"
	"testing"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/timelinetest"
)

// TestPodsThatOnlyTheAutoscalerNamesEnd: a pod of which only the autoscaler speaks ends at the decision after which
// the autoscaler does not speak of it again. It is not said to be deleted.
func TestPodsThatOnlyTheAutoscalerNamesEnd(t *testing.T) {
	t.Parallel()
	b := timelinetest.New()
	recorded := b.Pods(5, "recorded", 1)[0]
	b.Log(10, "Pod default/lost is unschedulable")
	b.Log(10, "Pod default/waits is unschedulable")
	b.Add(10, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Name: "default/event", Text: "pod didn't trigger scale-up: 1 Insufficient cpu", Source: timeline.Event})
	b.Log(15, "Scale-up: setting group MachineDeployment/default/web size to 3")
	b.Log(20, "Pod default/waits is unschedulable")
	for _, tc := range []struct {
		until time.Duration
		lost  string
	}{{time.Minute, ""}, {3 * time.Minute, "default/lost"}, {time.Hour, "default/lost default/event"}} {
		m := Until(b.At(15).Add(tc.until), b.Record())
		var lost []string
		for _, p := range m.Pods {
			if p.Lost.IsZero() != p.Pending() || !p.Gone.IsZero() {
				t.Errorf("%s after the decision: %s is lost at %s, gone at %s, pending: %t", tc.until, p.Name, p.Lost, p.Gone, p.Pending())
			}
			if !p.Lost.IsZero() {
				lost = append(lost, p.Name)
			}
			if p.Name == recorded && !p.Lost.IsZero() {
				t.Errorf("%s, of which other facts are on record, is lost", recorded)
			}
		}
		if got := strings.Join(lost, " "); got != tc.lost {
			t.Errorf("%s after the decision: %q are lost, want %q", tc.until, got, tc.lost)
		}
	}
	m := Until(b.At(1000), b.Record())
	want := "waited for at least 5s; the autoscaler has not mentioned it since 22:00:15, and the record has no other fact about it"
	if got := m.PodWhy(m.PodsNamed("lost")[0]).Verdict(); got != want {
		t.Errorf("said: %s\nwant: %s", got, want)
	}
}

// TestPodsThatTheAutoscalerDoesNotNameAreNotLost: the autoscaler names only some of many pods that wait, and none
// after it stopped.
func TestPodsThatTheAutoscalerDoesNotNameAreNotLost(t *testing.T) {
	t.Parallel()
	for name, add := range map[string]func(*timelinetest.Builder){
		"some are named": func(b *timelinetest.Builder) {
			b.Log(15, "Scale-up: setting group MachineDeployment/default/web size to 3")
			b.Log(20, "280 other pods are also unschedulable")
		},
		"the autoscaler stopped": func(b *timelinetest.Builder) {
			b.Add(15, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Stopped, Source: timeline.Log})
		},
	} {
		b := timelinetest.New()
		b.Log(10, "Pod default/waits is unschedulable")
		add(b)
		if p := Until(b.At(1000), b.Record()).PodsNamed("waits")[0]; !p.Lost.IsZero() || !p.Pending() {
			t.Errorf("%s: the pod is lost at %s, pending: %t", name, p.Lost, p.Pending())
		}
	}
}
