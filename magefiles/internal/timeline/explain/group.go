package explain

import (
	"cmp"
	"fmt"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/world"
)

// shapeOf returns a group that exists with what the record has of it, nil if it is gone, or if the
// record has no shape of it.
func (e *explainer) shapeOf(g *history.GroupStory) *world.Group {
	if !g.Gone.IsZero() {
		return nil
	}
	return e.world().GroupOf(g.Name)
}

// unscaled writes why the autoscaler does not scale a group, or does not enlarge it now.
func (e *explainer) unscaled(g *world.Group) {
	scales, enlarges, comes := "Why the autoscaler does not scale it", "Why the autoscaler does not enlarge it now", "Why it gets no machines"
	if e.idle() != "" {
		scales, enlarges = "Why an autoscaler would not scale it", "Why an autoscaler would not enlarge it now"
	}
	write := func(title string, all ...fit.Obstacle) {
		for _, o := range all {
			e.printf("\n%s: %s.\n", title, timeline.Shorten(o.Text, timeline.LongestText))
			if o.Change != "" {
				e.printf("What would have to change: %s.\n", timeline.Shorten(o.Change, timeline.LongestText))
			}
		}
	}
	j := e.judge()
	switch outside, lost := j.Outside(g), j.Lost(g); {
	case len(outside) > 0:
		write(scales, outside...)
		return
	case lost != nil:
		write(scales, *lost)
	default:
		write(enlarges, j.NoGrowth(g)...)
	}
	if paused := j.PausedOnly(g); paused != nil {
		write(comes, *paused)
	}
}

// groupBasis writes from what the facts about a group are.
func (e *explainer) groupBasis(g *world.Group) {
	w := e.world()
	text := fmt.Sprintf("as of %s, from its %s, %s and %s", timeline.Clock(w.At), cmp.Or(g.Kind, "MachineDeployment"), timeline.Plural(len(g.Machines), "machine"), timeline.Plural(len(g.Nodes), "node"))
	if w.Autoscaler.Known {
		text += ", and the flags of " + w.Autoscaler.Title()
	} else {
		text += "; the autoscaler's flags are not on record"
	}
	e.printf("\n(%s)\n", text)
}
