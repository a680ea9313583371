// Package levels makes numbers over time from the facts of a record: how long the autoscaler's
// loops take, how many requests it sends, and which share of the nodes pods request. History leaves
// these facts out, because they are no events.
package levels

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"sort"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/history"
	"caslab/magefiles/internal/timeline/shape"
)

// Levels are the numbers of a record over time. A series is empty if the record lacks the facts.
type Levels struct {
	// LoopMedian and LoopLongest are how long the loops of a minute took, in milliseconds.
	LoopMedian, LoopLongest Series
	// Requests are those of the autoscaler to API servers, in thousandths of a request per second.
	Requests Series
	// Groups has the node groups by name, and All the nodes of all groups together. Nodes of the
	// control plane and of no known group count in neither.
	Groups []Group
	All    []Use
}

// Series is a number over time, without the periods of which nothing is known.
type Series []Stretch

// Stretch has the levels of one period. The last level holds until End.
type Stretch struct {
	Levels []history.Level
	End    time.Time
}

// Group is the use of a node group's nodes over time.
type Group struct {
	Name string
	Uses []Use
}

// Use is what the pods on some nodes request, and what the nodes offer, from a time until that of
// the next Use.
type Use struct {
	At time.Time
	// CPU is in thousandths of a core, Memory in bytes.
	CPU, Memory Share
}

// Share is how much of what is allocatable pods request.
type Share struct{ Requested, Allocatable int64 }

// Percent returns the share in whole percent, 0 if nothing is allocatable.
func (s Share) Percent() int {
	if s.Allocatable <= 0 {
		return 0
	}
	return int((s.Requested*100 + s.Allocatable/2) / s.Allocatable)
}

// UseAt returns the use at a time. It returns false if uses begin later.
func UseAt(uses []Use, at time.Time) (Use, bool) {
	i := sort.Search(len(uses), func(i int) bool { return uses[i].At.After(at) })
	if i == 0 {
		return Use{}, false
	}
	return uses[i-1], true
}

// At returns the level at a time. It returns false if nothing is known of that time.
func (s Series) At(at time.Time) (int, bool) {
	for _, stretch := range s {
		if !at.Before(stretch.Levels[0].At) && at.Before(stretch.End) {
			i := sort.Search(len(stretch.Levels), func(i int) bool { return stretch.Levels[i].At.After(at) })
			return stretch.Levels[i-1].N, true
		}
	}
	return 0, false
}

