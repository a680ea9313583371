package history

import (
	"slices"
	"sync"
	"time"

	"caslab/magefiles/internal/timeline"
)

// index finds the facts and the stories of a Model about one object without a look at all of them. The numbers
// are indices in Facts, ascending.
type index struct {
	// nodes has the stories by the names of nodes and of machines.
	nodes map[string][]*NodeStory
	// unschedulable has what the scheduler said, by pod.
	unschedulable map[string][]int
	// saidOfPod has what the autoscaler said, by pod. saidOfNoPod has what it said of no particular pod.
	saidOfPod   map[string][]int
	saidOfNoPod []int
	// keptNode has why nodes were kept, by node, and keptGroup the reasons that name no node, by group. A reason
	// that names neither is about all nodes, and has the group "".
	keptNode, keptGroup map[string][]int
	// failures has what says that a group could not be enlarged, by group.
	failures map[string][]int
	// decisions to enlarge groups by the pods that they name, by time.
	decisions map[string][]*Decision
}

// indexNodes finds the nodes by their names.
func (m *Model) indexNodes() {
	m.index.nodes = map[string][]*NodeStory{}
	for _, n := range m.Nodes {
		for _, name := range timeline.AppendUnique([]string{n.Node}, n.Machine) {
			if name != "" {
				m.index.nodes[name] = append(m.index.nodes[name], n)
			}
		}
	}
}

// indexFacts finds the facts and the decisions by what they are about.
func (m *Model) indexFacts() {
	x := &m.index
	x.unschedulable, x.saidOfPod, x.keptNode, x.keptGroup = map[string][]int{}, map[string][]int{}, map[string][]int{}, map[string][]int{}
	x.failures, x.decisions = map[string][]int{}, map[string][]*Decision{}
	for i, f := range m.Facts {
		if f.Kind == timeline.Pod && f.What == timeline.Unschedulable {
			x.unschedulable[f.Name] = append(x.unschedulable[f.Name], i)
		}
		if f.Kind != timeline.Autoscaler {
			continue
		}
		pod, node, group := About(f)
		switch {
		case pod != "":
			x.saidOfPod[pod] = append(x.saidOfPod[pod], i)
		case node == "" && f.What != timeline.Kept:
			x.saidOfNoPod = append(x.saidOfNoPod, i)
		}
		switch {
		case f.What != timeline.Kept:
		case node != "":
			x.keptNode[node] = append(x.keptNode[node], i)
		default:
			x.keptGroup[group] = append(x.keptGroup[group], i)
		}
		if failsToGrow(f) {
			x.failures[f.Group] = append(x.failures[f.Group], i)
		}
	}
	for _, d := range m.Decisions {
		for _, pod := range d.Pods {
			if d.Up {
				x.decisions[pod] = append(x.decisions[pod], d)
			}
		}
	}
}

// within returns the indices of the facts in [from, to] that the lists have, ascending.
func (m *Model) within(from, to time.Time, lists ...[]int) []int {
	var found []int
	for _, list := range lists {
		start, _ := slices.BinarySearchFunc(list, from, func(i int, at time.Time) int { return m.Facts[i].Time.Compare(at) })
		end, _ := slices.BinarySearchFunc(list, to.Add(time.Nanosecond), func(i int, at time.Time) int { return m.Facts[i].Time.Compare(at) })
		if start < end {
			found = append(found, list[start:end]...)
		}
	}
	slices.Sort(found)
	return found
}

// lazy is a value that is made when it is first asked for.
type lazy[T any] struct {
	once  sync.Once
	value T
}

// get returns the value, and makes it at the first call.
func (l *lazy[T]) get(value func() T) T {
	l.once.Do(func() { l.value = value() })
	return l.value
}
