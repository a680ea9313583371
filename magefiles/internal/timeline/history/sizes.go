package history

import (
	"fmt"
	"slices"
	"time"

	"caslab/magefiles/internal/timeline"
)

// GroupStory is what happened to a node group.
type GroupStory struct {
	// Name is empty for the nodes whose group is not known.
	Name string
	// Wanted and Ready are its numbers of replicas, by time, without repetitions.
	Wanted, Ready []Level
	// Limits by time.
	Limits []Limit
	// Created and Gone are zero if they are not on record.
	Created, Gone time.Time
	// Pauses has the times when it was paused.
	Pauses []Span
	// Nodes and Decisions of the group, by time.
	Nodes     []*NodeStory
	Decisions []*Decision

	// creations and deletions have the times of all groups that had the name.
	creations, deletions []time.Time
	// orders has the commands that deleted the group.
	orders []order

	known bool // a fact of its own, or of the autoscaler, says that it is a group
}

// Limit has the bounds of a group's size from a time on. It is not Set if the
// autoscaler does not scale the group.
type Limit struct {
	At       time.Time
	Min, Max int
	Set      bool
}

// String returns the bounds in words.
func (l Limit) String() string {
	if !l.Set {
		return "no limits: not a node group of the autoscaler"
	}
	return fmt.Sprintf("min %d, max %d", l.Min, l.Max)
}

// Title returns the name, or words for the nodes of no known group.
func (g *GroupStory) Title() string {
	if g.Name == "" {
		return "no node group"
	}
	return timeline.Tidy(g.Name)
}

// Now returns the last numbers and bounds; -1 for a number that is not on record.
func (g *GroupStory) Now() (wanted, ready int, limit Limit) {
	wanted, ready = -1, -1
	if n := len(g.Wanted); n > 0 {
		wanted = g.Wanted[n-1].N
	}
	if n := len(g.Ready); n > 0 {
		ready = g.Ready[n-1].N
	}
	if n := len(g.Limits); n > 0 {
		limit = g.Limits[n-1]
	}
	return wanted, ready, limit
}

// createdBefore returns when the group that existed at a time was created, zero if that
// is not on record.
func (g *GroupStory) createdBefore(at time.Time) time.Time {
	var last time.Time
	for _, t := range g.creations {
		if !t.After(at.Add(slack)) {
			last = t
		}
	}
	return last
}

// deletedAfter returns when the group that existed at a time was gone, zero if that is
// not on record.
func (g *GroupStory) deletedAfter(at time.Time) time.Time {
	for _, t := range g.deletions {
		if !t.Before(at) {
			return t
		}
	}
	return time.Time{}
}

// rank puts groups that scale before the rest.
func (g *GroupStory) rank() int {
	return slices.Index([]string{timeline.ControlPlane, ""}, g.Name)
}

// order is the deletion of a group by a command.
type order struct {
	At      time.Time
	Command string
}

// group returns the story of a name, or begins one.
func (b *builder) group(name string) *GroupStory {
	g := b.groups[name]
	if g == nil {
		g = &GroupStory{Name: name}
		b.groups[name] = g
	}
	return g
}

func (b *builder) addGroup(f timeline.Fact) {
	name := timeline.LastPart(f.Name)
	if name == "" {
		name = f.Group
	}
	if f.What == timeline.Paused || f.What == timeline.Resumed {
		// Whether the name is a group's or the cluster's is known only at the end.
		since, on := b.paused[name]
		switch {
		case f.What == timeline.Paused && !on:
			b.paused[name] = f.Time
		case f.What == timeline.Resumed:
			if !on {
				since = b.From
			}
			delete(b.paused, name)
			b.pause(name, Span{State: Ongoing, From: since, To: f.Time})
		}
		return
	}
	if f.What == timeline.Moved {
		return // it may be the cluster
	}
	g := b.group(name)
	g.known = true
	switch f.What {
	case timeline.Created:
		g.Created, g.Gone = f.Time, time.Time{}
		g.creations = append(g.creations, f.Time)
	case timeline.Gone:
		g.Gone = f.Time
		g.deletions = append(g.deletions, f.Time)
		g.Wanted, g.Ready = level(g.Wanted, f.Time, 0), level(g.Ready, f.Time, 0)
	case timeline.Sized:
		if f.N != nil {
			g.Wanted = level(g.Wanted, f.Time, *f.N)
			if last := &g.Wanted[len(g.Wanted)-1]; last.At.Equal(f.Time) {
				last.By = f.Text
			}
		}
	case timeline.ReadyCount:
		if f.N != nil {
			g.Ready = level(g.Ready, f.Time, *f.N)
		}
	case timeline.Limits:
		l := Limit{At: f.Time}
		if n, _ := fmt.Sscanf(f.Text, "%d %d", &l.Min, &l.Max); n == 2 {
			l.Set = true
		}
		if n := len(g.Limits); n == 0 || g.Limits[n-1].String() != l.String() {
			g.Limits = append(g.Limits, l)
		}
	}
}

// pause notes a pause of a group or of the cluster; namePauses separates them.
func (b *builder) pause(name string, s Span) {
	g := b.group(name)
	g.Pauses = append(g.Pauses, s)
}

// namePauses gives pauses to the cluster if their name is not a group's.
func (b *builder) namePauses() {
	for name, g := range b.groups {
		if len(g.Pauses) == 0 || g.known || len(g.Nodes) > 0 {
			continue
		}
		for _, s := range g.Pauses {
			s.Text = name
			b.Pauses = append(b.Pauses, s)
		}
		delete(b.groups, name)
	}
	slices.SortFunc(b.Pauses, func(a, c Span) int { return a.From.Compare(c.From) })
}

// level appends a number unless it is the last one already.
func level(levels []Level, at time.Time, n int) []Level {
	if last := len(levels) - 1; last >= 0 {
		if levels[last].N == n {
			return levels
		}
		if levels[last].At.Equal(at) {
			levels[last].N = n
			return levels
		}
	}
	return append(levels, Level{At: at, N: n})
}

// LevelAt returns the number just before a time, -1 if there was none.
func LevelAt(levels []Level, at time.Time) int {
	n := -1
	for _, l := range levels {
		if !l.At.Before(at) {
			break
		}
		n = l.N
	}
	return n
}
