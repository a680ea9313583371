// Package timelinetest makes records for the tests of what reads them.
package timelinetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"caslab/magefiles/internal/timeline"
)

// Tape makes records for tests: what a recorder would have written of a
// cluster that does what the test says.
type Tape struct {
	Facts []timeline.Fact
	Start time.Time
	rng   *rand.Rand
	// serial numbers what has a name; wanted and ready are of groups.
	serial, wanted, ready map[string]int
}

// New returns an empty tape that begins on an evening in November.
func New() *Tape {
	return &Tape{
		Start:  time.Date(2026, 11, 24, 22, 0, 0, 0, time.Local),
		rng:    rand.New(rand.NewPCG(4, 1)),
		serial: map[string]int{}, wanted: map[string]int{}, ready: map[string]int{},
	}
}

// At is a time by seconds since the tape began.
func (t *Tape) At(seconds float64) time.Time {
	return t.Start.Add(time.Duration(seconds * float64(time.Second)))
}

// Add writes a fact. Conditions and events have whole seconds.
func (t *Tape) Add(seconds float64, f timeline.Fact) {
	f.Time = t.At(seconds)
	if f.Source == timeline.Event {
		f.Time = f.Time.Truncate(time.Second)
	}
	t.Facts = append(t.Facts, f)
}

// Record returns the facts so far by time.
func (t *Tape) Record() []timeline.Fact {
	facts := slices.Clone(t.Facts)
	slices.SortStableFunc(facts, func(a, b timeline.Fact) int { return a.Time.Compare(b.Time) })
	return facts
}

// Group makes a node group with its first nodes, all of them old.
func (t *Tape) Group(name string, lowest, most, size int) (nodes []string) {
	t.Add(-90, timeline.Fact{Kind: timeline.Group, What: timeline.Created, Name: name, UID: "g-" + name, Source: timeline.Watch})
	t.Add(-90, timeline.Fact{Kind: timeline.Group, What: timeline.Limits, Name: name, UID: "g-" + name, Text: fmt.Sprintf("%d %d", lowest, most), Source: timeline.Watch})
	t.sized(-90, name, size)
	t.isReady(-90, name, size)
	for range size {
		nodes = append(nodes, t.machine(-80, name, 0))
	}
	return nodes
}

func (t *Tape) sized(at float64, group string, n int) {
	t.wanted[group] = n
	t.Add(at, timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: group, UID: "g-" + group, N: &n, Source: timeline.Watch})
}

func (t *Tape) isReady(at float64, group string, n int) {
	t.ready[group] = n
	t.Add(at, timeline.Fact{Kind: timeline.Group, What: timeline.ReadyCount, Name: group, UID: "g-" + group, N: &n, Source: timeline.Watch})
}

// machine makes one that becomes a Ready node slow seconds later.
func (t *Tape) machine(at float64, group string, slow float64) string {
	t.serial[group]++
	name := fmt.Sprintf("work-cluster-%s-jbskx-%05d", group, t.serial[group]*7919%100000)
	m := timeline.Fact{Kind: timeline.Machine, Name: name, UID: "m-" + name, Group: group, Source: timeline.Watch}
	n := timeline.Fact{Kind: timeline.Node, Name: name, UID: "n-" + name, Group: group, Source: timeline.Watch}
	say := func(f timeline.Fact, seconds float64, what, text string) {
		f.What, f.Text = what, text
		t.Add(seconds, f)
	}
	say(m, at, timeline.Created, "")
	say(m, at+.1, timeline.Phase, "Pending")
	say(m, at+slow*.05+.2, timeline.Phase, "Provisioning")
	say(m, at+slow*.4+.3, timeline.Phase, "Provisioned")
	say(n, at+slow*.7+.4, timeline.Joined, "")
	m.Node = name
	say(m, at+slow*.75+.5, timeline.Phase, "Running")
	m.Node = ""
	say(n, at+slow+.6, timeline.Ready, "")
	return name
}

// Pods makes pods for which there is no room.
func (t *Tape) Pods(at float64, prefix string, count int) (names []string) {
	for i := range count {
		t.serial["pod"]++
		name := fmt.Sprintf("default/%s-6cf9d-%05d", prefix, t.serial["pod"]*104729%100000)
		f := timeline.Fact{Kind: timeline.Pod, Name: name, UID: "p-" + name, Source: timeline.Watch}
		f.What = timeline.Created
		t.Add(at+float64(i)*.05, f)
		f.What, f.Text = timeline.Unschedulable, "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient memory. no new claims to deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
		t.Add(at+float64(i)*.05+.1, f)
		t.Add(at+6, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Considered, Name: name, Text: "Pod " + name + " is unschedulable", Source: timeline.Log})
		names = append(names, name)
	}
	return names
}

