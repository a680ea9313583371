package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"

	"caslab/magefiles/internal/capi"
	"caslab/magefiles/internal/workload"
)

// Action is one thing to do. Exactly one field is set.
type Action struct {
	// Workload creates or changes a set of pods.
	Workload *Workload `json:"workload,omitempty"`
	// Scale changes the number of a workload's pods.
	Scale *Scale `json:"scale,omitempty"`
	// Delete deletes a workload and waits until its pods are gone, or deletes one
	// of the scenario's objects.
	Delete *Delete `json:"delete,omitempty"`
	// Apply is a manifest of an object, which is created or changed.
	Apply map[string]any `json:"apply,omitempty"`
	// Patch has the apiVersion, the kind and the name of an object, and what is merged
	// into it; null removes a field.
	Patch map[string]any `json:"patch,omitempty"`
	// Node and Machine change nodes and machines of the scenario's groups, Group a
	// group.
	Node    *NodeAction    `json:"node,omitempty"`
	Machine *MachineAction `json:"machine,omitempty"`
	Group   *GroupAction   `json:"group,omitempty"`
	// Controllers is stop or start: the managers of Cluster API and its providers.
	Controllers string `json:"controllers,omitempty"`
	// Annotate changes annotations of the pods that a workload has now.
	Annotate *Annotate `json:"annotate,omitempty"`
	// Limits changes the minimum and the maximum of a group.
	Limits *Limits `json:"limits,omitempty"`
	// Autoscaler is restart, kill, stop or start.
	Autoscaler string `json:"autoscaler,omitempty"`
	// Flags restarts the autoscaler with these flags in place of Autoscaler.Flags, for
	// the rest of the scenario. They may contain Variables.
	Flags []string `json:"flags,omitempty"`
	// Pause and Resume name a group, or TheCluster.
	Pause  string `json:"pause,omitempty"`
	Resume string `json:"resume,omitempty"`
	// Rollout names a group whose machines are all replaced.
	Rollout string `json:"rollout,omitempty"`
}

// TheCluster stands for the whole cluster in Pause and Resume.
const TheCluster = "cluster"

// Scale sets the number of pods of a workload.
type Scale struct {
	Workload string `json:"workload"`
	Pods     int    `json:"pods"`
}

// Delete names a workload, or one of the scenario's objects as Kind/name.
type Delete struct {
	Workload string `json:"workload,omitempty"`
	Object   string `json:"object,omitempty"`
}

// Annotate sets annotations of pods. A nil value removes an annotation.
type Annotate struct {
	Workload    string             `json:"workload"`
	Annotations map[string]*string `json:"annotations"`
}

// Limits sets the minimum and the maximum of a group.
type Limits struct {
	Group string `json:"group"`
	Min   int    `json:"min"`
	Max   int    `json:"max"`
	// None takes the limits away, so that the autoscaler does not know the group.
	None bool `json:"none,omitempty"`
}

// Values of Which.
const (
	Oldest = "oldest"
	Newest = "newest"
)

// NodeAction changes the nodes of a Group, or those Under the pods of a workload: all of
// them, or Which one. One of the other fields is set.
type NodeAction struct {
	Group string `json:"group,omitempty"`
	Under string `json:"under,omitempty"`
	Which string `json:"which,omitempty"`
	// Taint is written as key=value:Effect. Untaint is the key of a taint.
	Taint   string `json:"taint,omitempty"`
	Untaint string `json:"untaint,omitempty"`
	// Labels are set; a nil value removes a label.
	Labels map[string]*string `json:"labels,omitempty"`
	// Cordon keeps new pods away, or, if it is false, lets them on the nodes again.
	Cordon *bool `json:"cordon,omitempty"`
	// Sick stops the kubelets, or, if it is false, starts them again.
	Sick *bool `json:"sick,omitempty"`
}

