package world

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"caslab/magefiles/internal/timeline"
)

// Coming returns the machines of a group whose nodes were never Ready.
func (w *World) Coming(g *Group) []*Machine {
	return slices.DeleteFunc(slices.Clone(g.Machines), func(m *Machine) bool {
		ready := slices.ContainsFunc(g.Nodes, func(n *Node) bool { return n.Name == m.Node && n.WasReady })
		return ready || m.Deletion != nil || m.Phase == "Deleting" || m.Phase == "Failed"
	})
}

// Stuck returns the machines of a group that have failed, or have had no node for long.
func (w *World) Stuck(g *Group) []*Machine {
	return slices.DeleteFunc(slices.Clone(g.Machines), func(m *Machine) bool { return w.Trouble(m) == "" })
}

// Trouble returns why a machine has no node, as a phrase. It is empty unless the machine has
// failed, or has had no node for long.
func (w *World) Trouble(m *Machine) string {
	age := w.At.Sub(m.Created)
	var text string
	switch {
	case m.Deletion != nil || m.Node != "":
		return ""
	case m.Failure != "":
		return strings.Join(append([]string{"it has failed: " + m.Failure}, m.externalReports()...), "; ")
	case m.Infrastructure.failed(), m.Bootstrap.failed(), m.Phase == "Failed":
		text = "it has failed"
	case age > SlowMachine:
		text = fmt.Sprintf("it has had no node for %s", timeline.DurationText(age))
	default:
		return ""
	}
	if reports := m.Reports(); len(reports) > 0 {
		text += ": " + strings.Join(reports, "; ")
	}
	return text
}

// failed reports whether there is an infrastructure machine or a bootstrap config that has failed.
func (e *External) failed() bool { return e != nil && e.Failure != "" }

// Reports returns the failure and the conditions of an infrastructure machine or a bootstrap config, each as a
// text such as "DockerMachine reports ContainerProvisioned: no image". There are none if e is nil.
func (e *External) Reports() []string {
	if e == nil {
		return nil
	}
	var all []string
	for _, problem := range append([]string{e.Failure}, e.Problems...) {
		if problem != "" {
			all = append(all, e.Kind+" reports "+problem)
		}
	}
	return all
}

// externalReports returns what the infrastructure machine and the bootstrap config report.
func (m *Machine) externalReports() []string {
	var all []string
	for _, report := range m.Infrastructure.Reports() {
		all = append(all, "its "+report)
	}
	for _, report := range m.Bootstrap.Reports() {
		all = append(all, "its "+report)
	}
	return all
}

// Reports returns the problems of a machine and of its infrastructure machine and bootstrap config. If the
// infrastructure machine reports problems itself, the Machine's condition InfrastructureReady is left out, because
// it only repeats them. The same holds for the bootstrap config. Conditions that are Unknown are
// reported only if there is nothing else to report.
func (m *Machine) Reports() []string {
	var all []string
	for _, problem := range m.Problems {
		condition, _, _ := strings.Cut(problem, ":")
		if m.Infrastructure != nil && condition == "InfrastructureReady" || m.Bootstrap != nil && (condition == "BootstrapReady" || condition == "BootstrapConfigReady") {
			continue
		}
		all = append(all, problem)
	}
	if all = append(all, m.externalReports()...); len(all) == 0 {
		return m.Unknown
	}
	return all
}

// Sources returns the kinds of the objects on which Reports rests.
func (m *Machine) Sources() string {
	kinds := "Machine"
	for _, e := range []*External{m.Infrastructure, m.Bootstrap} {
		if e != nil {
			kinds += ", " + e.Kind
		}
	}
	return kinds
}

// SlowMachine is the time after which a machine without a node is worth a note.
const SlowMachine = 5 * time.Minute
