package speech

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Kind is what a message states.
type Kind string

// Kinds of statements. ScaleUp has a Group and a size N where the message names
// them, ScaleDown a Node or Group. Refused is about a Pod or a Group that gets no
// node, Kept about a Node that is not removed. Considered is a step on the way to
// a decision. Problem is a warning or an error.
const (
	KindNone       Kind = ""
	KindScaleUp    Kind = "scaleUp"
	KindScaleDown  Kind = "scaleDown"
	KindRefused    Kind = "refused"
	KindKept       Kind = "kept"
	KindConsidered Kind = "considered"
	KindProblem    Kind = "problem"
	KindStarted    Kind = "started"
	KindStopped    Kind = "stopped"
)

// Statement is what one line of the log states.
type Statement struct {
	Kind Kind
	Time time.Time
	// Pod, Node and Group are the names that the message gives, without the kind
	// and namespace of a group. A Pod has its namespace since 1.31.
	Pod, Node, Group string
	// N is the new size of the Group, nil if the message has none.
	N *int
	// Text is the reason, or the message itself.
	Text string
}

// Statement returns what the line states; false for a line that states nothing about a
// pod, a node, a group, a problem or the autoscaler itself. day has the meaning of near
// in At.
func (e Entry) Statement(day time.Time) (Statement, bool) {
	switch {
	case e.known != nil && e.known.Kind != KindNone:
		return e.known.statement(e, day), true
	case e.Class == Problem:
		s := Statement{Kind: KindProblem, Time: e.At(day), Text: e.Message}
		s.Group = lastPart(anyGroup.FindString(e.Message))
		if m := anyNode.FindStringSubmatch(e.Message); m != nil && m[1] != "group" && !strings.HasPrefix(m[1], "template-node-for") {
			s.Node = nodeName(m[1])
		}
		return s, true
	}
	return Statement{}, false
}

// statement takes the names and the text from a message that the row matches.
func (m *Message) statement(e Entry, day time.Time) Statement {
	s := Statement{Kind: m.Kind, Time: e.At(day), Text: e.Message}
	for i, name := range m.Pattern.SubexpNames() {
		switch found := e.found[i]; name {
		case "pod":
			s.Pod = found
		case "node":
			s.Node = nodeName(found)
		case "group":
			s.Group = lastPart(found)
		case "n":
			if n, err := strconv.Atoi(found); err == nil {
				s.N = &n
			}
		case "text":
			s.Text = found
		}
	}
	return s
}

// Patterns of the names in a problem.
var (
	anyGroup = regexp.MustCompile(`\b(?:MachineDeployment|MachineSet|MachinePool)/[^/\s]+/[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?`)
	anyNode  = regexp.MustCompile(`(?:\bnode "|\b(?:for|on|of|from|remove|delete) node |` + forNode + `|\b` + beforeName + `)(?:` + beforeName + `)?([a-z0-9](?:[-a-z0-9._]*[a-z0-9])?)`)
)

// forNode matches the beginnings of problems after which the name of a node follows, often without the word
// node before it.
const forNode = `^(?:(?:Failed to (?:find|get|calculate|check) (?:a )?(?:node ?group|utilization|utilization thresholds|limits|scale down unneeded/unready time)|` +
	`Error (?:determining|while checking) node ?group|failed to get node info) for (?:node "?)?|Soft taint on )`

// unregistered matches the name that the provider for Cluster API gives to a
// machine that has no provider ID.
var unregistered = regexp.MustCompile(`^(?:pending|failed|deleting)-machine-[^_]*_(.+)$`)

// nodeName returns the name of a node from its name or its provider ID, or the
// name of a machine that has no node yet.
func nodeName(id string) string {
	if m := unregistered.FindStringSubmatch(id); m != nil {
		return m[1]
	}
	if _, rest, found := strings.Cut(id, "://"); found {
		return lastPart(rest)
	}
	return id
}

// lastPart returns the name in Kind/namespace/name.
func lastPart(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
