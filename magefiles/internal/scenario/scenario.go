// Package scenario defines the language of scenarios, which are small declarative
// tests of the cluster autoscaler. A scenario has node groups, steps, what each
// step expects and by when, and what must hold all the time. Package engine runs
// scenarios.
package scenario

import (
	"fmt"
	"regexp"
	"slices"

	version "github.com/hashicorp/go-version"

	"caslab/magefiles/internal/capi/release"
)

// Scenario is the content of one file. The names of its groups and workloads get
// the prefix of the run in the cluster.
type Scenario struct {
	// Name is the name of the file without its extension.
	Name string `json:"-"`
	// File is the path that errors name.
	File string `json:"-"`
	// Given is what the user typed for the scenario: its name, or the path of the
	// user's own file. An empty Given means the name.
	Given string `json:"-"`
	// Title says in a few words what the scenario shows. About says more, and what
	// upstream does where that is not obvious.
	Title string `json:"title"`
	About string `json:"about,omitempty"`
	// Autoscaler is what the scenario needs from the autoscaler.
	Autoscaler Needs `json:"autoscaler,omitzero"`
	// Groups are created with their minimum size before the first step.
	Groups []Group `json:"groups"`
	// Objects are other manifests, created before the first step. Their strings
	// may contain Variables.
	Objects []map[string]any `json:"objects,omitempty"`
	Steps   []Step           `json:"steps"`
	// Always must hold from before the first step until after the last one. It is
	// evaluated at every change of an object.
	Always []Check `json:"always,omitempty"`
	// Known describes a known failure of upstream's; nil if there is none.
	Known *Known `json:"known,omitempty"`
}

// Needs is what a scenario needs from the autoscaler.
type Needs struct {
	// Since is the first release that can pass, such as 1.26.0; empty for all.
	Since string `json:"since,omitempty"`
	// Flags are added to those of the lab's template. They may contain Variables.
	Flags []string `json:"flags,omitempty"`
	// Environment has environment variables of the autoscaler, such as its own
	// CAPI_VERSION, in place of the lab's. The values may contain Variables.
	Environment map[string]string `json:"environment,omitempty"`
}

// Known is a known failure of upstream's.
type Known struct {
	// Releases is a constraint on the releases that fail, such as ">= 1.30".
	Releases string `json:"releases"`
	// Failure is a regular expression that the text of the failure matches: the
	// step, what did not hold, and the evidence. Any other failure is not known.
	Failure string `json:"failure"`
	// Why is the reason, and where it can be read.
	Why string `json:"why"`
}

// Group is a node group, or several similar ones.
type Group struct {
	Name string `json:"name"`
	// Min and Max bound the size.
	Min int `json:"min,omitempty"`
	Max int `json:"max"`
	// Pool is the value of the node label that workloads select. Groups with the
	// same pool serve the same pods. An empty Pool means the name of the group.
	Pool string `json:"pool,omitempty"`
	// Labels and Taints are those of the nodes. A taint is written as
	// key=value:Effect.
	Labels map[string]string `json:"labels,omitempty"`
	Taints []string          `json:"taints,omitempty"`
	// Capacity is what nodes offer: cpu and memory as quantities, or as multiples of a
	// worker's such as 0.5x. The default is what a worker has. More than that, such as
	// 2x, is only what the autoscaler expects of a node.
	Capacity map[string]string `json:"capacity,omitempty"`
	// Similar is how many similar groups are created, as NAME-1, NAME-2, and so
	// on; zero creates one group called NAME.
	Similar int `json:"similar,omitempty"`
	// Options are settings that the autoscaler reads for each group since 1.31. The
	// keys are the ends of the annotations, such as maxnodeprovisiontime.
	Options map[string]string `json:"options,omitempty"`
	// Broken is set for a group whose machines never become nodes.
	Broken bool `json:"broken,omitempty"`
}

// Step is a list of actions and what has to follow.
type Step struct {
	// Say describes the step in words.
	Say string `json:"say"`
	// Do are the actions, in order.
	Do []Action `json:"do,omitempty"`
	// Expect are checks that have to come true, each within its time after the
	// last action. The step is over when all have come true.
	Expect []Check `json:"expect,omitempty"`
	// Stays are checks that hold from the last action until all expectations have
	// come true, and for the time For after that.
	Stays []Check `json:"stays,omitempty"`
}

// Check is one thing that can be observed. Exactly one of Pods, Group, Nodes, Said
// and Order is set.
type Check struct {
	Pods  *PodsCheck  `json:"pods,omitempty"`
	Group *GroupCheck `json:"group,omitempty"`
	// Nodes is the number of nodes in the whole cluster.
	Nodes *Count `json:"nodes,omitempty"`
	// Said is a statement of the autoscaler.
	Said *SaidCheck `json:"said,omitempty"`
	// Order are checks that came true one after the other since the step began.
	Order []Check `json:"order,omitempty"`
	// Within is how long an expectation may take. For is how much longer than the
	// expectations something has to stay.
	Within Duration `json:"within,omitempty"`
	For    Duration `json:"for,omitempty"`
}

