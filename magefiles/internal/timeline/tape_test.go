package timeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Tape makes records for tests: what a recorder would have written of a
// cluster that does what the test says.
type Tape struct {
	facts []Fact
	start time.Time
	rng   *rand.Rand
	// serial numbers what has a name; wanted and ready are of groups.
	serial, wanted, ready map[string]int
}

func newTape() *Tape {
	return &Tape{
		start:  time.Date(2026, 11, 24, 22, 0, 0, 0, time.Local),
		rng:    rand.New(rand.NewPCG(4, 1)),
		serial: map[string]int{}, wanted: map[string]int{}, ready: map[string]int{},
	}
}

// at is a time by seconds since the tape began.
func (t *Tape) at(seconds float64) time.Time {
	return t.start.Add(time.Duration(seconds * float64(time.Second)))
}

// add writes a fact. Conditions and events have whole seconds.
func (t *Tape) add(seconds float64, f Fact) {
	f.Time = t.at(seconds)
	if f.Source == Event {
		f.Time = f.Time.Truncate(time.Second)
	}
	t.facts = append(t.facts, f)
}

func (t *Tape) record() []Fact {
	facts := slices.Clone(t.facts)
	slices.SortStableFunc(facts, func(a, b Fact) int { return a.Time.Compare(b.Time) })
	return facts
}

// group makes a node group with its first nodes, all of them old.
func (t *Tape) group(name string, lowest, most, size int) (nodes []string) {
	t.add(-90, Fact{Kind: Group, What: Created, Name: name, UID: "g-" + name, Source: Watch})
	t.add(-90, Fact{Kind: Group, What: Limits, Name: name, UID: "g-" + name, Text: fmt.Sprintf("%d %d", lowest, most), Source: Watch})
	t.sized(-90, name, size)
	t.isReady(-90, name, size)
	for range size {
		nodes = append(nodes, t.machine(-80, name, 0))
	}
	return nodes
}

func (t *Tape) sized(at float64, group string, n int) {
	t.wanted[group] = n
	t.add(at, Fact{Kind: Group, What: Sized, Name: group, UID: "g-" + group, N: &n, Source: Watch})
}

func (t *Tape) isReady(at float64, group string, n int) {
	t.ready[group] = n
	t.add(at, Fact{Kind: Group, What: ReadyCount, Name: group, UID: "g-" + group, N: &n, Source: Watch})
}

// machine makes one that becomes a Ready node slow seconds later.
func (t *Tape) machine(at float64, group string, slow float64) string {
	t.serial[group]++
	name := fmt.Sprintf("work-cluster-%s-jbskx-%05d", group, t.serial[group]*7919%100000)
	m := Fact{Kind: Machine, Name: name, UID: "m-" + name, Group: group, Source: Watch}
	n := Fact{Kind: Node, Name: name, UID: "n-" + name, Group: group, Source: Watch}
	say := func(f Fact, seconds float64, what, text string) {
		f.What, f.Text = what, text
		t.add(seconds, f)
	}
	say(m, at, Created, "")
	say(m, at+.1, Phase, "Pending")
	say(m, at+slow*.05+.2, Phase, "Provisioning")
	say(m, at+slow*.4+.3, Phase, "Provisioned")
	say(n, at+slow*.7+.4, Joined, "")
	m.Node = name
	say(m, at+slow*.75+.5, Phase, "Running")
	m.Node = ""
	say(n, at+slow+.6, Ready, "")
	return name
}

// pods makes pods for which there is no room.
func (t *Tape) pods(at float64, prefix string, count int) (names []string) {
	for i := range count {
		t.serial["pod"]++
		name := fmt.Sprintf("default/%s-6cf9d-%05d", prefix, t.serial["pod"]*104729%100000)
		f := Fact{Kind: Pod, Name: name, UID: "p-" + name, Source: Watch}
		f.What = Created
		t.add(at+float64(i)*.05, f)
		f.What, f.Text = Unschedulable, "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient memory. no new claims to deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
		t.add(at+float64(i)*.05+.1, f)
		t.add(at+6, Fact{Kind: Autoscaler, What: Considered, Name: name, Text: "Pod " + name + " is unschedulable", Source: Log})
		names = append(names, name)
	}
	return names
}

