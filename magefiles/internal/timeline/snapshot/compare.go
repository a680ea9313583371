package snapshot

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/fit"
	"caslab/magefiles/internal/timeline/shape"
	"caslab/magefiles/internal/timeline/world"
)

// Difference is a value of which the autoscaler and the record disagree.
type Difference struct {
	// What is node, pod, group or template, and Name its name.
	What, Name string
	// Autoscaler and Record are what they have. Why is empty if no reason is known.
	Autoscaler, Record, Why string
}

// lag is how much later than the record the autoscaler may learn of a change.
const lag = 5 * time.Second

// Compare returns in what a snapshot and the facts of a record differ. The autoscaler and the
// recorder see a change at different times. So only those differences count that exist shortly
// before the loop, at its start, and at the time until, to which the record is complete.
func Compare(s *Snapshot, facts []timeline.Fact, until time.Time) []Difference {
	lasting := differences(s, facts, until)
	for _, at := range []time.Time{s.Start, s.Start.Add(-lag)} {
		before := differences(s, facts, at)
		lasting = slices.DeleteFunc(lasting, func(d Difference) bool {
			return !slices.ContainsFunc(before, func(b Difference) bool {
				return b.What == d.What && b.Name == d.Name && b.Autoscaler == d.Autoscaler
			})
		})
	}
	return lasting
}

// differences returns in what a snapshot differs from a record at a time.
func differences(s *Snapshot, facts []timeline.Fact, at time.Time) []Difference {
	c := comparison{Snapshot: s, judge: fit.New(world.At(facts, at)), facts: facts}
	c.nodes()
	c.pods()
	c.templates()
	return c.found
}

// comparison is a snapshot beside the cluster at one moment.
type comparison struct {
	*Snapshot
	judge *fit.Judge
	facts []timeline.Fact
	found []Difference
}

func (c *comparison) add(what, name, autoscaler, record, why string) {
	c.found = append(c.found, Difference{what, name, autoscaler, record, why})
}

// autoscalersTaints are left out: the record has facts of their own of them.
var autoscalersTaints = []string{autoscaler.CandidateTaint, autoscaler.DeletedTaint}

// nodes compares which nodes there are, and what they have.
func (c *comparison) nodes() {
	expected, counted := map[string]int{}, map[string]bool{}
	for _, n := range c.Nodes {
		name := n.Node.Name
		counted[name] = true
		if group := c.expects(name); group != "" {
			expected[timeline.LastPart(group)]++
			continue
		}
		recorded := c.judge.NodeOf(name)
		if recorded == nil {
			c.add("node", name, "counts", "none", "")
			continue
		}
		have := shape.OfNode(&n.Node, autoscalersTaints...)
		c.texts("node", name, "label ", have.Labels, recorded.Labels)
		c.texts("node", name, "taint ", taintsOf(have.Taints), taintsOf(recorded.Taints))
		c.amounts(name, "allocatable", have.Allocatable, recorded.Allocatable)
		if samePods(n, recorded) {
			c.amounts(name, "requested", requested(n.Pods), recorded.Used)
		}
	}
	for _, n := range c.judge.Nodes {
		switch {
		case counted[n.Name]:
		case !n.WasReady:
			c.add("node", n.Name, "does not count", "not Ready", "it counts a template in place of a node that is not Ready yet")
		case !n.Ready:
			c.add("node", n.Name, "does not count", "not Ready", "a node that is not Ready does not count")
		default:
			c.add("node", n.Name, "does not count", "Ready", "")
		}
	}
	scaled := map[string]bool{}
	for group := range c.Templates {
		scaled[timeline.LastPart(group)] = true
	}
	for _, g := range c.judge.Groups {
		if !scaled[g.Name] {
			continue
		}
		if coming := len(c.judge.Coming(g)); coming != expected[g.Name] {
			c.add("group", g.Name, fmt.Sprintf("expects %s", timeline.Plural(expected[g.Name], "more node")), timeline.Plural(coming, "machine")+" on the way", "")
		}
	}
}

