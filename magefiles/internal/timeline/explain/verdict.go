package explain

import (
	"context"
	"slices"
	"strings"

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

// verdicts gives the verdicts on the pods of a Model, then on those of the next. The cluster at the
// record's end is the same for all of them, and is built once.
type verdicts struct {
	explainer
	// judged is how many pods of the Model that still wait were judged.
	judged int
}

func verdictsOf(facts []timeline.Fact, o Options) *verdicts {
	byTime := slices.SortedStableFunc(slices.Values(facts), func(a, b timeline.Fact) int { return a.Time.Compare(b.Time) })
	return &verdicts{explainer: explainer{Options: o, facts: byTime}}
}

// of returns the verdict on a pod of a Model.
func (v *verdicts) of(ctx context.Context, m *history.Model, w history.PodWhy) string {
	if v.Model != m {
		v.Model, v.judged = m, 0
	}
	if w.Pod.Pending() {
		if v.judged == maxVerdicts {
			return w.Verdict()
		}
		v.judged++
	}
	text, _ := v.verdict(ctx, w)
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
