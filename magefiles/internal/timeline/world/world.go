// Package world makes the cluster at one moment from the facts of a record: its pods, nodes, groups
// and machines, and what is known of the autoscaler. It judges nothing.
package world

import (
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"caslab/magefiles/internal/autoscaler"
	"caslab/magefiles/internal/autoscaler/speech"
	"caslab/magefiles/internal/capi/release"
	"caslab/magefiles/internal/timeline"
	"caslab/magefiles/internal/timeline/shape"
)

// World is the cluster at one moment, as far as the record has shapes of its objects.
type World struct {
	At time.Time
	// Pods, Nodes and Groups by name.
	Pods   []*Pod
	Nodes  []*Node
	Groups []*Group
	// Autoscaler that ran last.
	Autoscaler Autoscaler
	// Paused is set while the whole cluster is paused.
	Paused bool
	// Health is what the autoscaler's status said last of the whole cluster.
	Health string
	// Budgets are the PodDisruptionBudgets on record, by name. BudgetsKnown is set if these
	// are all.
	Budgets      []*Budget
	BudgetsKnown bool

	// Machines are those of all groups and of the control plane.
	Machines []*Machine
	// DaemonSets has a pod of each DaemonSet on record, by name.
	DaemonSets []*Pod
	// Scheduling has the namespaces and the objects of storage and of devices as the scheduler reads
	// them. Storage and Devices have those of which answers tell.
	Scheduling map[timeline.Kind][]json.RawMessage
	Storage    Storage
	Devices    Devices
	// Namespaces has the labels of namespaces by name.
	Namespaces map[string]map[string]string
	// Complete has the kinds of which all objects are on record.
	Complete map[timeline.Kind]bool
}

// Storage is what a cluster has for volumes, in no particular order.
type Storage struct {
	Claims  []*corev1.PersistentVolumeClaim
	Volumes []*corev1.PersistentVolume
	Classes []*storagev1.StorageClass
	Nodes   []*storagev1.CSINode
	// Drivers are the CSIDrivers, and Capacities what they report of the storage that is left.
	Drivers    []*storagev1.CSIDriver
	Capacities []*storagev1.CSIStorageCapacity
}

// Pod is a pod that exists.
type Pod struct {
	shape.Pod
	// Name is namespace/name.
	Name, UID string
	// Node that it is bound to, empty if it waits for one.
	Node    string
	Created time.Time
	// Marked is set if a scheduler found no node, and Message is what it said last.
	Marked  bool
	Message string
}

// Node is a node that exists.
type Node struct {
	shape.Node
	Name, Group string
	// WasReady is set if the node was Ready once. Ready is set if it is Ready, since ReadySince.
	WasReady, Ready bool
	ReadySince      time.Time
	// Candidate is the time of the taint that marks the node as a candidate for deletion,
	// Unneeded the time since which the autoscaler says that it does not need the node.
	// Either may be zero. Deleting is set while the autoscaler deletes the node.
	Candidate, Unneeded time.Time
	Deleting            bool
	// Blocked is when the autoscaler said that a pod blocks its removal, zero if it has said
	// something else since.
	Blocked time.Time
	// Pods that are bound to it, and what they request together. Nominated are the pods for which the
	// scheduler makes room on it.
	Pods      []*Pod
	Used      corev1.ResourceList
	Nominated []*Pod
}

// Group is a MachineDeployment, a MachinePool, or a MachineSet without a MachineDeployment that exists.
type Group struct {
	shape.Group
	Name string
	// Wanted is its number of replicas.
	Wanted int
	// Paused is set by its annotation or in its spec.
	Paused bool
	// Health is what the autoscaler's status said last of the group.
	Health string
	// Infrastructure is its infrastructure template, nil if that is not on record.
	Infrastructure *shape.Template
	Nodes          []*Node
	Machines       []*Machine
	// Backoff is the end of the last back-off that the autoscaler announced.
	Backoff time.Time
	// Remembered is the last node of the group that was an example for new ones, and is none any more;
	// nil if there is none, or if the autoscaler that runs did not see it.
	Remembered *Remembered
}

