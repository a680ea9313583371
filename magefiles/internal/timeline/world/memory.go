package world

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// memory is what a process of the autoscaler knows because of what it saw or decided. It ends with the
// process.
type memory struct {
	// began is when the process was first heard of, zero if it was not.
	began time.Time
	// health and backoffs are by group, unneeded and blocked by node.
	health            map[string]string
	backoffs          map[string]time.Time
	unneeded, blocked map[string]time.Time
	// examples are the nodes that were examples for new ones, by group.
	examples map[string]*example
}

func newMemory() *memory {
	return &memory{
		health: map[string]string{}, backoffs: map[string]time.Time{}, unneeded: map[string]time.Time{}, blocked: map[string]time.Time{},
		examples: map[string]*example{},
	}
}

// example is a node that was an example for new ones of its group until it changed.
type example struct {
	node    *Node
	devices []*resourcev1.ResourceSlice
	csi     *storagev1.CSINode
	// groups are the states that the group has had since, each without its template.
	groups []*Group
	shape  json.RawMessage // of the last of groups
	until  time.Time
}

// Remembered is a node as the autoscaler remembers it.
type Remembered struct {
	*Node
	// Until is when the node changed or went. Groups are the states that its group has had since: the
	// autoscaler forgets the node when the group is none of its node groups.
	Until  time.Time
	Groups []*Group
	// Devices are the devices that were on the node, and on no other.
	Devices []*resourcev1.ResourceSlice
	// CSI has the drivers that were on the node; nil if none is on record.
	CSI *storagev1.CSINode
}

// StableAfter is how long a node must have been Ready before the autoscaler expects new nodes of
// its group to be like it. Source: stabilizationDelay in
// processors/nodeinfosprovider/mixed_nodeinfos_processor.go of 1.24.0 to 1.36.1.
const StableAfter = time.Minute

// hear notes what the autoscaler says.
func (m *memory) hear(f timeline.Fact) {
	switch {
	case f.What == timeline.Stopped:
		m.began = time.Time{}
		clear(m.examples)
	case m.began.IsZero() && (f.What == timeline.Started || f.Source == timeline.Log):
		m.began = f.Time
	}
	if f.What == timeline.Health {
		m.health[timeline.LastPart(f.Group)] = f.Text
	}
	if until := backoffEnd(f); !until.IsZero() {
		m.backoffs[timeline.LastPart(f.Group)] = until
	}
	if since := unneededPattern.FindStringSubmatch(f.Text); since != nil {
		m.unneeded[f.Node] = autoscaler.ParseTime(since[1])
		delete(m.blocked, f.Node)
	} else if f.What == timeline.Kept && !stillUnneeded.MatchString(f.Text) {
		delete(m.unneeded, f.Node)
		delete(m.blocked, f.Node)
		if blockedPattern.MatchString(f.Text) {
			m.blocked[f.Node] = f.Time
		}
	}
}

// see notes what the autoscaler saw of an object before a fact changes the object. before is nil for one
// that is new.
func (m *memory) see(f timeline.Fact, before *object, objects map[string]*object, a Autoscaler) {
	if f.What == timeline.Untainted && f.Text == autoscaler.CandidateTaint {
		delete(m.unneeded, f.Name)
	}
	switch {
	case f.Kind == timeline.Group && ended(f):
		delete(m.examples, f.Name)
	case f.Kind == timeline.Node && before != nil && before.Group != "" && ends(f) && m.isExample(before, f.Time, a):
		if n, ok := before.node(); ok {
			e := &example{node: n, until: f.Time}
			for _, o := range objects {
				if o.Kind == timeline.ResourceSlice {
					if s, ok := decode[resourcev1.ResourceSlice](o); ok && isOn(&s, n.Name) {
						e.devices = append(e.devices, &s)
					}
				}
				if o.Kind == timeline.CSINode && o.Name == n.Name {
					if c, ok := decode[storagev1.CSINode](o); ok {
						e.csi = &c
					}
				}
				if o.Kind != timeline.Pod || o.Node != n.Name {
					continue
				}
				if p, ok := o.pod(); ok {
					n.Pods = append(n.Pods, p)
				}
			}
			slices.SortFunc(n.Pods, func(a, b *Pod) int { return strings.Compare(a.Name, b.Name) })
			slices.SortFunc(e.devices, func(a, b *resourcev1.ResourceSlice) int { return strings.Compare(a.Name, b.Name) })
			m.examples[before.Group] = e
		}
	}
}

