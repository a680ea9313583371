// Package timeline is the record of what happened to a cluster's pods, node
// groups, machines and nodes, and of what its autoscaler said meanwhile: the
// facts, the file that keeps them, and the words that a person reads. Package
// recorder writes the facts, history puts them in order, render shows them.
package timeline

import "time"

// Kind is what a fact is about.
type Kind string

// Kinds of facts.
const (
	Pod        Kind = "pod"
	Group      Kind = "group"
	Machine    Kind = "machine"
	Node       Kind = "node"
	Autoscaler Kind = "autoscaler"
	// Lab has what the lab itself did: it recorded, or ran a scenario's step.
	Lab Kind = "lab"
)

// What happened, by kind.
const (
	// Created and Gone are of pods, groups and machines; a node Joined.
	Created = "created"
	Gone    = "gone"
	// Moved is in records that were begun before a move to another cluster: the
	// object of a group, a machine or the cluster was made anew there. UID is the
	// new one, Text the one before. No recorder writes it any more.
	Moved = "moved"

	// Unschedulable pods have the scheduler's message as Text. Scheduled ones
	// have a Node. Evicted has the reason.
	Unschedulable = "unschedulable"
	Scheduled     = "scheduled"
	Running       = "running"
	Ended         = "ended" // Succeeded or Failed, as Text has it
	Evicted       = "evicted"

	// Sized is a group's wanted replicas, N; ReadyCount its ready ones, N.
	// Limits has "min max" as Text, empty if it is no longer a node group's.
	Sized      = "size"
	ReadyCount = "ready"
	Limits     = "limits"
	// Paused and Resumed are of a group, or of the whole cluster if Name is
	// the cluster's.
	Paused  = "paused"
	Resumed = "resumed"

	// Phase is a machine's, as Text. Marked is one that the autoscaler chose
	// to be deleted.
	Phase  = "phase"
	Marked = "marked"

	// Of nodes. Tainted has the autoscaler's taint as Text.
	Joined     = "joined"
	Ready      = "nodeReady"
	NotReady   = "notReady"
	Cordoned   = "cordoned"
	Uncordoned = "uncordoned"
	Tainted    = "tainted"
	Untainted  = "untainted"

	// Of the autoscaler. ScaleUp has a Group and a size N where the line tells
	// them; ScaleDown a Node or Group. Refused is about a pod (Name) or a
	// group (Group) that could not be helped, with the reason as Text. Kept is
	// about a node that was not removed. Considered is what it did on the way
	// to a decision: a pod (Name) that it noticed, a group (Group) that it
	// compared, a node (Node) that it may remove. Problem is a warning or an
	// error.
	ScaleUp    = "scaleUp"
	ScaleDown  = "scaleDown"
	Refused    = "refused"
	Kept       = "kept"
	Considered = "considered"
	Problem    = "problem"
	// Health is a change in the status ConfigMap, as Text.
	Health = "health"
	// Started and Stopped are of its process or pod.
	Started = "started"
	Stopped = "stopped"

	// Of the lab. Recording began: what happened since its Since is known
	// from objects and events alone. Step has a scenario's name as Name.
	Recording = "recording"
	Step      = "step"
	Passed    = "passed"
	Failed    = "failed"
	// KnownFailure is one of upstream's, as Text has it.
	KnownFailure = "known failure"
)

// Source is who told of a fact.
type Source string

// Sources of facts.
const (
	Watch  Source = "watch"
	Event  Source = "event"
	Log    Source = "log"
	Status Source = "status"
	Own    Source = "lab"
)

// Fact is one line of the record.
type Fact struct {
	// Time is when it happened, by the clock of whoever tells: conditions and
	// events have whole seconds.
	Time time.Time `json:"time"`
	// Seen is when the recorder learnt of it, if that was over two seconds
	// later.
	Seen time.Time `json:"seen,omitzero"`
	// Since is, of Recording alone, until when the recorder before this one was
	// at work; zero if there was none.
	Since time.Time `json:"since,omitzero"`
	Kind  Kind      `json:"kind"`
	What  string    `json:"what"`
	// Name is of the object: namespace/name of a pod, the bare name of all else.
	Name string `json:"name,omitempty"`
	// UID tells apart objects that had the same name one after the other.
	UID string `json:"uid,omitempty"`
	// Group is the node group that it belongs to or is about, if any is known;
	// of a machine or node of the control plane ControlPlane.
	Group string `json:"group,omitempty"`
	// Node that a pod was put on, or that a machine became.
	Node string `json:"node,omitempty"`
	// N is the number of a size.
	N *int `json:"n,omitempty"`
	// Text is the message, phase or reason.
	Text   string `json:"text,omitempty"`
	Source Source `json:"source"`
}

// ControlPlane is the Group of what belongs to the cluster's control plane.
const ControlPlane = "control plane"
