package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/client-go/util/jsonpath"

	"caslab/magefiles/internal/capi"
)

// Check is one thing that can be observed. Exactly one of the fields before Within is set.
type Check struct {
	Pods  *PodsCheck  `json:"pods,omitempty"`
	Group *GroupCheck `json:"group,omitempty"`
	// Nodes is the number of nodes in the whole cluster.
	Nodes *Count `json:"nodes,omitempty"`
	// Said is a statement of the autoscaler.
	Said *SaidCheck `json:"said,omitempty"`
	// Never is a statement that the autoscaler does not make.
	Never *SaidCheck `json:"never,omitempty"`
	// Decisions counts the decisions of the autoscaler since the step began; in Always,
	// since the first step.
	Decisions *DecisionsCheck `json:"decisions,omitempty"`
	// Object is about a field of any object.
	Object *ObjectCheck `json:"object,omitempty"`
	// Metric is one of the autoscaler's metrics.
	Metric *MetricCheck `json:"metric,omitempty"`
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

// DecisionsCheck counts decisions. All fields that are set must hold.
type DecisionsCheck struct {
	// Group names the group that the decisions are about; empty means any.
	Group string `json:"group,omitempty"`
	// Up and Down are the numbers of decisions to enlarge groups and to remove nodes. A
	// decision to enlarge several groups at once counts as one.
	Up   *Count `json:"up,omitempty"`
	Down *Count `json:"down,omitempty"`
}

// ObjectCheck is about an object, whose name and namespace may contain Variables. Exactly one
// of Is and Absent is set.
type ObjectCheck struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
	// Path is a JSONPath as kubectl knows it, such as {.status.phase}.
	Path string `json:"path,omitempty"`
	// Is is a regular expression that the whole value at Path matches.
	Is string `json:"is,omitempty"`
	// Absent holds while there is no such object.
	Absent bool `json:"absent,omitempty"`
}

// MetricCheck is about a metric of the autoscaler. Values are those since its process began,
// rounded down.
type MetricCheck struct {
	Name string `json:"name"`
	// Labels are those that samples must have. The values of all such samples are added.
	Labels map[string]string `json:"labels,omitempty"`
	Value  *Count            `json:"value"`
}

// Checks returns all checks of the scenario, also those in orders.
func (s *Scenario) Checks() []Check {
	all := slices.Clone(s.Always)
	for _, step := range s.Steps {
		all = slices.Concat(all, step.Expect, step.Stays)
	}
	for _, c := range slices.Clone(all) {
		all = append(all, c.Order...)
	}
	return all
}

// String returns the check in words. Numbers relative to ${nodes} count from zero.
func (c Check) String() string { return c.Text(0) }

// Text returns the check in words. nodes is how many nodes the cluster had before
// the first step.
func (c Check) Text(nodes int) string {
	switch {
	case c.Pods != nil:
		return "pods of " + c.Pods.Of + ": " + c.Pods.text()
	case c.Group != nil:
		return "group " + c.Group.Name + ": " + c.Group.text()
	case c.Nodes != nil:
		return c.Nodes.Text(nodes) + " nodes in the cluster"
	case c.Said != nil:
		return c.Said.text()
	case c.Never != nil:
		return "never: " + c.Never.text()
	case c.Decisions != nil:
		return c.Decisions.text()
	case c.Object != nil:
		return c.Object.text()
	case c.Metric != nil:
		return fmt.Sprintf("the metric %s is %s", c.Metric.Title(), c.Metric.Value)
	default:
		var parts []string
		for _, inner := range c.Order {
			parts = append(parts, inner.Text(nodes))
		}
		return "one after the other: " + strings.Join(parts, "; then ")
	}
}

func (p PodsCheck) text() string {
	var parts []string
	add := func(c *Count, what string) {
		if c != nil {
			parts = append(parts, c.String()+" "+what)
		}
	}
	add(p.Running, "running")
	add(p.Pending, "pending")
	where := "nodes with them"
	if p.Group != "" {
		where = "nodes of " + p.Group + " with them"
	}
	add(p.Nodes, where)
	if p.Undisturbed {
		parts = append(parts, "undisturbed")
	}
	if p.Spared {
		parts = append(parts, "on no node that the autoscaler deletes")
	}
	return strings.Join(parts, ", ")
}

func (g GroupCheck) text() string {
	var parts []string
	add := func(c *Count, format string) {
		if c != nil {
			parts = append(parts, fmt.Sprintf(format, c))
		}
	}
	add(g.Size, "size %s")
	add(g.Machines, "%s machines")
	add(g.Ready, "%s nodes ready")
	add(g.Old, "%s machines from before the rollout")
	return strings.Join(parts, ", ")
}

// statements has the statements of the autoscaler in words.
var statements = map[string]string{
	Refused: "refuses to scale up", Kept: "keeps a node", ScaleUp: "scales up",
	ScaleDown: "scales down", Problem: "reports a problem",
}

func (s SaidCheck) text() string {
	text := "the autoscaler " + statements[s.What]
	if s.Pod != "" {
		text += " for pods of " + s.Pod
	}
	if s.Group != "" {
		text += " of group " + s.Group
	}
	if s.Under != "" {
		text += " under pods of " + s.Under
	}
	if s.Text != "" {
		text += fmt.Sprintf(" and says %q", s.Text)
	}
	return text
}