// ends reports whether after a fact a node is no example.
func ends(f timeline.Fact) bool {
	return ended(f) || f.What == timeline.NotReady || f.What == timeline.Tainted && f.Text == autoscaler.DeletedTaint || f.What == timeline.Shaped && cordoned(f.Shape)
}

// cordoned reports whether the shape of a node has the taint of a node that takes no pods.
func cordoned(node json.RawMessage) bool {
	return bytes.Contains(node, []byte(corev1.TaintNodeUnschedulable))
}

// isExample reports whether the process that runs takes a node as the example for new ones. Source:
// isNodeGoodTemplateCandidate.
func (m *memory) isExample(o *object, at time.Time, a Autoscaler) bool {
	since := o.readySince
	if a.Release().StableExamples {
		since = since.Add(StableAfter)
	}
	return !m.began.IsZero() && at.After(m.began) && o.ready && at.After(since) && o.taints[autoscaler.DeletedTaint].IsZero() && !cordoned(o.Shape)
}

// keep notes the state of a group whose node is remembered.
func (m *memory) keep(o *object) {
	e := m.examples[o.Name]
	if o.Kind != timeline.Group || e == nil {
		return
	}
	if last := len(e.groups) - 1; last >= 0 && bytes.Equal(e.shape, o.Shape) && (e.groups[last].Wanted == 0) == (o.n == 0) {
		return
	}
	if s, ok := decode[shape.Group](o); ok {
		e.groups, e.shape = append(e.groups, &Group{Group: s, Name: o.Name, Wanted: o.n}), o.Shape
	}
}

// recall adds what the process remembers to a world.
func (m *memory) recall(w *World) {
	w.Health = m.health[""]
	for _, g := range w.Groups {
		g.Health, g.Backoff = m.health[g.Name], m.backoffs[g.Name]
		if e := m.examples[g.Name]; e != nil {
			g.Remembered = &Remembered{Node: e.node, Until: e.until, Groups: e.groups, Devices: e.devices, CSI: e.csi}
			for _, then := range e.groups {
				then.Infrastructure = g.Infrastructure
			}
		}
	}
	for _, n := range w.Nodes {
		n.Unneeded, n.Blocked = m.unneeded[n.Name], m.blocked[n.Name]
	}
}

// untilPattern finds the end of a back-off in the autoscaler's message about it.
var untilPattern = regexp.MustCompile(`^Disabling scale-up for node group \S+ until (.+?)(?: m=\S+)?; `)

// unneededPattern finds since when the autoscaler finds a node unneeded.
var unneededPattern = regexp.MustCompile(`^is unneeded since (.+)$`)

// stillUnneeded matches reasons to keep a node for now that the autoscaler goes on to find
// unneeded. "min size reached (current: 1, min: 1)" is no such reason: it is said of a node
// that is not judged at all. Source: core/scaledown/unneeded/nodes.go of 1.28.0 to 1.36.1, whose
// words for limits changed with 1.36; processors/nodes/pre_filtering_processor.go.
var stillUnneeded = regexp.MustCompile(`^(?:was unneeded for |node group min size reached$|has active on-completion pods|would violate minimum limits|minimal limit exceeded for )`)

// blockedPattern matches what the autoscaler says of a node that a pod blocks. Source:
// simulator/drainability/rules and simulator/cluster.go, in older releases utils/drain/drain.go.
var blockedPattern = regexp.MustCompile(`is not replicated|pod disruption budget|kube-system pod|not safe to evict|local storage|too few replicas|is not available|is not present|can reschedule only`)

// backoffEnd returns the end of the back-off that a fact announces, zero if it announces
// none.
func backoffEnd(f timeline.Fact) time.Time {
	m := untilPattern.FindStringSubmatch(f.Text)
	if m == nil {
		return time.Time{}
	}
	return autoscaler.ParseTime(m[1])
}