// run puts a pod on a node.
func (t *Tape) run(at float64, pod, node string) {
	f := Fact{Kind: Pod, What: Scheduled, Name: pod, UID: "p-" + pod, Node: node, Source: Watch}
	t.add(at, f)
	f.What = Running
	t.add(at+1.5, f)
}

// end deletes a pod.
func (t *Tape) end(at float64, pod string) {
	t.add(at, Fact{Kind: Pod, What: Gone, Name: pod, UID: "p-" + pod, Source: Watch})
}

// grow is a decision for pods, one new node each, until they run; it returns
// the nodes.
func (t *Tape) grow(at float64, group string, most int, pods ...string) (nodes []string) {
	from := t.wanted[group]
	to := from + len(pods)
	plan := fmt.Sprintf("[{MachineDeployment/default/%s %d->%d (max: %d)}]", group, from, to, most)
	t.add(at-.3, Fact{Kind: Autoscaler, What: Considered, Group: group, Text: "Best option to resize: MachineDeployment/default/" + group, Source: Log})
	t.add(at, Fact{Kind: Autoscaler, What: ScaleUp, Group: group, N: &to, Text: "Final scale-up plan: " + plan, Source: Log})
	t.add(at+.1, Fact{Kind: Autoscaler, What: ScaleUp, Group: group, N: &to, Text: fmt.Sprintf("Scale-up: setting group MachineDeployment/default/%s size to %d", group, to), Source: Log})
	for _, p := range pods {
		t.add(at+1.2, Fact{Kind: Autoscaler, What: ScaleUp, Name: p, Group: group, N: &to, Text: "pod triggered scale-up: " + plan, Source: Event})
	}
	t.sized(at+.4, group, to)
	for i, p := range pods {
		slow := 45 + 10*t.rng.Float64() + 2*float64(i)
		n := t.machine(at+2+.3*float64(i), group, slow)
		up := at + 2 + .3*float64(i) + slow + .6
		t.isReady(up+.5, group, t.ready[group]+1)
		t.run(up+1, p, n)
		t.add(up+5, Fact{Kind: Autoscaler, What: Kept, Node: n, Group: group, Text: fmt.Sprintf("memory requested (%.4f%% of allocatable) is above the scale-down utilization threshold", 50+10*t.rng.Float64()), Source: Log})
		nodes = append(nodes, n)
	}
	return nodes
}

// shrink takes a node away.
func (t *Tape) shrink(at float64, group, node string) {
	n := Fact{Kind: Node, Name: node, UID: "n-" + node, Group: group, Source: Watch}
	m := Fact{Kind: Machine, Name: node, UID: "m-" + node, Group: group, Source: Watch}
	tainted := func(seconds float64, text string) {
		f := n
		f.What, f.Text = Tainted, text
		t.add(seconds, f)
	}
	t.add(at-30, Fact{Kind: Autoscaler, What: Considered, Node: node, Text: "duration 0s", Source: Log})
	tainted(at-29, "DeletionCandidateOfClusterAutoscaler")
	t.add(at-20, Fact{Kind: Autoscaler, What: Kept, Node: node, Text: "was unneeded for 10.2s", Source: Log})
	t.add(at, Fact{Kind: Autoscaler, What: ScaleDown, Node: node, Text: `Scale-down: removing empty node "` + node + `"`, Source: Log})
	tainted(at+.1, "ToBeDeletedByClusterAutoscaler")
	t.add(at+5, Fact{Kind: Autoscaler, What: ScaleDown, Node: node, Text: "All pods removed from " + node, Source: Log})
	m.What = Marked
	t.add(at+5.2, m)
	t.sized(at+5.4, group, t.wanted[group]-1)
	m.What, m.Text = Phase, "Deleting"
	t.add(at+6, m)
	t.isReady(at+9, group, t.ready[group]-1)
	n.What = Gone
	t.add(at+12, n)
	m.What, m.Text = Gone, ""
	t.add(at+14, m)
}

// scenario writes its band.
func (t *Tape) scenario(from, to float64, name, verdict, text string, steps ...string) {
	for i, s := range steps {
		t.add(from+float64(i)*(to-from)/float64(len(steps)), Fact{Kind: Lab, What: Step, Name: name, Text: s, Source: Own})
	}
	t.add(to, Fact{Kind: Lab, What: verdict, Name: name, Text: text, Source: Own})
}