// Machine is a Machine of a group.
type Machine struct {
	shape.Machine
	Name, Phase, Node string
	Created           time.Time
	// Marked is set if the autoscaler has chosen it to be deleted.
	Marked bool
	// Infrastructure and Bootstrap are the infrastructure machine and the bootstrap config, nil if they
	// report no problem.
	Infrastructure, Bootstrap *External
}

// External is an external object of a Machine with a problem: an infrastructure machine or a bootstrap config.
type External struct {
	shape.External
	// Kind of the object, such as DockerMachine.
	Kind string
}

// Autoscaler is a process of the autoscaler.
type Autoscaler struct {
	shape.Autoscaler
	// Version is nil if it is not on record.
	Version *version.Version
	// Known is set if flags are on record.
	Known bool
	// Since is when it started, zero if that is not on record; Stopped is set if it
	// no longer runs.
	Since   time.Time
	Stopped bool
	// Decided has when decisions were recorded, together and by group, also those of
	// processes before it. They stand for a CoolDown that is not on record.
	Decided   shape.CoolDown
	DecidedOf map[string]*shape.CoolDown

	starts timeline.Starts
}

// unknown stands for a release that is not on record: it is later than all, so that what is
// known of the newest one holds for it.
var unknown = release.After(99)

// Release returns what is known of the autoscaler's release; of the newest one if the
// record does not have the release.
func (a Autoscaler) Release() release.Autoscaler {
	if a.Version == nil {
		return release.OfAutoscaler(unknown)
	}
	return release.OfAutoscaler(a.Version)
}

// Title returns "the autoscaler 1.36.1", or "the autoscaler" if the release is not on
// record.
func (a Autoscaler) Title() string {
	if a.Version == nil {
		return "the autoscaler"
	}
	return "the autoscaler " + a.Version.String()
}

// object is the state of an object while facts are read.
type object struct {
	timeline.Fact           // the first fact, with the latest Group, Node and Shape
	n                       int
	paused, wasReady, ready bool
	readySince              time.Time
	phase                   string
	// marked is set for a pod that is Unschedulable, and for a machine to be deleted.
	marked  bool
	message string
	// taints has since when the autoscaler's taints are there.
	taints map[string]time.Time
}

// key identifies the object of a fact.
func key(f timeline.Fact) string { return string(f.Kind) + "/" + cmp.Or(f.UID, f.Name) }

// At returns the cluster at a time, from the facts of a record by time.
func At(facts []timeline.Fact, at time.Time) *World {
	w := &World{At: at, Complete: map[timeline.Kind]bool{}, Scheduling: map[timeline.Kind][]json.RawMessage{}, Namespaces: map[string]map[string]string{}}
	objects, memory := map[string]*object{}, newMemory()
	for _, f := range facts {
		if f.Time.After(at) {
			break
		}
		switch f.Kind {
		case timeline.Autoscaler:
			if started := w.autoscaler(f); started {
				memory = newMemory() // the process before took its memory with it
			}
			memory.hear(f)
		case timeline.Lab:
		default:
			if f.What == timeline.Shaped && f.Name == "" {
				w.Complete[f.Kind] = true
			}
			o := objects[key(f)]
			memory.see(f, o, objects, w.Autoscaler)
			if ended(f) {
				delete(objects, key(f))
				continue
			}
			if o == nil {
				o = &object{Fact: f, taints: map[string]time.Time{}}
				objects[key(f)] = o
			}
			o.apply(f)
			memory.keep(o)
		}
	}
	w.BudgetsKnown = w.Complete[timeline.Budget]
	w.build(objects)
	if !w.Autoscaler.Stopped { // a process's memory ends with it
		memory.recall(w)
	}
	return w
}

// ended reports whether the object of a fact is gone, or no longer uses its node.
func ended(f timeline.Fact) bool {
	return f.What == timeline.Gone || f.What == timeline.Ended || f.What == timeline.Shaped && f.Shape == nil
}