func (d DecisionsCheck) text() string {
	var parts []string
	add := func(c *Count, what string) {
		if c != nil {
			parts = append(parts, c.String()+" "+what)
		}
	}
	add(d.Up, "to enlarge groups")
	add(d.Down, "to remove nodes")
	of := ""
	if d.Group != "" {
		of = " about group " + d.Group
	}
	return "decisions" + of + ": " + strings.Join(parts, ", ")
}

func (o ObjectCheck) text() string {
	if o.Absent {
		return fmt.Sprintf("no %s %s", o.Kind, o.Name)
	}
	return fmt.Sprintf("%s %s: %s is %s", o.Kind, o.Name, o.Path, o.Is)
}

// Title returns the name of the metric with the labels.
func (m MetricCheck) Title() string {
	if len(m.Labels) == 0 {
		return m.Name
	}
	return m.Name + "{" + capi.JoinLabels(m.Labels) + "}"
}

// one checks a check. Only an expectation may be said or order, because these come
// true once and do not last.
func (c *checker) one(place string, check *Check, expectation bool) {
	c.oneOf(place, map[string]bool{
		"pods": check.Pods != nil, "group": check.Group != nil, "nodes": check.Nodes != nil, "said": check.Said != nil, "order": len(check.Order) > 0,
		"never": check.Never != nil, "decisions": check.Decisions != nil, "object": check.Object != nil, "metric": check.Metric != nil,
	})
	if expectation && check.Never != nil {
		c.refuse(place+".never", "never does not come true once: only stays and always may have it")
	}
	if !expectation && (check.Said != nil || len(check.Order) > 0) {
		c.refuse(place, "said and order come true once: only expect may have them")
	}
	switch {
	case check.Pods != nil:
		c.pods(place+".pods", check.Pods)
	case check.Group != nil:
		g := check.Group
		c.isGroup(place+".group.name", g.Name)
		if g.Size == nil && g.Machines == nil && g.Ready == nil && g.Old == nil {
			c.refuse(place+".group", "want at least one of size, machines, ready, old")
		}
		if g.Old != nil && !c.rolledOut[g.Name] {
			c.refuse(place+".group.old", "no rollout of %s begins before that, in this step or an earlier one", g.Name)
		}
	case check.Said != nil:
		c.said(place+".said", check.Said)
	case check.Never != nil:
		c.said(place+".never", check.Never)
	case check.Decisions != nil:
		d := check.Decisions
		if d.Group != "" {
			c.isGroup(place+".decisions.group", d.Group)
		}
		if d.Up == nil && d.Down == nil {
			c.refuse(place+".decisions", "want at least one of up, down")
		}
	case check.Object != nil:
		c.objectCheck(place+".object", check.Object)
	case check.Metric != nil:
		c.metric(place+".metric", check.Metric)
	case len(check.Order) == 1:
		c.refuse(place+".order", "want at least two")
	}
	for i := range check.Order {
		at, inner := fmt.Sprintf("%s.order[%d]", place, i), &check.Order[i]
		c.one(at, inner, true)
		if len(inner.Order) > 0 {
			c.refuse(at, "an order cannot contain an order")
		}
		if inner.Within != 0 || inner.For != 0 {
			c.refuse(at, "the whole order has one time")
		}
	}
}

func (c *checker) pods(place string, p *PodsCheck) {
	c.isWorkload(place+".of", p.Of)
	if p.Group != "" {
		c.isGroup(place+".group", p.Group)
	}
	if p.Running == nil && p.Pending == nil && p.Nodes == nil && !p.Undisturbed && !p.Spared {
		c.refuse(place, "want at least one of running, pending, nodes, undisturbed, spared")
	}
	if p.Undisturbed && c.created[p.Of] {
		c.refuse(place+".undisturbed", "the step itself makes %s, which has no pods when the step begins; put the check into a later step", p.Of)
	}
}

func (c *checker) objectCheck(place string, o *ObjectCheck) {
	if o.APIVersion == "" || o.Kind == "" || o.Name == "" {
		c.refuse(place, "want apiVersion, kind and name")
	}
	c.variables(place+".name", o.Name)
	c.variables(place+".namespace", o.Namespace)
	c.oneOf(place, map[string]bool{"is": o.Is != "", "absent": o.Absent})
	if o.Absent {
		return
	}
	if err := jsonpath.New(o.Kind).Parse(o.Path); err != nil || o.Path == "" {
		c.refuse(place+".path", "%q: want a path such as {.status.conditions[?(@.type==\"Ready\")].status}: %v", o.Path, err)
	}
	_, err := regexp.Compile(o.Is)
	c.refuseIf(place+".is", err)
}

var metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

func (c *checker) metric(place string, m *MetricCheck) {
	if !metricName.MatchString(m.Name) {
		c.refuse(place+".name", "%q: want the name of a metric, such as cluster_autoscaler_scaled_up_nodes_total", m.Name)
	}
	if m.Value == nil {
		c.refuse(place+".value", "want a number, or a text such as \">= 1\"")
	}
}

func (c *checker) said(place string, s *SaidCheck) {
	if !slices.Contains(Statements, s.What) {
		c.refuse(place+".what", "%q: want one of %s", s.What, strings.Join(Statements, ", "))
	}
	if s.Pod != "" {
		c.isWorkload(place+".pod", s.Pod)
	}
	if s.Group != "" {
		c.isGroup(place+".group", s.Group)
	}
	if s.Under != "" {
		c.isWorkload(place+".under", s.Under)
	}
	_, err := regexp.Compile(s.Text)
	c.refuseIf(place+".text", err)
}
