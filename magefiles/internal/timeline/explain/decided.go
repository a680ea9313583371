package explain

import (
	"fmt"
	"slices"
	"time"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/world"
)

// decided is an enlargement that may explain why a pod waits.
type decided struct {
	*history.Decision
	// unnamed is set if no event says for which pods it is, as in a record of a log alone.
	unnamed bool
	// end says what became of its nodes, empty while they may still come.
	end string
}

// words returns the decision and its end as a phrase.
func (d *decided) words() string {
	text := fmt.Sprintf("at %s the autoscaler enlarged %s", timeline.Clock(d.At), d.Where())
	if d.unnamed {
		text += " (no event says for which pods)"
	} else {
		text += " for it"
	}
	if d.end != "" {
		text += ", " + d.end
	}
	return text
}

// decidedFor returns the enlargement for a pod that waits, or else the last one that may be for
// it; nil if none is on record.
func (e *explainer) decidedFor(j *waiting) *decided {
	if d := j.why.Decision; d != nil {
		return &decided{Decision: d, end: e.endOf(d)}
	}
	if len(j.room) > 0 || len(j.ignored) > 0 || j.heard.moved != "" || j.heard.comes != "" {
		return nil
	}
	for _, d := range slices.Backward(e.Decisions) {
		fits := func(v fit.Verdict) bool { return v.Fits && d.IsAbout(v.Group.Name) }
		if d.Up && !d.At.Before(j.why.Pod.Began()) && !e.names(d) && slices.ContainsFunc(j.verdicts, fits) {
			return &decided{Decision: d, unnamed: true, end: e.endOf(d)}
		}
	}
	return nil
}

// eventsWithin is the longest time between a decision and the events for its pods.
const eventsWithin = 10 * time.Second

// names reports whether events say for which pods a decision is, also as a part of a plan.
func (e *explainer) names(d *history.Decision) bool {
	return slices.ContainsFunc(e.Decisions, func(other *history.Decision) bool {
		return other.Up && len(other.Pods) > 0 && other.At.Sub(d.At).Abs() <= eventsWithin
	})
}

// endOf returns what became of the nodes of an enlargement, as the end of a sentence about it.
// It returns an empty text while they may still come.
func (e *explainer) endOf(d *history.Decision) string {
	return e.EndOf(d, func(g *history.GroupStory) string {
		if g != nil && e.isComing(g, d) {
			return ""
		}
		return e.overdue(g, d)
	})
}

// isComing reports whether a machine of an enlargement is on its way in one of its groups.
func (e *explainer) isComing(g *history.GroupStory, d *history.Decision) bool {
	w := e.world()
	group := w.GroupOf(g.Name)
	return group != nil && slices.ContainsFunc(w.Coming(group), func(m *world.Machine) bool {
		return !m.Created.Before(d.At.Add(-time.Second)) // a decision's time may have whole seconds
	})
}

// overdue returns that no node of a group, which may be nil, came in the time in which the autoscaler
// expects it. It returns nothing before that.
func (e *explainer) overdue(g *history.GroupStory, d *history.Decision) string {
	w := e.world()
	setting := w.Autoscaler.Setting("max-node-provision-time")
	if g != nil && w.GroupOf(g.Name) != nil {
		setting = e.provisionTime(w.GroupOf(g.Name))
	}
	if most, err := time.ParseDuration(setting.Value); err != nil || w.At.Sub(d.At) <= most {
		return ""
	}
	return fmt.Sprintf("and no node came within %s (%s)", setting.Words(), setting.By)
}

// coming reports whether the pod waits for the nodes of an enlargement.
func (j *waiting) coming() bool { return j.decided != nil && j.decided.end == "" }