// run puts a pod on a node.
func (t *Tape) run(at float64, pod, node string) {
	f := timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: pod, UID: "p-" + pod, Node: node, Source: timeline.Watch}
	t.Add(at, f)
	f.What = timeline.Running
	t.Add(at+1.5, f)
}

// end deletes a pod.
func (t *Tape) end(at float64, pod string) {
	t.Add(at, timeline.Fact{Kind: timeline.Pod, What: timeline.Gone, Name: pod, UID: "p-" + pod, Source: timeline.Watch})
}

// Grow is a decision for pods, one new node each, until they run; it returns
// the nodes.
func (t *Tape) Grow(at float64, group string, most int, pods ...string) (nodes []string) {
	from := t.wanted[group]
	to := from + len(pods)
	plan := fmt.Sprintf("[{MachineDeployment/default/%s %d->%d (max: %d)}]", group, from, to, most)
	t.Add(at-.3, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Considered, Group: group, Text: "Best option to resize: MachineDeployment/default/" + group, Source: timeline.Log})
	t.Add(at, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Group: group, N: &to, Text: "Final scale-up plan: " + plan, Source: timeline.Log})
	t.Add(at+.1, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Group: group, N: &to, Text: fmt.Sprintf("Scale-up: setting group MachineDeployment/default/%s size to %d", group, to), Source: timeline.Log})
	for _, p := range pods {
		t.Add(at+1.2, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Name: p, Group: group, N: &to, Text: "pod triggered scale-up: " + plan, Source: timeline.Event})
	}
	t.sized(at+.4, group, to)
	for i, p := range pods {
		slow := 45 + 10*t.rng.Float64() + 2*float64(i)
		n := t.machine(at+2+.3*float64(i), group, slow)
		up := at + 2 + .3*float64(i) + slow + .6
		t.isReady(up+.5, group, t.ready[group]+1)
		t.run(up+1, p, n)
		t.Add(up+5, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Kept, Node: n, Group: group, Text: fmt.Sprintf("memory requested (%.4f%% of allocatable) is above the scale-down utilization threshold", 50+10*t.rng.Float64()), Source: timeline.Log})
		nodes = append(nodes, n)
	}
	return nodes
}

// shrink takes a node away.
func (t *Tape) shrink(at float64, group, node string) {
	n := timeline.Fact{Kind: timeline.Node, Name: node, UID: "n-" + node, Group: group, Source: timeline.Watch}
	m := timeline.Fact{Kind: timeline.Machine, Name: node, UID: "m-" + node, Group: group, Source: timeline.Watch}
	tainted := func(seconds float64, text string) {
		f := n
		f.What, f.Text = timeline.Tainted, text
		t.Add(seconds, f)
	}
	t.Add(at-30, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Considered, Node: node, Text: "duration 0s", Source: timeline.Log})
	tainted(at-29, "DeletionCandidateOfClusterAutoscaler")
	t.Add(at-20, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Kept, Node: node, Text: "was unneeded for 10.2s", Source: timeline.Log})
	t.Add(at, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleDown, Node: node, Text: `Scale-down: removing empty node "` + node + `"`, Source: timeline.Log})
	tainted(at+.1, "ToBeDeletedByClusterAutoscaler")
	t.Add(at+5, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleDown, Node: node, Text: "All pods removed from " + node, Source: timeline.Log})
	m.What = timeline.Marked
	t.Add(at+5.2, m)
	t.sized(at+5.4, group, t.wanted[group]-1)
	m.What, m.Text = timeline.Phase, "Deleting"
	t.Add(at+6, m)
	t.isReady(at+9, group, t.ready[group]-1)
	n.What = timeline.Gone
	t.Add(at+12, n)
	m.What, m.Text = timeline.Gone, ""
	t.Add(at+14, m)
}