// What a MachineAction may do.
const (
	DeleteMachine = "delete"
	// Hold keeps a machine that is deleted, after its node was drained, until Release.
	Hold    = "hold"
	Release = "release"
	// FailMachine ends a machine for good: its container is killed, or its hollow machine
	// reports a failure and has no kubelet any more. Nobody deletes it.
	FailMachine = "fail"
)

// MachineDeeds are the values of MachineAction.Do.
var MachineDeeds = []string{DeleteMachine, FailMachine, Hold, Release}

// MachineAction does something to the machines of the nodes that it names as a NodeAction
// does.
type MachineAction struct {
	Group string `json:"group,omitempty"`
	Under string `json:"under,omitempty"`
	Which string `json:"which,omitempty"`
	// Do is one of MachineDeeds.
	Do string `json:"do"`
}

// GroupAction does something to a group. One of the fields beside Name is set.
type GroupAction struct {
	Name string `json:"name"`
	// Size sets the number of machines, as a person does it.
	Size *int `json:"size,omitempty"`
	// Annotations are set; a nil value removes one.
	Annotations map[string]*string `json:"annotations,omitempty"`
	// Broken says whether machines that are made from now on never become nodes. The
	// machines that exist stay as they are.
	Broken *bool `json:"broken,omitempty"`
	// Delete deletes the group and its machines.
	Delete bool `json:"delete,omitempty"`
}

// String returns the action in words.
func (a Action) String() string {
	switch {
	case a.Workload != nil && a.Workload.Owner == DaemonSet:
		return "make the DaemonSet " + a.Workload.Name
	case a.Workload != nil:
		return fmt.Sprintf("make the workload %s with %d pods", a.Workload.Name, a.Workload.Pods)
	case a.Scale != nil:
		return fmt.Sprintf("scale the workload %s to %d pods", a.Scale.Workload, a.Scale.Pods)
	case a.Delete != nil && a.Delete.Workload != "":
		return "delete the workload " + a.Delete.Workload
	case a.Delete != nil:
		return "delete " + a.Delete.Object
	case a.Apply != nil:
		return "apply " + ObjectName(a.Apply)
	case a.Patch != nil:
		return "patch " + ObjectName(a.Patch)
	case a.Node != nil:
		return a.Node.text()
	case a.Machine != nil:
		return fmt.Sprintf("%s %s", a.Machine.Do, chosen("machine", a.Machine.Which, a.Machine.Group, a.Machine.Under))
	case a.Group != nil:
		return a.Group.text()
	case a.Controllers != "":
		return a.Controllers + " Cluster API's managers"
	case a.Annotate != nil:
		return "annotate the pods of " + a.Annotate.Workload
	case a.Limits != nil && a.Limits.None:
		return "take the limits of the group " + a.Limits.Group + " away"
	case a.Limits != nil:
		return fmt.Sprintf("limit the group %s to %d to %d nodes", a.Limits.Group, a.Limits.Min, a.Limits.Max)
	case a.Autoscaler != "":
		return a.Autoscaler + " the autoscaler"
	case a.Flags != nil:
		return "restart the autoscaler with " + orNone(a.Flags)
	case a.Pause != "":
		return "pause " + a.Pause
	case a.Resume != "":
		return "resume " + a.Resume
	default:
		return "roll out " + a.Rollout
	}
}

func (n *NodeAction) text() string {
	nodes := chosen("node", n.Which, n.Group, n.Under)
	switch {
	case n.Taint != "":
		return "taint " + nodes + " with " + n.Taint
	case n.Untaint != "":
		return "take the taint " + n.Untaint + " from " + nodes
	case n.Cordon != nil && *n.Cordon:
		return "cordon " + nodes
	case n.Cordon != nil:
		return "uncordon " + nodes
	case n.Sick != nil && *n.Sick:
		return "stop the kubelets of " + nodes
	case n.Sick != nil:
		return "start the kubelets of " + nodes
	default:
		return "label " + nodes
	}
}

