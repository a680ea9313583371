// Package scenario is the language of small declarative tests of the cluster
// autoscaler: node groups, steps, what is expected of each by when, and what must
// hold all along. Package engine runs them.
package scenario

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
)

// Scenario is one file. Names of groups and workloads are the file's own: in
// the cluster they have the prefix of the run.
type Scenario struct {
	// Name is the file's, without its extension.
	Name string `json:"-"`
	// File it was read from, for errors.
	File string `json:"-"`
	// Given is how the user named the scenario: its name, or the path of a file of
	// their own. Empty is the name.
	Given string `json:"-"`
	// Title says in a few words what is shown; About says more, and what
	// upstream does where that is not obvious.
	Title string `json:"title"`
	About string `json:"about,omitempty"`
	// Autoscaler is what the scenario needs of it.
	Autoscaler Needs `json:"autoscaler,omitzero"`
	// Groups are made, at their minimum, before the first step.
	Groups []Group `json:"groups"`
	// Objects are other manifests, made before the first step. Their texts
	// may hold variables: see Variables.
	Objects []map[string]any `json:"objects,omitempty"`
	Steps   []Step           `json:"steps"`
	// Always holds from before the first step until the last is over; it is
	// looked at with every change of an object.
	Always []Check `json:"always,omitempty"`
	// Known marks a failure of upstream's that is known.
	Known *Known `json:"known,omitempty"`
}

// Needs is what a scenario needs of the autoscaler.
type Needs struct {
	// Since is the first release that can pass, such as 1.26.0.
	Since string `json:"since,omitempty"`
	// Flags are given beside those of the lab's template. They may hold
	// variables.
	Flags []string `json:"flags,omitempty"`
}

// Known is an upstream failure that is known.
type Known struct {
	// Releases that fail, such as ">= 1.30".
	Releases string `json:"releases"`
	// Failure is a regular expression for how it fails: for the step, what did
	// not hold, and what else a failure tells. Others are none that is known.
	Failure string `json:"failure"`
	// Why it fails, and where that can be read.
	Why string `json:"why"`
}

// Group is a node group, or several alike.
type Group struct {
	Name string `json:"name"`
	// Min and Max bound its size.
	Min int `json:"min,omitempty"`
	Max int `json:"max"`
	// Pool is the value of the label by which workloads select groups: groups
	// of one pool serve the same pods. It is the group's name if empty.
	Pool string `json:"pool,omitempty"`
	// Labels and Taints, as key=value:Effect, of its nodes.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []string          `json:"taints,omitempty"`
	// Capacity that the autoscaler is told a node will have: quantities of cpu
	// and memory, or multiples of a worker's such as 2x. What is left out is a
	// worker's.
	Capacity map[string]string `json:"capacity,omitempty"`
	// Similar makes that many groups alike, named NAME-1, NAME-2, and so on.
	Similar int `json:"similar,omitempty"`
	// Options are the autoscaler's options of a group, since 1.31, by the end
	// of their annotations: maxnodeprovisiontime, scaledownunneededtime, and
	// the like.
	Options map[string]string `json:"options,omitempty"`
	// Broken machines never become nodes.
	Broken bool `json:"broken,omitempty"`
}

// Step is something that is done and what has to follow.
type Step struct {
	// Say is the step in words.
	Say string `json:"say"`
	// Do is done in this order.
	Do []Action `json:"do,omitempty"`
	// Expect has to come true, each within its time from the last action on.
	// The step is over when all have.
	Expect []Check `json:"expect,omitempty"`
	// Stays holds from the last action until all expectations have come true,
	// and For longer.
	Stays []Check `json:"stays,omitempty"`
}

// Action is one thing to do: exactly one field is set.
type Action struct {
	// Workload makes a Deployment, or gives one other pods.
	Workload *Workload `json:"workload,omitempty"`
	// Scale changes the number of a workload's pods.
	Scale *Scale `json:"scale,omitempty"`
	// Delete deletes a workload, and waits until its pods are gone, or one of
	// the scenario's objects.
	Delete *Delete `json:"delete,omitempty"`
	// Annotate the pods that a workload has.
	Annotate *Annotate `json:"annotate,omitempty"`
	// Limits changes what the autoscaler may do to a group.
	Limits *Limits `json:"limits,omitempty"`
	// Autoscaler is restart, stop or start.
	Autoscaler string `json:"autoscaler,omitempty"`
	// Pause and Resume name a group, or are "cluster".
	Pause  string `json:"pause,omitempty"`
	Resume string `json:"resume,omitempty"`
	// Rollout names a group whose machines are all to be replaced.
	Rollout string `json:"rollout,omitempty"`
}

// TheCluster is what Pause and Resume name instead of a group.
const TheCluster = "cluster"

// Workload is a Deployment whose pods select one pool.
type Workload struct {
	Name string `json:"name"`
	Pods int    `json:"pods"`
	// Memory each requests: a percentage of a worker's, such as 40%. If empty
	// a pod and no second one fits on a node, and the autoscaler does not think
	// of the node as one with room.
	Memory string `json:"memory,omitempty"`
	// Pool it selects; that of the only one if empty.
	Pool string `json:"pool,omitempty"`
	// Select are more labels of nodes, Tolerate keys of taints.
	Select   map[string]string `json:"select,omitempty"`
	Tolerate []string          `json:"tolerate,omitempty"`
}

// Scale is a workload's new number of pods.
type Scale struct {
	Workload string `json:"workload"`
	Pods     int    `json:"pods"`
}