// scenario writes its band.
func (t *Tape) scenario(from, to float64, name, verdict, text string, steps ...string) {
	for i, s := range steps {
		t.Add(from+float64(i)*(to-from)/float64(len(steps)), timeline.Fact{Kind: timeline.Lab, What: timeline.Step, Name: name, Text: s, Source: timeline.Own})
	}
	t.Add(to, timeline.Fact{Kind: timeline.Lab, What: verdict, Name: name, Text: text, Source: timeline.Own})
}

// TwentyMinutes is a record such as a lab has after two scenarios: three
// groups, nodes that come and go, refusals, a restart and a gap.
func TwentyMinutes() []timeline.Fact {
	t := New()
	cp := timeline.Fact{Kind: timeline.Machine, What: timeline.Created, Name: "work-cluster-control-plane-w69jx", UID: "m-cp", Group: timeline.ControlPlane, Source: timeline.Watch}
	t.Add(-3*24*3600, cp)
	cp.What, cp.Text, cp.Node = timeline.Phase, "Running", cp.Name
	t.Add(-3*24*3600+40, cp)
	cp.Kind, cp.What, cp.Text, cp.Node, cp.UID = timeline.Node, timeline.Joined, "", "", "n-cp"
	t.Add(-3*24*3600+50, cp)
	cp.What = timeline.Ready
	t.Add(-3*24*3600+60, cp)
	first := t.Group("work-md-1", 1, 4, 1)[0]
	t.Group("work-zero", 0, 3, 0)
	t.Group("work-big-memory", 1, 5, 1)
	t.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
	t.Add(4, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: "1.36.1", Source: timeline.Log})
	t.Add(15, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Health, Text: "Healthy", Source: timeline.Status})
	t.Add(16, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Group: "work-cluster-md-0", Text: "has no scaling capacity", Source: timeline.Log})

	pods := t.Pods(30, "scale-up", 5)
	t.run(32, pods[0], first)
	up := t.Grow(41, "work-md-1", 4, pods[1:4]...)
	t.Add(46, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Group: "work-md-1", Text: "max size reached", Source: timeline.Log})
	t.Add(46.1, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Text: "No expansion options", Source: timeline.Log})
	t.Add(47, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Name: pods[4], Text: "pod didn't trigger scale-up: 1 max node group size reached, 1 node(s) didn't match Pod's node affinity/selector", Source: timeline.Event})
	for i, p := range pods[:4] {
		t.end(170+float64(i)*.4, p)
	}
	t.run(172, pods[4], first)
	t.Add(180, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Kept, Node: first, Group: "work-md-1", Text: "memory requested (55.1253% of allocatable) is above the scale-down utilization threshold", Source: timeline.Log})
	t.scenario(20, 165, "scale-up", timeline.Passed, "4 nodes after 61s of 3m", "workload of 5 pods", "expect 4 nodes Ready", "expect the maximum to hold")
	for i, n := range up {
		t.shrink(225+float64(i)*2, "work-md-1", n)
	}
	t.Add(262, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Kept, Node: first, Group: "work-md-1", Text: "node group min size reached (current: 1, min: 1)", Source: timeline.Log})

	t.end(300, pods[4])
	zero := t.Pods(320, "from-zero", 2)
	gpu := t.Grow(333, "work-zero", 3, zero...)
	t.Add(340, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Problem, Text: "Failed to get nodes from apiserver: Get \"https://172.18.0.3:6443/api/v1/nodes\": context deadline exceeded", Source: timeline.Log})

	// A restart, while a machine is on its way.
	t.Add(362, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Stopped, Text: "Cleaned up, exiting", Source: timeline.Log})
	t.Add(371, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Text: "1.36.1", Source: timeline.Log})
	for _, p := range zero {
		t.end(470, p)
	}
	for i, n := range gpu {
		t.shrink(520+float64(i)*3, "work-zero", n)
	}

	// Nobody records for a while; what pods and nodes did is known later.
	before := len(t.Facts)
	late := t.Pods(590, "meanwhile", 3)
	t.Grow(605, "work-big-memory", 5, late...)
	for i := before; i < len(t.Facts); i++ {
		if f := &t.Facts[i]; f.Time.Before(t.At(680)) && f.Time.After(t.At(580)) {
			f.Seen = t.At(680)
		}
	}
	t.Add(680, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Text: "the recorder started again", Source: timeline.Own})

	// A group that is full, and a pod that nobody helps.
	many := t.Pods(760, "greedy", 9)
	big := t.Grow(772, "work-big-memory", 5, many[0])
	t.Grow(782, "work-zero", 3, many[1:4]...)
	t.Add(790, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Group: "work-big-memory", Text: "max size reached", Source: timeline.Log})
	t.Add(790.1, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Group: "work-zero", Text: "max size reached", Source: timeline.Log})
	back := t.Grow(800, "work-md-1", 4, many[4:7]...)
	for _, p := range many[7:] {
		t.Add(812, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Name: p, Text: "pod didn't trigger scale-up: 3 max node group size reached", Source: timeline.Event})
	}
	t.Add(900, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Kept, Node: big[0], Text: "not enough place for 1 pods: greedy cannot be moved: 0/9 nodes are available", Source: timeline.Log})
	t.Add(902, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Problem, Group: "work-zero", Text: "Disabling scale-up for node group MachineDeployment/default/work-zero until 22:20:00; errorClass=Other; errorCode=timeout", Source: timeline.Log})
	t.Add(980, timeline.Fact{Kind: timeline.Node, What: timeline.Cordoned, Name: back[1], UID: "n-" + back[1], Group: "work-md-1", Source: timeline.Watch})
	t.Add(1010, timeline.Fact{Kind: timeline.Node, What: timeline.Uncordoned, Name: back[1], UID: "n-" + back[1], Group: "work-md-1", Source: timeline.Watch})
	t.Add(1030, timeline.Fact{Kind: timeline.Group, What: timeline.Paused, Name: "work-zero", UID: "g-work-zero", Source: timeline.Watch})
	t.Add(1090, timeline.Fact{Kind: timeline.Group, What: timeline.Resumed, Name: "work-zero", UID: "g-work-zero", Source: timeline.Watch})
	t.Add(1040, timeline.Fact{Kind: timeline.Node, What: timeline.NotReady, Name: big[0], UID: "n-" + big[0], Group: "work-big-memory", Text: "Kubelet stopped posting node status.", Source: timeline.Watch})
	t.Add(1075, timeline.Fact{Kind: timeline.Node, What: timeline.Ready, Name: big[0], UID: "n-" + big[0], Group: "work-big-memory", Source: timeline.Watch})
	for i, p := range many[4:7] {
		t.end(1080+float64(i), p)
	}
	t.shrink(1150, "work-md-1", back[0])
	t.Add(1160, timeline.Fact{Kind: timeline.Group, What: timeline.Limits, Name: "work-md-1", UID: "g-work-md-1", Text: "2 4", Source: timeline.Watch})
	t.scenario(750, 1130, "maximum holds", timeline.Failed, "work-zero: want at most 3 nodes and 2 pods refused within 2m, seen 3 nodes and 2 pods refused, of which one without a reason", "workload of 9 pods", "expect every group at its maximum", "expect 2 pods refused")
	for i := range 9 {
		f := timeline.Fact{Kind: timeline.Pod, Name: fmt.Sprintf("kube-system/kube-proxy-%c", 'a'+i), UID: fmt.Sprint("proxy", i), Node: first, Source: timeline.Watch}
		f.What = timeline.Scheduled
		t.Add(-70+float64(i), f)
		if i > 2 {
			f.Node = big[0]
		}
		if i%4 == 0 {
			f.What = timeline.Running
			t.Add(-60, f)
		}
	}
	t.Add(1210, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Considered, Text: "2 other pods are also unschedulable", Source: timeline.Log})
	return t.Record()
}

// LongRecord is of at least n facts: a cluster that grows and shrinks all day.
func LongRecord(n int) []timeline.Fact {
	t := New()
	groups := []string{"pool-a", "pool-b", "pool-c", "pool-d"}
	for _, g := range groups {
		t.Group(g, 0, 20, 0)
	}
	t.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
	t.Add(1, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Started, Source: timeline.Log})
	for at := 60.0; len(t.Facts) < n; at += 40 + 60*t.rng.Float64() {
		g := groups[t.rng.IntN(len(groups))]
		pods := t.Pods(at, "load-"+g, 1+t.rng.IntN(6))
		nodes := t.Grow(at+11, g, 20, pods...)
		t.Add(at+16, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Group: groups[t.rng.IntN(len(groups))], Text: "not ready for scaleup - backoff", Source: timeline.Log})
		life := 100 + 300*t.rng.Float64()
		for i, p := range pods {
			t.end(at+life, p)
			t.shrink(at+life+40+float64(i), g, nodes[i])
		}
	}
	return t.Record()
}
