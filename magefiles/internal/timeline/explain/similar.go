package explain

import (
	"fmt"
	"strings"

	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/world"
)

// stuck writes which machines of an existing group have not become nodes, and why.
func (e *explainer) stuck(g *history.GroupStory) {
	w, group := e.world(), e.shapeOf(g)
	if group == nil {
		return
	}
	s := section{title: "Machines that have not become nodes"}
	all := w.Stuck(group)
	for i, m := range all {
		if i == maxStuck {
			s.add("", "and %s more", timeline.Plural(len(all)-i, "machine"))
			break
		}
		s.add(m.Name, "%s", e.trouble(m, group))
	}
	e.sections(s)
}

// trouble returns why a machine of a group has no node, as World.Trouble, and what the autoscaler
// makes of it.
func (e *explainer) trouble(m *world.Machine, g *world.Group) string {
	text := e.world().Trouble(m)
	if text != "" && e.overlooks(m, g) {
		text += "; " + e.givesUp(g)
	}
	return text
}

// overlooks reports whether a machine of a group has failed, and the autoscaler, which scales the
// group, does not see it and waits for its node. An autoscaler that reads an older version of the
// API sees the failure.
func (e *explainer) overlooks(m *world.Machine, g *world.Group) bool {
	api := e.world().Autoscaler.API
	return m.Unseen && m.Node == "" && m.Deletion == nil && api != release.V1Beta1 && !strings.HasPrefix(api, "v1alpha") && g != nil && len(e.judge().Outside(g)) == 0
}

// provisionTime returns how long the autoscaler waits for a node of a group.
func (e *explainer) provisionTime(g *world.Group) world.Setting {
	return e.world().Option(g, "max-node-provision-time", "maxnodeprovisiontime")
}

// givesUp returns in a clause how long the autoscaler waits for a machine that has failed.
func (e *explainer) givesUp(g *world.Group) string {
	provision := e.provisionTime(g)
	return fmt.Sprintf("the autoscaler does not see that; it gives up after %s (%s)", provision.Words(), provision.By)
}

// maxStuck is the largest number of such machines in an answer.
const maxStuck = 8

// ofNewNodes writes what the autoscaler expects of the next node of a group that it scales, and
// which groups it finds similar.
func (e *explainer) ofNewNodes(g *history.GroupStory) {
	w, group := e.world(), e.shapeOf(g)
	if group == nil || len(e.judge().Outside(group)) > 0 {
		return
	}
	if offer, known := e.judge().Offer(group); known {
		e.printf("\nWhat the autoscaler expects of a new node\n")
		e.printf("  %s; DaemonSets and static pods request %s of it (%s)\n", offer.Whole, offer.Taken, timeline.Shorten(offer.Basis, timeline.LongestText))
		for _, text := range offer.Overfull {
			resource, _, _ := strings.Cut(text, ":")
			e.printf("  %s: no pod that requests %s fits on it\n", timeline.Shorten(text, timeline.LongestText), resource)
		}
	}
	all := e.judge().Similarities(group)
	if len(all) == 0 {
		return
	}
	s := section{title: "Is it similar to other groups?"}
	switch setting, on := w.Autoscaler.Balances(); {
	case on:
		s.title += fmt.Sprintf(" New nodes are spread over similar groups (%s)", setting.By)
	case w.Autoscaler.Known:
		s.title += fmt.Sprintf(" That does not matter: --balance-similar-node-groups is off (%s)", setting.By)
	default:
		s.title += " That matters only with --balance-similar-node-groups, and the flags are not on record"
	}
	for i, other := range all {
		if i == maxSisters {
			s.add("", "and %s more", timeline.Plural(len(all)-i, "group"))
			break
		}
		switch {
		case other.Unknown != "":
			s.add(other.Other.Name, "not known: %s", other.Unknown)
		case len(other.Differences) == 0:
			s.add(other.Other.Name, "similar")
		default:
			s.add(other.Other.Name, "not similar: %s", strings.Join(other.Differences, "; "))
		}
	}
	e.sections(s)
}

// maxSisters is the largest number of groups with which an answer compares a group.
const maxSisters = 8
