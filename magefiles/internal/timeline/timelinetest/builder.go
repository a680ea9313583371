// Package timelinetest makes records for tests of packages that read records.
package timelinetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/logfacts"
)

// Builder makes a record for a test: what a recorder would have written about a cluster
// that does what the test says.
type Builder struct {
	Facts []timeline.Fact
	Start time.Time
	rng   *rand.Rand
	// serial numbers names; wanted and ready are the numbers of replicas by group.
	serial, wanted, ready map[string]int
	// groups has the group of each node.
	groups map[string]string
}

// New returns an empty record that begins on an evening in November.
func New() *Builder {
	return &Builder{
		Start:  time.Date(2026, 11, 24, 22, 0, 0, 0, time.Local),
		rng:    rand.New(rand.NewPCG(4, 1)),
		serial: map[string]int{}, wanted: map[string]int{}, ready: map[string]int{},
		groups: map[string]string{},
	}
}

// At is a time by seconds since the tape began.
func (t *Builder) At(seconds float64) time.Time {
	return t.Start.Add(time.Duration(seconds * float64(time.Second)))
}

// Add writes a fact. Conditions and events have whole seconds.
func (t *Builder) Add(seconds float64, f timeline.Fact) {
	f.Time = t.At(seconds)
	if f.Source == timeline.Event {
		f.Time = f.Time.Truncate(time.Second)
	}
	t.Facts = append(t.Facts, f)
}

// Log records a message of the autoscaler, as the recorder does.
// A message that begins with "W " or "E " is a warning or an error.
func (t *Builder) Log(seconds float64, message string) {
	severity := "I"
	if prefix, rest, _ := strings.Cut(message, " "); prefix == "W" || prefix == "E" {
		severity, message = prefix, rest
	}
	at := t.At(seconds)
	f, ok := logfacts.Statement(speech.Parse(severity+at.Format("0102 15:04:05.000000")+"       1 a.go:1] "+message), at)
	if !ok {
		panic("the recorder makes no fact of: " + message)
	}
	if f.Group == "" && f.Node != "" {
		f.Group = t.groups[f.Node]
	}
	t.Add(seconds, f)
}

// Record returns the facts so far by time.
func (t *Builder) Record() []timeline.Fact {
	facts := slices.Clone(t.Facts)
	slices.SortStableFunc(facts, func(a, b timeline.Fact) int { return a.Time.Compare(b.Time) })
	return facts
}

// Group makes a node group with its first nodes, all of them old.
func (t *Builder) Group(name string, lowest, most, size int) (nodes []string) {
	t.Add(-90, timeline.Fact{Kind: timeline.Group, What: timeline.Created, Name: name, UID: "g-" + name, Source: timeline.Watch})
	t.Add(-90, timeline.Fact{Kind: timeline.Group, What: timeline.Limits, Name: name, UID: "g-" + name, Text: fmt.Sprintf("%d %d", lowest, most), Source: timeline.Watch})
	t.setSize(-90, name, size)
	t.setReady(-90, name, size)
	for range size {
		nodes = append(nodes, t.machine(-80, name, 0))
	}
	return nodes
}

func (t *Builder) setSize(at float64, group string, n int) {
	t.wanted[group] = n
	t.Add(at, timeline.Fact{Kind: timeline.Group, What: timeline.Sized, Name: group, UID: "g-" + group, N: &n, Source: timeline.Watch})
}

func (t *Builder) setReady(at float64, group string, n int) {
	t.ready[group] = n
	t.Add(at, timeline.Fact{Kind: timeline.Group, What: timeline.ReadyCount, Name: group, UID: "g-" + group, N: &n, Source: timeline.Watch})
}

// machine makes one that becomes a Ready node slow seconds later.
func (t *Builder) machine(at float64, group string, slow float64) string {
	t.serial[group]++
	name := fmt.Sprintf("work-cluster-%s-jbskx-%05d", group, t.serial[group]*7919%100000)
	t.groups[name] = group
	m := timeline.Fact{Kind: timeline.Machine, Name: name, UID: "m-" + name, Group: group, Source: timeline.Watch}
	n := timeline.Fact{Kind: timeline.Node, Name: name, UID: "n-" + name, Group: group, Source: timeline.Watch}
	add := func(f timeline.Fact, seconds float64, what, text string) {
		f.What, f.Text = what, text
		t.Add(seconds, f)
	}
	add(m, at, timeline.Created, "")
	add(m, at+.1, timeline.Phase, "Pending")
	add(m, at+slow*.05+.2, timeline.Phase, "Provisioning")
	add(m, at+slow*.4+.3, timeline.Phase, "Provisioned")
	add(n, at+slow*.7+.4, timeline.Joined, "")
	m.Node = name
	add(m, at+slow*.75+.5, timeline.Phase, "Running")
	m.Node = ""
	add(n, at+slow+.6, timeline.Ready, "")
	return name
}

