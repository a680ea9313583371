package explain

import (
	"strings"
	"testing"

	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/shape"
)

// TestVerdictsAreThoseOfTheAnswers: a page says of each pod what the answer about the pod begins with,
// also where the autoscaler's log says something else.
func TestVerdictsAreThoseOfTheAnswers(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	lost := c.Pods(10, "lost", 1)[0]
	c.pod(10, lost, "", shape.Pod{Scheduler: "nobody", Requests: requests("100m", "64Mi")})
	c.Log(20, "No expansion options")
	big := c.Pods(30, "big", 1)[0]
	c.pod(30, big, "", shape.Pod{Requests: requests("64", "1Gi")})
	m := history.New(c.Record())
	verdict := Verdicts(t.Context(), c.Record(), Options{})
	for pod, want := range map[string]string{lost: "scheduler and autoscaler disagree: it has room on ", big: "web would not take it: "} {
		w := m.PodWhy(m.PodsNamed(pod)[0])
		text, err := Text(t.Context(), c.Record(), "pod/"+pod, Options{})
		first, _, _ := strings.Cut(text, ".\n")
		if got := "pod " + pod + " " + verdict(m, w); err != nil || got != first || !strings.Contains(got, want) {
			t.Errorf("%v: the verdict is\n%s\nwant %q, and the answer begins with\n%s", err, got, want, first)
		}
		if strings.Contains(w.Verdict(), want) {
			t.Errorf("the test cannot fail: the history says %s", w.Verdict())
		}
	}
}

// TestVerdictsOfManyPods: of many pods that wait, the first ones are judged, and all have a verdict.
func TestVerdictsOfManyPods(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	for _, pod := range c.Pods(10, "crowd", maxVerdicts+50) {
		c.pod(20, pod, "", shape.Pod{Requests: requests("5", "1Gi")})
	}
	m := history.New(c.Record())
	verdict, judged := Verdicts(t.Context(), c.Record(), Options{}), 0
	for _, w := range m.PodWhys() {
		text := verdict(m, w)
		if strings.Contains(text, "web would not take it: cpu: ") {
			judged++
		} else if text != w.Verdict() {
			t.Errorf("%s: %s", w.Pod.Name, text)
		}
	}
	if judged != maxVerdicts {
		t.Errorf("%d pods are judged, want %d", judged, maxVerdicts)
	}
}

// TestVerdictsOfSeveralModels: a report has several Models of the same facts. The cluster at the record's
// end is built for the first of them. Each has the same verdicts, and as many.
func TestVerdictsOfSeveralModels(t *testing.T) {
	t.Parallel()
	c := newCluster(0)
	for _, pod := range c.Pods(10, "crowd", maxVerdicts) {
		c.pod(20, pod, "", shape.Pod{Requests: requests("5", "1Gi")})
	}
	v := verdictsOf(c.Record(), Options{})
	var latest *fit.Judge
	for range 3 {
		m := history.New(c.Record())
		for _, w := range m.PodWhys() {
			if text := v.of(t.Context(), m, w); !strings.Contains(text, "web would not take it: cpu: ") {
				t.Errorf("%s: %s", w.Pod.Name, text)
			}
		}
		if latest != nil && v.latest != latest {
			t.Error("the cluster is built again for another Model")
		}
		latest = v.latest
	}
	if latest == nil {
		t.Error("the cluster is never built")
	}
}