// twentyMinutes is a record such as a lab has after two scenarios: three
// groups, nodes that come and go, refusals, a restart and a gap.
func twentyMinutes() []Fact {
	t := newTape()
	cp := Fact{Kind: Machine, What: Created, Name: "work-cluster-control-plane-w69jx", UID: "m-cp", Group: ControlPlane, Source: Watch}
	t.add(-3*24*3600, cp)
	cp.What, cp.Text, cp.Node = Phase, "Running", cp.Name
	t.add(-3*24*3600+40, cp)
	cp.Kind, cp.What, cp.Text, cp.Node, cp.UID = Node, Joined, "", "", "n-cp"
	t.add(-3*24*3600+50, cp)
	cp.What = Ready
	t.add(-3*24*3600+60, cp)
	first := t.group("work-md-1", 1, 4, 1)[0]
	t.group("work-zero", 0, 3, 0)
	t.group("work-big-memory", 1, 5, 1)
	t.add(0, Fact{Kind: Lab, What: Recording, Source: Own})
	t.add(4, Fact{Kind: Autoscaler, What: Started, Text: "1.36.1", Source: Log})
	t.add(15, Fact{Kind: Autoscaler, What: Health, Text: "Healthy", Source: Status})
	t.add(16, Fact{Kind: Autoscaler, What: Refused, Group: "work-cluster-md-0", Text: "has no scaling capacity", Source: Log})

	pods := t.pods(30, "scale-up", 5)
	t.run(32, pods[0], first)
	up := t.grow(41, "work-md-1", 4, pods[1:4]...)
	t.add(46, Fact{Kind: Autoscaler, What: Refused, Group: "work-md-1", Text: "max size reached", Source: Log})
	t.add(46.1, Fact{Kind: Autoscaler, What: Refused, Text: "No expansion options", Source: Log})
	t.add(47, Fact{Kind: Autoscaler, What: Refused, Name: pods[4], Text: "pod didn't trigger scale-up: 1 max node group size reached, 1 node(s) didn't match Pod's node affinity/selector", Source: Event})
	for i, p := range pods[:4] {
		t.end(170+float64(i)*.4, p)
	}
	t.run(172, pods[4], first)
	t.add(180, Fact{Kind: Autoscaler, What: Kept, Node: first, Group: "work-md-1", Text: "memory requested (55.1253% of allocatable) is above the scale-down utilization threshold", Source: Log})
	t.scenario(20, 165, "scale-up", Passed, "4 nodes after 61s of 3m", "workload of 5 pods", "expect 4 nodes Ready", "expect the maximum to hold")
	for i, n := range up {
		t.shrink(225+float64(i)*2, "work-md-1", n)
	}
	t.add(262, Fact{Kind: Autoscaler, What: Kept, Node: first, Group: "work-md-1", Text: "node group min size reached (current: 1, min: 1)", Source: Log})

	t.end(300, pods[4])
	zero := t.pods(320, "from-zero", 2)
	gpu := t.grow(333, "work-zero", 3, zero...)
	t.add(340, Fact{Kind: Autoscaler, What: Problem, Text: "Failed to get nodes from apiserver: Get \"https://172.18.0.3:6443/api/v1/nodes\": context deadline exceeded", Source: Log})

	// A restart, while a machine is on its way.
	t.add(362, Fact{Kind: Autoscaler, What: Stopped, Text: "Cleaned up, exiting", Source: Log})
	t.add(371, Fact{Kind: Autoscaler, What: Started, Text: "1.36.1", Source: Log})
	for _, p := range zero {
		t.end(470, p)
	}
	for i, n := range gpu {
		t.shrink(520+float64(i)*3, "work-zero", n)
	}

	// Nobody records for a while; what pods and nodes did is known later.
	before := len(t.facts)
	late := t.pods(590, "meanwhile", 3)
	t.grow(605, "work-big-memory", 5, late...)
	for i := before; i < len(t.facts); i++ {
		if f := &t.facts[i]; f.Time.Before(t.at(680)) && f.Time.After(t.at(580)) {
			f.Seen = t.at(680)
		}
	}
	t.add(680, Fact{Kind: Lab, What: Recording, Text: "the recorder started again", Source: Own})

	// A group that is full, and a pod that nobody helps.
	many := t.pods(760, "greedy", 9)
	big := t.grow(772, "work-big-memory", 5, many[0])
	t.grow(782, "work-zero", 3, many[1:4]...)
	t.add(790, Fact{Kind: Autoscaler, What: Refused, Group: "work-big-memory", Text: "max size reached", Source: Log})
	t.add(790.1, Fact{Kind: Autoscaler, What: Refused, Group: "work-zero", Text: "max size reached", Source: Log})
	back := t.grow(800, "work-md-1", 4, many[4:7]...)
	for _, p := range many[7:] {
		t.add(812, Fact{Kind: Autoscaler, What: Refused, Name: p, Text: "pod didn't trigger scale-up: 3 max node group size reached", Source: Event})
	}
	t.add(900, Fact{Kind: Autoscaler, What: Kept, Node: big[0], Text: "not enough place for 1 pods: greedy cannot be moved: 0/9 nodes are available", Source: Log})
	t.add(902, Fact{Kind: Autoscaler, What: Problem, Group: "work-zero", Text: "Disabling scale-up for node group MachineDeployment/default/work-zero until 22:20:00; errorClass=Other; errorCode=timeout", Source: Log})
	t.add(980, Fact{Kind: Node, What: Cordoned, Name: back[1], UID: "n-" + back[1], Group: "work-md-1", Source: Watch})
	t.add(1010, Fact{Kind: Node, What: Uncordoned, Name: back[1], UID: "n-" + back[1], Group: "work-md-1", Source: Watch})
	t.add(1030, Fact{Kind: Group, What: Paused, Name: "work-zero", UID: "g-work-zero", Source: Watch})
	t.add(1090, Fact{Kind: Group, What: Resumed, Name: "work-zero", UID: "g-work-zero", Source: Watch})
	t.add(1040, Fact{Kind: Node, What: NotReady, Name: big[0], UID: "n-" + big[0], Group: "work-big-memory", Text: "Kubelet stopped posting node status.", Source: Watch})
	t.add(1075, Fact{Kind: Node, What: Ready, Name: big[0], UID: "n-" + big[0], Group: "work-big-memory", Source: Watch})
	for i, p := range many[4:7] {
		t.end(1080+float64(i), p)
	}
	t.shrink(1150, "work-md-1", back[0])
	t.add(1160, Fact{Kind: Group, What: Limits, Name: "work-md-1", UID: "g-work-md-1", Text: "2 4", Source: Watch})
	t.scenario(750, 1130, "maximum holds", Failed, "work-zero: want at most 3 nodes and 2 pods refused within 2m, seen 3 nodes and 2 pods refused, of which one without a reason", "workload of 9 pods", "expect every group at its maximum", "expect 2 pods refused")
	for i := range 9 {
		f := Fact{Kind: Pod, Name: fmt.Sprintf("kube-system/kube-proxy-%c", 'a'+i), UID: fmt.Sprint("proxy", i), Node: first, Source: Watch}
		f.What = Scheduled
		t.add(-70+float64(i), f)
		if i > 2 {
			f.Node = big[0]
		}
		if i%4 == 0 {
			f.What = Running
			t.add(-60, f)
		}
	}
	t.add(1210, Fact{Kind: Autoscaler, What: Considered, Text: "2 other pods are also unschedulable", Source: Log})
	return t.record()
}

// longRecord is of at least n facts: a cluster that grows and shrinks all day.
func longRecord(n int) []Fact {
	t := newTape()
	groups := []string{"pool-a", "pool-b", "pool-c", "pool-d"}
	for _, g := range groups {
		t.group(g, 0, 20, 0)
	}
	t.add(0, Fact{Kind: Lab, What: Recording, Source: Own})
	t.add(1, Fact{Kind: Autoscaler, What: Started, Source: Log})
	for at := 60.0; len(t.facts) < n; at += 40 + 60*t.rng.Float64() {
		g := groups[t.rng.IntN(len(groups))]
		pods := t.pods(at, "load-"+g, 1+t.rng.IntN(6))
		nodes := t.grow(at+11, g, 20, pods...)
		t.add(at+16, Fact{Kind: Autoscaler, What: Refused, Group: groups[t.rng.IntN(len(groups))], Text: "not ready for scaleup - backoff", Source: Log})
		life := 100 + 300*t.rng.Float64()
		for i, p := range pods {
			t.end(at+life, p)
			t.shrink(at+life+40+float64(i), g, nodes[i])
		}
	}
	return t.record()
}