// apply changes the state by a fact.
func (o *object) apply(f timeline.Fact) {
	o.Group, o.Node = cmp.Or(f.Group, o.Group), cmp.Or(f.Node, o.Node)
	switch f.What {
	case timeline.Shaped:
		o.Shape = f.Shape
	case timeline.Unschedulable:
		o.marked, o.message = true, f.Text
	case timeline.Sized:
		if f.N != nil {
			o.n = *f.N
		}
	case timeline.Paused, timeline.Resumed:
		o.paused = f.What == timeline.Paused
	case timeline.Phase:
		o.phase = f.Text
	case timeline.Ready, timeline.NotReady:
		if f.What == timeline.Ready && !o.ready {
			o.readySince = f.Time
		}
		o.ready = f.What == timeline.Ready
		o.wasReady = o.wasReady || o.ready
	case timeline.Marked, timeline.Unmarked:
		o.marked = f.What == timeline.Marked
	case timeline.Tainted:
		o.taints[f.Text] = f.Time
	case timeline.Untainted:
		delete(o.taints, f.Text)
	}
}

// releasePattern finds a release in a message of the autoscaler, or in the name of its
// image.
var releasePattern = regexp.MustCompile(`\b\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?`)

// autoscaler changes what is known of the autoscaler by a fact. It reports whether another
// process started.
func (w *World) autoscaler(f timeline.Fact) (started bool) {
	a := &w.Autoscaler
	if f.Source == timeline.Log {
		a.Stopped = false // it logs, so it runs
	}
	switch f.What {
	case timeline.Started:
		if started = a.starts.IsNew(f); started {
			a.Since, a.API, a.CoolDown, a.Loops = f.Time, "", nil, nil
		}
		a.Stopped = false
		if v, err := version.NewVersion(releasePattern.FindString(f.Text)); err == nil {
			a.Version = v
		}
	case timeline.Stopped:
		a.Stopped = true
		a.starts.Stop()
	case timeline.Shaped:
		var s shape.Autoscaler
		if f.Shape == nil || json.Unmarshal(f.Shape, &s) != nil {
			return false
		}
		if s.Flags != nil {
			a.Flags, a.Known = s.Flags, true
			if f.Source != timeline.Log {
				a.Tree = s.Tree // the log does not know it
			}
		}
		a.API, a.CoolDown, a.Loops = cmp.Or(s.API, a.API), cmp.Or(s.CoolDown, a.CoolDown), cmp.Or(s.Loops, a.Loops)
	case timeline.ScaleUp, timeline.ScaleDown, timeline.Problem:
		a.decide(f)
	}
	return started
}

// decide notes when a decision was made.
func (a *Autoscaler) decide(f timeline.Fact) {
	group := timeline.LastPart(f.Group)
	of := a.DecidedOf[group]
	if of == nil {
		of = &shape.CoolDown{}
		if a.DecidedOf == nil {
			a.DecidedOf = map[string]*shape.CoolDown{}
		}
		a.DecidedOf[group] = of
	}
	switch {
	case f.What == timeline.ScaleUp:
		a.Decided.Add, of.Add = f.Time, f.Time
	case f.What == timeline.ScaleDown && !speech.EndsRemoval(f.Text):
		a.Decided.Delete, of.Delete = f.Time, f.Time
	case f.What == timeline.Problem && strings.HasPrefix(f.Text, "Failed to scale down: "):
		a.Decided.Failure = f.Time
	}
}

// decode reads a shape. It returns false if the object has none.
func decode[S any](o *object) (shape S, ok bool) {
	return shape, o.Shape != nil && json.Unmarshal(o.Shape, &shape) == nil
}

// pod returns the pod, false if it has no shape, or if it has ended.
func (o *object) pod() (*Pod, bool) {
	s, ok := decode[shape.Pod](o)
	p := &Pod{Pod: s, Name: o.Name, UID: o.UID, Node: o.Node, Created: o.Time, Marked: o.marked && s.Untried == "", Message: o.message}
	if s.Waits != nil {
		p.Marked, p.Message = true, s.Waits.Message
	}
	return p, ok && !s.Ended
}