// Pods makes pods for which there is no room.
func (t *Builder) Pods(at float64, prefix string, count int) (names []string) {
	for i := range count {
		t.serial["pod"]++
		name := fmt.Sprintf("default/%s-6cf9d-%05d", prefix, t.serial["pod"]*104729%100000)
		f := timeline.Fact{Kind: timeline.Pod, Name: name, UID: "p-" + name, Source: timeline.Watch}
		f.What = timeline.Created
		t.Add(at+float64(i)*.05, f)
		f.What, f.Text = timeline.Unschedulable, "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient memory. no new claims to deallocate, preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."
		t.Add(at+float64(i)*.05+.1, f)
		t.Log(at+6, "Pod "+name+" is unschedulable")
		names = append(names, name)
	}
	return names
}

// runPod schedules a pod on a node, where it runs.
func (t *Builder) runPod(at float64, pod, node string) {
	f := timeline.Fact{Kind: timeline.Pod, What: timeline.Scheduled, Name: pod, UID: "p-" + pod, Node: node, Source: timeline.Watch}
	t.Add(at, f)
	f.What = timeline.Running
	t.Add(at+1.5, f)
}

// deletePod deletes a pod.
func (t *Builder) deletePod(at float64, pod string) {
	t.Add(at, timeline.Fact{Kind: timeline.Pod, What: timeline.Gone, Name: pod, UID: "p-" + pod, Source: timeline.Watch})
}

// ScaleUp records a decision to scale up for pods, one new node each, until they run. It
// returns the nodes.
func (t *Builder) ScaleUp(at float64, group string, most int, pods ...string) (nodes []string) {
	from := t.wanted[group]
	to := from + len(pods)
	plan := fmt.Sprintf("[{MachineDeployment/default/%s %d->%d (max: %d)}]", group, from, to, most)
	t.Log(at-.3, "Best option to resize: MachineDeployment/default/"+group)
	t.Log(at, "Final scale-up plan: "+plan)
	t.Log(at+.1, fmt.Sprintf("Scale-up: setting group MachineDeployment/default/%s size to %d", group, to))
	for _, p := range pods {
		t.Add(at+1.2, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Name: p, Group: group, N: &to, Text: "pod triggered scale-up: " + plan, Source: timeline.Event})
	}
	t.setSize(at+.4, group, to)
	for i, p := range pods {
		slow := 45 + 10*t.rng.Float64() + 2*float64(i)
		n := t.machine(at+2+.3*float64(i), group, slow)
		up := at + 2 + .3*float64(i) + slow + .6
		t.setReady(up+.5, group, t.ready[group]+1)
		t.runPod(up+1, p, n)
		t.Log(up+5, fmt.Sprintf("Node %s unremovable: memory requested (%.4f%% of allocatable) is above the scale-down utilization threshold", n, 50+10*t.rng.Float64()))
		nodes = append(nodes, n)
	}
	return nodes
}

// SplitScaleUp records a decision to scale several groups up by one node each, for one
// pod each, until the pods run. It returns the nodes.
func (t *Builder) SplitScaleUp(at float64, groups []string, most int, pods ...string) (nodes []string) {
	var parts []string
	for _, g := range groups {
		parts = append(parts, fmt.Sprintf("{MachineDeployment/default/%s %d->%d (max: %d)}", g, t.wanted[g], t.wanted[g]+1, most))
	}
	plan := "[" + strings.Join(parts, " ") + "]"
	t.Log(at, "Final scale-up plan: "+plan)
	for i, g := range groups {
		t.Log(at+.1+.5*float64(i), fmt.Sprintf("Scale-up: setting group MachineDeployment/default/%s size to %d", g, t.wanted[g]+1))
		t.setSize(at+.4+.5*float64(i), g, t.wanted[g]+1)
		n := t.machine(at+2+float64(i), g, 40)
		t.setReady(at+43+float64(i), g, t.ready[g]+1)
		t.Add(at+1.2, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.ScaleUp, Name: pods[i], Text: "pod triggered scale-up: " + plan, Source: timeline.Event})
		t.runPod(at+44+float64(i), pods[i], n)
		nodes = append(nodes, n)
	}
	return nodes
}