func (g *GroupAction) text() string {
	switch {
	case g.Size != nil:
		return fmt.Sprintf("set the size of the group %s to %d", g.Name, *g.Size)
	case g.Broken != nil && *g.Broken:
		return "break the next machines of the group " + g.Name
	case g.Broken != nil:
		return "mend the next machines of the group " + g.Name
	case g.Delete:
		return "delete the group " + g.Name
	default:
		return "annotate the group " + g.Name
	}
}

// chosen names nodes or machines in words.
func chosen(what, which, group, under string) string {
	text := "the " + what + "s"
	if which != "" {
		text = "the " + which + " " + what
	}
	if group != "" {
		return text + " of the group " + group
	}
	return text + " under " + under
}

// ObjectName returns the name of an object as Delete has it.
func ObjectName(o map[string]any) string {
	u := unstructured.Unstructured{Object: o}
	return u.GetKind() + "/" + u.GetName()
}

// Manifests returns the manifests of the objects that the scenario creates, before the
// first step and by actions.
func (s *Scenario) Manifests() []map[string]any {
	all := slices.Clone(s.Objects)
	for _, step := range s.Steps {
		for _, a := range step.Do {
			if a.Apply != nil {
				all = append(all, a.Apply)
			}
		}
	}
	return all
}

func (c *checker) action(place string, a *Action) {
	c.oneOf(place, map[string]bool{
		"workload": a.Workload != nil, "scale": a.Scale != nil, "delete": a.Delete != nil, "annotate": a.Annotate != nil,
		"limits": a.Limits != nil, "autoscaler": a.Autoscaler != "", "flags": a.Flags != nil, "pause": a.Pause != "", "resume": a.Resume != "",
		"rollout": a.Rollout != "", "apply": a.Apply != nil, "patch": a.Patch != nil, "node": a.Node != nil, "machine": a.Machine != nil,
		"group": a.Group != nil, "controllers": a.Controllers != "",
	})
	switch {
	case a.Workload != nil:
		c.workload(place+".workload", a.Workload)
	case a.Scale != nil:
		c.isWorkload(place+".scale.workload", a.Scale.Workload)
		if w := c.workloads[a.Scale.Workload]; w != nil && w.Owner == DaemonSet {
			c.refuse(place+".scale", "%s is a DaemonSet, which has no number of pods", w.Name)
		}
		c.refuseIf(place+".scale.pods", workload.CheckReplicas(a.Scale.Pods))
	case a.Delete != nil:
		c.oneOf(place+".delete", map[string]bool{"workload": a.Delete.Workload != "", "object": a.Delete.Object != ""})
		if a.Delete.Workload != "" {
			c.isWorkload(place+".delete.workload", a.Delete.Workload)
		}
		if a.Delete.Object != "" {
			c.isObject(place+".delete.object", a.Delete.Object)
		}
	case a.Apply != nil:
		c.object(place+".apply", a.Apply)
	case a.Patch != nil:
		c.object(place+".patch", a.Patch)
		// What is not the scenario's own would stay changed.
		if !strings.Contains(ObjectName(a.Patch), "/${prefix}") {
			c.isObject(place+".patch", ObjectName(a.Patch))
		}
	case a.Annotate != nil:
		c.isWorkload(place+".annotate.workload", a.Annotate.Workload)
		if len(a.Annotate.Annotations) == 0 {
			c.refuse(place+".annotate.annotations", "want at least one")
		}
	case a.Limits != nil:
		c.isGroup(place+".limits.group", a.Limits.Group)
		switch {
		case !a.Limits.None:
			c.refuseIf(place+".limits", capi.CheckSizes(a.Limits.Min, a.Limits.Max))
		case a.Limits.Min != 0 || a.Limits.Max != 0:
			c.refuse(place+".limits", "sets both none and a limit; want min and max, or none: true")
		}
	case a.Node != nil:
		c.nodeAction(place+".node", a.Node)
	case a.Machine != nil:
		c.chosen(place+".machine", a.Machine.Which, a.Machine.Group, a.Machine.Under)
		c.oneWord(place+".machine.do", a.Machine.Do, MachineDeeds)
	case a.Group != nil:
		c.groupAction(place+".group", a.Group)
	case a.Controllers != "":
		c.oneWord(place+".controllers", a.Controllers, controllerActions)
	case a.Autoscaler != "":
		c.oneWord(place+".autoscaler", a.Autoscaler, autoscalerActions)
	case a.Flags != nil:
		c.flags(place+".flags", a.Flags)
	case a.Pause != "" && a.Pause != TheCluster:
		c.isGroup(place+".pause", a.Pause)
	case a.Resume != "" && a.Resume != TheCluster:
		c.isGroup(place+".resume", a.Resume)
	case a.Rollout != "":
		c.isGroup(place+".rollout", a.Rollout)
		c.rolledOut[a.Rollout] = true
	}
}