// texts adds the keys of which an object has not the same value.
func (c *comparison) texts(what, name, key string, have, recorded map[string]string) {
	for _, k := range keys(have, recorded) {
		if mine, theirs := valueOf(have, k), valueOf(recorded, k); mine != theirs {
			c.add(what, name, key+k+": "+mine, key+k+": "+theirs, "")
		}
	}
}

// amounts adds the resources of which a node has not the same amount.
func (c *comparison) amounts(node, what string, have, recorded corev1.ResourceList) {
	for _, k := range keys(have, recorded) {
		if mine, theirs := have[k], recorded[k]; mine.Cmp(theirs) != 0 {
			c.add("node", node, fmt.Sprintf("%s %s: %s", k, what, mine.String()), fmt.Sprintf("%s %s: %s", k, what, theirs.String()), "")
		}
	}
}

// keys returns the keys of both maps, sorted.
func keys[K cmp.Ordered, V any](a, b map[K]V) []K {
	all := maps.Clone(a)
	if all == nil {
		all = map[K]V{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// valueOf returns the value of a key for a reader.
func valueOf(all map[string]string, key string) string {
	value, there := all[key]
	switch {
	case !there:
		return "none"
	case value == "":
		return `""`
	}
	return value
}

// taintsOf returns the values of taints by key and effect.
func taintsOf(taints []corev1.Taint) map[string]string {
	all := map[string]string{}
	for _, t := range taints {
		all[t.Key+":"+string(t.Effect)] = t.Value
	}
	return all
}

func podName(p *corev1.Pod) string { return p.Namespace + "/" + p.Name }

func samePods(n Node, recorded *world.Node) bool {
	names := map[string]bool{}
	for _, p := range recorded.Pods {
		names[p.Name] = true
	}
	return len(n.Pods) == len(names) && !slices.ContainsFunc(n.Pods, func(p corev1.Pod) bool { return !names[podName(&p)] })
}

// requested returns what pods request together.
func requested(pods []corev1.Pod) corev1.ResourceList {
	sum := corev1.ResourceList{}
	for i := range pods {
		for name, q := range shape.OfPod(&pods[i]).Requests {
			total := sum[name]
			total.Add(q)
			sum[name] = total
		}
	}
	return sum
}

// pods compares on which nodes the pods count, and which ones need no new node.
func (c *comparison) pods() {
	counted := map[string]string{}
	for _, n := range c.Nodes {
		if c.expects(n.Node.Name) != "" {
			continue // pods of DaemonSets, which it expects there
		}
		for i := range n.Pods {
			name := podName(&n.Pods[i])
			counted[name] = n.Node.Name
			switch p := c.judge.PodOf("", name); {
			case p == nil:
				c.add("pod", name, "on "+n.Node.Name, "none", "")
			case p.Node != n.Node.Name:
				c.add("pod", name, "on "+n.Node.Name, where(p), "")
			}
		}
	}
	schedulable := map[string]bool{}
	for i := range c.Schedulable {
		schedulable[podName(&c.Schedulable[i])] = true
	}
	for _, p := range c.judge.Pods {
		_, there := counted[p.Name]
		switch ignored := c.judge.Ignored(p); {
		case there:
		case p.Node != "":
			if slices.ContainsFunc(c.Nodes, func(n Node) bool { return n.Node.Name == p.Node }) {
				c.add("pod", p.Name, "does not count", where(p), c.expendable(p))
			}
		case schedulable[p.Name]:
			c.add("pod", p.Name, "needs no new node", "waits", c.schedulers(p))
		case len(ignored) == 0 && len(c.judge.Unjudged(p)) == 0:
			if room := c.judge.Room(p); len(room) > 0 {
				c.add("pod", p.Name, "needs a new node", "fits on "+room[0].Name, "")
			}
		}
	}
}

func where(p *world.Pod) string {
	if p.Node == "" {
		return "waits"
	}
	return "on " + p.Node
}

// expendable says that the autoscaler leaves out the pod for its priority.
func (c *comparison) expendable(p *world.Pod) string {
	if !c.judge.Expendable(p) {
		return ""
	}
	return fmt.Sprintf("its priority %d is below --%s=%s", p.Priority, world.ExpendableCutoff, c.judge.Autoscaler.Setting(world.ExpendableCutoff).Value)
}

// schedulers says where the pod fits by the record, or what the scheduler says.
func (c *comparison) schedulers(p *world.Pod) string {
	if room := c.judge.Room(p); len(room) > 0 && len(c.judge.Unjudged(p)) == 0 {
		return "by the record too, it fits on " + room[0].Name
	}
	if p.Message != "" {
		return "the scheduler: " + timeline.Shorten(p.Message, timeline.LongestHover)
	}
	return ""
}

// ownLabels are labels that differ from node to node, or that only templates have.
var ownLabels = []string{corev1.LabelHostname, templateLabel}

// templates compares what the autoscaler expects of a new node of a group with the nodes that
// the group has or, if it has none, with the last one that it had.
func (c *comparison) templates() {
	for _, id := range slices.Sorted(maps.Keys(c.Templates)) {
		group := timeline.LastPart(id)
		nodes, which := c.nodesOf(group)
		if len(nodes) == 0 {
			continue
		}
		template := c.Templates[id].Node
		have := shape.OfNode(&template, autoscalersTaints...)
		c.unlike(group, "label ", which, have.Labels, nodes, func(n shape.Node) map[string]string { return n.Labels })
		c.unlike(group, "taint ", which, taintsOf(have.Taints), nodes, func(n shape.Node) map[string]string { return taintsOf(withoutPassing(n.Taints)) })
		c.unlike(group, "", which, amountsOf(have.Allocatable), nodes, func(n shape.Node) map[string]string { return amountsOf(n.Allocatable) })
	}
}

// unlike adds the keys whose value of the template no node has. The nodes may differ among
// themselves.
func (c *comparison) unlike(group, key, which string, template map[string]string, nodes []shape.Node, of func(shape.Node) map[string]string) {
	all := map[string]string{}
	for _, n := range nodes {
		maps.Copy(all, of(n))
	}
	for _, k := range keys(template, all) {
		if slices.Contains(ownLabels, k) || slices.ContainsFunc(nodes, func(n shape.Node) bool { return valueOf(of(n), k) == valueOf(template, k) }) {
			continue
		}
		c.add("template", group, key+k+": "+valueOf(template, k), key+k+": "+valueOf(all, k), which)
	}
}

// withoutPassing returns the taints without those that the node controller sets and removes.
func withoutPassing(taints []corev1.Taint) []corev1.Taint {
	return slices.DeleteFunc(slices.Clone(taints), func(t corev1.Taint) bool { return strings.HasPrefix(t.Key, "node.kubernetes.io/") })
}

// amountsOf returns amounts for a reader. An amount of zero is none.
func amountsOf(list corev1.ResourceList) map[string]string {
	all := map[string]string{}
	for name, q := range list {
		if !q.IsZero() {
			all[string(name)] = q.String()
		}
	}
	return all
}

// nodesOf returns the Ready nodes of a group or, if there are none, the last one that the
// record has, and which of these they are.
func (c *comparison) nodesOf(group string) (nodes []shape.Node, which string) {
	if g := c.judge.GroupOf(group); g != nil {
		for _, n := range g.Nodes {
			if n.Ready {
				nodes = append(nodes, n.Node)
			}
		}
	}
	if len(nodes) > 0 {
		return nodes, ""
	}
	for _, f := range slices.Backward(c.facts) {
		if f.Kind != timeline.Node || f.What != timeline.Shaped || f.Group != group || f.Shape == nil || f.Time.After(c.judge.At) {
			continue
		}
		var last shape.Node
		if json.Unmarshal(f.Shape, &last) == nil && len(last.Allocatable) > 0 {
			which := "which is gone"
			if c.judge.NodeOf(f.Name) != nil {
				which = "which is not Ready"
			}
			return []shape.Node{last}, "compared with " + timeline.Tidy(f.Name) + ", " + which
		}
	}
	return nil, ""
}
