// Package timeline is the record of what happened to a cluster's pods, node
// groups, machines and nodes, and of what its autoscaler said meanwhile: the
// facts, the file that keeps them, and the words that a person reads. Package
// recorder writes the facts, history puts them in order, render shows them.
package timeline

import (
	"encoding/json"
	"time"
)

// Kind is what a fact is about.
type Kind string

// Kinds of facts.
const (
	Pod        Kind = "pod"
	Group      Kind = "group"
	Machine    Kind = "machine"
	Node       Kind = "node"
	Autoscaler Kind = "autoscaler"
	// Lab is the lab itself: it recorded, or ran a step of a scenario.
	Lab Kind = "lab"
	// Template is the infrastructure template of a group's machines.
	Template Kind = "template"
	// InfrastructureMachine and BootstrapConfig are the objects of providers to which a Machine
	// refers. Only those that report a problem are on record.
	InfrastructureMachine Kind = "infrastructureMachine"
	BootstrapConfig       Kind = "bootstrapConfig"
	// Budget is a PodDisruptionBudget. A fact of this kind without a Name says that all
	// budgets of the cluster are on record.
	Budget Kind = "budget"
	// DaemonSet and the kinds after it are objects that the scheduler and the autoscaler read
	// beside pods and nodes. A fact of such a kind without a Name says that all of its objects are
	// on record.
	DaemonSet       Kind = "daemonSet"
	Namespace       Kind = "namespace"
	Claim           Kind = "claim"
	Volume          Kind = "volume"
	StorageClass    Kind = "storageClass"
	CSINode         Kind = "csiNode"
	CSIDriver       Kind = "csiDriver"
	StorageCapacity Kind = "csiStorageCapacity"
	Attachment      Kind = "volumeAttachment"
	// These are objects of dynamic resource allocation.
	ResourceClaim         Kind = "resourceClaim"
	ResourceClaimTemplate Kind = "resourceClaimTemplate"
	ResourceSlice         Kind = "resourceSlice"
	DeviceClass           Kind = "deviceClass"
)

// What happened, by kind.
const (
	// Pods, groups and machines are Created and Gone; a node has Joined.
	Created = "created"
	Gone    = "gone"
	// Moved is in old records: clusterctl moved the object of a group, a machine or
	// the cluster, which was created again in another cluster. UID is the new UID,
	// Text the old one. No recorder writes it any more.
	Moved = "moved"

	// The Text of Unschedulable is the scheduler's message, that of Evicted the
	// reason. Scheduled has a Node.
	Unschedulable = "unschedulable"
	Scheduled     = "scheduled"
	Running       = "running"
	Ended         = "ended" // Succeeded or Failed, as Text has it
	Evicted       = "evicted"

	// The N of Sized is how many replicas a group wants, and its Text the field manager
	// that wrote the number, if that is known. The N of ReadyCount is how many replicas
	// are ready. The Text of Limits is "MIN MAX", or empty if the autoscaler does
	// not scale the group.
	Sized      = "size"
	ReadyCount = "ready"
	Limits     = "limits"
	// A group is Paused and Resumed, or the whole cluster if Name is the name of
	// the cluster.
	Paused  = "paused"
	Resumed = "resumed"

	// The Text of Phase is the phase of a machine. The autoscaler has chosen a
	// Marked machine to be deleted, and given that up if it is Unmarked.
	Phase    = "phase"
	Marked   = "marked"
	Unmarked = "unmarked"

	// The Shape of Shaped is what package shape keeps of an object: what a pod asks for,
	// what a node offers. It is recorded when it changes. Without a Shape, the object is
	// gone; only objects whose end no other fact reports have such a fact.
	Shaped = "shape"

	// What happens to nodes. The Text of Tainted and Untainted is the key of a
	// taint of the autoscaler.
	Joined     = "joined"
	Ready      = "nodeReady"
	NotReady   = "notReady"
	Cordoned   = "cordoned"
	Uncordoned = "uncordoned"
	Tainted    = "tainted"
	Untainted  = "untainted"

	// What the autoscaler says. ScaleUp has a Group and a size N if the message
	// names them, ScaleDown a Node or a Group. Refused is about a pod (Name) or a
	// group (Group) that gets no node, Kept about a node that is not removed; their
	// Text is the reason. Considered is a step on the way to a decision: a pod
	// (Name) that it noticed, a group (Group) that it compared, a node (Node) that
	// it may remove. Problem is a warning or an error.
	ScaleUp    = "scaleUp"
	ScaleDown  = "scaleDown"
	Refused    = "refused"
	Kept       = "kept"
	Considered = "considered"
	Problem    = "problem"
	// Health is a change in the status ConfigMap, as Text.
	Health = "health"
	// Its process or pod has Started or Stopped. The lab has Started or Stopped the
	// environment's containers.
	Started = "started"
	Stopped = "stopped"

	// What the lab does. At Recording a recorder starts: what happened between the
	// fact's Since and its Time is known only from objects and events. The Name of
	// Step and of the verdicts is the scenario's, or BringUp.
	Recording = "recording"
	Step      = "step"
	Passed    = "passed"
	Failed    = "failed"
	// KnownFailure is a failure that upstream knows; Text says which.
	KnownFailure = "known failure"
	// Deleting is the deletion of the group Group by the command Name.
	Deleting = "deleting"
	// Interrupted is the end of a scenario or a bring-up that was stopped before its
	// verdict.
	Interrupted = "interrupted"
)

// BringUp is the Name of the facts about a bring-up of the lab's own environment. No
// scenario can have that name.
const BringUp = "env:up"

// CleanUp is the Text of the Step at which a scenario begins to remove what it created.
const CleanUp = "remove what it created"

// Source is where a fact comes from.
type Source string

// Sources of facts.
const (
	Watch  Source = "watch"
	Event  Source = "event"
	Log    Source = "log"
	Status Source = "status"
	// Metrics are those that an autoscaler serves.
	Metrics Source = "metrics"
	Own     Source = "lab"
)

// Fact is one line of the record.
type Fact struct {
	// Time is when it happened, by the clock of the source: conditions and events
	// have whole seconds.
	Time time.Time `json:"time"`
	// Seen is when the recorder learnt of it, if that was over two seconds
	// later.
	Seen time.Time `json:"seen,omitzero"`
	// Since is set only for Recording: the last time at which the previous recorder
	// was at work; zero if there was none.
	Since time.Time `json:"since,omitzero"`
	Kind  Kind      `json:"kind"`
	What  string    `json:"what"`
	// Name is the name of the object, for a pod namespace/name.
	Name string `json:"name,omitempty"`
	// UID distinguishes objects that had the same name one after the other.
	UID string `json:"uid,omitempty"`
	// Group is the node group that the object belongs to, or that the autoscaler
	// speaks about; empty if none is known. Machines and nodes of the control plane
	// have ControlPlane.
	Group string `json:"group,omitempty"`
	// Node that a pod was scheduled on, or that a machine became.
	Node string `json:"node,omitempty"`
	// N is the number of a size.
	N *int `json:"n,omitempty"`
	// Text is the message, phase or reason.
	Text string `json:"text,omitempty"`
	// Shape is JSON of a type of package shape, which depends on the Kind.
	Shape  json.RawMessage `json:"shape,omitempty"`
	Source Source          `json:"source"`
}

// ControlPlane is the Group of the machines and nodes of the control plane.
const ControlPlane = "control plane"