// Of returns the levels of facts in any order.
func Of(facts []timeline.Fact) Levels {
	facts = slices.Clone(facts)
	slices.SortStableFunc(facts, func(a, b timeline.Fact) int { return a.Time.Compare(b.Time) })
	var l Levels
	u := uses{nodes: map[string]*node{}, pods: map[string]*pod{}, groups: map[string]*total{}}
	for _, f := range facts {
		switch f.Kind {
		case timeline.Autoscaler:
			l.autoscaler(f)
		case timeline.Node:
			u.node(f)
		case timeline.Pod:
			u.pod(f)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(u.groups)) {
		l.Groups = append(l.Groups, Group{Name: name, Uses: u.groups[name].uses})
	}
	l.All = u.all.uses
	return l
}

// autoscaler adds what a process of the autoscaler did in a period.
func (l *Levels) autoscaler(f timeline.Fact) {
	var s shape.Autoscaler
	if f.What != timeline.Shaped || f.Shape == nil || json.Unmarshal(f.Shape, &s) != nil {
		return
	}
	if loops := s.Loops; loops != nil && loops.N > 0 {
		l.LoopMedian.add(loops.From, loops.Last, int(loops.Median.Milliseconds()))
		l.LoopLongest.add(loops.From, loops.Last, int(loops.Longest.Milliseconds()))
	}
	if r := s.Requests; r != nil && r.To.After(r.From) {
		l.Requests.add(r.From, r.To, int(float64(r.N)*1000/r.To.Sub(r.From).Seconds()+.5))
	}
}

// pause is the longest time between two periods that belong to one stretch.
const pause = 10 * time.Second

// add adds a level of a period. What an earlier period covers already is left out.
func (s *Series) add(from, to time.Time, n int) {
	last := len(*s) - 1
	if last < 0 || from.After((*s)[last].End.Add(pause)) {
		if to.After(from) {
			*s = append(*s, Stretch{[]history.Level{{At: from, N: n}}, to})
		}
		return
	}
	stretch := &(*s)[last]
	if !to.After(stretch.End) {
		return // a log that was saved twice
	}
	stretch.Levels = append(stretch.Levels, history.Level{At: stretch.End, N: n})
	stretch.End = to
}

// amounts are thousandths of a core, and bytes of memory.
type amounts struct{ cpu, memory int64 }

func amountsOf(list corev1.ResourceList) amounts {
	return amounts{list.Cpu().MilliValue(), list.Memory().Value()}
}

func (a *amounts) add(b amounts)      { a.cpu, a.memory = a.cpu+b.cpu, a.memory+b.memory }
func (a *amounts) subtract(b amounts) { a.cpu, a.memory = a.cpu-b.cpu, a.memory-b.memory }

// node is a node, and what the pods on it request. It is there once its shape is recorded.
type node struct {
	group            string
	there            bool
	offers, requests amounts
}

// pod is a pod, and the node that it is bound to.
type pod struct {
	node string
	asks amounts
}

// uses follows what nodes offer and what pods request.
type uses struct {
	nodes  map[string]*node
	pods   map[string]*pod
	groups map[string]*total
	all    total
}

// total is the sum of several nodes.
type total struct {
	offers, requests amounts
	uses             []Use
}

// together is the time within which several changes count as one, so that a node with a hundred
// pods that joins is no hundred changes.
const together = time.Second

// changed notes the total after a change.
func (t *total) changed(at time.Time) {
	use := Use{at, Share{t.requests.cpu, t.offers.cpu}, Share{t.requests.memory, t.offers.memory}}
	n := len(t.uses)
	if n > 0 && at.Sub(t.uses[n-1].At) < together {
		use.At = t.uses[n-1].At
		t.uses[n-1] = use
		return
	}
	if n == 0 || t.uses[n-1].CPU != use.CPU || t.uses[n-1].Memory != use.Memory {
		t.uses = append(t.uses, use)
	}
}

// change changes a node, and the totals that it counts in.
func (u *uses) change(n *node, at time.Time, change func()) {
	counts := func(do func(t *total)) {
		if n.group == "" || n.group == timeline.ControlPlane {
			return
		}
		t := u.groups[n.group]
		if t == nil {
			t = &total{}
			u.groups[n.group] = t
		}
		do(t)
		do(&u.all)
	}
	if n.there {
		counts(func(t *total) {
			t.offers.subtract(n.offers)
			t.requests.subtract(n.requests)
		})
	}
	before, was := n.group, n.there
	change()
	if was && before != n.group && u.groups[before] != nil {
		u.groups[before].changed(at)
	}
	if n.there {
		counts(func(t *total) {
			t.offers.add(n.offers)
			t.requests.add(n.requests)
		})
	}
	if n.there || was {
		counts(func(t *total) { t.changed(at) })
	}
}

// nodeOf returns the node of a name. Pods may be bound to it before it is recorded.
func (u *uses) nodeOf(name string) *node {
	n := u.nodes[name]
	if n == nil {
		n = &node{}
		u.nodes[name] = n
	}
	return n
}

func (u *uses) node(f timeline.Fact) {
	n := u.nodeOf(f.Name)
	group := timeline.LastPart(f.Group)
	switch {
	case f.What == timeline.Gone:
		u.change(n, f.Time, func() { n.there = false })
	case f.What == timeline.Shaped && f.Shape != nil:
		var s struct {
			Allocatable corev1.ResourceList `json:"allocatable"`
		}
		if json.Unmarshal(f.Shape, &s) != nil {
			return
		}
		u.change(n, f.Time, func() {
			n.there, n.offers = true, amountsOf(s.Allocatable)
			if group != "" {
				n.group = group
			}
		})
	case group != "" && group != n.group:
		u.change(n, f.Time, func() { n.group = group })
	}
}

func (u *uses) pod(f timeline.Fact) {
	key := cmp.Or(f.UID, f.Name)
	p := u.pods[key]
	if p == nil {
		p = &pod{}
		u.pods[key] = p
	}
	after := *p
	if f.Node != "" {
		after.node = f.Node
	}
	switch {
	case f.What == timeline.Gone || f.What == timeline.Ended:
		after = pod{}
	case f.What == timeline.Shaped && f.Shape != nil:
		var s struct {
			Requests corev1.ResourceList `json:"requests"`
			Ended    bool                `json:"ended"`
		}
		if json.Unmarshal(f.Shape, &s) != nil {
			return
		}
		if after.asks = amountsOf(s.Requests); s.Ended {
			after.asks = amounts{}
		}
	}
	if after == *p {
		return
	}
	if p.node != "" {
		n := u.nodeOf(p.node)
		u.change(n, f.Time, func() { n.requests.subtract(p.asks) })
	}
	if *p = after; p.node != "" {
		n := u.nodeOf(p.node)
		u.change(n, f.Time, func() { n.requests.add(p.asks) })
	}
	if f.What == timeline.Gone {
		delete(u.pods, key)
	}
}
