// Package fit judges where a pod fits, which groups the autoscaler would enlarge for it, and what a new
// node of a group has. Node affinity, selectors and taints are judged by Kubernetes' own library. What
// the package does not judge, it names.
package fit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/predicates"
	"caslab/magefiles/internal/timeline/world"
)

// Judge judges a world, which does not change. An answer has a judge of its own, which knows what the
// scheduler's filters said for that answer.
type Judge struct {
	*world.World
	// judged has the refusals of the scheduler's filters for the pods of which they were asked, and
	// filters the version of Kubernetes whose filters these are.
	judged  map[*world.Pod]predicates.Verdicts
	filters map[*world.Pod]string
	// What follows is computed once: the nodes as places, what pods require of a node's labels, and a
	// pod of each DaemonSet as it would be on any node; the anti-affinities of pods that run, how many
	// pods the constraints of a pod count, the groups of the machines that are no nodes yet, and what the
	// autoscaler expects the next node of a group to have.
	places     map[placeKey]place
	required   map[*world.Pod]nodeaffinity.RequiredNodeAffinity
	everyone   []*world.Pod
	avoiding   []avoider
	counts     map[*world.Pod][]map[string]int
	arriving   []*world.Group
	capacities map[*world.Group]corev1.ResourceList
	// leaving are the pods that the scheduler's filters were asked about together, and that do not
	// count on the nodes where they are.
	leaving []*world.Pod
}

// New returns a judge of a world.
func New(w *world.World) *Judge {
	return &Judge{
		World: w, judged: map[*world.Pod]predicates.Verdicts{}, filters: map[*world.Pod]string{},
		places: map[placeKey]place{}, required: map[*world.Pod]nodeaffinity.RequiredNodeAffinity{},
		counts: map[*world.Pod][]map[string]int{}, capacities: map[*world.Group]corev1.ResourceList{},
	}
}

// FiltersOf returns the version of Kubernetes whose filters judged some pods, empty if none did.
func (j *Judge) FiltersOf(pods ...*world.Pod) string {
	for _, p := range pods {
		if version := j.filters[p]; version != "" {
			return version
		}
	}
	return ""
}

// Obstacle is a reason why something is not done, and the smallest change that removes it.
type Obstacle struct {
	Text string
	// Change is empty if no single change removes it.
	Change string
}

// Homeless is a pod that fits on no other node, and why.
type Homeless struct {
	Pod *world.Pod
	Obstacle
}

// Homeless returns which of the pods that leave a node would fit on no other node, if they moved one
// after the other.
func (j *Judge) Homeless(from *world.Node, leaving []*world.Pod) []Homeless {
	var found []Homeless
	var others []place
	for _, n := range j.Nodes {
		if n != from && n.Open() {
			others = append(others, j.simulated(n, nil).clone())
		}
	}
	for _, p := range leaving {
		reasons := map[string]int{}
		at := slices.IndexFunc(others, func(other place) bool {
			other.refusals = j.judged[p][other.name]
			return j.fits(p, other)
		})
		if at < 0 {
			for _, other := range others {
				other.refusals = j.judged[p][other.name]
				reasons[j.obstacles(p, other)[0].Text]++
			}
			found = append(found, Homeless{p, Obstacle{"it fits on no other node: " + counted(reasons), "another node on which it fits"}})
			continue
		}
		others[at].put(p)
	}
	return found
}

// maxReasons is the largest number of reasons why a pod has no place.
const maxReasons = 3

// counted returns reasons with the numbers of nodes, the commonest first.
func counted(reasons map[string]int) string {
	if len(reasons) == 0 {
		return "there is none that is Ready"
	}
	names := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(reasons[b]-reasons[a], strings.Compare(a, b))
	})
	var texts []string
	for _, name := range names[:min(len(names), maxReasons)] {
		texts = append(texts, fmt.Sprintf("%s (%s)", name, timeline.Plural(reasons[name], "node")))
	}
	if left := len(names) - maxReasons; left > 0 {
		texts = append(texts, fmt.Sprintf("and %s more", timeline.Plural(left, "reason")))
	}
	return strings.Join(texts, "; ")
}