// Delete names a workload, or an object as Kind/name.
type Delete struct {
	Workload string `json:"workload,omitempty"`
	Object   string `json:"object,omitempty"`
}

// Annotate is annotations of pods; null removes one.
type Annotate struct {
	Workload    string             `json:"workload"`
	Annotations map[string]*string `json:"annotations"`
}

// Limits are a group's new limits.
type Limits struct {
	Group string `json:"group"`
	Min   int    `json:"min"`
	Max   int    `json:"max"`
}

// Check is one thing that can be seen: exactly one of Pods, Group, Nodes, Said
// and Order is set.
type Check struct {
	Pods  *PodsCheck  `json:"pods,omitempty"`
	Group *GroupCheck `json:"group,omitempty"`
	// Nodes is how many the whole cluster has.
	Nodes *Count `json:"nodes,omitempty"`
	// Said is what the autoscaler said.
	Said *SaidCheck `json:"said,omitempty"`
	// Order is checks that came true one after the other since the step began.
	Order []Check `json:"order,omitempty"`
	// Within is how long an expectation has; For how much longer than the
	// expectations something stays.
	Within Duration `json:"within,omitempty"`
	For    Duration `json:"for,omitempty"`
}

// PodsCheck is about the pods of a workload. Each field that is set must hold.
type PodsCheck struct {
	Of      string `json:"of"`
	Running *Count `json:"running,omitempty"`
	Pending *Count `json:"pending,omitempty"`
	// Nodes is on how many nodes they are; on how many of a group's, if Group
	// names one.
	Nodes *Count `json:"nodes,omitempty"`
	Group string `json:"group,omitempty"`
	// Undisturbed are all the pods that there were when the step began: they
	// are where they were.
	Undisturbed bool `json:"undisturbed,omitempty"`
	// Spared pods are on no node that the autoscaler has chosen to delete.
	Spared bool `json:"spared,omitempty"`
}

// GroupCheck is about a node group. Each field that is set must hold.
type GroupCheck struct {
	Name string `json:"name"`
	// Size is what is wanted, Machines what there is, also of those that are
	// being deleted, and Ready how many nodes are.
	Size     *Count `json:"size,omitempty"`
	Machines *Count `json:"machines,omitempty"`
	Ready    *Count `json:"ready,omitempty"`
	// Old is how many of the machines that there were when the group was
	// rolled out are neither gone nor being deleted.
	Old *Count `json:"old,omitempty"`
}

// What an autoscaler says, as a SaidCheck names it.
const (
	ScaleUp   = "scaleUp"
	ScaleDown = "scaleDown"
	Refused   = "refused"
	Kept      = "kept"
	Problem   = "problem"
)

// Saids are what can be expected to be said.
var Saids = []string{Kept, Problem, Refused, ScaleDown, ScaleUp}

// SaidCheck is a fact that the autoscaler told.
type SaidCheck struct {
	// What is scaleUp or scaleDown, decided since the step began, or refused,
	// kept or problem, told since the first step began: what the autoscaler
	// repeats in every round is told once.
	What string `json:"what"`
	// Pod names a workload of which it told, Group a group, and Under a
	// workload on whose node it is.
	Pod   string `json:"pod,omitempty"`
	Group string `json:"group,omitempty"`
	Under string `json:"under,omitempty"`
	// Text is a regular expression that its reason matches, in any case of
	// letters.
	Text string `json:"text,omitempty"`
}

// needsControl reports whether only an autoscaler that the lab starts and
// stops will do.
func (s *Scenario) needsControl() bool {
	if len(s.Autoscaler.Flags) > 0 {
		return true
	}
	for _, step := range s.Steps {
		for _, a := range step.Do {
			if a.Autoscaler != "" {
				return true
			}
		}
	}
	return false
}

// WhySkipped says why the scenario cannot run with that autoscaler; empty if it
// can. A release that is not known is tried.
func (s *Scenario) WhySkipped(running *version.Version, controlled bool) string {
	if since := s.Autoscaler.Since; since != "" && running != nil {
		// Parse has read since.
		if enough, err := release.AtLeast(running, since); err != nil || !enough {
			return "it needs autoscaler " + since + " or later, and " + release.Name(running) + " runs"
		}
	}
	if !controlled && s.needsControl() {
		return "it needs flags of its own or stops and starts the autoscaler, and the one that runs is not the lab's to start"
	}
	return ""
}

// KnownWith reports whether that release is known to fail.
func (s *Scenario) KnownWith(running *version.Version) bool {
	if s.Known == nil || running == nil {
		return false
	}
	known, err := release.In(running, s.Known.Releases)
	return err == nil && known
}

// KnownAs reports whether a failure is the one that is known.
func (s *Scenario) KnownAs(why string) bool {
	expression, err := regexp.Compile(s.Known.Failure)
	return err == nil && expression.MatchString(why)
}

// Names are those of the groups that the scenario makes, several for one with
// Similar.
func (g Group) Names() []string {
	if g.Similar == 0 {
		return []string{g.Name}
	}
	var names []string
	for i := range g.Similar {
		names = append(names, fmt.Sprintf("%s-%d", g.Name, i+1))
	}
	return names
}

// PoolName is the pool that the group serves.
func (g Group) PoolName() string {
	if g.Pool != "" {
		return g.Pool
	}
	return g.Name
}

// ObjectName is how Delete names an object.
func ObjectName(o map[string]any) string {
	u := unstructured.Unstructured{Object: o}
	return u.GetKind() + "/" + u.GetName()
}