// PodsCheck is about the pods of a workload. All fields that are set must hold.
type PodsCheck struct {
	Of      string `json:"of"`
	Running *Count `json:"running,omitempty"`
	Pending *Count `json:"pending,omitempty"`
	// Nodes is the number of nodes with such pods. With a Group, only the nodes of
	// that group count.
	Nodes *Count `json:"nodes,omitempty"`
	Group string `json:"group,omitempty"`
	// Undisturbed holds while every pod that was there when the step began is on
	// the same node.
	Undisturbed bool `json:"undisturbed,omitempty"`
	// Spared holds while no pod is on a node that the autoscaler has chosen to
	// delete.
	Spared bool `json:"spared,omitempty"`
}

// GroupCheck is about a node group. All fields that are set must hold.
type GroupCheck struct {
	Name string `json:"name"`
	// Size is the desired number of machines, Machines the number of machines
	// including those that are being deleted, and Ready the number of ready nodes.
	Size     *Count `json:"size,omitempty"`
	Machines *Count `json:"machines,omitempty"`
	Ready    *Count `json:"ready,omitempty"`
	// Old is the number of machines from before the rollout of the group that are
	// neither gone nor being deleted.
	Old *Count `json:"old,omitempty"`
}

// What the autoscaler may state, as a SaidCheck names it.
const (
	ScaleUp   = "scaleUp"
	ScaleDown = "scaleDown"
	Refused   = "refused"
	Kept      = "kept"
	Problem   = "problem"
)

// Statements are the values of SaidCheck.What.
var Statements = []string{Kept, Problem, Refused, ScaleDown, ScaleUp}

// SaidCheck is about a statement of the autoscaler.
type SaidCheck struct {
	// What is one of Statements. A decision, ScaleUp or ScaleDown, counts if it was
	// made since the step began. The others count since the scenario began, because
	// the autoscaler repeats them in every round, and the timeline records them once.
	What string `json:"what"`
	// Pod names a workload: the statement is about one of its pods. Group names the
	// group that the statement is about. Under names a workload: the statement is
	// about a node with its pods.
	Pod   string `json:"pod,omitempty"`
	Group string `json:"group,omitempty"`
	Under string `json:"under,omitempty"`
	// Text is a regular expression that the reason matches, ignoring case.
	Text string `json:"text,omitempty"`
}

// Namespaces returns the namespaces of workloads that have one of their own, each once. They
// may contain Variables.
func (s *Scenario) Namespaces() []string {
	var all []string
	for _, step := range s.Steps {
		for _, a := range step.Do {
			if a.Workload != nil && a.Workload.Namespace != "" && !slices.Contains(all, a.Workload.Namespace) {
				all = append(all, a.Workload.Namespace)
			}
		}
	}
	return all
}

// needsControl reports whether the scenario needs an autoscaler that the lab
// starts and stops.
func (s *Scenario) needsControl() bool {
	if len(s.Autoscaler.Flags)+len(s.Autoscaler.Environment) > 0 {
		return true
	}
	for _, step := range s.Steps {
		for _, a := range step.Do {
			if a.Autoscaler != "" || a.Flags != nil {
				return true
			}
		}
	}
	return false
}

// WhySkipped returns why the scenario cannot run with an autoscaler of that
// release, which the lab starts and stops if controlled is true; empty if it can
// run. With an unknown release, which is nil, neither Since nor what it knows of
// empty groups counts.
func (s *Scenario) WhySkipped(running *version.Version, controlled bool) string {
	if since := s.Autoscaler.Since; since != "" && running != nil {
		// Parse has read since.
		if enough, err := release.AtLeast(running, since); err != nil || !enough {
			return "it needs autoscaler " + since + " or later, and " + release.Name(running) + " runs"
		}
	}
	if !controlled && s.needsControl() {
		return "it needs flags or variables of its own or stops and starts the autoscaler, and the lab does not control the running autoscaler"
	}
	if running != nil && !release.OfAutoscaler(running).KnowsEmptyGroups {
		for _, g := range s.Groups {
			// The pods of a workload select their group by a label.
			if g.Min == 0 {
				return "its group " + g.Name + " starts without a node, and the autoscaler knows the labels of such a group since " +
					release.FirstAutoscaler(func(a release.Autoscaler) bool { return a.KnowsEmptyGroups }) + ", and " + release.Name(running) + " runs"
			}
		}
	}
	return ""
}

// KnownWith reports whether the release is known to fail; false for nil.
func (s *Scenario) KnownWith(running *version.Version) bool {
	if s.Known == nil || running == nil {
		return false
	}
	known, err := release.In(running, s.Known.Releases)
	return err == nil && known
}

// KnownAs reports whether the text of a failure is that of the known failure.
// Known must not be nil.
func (s *Scenario) KnownAs(why string) bool {
	expression, err := regexp.Compile(s.Known.Failure)
	return err == nil && expression.MatchString(why)
}

// Names returns the names of the groups to create: several with Similar.
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

// PoolName returns the pool that the group serves.
func (g Group) PoolName() string {
	if g.Pool != "" {
		return g.Pool
	}
	return g.Name
}