// scaleDown records that the autoscaler removes a node.
func (t *Builder) scaleDown(at float64, group, node string) {
	n := timeline.Fact{Kind: timeline.Node, Name: node, UID: "n-" + node, Group: group, Source: timeline.Watch}
	m := timeline.Fact{Kind: timeline.Machine, Name: node, UID: "m-" + node, Group: group, Source: timeline.Watch}
	tainted := func(seconds float64, text string) {
		f := n
		f.What, f.Text = timeline.Tainted, text
		t.Add(seconds, f)
	}
	t.Log(at-30, node+" is unneeded since "+t.At(at-30).Format("2006-01-02 15:04:05.999999999 -0700 MST")+" duration 0s")
	tainted(at-29, "DeletionCandidateOfClusterAutoscaler")
	t.Log(at-20, node+" was unneeded for 10.2s")
	t.Log(at, `Scale-down: removing empty node "`+node+`"`)
	tainted(at+.1, "ToBeDeletedByClusterAutoscaler")
	t.Log(at+5, "All pods removed from "+node)
	m.What = timeline.Marked
	t.Add(at+5.2, m)
	t.setSize(at+5.4, group, t.wanted[group]-1)
	m.What, m.Text = timeline.Phase, "Deleting"
	t.Add(at+6, m)
	t.setReady(at+9, group, t.ready[group]-1)
	n.What = timeline.Gone
	t.Add(at+12, n)
	m.What, m.Text = timeline.Gone, ""
	t.Add(at+14, m)
}

// scenario records a run of a scenario.
func (t *Builder) scenario(from, to float64, name, verdict, text string, steps ...string) {
	for i, s := range steps {
		t.Add(from+float64(i)*(to-from)/float64(len(steps)), timeline.Fact{Kind: timeline.Lab, What: timeline.Step, Name: name, Text: s, Source: timeline.Own})
	}
	t.Add(to, timeline.Fact{Kind: timeline.Lab, What: verdict, Name: name, Text: text, Source: timeline.Own})
}