// node returns the node without its pods, false if it has no shape.
func (o *object) node() (*Node, bool) {
	s, ok := decode[shape.Node](o)
	return &Node{
		Node: s, Name: o.Name, Group: o.Group, WasReady: o.wasReady, Ready: o.ready, ReadySince: o.readySince, Used: corev1.ResourceList{},
		Candidate: o.taints[autoscaler.CandidateTaint], Deleting: !o.taints[autoscaler.DeletedTaint].IsZero(),
	}, ok
}

// build makes the objects of those that have a shape, by name.
func (w *World) build(objects map[string]*object) {
	templates, machines, externals := map[string]*shape.Template{}, map[string][]*Machine{}, map[timeline.Kind]map[string]*External{}
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		o := objects[key]
		switch o.Kind {
		case timeline.Pod:
			if p, ok := o.pod(); ok {
				w.Pods = append(w.Pods, p)
			}
		case timeline.Node:
			if n, ok := o.node(); ok {
				w.Nodes = append(w.Nodes, n)
			}
		case timeline.Group:
			s, ok := decode[shape.Group](o)
			if ok {
				w.Groups = append(w.Groups, &Group{Group: s, Name: o.Name, Wanted: o.n, Paused: o.paused})
			}
			w.Paused = w.Paused || !ok && o.paused
		case timeline.Machine:
			s, _ := decode[shape.Machine](o)
			m := &Machine{Machine: s, Name: o.Name, Phase: o.phase, Node: o.Node, Created: o.Time, Marked: o.marked}
			machines[o.Group], w.Machines = append(machines[o.Group], m), append(w.Machines, m)
		case timeline.InfrastructureMachine, timeline.BootstrapConfig:
			if s, ok := decode[shape.External](o); ok {
				if externals[o.Kind] == nil {
					externals[o.Kind] = map[string]*External{}
				}
				kind, _, _ := strings.Cut(o.Name, "/")
				externals[o.Kind][s.Machine] = &External{s, kind}
			}
		case timeline.Template:
			if s, ok := decode[shape.Template](o); ok {
				templates[o.Name] = &s
			}
		case timeline.Budget:
			if s, ok := decode[shape.Budget](o); ok {
				w.Budgets = append(w.Budgets, NewBudget(o.Name, s))
			}
		case timeline.DaemonSet:
			if s, ok := decode[shape.Pod](o); ok && s.Owner != nil {
				w.DaemonSets = append(w.DaemonSets, &Pod{Pod: s, Name: o.Name})
			}
		default:
			if o.Shape != nil {
				w.Scheduling[o.Kind] = append(w.Scheduling[o.Kind], o.Shape)
				w.Storage.add(o)
				w.Devices.add(o)
				if n, ok := decode[corev1.Namespace](o); ok && o.Kind == timeline.Namespace {
					w.Namespaces[n.Name] = n.Labels
				}
			}
		}
	}
	for _, m := range w.Machines {
		m.Infrastructure, m.Bootstrap = externals[timeline.InfrastructureMachine][m.Name], externals[timeline.BootstrapConfig][m.Name]
	}
	w.join(templates, machines)
}

