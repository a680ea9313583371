package scenario

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// WhyAlone says why the scenario cannot run at the same time as other scenarios; empty if it
// can. Scenarios that run together share the cluster and the autoscaler, so each changes and
// looks at only what belongs to it.
func (s *Scenario) WhyAlone() string {
	for _, step := range s.Steps {
		for _, a := range step.Do {
			switch {
			case a.Autoscaler != "" || a.Flags != nil:
				return fmt.Sprintf("its action %q restarts the autoscaler", a)
			case a.Controllers != "":
				return fmt.Sprintf("its action %q changes Cluster API's managers", a)
			case a.Pause == TheCluster:
				return "it pauses the whole cluster"
			}
		}
	}
	for _, c := range s.Checks() {
		switch {
		case c.Nodes != nil:
			return "it counts the nodes of the whole cluster"
		case c.Metric != nil:
			return "it reads metrics, which include all scenarios"
		case c.Said != nil && c.Said.aboutAnything(), c.Never != nil && c.Never.aboutAnything():
			return fmt.Sprintf("its check %q names no pod or group of the scenario", c)
		}
	}
	for _, g := range s.Groups {
		if g.Machines != HollowMachines && len(g.Capacity) > 0 {
			return "its group " + g.Name + " sets the capacity of nodes with kubelets, by the smallest of which the lab sizes all workloads"
		}
	}
	for _, m := range s.Manifests() {
		metadata, _ := m["metadata"].(map[string]any)
		if name, _ := metadata["name"].(string); !strings.Contains(name, "${prefix}") {
			return fmt.Sprintf("the name of its %v %s does not contain ${prefix}", m["kind"], name)
		}
	}
	if text, err := json.Marshal(s); err != nil || strings.Contains(string(text), "${nodes") {
		return "it counts the nodes of the whole cluster" // numbers of checks are not among the texts
	}
	for _, value := range append(slices.Collect(maps.Values(s.Autoscaler.Environment)), s.Autoscaler.Flags...) {
		if strings.Contains(value, "${") {
			return fmt.Sprintf("the autoscaler gets %q, which each scenario expands in its own way", value)
		}
	}
	return ""
}

// aboutAnything reports whether the check names nothing that belongs to the scenario.
func (s *SaidCheck) aboutAnything() bool { return s.Pod == "" && s.Group == "" && s.Under == "" }
