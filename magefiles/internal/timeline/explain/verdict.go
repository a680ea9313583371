package explain

import (
	"context"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/render"
)

// Verdicts returns a function that says in a sentence, without the pod's name, why a pod waited and
// what became of it: the first sentence of the answer about the pod. It is for Models of these facts.
// It judges the first maxVerdicts pods that still wait, and says of the others what the autoscaler
// logged. Leave Options.Scheduler nil if asking the filters for each of them takes too long; what only
// they can judge is then named as not judged.
func Verdicts(ctx context.Context, facts []timeline.Fact, o Options) render.Verdict {
	v := verdictsOf(facts, o)
	return func(m *history.Model, w history.PodWhy) string { return v.of(ctx, m, w) }
}

// verdicts gives the verdicts on the pods of Models of the same facts. The cluster at the record's end
// is built once, and each pod is judged once.
type verdicts struct {
	explainer
	// judged is how many pods that still wait were judged, and known has the verdicts.
	judged int
	known  map[podKey]string
}

// podKey identifies a pod in all Models of the same facts. A later pod may have its name.
type podKey struct {
	name  string
	began time.Time
}

func verdictsOf(facts []timeline.Fact, o Options) *verdicts {
	byTime := slices.SortedStableFunc(slices.Values(facts), func(a, b timeline.Fact) int { return a.Time.Compare(b.Time) })
	return &verdicts{explainer: explainer{Options: o, facts: byTime}, known: map[podKey]string{}}
}

// of returns the verdict on a pod of a Model.
func (v *verdicts) of(ctx context.Context, m *history.Model, w history.PodWhy) string {
	if !w.Pod.Pending() {
		return w.Verdict()
	}
	key := podKey{w.Pod.Name, w.Pod.Began()}
	text, asked := v.known[key]
	if !asked {
		if v.judged == maxVerdicts {
			return w.Verdict()
		}
		v.judged++
		v.Model = m
		text, _ = v.verdict(ctx, w)
		v.known[key] = text
	}
	return text
}

// maxVerdicts bounds the time for a page: a verdict on a pod that waits, with fifty groups, takes some
// hundredths of a second.
const maxVerdicts = 50

// verdict returns the first sentence of the answer about a pod, and what the facts say of it; nil if
// the pod does not wait, or if the record lacks what it asks for.
func (e *explainer) verdict(ctx context.Context, w history.PodWhy) (string, *waiting) {
	p, text := w.Pod, w.Verdict()
	if !p.Pending() {
		return text, nil
	}
	idle, facts := e.idle(), e.waitOf(ctx, p, w)
	if facts == nil || w.Decision != nil && facts.coming() {
		if idle != "" {
			text += "; " + idle
		}
		return text, facts
	}
	decided, reason := "", facts.reason()
	if facts.decided != nil {
		decided = facts.decided.words()
	}
	if facts.coming() {
		reason = ""
	}
	return strings.Join(slices.DeleteFunc([]string{w.Wait(), idle, decided, reason}, func(s string) bool { return s == "" }), "; "), facts
}