// join sorts the objects by name and gives each what belongs to it.
func (w *World) join(templates map[string]*shape.Template, machines map[string][]*Machine) {
	slices.SortFunc(w.DaemonSets, func(a, b *Pod) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(w.Pods, func(a, b *Pod) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(w.Nodes, func(a, b *Node) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(w.Budgets, func(a, b *Budget) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(w.Groups, func(a, b *Group) int { return strings.Compare(a.Name, b.Name) })
	nodes, groups := map[string]*Node{}, map[string]*Group{}
	for _, g := range w.Groups {
		groups[g.Name] = g
		g.Infrastructure = templates[g.Template.Kind+"/"+g.Template.Name]
		g.Machines = machines[g.Name]
		slices.SortFunc(g.Machines, func(a, b *Machine) int { return strings.Compare(a.Name, b.Name) })
	}
	for _, n := range w.Nodes {
		nodes[n.Name] = n
		if g := groups[n.Group]; g != nil {
			g.Nodes = append(g.Nodes, n)
		}
	}
	for _, p := range w.Pods {
		if n := nodes[p.Node]; n != nil {
			n.Pods = append(n.Pods, p)
			Add(n.Used, p.Requests)
		}
		if n := nodes[p.Nominated]; n != nil && p.Node == "" {
			n.Nominated = append(n.Nominated, p)
		}
	}
}

// ClaimsOf returns the claims of a pod that are on record.
func (s Storage) ClaimsOf(p *Pod) []*corev1.PersistentVolumeClaim {
	var found []*corev1.PersistentVolumeClaim
	if len(p.Claims) == 0 {
		return nil
	}
	for _, c := range s.Claims {
		if c.Namespace == p.Namespace() && slices.Contains(p.Claims, c.Name) {
			found = append(found, c)
		}
	}
	return found
}

// Class returns the StorageClass of a claim, nil if it names none, or if that is not on record.
func (s Storage) Class(c *corev1.PersistentVolumeClaim) *storagev1.StorageClass {
	name := c.Annotations[corev1.BetaStorageClassAnnotation]
	if name == "" && c.Spec.StorageClassName != nil {
		name = *c.Spec.StorageClassName
	}
	i := slices.IndexFunc(s.Classes, func(class *storagev1.StorageClass) bool { return class.Name == name })
	if i < 0 {
		return nil
	}
	return s.Classes[i]
}

// Tracks reports whether a CSI driver reports how much storage is left for new volumes.
func (s Storage) Tracks(driver string) bool {
	return slices.ContainsFunc(s.Drivers, func(d *storagev1.CSIDriver) bool {
		return d.Name == driver && d.Spec.StorageCapacity != nil && *d.Spec.StorageCapacity
	})
}

// add decodes an object of storage. One that cannot be read is left out.
func (s *Storage) add(o *object) {
	switch o.Kind {
	case timeline.Claim:
		s.Claims = appended(s.Claims, o)
	case timeline.Volume:
		s.Volumes = appended(s.Volumes, o)
	case timeline.StorageClass:
		s.Classes = appended(s.Classes, o)
	case timeline.CSINode:
		s.Nodes = appended(s.Nodes, o)
	case timeline.CSIDriver:
		s.Drivers = appended(s.Drivers, o)
	case timeline.StorageCapacity:
		s.Capacities = appended(s.Capacities, o)
	}
}

// appended adds an object to those of its kind.
func appended[O any](all []*O, o *object) []*O {
	if decoded, ok := decode[O](o); ok {
		return append(all, &decoded)
	}
	return all
}

// Namespace returns the pod's namespace.
func (p *Pod) Namespace() string { return namespaceOf(p.Name) }

func namespaceOf(name string) string {
	namespace, _, _ := strings.Cut(name, "/")
	return namespace
}

// Open reports whether a node takes pods.
func (n *Node) Open() bool { return n.Ready && !n.Deleting }

// Add adds resources to a sum.
func Add(sum, more corev1.ResourceList) {
	for name, q := range more {
		total := sum[name]
		total.Add(q)
		sum[name] = total
	}
}

// PodOf returns the pod of a UID or, without one, of a name; nil if its shape is not on
// record.
func (w *World) PodOf(uid, name string) *Pod {
	for _, p := range w.Pods {
		if p.UID == uid && uid != "" || uid == "" && p.Name == name {
			return p
		}
	}
	return nil
}

// NodeOf returns the node of a name, nil if its shape is not on record.
func (w *World) NodeOf(name string) *Node {
	for _, n := range w.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// GroupOf returns the group of a name, nil if its shape is not on record.
func (w *World) GroupOf(name string) *Group {
	for _, g := range w.Groups {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// MachineOf returns the Machine of a name or, without one, that of a node; nil if it is not
// on record.
func (w *World) MachineOf(machine, node string) *Machine {
	i := slices.IndexFunc(w.Machines, func(m *Machine) bool {
		return m.Name == machine && machine != "" || machine == "" && m.Node == node && node != ""
	})
	if i < 0 {
		return nil
	}
	return w.Machines[i]
}