var (
	autoscalerActions = []string{"kill", "restart", "start", "stop"}
	controllerActions = []string{"start", "stop"}
)

// oneWord refuses a word that is not one of a list.
func (c *checker) oneWord(place, word string, words []string) {
	if !slices.Contains(words, word) {
		c.refuse(place, "%q: want one of %s", word, strings.Join(words, ", "))
	}
}

// chosen checks which nodes or machines are chosen.
func (c *checker) chosen(place, which, group, under string) {
	c.oneOf(place, map[string]bool{"group": group != "", "under": under != ""})
	if group != "" {
		c.isGroup(place+".group", group)
	}
	if under != "" {
		c.isWorkload(place+".under", under)
	}
	if which != "" {
		c.oneWord(place+".which", which, []string{Newest, Oldest})
	}
}

func (c *checker) nodeAction(place string, n *NodeAction) {
	c.chosen(place, n.Which, n.Group, n.Under)
	c.oneOf(place, map[string]bool{"taint": n.Taint != "", "untaint": n.Untaint != "", "labels": len(n.Labels) > 0, "cordon": n.Cordon != nil, "sick": n.Sick != nil})
	_, err := capi.ParseTaints(n.Taint)
	c.refuseIf(place+".taint", err)
	if n.Untaint != "" {
		if problems := validation.IsQualifiedName(n.Untaint); len(problems) > 0 {
			c.refuse(place+".untaint", "%q: want the key of a taint: %s", n.Untaint, strings.Join(problems, "; "))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(n.Labels)) {
		problems := validation.IsQualifiedName(key)
		if value := n.Labels[key]; value != nil {
			problems = append(problems, validation.IsValidLabelValue(*value)...)
		}
		if len(problems) > 0 {
			c.refuse(place+".labels", "%q: %s", key, strings.Join(problems, "; "))
		}
	}
}

func (c *checker) groupAction(place string, g *GroupAction) {
	c.isGroup(place+".name", g.Name)
	c.oneOf(place, map[string]bool{"size": g.Size != nil, "annotations": len(g.Annotations) > 0, "broken": g.Broken != nil, "delete": g.Delete})
	if g.Size != nil && (*g.Size < 0 || *g.Size > maxSize) {
		c.refuse(place+".size", "%d: want 0 to %d", *g.Size, maxSize)
	}
	if group := c.groups[g.Name]; group != nil && group.Broken && g.Broken != nil {
		c.refuse(place+".broken", "the machines of %s are broken from the start and have nothing to mend; make the group without broken: true, and break it by an action", g.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(g.Annotations)) {
		if problems := validation.IsQualifiedName(strings.ToLower(key)); len(problems) > 0 {
			c.refuse(place+".annotations", "%q: %s", key, strings.Join(problems, "; "))
		}
	}
}

// maxSize is the largest size of a group that a person sets, so that a mistyped number does
// no harm.
const maxSize = 100

func (c *checker) isObject(place, name string) {
	var there []string
	for _, o := range c.scenario.Manifests() {
		there = append(there, ObjectName(o))
	}
	if !slices.Contains(there, name) {
		c.refuse(place, "%q: want an object of the scenario: %s", name, orNone(there))
	}
}