// TwentyMinutes returns the record of two scenarios with three groups, nodes that come
// and go, refusals, a restart and a gap.
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
	t.Log(4, "Cluster Autoscaler 1.36.1")
	t.Add(15, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Health, Text: "Healthy", Source: timeline.Status})
	t.Log(16, "discovered a paused node group: MachineDeployment/default/work-cluster-md-0 (min: 1, max: 4, replicas: 1)")

	pods := t.Pods(30, "scale-up", 5)
	t.runPod(32, pods[0], first)
	up := t.ScaleUp(41, "work-md-1", 4, pods[1:4]...)
	t.Log(46, "Skipping node group MachineDeployment/default/work-md-1 - max size reached")
	t.Log(46.1, "No expansion options")
	t.Add(47, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Name: pods[4], Text: "pod didn't trigger scale-up: 1 max node group size reached, 1 node(s) didn't match Pod's node affinity/selector", Source: timeline.Event})
	for i, p := range pods[:4] {
		t.deletePod(170+float64(i)*.4, p)
	}
	t.runPod(172, pods[4], first)
	t.Log(180, "Node "+first+" unremovable: memory requested (55.1253% of allocatable) is above the scale-down utilization threshold")
	t.scenario(20, 165, "scale-up", timeline.Passed, "4 nodes after 61s of 3m", "workload of 5 pods", "expect 4 nodes Ready", "expect the maximum to hold")
	for i, n := range up {
		t.scaleDown(225+float64(i)*2, "work-md-1", n)
	}
	t.Log(262, "Skipping "+first+" - node group min size reached (current: 1, min: 1)")

	t.deletePod(300, pods[4])
	zero := t.Pods(320, "from-zero", 2)
	gpu := t.ScaleUp(333, "work-zero", 3, zero...)
	t.Log(340, `E Failed to get nodes from apiserver: Get "https://172.18.0.3:6443/api/v1/nodes": context deadline exceeded`)

	// A restart, while a machine is on its way.
	t.Log(362, "Cleaned up, exiting...")
	t.Log(371, "Cluster Autoscaler 1.36.1")
	for _, p := range zero {
		t.deletePod(470, p)
	}
	for i, n := range gpu {
		t.scaleDown(520+float64(i)*3, "work-zero", n)
	}

	// Nobody records for a while; what pods and nodes did is known later.
	before := len(t.Facts)
	late := t.Pods(590, "meanwhile", 3)
	t.ScaleUp(605, "work-big-memory", 5, late...)
	for i := before; i < len(t.Facts); i++ {
		if f := &t.Facts[i]; f.Time.Before(t.At(680)) && f.Time.After(t.At(580)) {
			f.Seen = t.At(680)
		}
	}
	t.Add(680, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Text: "the recorder started again", Source: timeline.Own})

	// A group that is full, and a pod that nobody helps.
	many := t.Pods(760, "greedy", 9)
	big := t.ScaleUp(772, "work-big-memory", 5, many[0])
	t.ScaleUp(782, "work-zero", 3, many[1:4]...)
	t.Log(790, "Skipping node group MachineDeployment/default/work-big-memory - max size reached")
	t.Log(790.1, "Skipping node group MachineDeployment/default/work-zero - max size reached")
	back := t.ScaleUp(800, "work-md-1", 4, many[4:7]...)
	for _, p := range many[7:] {
		t.Add(812, timeline.Fact{Kind: timeline.Autoscaler, What: timeline.Refused, Name: p, Text: "pod didn't trigger scale-up: 3 max node group size reached", Source: timeline.Event})
	}
	t.Log(900, "node "+big[0]+" is not suitable for removal: can reschedule only 0 out of 1 pods")
	t.Log(902, "W Scale-up timed out for node group MachineDeployment/default/work-zero after 1m0.2s")
	t.Add(980, timeline.Fact{Kind: timeline.Node, What: timeline.Cordoned, Name: back[1], UID: "n-" + back[1], Group: "work-md-1", Source: timeline.Watch})
	t.Add(1010, timeline.Fact{Kind: timeline.Node, What: timeline.Uncordoned, Name: back[1], UID: "n-" + back[1], Group: "work-md-1", Source: timeline.Watch})
	t.Add(1030, timeline.Fact{Kind: timeline.Group, What: timeline.Paused, Name: "work-zero", UID: "g-work-zero", Source: timeline.Watch})
	t.Add(1090, timeline.Fact{Kind: timeline.Group, What: timeline.Resumed, Name: "work-zero", UID: "g-work-zero", Source: timeline.Watch})
	t.Add(1040, timeline.Fact{Kind: timeline.Node, What: timeline.NotReady, Name: big[0], UID: "n-" + big[0], Group: "work-big-memory", Text: "Kubelet stopped posting node status.", Source: timeline.Watch})
	t.Add(1075, timeline.Fact{Kind: timeline.Node, What: timeline.Ready, Name: big[0], UID: "n-" + big[0], Group: "work-big-memory", Source: timeline.Watch})
	for i, p := range many[4:7] {
		t.deletePod(1080+float64(i), p)
	}
	t.scaleDown(1150, "work-md-1", back[0])
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
	t.Log(1210, "2 other pods are also unschedulable")
	return t.Record()
}

// LongRecord returns at least n facts of a cluster that grows and shrinks all day.
func LongRecord(n int) []timeline.Fact {
	t := New()
	groups := []string{"pool-a", "pool-b", "pool-c", "pool-d"}
	for _, g := range groups {
		t.Group(g, 0, 20, 0)
	}
	t.Add(0, timeline.Fact{Kind: timeline.Lab, What: timeline.Recording, Source: timeline.Own})
	t.Log(1, "Cluster Autoscaler 1.36.1")
	for at := 60.0; len(t.Facts) < n; at += 40 + 60*t.rng.Float64() {
		g := groups[t.rng.IntN(len(groups))]
		pods := t.Pods(at, "load-"+g, 1+t.rng.IntN(6))
		nodes := t.ScaleUp(at+11, g, 20, pods...)
		t.Log(at+16, "W Node group MachineDeployment/default/"+groups[t.rng.IntN(len(groups))]+" is not ready for scaleup - backoff")
		life := 100 + 300*t.rng.Float64()
		for i, p := range pods {
			t.deletePod(at+life, p)
			t.scaleDown(at+life+40+float64(i), g, nodes[i])
		}
	}
	return t.Record()
}
