package explain

import (
	"slices"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/world"
)

// ofShapes returns facts about the pods of a name, with or without a namespace, of which the record has
// only shapes: pods of the cluster's components and of DaemonSets, which would fill a history. They are
// facts about pods that wait, and about pods that the autoscaler mentions, as if these waited.
func (e *explainer) ofShapes(name string) []timeline.Fact {
	var facts []timeline.Fact
	for _, p := range e.world().Pods {
		if p.Name != name && timeline.LastPart(p.Name) != name || e.hasFacts(p) {
			continue
		}
		f := timeline.Fact{Kind: timeline.Pod, Name: p.Name, UID: p.UID, Source: timeline.Watch}
		add := func(f timeline.Fact) { facts = append(facts, f) }
		f.What, f.Time = timeline.Created, p.Created
		switch {
		case p.Node == "":
			add(f)
			if p.Waits != nil {
				f.What, f.Time, f.Text = timeline.Unschedulable, p.Waits.Since, p.Waits.Message
				add(f)
			}
		case slices.ContainsFunc(e.facts, func(f timeline.Fact) bool { return f.Kind == timeline.Autoscaler && f.Name == p.Name }):
			add(f)
			f.What, f.Node = timeline.Scheduled, p.Node
			add(f)
		}
	}
	return facts
}

// hasFacts reports whether the record has what happened to a pod.
func (e *explainer) hasFacts(p *world.Pod) bool {
	return slices.ContainsFunc(e.facts, func(f timeline.Fact) bool {
		return f.Kind == timeline.Pod && f.What != timeline.Shaped && (f.UID == p.UID && p.UID != "" || f.UID == "" && f.Name == p.Name)
	})
}
