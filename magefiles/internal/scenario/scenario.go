// Package scenario defines the language of scenarios, which are small declarative
// tests of the cluster autoscaler. A scenario has node groups, steps, what each
// step expects and by when, and what must hold all the time. Package engine runs
// scenarios.
package scenario

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	version "github.com/hashicorp/go-version"
	resourcev1 "k8s.io/api/resource/v1"

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
	// Source says where the case is from, such as a test of upstream's, and Tags are words
	// by which scenarios are chosen.
	Source string   `json:"source,omitempty"`
	Tags   []string `json:"tags,omitempty"`
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
	// Shared is set if the flags do not affect the groups and pods of other scenarios, so that
	// these may run at the same time.
	Shared bool `json:"shared,omitempty"`
	// Environment has environment variables of the autoscaler, such as its own
	// CAPI_VERSION, in place of the lab's. The values may contain Variables.
	Environment map[string]string `json:"environment,omitempty"`
	// RBAC is UpstreamRBAC, or empty for the lab's own rules. Other rules than the lab's need an
	// autoscaler that runs in the cluster: the others have the rights of an administrator.
	RBAC string `json:"rbac,omitempty"`
}

// UpstreamRBAC gives the autoscaler the rights of the example deployment in its own tree.
const UpstreamRBAC = "upstream"

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
	if len(s.Autoscaler.Flags)+len(s.Autoscaler.Environment) > 0 || s.Autoscaler.RBAC != "" || slices.ContainsFunc(s.Checks(), func(c Check) bool { return c.Metric != nil }) {
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

// What a scenario may require.
const (
	// DynamicResources is dynamic resource allocation, DRA.
	DynamicResources = "DRA"
	// Control is an autoscaler that the lab starts and stops.
	Control = "control"
	// Deployed is an autoscaler that the lab deploys in the cluster.
	Deployed = "deployed"
	// OwnCluster is a cluster that the lab created: it reaches the containers of machines there.
	OwnCluster = "own-cluster"
)

// On returns the scenario with machines of that kind, DockerMachines or HollowMachines, in the
// groups that name none.
func (s *Scenario) On(kind string) *Scenario {
	on := *s
	on.Groups = slices.Clone(s.Groups)
	for i := range on.Groups {
		on.Groups[i].Machines = cmp.Or(on.Groups[i].Machines, kind)
	}
	return &on
}

// Machines returns the kinds of machines that the groups name, sorted.
func (s *Scenario) Machines() []string {
	var kinds []string
	for _, g := range s.Groups {
		if g.Machines != "" && !slices.Contains(kinds, g.Machines) {
			kinds = append(kinds, g.Machines)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// Requires returns what the scenario needs: the kinds of machines that its groups name,
// DynamicResources, Control, Deployed and OwnCluster.
func (s *Scenario) Requires() []string {
	all := s.Machines()
	add := func(what string, needed bool) {
		if needed {
			all = append(all, what)
		}
	}
	add(DynamicResources, s.usesClaims())
	add(Control, s.needsControl())
	add(Deployed, s.Autoscaler.RBAC != "")
	add(OwnCluster, s.needsContainers() != nil)
	return all
}

// needsContainers returns an action that stops kubelets or kills the containers of docker machines;
// nil if there is none.
func (s *Scenario) needsContainers() *Action {
	pools := map[string]string{} // of workloads
	docker := func(group, under string) bool {
		return slices.ContainsFunc(s.Groups, func(g Group) bool {
			return g.Machines == DockerMachines && (slices.Contains(g.Names(), group) || under != "" && g.PoolName() == pools[under])
		})
	}
	for _, step := range s.Steps {
		for i, a := range step.Do {
			switch {
			case a.Workload != nil:
				pools[a.Workload.Name] = a.Workload.Pool
			case a.Node != nil && a.Node.Sick != nil && docker(a.Node.Group, a.Node.Under),
				a.Machine != nil && a.Machine.Do == FailMachine && docker(a.Machine.Group, a.Machine.Under):
				return &step.Do[i]
			}
		}
	}
	return nil
}

// usesClaims reports whether the scenario has a claim of DRA, or devices for it.
func (s *Scenario) usesClaims() bool {
	if slices.ContainsFunc(s.Groups, func(g Group) bool { return g.Hollow != nil && g.Hollow.DRA != "" }) {
		return true
	}
	for _, manifest := range s.Manifests() {
		if version, _ := manifest["apiVersion"].(string); strings.HasPrefix(version, resourcev1.GroupName+"/") || hasClaims(manifest) {
			return true
		}
	}
	for _, step := range s.Steps {
		for _, a := range step.Do {
			if a.Workload != nil && (len(a.Workload.Claims) > 0 || hasClaims(a.Workload.Template)) {
				return true
			}
		}
	}
	return false
}

// hasClaims reports whether a value, which is decoded JSON, has the claims of a pod.
func hasClaims(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			if all, _ := inner.([]any); key == "resourceClaims" && len(all) > 0 || hasClaims(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(value, hasClaims)
	}
	return false
}

// Means are what a scenario can run with.
type Means struct {
	// Release of the autoscaler; nil if it is not known.
	Release *version.Version
	// Controlled is set if the lab starts and stops the autoscaler.
	Controlled bool
	// Deployed is set if the lab deploys the autoscaler in the cluster.
	Deployed bool
	// Containers is set if the lab reaches the containers of the cluster's machines.
	Containers bool
}

// WhySkipped returns why the scenario cannot run with these means; empty if it can run. With an
// unknown release, neither Since nor what it knows of empty groups counts.
func (s *Scenario) WhySkipped(m Means) string {
	running := m.Release
	if since := s.Autoscaler.Since; since != "" && running != nil {
		// Parse has read since.
		if enough, err := release.AtLeast(running, since); err != nil || !enough {
			return "it needs autoscaler " + since + " or later, and " + release.Name(running) + " runs"
		}
	}
	if a := s.needsContainers(); a != nil && !m.Containers {
		return fmt.Sprintf("its action %q needs the containers of docker machines, and the lab reaches them only in a cluster that it created", a)
	}
	if !m.Controlled && s.needsControl() {
		return "it needs flags or variables of its own, reads the metrics, or stops and starts the autoscaler, and the lab does not control the running autoscaler"
	}
	if !m.Deployed && s.Autoscaler.RBAC != "" {
		return "it sets the rights of the autoscaler, which needs -autoscaler=deploy: any other autoscaler has the rights of an administrator"
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
